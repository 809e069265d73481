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
from typing import Any, BinaryIO

import torch

import playground
from playground.engine import Prompting
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt
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
    failed: int


def score_table(
    prompting: Prompting,
    prompt: Prompt,
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
    unless ``fresh`` is asked for, or the rows done, the prompt, the model or an option are others.
    columns: template slot to input column, slots by their own name where left out. The columns added
    are prediction, p_<label> for each label, tokens, dropped and error. ``notify`` is told a sentence
    at a time, ``progress`` the rows done. Memory does not grow with the rows.

    Raises PlaygroundError for what no row can be scored with, or where the output cannot be written.
    """
    say = notify or (lambda sentence: None)
    mapping = column_map(prompt.template, table.columns, columns=columns)
    kind = format or ("csv" if not isinstance(out, str | Path) else writing.output_format(out))
    layout = _layout(table, prompt, kind, say)
    prompting.classify([], prompt)  # a label word that the model does not know is told before a row
    run = _Run(prompting, prompt, table, mapping, layout, limit, progress)
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


class _Run:
    """One run over one table."""

    def __init__(
        self,
        prompting: Prompting,
        prompt: Prompt,
        table: Table,
        mapping: Mapping[str, str],
        layout: _Layout,
        limit: int | None,
        progress: Progress | None,
    ) -> None:
        self.prompting, self.prompt, self.table = prompting, prompt, table
        self.mapping, self.layout, self.limit = mapping, layout, limit
        self.progress = progress or (lambda rows: None)
        self.lost: dict[str, None] = {}

    def to_stream(self, stream: BinaryIO) -> ScoreSummary:
        start = time.perf_counter()
        _put(stream, writing.header(self.layout.columns, self.layout.format))
        rows = failed = 0
        for window in self._windows(islice(self.table.records(), self.limit), 0):
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
        for window in self._windows(records, resumed):
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
        backbone, settings = self.prompting.backbone, self.prompting.settings
        what = {
            "versions": [playground.__version__, torch.__version__],
            "template": self.prompt.template.source,
            "labels": self.prompt.verbalizer.to_json(),
            "scoring": self.prompt.scoring.to_json(),
            "model": [backbone.name, backbone.revision, str(backbone.dtype), backbone.device.type],
            "windows": [settings.window_rows, settings.batch_tokens, settings.max_text_chars],
            "columns": [self.mapping, self.layout.columns, self.layout.format],
            "limit": self.limit,
        }
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    def _windows(self, records: Iterator[Record], done: int) -> Iterator[_Window]:
        """Yield the records in windows, scored; ``done`` rows stand before them."""
        while window := list(islice(records, self.prompting.settings.window_rows)):
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
        scores = self.prompting.classify(
            texts, self.prompt, words=False, progress=lambda rows, _: self.progress(done + rows)
        )
        problems |= {places[k]: error for k, error in scores.errors.items()}
        predictions, probabilities = scores.predictions, scores.probabilities.tolist()
        names = [f"p_{label}" for label in scores.labels]
        rows = []
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
        return _Window(window, rows, len(problems))


def _layout(table: Table, prompt: Prompt, format: str, say: Notify) -> _Layout:
    wanted = ["prediction", *(f"p_{label}" for label in prompt.verbalizer.names)]
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
