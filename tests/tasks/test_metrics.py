"""Metrics against scikit-learn, scipy and arithmetic by hand; intervals against what is known of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    matthews_corrcoef,
    precision_score,
)

from playground.tasks.metrics import (
    calibration_error,
    compare,
    holm,
    matthews,
    mcnemar,
    mean_interval,
    measure,
    predicted,
)

places = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60)


def sure(found, labels: int = 3, share: float = 0.8) -> np.ndarray:
    """Return probabilities that give ``found`` the share and the other labels the rest."""
    rows = np.full((len(found), labels), (1 - share) / (labels - 1))
    rows[np.arange(len(found)), found] = share
    return rows


@given(places)
def test_metrics_are_those_of_scikit_learn(pairs):
    found, gold = map(list, zip(*pairs, strict=True))
    got = measure(sure(found), gold)
    assert got.accuracy == pytest.approx(accuracy_score(gold, found))
    seen = sorted({*found, *gold})
    f1 = f1_score(gold, found, labels=seen, average="macro", zero_division=0)
    assert got.macro_f1 == pytest.approx(f1)
    precision = precision_score(gold, found, labels=[0, 1, 2], average=None, zero_division=0)
    assert got.precision == pytest.approx(tuple(precision))
    table = confusion_matrix(gold, found, labels=[0, 1, 2])
    assert [row[:3] for row in got.confusion] == [tuple(row) for row in table.tolist()]
    assert got.support == tuple(np.bincount(gold, minlength=3))
    assert got.majority == max(got.support) / len(gold)
    assert got.random == pytest.approx(1 / 3)


@given(places)
def test_matthews_correlation_is_that_of_scikit_learn(pairs):
    found, gold = map(list, zip(*pairs, strict=True))
    got = measure(sure(found), gold)
    one = len({*found, *gold}) == 1  # scikit-learn says 0 too, with a warning
    assert got.matthews == pytest.approx(0 if one else matthews_corrcoef(gold, found), abs=1e-9)
    low, high = got.matthews_interval
    assert -1 - 1e-9 <= low <= high <= 1 + 1e-9


def test_matthews_correlation_by_hand():
    # TP 1, TN 2, FP 1, FN 1: (1 * 2 - 1 * 1) / sqrt(2 * 2 * 3 * 3)
    tables = np.array([[[1, 1, 0], [1, 2, 0]], [[3, 0, 0], [0, 0, 0]], [[2, 0, 0], [0, 3, 0]]])
    np.testing.assert_allclose(matthews(tables), [1 / 6, 0, 1])
    failed = measure(np.array([[0.9, 0.1], [np.nan, np.nan], [0.1, 0.9]]), [0, 0, 1])
    assert failed.matthews < 1  # a row that failed is wrong


def test_by_hand():
    probabilities = sure([0, 0, 1, 1, 0], 2)
    probabilities[4] = np.nan
    got = measure(probabilities, [0, 1, 1, 1, 0])
    assert (got.rows, got.failed) == (5, 1)
    assert got.accuracy == pytest.approx(3 / 5)  # a row that failed is wrong
    # label 0: TP 1, FP 1, FN 1; label 1: TP 2, FP 0, FN 1
    assert got.macro_f1 == pytest.approx((2 / 4 + 4 / 5) / 2)
    assert got.confusion == ((1, 0, 1), (1, 2, 0))
    assert predicted(probabilities).tolist() == [0, 0, 1, 1, -1]


@given(places)
def test_intervals_hold_the_number_and_repeat(pairs):
    found, gold = map(list, zip(*pairs, strict=True))
    got = measure(sure(found), gold)
    low, high = got.accuracy_interval
    assert 0 <= low <= got.accuracy + 1e-9
    assert got.accuracy - 1e-9 <= high <= 1
    assert measure(sure(found), gold) == got


def test_the_interval_of_a_coin():
    half = 1.96 * math.sqrt(0.25 / 400)
    expected = pytest.approx((0.5 - half, 0.5 + half), abs=0.01)
    assert measure(sure([0, 1] * 200, 2), [0] * 400).accuracy_interval == expected


def test_the_interval_of_f1_is_that_of_rows_drawn_one_by_one():
    draw = np.random.default_rng(1)
    gold = draw.integers(0, 3, 150)
    found = np.where(draw.random(150) < 0.6, gold, draw.integers(0, 3, 150))
    scores = []
    for _ in range(600):
        rows = draw.integers(0, 150, 150)
        scores.append(f1_score(gold[rows], found[rows], average="macro"))
    low, high = measure(sure(found), gold).macro_f1_interval
    assert (low, high) == pytest.approx(np.percentile(scores, [2.5, 97.5]), abs=0.02)


# ---- calibration --------------------------------------------------------------------------------


def test_the_calibration_error_by_hand():
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.6, 0.4], [0.4, 0.6]])
    error, bins = calibration_error(probabilities, np.array([0, 1, 0, 1]))
    # of the two rows at 0.95 one is right, of those at 0.6 both
    assert error == pytest.approx((2 * abs(0.5 - 0.95) + 2 * abs(1.0 - 0.6)) / 4)
    assert [(b.rows, b.confidence, b.accuracy) for b in bins] == [
        (2, pytest.approx(0.6), 1.0),
        (2, pytest.approx(0.95), 0.5),
    ]


def test_one_who_knows_how_sure_he_is_has_no_error():
    draw = np.random.default_rng(0)
    shares = draw.uniform(0.5, 1, 60_000)
    gold = (draw.random(60_000) > shares).astype(int)
    error, _ = calibration_error(np.stack([shares, 1 - shares], 1), gold)
    assert error < 0.01


def test_nothing_has_no_error():
    assert calibration_error(np.zeros((0, 2)), np.zeros(0)) == (0.0, ())


# ---- two prompts on the same rows ---------------------------------------------------------------


def test_mcnemar_by_hand():
    gold = np.zeros(20, dtype=int)
    first = np.array([0] * 10 + [1] * 10)
    second = np.array([0] * 2 + [1] * 17 + [0])
    got = compare(first, second, gold)
    assert (got.only_first, got.only_second) == (8, 1)
    assert got.difference == pytest.approx(7 / 20)
    # two-sided binomial: P(at most 1 or at least 8 of 9), a fair coin
    assert got.p_value == pytest.approx(2 * (1 + 9) / 2**9)
    assert got.real
    low, high = got.interval
    assert 0 < low < got.difference < high


def test_the_same_answers_differ_by_nothing():
    found = np.array([0, 1, 1])
    got = compare(found, found, [0, 0, 1])
    assert (got.difference, got.interval, got.p_value, got.real) == (0.0, (0.0, 0.0), 1.0, False)


@given(places)
def test_a_comparison_turned_round_is_its_opposite(pairs):
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    gold = np.zeros(len(pairs), dtype=int)
    one, other = compare(first, second, gold), compare(second, first, gold)
    assert one.difference == pytest.approx(-other.difference)
    assert one.p_value == pytest.approx(other.p_value)
    assert (one.only_first, one.only_second) == (other.only_second, other.only_first)


@given(places)
def test_mcnemar_alone_is_the_p_value_of_the_comparison(pairs):
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    gold = np.zeros(len(pairs), dtype=int)
    assert mcnemar(first, second, gold) == compare(first, second, gold).p_value


@pytest.mark.parametrize(
    ("given_p", "corrected"),
    [
        ([], []),
        ([0.03], [0.03]),
        # 4 x 0.01; 3 x 0.02; 2 x 0.03 = 0.06, no less than the one before; 0.04 takes 0.06 too
        ([0.04, 0.01, 0.03, 0.02], [0.06, 0.04, 0.06, 0.06]),
        ([0.5, 0.6, 0.001], [1.0, 1.0, 0.003]),
    ],
)
def test_holm_by_hand(given_p, corrected):
    assert holm(given_p) == pytest.approx(corrected)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_no_correction_and_bonferroni(p_values):
    found = holm(p_values)
    assert (found >= np.array(p_values)).all()
    assert (found <= np.minimum(np.array(p_values) * len(p_values), 1)).all()
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(found[order]) >= 0).all()


def test_the_interval_of_a_mean_is_that_of_rows_drawn_one_by_one():
    values = np.array([0.0, 0.5, 1.0, 1.0, 0.5, 1.0, 0.0, 1.0] * 10)
    rng = np.random.default_rng(3)
    means = values[rng.integers(0, len(values), (20_000, len(values)))].mean(1)
    low, high = mean_interval(values)
    assert (low, high) == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.01)
    assert mean_interval([0.5, 0.5]) == (0.5, 0.5)
