"""Texts with labelled entities: character offsets, or tokens with BIO tags."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from playground.errors import PlaygroundError, shorten
from playground.settings import settings
from playground.tasks.entities.spans import Span
from playground.tasks.reading import Table

_TAGS = ("ner_tags", "tags", "labels")
_SHOWN = 3


@dataclass(frozen=True)
class LabelledText:
    """A text and its gold entities: (span, type), in order."""

    text: str
    entities: tuple[tuple[Span, str], ...]


@dataclass(frozen=True)
class LabelledTexts:
    """What a table gave: its usable texts, how many entities have a type of no interest, and what failed.

    left_out: entities by a type that is none of the prompt's. faulty: rows that cannot be used, and
    problems: the first of them in words.
    """

    name: str
    rows: tuple[LabelledText, ...]
    left_out: Mapping[str, int]
    faulty: int = 0
    problems: tuple[str, ...] = ()

    @property
    def entities(self) -> int:
        """How many gold entities the texts have together."""
        return sum(len(row.entities) for row in self.rows)


def read_labelled_texts(
    table: Table,
    types: Sequence[str],
    *,
    names: Mapping[str, str] | None = None,
    limit: int | None = None,
) -> LabelledTexts:
    """Return the texts of a table with their gold entities.

    A row has "text" and "entities", a list of objects with start, end and label; or "tokens" and
    "ner_tags", BIO tags as text or as numbers that the data set names. Tokens are joined by spaces.
    names: what the table calls a type, such as ``{"PER": "person"}``; types of no interest are counted
    and left out. Raises PlaygroundError if no row can be used, or if ``names`` names an unknown type.
    """
    known = {name.lower(): name for name in types}
    for theirs, ours in (names or {}).items():
        if ours.lower() not in known:
            raise PlaygroundError(
                f"The prompt has no type {shorten(ours)}; it has {', '.join(types)}."
            )
        known[theirs.lower()] = known[ours.lower()]
    tags = next((name for name in _TAGS if name in table.columns), None)
    by_offsets = {"text", "entities"} <= set(table.columns)
    if not by_offsets and not ("tokens" in table.columns and tags):
        raise PlaygroundError(
            f"{table.name} has the columns {', '.join(map(shorten, table.columns[:12]))}; labelled entities "
            "are text and entities (start, end, label), or tokens and ner_tags."
        )
    rows: list[LabelledText] = []
    left_out: Counter[str] = Counter()
    problems: list[str] = []
    faulty = 0
    for number, record in enumerate(islice(table.records(), limit), start=1):
        try:
            if record.error is not None:
                raise PlaygroundError(record.error)
            if by_offsets:
                text, gold = _offsets(record.values)
            else:
                class_names = table.label_names.get(tags or "", ())
                text, gold = _bio(record.values.get("tokens"), record.values.get(tags), class_names)
            if len(text) > (most := settings().max_text_chars):
                raise PlaygroundError(
                    f"its text has {len(text):,} characters; the most is {most:,}."
                )
            for span, _ in gold:
                if not text[span.start : span.end].strip():
                    raise PlaygroundError(
                        f"the entity from {span.start} to {span.end} holds white space only."
                    )
        except PlaygroundError as error:
            faulty += 1
            if len(problems) < _SHOWN:
                problems.append(f"row {number}: {error}")
            continue
        left_out.update(label for _, label in gold if label.lower() not in known)
        kept = [(span, known[label.lower()]) for span, label in gold if label.lower() in known]
        rows.append(LabelledText(text, tuple(sorted(kept))))
    if not rows:
        raise PlaygroundError(
            " ".join([f"{table.name} has no row that can be used.", *problems[:1]])
        )
    return LabelledTexts(table.name, tuple(rows), dict(left_out), faulty, tuple(problems))


def bio_spans(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """Return (first token, token behind the last, type) of BIO tags; an I that follows no B begins one.

    Of BIOES and BILOU tags, S and U begin an entity as B does, and E and L go on as I does.
    """
    found: list[tuple[int, int, str]] = []
    for i, tag in enumerate(tags):
        mark, _, label = tag.partition("-")
        if mark == "O" or not label:
            continue
        if mark in ("I", "E", "L", "M") and found and found[-1][1] == i and found[-1][2] == label:
            found[-1] = (found[-1][0], i + 1, label)
        else:
            found.append((i, i + 1, label))
    return found


def _offsets(values: Mapping[str, Any]) -> tuple[str, list[tuple[Span, str]]]:
    text, entities = values.get("text"), values.get("entities")
    if isinstance(entities, str):  # a cell of a CSV
        try:
            entities = json.loads(entities)
        except (ValueError, RecursionError):
            entities = None
    if not isinstance(text, str) or not isinstance(entities, list):
        raise PlaygroundError("it has no text with a list of entities.")
    gold = []
    for entity in entities:
        try:
            start, end, label = entity["start"], entity["end"], entity["label"]
        except (KeyError, TypeError, IndexError):
            raise PlaygroundError(
                f"an entity is {shorten(entity)}; it has start, end and label."
            ) from None
        numbers = isinstance(start, int) and isinstance(end, int) and isinstance(label, str)
        if not numbers or not 0 <= start < end <= len(text):
            raise PlaygroundError(
                f"the entity from {shorten(start)} to {shorten(end)} does not lie in its text of "
                f"{len(text):,} characters."
            )
        gold.append((Span(start, end), label))
    return text, gold


def _bio(tokens: Any, tags: Any, names: Sequence[str]) -> tuple[str, list[tuple[Span, str]]]:
    if not isinstance(tokens, list) or not isinstance(tags, list) or len(tokens) != len(tags):
        raise PlaygroundError("it does not have as many tags as tokens.")
    spelled = []
    for tag in tags:
        if isinstance(tag, int) and 0 <= tag < len(names):
            tag = names[tag]
        if not isinstance(tag, str):
            raise PlaygroundError(f"the tag {shorten(tag)} is no BIO tag such as B-person.")
        spelled.append(tag)
    starts, text = [], ""
    for token in map(str, tokens):
        text += " " * bool(text)
        starts.append(len(text))
        text += token
    return text, [
        (Span(starts[first], starts[last - 1] + len(str(tokens[last - 1]))), label)
        for first, last, label in bio_spans(spelled)
    ]


def majority_type(rows: Iterable[LabelledText]) -> str:
    """Return the commonest type of gold entities."""
    counted = Counter(label for row in rows for _, label in row.entities)
    if not counted:
        raise PlaygroundError(
            "The texts have no entity of the prompt's types; name theirs with --types THEIRS=OURS."
        )
    return max(sorted(counted), key=lambda label: counted[label])
