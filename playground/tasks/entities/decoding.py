"""From type scores of overlapping spans to entities: greedy, or the best total; flat or nested."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

from playground.errors import PlaygroundError, shorten
from playground.tasks.entities.spans import Span
from playground.tasks.entities.typing import TypedSpans

DECODINGS = {
    "greedy": "The span with the widest margin first, then the next that overlaps none before.",
    "best total": "The spans whose margins over the threshold add up to the most.",
}
THRESHOLD = 1.0


@dataclass(frozen=True)
class Entity:
    """A span with its type: margin over none in nats, and the type's probability among the types."""

    start: int
    end: int
    label: str
    text: str
    margin: float
    probability: float

    @property
    def span(self) -> Span:
        return Span(self.start, self.end)


def decode(
    typed: TypedSpans,
    *,
    threshold: float = THRESHOLD,
    decoding: str = "greedy",
    nested: bool = False,
) -> list[Entity]:
    """Return the entities of a text in order; no model runs.

    Each span takes its best type, and is dropped unless that type's margin is above ``threshold``. Flat
    entities share no character; nested ones may lie within each other, but never cross. Greedy takes the
    widest margin first (the longer, then the earlier span among equals); "best total" maximises the sum of
    (margin - threshold), flat by weighted interval scheduling, nested by the same over properly nested
    families. Raises PlaygroundError for an unknown ``decoding``.
    """
    if decoding not in DECODINGS:
        raise PlaygroundError(
            f"There is no decoding {shorten(decoding)}; choose one of {', '.join(DECODINGS)}."
        )
    kept = [
        place
        for place in range(len(typed))
        if typed.margins[place].max(initial=float("-inf")) > threshold
    ]
    gains = {place: typed.best(place)[1] - threshold for place in kept}
    if decoding == "greedy":
        chosen = _greedy(typed.spans, gains, nested)
    elif nested:
        chosen = _best_nested(typed.spans, gains)
    else:
        chosen = _best_total(typed.spans, gains)
    return [_entity(typed, place) for place in sorted(chosen, key=lambda p: _order(typed.spans[p]))]


def _entity(typed: TypedSpans, place: int) -> Entity:
    label, margin = typed.best(place)
    span = typed.spans[place]
    share = float(typed.log_probs[place, typed.labels.index(label)])
    return Entity(span.start, span.end, label, typed.words(place), margin, math.exp(share))


def _order(span: Span) -> tuple[int, int]:
    """Sort by start, and what holds another before it."""
    return span.start, -span.end


def _greedy(spans: tuple[Span, ...], gains: dict[int, float], nested: bool) -> list[int]:
    chosen: list[int] = []
    for place in sorted(gains, key=lambda p: (-gains[p], -(spans[p].end - spans[p].start), spans[p].start)):  # fmt: skip
        span = spans[place]
        clashes = (
            other
            for other in (spans[k] for k in chosen)
            if span.overlaps(other) and not (nested and (span.holds(other) or other.holds(span)))
        )
        if next(clashes, None) is None:
            chosen.append(place)
    return chosen


def _best_total(spans: tuple[Span, ...], gains: dict[int, float]) -> list[int]:
    """Weighted interval scheduling: best[k] is the most that the first k spans by end can give."""
    order = sorted(gains, key=lambda p: (spans[p].end, spans[p].start))
    ends = [spans[place].end for place in order]
    best, taken = [0.0], []
    for k, place in enumerate(order):
        before = bisect_right(ends, spans[place].start, 0, k)
        with_it = best[before] + gains[place]
        taken.append((with_it > best[k], before))
        best.append(max(best[k], with_it))
    chosen, k = [], len(order)
    while k:
        take, before = taken[k - 1]
        if take:
            chosen.append(order[k - 1])
        k = before if take else k - 1
    return chosen


def _best_nested(spans: tuple[Span, ...], gains: dict[int, float]) -> list[int]:
    """The best family in which any two spans are apart or one holds the other.

    Worked out from the shortest spans up: what a span is worth is its own gain and the best total of the
    worths of the spans within it; the answer is the best total of all worths.
    """
    worth: dict[int, float] = {}
    inside: dict[int, list[int]] = {}
    for place in sorted(gains, key=lambda p: spans[p].end - spans[p].start):
        within = {k: worth[k] for k in worth if spans[place].holds(spans[k])}
        inside[place] = _best_total(spans, within)
        worth[place] = gains[place] + sum(worth[k] for k in inside[place])
    chosen: list[int] = []
    left = _best_total(spans, worth)
    while left:
        place = left.pop()
        chosen.append(place)
        left += inside[place]
    return chosen
