"""One window of rows, scored and laid out: the same here, on the page and on a worker of a cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, Protocol

from playground.engine import Scores
from playground.errors import shorten
from playground.prompts import Template
from playground.settings import Settings
from playground.tasks import writing
from playground.tasks.reading import Table
from playground.tasks.text_rows import Record, free_name

Progress = Callable[[int], None]


class Marked(Protocol):
    """What rows are made with; ``fingerprint`` tells apart what must not stand in one file."""

    @property
    def settings(self) -> Settings: ...
    def fingerprint(self) -> dict[str, Any]: ...


class Scorer(Marked, Protocol):
    """What scores rows: its template names the texts that a row must have, its labels the columns."""

    @property
    def template(self) -> Template: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    def score(self, rows: list[dict[str, Any]], progress: Callable[[int, int], None]) -> Scores: ...


@dataclass(frozen=True)
class Layout:
    """The columns of the output: those of the input, then ours, by what they hold.

    ``mapping`` names the input column of each slot of the template.
    """

    given: tuple[str, ...]
    added: dict[str, str]
    format: str
    mapping: Mapping[str, str]

    @classmethod
    def of(
        cls,
        table: Table,
        wanted: Iterable[str],
        format: str,
        mapping: Mapping[str, str],
        say: Callable[[str], None],
    ) -> Layout:
        """Return the layout for ``table`` and the columns wanted; one whose name is taken is told."""
        added: dict[str, str] = {}
        for name in wanted:
            added[name] = free_name(name, [*table.columns, *added.values()])
            if added[name] != name:
                say(f'The input has a column "{name}"; the new one is "{added[name]}".')
        return cls(table.columns, added, format, mapping)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, in the order of the output."""
        return (*self.given, *self.added.values())

    def header(self) -> bytes:
        """Return the first line of the output."""
        return writing.header(self.columns, self.format)


@dataclass(frozen=True)
class Window:
    """Scored rows: their bytes in the output, and those that vouch for the input they are of.

    ``lost`` are fields that the output cannot hold. ``given`` are the input rows and ``found`` what was
    added to each, where the caller has a use for them.
    """

    rows: int
    failed: int
    data: bytes
    digestible: bytes
    lost: tuple[str, ...] = ()
    given: tuple[dict[str, Any], ...] = ()
    found: tuple[dict[str, Any], ...] = ()

    @classmethod
    def of(
        cls,
        layout: Layout,
        records: Sequence[Record],
        rows: Sequence[Mapping[str, Any]],
        *,
        failed: int,
        given: Sequence[dict[str, Any]] = (),
        found: Sequence[dict[str, Any]] = (),
    ) -> Window:
        """Return the window of ``records`` whose rows in the output are ``rows``."""
        lost: dict[str, None] = {}
        if layout.format != "jsonl":
            lost = {key: None for r in records for key in r.values if key not in layout.given}
        return cls(
            rows=len(records),
            failed=failed,
            data=writing.encode(rows, layout.columns, layout.format),
            digestible=b"".join(map(digestible, records)),
            lost=tuple(lost),
            given=tuple(given),
            found=tuple(found),
        )


class InTurn:
    """Makes windows in this process, ``rows_at_once`` rows each: what a run over a table takes as engine."""

    rows_at_once: ClassVar[int]

    @property
    def mark(self) -> dict[str, Any]:
        """What must be the same for rows of two runs to stand in one file: nothing more."""
        return {}

    def window(self, layout: Layout, records: list[Record]) -> Window:
        """Return some rows laid out, what was found of each beside it."""
        raise NotImplementedError

    def windows(
        self,
        scorer: Any,
        layout: Layout,
        table: Table,
        records: Iterator[Record],
        *,
        start: int,
        stop: int | None,
    ) -> Iterator[Window]:
        """Yield the rows window by window, in the order of the table."""
        for own in cut(records, self.rows_at_once):
            yield self.window(layout, own)


def score_columns(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that a scored row gets."""
    return ("prediction", *(f"p_{label}" for label in labels), "tokens", "dropped", "error")


def cut(records: Iterator[Record], rows: int) -> Iterator[list[Record]]:
    """Yield the records in windows of ``rows``, the last one shorter."""
    while window := list(islice(records, rows)):
        yield window


def score_window(
    scorer: Scorer, layout: Layout, records: list[Record], progress: Progress | None = None
) -> Window:
    """Return the rows scored and laid out; one that cannot be scored has its reason in ``error``."""
    told = progress or (lambda rows: None)
    problems: dict[int, str] = {}
    texts: list[dict[str, Any]] = []
    places: list[int] = []
    for i, record in enumerate(records):
        absent = [column for column in layout.mapping.values() if column not in record.values]
        if record.error is not None:
            problems[i] = record.error
        elif absent:
            problems[i] = f"This row has no {shorten(absent[0])}."
        else:
            places.append(i)
            texts.append({slot: record.values[c] for slot, c in layout.mapping.items()})
    scores = scorer.score(texts, lambda rows, _: told(rows))
    problems |= {places[k]: error for k, error in scores.errors.items()}
    predictions, probabilities = scores.predictions, scores.probabilities.tolist()
    names = [f"p_{label}" for label in scores.labels]
    rows: list[dict[str, Any]] = []
    additions: list[dict[str, Any]] = []
    position = {place: k for k, place in enumerate(places)}
    for i, record in enumerate(records):
        found: dict[str, Any] = dict.fromkeys(layout.added)
        found |= {"tokens": 0, "dropped": 0, "error": problems.get(i, "")}
        if (k := position.get(i)) is not None:
            found |= {"tokens": int(scores.tokens[k]), "dropped": int(scores.dropped[k])}
            if i not in problems:
                found["prediction"] = predictions[k]
                # six digits: more would only show the rounding of fp32
                found |= zip(names, (float(f"{p:.6g}") for p in probabilities[k]), strict=True)
        named = {layout.added[name]: value for name, value in found.items()}
        rows.append(record.values | named)
        additions.append(found)
    given = [record.values for record in records]
    return Window.of(layout, records, rows, failed=len(problems), given=given, found=additions)


def digestible(record: Record) -> bytes:
    """Return bytes that are the same for the same row."""
    return json.dumps([record.values, record.error], default=str).encode() + b"\n"
