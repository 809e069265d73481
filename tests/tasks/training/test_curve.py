"""A curve is saved whole under the name of its metric, and drawn."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from playground.tasks.training.curve import ACCURACY, Curve, Metric, Point

CURVE = Curve(
    (
        Point(1, 0.1, loss=1.2, learning_rate=1e-4),
        Point(5, 0.5, loss=1.0, learning_rate=5e-5, dev_loss=1.05, dev_score=0.5),
        Point(10, 1.0, dev_loss=0.9, dev_score=0.625),
    ),
    10,
)
RANKS = replace(CURVE, metric=Metric("spearman", share=False, loss="squared error"))


def test_a_curve_is_saved_whole_and_small(tmp_path):
    CURVE.save(tmp_path / "curve.json")
    assert Curve.load(tmp_path / "curve.json") == CURVE
    first = json.loads((tmp_path / "curve.json").read_text())["points"][0]
    assert first == {"step": 1, "epoch": 0.1, "loss": 1.2, "learning_rate": 1e-4}


@pytest.mark.parametrize("curve", [CURVE, Curve(CURVE.points[:1], 1), Curve((), 0)])
def test_a_curve_is_drawn_as_svg(curve, tmp_path):
    curve.draw(tmp_path / "curve.svg")
    root = ElementTree.parse(tmp_path / "curve.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "<script" not in (tmp_path / "curve.svg").read_text()


def test_the_file_of_an_accuracy_names_no_metric(tmp_path):
    CURVE.save(tmp_path / "curve.json")
    found = json.loads((tmp_path / "curve.json").read_text())
    assert list(found) == ["best_step", "points"]
    assert found["points"][2] == {"step": 10, "epoch": 1.0, "dev_loss": 0.9, "dev_accuracy": 0.625}


def test_another_metric_is_named_and_read_again(tmp_path):
    RANKS.save(tmp_path / "curve.json")
    found = json.loads((tmp_path / "curve.json").read_text())
    assert found["metric"] == {"name": "spearman", "share": False, "loss": "squared error"}
    assert found["points"][2] == {"step": 10, "epoch": 1.0, "dev_loss": 0.9, "dev_spearman": 0.625}
    assert Curve.load(tmp_path / "curve.json") == RANKS


@pytest.mark.parametrize(
    ("curve", "shown"),
    [(CURVE, ["62.5%", "dev accuracy, %", "loss, nats"]), (RANKS, ["0.625", "dev spearman", "squared error"])],
)  # fmt: skip
def test_the_picture_names_what_it_shows(curve, shown, tmp_path):
    curve.draw(tmp_path / "curve.svg")
    text = (tmp_path / "curve.svg").read_text()  # matplotlib notes each text beside its outlines
    assert [name for name in shown if f"<!-- {name} -->" not in text] == []


@pytest.mark.parametrize(
    ("metric", "value", "shown"),
    [(ACCURACY, 0.625, "62.5%"), (RANKS.metric, 0.625, "0.625"), (RANKS.metric, -0.0421, "-0.042")],
)
def test_a_share_is_shown_in_percent_and_a_correlation_as_a_number(metric, value, shown):
    assert metric.show(value) == shown


def test_a_name_of_two_words_is_read_as_two():
    assert Metric("macro_f1").title == "macro f1"
