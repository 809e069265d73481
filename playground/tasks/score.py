"""Scoring a table: each row keeps its place and its columns, and gains a prediction.

A run that was stopped, even by a kill, continues where it was: see :mod:`playground.tasks.partial`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import torch

import playground
from playground.engine import Prompting, Scores
from playground.errors import PlaygroundError
from playground.prompts import AnyPrompt, Template
from playground.settings import Settings
from playground.tasks import writing
from playground.tasks.partial import Journal, PartialFile
from playground.tasks.reading import Record, Table, column_map
from playground.tasks.windows import (
    Layout,
    Marked,
    Progress,
    Scorer,
    Window,
    cut,
    digestible,
    score_columns,
    score_window,
)

Notify = Callable[[str], None]


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


class Engine(Protocol):
    """What turns rows into windows, here or elsewhere; ``mark`` tells apart engines whose numbers differ."""

    @property
    def mark(self) -> dict[str, Any]: ...
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
        """Yield the windows of the rows from ``start`` to ``stop``, in the order of the table.

        ``records`` are those rows, for an engine that does not read the table itself.
        """
        ...


@dataclass(frozen=True)
class PromptScorer:
    """Scores rows with a prompt."""

    prompting: Prompting
    prompt: AnyPrompt

    def __post_init__(self) -> None:
        self.prompting.classify(
            [], self.prompt
        )  # a label word that is unknown is told before a row

    @property
    def template(self) -> Template:
        return self.prompt.template

    @property
    def labels(self) -> tuple[str, ...]:
        return self.prompt.labels

    @property
    def settings(self) -> Settings:
        return self.prompting.settings

    def fingerprint(self) -> dict[str, Any]:
        backbone = self.prompting.backbone
        return {
            "prompt": self.prompt.bare().to_json(),
            "model": backbone.mark,
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
    engine: Engine | None = None,
    notify: Notify | None = None,
    progress: Progress | None = None,
) -> ScoreSummary:
    """Score each row of ``table`` and write it, with its own columns, to ``out``.

    out: a file name in .csv, .tsv or .jsonl, or a binary stream with its ``format``. A file is
    resumable: a run stopped at any moment is continued by the same call and ends in the same bytes,
    unless ``fresh`` is asked for, or the rows done, the scorer or an option are others.
    columns: template slot to input column, slots by their own name where left out. The columns added
    are prediction, p_<label> for each label, tokens, dropped and error. ``engine`` scores the windows
    elsewhere than in this process, such as on a Ray cluster. ``notify`` is told a sentence at a time,
    ``progress`` the rows done. Memory does not grow with the rows.

    Raises PlaygroundError for what no row can be scored with, or where the output cannot be written.
    """
    say = notify or (lambda sentence: None)
    mapping = column_map(scorer.template, table.columns, columns=columns)
    kind = format or ("csv" if not isinstance(out, str | Path) else writing.output_format(out))
    layout = Layout.of(table, score_columns(scorer.labels), kind, mapping, say)
    return run_windows(
        scorer, engine or _Here(progress), layout, table, out,
        limit=limit, fresh=fresh, notify=notify, progress=progress,
    )  # fmt: skip


def run_windows(
    source: Marked,
    engine: Engine,
    layout: Layout,
    table: Table,
    out: str | Path | BinaryIO,
    *,
    limit: int | None = None,
    fresh: bool = False,
    notify: Notify | None = None,
    progress: Progress | None = None,
) -> ScoreSummary:
    """Write what ``engine`` makes of the rows of ``table`` to ``out``, resumable as ever.

    ``source`` tells apart what must not stand in one file. The rest is as :func:`score_table` says.
    """
    say = notify or (lambda sentence: None)
    run = _Run(source, table, layout, limit, progress, engine)
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
    given: tuple[dict[str, Any], ...]
    found: tuple[dict[str, Any], ...]


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
    layout = Layout.of(table, score_columns(scorer.labels), format, mapping, lambda sentence: None)
    data = layout.header()
    done = failed = 0
    for records in cut(islice(table.records(), limit), rows_at_once):
        window = score_window(scorer, layout, records)
        data += window.data
        done, failed = done + window.rows, failed + window.failed
        yield Scored(done, failed, data, window.given, window.found)
        data = b""


class _Run:
    """One run over one table."""

    def __init__(
        self,
        source: Marked,
        table: Table,
        layout: Layout,
        limit: int | None,
        progress: Progress | None,
        engine: Engine,
    ) -> None:
        self.source, self.table, self.layout, self.limit = source, table, layout, limit
        self.progress = progress or (lambda rows: None)
        self.engine = engine
        self.lost: dict[str, None] = {}

    def to_stream(self, stream: BinaryIO) -> ScoreSummary:
        start = time.perf_counter()
        _put(stream, self.layout.header())
        rows = failed = 0
        for window in self._windows(islice(self.table.records(), self.limit), 0):
            _put(stream, window.data)
            rows, failed = rows + window.rows, failed + window.failed
        return ScoreSummary(rows, failed, 0, time.perf_counter() - start, tuple(self.lost))

    def to_file(self, partial: PartialFile, *, fresh: bool, say: Notify) -> ScoreSummary:
        start = time.perf_counter()
        journal, digest, records = self._resume(partial, fresh=fresh, say=say)
        resumed = journal.rows
        partial.begin(journal)
        if not resumed:
            partial.append(self.layout.header(), journal)
        self.progress(resumed)
        for window in self._windows(records, resumed):
            digest.update(window.digestible)
            journal = Journal(
                journal.fingerprint,
                rows=journal.rows + window.rows,
                digest=digest.hexdigest(),
                failed=journal.failed + window.failed,
            )
            partial.append(window.data, journal)
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
                digest.update(digestible(record))
            if digest.hexdigest() == old.digest:
                say(f"Continuing {partial.shown}: {old.rows:,} rows were done before.")
                return old, digest, records
            say(f"Starting anew: the input is not that of the stopped run ({old.rows:,} rows).")
        return anew, hashlib.sha256(), islice(self.table.records(), self.limit)

    def _fingerprint(self) -> str:
        """Return what must be the same for rows of two runs to stand in one file."""
        settings = self.source.settings
        what = {
            "versions": [playground.__version__, torch.__version__],
            **self.source.fingerprint(),
            **self.engine.mark,
            "windows": [settings.window_rows, settings.batch_tokens, settings.max_text_chars],
            "columns": [self.layout.mapping, self.layout.columns, self.layout.format],
            "limit": self.limit,
        }
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    def _windows(self, records: Iterator[Record], done: int) -> Iterator[Window]:
        """Yield the records in windows, scored; ``done`` rows stand before them."""
        for window in self.engine.windows(
            self.source, self.layout, self.table, records, start=done, stop=self.limit
        ):
            done += window.rows
            self.lost |= dict.fromkeys(window.lost)
            self.progress(done)
            yield window


@dataclass(frozen=True)
class _Here:
    """Scores the windows in this process."""

    progress: Progress | None
    mark: dict[str, Any] = field(default_factory=dict)

    def windows(
        self,
        scorer: Scorer,
        layout: Layout,
        table: Table,
        records: Iterator[Record],
        *,
        start: int,
        stop: int | None,
    ) -> Iterator[Window]:
        tell = self.progress or (lambda rows: None)
        done = start
        for window in cut(records, scorer.settings.window_rows):
            yield score_window(
                scorer, layout, window, lambda rows, before=done: tell(before + rows)
            )
            done += len(window)


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
