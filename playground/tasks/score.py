"""Scoring a table: each row keeps its place and its columns, and gains a prediction.

A run that was stopped, even by a kill, continues where it was: see :mod:`playground.tasks.partial`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import torch

import playground
from playground.engine import Prompting, Scores
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt, Template
from playground.settings import Settings
from playground.tasks import writing
from playground.tasks.partial import Journal, PartialFile
from playground.tasks.reading import Record, Table, column_map, free_name

Notify = Callable[[str], None]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class ScoreSummary:
    """How a run went: rows in all, rows with an error, rows that an earlier run had done, seconds.

    ``lost_fields`` are fields of later rows that a CSV or TSV with the first row's columns cannot hold.
    """

    rows: int
    failed: int
    resumed: int
    seconds: float
    lost_fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Layout:
    """The columns of the output: those of the input, then ours, by what they hold."""

    given: tuple[str, ...]
    added: dict[str, str]
    format: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.given, *self.added.values())


@dataclass
class _Window:
    """Scored rows, ready to be written."""

    records: list[Record]
    rows: list[dict[str, Any]]
    found: list[dict[str, Any]]
    failed: int


class Scorer(Protocol):
    """What scores rows: its template names the texts that a row must have, its labels the columns.

    ``fingerprint`` tells apart what must not stand in one file.
    """

    @property
    def template(self) -> Template: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def settings(self) -> Settings: ...
    def fingerprint(self) -> dict[str, Any]: ...
    def score(self, rows: list[dict[str, Any]], progress: Callable[[int, int], None]) -> Scores: ...


@dataclass(frozen=True)
class PromptScorer:
    """Scores rows with a prompt."""

    prompting: Prompting
    prompt: Prompt

    def __post_init__(self) -> None:
        self.prompting.classify(
            [], self.prompt
        )  # a label word that is unknown is told before a row

    @property
    def template(self) -> Template:
        return self.prompt.template

    @property
    def labels(self) -> tuple[str, ...]:
        return self.prompt.verbalizer.names

    @property
    def settings(self) -> Settings:
        return self.prompting.settings

    def fingerprint(self) -> dict[str, Any]:
        backbone = self.prompting.backbone
        return {
            "template": self.prompt.template.source,
            "labels": self.prompt.verbalizer.to_json(),
            "scoring": self.prompt.scoring.to_json(),
            "model": [backbone.name, backbone.revision, str(backbone.dtype), backbone.device.type],
        }

    def score(self, rows: list[dict[str, Any]], progress: Callable[[int, int], None]) -> Scores:
        return self.prompting.classify(rows, self.prompt, words=False, progress=progress)


def score_table(
    scorer: Scorer,
    table: Table,
    out: str | Path | BinaryIO,
    *,
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
    limit: int | None = None,
    fresh: bool = False,
    notify: Notify | None = None,
    progress: Progress | None = None,
) -> ScoreSummary:
    """Score each row of ``table`` and write it, with its own columns, to ``out``.

    out: a file name in .csv, .tsv or .jsonl, or a binary stream with its ``format``. A file is
    resumable: a run stopped at any moment is continued by the same call and ends in the same bytes,
    unless ``fresh`` is asked for, or the rows done, the scorer or an option are others.
    columns: template slot to input column, slots by their own name where left out. The columns added
    are prediction, p_<label> for each label, tokens, dropped and error. ``notify`` is told a sentence
    at a time, ``progress`` the rows done. Memory does not grow with the rows.

    Raises PlaygroundError for what no row can be scored with, or where the output cannot be written.
    """
    say = notify or (lambda sentence: None)
    mapping = column_map(scorer.template, table.columns, columns=columns)
    kind = format or ("csv" if not isinstance(out, str | Path) else writing.output_format(out))
    layout = _layout(table, scorer.labels, kind, say)
    run = _Run(scorer, table, mapping, layout, limit, progress)
    if not isinstance(out, str | Path):
        return run.to_stream(out)
    partial = PartialFile(out)
    try:
        return run.to_file(partial, fresh=fresh, say=say)
    except KeyboardInterrupt:
        say(f"Stopped. The same command continues {partial.shown} where it was.")
        raise
    finally:
        partial.close()


@dataclass(frozen=True)
class Scored:
    """Rows as they come: how many are done, how many of them failed, and their bytes in the output.

    ``given`` are the input rows of this part, and ``found`` what was added to each: prediction,
    p_<label>, tokens, dropped and error, whatever their columns are called.
    """

    done: int
    failed: int
    data: bytes
    given: list[dict[str, Any]]
    found: list[dict[str, Any]]


def score_parts(
    scorer: Scorer,
    table: Table,
    *,
    columns: Mapping[str, str] | None = None,
    format: str = "csv",
    limit: int | None = None,
    rows_at_once: int = 64,
) -> Iterator[Scored]:
    """Yield the scored rows of ``table`` part by part, the header line with the first.

    What :func:`score_table` writes, for a caller that shows it grow and may stop at any part. Batches
    are made of the rows of a part, so the sixth digit may differ from a run with larger windows.
    """
    mapping = column_map(scorer.template, table.columns, columns=columns)
    layout = _layout(table, scorer.labels, format, lambda sentence: None)
    run = _Run(scorer, table, mapping, layout, limit, None, rows_at_once)
    data = writing.header(layout.columns, format)
    done = failed = 0
    for window in run.windows(islice(table.records(), limit), 0):
        data += writing.encode(window.rows, layout.columns, format)
        done, failed = done + len(window.rows), failed + window.failed
        given = [record.values for record in window.records]
        yield Scored(done, failed, data, given, window.found)
        data = b""


class _Run:
    """One run over one table."""

    def __init__(
        self,
        scorer: Scorer,
        table: Table,
        mapping: Mapping[str, str],
        layout: _Layout,
        limit: int | None,
        progress: Progress | None,
        rows_at_once: int | None = None,
    ) -> None:
        self.rows_at_once = rows_at_once or scorer.settings.window_rows
        self.scorer, self.table, self.mapping = scorer, table, mapping
        self.layout, self.limit = layout, limit
        self.progress = progress or (lambda rows: None)
        self.lost: dict[str, None] = {}

    def to_stream(self, stream: BinaryIO) -> ScoreSummary:
        start = time.perf_counter()
        _put(stream, writing.header(self.layout.columns, self.layout.format))
        rows = failed = 0
        for window in self.windows(islice(self.table.records(), self.limit), 0):
            _put(stream, writing.encode(window.rows, self.layout.columns, self.layout.format))
            rows, failed = rows + len(window.rows), failed + window.failed
        return ScoreSummary(rows, failed, 0, time.perf_counter() - start, tuple(self.lost))

    def to_file(self, partial: PartialFile, *, fresh: bool, say: Notify) -> ScoreSummary:
        start = time.perf_counter()
        journal, digest, records = self._resume(partial, fresh=fresh, say=say)
        resumed = journal.rows
        partial.begin(journal)
        if not resumed:
            partial.append(writing.header(self.layout.columns, self.layout.format), journal)
        self.progress(resumed)
        for window in self.windows(records, resumed):
            for record in window.records:
                digest.update(_digestible(record))
            journal = Journal(
                journal.fingerprint,
                rows=journal.rows + len(window.rows),
                digest=digest.hexdigest(),
                failed=journal.failed + window.failed,
            )
            data = writing.encode(window.rows, self.layout.columns, self.layout.format)
            partial.append(data, journal)
        partial.finish()
        seconds = time.perf_counter() - start
        return ScoreSummary(journal.rows, journal.failed, resumed, seconds, tuple(self.lost))

    def _resume(self, partial: PartialFile, *, fresh: bool, say: Notify):
        """Return the journal to start from, the hash of the rows it counts, and the rows after them."""
        mark = self._fingerprint()
        anew = Journal(mark)
        old = partial.left_over()
        if old is not None and fresh:
            say(f"Starting anew: the {old.rows:,} rows of the stopped run are dropped.")
        elif old is not None and old.fingerprint != mark:
            say(
                f"Starting anew: the {old.rows:,} rows of the stopped run are of another prompt, "
                "model or option."
            )
        elif old is not None:
            digest = hashlib.sha256()
            records = islice(self.table.records(), self.limit)
            for record in islice(records, old.rows):
                digest.update(_digestible(record))
            if digest.hexdigest() == old.digest:
                say(f"Continuing {partial.shown}: {old.rows:,} rows were done before.")
                return old, digest, records
            say(f"Starting anew: the input is not that of the stopped run ({old.rows:,} rows).")
        return anew, hashlib.sha256(), islice(self.table.records(), self.limit)

    def _fingerprint(self) -> str:
        """Return what must be the same for rows of two runs to stand in one file."""
        settings = self.scorer.settings
        what = {
            "versions": [playground.__version__, torch.__version__],
            **self.scorer.fingerprint(),
            "windows": [settings.window_rows, settings.batch_tokens, settings.max_text_chars],
            "columns": [self.mapping, self.layout.columns, self.layout.format],
            "limit": self.limit,
        }
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    def windows(self, records: Iterator[Record], done: int) -> Iterator[_Window]:
        """Yield the records in windows, scored; ``done`` rows stand before them."""
        while window := list(islice(records, self.rows_at_once)):
            yield self._score(window, done)
            done += len(window)
            self.progress(done)

    def _score(self, window: list[Record], done: int) -> _Window:
        problems: dict[int, str] = {}
        texts: list[dict[str, Any]] = []
        places: list[int] = []
        for i, record in enumerate(window):
            absent = [column for column in self.mapping.values() if column not in record.values]
            if record.error is not None:
                problems[i] = record.error
            elif absent:
                problems[i] = f"This row has no {shorten(absent[0])}."
            else:
                places.append(i)
                texts.append({slot: record.values[c] for slot, c in self.mapping.items()})
        scores = self.scorer.score(texts, lambda rows, _: self.progress(done + rows))
        problems |= {places[k]: error for k, error in scores.errors.items()}
        predictions, probabilities = scores.predictions, scores.probabilities.tolist()
        names = [f"p_{label}" for label in scores.labels]
        rows: list[dict[str, Any]] = []
        additions: list[dict[str, Any]] = []
        position = {place: k for k, place in enumerate(places)}
        for i, record in enumerate(window):
            found: dict[str, Any] = dict.fromkeys(self.layout.added)
            found |= {"tokens": 0, "dropped": 0, "error": problems.get(i, "")}
            if (k := position.get(i)) is not None:
                found |= {"tokens": int(scores.tokens[k]), "dropped": int(scores.dropped[k])}
                if i not in problems:
                    found["prediction"] = predictions[k]
                    # six digits: more would only show the rounding of fp32
                    found |= zip(names, (float(f"{p:.6g}") for p in probabilities[k]), strict=True)
            row = dict(record.values)
            if self.layout.format != "jsonl":
                self.lost |= dict.fromkeys(key for key in row if key not in self.layout.given)
            row |= {self.layout.added[name]: value for name, value in found.items()}
            rows.append(row)
            additions.append(found)
        return _Window(window, rows, additions, len(problems))


def _layout(table: Table, labels: tuple[str, ...], format: str, say: Notify) -> _Layout:
    wanted = ["prediction", *(f"p_{label}" for label in labels)]
    wanted += ["tokens", "dropped", "error"]
    added: dict[str, str] = {}
    for name in wanted:
        added[name] = free_name(name, [*table.columns, *added.values()])
        if added[name] != name:
            say(f'The input has a column "{name}"; the new one is "{added[name]}".')
    return _Layout(table.columns, added, format)


def _put(stream: BinaryIO, data: bytes) -> None:
    try:
        stream.write(data)
        stream.flush()
    except BrokenPipeError:  # the reader has seen enough; no error of the run
        raise
    except OSError as error:
        raise PlaygroundError(
            f"The output cannot be written ({error.strerror}); choose another place."
        ) from None


def _digestible(record: Record) -> bytes:
    return json.dumps([record.values, record.error], default=str).encode() + b"\n"
