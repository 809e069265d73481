"""The breakage lab: the right way is the engine's own, the wrong one differs by the mistake alone."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from playground import PlaygroundError
from playground.engine.tuning.loop import Tuner
from playground.engine.tuning.recipe import Recipe
from playground.tasks.tuning.mistakes import MISTAKES, side_by_side
from playground.tasks.tuning.runs import measured
from playground.tasks.tuning.shots import as_shots, draw_shots

STEPS = 5


@pytest.fixture(scope="module")
def drawn(labelled):
    """Four rows of each label, of different lengths, and twenty to measure on."""
    rows = [{"text": row["text"] * (1 + i % 3)} for i, row in enumerate(labelled.rows)]
    return draw_shots(replace(labelled, rows=rows), shots=4, most=20)


@pytest.fixture(scope="module")
def trials(model, prompt, drawn):
    """All states of each mistake's run."""
    return {
        name: list(side_by_side(model, prompt, drawn.draws[0], drawn.held_out, name, steps=STEPS, batch_size=4))
        for name in MISTAKES
    }  # fmt: skip


@pytest.mark.parametrize("name", list(MISTAKES))
def test_both_ways_are_told_step_by_step_and_measured(name, trials):
    own = trials[name]
    assert [len(one.right) for one in own] == [0, 1, 2, 3, 4, 5, 6, 6]
    assert all(len(one.right) == len(one.wrong) for one in own)
    assert [one.before is not None for one in own] == [False] + [True] * 7
    assert [one.after is not None for one in own] == [False] * 7 + [True]
    last = own[-1]
    assert [step.step for step in last.right] == list(range(STEPS + 1))
    assert last.right[STEPS].dev_accuracy is not None
    assert last.mistake.name == name
    assert last.facts.said
    assert all(len(row) == len(last.facts.heads) for row in last.facts.rows)
    assert re.fullmatch(
        r"On 20 other rows the right way goes from \S+% to \S+% and the wrong one from \S+% to \S+% "
        r"\(.*, p = \S+\)\.",
        last.outcome,
    )
    assert own[0].outcome == ""


@pytest.mark.parametrize(
    "name", ["double-softmax", "learning-rate", "label-word", "attention-mask"]
)
def test_the_right_way_is_the_engine_s_own(name, trials, model, prompt, drawn):
    draw = drawn.draws[0]
    recipe = Recipe(steps=STEPS, batch_size=4, evaluate_every=5)
    tuner = Tuner(model.backbone, prompt, as_shots(draw.train), as_shots(draw.dev), recipe=recipe)
    last = trials[name][-1]
    assert tuple(tuner.run()) == last.right
    if name != "double-softmax":
        return
    plain = measured(model, prompt, drawn.held_out, "x")
    assert np.allclose(last.before[0].probabilities, plain.probabilities, atol=1e-5)
    tuner.best = {n: w.detach().clone() for n, w in tuner.network.tuned.items()}  # the last step
    tuned = model.tuned(tuner.delta())
    expected = measured(tuned, prompt, drawn.held_out, "x")
    assert np.allclose(last.after[0].probabilities, expected.probabilities, atol=1e-3)


def test_only_the_mistake_differs(trials):
    softmax, rate = trials["double-softmax"][-1], trials["learning-rate"][-1]
    assert min(step.loss for step in softmax.wrong[1:]) > 0.3132
    assert softmax.wrong[0].dev_loss == softmax.right[0].dev_loss
    assert softmax.wrong[1].loss != softmax.right[1].loss
    assert rate.wrong[1].loss == rate.right[1].loss  # before anything is learned
    assert [s.learning_rate / o.learning_rate for s, o in zip(rate.wrong[1:], rate.right[1:], strict=True)] == (
        pytest.approx([20.0] * STEPS)
    )  # fmt: skip
    word = trials["label-word"][-1]
    assert [step.loss for step in word.wrong[1:]] == pytest.approx([np.log(2)] * STEPS, abs=1e-6)
    assert np.allclose(word.after[1].probabilities, 0.5, atol=1e-6)
    same = trials["attention-mask"][-1]
    assert same.wrong[1].loss != same.right[1].loss
    assert trials["mask-cut-off"][-1].room is not None


def test_the_facts_are_those_of_the_rows(trials):
    facts = trials["double-softmax"][-1].facts
    shares = [float(row[0]) for row in facts.rows]
    assert shares == sorted(shares)
    for _, once, twice, *_ in facts.rows:
        assert float(twice) > 0.313 or float(once) > 0.313
    assert "With 2 labels the loss cannot fall below 0.313" in facts.said
    assert "At P = 0.01 it would leave 1.5%." in facts.said
    facts = trials["label-word"][-1].facts
    assert [(row[0], row[1], row[3]) for row in facts.rows] == [
        ("great", "great", "[UNK]"), ("awful", "awful", "[UNK]"),
    ]  # fmt: skip
    assert facts.said.startswith(
        "2 of 2 label words are read at another piece, 2 of them at the unknown one. All labels read the "
        "same piece"
    )
    facts = trials["attention-mask"][-1].facts
    assert any(row[3] != row[4] for row in facts.rows)
    assert all(row[2] == row[3] for row in facts.rows)  # alone there is no padding
    cut = trials["mask-cut-off"][-1]
    found = re.match(
        r"Of 8 rows to tune on, (\d+) lose their mask where (\d+) tokens", cut.facts.said
    )
    assert int(found[2]) == cut.room
    assert 0 < int(found[1]) == len(cut.facts.rows)
    assert all(int(row[1]) > cut.room for row in cut.facts.rows)
    assert trials["learning-rate"][0].facts.said == ""
    moved = trials["learning-rate"][-1].facts.rows
    assert all(float(row[2][:-1]) > float(row[1][:-1]) for row in moved)


def test_nothing_of_the_model_changes(trials, model, prompt, drawn):
    before = trials["double-softmax"][-1].before[0].probabilities
    again = measured(model, prompt, drawn.held_out, "x").probabilities
    assert np.allclose(before, again, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "template", "message"),
    [
        ("typo", "{text} It was {mask}.", 'There is no mistake "typo"; choose one of double-softmax, learning-rate, mask-cut-off, label-word, attention-mask.'),
        ("mask-cut-off", "{mask}: {text}", "The mask stands where no text pushes it out; take a template with the mask behind the text, or longer texts, to see it cut off."),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_told(name, template, message, model, prompt, drawn):
    own = prompt.with_template(template)
    with pytest.raises(PlaygroundError) as caught:
        next(side_by_side(model, own, drawn.draws[0], drawn.held_out, name))
    assert str(caught.value) == message
