"""Seeds in their folders: saved, read again, continued after a kill, measured, and summed up."""

from __future__ import annotations

import json
import os
import signal
import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from playground import PlaygroundError
from playground.engine.tuning.files import WEIGHTS, load_delta
from playground.engine.tuning.recipe import Recipe
from playground.tasks.evaluation import Candidate, Result, evaluate
from playground.tasks.metrics import measure
from playground.tasks.tuning import keeping
from playground.tasks.tuning.keeping import NOTE, STATE
from playground.tasks.tuning.runs import (
    SeedResult,
    SeedRun,
    best_of,
    measured,
    spread,
    with_result,
    zero_shot,
)
from playground.tasks.tuning.shots import draw_shots

RECIPE = Recipe(method="bias", steps=4, evaluate_every=2, batch_size=4)


@pytest.fixture
def start(model, prompt, labelled, tmp_path):
    """Return a run of a seed in a folder."""

    def make(folder="seed-0", recipe=RECIPE, seed=0, **options):
        draw = draw_shots(labelled, shots=4, seeds=(seed,)).draws[0]
        place = None if folder is None else tmp_path / folder
        return SeedRun(model, prompt, draw, recipe, place, **options)

    return make


def test_a_finished_run_is_read_and_not_done_again(start, tmp_path):
    run = start()
    told = list(run.run())
    found = run.finish()
    assert sorted(p.name for p in (tmp_path / "seed-0").iterdir()) == [
        *("README.md", "SHA256SUMS", WEIGHTS, NOTE)
    ]
    again = start()
    assert again.known
    assert list(again.run()) == []
    back = again.finish()
    assert back.steps == tuple(told) == found.steps
    assert back.delta.digest == found.delta.digest
    fresh = start(fresh=True)
    assert not fresh.known
    assert not start(recipe=replace(RECIPE, steps=5)).known
    assert not start(seed=1).known


def test_a_stopped_run_keeps_its_best_and_goes_on_to_the_same_end(start, tmp_path):
    whole = start("whole")
    list(whole.run())
    expected = whole.finish()
    first = start()
    for step in first.run():
        if step.step == 2:
            break
    best = first.finish()
    assert load_delta(tmp_path / "seed-0").digest == best.delta.digest
    second = start()
    assert (second.known, second.resumed) == (False, 2)
    assert [step.step for step in second.run()] == [3, 4]
    assert second.finish().delta.digest == expected.delta.digest
    assert not (tmp_path / "seed-0" / STATE).exists()
    assert (tmp_path / "seed-0" / WEIGHTS).read_bytes() == (
        tmp_path / "whole" / WEIGHTS
    ).read_bytes()


@pytest.mark.parametrize("damage", ["flip", "weight", "cut", "empty", "other"])
def test_a_damaged_state_starts_anew(start, tmp_path, damage):
    run = start()
    steps = run.run()
    for _ in range(3):
        next(steps)
    run.save_state()
    path = tmp_path / "seed-0" / STATE
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[20] ^= 255
    elif damage == "weight":  # safetensors reads it without a word
        data[-1] ^= 1
    path.write_bytes(
        {"flip": data, "weight": data, "cut": data[: len(data) // 2], "empty": b"", "other": b"{}"}[
            damage
        ]
    )
    assert start().resumed == 0


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"mark": 1}'])
def test_a_damaged_note_or_delta_is_done_again(start, tmp_path, text):
    run = start()
    list(run.run())
    run.finish()
    (tmp_path / "seed-0" / NOTE).write_text(text)
    assert not start().known


def test_a_run_saves_its_state_on_the_way(start, tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "_SAVE_SECONDS", 0.0)
    run = start()
    steps = run.run()
    for _ in range(4):
        next(steps)
    assert start().resumed == 3


def test_ctrl_c_waits_for_the_end_of_a_step(start, tmp_path, monkeypatch):
    whole = start("whole")
    list(whole.run())
    expected = whole.finish()
    run = start()
    learn = run.tuner._learn

    def pressed(step, rate):
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return learn(step, rate)

    monkeypatch.setattr(run.tuner, "_learn", pressed)
    with pytest.raises(KeyboardInterrupt):
        list(run.run())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert run.tuner.step == 2
    assert run.finish().delta.report["steps"] == 2
    again = start()
    assert again.resumed == 2
    list(again.run())
    assert again.finish().delta.digest == expected.delta.digest


def test_a_run_in_another_thread_leaves_signals_alone(start):
    with ThreadPoolExecutor(1) as threads:
        assert len(threads.submit(lambda: list(start().run())).result()) == 5


def test_zero_shot_is_what_eval_gives(model, prompt, labelled):
    plain, calibrated = zero_shot(model, prompt, labelled)
    for found, name in ((plain, "none"), (calibrated, "contextual")):
        own = replace(prompt, scoring=replace(prompt.scoring, calibration=name))
        expected = evaluate(model, [Candidate("x", own)], labelled)[0]
        assert np.allclose(found.probabilities, expected.probabilities, atol=1e-6)
    soft = prompt.with_template("{text} {soft:2} {mask}")
    assert zero_shot(model, soft, labelled) == []


def test_a_seed_is_measured_with_its_own_delta(start, model, labelled):
    run = start(None, replace(RECIPE, method="whole", learning_rate=1e-3))
    list(run.run())
    found = with_result(model, run.finish(), labelled)
    expected = measured(
        model.tuned(run.tuner.delta()), found.delta.prompt, labelled, "whole, seed 0"
    )
    assert found.result.name == "whole, seed 0"
    assert (found.result.probabilities == expected.probabilities).all()
    assert found.delta.report["best_step"] > 0


def test_mean_and_deviation_are_the_sample_s(start):
    run = start(None)
    delta = run.finish().delta
    gold = np.array([0, 0, 1, 1])
    own = []
    for seed, right in enumerate((2, 3, 4)):
        shares = np.eye(2)[np.where(np.arange(4) < right, gold, 1 - gold)]
        own.append(SeedResult(seed, delta, (), Result("x", shares, measure(shares, gold))))
    found = spread(own)
    values = [0.5, 0.75, 1.0]
    assert (found.mean, found.deviation) == (statistics.mean(values), statistics.stdev(values))
    assert (found.least, found.most) == (0.5, 1.0)
    assert spread(own[:1]).deviation is None


def test_the_best_seed_is_chosen_on_dev_rows_alone(start):
    delta = start(None).finish().delta
    own = [
        SeedResult(seed, replace(delta, report={"dev_accuracy": accuracy}), ())
        for seed, accuracy in enumerate((0.5, 0.8, 0.8))
    ]
    assert best_of(own).seed == 1


def test_a_folder_that_cannot_be_written_is_told(start, tmp_path):
    (tmp_path / "seed-0").write_text("a file")
    run = start()
    steps = run.run()
    next(steps)
    with pytest.raises(PlaygroundError, match=r"^The run cannot be written to "):
        run.save_state()


def test_the_card_says_what_was_done(start, tmp_path):
    run = start()
    list(run.run())
    run.finish()
    card = (tmp_path / "seed-0" / "README.md").read_text(encoding="utf-8")
    assert "base_model: tiny\n" in card
    assert "Method `bias`: bias terms alone" in card
    assert "8 labelled rows,\n4 steps of 4, peak learning rate 0.002, seed\n0; step " in card
    note = json.loads((tmp_path / "seed-0" / NOTE).read_text())
    assert note["finished"] is True
    assert [step["step"] for step in note["steps"]] == [0, 1, 2, 3, 4]
