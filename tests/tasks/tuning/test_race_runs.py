"""Running a race: each run is a seed's own tuning, measured once; a finished one is not run again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from playground import PlaygroundError
from playground.engine.tuning.recipe import Recipe
from playground.tasks.tuning.race_runs import Runner, entry_of
from playground.tasks.tuning.runs import SeedRun, with_result, zero_shot
from playground.tasks.tuning.shots import draw_ladder

FEW = {"steps": 2, "batch_size": 4, "evaluate_every": 1}


@pytest.fixture
def start(model, prompt, labelled, tmp_path):
    def runner(**options) -> Runner:
        draws, held_out = draw_ladder(labelled, shots=(2, 4), seeds=(0, 1), most=20)
        entries = [entry_of(prompt, Recipe(method=m, **FEW)) for m in ("bias", "linear")]
        return Runner(model, prompt, entries, draws, held_out, tmp_path / "runs", **options)

    return runner


def test_each_run_is_what_that_seed_gives_alone(start, model, prompt):
    race = start()
    found = {(run.method, run.shots, run.seed): run for run, _ in race.runs()}
    assert race.total == len(found) == 8
    draw = race.draws[4][1]
    alone = SeedRun(model, prompt, draw, Recipe(method="bias", **FEW))
    list(alone.run())
    expected = with_result(model, alone.finish(), race.held_out)
    run = found["bias", 4, 1]
    assert run.accuracy == expected.result.metrics.accuracy
    assert (run.dev_accuracy, run.best_step) == (expected.dev_accuracy, alone.tuner.best_step)
    assert run.nbytes == expected.delta.nbytes
    assert run.parameters == sum(w.numel() for w in alone.tuner.network.tuned.values())


def test_a_stopped_race_goes_on_and_repeats_no_run(start, model):
    first = start()
    runs = first.runs()
    before = [next(runs)[0] for _ in range(3)]
    runs.close()
    told = []
    again = start(on_step=lambda name, step: told.append((name, step.step)))
    both = list(again.runs())
    assert [run for run, known in both if known] == before
    assert sum(not known for _, known in both) == 5
    assert told[:3] == [(f"{both[3][0].method}, 4 shots, seed 0", step) for step in (0, 1, 2)]
    assert all(known for _, known in start().runs())
    race = start().race(first.untuned(), [run for run, _ in both], name="reviews")
    plain, _ = zero_shot(model, first.prompt, first.held_out)
    assert race.untuned[0].accuracy == plain.metrics.accuracy
    assert race.majority == plain.metrics.majority
    assert [run.method for run in race.runs] == ["bias"] * 4 + ["linear"] * 4
    assert [run.shots for run in race.runs[:4]] == [2, 2, 4, 4]


def test_other_numbers_are_run_anew_and_a_damaged_file_too(start, tmp_path, prompt):
    def known(**options) -> list[bool]:
        race = start(**options)
        race.entries, race.draws = race.entries[1:], {2: race.draws[2]}
        return [known for _, known in race.runs()]

    assert known() == [False] * 2
    path = tmp_path / "runs" / "linear-2-seed-0.json"
    note = json.loads(path.read_text(encoding="utf-8"))
    note["run"]["accuracy"] = 2
    path.write_text(json.dumps(note), encoding="utf-8")
    assert known() == [False, True]
    assert known(fresh=True) == [False] * 2
    other = start()
    other.entries = (entry_of(prompt, replace(other.entries[1].recipe, steps=1)),)
    assert not next(other.runs())[1]


def test_soft_puts_tokens_in_front_of_what_the_prompt_says(prompt):
    entry = entry_of(prompt, Recipe(method="soft"))
    assert entry.prompt.template.source == "{soft:4} {text} It was {mask}."
    assert entry_of(prompt, Recipe(method="bias")).prompt == prompt
    own = prompt.with_template("{text} {soft:2} {mask}.")
    assert entry_of(own, Recipe(method="soft")).prompt == own


def test_a_folder_that_cannot_be_written_is_told(start, tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(PlaygroundError, match=r"^The race cannot be written to "):
        list(start().runs())
