"""The curve of a training: where its points stand, what is marked, and that it never jumps."""

from __future__ import annotations

import itertools
import math
import re

import pytest

from playground.app.tuning_curve import curve, kept_step
from playground.engine.tuning.loop import Step
from tests.app.elements import read, texts

STEPS = (
    Step(0, None, 0.0, 0.5, 0.8, best=True),
    Step(1, 0.9, 1e-3),
    Step(2, 0.6, 2e-3, 0.75, 0.5, best=True),
    Step(3, 0.3, 1e-3),
    Step(4, 0.1, 1e-3, 0.75, 0.9),
)


def points(html: str, kind: str) -> list[list[tuple[float, float]]]:
    lines = [e for e in read(html) if e.tag == "polyline" and kind in e.classes]
    pairs = [line.attributes["points"].split() for line in lines]
    return [[tuple(map(float, pair.split(","))) for pair in own] for own in pairs]


def test_points_stand_where_step_and_value_say():
    html = curve(STEPS, 4, 2, "the zero-shot prompt")
    [batch] = points(html, "pp-train")
    assert len(batch) == 4
    loss, share = points(html, "pp-held")
    assert [x for x, _ in loss] == [x for x, _ in share] == sorted({x for x, _ in loss})
    assert share[0][1] > share[1][1] == share[2][1]  # up is better
    assert loss[0][1] > loss[1][1] < loss[2][1] or loss[0][1] < loss[1][1] > loss[2][1]
    across = [x for x, _ in batch]
    assert [b - a for a, b in itertools.pairwise(across)] == pytest.approx(
        [across[1] - across[0]] * 3, abs=0.2
    )


def test_the_best_step_is_ringed_and_step_0_is_a_line():
    html = curve(STEPS, 4, 2, "the zero-shot prompt")
    [ring] = [e for e in read(html) if e.tag == "circle" and "pp-here" in e.classes]
    x, y = points(html, "pp-held")[1][1]
    assert (float(ring.attributes["cx"]), float(ring.attributes["cy"])) == (x, y)
    [start] = [e for e in read(html) if "pp-start" in e.classes]
    assert float(start.attributes["y1"]) == points(html, "pp-held")[1][0][1]
    assert kept_step(STEPS) == STEPS[2]
    assert "step 0: the zero-shot prompt" in "".join(texts(html, "pp-keys"))


def test_the_frame_is_the_same_before_and_during_a_training():
    frames = set()
    for steps in ((), STEPS[:1], STEPS[:3]):
        drawn = [e for e in read(curve(steps, 4, 2, "x")) if e.tag in ("svg", "line", "text")]
        frames.add(
            tuple(
                (e.tag, e.attributes.get("y1"), e.attributes.get("y"), e.text)
                for e in drawn
                if "pp-start" not in e.classes and e.tag != "svg"
            )
        )
    assert len(frames) == 1


def test_a_high_loss_moves_the_axis_in_halves():
    html = curve((Step(0, None, 0.0), Step(1, 7.3, 0.1)), 4, 2, "x")
    said = [e.text for e in read(html) if e.tag == "text"]
    assert "7.5" in said
    [[(_, y)]] = points(html, "pp-train")
    assert 20 <= y <= 140
    many = curve((), 4, 64, "x")
    assert f"{math.ceil(2 * 1.2 * math.log(64)) / 2:.3g}" in [e.text for e in read(many)]


def test_without_dev_rows_it_says_so():
    steps = (Step(0, None, 0.0, best=True), Step(1, 0.5, 0.1, best=True))
    html = curve(steps, 4, 2, "x")
    assert "no dev rows: the last step is kept" in [e.text for e in read(html)]
    assert not [e for e in read(html) if "pp-start" in e.classes]
    assert kept_step(steps) == steps[1]
    assert "no dev rows" not in curve((), 4, 2, "x")


def test_other_seeds_stand_faint_behind():
    html = curve(STEPS[:2], 4, 2, "x", others=[STEPS])
    [faint] = points(html, "pp-faint")
    assert len(faint) == 3


def test_it_is_told_in_words():
    [svg] = [e for e in read(curve(STEPS, 4, 2, "x")) if e.tag == "svg"]
    assert svg.attributes["aria-label"] == (
        "The loss goes from 0.90 to 0.10 nats, accuracy on the dev rows from 50.0 % to 75.0 % in 4 steps"
    )
    [empty] = [e for e in read(curve((), 4, 2, "x")) if e.tag == "svg"]
    assert empty.attributes["aria-label"].endswith("empty before it starts")


def test_long_trainings_are_thinned_and_what_step_0_is_is_escaped():
    steps = [Step(k, 0.5, 0.1) for k in range(2000)]
    html = curve(steps, 2000, 2, "<b>")
    assert len(points(html, "pp-train")[0]) <= 400
    assert "<b>" not in html
    assert not re.search(r"nan|inf", html)
