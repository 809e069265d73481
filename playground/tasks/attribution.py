"""What each word does to the winning label: it is left out, and the prompt is scored again.

Leave-one-out (Li, Monroe and Jurafsky 2016), over the words of the text and of the template alike: a
template's words can matter as much as the text's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from playground.engine import Prompting
from playground.errors import PlaygroundError
from playground.prompts import Prompt, Template
from playground.prompts.template import SOFT, Row

MOST_WORDS = 80
_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*|[^\w\s]+")


@dataclass(frozen=True)
class Piece:
    """A stretch of the filled prompt: kind "word", "gap" or "mask".

    effect: the winning label's probability with the word minus without it, from -1 to 1; None for what
    was not left out. field: the slot whose text it is part of, None in the template.
    """

    text: str
    kind: str
    field: str | None = None
    effect: float | None = None


@dataclass(frozen=True)
class Attribution:
    """The prompt in pieces, the winning label and its probability, and how many words were left out."""

    pieces: tuple[Piece, ...]
    label: str
    probability: float
    words: int

    def strongest(self, count: int = 8) -> list[Piece]:
        """Return the words that move the label most, either way."""
        known = [piece for piece in self.pieces if piece.effect is not None]
        return sorted(known, key=lambda piece: -abs(piece.effect or 0.0))[:count]


def leave_one_out(
    prompting: Prompting, row: Row, prompt: Prompt, *, most_words: int = MOST_WORDS
) -> Attribution:
    """Return what each word of ``row`` and of the template does to the label that wins.

    Texts without one word are scored in one batch; each template without a word is a template of its
    own, with its own prior. At most ``most_words`` words are left out, the first ones. Raises
    PlaygroundError for a prompt or a row that cannot be scored.
    """
    values = prompt.template.fillings(row)
    whole = prompting.classify([values], prompt, words=False)
    if whole.errors:
        raise PlaygroundError(whole.errors[0])
    best = int(whole.probabilities[0].argmax())
    full = float(whole.probabilities[0, best])
    pieces = list(_pieces(prompt.template, values))
    places = [i for i, piece in enumerate(pieces) if piece.kind == "word"][:most_words]
    shares = _without(prompting, prompt, values, pieces, places, best)
    for place, share in zip(places, shares, strict=True):
        if not np.isnan(share):
            pieces[place] = replace(pieces[place], effect=full - float(share))
    return Attribution(tuple(pieces), whole.labels[best], full, len(places))


def _without(
    prompting: Prompting,
    prompt: Prompt,
    values: dict[str, str],
    pieces: list[Piece],
    places: list[int],
    best: int,
) -> list[float]:
    """Return the best label's probability without the word at each place, NaN where it has none."""
    found = dict.fromkeys(places, float("nan"))
    in_text = [place for place in places if pieces[place].field is not None]
    rows = [_row_without(pieces, place, values) for place in in_text]
    if rows:
        scores = prompting.classify(rows, prompt, words=False)
        found |= dict(zip(in_text, scores.probabilities[:, best].tolist(), strict=True))
    for place in set(places) - set(in_text):
        fewer = prompt.with_template(_template_without(prompt.template, pieces, place))
        found[place] = float(
            prompting.classify([values], fewer, words=False).probabilities[0, best]
        )
    return [found[place] for place in places]


def _row_without(pieces: list[Piece], place: int, values: dict[str, str]) -> dict[str, str]:
    """Return the row without the word at ``place``, and without the space that it leaves."""
    field = pieces[place].field or ""
    first = next(i for i, piece in enumerate(pieces) if piece.field == field)
    last = first
    while last < len(pieces) and pieces[last].field == field:
        last += 1
    kept = [piece.text for i, piece in enumerate(pieces[first:last], first) if i != place]
    return {**values, field: " ".join("".join(kept).split(" ")).replace("  ", " ")}


def _template_without(template: Template, pieces: list[Piece], place: int) -> str:
    """Return the template's source without the word at ``place``."""
    number = sum(p.kind == "word" and p.field is None for p in pieces[:place])
    seen = -1

    def drop(match: re.Match[str]) -> str:
        nonlocal seen
        seen += 1
        return "" if seen == number else match.group()

    parts = []
    for part in template.parts:
        if part.kind == "literal":
            text = _WORD.sub(drop, part.value)
            parts.append(text.replace("{", "{{").replace("}", "}}"))
        else:
            parts.append(f"{{{part.value}}}")
    return re.sub(r" {2,}", " ", "".join(parts)).strip() or template.source


def _pieces(template: Template, values: dict[str, str]) -> Iterator[Piece]:
    """Yield the filled prompt cut into words and gaps; a repeated slot is cut where it stands first."""
    done: set[str] = set()
    for part in template.parts:
        if part.kind == "mask":
            yield Piece("[MASK]", "mask")
        elif part.kind == "sep":
            yield Piece(" ┃ ", "gap")
        elif part.kind == "soft":
            yield Piece(SOFT * part.soft, "gap")
        elif part.kind == "field" and part.value in done:
            yield Piece(values[part.value], "gap")
        else:
            field = part.value if part.kind == "field" else None
            done.add(part.value if field else "")
            yield from _cut(values[field] if field else part.value, field)


def _cut(text: str, field: str | None) -> Iterator[Piece]:
    position = 0
    for match in _WORD.finditer(text):
        if match.start() > position:
            yield Piece(text[position : match.start()], "gap", field)
        yield Piece(match.group(), "word", field)
        position = match.end()
    if position < len(text):
        yield Piece(text[position:], "gap", field)
