"""Labels and numbers of whole texts: measures against scikit-learn and scipy, baselines by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, mean_squared_error

from playground.tasks.heads import Examples
from playground.tasks.heads.head import NOTE, Spec
from playground.tasks.heads.sequence import ClassifyHead, RegressHead, overlap
from tests.engine import tiny

LABELS = ("a", "b", "c")


def scored(count: int = 200, seed: int = 0):
    draw = random.Random(seed)
    gold = [draw.choice("aaabc") for _ in range(count)]
    found = [label if draw.random() < 0.6 else draw.choice(LABELS) for label in gold]
    predictions = [np.log(np.eye(3)[LABELS.index(label)] * 0.9 + 0.03) for label in found]
    return gold, found, predictions


def test_labels_are_measured_as_scikit_learn_does():
    gold, found, predictions = scored()
    head = ClassifyHead(Spec("classify", LABELS), tiny.wordpiece())
    rows = Examples("classify", [("x",)] * len(gold), gold)
    train = Examples("classify", [("x",)] * 3, ["a", "b", "a"])
    result = head.evaluate(predictions, rows, train)
    values = {m.name: m.value for m in result.measures}
    assert values == pytest.approx(
        {
            "matthews": matthews_corrcoef(gold, found),
            "accuracy": accuracy_score(gold, found),
            "macro_f1": f1_score(gold, found, average="macro"),
        }
    )
    constant = ["a"] * len(gold)
    assert {m.name: m.baseline for m in result.measures} == pytest.approx(
        {
            "matthews": 0.0,
            "accuracy": accuracy_score(gold, constant),
            "macro_f1": f1_score(gold, constant, average="macro"),
        }
    )
    for measure in result.measures:
        assert measure.interval[0] < measure.value < measure.interval[1]
    assert result.first.name == head.metric.name
    assert head.evaluate(predictions, rows).first.baseline is None


def test_a_label_is_shown_with_the_share_of_each():
    head = ClassifyHead(Spec("classify", LABELS), tiny.wordpiece())
    prediction = np.log([0.2, 0.7, 0.1])
    assert head.show(("x",), prediction) == {"prediction": "b", "p_a": 0.2, "p_b": 0.7, "p_c": 0.1}
    assert head.lines(("x",), prediction)[0] == f"{'b':20}  70.0%"


@pytest.mark.parametrize("sides", [1, 2])
def test_numbers_are_measured_as_scipy_does(sides):
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 6, 80).astype(float)
    found = gold + rng.normal(0, 2, 80)
    texts = [("a b c", "a b d"), ("a b c", "d e f")] * 40
    rows = Examples("regress", [given[:sides] for given in texts], gold.tolist())
    train = Examples("regress", rows.inputs[:2], [1.0, 4.0])
    head = RegressHead(Spec("regress", ("score",), sides), tiny.wordpiece())
    result = head.evaluate(found.tolist(), rows, train)
    values = {m.name: (m.value, m.baseline) for m in result.measures}
    shared = np.array([0.5, 0.0] * 40)
    none = (0.0, 0.0)
    baseline = (
        none
        if sides == 1
        else (spearmanr(gold, shared).statistic, pearsonr(gold, shared).statistic)
    )
    assert values["spearman"] == pytest.approx((spearmanr(gold, found).statistic, baseline[0]))
    assert values["pearson"] == pytest.approx((pearsonr(gold, found).statistic, baseline[1]))
    assert values["squared error"] == pytest.approx(
        (mean_squared_error(gold, found), ((gold - 2.5) ** 2).mean())
    )
    assert head.score(found.tolist(), rows) == pytest.approx(result.first.value)
    assert {m.baseline for m in head.evaluate(found.tolist(), rows).measures} == {None}


@pytest.mark.parametrize(
    ("first", "second", "share"),
    [("A dog barks.", "a dog BARKS", 1.0), ("a b", "b c", 1 / 3), ("a", "b", 0.0), ("!", "?", 0.0)],
)
def test_the_share_of_common_words(first, second, share):
    assert overlap(first, second) == pytest.approx(share)


def test_what_a_head_is_stands_in_the_config():
    spec = Spec("answer", ("start", "end"), 1, 96, 24, 12, True, 1.5)
    config = spec.to_config()
    assert config[NOTE]["threshold"] == 1.5
    assert Spec.of_config(config | {"id2label": {"0": "start", "1": "end"}}, "x") == spec
