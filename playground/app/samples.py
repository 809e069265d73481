"""The sample rows that the Classify tab offers beside a card's own examples."""

from __future__ import annotations

import random
from dataclasses import dataclass

from playground import resources
from playground.errors import PlaygroundError, shorten

_SETS = {
    "sentiment": ("reviews", "review", "kind", ("text",)),
    "topic": ("headlines", "headline", "label", ("text",)),
    "nli": ("nli", "pair", "kind", ("premise", "hypothesis")),
    "entity": ("names", "name", "label", ("text", "span")),
}


@dataclass(frozen=True)
class Sample:
    """A row of a sample set: the texts for the page, and a remark with its gold label."""

    texts: tuple[str, ...]
    remark: str


def kinds(card: str) -> tuple[str, tuple[str, ...]]:
    """Return the noun and the kinds of sample rows of a card; no kinds where it has no set."""
    if card not in _SETS:
        return "", ()
    _, noun, key, _ = _SETS[card]
    return noun, tuple(dict.fromkeys(sorted(row[key] for row in _rows(card))))


def pick(card: str, kind: str, *, choose: random.Random | None = None) -> Sample:
    """Return a random row of one kind."""
    rows = [row for row in _rows(card) if row[_SETS[card][2]] == kind] if card in _SETS else []
    if not rows:
        raise PlaygroundError(f"There is no sample of the kind {shorten(kind)}; pick another.")
    _, noun, _, fields = _SETS[card]
    row = (choose or random.SystemRandom()).choice(rows)
    texts = tuple(row[name] for name in fields)
    about = f" ({row['kind']})" if "kind" in row else ""
    start = texts[0] if len(texts[0]) <= 48 else texts[0][:47] + "…"
    return Sample(texts, f"Drawn: “{start}”, a {noun}{about} that we labelled {row['label']}.")


def _rows(card: str) -> list[dict[str, str]]:
    rows = resources.load_examples(_SETS[card][0])
    if card != "entity":
        return rows
    return [
        {"text": row["text"], "span": row["text"][e["start"] : e["end"]], "label": e["label"]}
        for row in rows
        for e in row["entities"]
    ]
