"""Measures of the heads beyond labels: correlations, and the answers' exact match and F1."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy.stats import rankdata

from playground.tasks.metrics import RESAMPLES, SEED, Interval

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_SIGNS = str.maketrans("", "", string.punctuation)
_ROWS_AT_ONCE = 100_000


@dataclass(frozen=True)
class Measure:
    """One number of a result: its 95 % bootstrap interval, and what the baseline gets.

    share: from 0 to 1 and shown in percent, else a number.
    """

    name: str
    value: float
    interval: Interval | None = None
    baseline: float | None = None
    share: bool = True

    def show(self, value: float | None) -> str:
        """Return a value as people read it, "-" for None."""
        if value is None:
            return "-"
        if self.share:
            return f"{value:.1%}"
        return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"

    @property
    def range(self) -> str:
        """The interval as people read it."""
        if self.interval is None:
            return "-"
        return f"{self.show(self.interval[0])} to {self.show(self.interval[1])}"


@dataclass(frozen=True)
class Result:
    """What was measured on N rows: the measures, the one that training chose by first.

    unit: what a row is. baseline: what stands behind the baselines. details: further numbers.
    """

    rows: int
    unit: str
    measures: tuple[Measure, ...]
    baseline: str | None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def first(self) -> Measure:
        """The measure that training chose by."""
        return self.measures[0]

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        values = [asdict(measure) for measure in self.measures]
        return {
            "rows": self.rows,
            "baseline": self.baseline,
            "measures": {value.pop("name"): value for value in values},
            **self.details,
        }

    def to_text(self) -> str:
        """Return the numbers as a terminal shows them."""
        head = ("", "value", "95 %", *(["baseline"] if self.baseline else []))
        rows = [
            (m.name, m.show(m.value), m.range, *([m.show(m.baseline)] if self.baseline else []))
            for m in self.measures
        ]
        lines = [
            f"{row[0]:18}{''.join(f'{cell:>18}' for cell in row[1:])}" for row in (head, *rows)
        ]
        told = f"{self.rows:,} {self.unit}"
        return "\n".join([*lines, f"{told}; baseline: {self.baseline}" if self.baseline else told])


def pearson(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation along the last axis, (..., N) -> (...); 0 where one is constant."""
    one = first - first.mean(-1, keepdims=True)
    other = second - second.mean(-1, keepdims=True)
    spread = np.sqrt((one**2).sum(-1) * (other**2).sum(-1))
    shared = (one * other).sum(-1)
    return np.divide(shared, spread, out=np.zeros_like(shared), where=spread > 1e-12)


def spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation along the last axis, (..., N) -> (...); ties share their rank."""
    return pearson(rankdata(first, axis=-1), rankdata(second, axis=-1))


def paired_interval(
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray],
    gold: np.ndarray,
    found: np.ndarray,
    *,
    seed: int = SEED,
) -> Interval:
    """Return the 95 % percentile bootstrap interval of a measure of N pairs, 1,000 resamples.

    ``measure`` takes both sides as (R, N) and gives (R,).
    """
    rng = np.random.default_rng(seed)
    at_once = max(1, _ROWS_AT_ONCE // len(gold))
    values: list[np.ndarray] = []
    for first in range(0, RESAMPLES, at_once):
        rows = rng.integers(0, len(gold), (min(at_once, RESAMPLES - first), len(gold)))
        values.append(measure(gold[rows], found[rows]))
    low, high = np.percentile(np.concatenate(values), [2.5, 97.5])
    return float(low), float(high)


def ratio_interval(
    parts: Sequence[int] | np.ndarray, wholes: Sequence[int] | np.ndarray
) -> Interval:
    """Return the interval of sum(parts) / sum(wholes) over rows drawn with replacement, (N,) each."""
    return paired_interval(
        lambda some, all_of: some.sum(-1) / np.maximum(all_of.sum(-1), 1),
        np.asarray(parts, dtype=float),
        np.asarray(wholes, dtype=float),
    )


def normalized(answer: str) -> str:
    """Return an answer as SQuAD compares it: lower case, no signs, no articles, single spaces.

    (Rajpurkar et al. 2016, § 6.1.)
    """
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_SIGNS)).split())


def exact_match(found: str, golds: Sequence[str]) -> float:
    """Return 1 if an answer is one of the golds once both are normalised; without a gold, if it is empty."""
    return float(normalized(found) in ({normalized(gold) for gold in golds} or {""}))


def token_f1(found: str, golds: Sequence[str]) -> float:
    """Return the best F1 of an answer's words against a gold's; without a gold, 1 if it is empty."""
    return max(
        _overlap(normalized(found).split(), normalized(gold).split()) for gold in golds or ("",)
    )


def _overlap(found: list[str], gold: list[str]) -> float:
    if not found or not gold:
        return float(found == gold)
    shared = sum((Counter(found) & Counter(gold)).values())
    return 2 * shared / (len(found) + len(gold))
