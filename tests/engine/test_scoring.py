"""Aggregation, calibration and mass: each formula against arithmetic done by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from playground.engine import scoring
from playground.prompts import AGGREGATIONS

# three words of label 0 and one of label 1, with weights 1, 0.5, 2 and 3
LABELS = torch.tensor([0, 0, 0, 1])
WEIGHTS = torch.tensor([1.0, 0.5, 2.0, 3.0])
P = [0.10, 0.20, 0.05, 0.04]
SCORES = torch.tensor([P]).log()
LOG = [math.log(p) for p in P]

BY_HAND = {
    "sum": [math.log(0.10 + 0.5 * 0.20 + 2 * 0.05), math.log(3 * 0.04)],
    "mean": [math.log((0.10 + 0.5 * 0.20 + 2 * 0.05) / 3.5), math.log(0.04)],
    "geometric": [(LOG[0] + 0.5 * LOG[1] + 2 * LOG[2]) / 3.5, LOG[3]],
    "max": [math.log(0.10), math.log(3 * 0.04)],  # 1 x 0.10, 0.5 x 0.20 and 2 x 0.05 are equal
    "logit_sum": [LOG[0] + 0.5 * LOG[1] + 2 * LOG[2], 3 * LOG[3]],
}
log_scores = st.lists(st.floats(-40, 10), min_size=4, max_size=4)


def test_every_aggregation_is_checked_by_hand():
    assert set(BY_HAND) == set(AGGREGATIONS)


@pytest.mark.parametrize("method", AGGREGATIONS)
def test_aggregation_is_its_formula(method):
    got = scoring.aggregate(SCORES, LABELS, WEIGHTS, method)
    assert got.tolist()[0] == pytest.approx(BY_HAND[method], abs=1e-6)


@pytest.mark.parametrize("method", AGGREGATIONS)
def test_words_of_a_label_need_not_stand_together(method):
    order = [3, 1, 0, 2]
    got = scoring.aggregate(SCORES[:, order], LABELS[order], WEIGHTS[order], method)
    assert got.tolist()[0] == pytest.approx(BY_HAND[method], abs=1e-6)


@pytest.mark.parametrize("method", AGGREGATIONS)
def test_rows_do_not_mix(method):
    rows = torch.cat([SCORES, SCORES - 3.0, SCORES.flip(1)])
    together = scoring.aggregate(rows, LABELS, WEIGHTS, method)
    alone = [scoring.aggregate(row[None], LABELS, WEIGHTS, method)[0] for row in rows]
    assert torch.equal(together, torch.stack(alone))
    assert scoring.aggregate(rows[:0], LABELS, WEIGHTS, method).shape == (0, 2)


@pytest.mark.parametrize("method", ["sum", "mean", "geometric", "max"])
@given(scores=log_scores, shift=st.floats(-30, 30))
def test_the_log_partition_cancels_in_label_probabilities(method, scores, shift):
    rows = torch.tensor([scores], dtype=torch.float64)
    weights = WEIGHTS.double()
    plain = scoring.normalise(scoring.aggregate(rows, LABELS, weights, method))
    moved = scoring.normalise(scoring.aggregate(rows + shift, LABELS, weights, method))
    assert moved.tolist()[0] == pytest.approx(plain.tolist()[0], abs=1e-9)


def test_the_log_partition_does_not_cancel_in_logit_sum_of_unequal_lengths():
    plain = scoring.normalise(scoring.aggregate(SCORES, LABELS, WEIGHTS, "logit_sum"))
    moved = scoring.normalise(scoring.aggregate(SCORES + 1, LABELS, WEIGHTS, "logit_sum"))
    assert moved[0, 0] - moved[0, 1] == pytest.approx(float(plain[0, 0] - plain[0, 1]) + 0.5)


@pytest.mark.parametrize("method", ["mean", "geometric"])
def test_a_label_of_three_like_words_gains_nothing(method):
    labels, weights = torch.tensor([0, 0, 0, 1]), torch.ones(4)
    got = scoring.aggregate(torch.full((1, 4), -2.0), labels, weights, method)
    assert got.tolist()[0] == pytest.approx([-2.0, -2.0])


def test_a_sum_favours_the_label_of_three_like_words():
    got = scoring.aggregate(
        torch.full((1, 4), -2.0), torch.tensor([0, 0, 0, 1]), torch.ones(4), "sum"
    )
    assert got.tolist()[0] == pytest.approx([-2.0 + math.log(3), -2.0])


@pytest.mark.parametrize("method", ["mean", "geometric"])
@given(scores=log_scores, factor=st.floats(0.01, 100))
def test_only_the_ratio_of_weights_within_a_label_counts(method, scores, factor):
    rows, weights = torch.tensor([scores]).double(), WEIGHTS.double()
    scaled = weights * torch.tensor([factor, factor, factor, 1.0], dtype=torch.float64)
    got = scoring.aggregate(rows, LABELS, scaled, method)
    assert got.tolist()[0] == pytest.approx(
        scoring.aggregate(rows, LABELS, weights, method).tolist()[0], abs=1e-9
    )


@pytest.mark.parametrize("method", AGGREGATIONS)
def test_scores_far_below_zero_stay_finite(method):
    got = scoring.aggregate(SCORES - 500.0, LABELS, WEIGHTS, method)
    assert torch.isfinite(got).all()
    assert torch.isfinite(scoring.normalise(got)).all()


def test_normalising_is_a_softmax_over_labels():
    got = scoring.normalise(torch.tensor([[1.0, 3.0]])).exp()
    assert got.tolist()[0] == pytest.approx([1 / (1 + math.e**2), 1 / (1 + math.e**-2)])


# ---- calibration --------------------------------------------------------------------------------


def test_a_content_free_prior_is_the_mean_of_the_distributions():
    rows = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.4, 0.6]]).log()
    assert scoring.content_free_prior(rows).exp().tolist() == pytest.approx([0.6, 0.4])


def test_calibration_divides_by_the_prior_and_normalises_once():
    # 0.6 / 0.8 = 0.75 and 0.4 / 0.2 = 2; divided by 2.75
    got = scoring.calibrate(torch.tensor([[0.6, 0.4]]).log(), torch.tensor([0.8, 0.2]).log())
    assert got.exp().tolist()[0] == pytest.approx([0.75 / 2.75, 2 / 2.75])


def test_a_row_like_the_prior_comes_out_uniform():
    prior = torch.tensor([0.7, 0.2, 0.1]).log()
    assert scoring.calibrate(prior[None], prior).exp().tolist()[0] == pytest.approx([1 / 3] * 3)


def test_a_uniform_prior_changes_nothing():
    rows = torch.tensor([[0.7, 0.2, 0.1]]).log()
    got = scoring.calibrate(rows, torch.full((3,), 1 / 3).log())
    assert got.exp().tolist()[0] == pytest.approx([0.7, 0.2, 0.1])


def test_a_word_prior_is_the_mean_probability_of_each_word():
    rows = torch.tensor([[0.02, 0.2], [0.04, 0.1]]).log()
    assert scoring.word_prior(rows).exp().tolist() == pytest.approx([0.03, 0.15])


# ---- pieces and mass ----------------------------------------------------------------------------


@pytest.mark.parametrize(("reduction", "expected"), [("sum", [-6.0, -3.0]), ("mean", [-2.0, -1.0])])
def test_pieces_are_summed_or_averaged(reduction, expected):
    pieces = torch.tensor([[-1.0, -2.0, -3.0], [-1.0, -1.0, -1.0]])
    assert scoring.reduce_pieces(pieces, reduction).tolist() == pytest.approx(expected)


def test_mass_is_the_sum_of_the_words_probabilities():
    assert scoring.vocabulary_mass(SCORES).tolist() == pytest.approx([0.10 + 0.20 + 0.05 + 0.04])


def test_mass_is_at_most_one():
    assert scoring.vocabulary_mass(torch.tensor([[0.8, 0.7]]).log()).tolist() == [1.0]
