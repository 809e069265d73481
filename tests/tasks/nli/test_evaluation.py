"""The numbers of a classifier against hand arithmetic, and the temperature against a known one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from playground.engine.classifier import log_softmax
from playground.errors import PlaygroundError
from playground.tasks import metrics
from playground.tasks.nli import LABELS, Pairs
from playground.tasks.nli.evaluation import (
    HIDDEN,
    crossed_calibration_error,
    evaluate,
    fit_temperature,
    negative_log_likelihood,
    summarize,
)
from tests.tasks.nli.checkpoints import lessons, softmax


def calibration_error(*values, **options) -> float:
    return metrics.calibration_error(*values, **options)[0]


def certain(*places: int) -> np.ndarray:
    """Return logits that point at these labels."""
    return 3.0 * np.eye(3)[list(places)]


def sampled(count: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return logits (N, 3), and gold labels drawn with just the probabilities that they tell."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 2, (count, 3))
    gold = [draw.choice(3, p=shares) for shares in softmax(logits)]
    return logits, np.array(gold)


def interval(right: np.ndarray) -> tuple[float, float]:
    """Return the interval of a share of right rows, (N,)."""
    return summarize(certain(*np.where(right, 0, 1)), np.zeros(len(right), dtype=int)).interval


# ---- accuracy -----------------------------------------------------------------------------------


def test_the_numbers_by_hand():
    #                gold       0  0  0  0  1  1  2
    found = summarize(certain(*(0, 0, 1, 2, 1, 0, 0)), np.array([0, 0, 0, 0, 1, 1, 2]))
    assert found.confusion == ((2, 1, 1), (1, 1, 0), (1, 0, 0))
    assert found.accuracy == pytest.approx(3 / 7)
    assert found.majority == pytest.approx(4 / 7)
    assert found.precision == pytest.approx(dict(zip(LABELS, (2 / 4, 1 / 2, 0), strict=True)))
    assert found.recall == pytest.approx(dict(zip(LABELS, (2 / 4, 1 / 2, 0), strict=True)))
    sure, other = np.exp(3) / (np.exp(3) + 2), 1 / (np.exp(3) + 2)
    assert found.nll == pytest.approx(-(3 * np.log(sure) + 4 * np.log(other)) / 7)
    assert found.calibration_error == pytest.approx(sure - 3 / 7)
    assert (found.pairs, found.failed, found.dropped, found.temperature) == (7, 0, 0, 1.0)
    assert (found.nll, found.calibration_error) == (found.raw_nll, found.raw_calibration_error)


def test_a_label_that_is_never_predicted_has_no_precision():
    found = summarize(certain(0, 0), np.array([0, 1]))
    assert found.precision == pytest.approx(dict(zip(LABELS, (0.5, 0, 0), strict=True)))
    assert found.recall == pytest.approx(dict(zip(LABELS, (1, 0, 0), strict=True)))


def test_failed_rows_count_as_wrong():
    logits = certain(0, 1, 2, 2)
    logits[3] = np.nan
    found = summarize(logits, np.array([0, 1, 2, 2]), dropped=2)
    assert (found.accuracy, found.failed, found.dropped) == (3 / 4, 1, 2)
    assert found.confusion == ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    assert found.recall["contradiction"] == 1 / 2
    assert found.precision["contradiction"] == 1
    whole = summarize(logits[:3], np.array([0, 1, 2]))
    assert (found.nll, found.calibration_error) == (whole.nll, whole.calibration_error)
    alone = summarize(np.full((2, 3), np.nan), np.array([0, 1]))
    assert (alone.accuracy, alone.failed, alone.interval) == (0, 2, (0, 0))


def test_the_temperature_changes_confidence_and_no_label():
    logits, gold = sampled(200)
    cold, warm = summarize(logits, gold), summarize(logits, gold, temperature=2.5)
    assert (warm.accuracy, warm.confusion) == (cold.accuracy, cold.confusion)
    assert (warm.raw_nll, warm.raw_calibration_error) == (cold.nll, cold.calibration_error)
    assert warm.nll == pytest.approx(-np.log(softmax(logits / 2.5))[np.arange(200), gold].mean())


def test_the_numbers_are_json_and_text():
    logits, gold = sampled(40)
    found = summarize(logits, gold, 1.5, 3)
    assert json.loads(json.dumps(found.to_json()))["accuracy"] == found.accuracy
    lines = found.to_text().splitlines()
    low, high = found.interval
    assert lines[0] == (
        f"accuracy            {found.accuracy:.1%} (95 %: {low:.1%} to {high:.1%}) of 40 pairs"
    )
    for name, row, line in zip(LABELS, found.confusion, lines[7:10], strict=True):
        assert line.split() == [name, *map(str, row), f"{found.recall[name]:.1%}"]


# ---- the interval -------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("count", [20, 400])
def test_the_interval_is_seeded_and_that_of_resampled_rows(share, count):
    right = np.arange(count) < share * count
    low, high = interval(right)
    assert interval(right) == (low, high)
    assert low <= right.mean() <= high
    draw = np.random.default_rng(7)
    means = [right[draw.integers(0, count, count)].mean() for _ in range(4000)]
    slack = 1.5 / count + 0.15 * np.std(means)
    np.testing.assert_allclose([low, high], np.percentile(means, [2.5, 97.5]), atol=slack)


def test_the_interval_of_a_sure_thing_is_a_point():
    assert interval(np.ones(10, dtype=bool)) == (1.0, 1.0)
    assert interval(np.zeros(10, dtype=bool)) == (0.0, 0.0)


# ---- calibration --------------------------------------------------------------------------------


def test_the_calibration_error_by_hand():
    # one bin of [0.8, 0.8667) with 2 of 3 right, one of [0.4, 0.4667) with 0 of 1, one of 1.0 with 1
    shares = np.array([[0.81, 0.1, 0.09], [0.1, 0.82, 0.08], [0.1, 0.07, 0.83], [0.45, 0.3, 0.25], [1, 0, 0]])  # fmt: skip
    gold = np.array([0, 1, 0, 2, 0])
    expected = (3 * abs(0.82 - 2 / 3) + 1 * 0.45 + 1 * 0) / 5
    assert calibration_error(shares, gold) == pytest.approx(expected)
    assert calibration_error(shares, gold, bins=1) == pytest.approx(abs(3.91 / 5 - 3 / 5))
    assert calibration_error(shares[:0], gold[:0]) == 0


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 5.0])
def test_a_known_temperature_is_recovered(temperature):
    logits, gold = sampled(20_000)
    found = fit_temperature(logits * temperature, gold)
    assert found == pytest.approx(temperature, rel=0.05)

    def loss(value: float) -> float:
        return negative_log_likelihood(log_softmax(logits * temperature / value), gold)

    assert all(loss(found) <= loss(found * factor) for factor in (0.9, 0.99, 1.01, 1.1))


def test_a_temperature_stays_in_its_range():
    assert 1 / 20 <= fit_temperature(certain(0, 1, 2), np.array([0, 1, 2])) < 0.1
    assert fit_temperature(certain(0, 1, 2), np.array([1, 2, 0])) == pytest.approx(20, rel=0.01)
    with pytest.raises(
        PlaygroundError, match=r"^A temperature needs at least one labelled pair\.$"
    ):
        fit_temperature(np.zeros((0, 3)), np.array([], dtype=int))


def test_the_crossed_calibration_error_is_seeded_and_between_raw_and_none():
    logits, gold = sampled(4000)
    raw = calibration_error(softmax(logits * 3), gold)
    crossed = crossed_calibration_error(logits * 3, gold)
    assert crossed == crossed_calibration_error(logits * 3, gold)
    assert raw > 0.1
    assert crossed < 0.03


def test_a_single_row_has_no_halves():
    assert crossed_calibration_error(certain(0), np.array([0])) is None
    assert crossed_calibration_error(certain(0, 1), np.array([0, 1])) < 0.1


def test_a_half_is_judged_at_the_temperature_of_the_other():
    logits, gold = sampled(300)
    first, second = np.array_split(np.random.default_rng(0).permutation(300), 2)
    shares = np.zeros_like(logits)
    shares[first] = softmax(logits[first] / fit_temperature(logits[second], gold[second]))
    shares[second] = softmax(logits[second] / fit_temperature(logits[first], gold[first]))
    assert crossed_calibration_error(logits, gold) == pytest.approx(calibration_error(shares, gold))


# ---- a classifier -------------------------------------------------------------------------------


def test_a_classifier_is_measured_on_its_own_scores(classifier):
    pairs = lessons(30)
    seen: list[tuple[int, int]] = []
    found = evaluate(classifier, pairs, progress=lambda done, total: seen.append((done, total)))
    scores = classifier.classify(list(zip(pairs.premises, pairs.hypotheses, strict=True)))
    right = [LABELS[k] == p for k, p in zip(pairs.labels, scores.predictions, strict=True)]
    assert found.accuracy == pytest.approx(np.mean(right))
    assert np.sum(found.confusion) == 30
    assert seen[-1] == (30, 30)


def test_the_baseline_does_not_see_the_premise(classifier):
    pairs = lessons(30)
    hidden = Pairs([HIDDEN] * 30, pairs.hypotheses, pairs.labels)
    assert evaluate(classifier, pairs, hypothesis_only=True) == evaluate(classifier, hidden)


def test_pairs_that_lose_tokens_or_fail_are_counted(classifier):
    pairs = Pairs(
        ["good " * 80, "It was good.", "a" * 20_001], ["bad", "bad", "bad"], np.array([0, 1, 2])
    )
    found = evaluate(classifier, pairs)
    assert (found.pairs, found.dropped, found.failed) == (3, 1, 1)
