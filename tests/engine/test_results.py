"""Result values: predictions, tables, and rows with errors."""

from __future__ import annotations

import numpy as np
import pytest

from playground.engine.results import Explanation, Fill, Scores


def _scores(probabilities: list[list[float]], **changes: object) -> Scores:
    rows = len(probabilities)
    values: dict = {
        "labels": ("a", "b"),
        "words": ("x", "y"),
        "probabilities": np.array(probabilities, dtype=float).reshape(rows, 2),
        "label_scores": np.zeros((rows, 2)),
        "word_log_probs": None,
        "mass": None,
        "log_prior": None,
        "tokens": np.arange(rows) + 5,
        "dropped": np.arange(rows),
    }
    return Scores(**(values | changes))


def test_the_prediction_is_the_likeliest_label():
    scores = _scores([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    assert scores.predictions == ["a", "b", "a"]  # the first of two that are equal
    assert len(scores) == 3


def test_a_row_with_an_error_has_no_prediction():
    scores = _scores([[0.9, 0.1], [np.nan, np.nan]], errors={1: "too long"})
    assert scores.predictions == ["a", None]


def test_the_table_has_a_row_a_text():
    scores = _scores([[0.9, 0.1], [np.nan, np.nan]], errors={1: "too long"})
    frame = scores.to_frame()
    assert list(frame.columns) == ["prediction", "a", "b", "tokens", "dropped", "error"]
    assert frame["a"].iloc[0] == 0.9
    assert frame["tokens"].tolist() == [5, 6]
    assert frame["dropped"].tolist() == [0, 1]
    assert frame["error"].tolist() == ["", "too long"]
    assert frame["prediction"].iloc[0] == "a"
    assert frame["prediction"].isna().tolist() == [False, True]


@pytest.mark.parametrize("label", ["prediction", "tokens", "dropped", "error"])
def test_a_label_may_be_called_like_a_column(label):
    scores = _scores([[0.9, 0.1]], labels=(label, "b"))
    frame = scores.to_frame()
    assert list(frame.columns) == ["prediction", f"P({label})", "b", "tokens", "dropped", "error"]
    assert frame[f"P({label})"].iloc[0] == 0.9
    assert frame["prediction"].iloc[0] == label
    assert (frame["tokens"].iloc[0], frame["dropped"].iloc[0], frame["error"].iloc[0]) == (5, 0, "")


def test_an_empty_table_has_its_columns():
    frame = _scores([]).to_frame()
    assert list(frame.columns) == ["prediction", "a", "b", "tokens", "dropped", "error"]
    assert len(frame) == 0


def test_a_fill_unpacks_as_the_tutorials_triple():
    token, logit, probability = Fill("good", 3.5, 0.25)
    assert (token, logit, probability) == ("good", 3.5, 0.25)


def test_an_explanation_predicts_the_likeliest_label():
    arrays = dict.fromkeys(("uncalibrated", "prior"), np.zeros(2))
    shown = Explanation(
        ("a", "b"), np.array([0.3, 0.7]), **arrays, words=(), mass=0.1, top=(), segments=(),
        tokens=5, max_tokens=64, dropped=0,
    )  # fmt: skip
    assert shown.prediction == "b"
