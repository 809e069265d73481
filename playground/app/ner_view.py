"""The NER tab's HTML: the text with its entities, one span closely, and the table of all spans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from playground.app.bars import SEQUENCE, rendered_prompt, score_bars
from playground.app.markup import action, esc, percent
from playground.prompts import Prompt
from playground.tasks.entities import Entity, Span, TypedSpans

COLOURS = 7
_LISTED, _SHORT = 60, 28


@dataclass(frozen=True)
class Drawing:
    """What is drawn: the typed spans, the entities among them, and the number of templates.

    rest: whether candidates that are no entity are drawn too; all spans would cover the text. threshold:
    what a margin must be over.
    """

    typed: TypedSpans
    entities: Sequence[Entity]
    templates: int
    rest: bool = True
    threshold: float = 0.0

    def place(self, span: Span) -> int:
        """Return the number of a candidate span."""
        return self.typed.spans.index(span)


def drawn_text(drawing: Drawing, chosen: int | None = None) -> str:
    """Return the text with coloured entities, what the colours mean, and what it cost."""
    typed = drawing.typed
    return (
        f'<div class="pp-result" data-seq="{next(SEQUENCE)}" data-summary="{esc(_summary(drawing))}">'
        f"<h2>Entities</h2>{_legend(drawing)}"
        f'<div class="pp-entities" tabindex="0" role="group" aria-label="the text with its entities">'
        f"{_marked(drawing, chosen)}</div>"
        f'<p class="pp-legend">{len(typed):,} candidate span{"s" * (len(typed) != 1)} × {drawing.templates} '
        f"template{'s' * (drawing.templates != 1)}: {typed.prompts:,} different "
        f"prompt{'s' * (typed.prompts != 1)} in {typed.batches:,} forward pass{'es' * (typed.batches != 1)}, {typed.seconds * 1e3:,.0f} ms. {_advice(drawing)}</p></div>"
    )


def _advice(drawing: Drawing) -> str:
    if drawing.rest:
        return "Click a span for its scores."
    return "Most spans are no names and the prompts do not ask where one ends: raise the threshold."


def _summary(drawing: Drawing) -> str:
    if not drawing.entities:
        return "no entities"
    return ", ".join(f"{entity.text}: {entity.label}" for entity in drawing.entities[:8])


def _legend(drawing: Drawing) -> str:
    counts = dict.fromkeys(drawing.typed.types, 0)
    for entity in drawing.entities:
        counts[entity.label] += 1
    keys = "".join(
        f'<span class="pp-ent-key {colour(drawing.typed, label)}">{esc(label)} <b>{count}</b></span>'
        for label, count in counts.items()
    )
    return f'<p class="pp-saying">{keys}</p>'


def colour(typed: TypedSpans, label: str) -> str:
    """Return the class of a type's colour."""
    return f"pp-k{typed.types.index(label) % COLOURS}" if label in typed.types else "pp-k-none"


def _marked(drawing: Drawing, chosen: int | None) -> str:
    """Return the text with a mark around each entity, and a dotted line under spans that are none."""
    typed = drawing.typed
    entities = {entity.span: entity for entity in drawing.entities}
    taken = list(entities)
    free: list[Span] = []
    for span in sorted(
        typed.spans if drawing.rest else (), key=lambda s: (s.start - s.end, s.start)
    ):
        if not any(span.overlaps(other) for other in (*taken, *free)):
            free.append(span)  # the longest of those that are no entity
    spans = sorted((*taken, *free), key=lambda s: (s.start, -s.end))
    return "".join(_pieces(typed, spans, entities, 0, len(typed.text), chosen, drawing))


def _pieces(
    typed: TypedSpans,
    spans: Sequence[Span],
    entities: Mapping[Span, Entity],
    start: int,
    end: int,
    chosen: int | None,
    drawing: Drawing,
) -> Iterable[str]:
    position, i = start, 0
    while i < len(spans):
        span = spans[i]
        inside = [other for other in spans[i + 1 :] if span.holds(other)]
        yield esc(typed.text[position : span.start])
        inner = "".join(_pieces(typed, inside, entities, span.start, span.end, chosen, drawing))
        place = drawing.place(span)
        picked = " pp-picked" if place == chosen else ""
        if (entity := entities.get(span)) is not None:
            tag = action(
                "span", place, esc(entity.label), classes="pp-tag",
                title=f"{percent(entity.probability)}, {entity.margin:+.1f} over none",
            )  # fmt: skip
            short = (
                " pp-short" if span.end - span.start < _SHORT else ""
            )  # its tag stays on its line
            yield (
                f'<mark class="pp-ent {colour(typed, entity.label)}{short}{picked}" data-act="span" '
                f'data-arg="{place}">{inner}{tag}</mark>'
            )
        else:
            yield action(
                "span", place, inner, classes=f"pp-free{picked}", title="Why is this none?"
            )
        position, i = span.end, i + 1 + len(inside)
    yield esc(typed.text[position:end])


def span_panel(
    drawing: Drawing, place: int | None, prompts: Sequence[tuple[Prompt, dict[str, str]]]
) -> str:
    """Return all scores of one span, and the prompts that gave them."""
    typed = drawing.typed
    if place is None:
        return (
            '<div class="pp-result"><p class="pp-legend">No span to look at: no word looks like a name. '
            "Take all spans as candidates, or type a name.</p></div>"
        )
    label, margin = typed.best(place)
    shares = np.exp(typed.log_probs[place]).tolist()
    filled = "".join(rendered_prompt(prompt.template.render(row)) for prompt, row in prompts)
    over = "none" if len(typed.types) < len(typed.labels) else "all other types together"
    return (
        f'<div class="pp-result"><h2>Closely: {esc(typed.words(place))}</h2>'
        f"{score_bars(typed.labels, shares)}"
        f'<p class="pp-legend"><b>{esc(label)}</b> is {margin:+.2f} over {over} (nats: each 2.3 is ten times as '
        f"likely), so the span {_verdict(drawing, place)}.</p>"
        f"<h3>Its prompts, whose log-probabilities are averaged</h3>{filled}</div>"
    )


def _verdict(drawing: Drawing, place: int) -> str:
    """Return why a span is an entity, or what keeps it from being one."""
    span = drawing.typed.spans[place]
    if any(entity.span == span for entity in drawing.entities):
        return "is an entity"
    if drawing.typed.best(place)[1] <= drawing.threshold:
        return f"is not over the threshold of {drawing.threshold:g}"
    surer = next((e for e in drawing.entities if e.span.overlaps(span)), None)
    if surer is None:
        return "is no entity"
    return f"gives way to “{esc(surer.text)}” ({esc(surer.label)}, {surer.margin:+.2f}), which it overlaps"


def span_table(drawing: Drawing) -> str:
    """Return the candidates as a table, the widest margin first."""
    typed = drawing.typed
    order = sorted(range(len(typed)), key=lambda place: -typed.best(place)[1])
    chosen = {entity.span for entity in drawing.entities}
    rows = []
    for place in order[:_LISTED]:
        label, margin = typed.best(place)
        span = typed.spans[place]
        share = float(np.exp(typed.log_probs[place, typed.labels.index(label)]))
        name = action("span", place, esc(typed.words(place)), classes="pp-link")
        mark = f'<span class="pp-ent-key {colour(typed, label)}">{esc(label)}</span>'
        rows.append(
            f"<tr><td>{name}</td><td>{mark}</td><td>{margin:+.2f}</td><td>{percent(share)}</td>"
            f"<td>{span.start} to {span.end}</td><td>{'yes' if span in chosen else 'no'}</td></tr>"
        )
    more = f"<p class='pp-legend'>The first {_LISTED} of {len(order):,}; the CSV has all.</p>"
    return (
        '<div class="pp-result"><div class="pp-scroll" tabindex="0"><table class="pp-table"><thead><tr>'
        "<th>Span</th><th>Best type</th><th>Over none</th><th>Probability</th><th>Place</th><th>Entity</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>{more if len(order) > _LISTED else ''}</div>"
    )
