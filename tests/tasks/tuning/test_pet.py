"""PET on a tiny random model: soft labels by hand, what each generation is tuned on, and that it helps."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from playground import PlaygroundError
from playground.engine.tuning.files import load_delta
from playground.engine.tuning.recipe import Recipe
from playground.tasks.evaluation import LabelledRows
from playground.tasks.tuning.pet import (
    Doing,
    Member,
    PetRecipe,
    Stage,
    _Run,
    accuracy_gain,
    pet,
    soft_labels,
)
from playground.tasks.tuning.shots import draw_shots, set_apart

THINGS = ["film", "book", "food", "music", "train", "phone", "room", "story", "bus", "price"]
BEFORE = ["The", "His", "My", "A"]


@pytest.fixture(scope="module")
def rows() -> LabelledRows:
    texts = [
        {"text": f"{start} {thing} was {word}."}
        for word in ("great", "awful")
        for thing in THINGS
        for start in BEFORE
    ]
    return LabelledRows("rows", ("positive", "negative"), texts, np.array([1] * 40 + [0] * 40))


RECIPE = PetRecipe(
    Recipe(steps=40, learning_rate=3e-3, batch_size=8, evaluate_every=10),
    Recipe(method="cls", steps=60, learning_rate=3e-3, batch_size=16, evaluate_every=10),
    generations=1,
)


def test_soft_labels_are_the_weighed_mean_at_a_temperature():
    one, other = np.log([[0.8, 0.2]]), np.log([[0.4, 0.6]])
    found = soft_labels([one, other], [0.9, 0.3], temperature=2.0)
    raw = [np.exp((0.75 * np.log(a) + 0.25 * np.log(b)) / 2) for a, b in ((0.8, 0.4), (0.2, 0.6))]
    assert found == pytest.approx(np.array([raw]) / sum(raw))
    equal = soft_labels([one, other], [0.0, 0.0], temperature=1.0)
    assert equal == pytest.approx(soft_labels([one, other], [1.0, 1.0], temperature=1.0))


@pytest.fixture(scope="module")
def told(model, rows, prompt):
    drawn = draw_shots(rows, shots=4)
    unlabelled, held_out = set_apart(drawn.held_out, 32)
    return list(pet(model, prompt, drawn.draws[0], unlabelled, held_out, RECIPE)), held_out


def test_the_stages_follow_each_other_and_learn(told):
    steps, held_out = told
    stages = [one for one in steps if isinstance(one, Stage)]
    assert [s.name for s in stages] == ["zero-shot", "templates", "generation 1", "classifier"]
    assert [len(s.members) for s in stages] == [3, 3, 3, 0]
    assert stages[0].result.metrics.accuracy <= 0.6
    assert stages[-1].result.metrics.accuracy >= 0.8
    assert stages[1].rows == 8
    assert 8 < stages[2].rows <= 8 * 5
    assert stages[3].rows == 8 + 32
    assert stages[3].delta.method == "cls"
    assert all(s.result.metrics.rows == len(held_out) for s in stages)
    gains = accuracy_gain(stages)
    assert gains[0] == 0.0
    assert sum(gains) == pytest.approx(
        stages[-1].result.metrics.accuracy - stages[0].result.metrics.accuracy
    )
    tuned = {one.what for one in steps if isinstance(one, Doing)}
    assert "templates: {text} It was {mask}." in tuned
    assert len(tuned) == 3 + 3 + 1


def test_what_is_done_in_a_folder_is_read_and_other_rows_start_anew(model, rows, prompt, tmp_path):
    short = PetRecipe(
        Recipe(steps=4, evaluate_every=2, learning_rate=3e-3),
        Recipe(method="cls", steps=4, evaluate_every=2, batch_size=16),
    )
    drawn = draw_shots(rows, shots=4)
    unlabelled, held_out = set_apart(drawn.held_out, 32)

    def run(unlabelled=unlabelled, **options):
        told = pet(
            model, prompt, drawn.draws[0], unlabelled, held_out, short, folder=tmp_path, **options
        )
        steps = list(told)
        done = {one.what for one in steps if isinstance(one, Doing) and one.step is None}
        return steps[-1], len(done)

    first, known = run()
    assert known == 0
    assert load_delta(tmp_path).digest == first.delta.digest
    assert [load_delta(tmp_path / "templates" / k).method for k in "123"] == ["whole"] * 3
    again, known = run()
    assert known == 4
    assert again.delta.digest == first.delta.digest
    assert (again.result.probabilities == first.result.probabilities).all()
    assert run(fresh=True)[1] == 0
    other, known = run(unlabelled[1:])
    assert known == 3  # the templates; the classifier has other rows
    assert (first.delta.report["rows"], other.delta.report["rows"]) == (40, 39)


def test_the_ensemble_is_weighed_by_dev_accuracy(told):
    from playground.tasks.evaluation import ensemble

    steps, held_out = told
    stage = next(one for one in steps if isinstance(one, Stage) and one.name == "templates")
    last = {}
    for one in steps:
        if isinstance(one, Doing) and one.what.startswith("templates: ") and one.step.best:
            last[one.what] = one.step.dev_accuracy
    by_hand = ensemble(stage.members, held_out.gold, weights=list(last.values()))
    assert np.allclose(stage.result.probabilities, by_hand.probabilities)


def test_a_generation_takes_sure_rows_in_the_labels_proportion(model, rows):
    drawn = draw_shots(rows, shots=4)
    unlabelled, held_out = set_apart(drawn.held_out, 60)
    run = _Run(model, drawn.draws[0], unlabelled, held_out, RECIPE)
    scores = np.log(np.tile([[0.9, 0.1], [0.2, 0.8]], (30, 1)))
    members = [Member(None, 1.0, scores) for _ in range(3)]
    grown = run.grown(members, 0, 1)
    assert len(grown) == 8 * 5
    assert grown.targets.sum(0).tolist() == [20, 20]
    assert grown.rows[:8] == tuple(drawn.draws[0].train.rows)
    place = {row["text"]: k for k, row in enumerate(unlabelled)}
    for row, target in zip(grown.rows[8:], grown.targets[8:], strict=True):
        assert target.argmax() == place[row["text"]] % 2
    assert len({row["text"] for row in grown.rows}) == 40
    again = run.grown(members, 0, 1)
    assert again.rows == grown.rows
    assert run.grown(members, 1, 1).rows != grown.rows
    assert len(run.grown(members, 0, 3)) == 8 + 60  # no more than there are


def test_what_pet_cannot_take_is_told(model, rows, prompt):
    drawn = draw_shots(rows, shots=4)
    draw = drawn.draws[0]
    single = replace(prompt, alternatives=())
    with pytest.raises(
        PlaygroundError, match=r"^PET takes several templates and the prompt prompt has one; "
    ):
        next(pet(model, single, draw, [], drawn.held_out, RECIPE))
    with pytest.raises(
        PlaygroundError, match=r"^PET weighs templates by a dev set; give --dev-shots above 0\.$"
    ):
        next(pet(model, prompt, replace(draw, dev=None), [], drawn.held_out, RECIPE))
    message = "A member of PET reads label words, and cls does not fit every template; choose whole, bias or lora."
    with pytest.raises(PlaygroundError, match=f"^{message}$"):
        PetRecipe(Recipe(method="cls"))
    message = "generations is 6; it must be from 0 (PET) to 5 (iPET)."
    with pytest.raises(PlaygroundError, match=f"^{re.escape(message)}$"):
        PetRecipe(generations=6)
    with pytest.raises(
        PlaygroundError, match=r"^80 rows are to be used without labels and 80 are left "
    ):
        set_apart(rows, 80)
