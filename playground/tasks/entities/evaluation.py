"""How good zero-shot NER is: typing of gold spans, strict entity-level F1, and what baselines get."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from playground.tasks.entities import spans as cutting
from playground.tasks.entities.decoding import THRESHOLD, decode
from playground.tasks.entities.labelled import LabelledText, majority_type
from playground.tasks.entities.spans import Span
from playground.tasks.entities.typing import EntityTyper, TypedSpans, is_none
from playground.tasks.evaluation import softmax
from playground.tasks.metrics import RESAMPLES, SEED, Interval, Metrics, measure

Found = Sequence[tuple[Span, str]]
_TEXTS_AT_ONCE = 64
_LADDER = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)


@dataclass(frozen=True)
class EntityScore:
    """Strict entity-level scores over N texts: an entity counts if its offsets and its type are right.

    true, predicted, gold: how many entities. interval: of F1, 95 %, texts drawn with replacement.
    """

    name: str
    true: int
    predicted: int
    gold: int
    interval: Interval

    @property
    def precision(self) -> float:
        return self.true / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        return self.true / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        return _f1(self.true, self.predicted, self.gold)


@dataclass(frozen=True)
class EntityReport:
    """What an evaluation found.

    typing: the gold spans typed, none left out of the choice; its majority is the share of the commonest
    type. found: the whole task. by_type: the same by type. baselines: every capitalised run, and every
    candidate, given the commonest type. ladder: the whole task at other thresholds, (threshold, score).
    candidate_recall: the share of gold spans that are among the candidates, whatever their type. prompts and
    seconds: of both.
    """

    typing: Metrics
    types: tuple[str, ...]
    found: EntityScore
    by_type: tuple[EntityScore, ...]
    baselines: tuple[EntityScore, ...]
    ladder: tuple[tuple[float, EntityScore], ...]
    candidate_recall: float
    prompts: int
    seconds: float


def strict_score(
    name: str, gold: Sequence[Found], predicted: Sequence[Found], *, seed: int = SEED
) -> EntityScore:
    """Return precision, recall and F1 of the entities of N texts, as seqeval's strict mode counts them."""
    counts = np.array(
        [
            (len(set(g) & set(p)), len(set(p)), len(set(g)))
            for g, p in zip(gold, predicted, strict=True)
        ]
    ).reshape(-1, 3)
    true, many, right = (int(total) for total in counts.sum(0))
    rng = np.random.default_rng(seed)
    draws = np.array(
        [
            _f1(*counts[rng.integers(0, len(counts), len(counts))].sum(0).tolist())
            for _ in range(RESAMPLES)
        ]
    )
    low, high = np.percentile(draws, [2.5, 97.5])
    return EntityScore(name, true, many, right, (float(low), float(high)))


def evaluate_entities(
    typer: EntityTyper,
    rows: Sequence[LabelledText],
    *,
    candidates: str = "names",
    most_words: int = 4,
    threshold: float = THRESHOLD,
    decoding: str = "greedy",
    nested: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> EntityReport:
    """Measure a typer on labelled texts: gold spans typed, then spans found and typed.

    ``progress`` is told the texts done and in all. Raises PlaygroundError for texts without an entity.
    """
    commonest = majority_type(rows)
    types = tuple(name for name in typer.prompt.verbalizer.names if not is_none(name))
    tell = progress or (lambda done, total: None)
    typed: list[TypedSpans] = []
    told: list[TypedSpans] = []
    for part in _parts(rows):
        told += typer.type_texts(
            [row.text for row in part],
            candidates=[[(s.start, s.end) for s, _ in row.entities] for row in part],
        )
        cut = [_cut(row.text, candidates, most_words) for row in part]
        typed += typer.type_texts(
            [row.text for row in part],
            candidates=[[(span.start, span.end) for span in spans] for spans in cut],
            most_spans=max(map(len, cut)),
        )
        tell(len(typed), len(rows))
    gold = [row.entities for row in rows]

    def at(limit: float) -> list[Found]:
        return [
            [
                (e.span, e.label)
                for e in decode(one, threshold=limit, decoding=decoding, nested=nested)
            ]
            for one in typed
        ]

    found = at(threshold)
    spans = [{span for span, _ in own} for own in gold]
    hits = sum(len(own & set(one.spans)) for own, one in zip(spans, typed, strict=True))
    return EntityReport(
        typing=_typing(told, rows, types),
        types=types,
        found=strict_score("zero-shot", gold, found),
        by_type=tuple(
            strict_score(name, [_of(name, own) for own in gold], [_of(name, own) for own in found])
            for name in types
        ),
        baselines=(
            strict_score(
                f"every capitalised run is {commonest}",
                gold,
                [[(span, commonest) for span in capital_runs(row.text)] for row in rows],
            ),
            strict_score(
                f"every candidate is {commonest}",
                gold,
                [[(span, commonest) for span in _flat(one)] for one in typed],
            ),
        ),
        ladder=tuple(
            (limit, strict_score(f"{limit:g}", gold, at(limit)))
            for limit in sorted({*_LADDER, threshold})
        ),
        candidate_recall=hits / max(1, sum(map(len, spans))),
        prompts=sum(part[0].prompts for part in (*_parts(told), *_parts(typed))),
        seconds=sum(part[0].seconds for part in (*_parts(told), *_parts(typed))),
    )


def capital_runs(text: str) -> list[Span]:
    """Return the longest runs of neighbouring capitalised words: the baseline's idea of a name."""
    found: list[Span] = []
    for word in cutting.words(text):
        if not text[word.start].isupper():
            continue
        if found and text[found[-1].end : word.start].isspace():
            found[-1] = Span(found[-1].start, word.end)
        else:
            found.append(word)
    return found


def _typing(
    told: Sequence[TypedSpans], rows: Sequence[LabelledText], types: Sequence[str]
) -> Metrics:
    """Return the metrics of gold spans under their best type, with none out of the choice."""
    shares, places = [], []
    for one, row in zip(told, rows, strict=True):
        columns = [one.labels.index(name) for name in types]
        position = {span: k for k, span in enumerate(one.spans)}
        for span, label in row.entities:
            shares.append(one.log_probs[position[span], columns])
            places.append(types.index(label))
    return measure(softmax(np.stack(shares)), places)


def _cut(text: str, kind: str, most_words: int) -> list[Span]:
    return cutting.candidates(text, kind, most_words=most_words) if cutting.words(text) else []


def _parts(rows: Sequence) -> Iterator[Sequence]:
    for start in range(0, len(rows), _TEXTS_AT_ONCE):
        yield rows[start : start + _TEXTS_AT_ONCE]


def _flat(typed: TypedSpans) -> list[Span]:
    """Return candidates that do not overlap, the longest first."""
    chosen: list[Span] = []
    for span in sorted(typed.spans, key=lambda s: (s.start - s.end, s.start)):
        if not any(span.overlaps(other) for other in chosen):
            chosen.append(span)
    return chosen


def _of(name: str, found: Found) -> list[tuple[Span, str]]:
    return [entry for entry in found if entry[1] == name]


def _f1(true: int, predicted: int, gold: int) -> float:
    return 2 * true / (predicted + gold) if predicted + gold else 0.0
