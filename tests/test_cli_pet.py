"""``playground tune pet``: a table of stages, the classifier's delta, and one sentence an error."""

from __future__ import annotations

import json
import os
import signal

import pytest

from playground.cli import main
from playground.engine.tuning.files import load_delta
from playground.engine.tuning.loop import Tuner

THINGS = ["film", "meal", "song", "book", "hotel", "play", "game", "dish", "show", "trip"]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("PLAYGROUND_THREADS", "1")


@pytest.fixture
def reviews(tmp_path) -> str:
    lines = [f"A good {thing} that I loved.,positive\n" for thing in THINGS]
    lines += [f"A bad {thing} that I hated.,negative\n" for thing in THINGS]
    (tmp_path / "reviews.csv").write_text(f"text,label\n{''.join(lines)}", encoding="utf-8")
    return str(tmp_path / "reviews.csv")


def command(reviews, folder, *more):
    given = ["tune", "pet", reviews, "--prompt", "sentiment", "--shots", "2", "--templates", "2"]
    return [
        *given,
        "--steps",
        "2",
        "--last-steps",
        "2",
        "--unlabelled",
        "6",
        "--out",
        str(folder),
        *more,
    ]


def test_stages_are_measured_and_the_classifier_is_kept(reviews, tmp_path, prompting, capsys):
    numbers = tmp_path / "numbers.json"
    assert main(command(reviews, tmp_path / "pet", "--json", str(numbers))) == 0
    shown, told = capsys.readouterr()
    found = json.loads(numbers.read_text(encoding="utf-8"))
    assert [stage["name"] for stage in found["stages"]] == ["zero-shot", "templates", "classifier"]
    assert [len(stage["members"]) for stage in found["stages"]] == [2, 2, 0]
    assert [stage["tuned_on"] for stage in found["stages"]] == [0, 4, 4 + 6]
    assert found["rows"] == 20 - 8 - 6
    for stage in found["stages"]:
        assert f"{stage['name']:12}  {stage['accuracy']:8.1%}" in shown
    assert "2 templates are tuned on 4 rows and label 6; all is measured on 6 others." in told
    delta = load_delta(tmp_path / "pet")
    assert delta.method == "cls"
    assert len(prompting.tuned(delta).classify(["A good film."], delta.prompt)) == 1


def test_ctrl_c_is_told_and_the_same_command_goes_on(reviews, tmp_path, monkeypatch, capsys):
    plain, calls = Tuner._learn, []

    def pressed(self, step, rate):
        calls.append(step)
        if len(calls) == 3:  # in the first step of the second template
            os.kill(os.getpid(), signal.SIGINT)
        return plain(self, step, rate)

    monkeypatch.setattr(Tuner, "_learn", pressed)
    assert main(command(reviews, tmp_path / "pet")) == 130
    told = capsys.readouterr().err.splitlines()
    assert told[-1] == "playground: stopped; the same command goes on from here"
    assert main(command(reviews, tmp_path / "pet")) == 0
    assert calls == [1, 2, 1, 2, 1, 2]
    told = capsys.readouterr().err
    assert "templates: {text} It was {mask}.: done by an earlier run" in told
    assert ": going on at step 1 of 2" in told


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--generations", "9"], "generations is 9; it must be from 0 (PET) to 5 (iPET)."),
        (["--templates", "1"], "PET takes several templates and the prompt sentiment has one; add another to its card."),
        (["--dev-shots", "-1"], "--dev-shots is -1; it must be 0 or more."),
        (["--out", __file__], f'"{__file__}" is a file; give a folder for the deltas with --out.'),
        (["--dev-shots", "0"], "PET weighs templates by a dev set; give --dev-shots above 0."),
        (["--unlabelled", "12"], "12 rows are to be used without labels and 12 are left to be measured on; give more rows, or set fewer apart."),
    ],
)  # fmt: skip
def test_what_a_user_can_mend_is_one_sentence(more, message, reviews, tmp_path, capsys):
    assert main(command(reviews, tmp_path / "pet", *more)) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1] == f"playground: {message}"
