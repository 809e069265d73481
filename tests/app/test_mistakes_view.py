"""The breakage lab's HTML: both curves where the numbers say, all text escaped, one sentence at the end."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from playground.app import mistakes_view
from playground.engine.tuning.loop import Step
from playground.tasks.evaluation import Result
from playground.tasks.metrics import measure
from playground.tasks.tuning.mistake_facts import Facts
from playground.tasks.tuning.mistakes import MISTAKES, Mistake, Trial

GOLD = np.array([0, 1] * 10)


def result(right: int) -> Result:
    shares = np.eye(2)[np.where(np.arange(20) < right, GOLD, 1 - GOLD)]
    return Result("x", shares, measure(shares, GOLD))


@pytest.fixture
def trial() -> Trial:
    right = (Step(0, None, 0.0, 0.5, 0.7), Step(1, 1.0, 1e-5), Step(2, 0.5, 1e-5, 0.75, 0.5))
    wrong = (Step(0, None, 0.0, 0.5, 0.7), Step(1, 0.75, 1e-5), Step(2, 0.25, 1e-5, 0.25, 0.5))
    facts = Facts(("<i>row</i>", "share"), (("<b>text</b>", "12%"),), "Said: 5%.")
    return Trial(MISTAKES["double-softmax"], 2, 8, GOLD, facts, right, wrong)


def points(html: str, way: str) -> list[list[tuple[float, float]]]:
    found = re.findall(rf'class="pp-{way}-way" points="([^"]*)"', html)
    return [[tuple(map(float, pair.split(","))) for pair in line.split()] for line in found]


def test_both_curves_stand_where_the_numbers_say(trial):
    html = mistakes_view.trial_html(trial)
    (loss, share), (other, low) = points(html, "right"), points(html, "wrong")
    assert [len(line) for line in (loss, share, other, low)] == [2, 2, 2, 2]
    assert loss[0][0] == other[0][0] == pytest.approx((share[0][0] + share[1][0]) / 2)
    assert loss[0][1] < other[0][1]  # a greater loss stands higher
    assert share[0] == low[0]
    assert share[1][1] < share[0][1] < low[1][1]
    top, bottom = 176, 296
    assert share[1][1] == pytest.approx(bottom - 0.75 * (bottom - top))
    said = re.search(r'aria-label="(Loss and dev[^"]*)"', html)[1]
    assert said == (
        "Loss and dev accuracy of both ways: the right way&#x27;s loss goes from 1.00 to 0.50 nats and its "
        "accuracy on the dev rows from 50.0 % to 75.0 %; the wrong way&#x27;s loss goes from 0.75 to 0.25 nats "
        "and its accuracy on the dev rows from 50.0 % to 25.0 %"
    )


def test_what_is_measured_is_told_and_escaped(trial):
    html = mistakes_view.trial_html(trial)
    assert "<b>text" not in html
    assert "&lt;b&gt;text&lt;/b&gt;" in html
    assert "<td>12&nbsp;%</td>" in html
    assert "Said: 5&nbsp;%." in html
    assert "Running: step 2 of 2, both ways on the same 8 rows." in html
    assert mistakes_view.trial_html(trial, stopped=True).count("Stopped after step 2 of 2") == 1
    assert "Both may read 17 tokens here" in mistakes_view.trial_html(replace(trial, room=17))


def test_the_outcome_says_what_a_paired_test_says(trial):
    before = (result(10), result(10))
    apart = replace(trial, before=before, after=(result(20), result(5)))
    assert apart.outcome == (
        "On 20 other rows the right way goes from 50.0% to 100.0% and the wrong one from 50.0% to 25.0% "
        "(which is no chance, p = 6.1e-05)."
    )
    html = mistakes_view.trial_html(apart)
    assert "Done: step 2" in html
    assert "to 100.0&nbsp;% and the wrong one" in html
    alike = replace(trial, before=before, after=(result(12), result(11)))
    assert alike.outcome.endswith("(which the rows do not tell apart, p = 1).")


def test_the_first_state_is_drawn_empty(trial):
    html = mistakes_view.trial_html(replace(trial, right=(), wrong=(), facts=Facts()))
    assert 'aria-label="Two curves, still empty"' in html
    assert "step 0 of 2" in html
    assert "<table" not in html


def test_a_mistake_and_a_place_in_line_are_told():
    odd = Mistake("x", "<t>", "a < b & c", "why", "f(<x>)")
    html = mistakes_view.about(odd)
    assert "a &lt; b &amp; c" in html
    assert "<code>f(&lt;x&gt;)</code>" in html
    assert "In line: one training is before you." in mistakes_view.waiting(1)
    assert "In line: 2 trainings are before you." in mistakes_view.waiting(2)
