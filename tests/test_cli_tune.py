"""``playground tune``, and ``score`` and ``eval`` with what it wrote: tables, files, one sentence an error."""

from __future__ import annotations

import csv
import json
import re

import pytest

from playground import Prompt
from playground.cli import main
from playground.engine.tuning.files import load_delta
from playground.tasks.evaluation import read_labelled
from playground.tasks.reading import read_file
from playground.tasks.tuning.runs import measured
from playground.tasks.tuning.shots import draw_shots

THINGS = ["film", "meal", "song", "book", "hotel", "play", "game", "dish", "show", "trip"]
FEW = ["--shots", "2", "--seeds", "2", "--steps", "2", "--batch", "4"]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("PLAYGROUND_THREADS", "1")


@pytest.fixture(scope="module")
def reviews(tmp_path_factory) -> str:
    lines = [f"A good {thing} that I loved.,positive\n" for thing in THINGS]
    lines += [f"A bad {thing} that I hated.,negative\n" for thing in THINGS]
    path = tmp_path_factory.mktemp("rows") / "reviews.csv"
    path.write_text(f"text,label\n{''.join(lines)}", encoding="utf-8")
    return str(path)


def sentence(capsys) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1].removeprefix("playground: ")


def test_it_is_explained_with_examples(capsys):
    assert main(["tune", "--help"]) == 0
    assert "examples:\n  playground tune " in capsys.readouterr().out


def test_two_methods_are_tuned_measured_saved_and_continued(reviews, tmp_path, prompting, capsys):
    out, numbers = tmp_path / "out", tmp_path / "numbers.json"
    command = ["tune", reviews, "--prompt", "sentiment", "--method", "bias", "linear", *FEW]
    command += ["--out", str(out), "--json", str(numbers)]
    assert main(command) == 0
    shown, told = capsys.readouterr()
    assert "Each seed tunes on 4 rows and chooses by 4; all are measured on 10 others." in told
    assert re.search(r"bias, seed 0: [\d,]+ parameters, about \d+ s and \d+ MiB\.", told)
    found = json.loads(numbers.read_text(encoding="utf-8"))
    prompt = Prompt.load("sentiment")
    labelled = read_labelled(read_file(reviews), prompt)
    held_out = draw_shots(labelled, shots=2, seeds=(0, 1), most=2000).held_out
    assert found["rows"] == len(held_out) == 10
    assert [one["name"] for one in found["before"]] == ["zero-shot", "zero-shot, calibrated"]
    plain = measured(prompting, prompt, held_out, "x")
    assert found["before"][0]["accuracy"] == plain.metrics.accuracy
    for method, name in zip(found["methods"], ("bias", "linear"), strict=True):
        assert method["recipe"]["method"] == name
        assert [one["seed"] for one in method["seeds"]] == [0, 1]
        for one in method["seeds"]:
            delta = load_delta(out / name / f"seed-{one['seed']}")
            result = measured(prompting.tuned(delta), delta.prompt, held_out, "x")
            assert one["held_out"]["accuracy"] == result.metrics.accuracy
            assert one["bytes"] == delta.nbytes
        best = max(method["seeds"], key=lambda one: (one["report"]["dev_accuracy"], -one["seed"]))
        expected = load_delta(out / name / f"seed-{best['seed']}").digest
        assert load_delta(out / name).digest == expected
        assert f"{name}, mean of 2" in shown
        assert f"{method['accuracy']['mean']:.1%}" in shown
    assert "Step 0 of bias is the zero-shot prompt." in shown
    assert "Step 0 of linear is an untrained head, a guess." in shown
    assert main(command) == 0
    again, told = capsys.readouterr()
    assert again == shown
    assert told.count("done by an earlier run.") == 4


def test_ctrl_c_keeps_the_best_and_the_same_command_goes_on(reviews, tmp_path, monkeypatch, capsys):
    from playground.tasks.tuning.runs import SeedRun

    command = ["tune", reviews, "--prompt", "sentiment", "--method", "linear", *FEW[:4]]
    command += ["--steps", "30", "--out", str(tmp_path / "out")]
    plain = SeedRun.run

    def stopped(self):
        for step in plain(self):
            yield step
            if step.step == 12:
                raise KeyboardInterrupt

    monkeypatch.setattr(SeedRun, "run", stopped)
    assert main(command) == 0
    shown, told = capsys.readouterr()
    assert "stopped after step 12; the best so far is kept and measured" in told
    assert "linear, mean of 1" in shown
    assert load_delta(tmp_path / "out" / "seed-0").report["steps"] == 12
    monkeypatch.setattr(SeedRun, "run", plain)
    assert main(command) == 0
    shown, told = capsys.readouterr()
    assert "linear, seed 0: going on at step 12." in told
    assert "linear, mean of 2" in shown


@pytest.fixture(scope="module")
def tuned(reviews, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("tuned") / "soft"
    template = ["--template", "{text} {soft:2} It was {mask}."]
    command = ["tune", reviews, "--prompt", "sentiment", "--method", "soft", *template]
    assert main([*command, *FEW, "--seeds", "1", "--out", str(folder)]) == 0
    return str(folder)


def test_a_tuned_prompt_scores_a_table(tuned, reviews, tmp_path, prompting):
    out = tmp_path / "scored.csv"
    assert main(["score", reviews, "--tuned", tuned, "-o", str(out)]) == 0
    delta = load_delta(tuned)
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    scores = prompting.tuned(delta).classify([row["text"] for row in rows], delta.prompt)
    assert [row["prediction"] for row in rows] == scores.predictions
    assert float(rows[0]["p_positive"]) == pytest.approx(scores.probabilities[0, 0], abs=1e-5)


def test_a_tuned_prompt_is_measured_beside_others(tuned, reviews, capsys):
    assert main(["eval", reviews, "--prompt", "sentiment", "--tuned", tuned]) == 0
    assert "soft · tuned" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "ROWS", "--tuned", "no-such"], 'The folder "no-such" holds no whole delta: delta.safetensors or SHA256SUMS cannot be read; give a folder that playground tune wrote.'),
        (["score", "ROWS", "--tuned", "x", "--engine", "ray"], "--engine ray takes no --tuned; score it in this process."),
        (["eval", "ROWS", "--prompt", "sentiment", "--probe", "--tuned", "x"], "--tuned does not go with --probe; leave one of them out."),
        (["tune", "ROWS", "--prompt", "sentiment", "--out", "OUT", "--method", "bias", "bias"], "--method names a method twice; name each once."),
        (["tune", "ROWS", "--prompt", "sentiment", "--out", "OUT", "--dev-shots", "-1"], "--dev-shots is -1; it must be 0 or more."),
        (["tune", "ROWS", "--prompt", "sentiment", "--out", "OUT", "--shots", "4", "--dev-shots", "5"], "The dev set has 5 rows of each label and 4 are tuned on; a dev set that is larger would be better used to tune."),
        (["tune", "ROWS", "--prompt", "sentiment", "--out", "OUT", "--learning-rate", "0"], 'learning_rate is "0.0"; it must be above 0.'),
        (["tune", "ROWS", "--prompt", "sentiment", "--out", "OUT", "--shots", "2", "--method", "soft"], "The method soft tunes soft tokens and the template has none; write a slot such as {soft:4}."),
    ],
)  # fmt: skip
def test_what_a_user_can_mend_is_one_sentence(arguments, message, reviews, tmp_path, capsys):
    known = {"ROWS": reviews, "OUT": str(tmp_path / "out")}
    assert main([known.get(argument, argument) for argument in arguments]) == 2
    assert sentence(capsys) == message


def test_an_out_that_is_a_file_is_told(reviews, capsys):
    assert main(["tune", reviews, "--prompt", "sentiment", "--out", reviews]) == 2
    assert sentence(capsys).endswith("is a file; give a folder for the deltas with --out.")


def test_a_prompt_and_a_tuned_one_exclude_each_other(reviews, capsys):
    assert main(["score", reviews, "--prompt", "sentiment", "--tuned", "x"]) == 2
    assert "argument --tuned: not allowed with argument --prompt" in capsys.readouterr().err
