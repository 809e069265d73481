"""A training that is watched: what is told of it, when it is stopped, and that it is the command's."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest

from playground.engine.tuning import loop
from playground.engine.tuning.recipe import Recipe
from playground.tasks.tuning.runs import SeedRun, best_of, with_result, zero_shot
from playground.tasks.tuning.shots import draw_shots
from playground.tasks.tuning.watched import Plan, watch

RECIPE = Recipe(method="bias", steps=4, evaluate_every=2, batch_size=4)


@pytest.fixture
def plan(prompt, labelled):
    drawn = draw_shots(labelled, shots=4, seeds=(0, 1))
    return Plan(prompt, RECIPE, drawn.draws, prompt, drawn.held_out)


def test_it_gives_what_the_command_gives(model, prompt, plan):
    *_, last = watch(model, plan, every=0.0)
    seeds = []
    for draw in plan.draws:
        run = SeedRun(model, prompt, draw, RECIPE)
        list(run.run())
        seeds.append(with_result(model, run.finish(), plan.held_out))
    for one, seed in zip(last.outcomes, seeds, strict=True):
        assert one.result.probabilities == pytest.approx(seed.result.probabilities, abs=1e-6)
    assert [one.steps for one in last.outcomes] == [one.steps for one in seeds]
    before = zero_shot(model, prompt, plan.held_out)
    assert [r.name for r in last.before] == [r.name for r in before]
    for one, other in zip(last.before, before, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)
    best = best_of(seeds)
    assert last.delta.digest == best.delta.digest
    assert (last.best.seed, last.best.report) == (best.seed, best.delta.report)
    assert (last.doing, last.stopped) == ("done", False)


def test_it_tells_each_part_in_its_order(model, plan):
    told = list(watch(model, plan, every=0.0))
    order = [now.doing for now in told]
    parts = [part for k, part in enumerate(order) if k == 0 or part != order[k - 1]]
    assert parts == ["zero-shot", "tuning", "measuring", "tuning", "measuring", "done"]
    steps = [now.steps[-1].step for now in told if now.doing == "tuning" and now.steps]
    assert steps == [0, 1, 2, 3, 4] * 2
    assert {now.seed for now in told if now.doing == "tuning"} == {0, 1}
    left = [now.left for now in told if now.doing == "tuning" and now.left is not None]
    assert all(seconds >= 0 for seconds in left)
    assert told[-2].delta is None  # until the end nothing but numbers is told
    cost = told[-1].estimate
    assert (cost.parameters > 0, cost.seconds > 0) == (True, True)


def test_without_rows_to_measure_on_nothing_is_measured(model, plan):
    told = list(watch(model, replace(plan, held_out=None), every=0.0))
    assert {now.doing for now in told} == {"tuning", "measuring", "done"}
    assert told[-1].before == ()
    assert [one.result for one in told[-1].outcomes] == [None, None]


def stops(*, at: str, count: int = 1):
    """Return what asks to stop at the ``count``-th look while it is ``at`` something, once."""
    seen = {"now": "", "looks": 0}

    def asked() -> bool:
        if seen["now"] == at:
            seen["looks"] += 1
        return seen["now"] == at and seen["looks"] == count

    return seen, asked


def run(model, plan, at, count=1):
    seen, asked = stops(at=at, count=count)
    told = []
    for now in watch(model, plan, asked=asked, every=0.0):
        seen["now"] = now.doing
        told.append(now)
    return told


def test_a_stop_while_tuning_keeps_the_best_so_far_and_measures_it(model, plan):
    last = run(model, plan, "tuning", 3)[-1]
    assert (last.stopped, len(last.outcomes)) == (True, 1)
    assert [step.step for step in last.outcomes[0].steps] == [0, 1, 2]
    assert last.outcomes[0].result.metrics.rows == len(plan.held_out)
    assert last.delta.report["steps"] == 2


def test_a_stop_while_measuring_keeps_the_model_without_a_number(model, plan, labelled):
    last = run(model, plan, "measuring")[-1]
    assert last.stopped
    assert last.delta is not None
    many = replace(plan, held_out=replace(
        plan.held_out, rows=plan.held_out.rows * 3, gold=plan.held_out.gold.repeat(3)))  # fmt: skip
    cut = run(model, many, "measuring")[-1]
    assert (cut.outcomes[0].result, cut.stopped, len(cut.outcomes)) == (None, True, 1)


def test_a_stop_before_tuning_leaves_nothing(model, plan):
    last = run(model, plan, "zero-shot")[-1]
    assert (last.doing, last.stopped, last.delta, last.outcomes) == ("done", True, None, ())


def test_who_leaves_frees_the_copy_of_the_model(model, plan, monkeypatch):
    made = []
    first = loop.Network.__init__

    def remember(self, *args, **kwargs):
        first(self, *args, **kwargs)
        made.append(weakref.ref(self))

    monkeypatch.setattr(loop.Network, "__init__", remember)
    steps = watch(model, plan, every=0.0)
    while not (now := next(steps)).steps:
        pass
    assert now.doing == "tuning"
    assert made[0]() is not None
    steps.close()
    gc.collect()
    assert made[0]() is None
