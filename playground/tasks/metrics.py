"""Metrics of a classifier on labelled rows, with what chance can do: intervals and paired tests.

Labels are places from 0 to C - 1; a row that could not be scored has the place -1 and counts as wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

RESAMPLES, SEED, BINS = 1_000, 0, 15
Interval = tuple[float, float]


@dataclass(frozen=True)
class Bin:
    """One bar of a reliability diagram: rows whose confidence lies in it, all shares from 0 to 1."""

    rows: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Metrics:
    """What N rows with C labels gave; shares are from 0 to 1, intervals are at 95 %.

    confusion: [gold][predicted], the last column rows that could not be scored. majority and random:
    what the commonest label and a fair draw would get. calibration_error: see
    :func:`calibration_error`; bins: its reliability diagram. Intervals are drawn when they are asked for.
    """

    rows: int
    failed: int
    accuracy: float
    macro_f1: float
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    support: tuple[int, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration_error: float
    bins: tuple[Bin, ...]
    majority: float
    random: float

    @cached_property
    def accuracy_interval(self) -> Interval:
        """Where the accuracy would lie on other rows."""
        hits = sum(row[place] for place, row in enumerate(self.confusion))
        return _share_interval(hits, self.rows)

    @cached_property
    def macro_f1_interval(self) -> Interval:
        """Where the macro-F1 would lie on other rows."""
        return _percentiles(_macro_f1(_resampled(np.array(self.confusion))))

    @cached_property
    def matthews(self) -> float:
        """Matthews' correlation of gold and predicted labels, see :func:`matthews`."""
        return float(matthews(np.array(self.confusion)[None])[0])

    @cached_property
    def matthews_interval(self) -> Interval:
        """Where Matthews' correlation would lie on other rows."""
        return _percentiles(matthews(_resampled(np.array(self.confusion))))

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return asdict(self) | {
            "accuracy_interval": self.accuracy_interval,
            "macro_f1_interval": self.macro_f1_interval,
        }


@dataclass(frozen=True)
class Comparison:
    """Two classifiers on the same rows: how much better the first is, and whether that is chance.

    difference: of accuracies, with its paired bootstrap interval at 95 %. p_value: exact McNemar test
    over the rows that one of them alone gets right.
    """

    difference: float
    interval: Interval
    only_first: int
    only_second: int
    p_value: float

    @property
    def real(self) -> bool:
        """Whether the test says that the difference is not chance (p < 0.05)."""
        return self.p_value < 0.05


def measure(probabilities: np.ndarray, gold: Sequence[int] | np.ndarray) -> Metrics:
    """Return the metrics of probabilities (N, C) against gold places (N,); NaN rows failed."""
    right = np.asarray(gold, dtype=int)
    count = probabilities.shape[1]
    found = predicted(probabilities)
    scored = found >= 0
    pairs = right * (count + 1) + np.where(scored, found, count)
    table = np.bincount(pairs, minlength=count * (count + 1)).reshape(count, count + 1)
    hits, support, taken = np.diag(table), table.sum(1), table[:, :count].sum(0)
    error, bins = calibration_error(probabilities[scored], right[scored])
    return Metrics(
        rows=len(right),
        failed=int((~scored).sum()),
        accuracy=float(hits.sum() / len(right)),
        macro_f1=float(_macro_f1(table[None])[0]),
        precision=_shares(hits, taken),
        recall=_shares(hits, support),
        support=tuple(support.tolist()),
        confusion=tuple(tuple(row) for row in table.tolist()),
        calibration_error=error,
        bins=bins,
        majority=float(support.max() / len(right)),
        random=1 / count,
    )


def predicted(probabilities: np.ndarray) -> np.ndarray:
    """Return the place of the best label of each row, (N, C) -> (N,); -1 for rows of NaN."""
    failed = np.isnan(probabilities).any(1)
    return np.where(failed, -1, np.nan_to_num(probabilities, nan=-1.0).argmax(1))


def compare(
    first: np.ndarray, second: np.ndarray, gold: Sequence[int] | np.ndarray, *, seed: int = SEED
) -> Comparison:
    """Compare two predictions (N,) of the same gold rows (N,).

    The interval is the bootstrap's, the p-value :func:`mcnemar`'s.
    """
    truth = np.asarray(gold)
    wins, losses = _split(first, second, truth)
    # rows drawn with replacement: only the counts of wins, losses and ties matter
    ties = len(truth) - wins - losses
    shares = np.array([wins, losses, ties]) / len(truth)
    draws = np.random.default_rng(seed).multinomial(len(truth), shares, RESAMPLES)
    differences = (draws[:, 0] - draws[:, 1]) / len(truth)
    return Comparison(
        (wins - losses) / len(truth),
        _percentiles(differences),
        wins,
        losses,
        mcnemar(first, second, truth),
    )


def mcnemar(first: np.ndarray, second: np.ndarray, gold: Sequence[int] | np.ndarray) -> float:
    """Return how likely chance alone parts two predictions (N,) as far as they are.

    McNemar's test asks whether the rows that only one gets right are split fairly between the two
    (McNemar 1947, exact binomial form); 1 where they err alike.
    """
    from scipy.stats import binomtest

    wins, losses = _split(first, second, np.asarray(gold))
    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the p-values of M tests corrected for their number, (M,) -> (M,), in the order given.

    The smallest counts M times, the next M - 1 times, and none less than one before it (Holm 1979).
    """
    given = np.asarray(p_values, dtype=float)
    order = given.argsort(kind="stable")
    times = np.arange(len(given), 0, -1)
    corrected = np.empty(len(given))
    corrected[order] = np.minimum(np.maximum.accumulate(given[order] * times), 1.0)
    return corrected


def _split(first: np.ndarray, second: np.ndarray, gold: np.ndarray) -> tuple[int, int]:
    """Return how many rows only the first gets right, and how many only the second."""
    one, other = np.asarray(first) == gold, np.asarray(second) == gold
    return int((one & ~other).sum()), int((~one & other).sum())


def mean_interval(values: Sequence[float] | np.ndarray, *, seed: int = SEED) -> Interval:
    """Return the 95 % percentile bootstrap interval of a mean of rows (N,), 1,000 resamples.

    For values of which few differ: a draw of rows is a draw of how often each value comes.
    """
    kinds, counts = np.unique(np.asarray(values, dtype=float), return_counts=True)
    rows = counts.sum()
    draws = np.random.default_rng(seed).multinomial(rows, counts / rows, RESAMPLES)
    return _percentiles(draws @ kinds / rows)


def calibration_error(
    probabilities: np.ndarray, gold: np.ndarray, bins: int = BINS
) -> tuple[float, tuple[Bin, ...]]:
    """Return the expected calibration error of probabilities (N, C), and its bins that hold rows.

    Rows fall into equal bins of their highest probability; each bin's gap between mean confidence and
    accuracy counts by its share of rows (Guo et al. 2017, eq. 3).
    """
    if not len(gold):
        return 0.0, ()
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == gold
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = np.bincount(place, minlength=bins)
    sure = np.bincount(place, weights=confidence, minlength=bins)
    hits = np.bincount(place, weights=right, minlength=bins)
    error = float(np.abs(hits - sure).sum() / len(gold))
    return error, tuple(
        Bin(int(n), float(s / n), float(h / n))
        for n, s, h in zip(rows, sure, hits, strict=True)
        if n
    )


def matthews(confusions: np.ndarray) -> np.ndarray:
    """Return Matthews' correlation of confusions (M, C, K) with gold in rows, (M,).

    For any number of labels, from -1 to 1; 0 where all rows have one label or get one (Gorodkin 2004,
    eq. 8; for two labels Matthews 1975).
    """
    tables = confusions.astype(float)
    labels = tables.shape[1]
    gold, found = tables.sum(2), tables.sum(1)  # (M, C), (M, K)
    rows, hits = tables.sum((1, 2)), np.trace(tables[:, :, :labels], axis1=1, axis2=2)
    shared = hits * rows - (gold * found[:, :labels]).sum(1)
    spread = (rows**2 - (gold**2).sum(1)) * (rows**2 - (found**2).sum(1))
    return np.divide(shared, np.sqrt(spread), out=np.zeros(len(tables)), where=spread > 0)


def _share_interval(hits: int, rows: int) -> Interval:
    # rows drawn with replacement: only the count of hits matters
    return _percentiles(np.random.default_rng(SEED).binomial(rows, hits / rows, RESAMPLES) / rows)


def _resampled(confusion: np.ndarray, *, seed: int = SEED) -> np.ndarray:
    """Return the confusions of rows drawn with replacement, (1000, C, C + 1).

    A draw of rows is a draw of cells of the confusion matrix (C, C + 1), which is quicker.
    """
    rows = confusion.sum()
    draws = np.random.default_rng(seed).multinomial(rows, confusion.ravel() / rows, RESAMPLES)
    return draws.reshape(RESAMPLES, *confusion.shape)


def _shares(parts: np.ndarray, whole: np.ndarray) -> tuple[float, ...]:
    """Return parts / whole, 0 where the whole is 0."""
    return tuple(np.divide(parts, whole, out=np.zeros(len(parts)), where=whole > 0).tolist())


def _macro_f1(tables: np.ndarray) -> np.ndarray:
    """Return the mean F1 over labels that are gold or predicted, of confusions (M, C, C + 1) -> (M,)."""
    labels = tables.shape[1]
    hits = np.diagonal(tables, axis1=1, axis2=2)  # (M, C)
    involved = tables.sum(2) + tables[:, :, :labels].sum(1)  # 2 TP + FP + FN
    scores = np.divide(2 * hits, involved, out=np.zeros(hits.shape), where=involved > 0)
    return scores.sum(1) / np.maximum((involved > 0).sum(1), 1)


def _percentiles(values: np.ndarray) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
