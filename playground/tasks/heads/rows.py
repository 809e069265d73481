"""Labelled rows for the four heads, from files and hub data sets, and a dev set cut from them.

What a row holds, by kind: "classify" one or two texts and a label, "regress" one or two texts and a
number, "tag" words and a tag for each, "answer" a question, a context and its answers.
"""

from __future__ import annotations

import json
import math
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from playground.errors import PlaygroundError, shorten
from playground.tasks.reading import Table, format_of, read_dataset, read_file

KINDS = ("classify", "regress", "tag", "answer")
GOLD = {"classify": "label", "regress": "score", "tag": "tags", "answer": "answer"}
_TEXTS = {"text": ("text", "sentence", "sentence1", "text_a"), "text_b": ("text_b", "sentence2")}
USUAL: dict[str, dict[str, tuple[str, ...]]] = {
    "classify": {**_TEXTS, "label": ("label", "labels")},
    "regress": {**_TEXTS, "score": ("score", "label", "similarity_score")},
    "tag": {"tokens": ("tokens", "words"), "tags": ("tags", "upos", "pos_tags", "ner_tags")},
    "answer": {
        "question": ("question",),
        "context": ("context",),
        "answer": ("answer", "answers"),
        "start": ("start", "answer_start"),
    },
}  # what each column is usually called
_OPTIONAL = ("text_b", "start")
_SHOWN = 5
_MOST_CHARS = 20_000

Answers = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Examples:
    """N labelled rows of one kind.

    inputs: of each row its texts (classify, regress), its words (tag), or (question, context).
    golds: its label, its number, its tags, or its answers, each (text, start in the context) and none
    where the context does not answer. faulty: rows that could not be used, and ``problems`` what was
    wrong with the first of them. sources: where the rows came from.
    """

    kind: str
    inputs: list[tuple[str, ...]]
    golds: list[Any]
    faulty: int = 0
    problems: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    def columns(self) -> tuple[list, list]:
        """Return the inputs and the golds, (N,) each."""
        return self.inputs, self.golds

    def take(self, places: Sequence[int]) -> Examples:
        """Return the rows at these places."""
        return replace(
            self,
            inputs=[self.inputs[i] for i in places],
            golds=[self.golds[i] for i in places],
        )

    def describe(self) -> str:
        """Return what was read and what was left out, as one sentence."""
        rows = "1 row" if len(self) == 1 else f"{len(self):,} rows"
        if not self.faulty:
            return f"{rows}."
        faulty = "1 faulty row" if self.faulty == 1 else f"{self.faulty:,} faulty rows"
        return f"{rows}; {faulty} left out ({'; '.join(self.problems)})."


def read_examples(
    kind: str,
    sources: Sequence[str],
    *,
    split: str = "train",
    config: str | None = None,
    columns: Mapping[str, str] | None = None,
    label_names: Sequence[str] | None = None,
    limit: int | None = None,
) -> Examples:
    """Return the rows of all ``sources``, in order.

    A source is a CSV, TSV, JSON Lines or parquet file, or a hub data set, of which ``split`` is taken.
    columns: ours to the input's own names. label_names: what the numbers 0, 1, ... of labels or tags
    are called, if the data set does not carry their names. limit: at most that many of each source.
    A cell of a CSV holds words as a JSON list or with spaces between them.

    Raises PlaygroundError for a source that cannot be read, lacks a column or has no usable row.
    """
    if kind not in KINDS:
        raise PlaygroundError(f"The kind {shorten(kind)} is unknown; choose {', '.join(KINDS)}.")
    inputs: list[tuple[str, ...]] = []
    golds: list[Any] = []
    problems: list[str] = []
    faulty = 0
    for source in sources:
        table = open_source(source, split, config)
        mapping = column_map(kind, table, columns or {})
        names = tuple(label_names or table.label_names.get(mapping[GOLD[kind]], ()))
        usable, fault = 0, ""
        for number, record in enumerate(table.records(), start=1):
            if limit is not None and usable >= limit:
                break
            try:
                if record.error is not None:
                    raise PlaygroundError(record.error)
                values = {name: record.values.get(column) for name, column in mapping.items()}
                given = row_inputs(kind, values)
                golds.append(_READ[kind](given, values, names))
            except PlaygroundError as error:
                faulty += 1
                fault = fault or str(error)
                if len(problems) < _SHOWN:
                    problems.append(f"{table.name}, row {number}: {error}")
                continue
            inputs.append(given)
            usable += 1
        if not usable:
            raise PlaygroundError(f"{table.name} has no row that can be used. {fault}".strip())
    if not inputs:
        raise PlaygroundError("There is no row; name a file or a data set.")
    if len({len(given) for given in inputs}) > 1 and kind in ("classify", "regress"):
        raise PlaygroundError(
            "Some sources have one text a row and some two; give the same to all."
        )
    return Examples(kind, inputs, golds, faulty, tuple(problems), tuple(sources))


def split_off(rows: Examples, share: float, *, seed: int = 0) -> tuple[Examples, Examples]:
    """Return (train, dev) with ``share`` of the rows drawn for dev: of labels, that share of each.

    Rows of the same input, or of the same context, stay together, so that none is seen twice.
    """
    if not 0 < share < 1:
        raise PlaygroundError(f"The share of the dev set is {share}; it must lie between 0 and 1.")
    places: dict[Any, list[int]] = defaultdict(list)
    for i, given in enumerate(rows.inputs):
        places[given[1] if rows.kind == "answer" else given].append(i)
    classes: dict[Any, list[list[int]]] = defaultdict(list)
    for own in places.values():
        classes[rows.golds[own[0]] if rows.kind == "classify" else None].append(own)
    draw = random.Random(seed)
    taken: set[int] = set()
    for _, groups in sorted(classes.items(), key=lambda entry: str(entry[0])):
        draw.shuffle(groups)
        wanted = share * sum(map(len, groups))
        got = 0
        for own in groups:
            if got + len(own) / 2 > wanted:
                break
            taken.update(own)
            got += len(own)
    dev = [i for i in range(len(rows)) if i in taken]
    train = [i for i in range(len(rows)) if i not in taken]
    if not dev or not train:
        raise PlaygroundError(
            f"{len(rows):,} rows cannot be parted with a share of {share:g} for the dev set; give more "
            "rows or another share."
        )
    return rows.take(train), rows.take(dev)


def open_source(source: str, split: str, config: str | None) -> Table:
    """Return the table of a file, or of the split of a hub data set."""
    if Path(source).expanduser().is_file() or format_of(source) is not None:
        return read_file(source)
    return read_dataset(source, split=split, config=config)


def column_map(
    kind: str, table: Table, columns: Mapping[str, str], *, golds: bool = True
) -> dict[str, str]:
    """Return the input's column of each of ours; without ``golds``, of what a model reads.

    Raises PlaygroundError, with the columns that are there, for one that is not.
    """
    usual = {k: v for k, v in USUAL[kind].items() if golds or k not in (GOLD[kind], "start")}
    unknown = [name for name in columns if name not in usual]
    if unknown:
        raise PlaygroundError(f"A row has no {shorten(unknown[0])}; it has {', '.join(usual)}.")
    found: dict[str, str] = {}
    for name, candidates in usual.items():
        asked = (columns[name],) if name in columns else candidates
        known = [c for c in asked if c in table.columns and c not in found.values()]
        if known:
            found[name] = known[0]
        elif name in columns or name not in _OPTIONAL:
            raise PlaygroundError(
                f"{table.name} has no column {shorten(' or '.join(asked))}; its columns are "
                f"{', '.join(shorten(c) for c in table.columns[:20])}. Name the one that holds the "
                f"{name} with --columns {name}=COLUMN."
            )
    return found


def row_inputs(kind: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a model reads of a row; raises PlaygroundError for what it cannot read."""
    if kind == "tag":
        return _words(values.get("tokens"), "tokens")
    names = ("question", "context") if kind == "answer" else ("text", "text_b")
    return tuple(_text(values[name], name) for name in names if name in values)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        empty = value is None or isinstance(value, str)
        shown = "empty" if empty else shorten(value)
        raise PlaygroundError(f"The {name} is {shown}; it must be text.")
    if len(value) > _MOST_CHARS:
        raise PlaygroundError(
            f"The {name} has {len(value):,} characters; the most is {_MOST_CHARS:,}."
        )
    return value


def _words(value: Any, name: str) -> tuple[str, ...]:
    if isinstance(value, str):  # a cell of a CSV
        try:
            value = json.loads(value) if value.lstrip().startswith("[") else value.split()
        except (ValueError, RecursionError):
            value = value.split()
    if not isinstance(value, list | tuple) or not value:
        raise PlaygroundError(f"The {name} are {shorten(value)}; they must be a list of words.")
    words = tuple(str(word) for word in value)
    if any(not word.strip() for word in words):
        raise PlaygroundError(f"The {name} hold an empty word; leave it out.")
    if (chars := sum(map(len, words))) > _MOST_CHARS:
        raise PlaygroundError(f"The {name} have {chars:,} characters; the most is {_MOST_CHARS:,}.")
    return words


def _label(_: Any, values: Mapping[str, Any], names: Sequence[str]) -> str:
    return _named(values["label"], names, "label")


def _named(value: Any, names: Sequence[str], what: str) -> str:
    text = "" if value is None else str(value).strip()
    if not text or text == "-1":  # how data sets write that there is none
        raise PlaygroundError(f"The {what} is missing.")
    if names and text.isascii() and text.isdigit():
        if int(text) >= len(names):
            raise PlaygroundError(
                f"The {what} {text} has no name; there are names for 0 to {len(names) - 1}."
            )
        return names[int(text)]
    return text


def _score(_: Any, values: Mapping[str, Any], __: Sequence[str]) -> float:
    try:
        number = float(values["score"])
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise PlaygroundError(
            f"The score {shorten(values['score'])} is no number; give one such as 3.5."
        )
    return number


def _tags(words: tuple[str, ...], values: Mapping[str, Any], names: Sequence[str]) -> tuple:
    tags = tuple(_named(tag, names, "tag") for tag in _words(values["tags"], "tags"))
    if len(tags) != len(words):
        raise PlaygroundError(
            f"There are {len(words)} tokens and {len(tags)} tags; each token has one tag."
        )
    return tags


def _answers(given: tuple[str, ...], values: Mapping[str, Any], _: Sequence[str]) -> Answers:
    context, answer, start = given[1], values["answer"], values.get("start")
    if isinstance(answer, Mapping):  # SQuAD on the hub: lists of texts and of starts
        texts, starts = answer.get("text"), answer.get("answer_start")
        starts = [None] * len(texts or ()) if starts is None else starts
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise PlaygroundError(
                f"The answer is {shorten(answer)}; it must be text, or lists of text and answer_start."
            )
    elif answer in (None, ""):
        return ()
    else:
        texts, starts = [answer], [start]
    return tuple(_answer(text, at, context) for text, at in zip(texts, starts, strict=True))


def _answer(text: Any, start: Any, context: str) -> tuple[str, int]:
    if not isinstance(text, str) or not text.strip():
        raise PlaygroundError(f"The answer is {shorten(text)}; it must be text.")
    if start in (None, ""):
        if (at := context.find(text)) < 0:
            raise PlaygroundError(f"The answer {shorten(text)} is not in its context.")
        return text, at
    try:
        at = int(start)
    except (TypeError, ValueError):
        raise PlaygroundError(f"The start {shorten(start)} is no whole number.") from None
    if at < 0 or context[at : at + len(text)] != text:
        raise PlaygroundError(
            f"The answer {shorten(text)} does not stand at character {at} of its context."
        )
    return text, at


_READ: dict[str, Callable[[tuple[str, ...], Mapping[str, Any], Sequence[str]], Any]] = {
    "classify": _label,
    "regress": _score,
    "tag": _tags,
    "answer": _answers,
}
