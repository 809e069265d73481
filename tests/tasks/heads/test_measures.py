"""Correlations against scipy, answers by hand as SQuAD counts them, and what a result shows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from playground.tasks.heads.measures import (
    Measure,
    Result,
    exact_match,
    normalized,
    paired_interval,
    pearson,
    ratio_interval,
    spearman,
    token_f1,
)


def rows(seed: int = 0, count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 6, count).astype(float)  # with ties
    return gold, gold + rng.normal(0, 2, count)


@pytest.mark.parametrize("seed", range(3))
def test_correlations_are_those_of_scipy(seed):
    gold, found = rows(seed)
    assert pearson(gold, found) == pytest.approx(pearsonr(gold, found).statistic, abs=1e-12)
    assert spearman(gold, found) == pytest.approx(spearmanr(gold, found).statistic, abs=1e-12)


def test_many_correlations_at_once_are_those_of_each_row():
    first, second = (np.stack(side) for side in zip(*map(rows, range(4)), strict=True))
    np.testing.assert_allclose(spearman(first, second), [spearman(*rows(k)) for k in range(4)])


@pytest.mark.parametrize("way", [pearson, spearman])
def test_a_constant_side_correlates_with_nothing(way):
    assert way(np.ones(5), np.arange(5.0)) == 0.0


def test_the_interval_holds_the_value_and_is_drawn_by_rows():
    gold, found = rows(count=300)
    low, high = paired_interval(spearman, gold, found)
    rng = np.random.default_rng(7)
    picks = [rng.integers(0, 300, 300) for _ in range(2000)]
    other = np.percentile([spearmanr(gold[i], found[i]).statistic for i in picks], [2.5, 97.5])
    assert low < spearman(gold, found) < high
    assert (low, high) == pytest.approx(other, abs=0.01)


def test_the_interval_of_a_ratio_counts_long_rows_more():
    hits, words = np.array([1, 90]), np.array([10, 90])
    assert ratio_interval(hits, words) == pytest.approx((0.1, 1.0))  # both rows may be the same


@pytest.mark.parametrize(
    ("answer", "plain"),
    [
        ("The Eiffel Tower!", "eiffel tower"),
        ("  an  apple a\tday", "apple day"),
        ("U.S.A.", "usa"),
        ("theatre", "theatre"),
        ("co-op", "coop"),
        ("the", ""),
    ],
)
def test_answers_are_compared_without_case_signs_and_articles(answer, plain):
    assert normalized(answer) == plain


@pytest.mark.parametrize(
    ("found", "golds", "exact", "f1"),
    [
        ("the cat", ["Cat."], 1, 1),
        ("a black cat", ["cat"], 0, 2 / 3),  # precision 1/2, recall 1
        ("cat cat", ["cat dog"], 0, 1 / 2),  # one cat is shared, once
        ("in 1990", ["1990", "in the year 1990"], 0, 0.8),  # against the second: 2 of 2 and 2 of 3
        ("dog", ["cat"], 0, 0),
        ("", [], 1, 1),
        ("dog", [], 0, 0),
        ("", ["cat"], 0, 0),
    ],
)
def test_exact_match_and_f1_by_hand(found, golds, exact, f1):
    assert exact_match(found, golds) == exact
    assert token_f1(found, golds) == pytest.approx(f1)


def test_a_result_is_shown_beside_its_baseline():
    made = Result(
        1200,
        "rows",
        (
            Measure("accuracy", 0.9, (0.88, 0.92), 0.5),
            Measure("squared error", 1453.8, None, 2.25, share=False),
        ),
        "the commonest label",
        {"labels": ["a", "b"]},
    )
    assert made.to_text().splitlines() == [
        "                               value              95 %          baseline",
        "accuracy                       90.0%    88.0% to 92.0%             50.0%",
        "squared error                  1,454                 -             2.250",
        "1,200 rows; baseline: the commonest label",
    ]
    assert made.to_json()["measures"]["accuracy"] == {
        "value": 0.9, "interval": (0.88, 0.92), "baseline": 0.5, "share": True,
    }  # fmt: skip
    assert made.to_json()["labels"] == ["a", "b"]
    alone = Result(1200, "rows", made.measures, None).to_text()
    assert "baseline" not in alone
    assert alone.splitlines()[-1] == "1,200 rows"
