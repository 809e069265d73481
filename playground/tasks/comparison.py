"""Several prompts, each with its own model, on the same rows: who wins, and whether that is chance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from playground.engine import Prompting
from playground.errors import PlaygroundError
from playground.prompts import Prompt, Verbalizer
from playground.tasks.evaluation import (
    Candidate,
    LabelledRows,
    Result,
    evaluate_parts,
    versus,
)
from playground.tasks.metrics import Comparison, holm

ALPHA, POWER = 0.05, 0.8


@dataclass(frozen=True)
class Entry:
    """A prompt under test: its name in the tables, and the model that reads it."""

    name: str
    prompting: Prompting
    prompt: Prompt


@dataclass(frozen=True)
class Standing:
    """How one prompt stands against the best one on the same rows.

    test: McNemar's of the best against it, None for the best itself. p_value: corrected after Holm
    over all pairs with the best. rows_needed: about how many rows would tell the two apart, None
    where they already are, or where the rows show no difference.
    """

    test: Comparison | None = None
    p_value: float = 1.0
    rows_needed: int | None = None

    @property
    def real(self) -> bool:
        """Whether the difference to the best is not chance (corrected p < 0.05)."""
        return self.test is not None and self.p_value < ALPHA


@dataclass(frozen=True)
class Ranking:
    """The best of the results by accuracy, and how each of them, in their order, stands against it."""

    best: int
    standings: tuple[Standing, ...]

    @property
    def won(self) -> bool:
        """Whether the best is really better than every other prompt."""
        others = [s for k, s in enumerate(self.standings) if k != self.best]
        return bool(others) and all(standing.real for standing in others)


def check_comparable(entries: Sequence[tuple[str, Prompt]]) -> None:
    """Raise PlaygroundError unless the named prompts give the same labels to the same texts."""
    first, prompt = entries[0]
    names, fields = prompt.verbalizer.names, prompt.template.fields
    for name, other in entries[1:]:
        if set(other.verbalizer.names) != set(names):
            raise PlaygroundError(
                f"{name} has the labels {', '.join(other.verbalizer.names)} and {first} has "
                f"{', '.join(names)}; prompts are measured together only with the same labels."
            )
        if len(other.template.fields) != len(fields):
            raise PlaygroundError(
                f"{name} takes {_texts(len(other.template.fields))} and {first} takes "
                f"{_texts(len(fields))}; prompts are measured together only on the same texts."
            )


def _texts(count: int) -> str:
    return "1 text" if count == 1 else f"{count} texts"


def compare_parts(
    entries: Sequence[Entry], labelled: LabelledRows, *, rows_at_once: int = 64
) -> Iterator[list[Result]]:
    """Yield what every prompt gave on the rows so far, part by part; the last one is on all rows.

    The rows are those of the first prompt: another prompt takes its texts in the order of its slots,
    and its labels in the order of the rows'. Prompts of one model that differ in calibration alone
    share their forward passes. Raises PlaygroundError for prompts that cannot be compared.
    """
    check_comparable([(entry.name, entry.prompt) for entry in entries])
    groups: dict[tuple[int, tuple[str, ...]], list[int]] = {}
    for k, entry in enumerate(entries):
        groups.setdefault((id(entry.prompting), entry.prompt.template.fields), []).append(k)
    runs = [
        evaluate_parts(
            entries[members[0]].prompting,
            [_candidate(entries[k], labelled.labels) for k in members],
            _with_slots(labelled, fields),
            rows_at_once=rows_at_once,
        )
        for (_, fields), members in groups.items()
    ]
    order = [k for members in groups.values() for k in members]
    for parts in zip(*runs, strict=True):
        found = dict(zip(order, (result for part in parts for result in part), strict=True))
        yield [found[k] for k in range(len(entries))]


def _candidate(entry: Entry, labels: tuple[str, ...]) -> Candidate:
    words = entry.prompt.verbalizer.labels
    ordered = Verbalizer({label: words[label] for label in labels})
    return Candidate(entry.name, replace(entry.prompt, verbalizer=ordered))


def _with_slots(labelled: LabelledRows, fields: tuple[str, ...]) -> LabelledRows:
    if tuple(labelled.rows[0]) == fields:
        return labelled
    rows = [dict(zip(fields, row.values(), strict=True)) for row in labelled.rows]
    return replace(labelled, rows=rows)


def rank(results: Sequence[Result], gold: np.ndarray) -> Ranking:
    """Return the best of ``results`` on the rows with ``gold`` places (N,), and the others' tests.

    The p-values are corrected for the number of pairs after Holm (1979). That the best is chosen on
    the same rows is not corrected for, so a fresh set of rows remains the better judge.
    """
    best = max(range(len(results)), key=lambda k: results[k].metrics.accuracy)
    others = [k for k in range(len(results)) if k != best]
    tests = [versus(results[best], results[k], gold) for k in others]
    standings = [Standing()] * len(results)
    level = ALPHA / max(1, len(others))
    for k, test, p_value in zip(
        others, tests, holm([t.p_value for t in tests]).tolist(), strict=True
    ):
        needed = None if p_value < ALPHA else rows_needed(test, len(gold), alpha=level)
        needed = needed and max(needed, len(gold) + 1)  # the exact test asks a little more
        standings[k] = Standing(test, p_value, needed)
    return Ranking(best, tuple(standings))


def rows_needed(
    found: Comparison, rows: int, *, alpha: float = ALPHA, power: float = POWER
) -> int | None:
    """Return how many rows would show the difference found on ``rows``, if it is as large as it looks.

    The number at which McNemar's test, two-sided at ``alpha``, sees the difference with the chance
    ``power`` (Connor 1987); None where there is no difference.
    """
    wins, losses = found.only_first / rows, found.only_second / rows
    gap, split = wins - losses, wins + losses
    if gap == 0:
        return None
    normal = NormalDist()
    sure, seen = normal.inv_cdf(1 - alpha / 2), normal.inv_cdf(power)
    spread = sure * math.sqrt(split) + seen * math.sqrt(split - gap**2)
    return math.ceil(spread**2 / gap**2)


def disagreements(results: Sequence[Result]) -> list[int]:
    """Return the rows on which the prompts give different labels, surest first.

    How sure a row is counted: the best pair of prompts that disagree on it, by the less sure of the
    two. Rows that a prompt could not score are left out.
    """
    places = np.stack([result.found for result in results])  # (M, N)
    sure = np.nan_to_num(np.stack([result.probabilities.max(1) for result in results]))  # (M, N)
    strongest = np.zeros(places.shape[1])
    for one in range(len(results)):
        for other in range(one):
            apart = (places[one] != places[other]) & (places >= 0).all(0)
            pair = np.where(apart, np.minimum(sure[one], sure[other]), 0.0)
            strongest = np.maximum(strongest, pair)
    wanted = np.flatnonzero(strongest)
    return sorted(wanted.tolist(), key=lambda i: (-strongest[i], i))
