"""Is this prompt really better? Prompts on labelled rows, side by side, with tests of the difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from playground.engine import Prompting
from playground.engine.classifier import log_softmax
from playground.errors import PlaygroundError, shorten
from playground.prompts import AnyPrompt, Prompt
from playground.tasks.metrics import Comparison, Metrics, compare, measure, predicted
from playground.tasks.reading import Table, column_map

Progress = Callable[[int, int], None]
CALIBRATED = ("none", "contextual")
_SHOWN = 5


@dataclass(frozen=True)
class LabelledRows:
    """Rows with gold labels: texts by slot, and places (N,) in ``labels``.

    faulty counts the rows left out, and ``problems`` says what was wrong with the first of each kind.
    """

    name: str
    labels: tuple[str, ...]
    rows: list[dict[str, str]]
    gold: np.ndarray
    faulty: int = 0
    problems: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Candidate:
    """A prompt under test: its name in the tables, and how it scores."""

    name: str
    prompt: AnyPrompt


@dataclass(frozen=True)
class Result:
    """What one candidate (or an ensemble of them) gave on the rows: probabilities (N, C)."""

    name: str
    probabilities: np.ndarray
    metrics: Metrics

    @cached_property
    def found(self) -> np.ndarray:
        """The place of the best label of each row, (N,); -1 where it failed."""
        return predicted(self.probabilities)


def read_labelled(
    table: Table,
    prompt: AnyPrompt,
    *,
    columns: Mapping[str, str] | None = None,
    label_column: str = "label",
    label_names: Mapping[str, str] | None = None,
    limit: int | None = None,
) -> LabelledRows:
    """Return the rows of ``table`` whose label is one of the prompt's.

    columns: template slot to column. label_names: what the data calls a label to what the prompt calls
    it; left out, names are compared without regard to case, and numbers take the names that a hub data
    set carries. A row with another label, or one that cannot be read, is left out and counted. Raises
    PlaygroundError if a column is missing or no row is left.
    """
    mapping = column_map(prompt.template, table.columns, columns=columns)
    if label_column not in table.columns:
        shown = ", ".join(shorten(column) for column in table.columns[:20])
        raise PlaygroundError(
            f"There is no column {shorten(label_column)} for the label; the columns are {shown}."
        )
    labels = prompt.labels
    place = _places(labels, label_names or {}, tuple(table.label_names.get(label_column, ())))
    rows: list[dict[str, str]] = []
    gold: list[int] = []
    problems: dict[str, str] = {}  # the first row of each kind
    faulty = 0
    for number, record in enumerate(table.records(), start=1):
        if limit is not None and len(rows) >= limit:
            break
        try:
            if record.error is not None:
                raise PlaygroundError(record.error)
            where = place(record.values.get(label_column))
            row = prompt.template.bind({slot: record.values.get(c) for slot, c in mapping.items()})  # type: ignore[misc]
        except PlaygroundError as error:
            faulty += 1
            if len(problems) < _SHOWN:
                problems.setdefault(str(error), f"row {number}: {error}")
            continue
        rows.append(row)
        gold.append(where)
    if not rows:
        first = next(iter(problems.values()))
        raise PlaygroundError(f"{table.name} has no row that can be used. {first}")
    return LabelledRows(table.name, labels, rows, np.array(gold), faulty, tuple(problems.values()))


def _places(
    labels: Sequence[str], names: Mapping[str, str], classes: Sequence[str]
) -> Callable[[Any], int]:
    """Return what finds the place of a data set's label in ``labels``."""
    own = {label: k for k, label in enumerate(labels)}
    known = dict(own)
    for theirs, ours in names.items():
        if (where := place_of(own, ours)) is None:
            raise PlaygroundError(
                f"The prompt has no label {shorten(ours)}; it has {', '.join(labels)}."
            )
        known[theirs.strip()] = where

    def place(value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # a column of numbers with gaps is one of floats in parquet
        if not isinstance(value, str | int | float | np.number | type(None)):
            raise PlaygroundError(
                f"The label {shorten(value)} is a {type(value).__name__}; it must be a text or a number."
            )
        text = "" if value is None or value != value else str(value).strip()
        if not text:
            raise PlaygroundError("The row has no label.")
        if (where := place_of(known, text)) is not None:
            return where
        number = text.isascii() and text.isdigit() and len(text) <= len(str(len(classes)))
        if number and int(text) < len(classes):
            where = place_of(known, classes[int(text)])
        if where is not None:
            return where
        raise PlaygroundError(
            f"The label {shorten(text)} is none of the prompt's ({', '.join(labels)}); "
            f"say which of them it is, as in {shorten(text).strip(chr(34))}={labels[0]}, or take a prompt for it."
        )

    return place


def place_of(names: Mapping[str, int], name: str) -> int | None:
    """Return the place of a name that people wrote: as it stands, or in other case where one alone fits."""
    if name in names:
        return names[name]
    alike = {place for known, place in names.items() if known.lower() == name.lower()}
    return alike.pop() if len(alike) == 1 else None


def candidates(
    prompts: Sequence[tuple[str, AnyPrompt]],
    *,
    templates: str = "first",
    calibrations: Sequence[str] = CALIBRATED,
) -> list[Candidate]:
    """Return every prompt with its first template (or "all") under each calibration."""
    found: list[Candidate] = []
    for name, prompt in prompts:
        chosen = prompt.templates if templates == "all" else prompt.templates[:1]
        for template in chosen:
            one = prompt.with_template(template.source)
            for calibration in calibrations:
                scoring = replace(one.scoring, calibration=calibration)
                shown = " · ".join(
                    filter(None, [name if len(prompts) > 1 else "", template.source, calibration])
                )
                found.append(Candidate(shown, replace(one, scoring=scoring)))
    return found


def evaluate(
    prompting: Prompting,
    tried: Sequence[Candidate],
    labelled: LabelledRows,
    *,
    progress: Progress | None = None,
) -> list[Result]:
    """Return the result of each candidate on the same rows, in order.

    Candidates that differ in nothing but contextual calibration share their forward passes.
    ``progress`` is told the rows done, of all candidates together, and the rows in all. Raises
    PlaygroundError for candidates whose labels are not those of the rows.
    """
    _check_labels(tried, labelled)
    total, shares = len(tried) * len(labelled), []
    for k, found in enumerate(_probabilities(prompting, tried, labelled.rows)):
        shares.append(found)
        if progress is not None:
            progress((k + 1) * len(labelled), total)
    return [
        Result(candidate.name, found, measure(found, labelled.gold))
        for candidate, found in zip(tried, shares, strict=True)
    ]


def evaluate_parts(
    prompting: Prompting,
    tried: Sequence[Candidate],
    labelled: LabelledRows,
    *,
    rows_at_once: int = 64,
) -> Iterator[list[Result]]:
    """Yield what all candidates gave on the rows so far, part by part; the last one is on all rows.

    A caller may stop at any part: what it has is a fair comparison on the same rows. Raises
    PlaygroundError as :func:`evaluate` does.
    """
    _check_labels(tried, labelled)
    kept: list[list[np.ndarray]] = [[] for _ in tried]
    for start in range(0, len(labelled), rows_at_once):
        part = labelled.rows[start : start + rows_at_once]
        for own, found in zip(kept, _probabilities(prompting, tried, part), strict=True):
            own.append(found)
        gold = labelled.gold[: start + len(part)]
        shares = [np.concatenate(own) for own in kept]
        yield [
            Result(candidate.name, found, measure(found, gold))
            for candidate, found in zip(tried, shares, strict=True)
        ]


def _check_labels(tried: Sequence[Candidate], labelled: LabelledRows) -> None:
    for candidate in tried:
        if candidate.prompt.labels != labelled.labels:
            raise PlaygroundError(
                f"The prompt {shorten(candidate.name, 80)} has the labels "
                f"{', '.join(candidate.prompt.labels)} and the rows have "
                f"{', '.join(labelled.labels)}; compare prompts with the same labels."
            )


def _probabilities(
    prompting: Prompting, tried: Sequence[Candidate], rows: Sequence[dict[str, str]]
) -> Iterator[np.ndarray]:
    """Yield the probabilities (N, C) of each candidate, NaN where a row cannot be scored."""
    raw_scores: dict[AnyPrompt, np.ndarray] = {}
    for candidate in tried:
        prompt = candidate.prompt.bare()
        if prompt.scoring.calibration not in CALIBRATED:
            yield prompting.classify(rows, prompt, words=False).probabilities
            continue
        raw = replace(prompt, scoring=replace(prompt.scoring, calibration="none"))
        if raw not in raw_scores:
            raw_scores[raw] = prompting.classify(rows, raw, words=False).label_scores
        prior = prompting.classify([], prompt).log_prior
        yield softmax(raw_scores[raw] - (0.0 if prior is None else prior))


def scored_together(
    prompting: Prompting,
    prompts: Sequence[Prompt],
    rows: Sequence[dict[str, str]],
    *,
    rows_at_once: int = 256,
) -> Iterator[np.ndarray]:
    """Yield the probabilities of all prompts on the rows so far, (M, n, C), part by part.

    A row runs once through each template, however many prompts share it. The prompts have the same
    number of labels.
    """
    places: dict[str, list[int]] = {}
    for place, prompt in enumerate(prompts):
        places.setdefault(prompt.template.source, []).append(place)
    labels = len(prompts[0].verbalizer.names)
    found = np.full((len(prompts), len(rows), labels), np.nan)  # (M, N, C)
    for start in range(0, len(rows), rows_at_once):
        part = rows[start : start + rows_at_once]
        stop = start + len(part)
        for own in places.values():
            together = prompting.classify_together(part, [prompts[k] for k in own])
            for place, scores in zip(own, together, strict=True):
                found[place, start:stop] = scores.probabilities
        yield found[:, :stop]


def ensemble(
    results: Sequence[Result],
    gold: np.ndarray,
    *,
    weights: Sequence[float] | None = None,
    name: str = "ensemble",
) -> Result:
    """Return the mean of the members' log-probabilities, weighed (PET, Schick and Schütze 2021, eq. 3).

    weights: one a member, such as their accuracy on other rows; equal if None.
    """
    if not results:
        raise PlaygroundError("An ensemble needs at least one member.")
    share = np.ones(len(results)) if weights is None else np.asarray(weights, dtype=float)
    if len(share) != len(results) or not np.isfinite(share).all() or (share < 0).any():
        raise PlaygroundError("An ensemble needs one weight of 0 or more for each member.")
    if share.sum() == 0:
        share = np.ones(len(results))
    logs = np.stack([np.log(result.probabilities) for result in results])  # (M, N, C)
    probabilities = softmax(np.tensordot(share / share.sum(), logs, 1))
    return Result(name, probabilities, measure(probabilities, gold))


def versus(first: Result, second: Result, gold: np.ndarray) -> Comparison:
    """Return the paired comparison of two results on the same rows."""
    return compare(first.found, second.found, gold)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis, (N, C) -> (N, C); NaN rows stay NaN."""
    return np.exp(log_softmax(scores))
