"""``playground tune race``: the table, its files, going on, and one sentence an error."""

from __future__ import annotations

import json

import pytest

from playground.cli import main
from playground.tasks.tuning.race import Race
from playground.tasks.tuning.race_report import to_markdown, to_text

THINGS = ["film", "meal", "song", "book", "hotel", "play", "game", "dish", "show", "trip"]
FEW = ["--shots", "1", "2", "--seeds", "1", "--steps", "1", "--batch", "2"]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("PLAYGROUND_THREADS", "1")


@pytest.fixture(scope="module")
def reviews(tmp_path_factory) -> str:
    lines = [f"A good {thing} that I loved.,good\n" for thing in THINGS]
    lines += [f"A bad {thing} that I hated.,negative\n" for thing in THINGS]
    path = tmp_path_factory.mktemp("rows") / "reviews.csv"
    path.write_text(f"text,label\n{''.join(lines)}", encoding="utf-8")
    return str(path)


def test_a_race_is_run_written_continued_and_shown(reviews, tmp_path, capsys):
    out = tmp_path / "race"
    command = ["tune", "race", reviews, "--prompt", "sentiment", "--labels", "good=positive"]
    command += ["--methods", "linear", "soft", *FEW, "--name", "Reviews", "--out", str(out)]
    assert main(command) == 0
    shown, told = capsys.readouterr()
    race = Race.load(out / "race.json")
    assert (race.data, race.rows, race.methods, race.shots) == (
        "Reviews", 12, ("linear", "soft"), (1, 2),
    )  # fmt: skip
    assert shown == f"{to_text(race)}\n"
    assert "4 runs of 1 steps; all are measured on 12 other rows." in told
    assert (out / "race.svg").read_text(encoding="utf-8").count("soft") == 1
    assert main(command) == 0
    again, told = capsys.readouterr()
    assert again == shown
    assert told.count("(done by an earlier race)") == 4
    assert main(["tune", "race", "--show", str(out / "race.json")]) == 0
    assert capsys.readouterr().out == f"{to_markdown(race)}\n"


def test_ctrl_c_writes_what_is_finished(reviews, tmp_path, monkeypatch, capsys):
    from playground.tasks.tuning.race_runs import Runner

    plain = Runner.runs

    def stopped(self):
        yield next(plain(self))
        raise KeyboardInterrupt

    monkeypatch.setattr(Runner, "runs", stopped)
    command = ["tune", "race", reviews, "--prompt", "sentiment", "--labels", "good=positive"]
    assert main([*command, "--methods", "linear", *FEW, "--out", str(tmp_path / "race")]) == 0
    assert "stopped after 1 runs; the same command goes on" in capsys.readouterr().err
    data = json.loads((tmp_path / "race" / "race.json").read_text(encoding="utf-8"))
    assert len(data["runs"]) == 1


def test_rows_of_another_file_may_be_measured_on(reviews, tmp_path, capsys):
    test = tmp_path / "test.csv"
    test.write_text("text,label\nA fine film.,good\nA dull film.,negative\n", encoding="utf-8")
    command = ["tune", "race", reviews, "--prompt", "sentiment", "--labels", "good=positive"]
    command += [
        "--test",
        str(test),
        "--methods",
        "linear",
        *FEW,
        "--shots",
        "1",
        "--out",
        str(tmp_path / "race"),
    ]
    assert main(command) == 0
    assert "2 rows held out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ROWS", "--out", "OUT"], "A race needs --prompt; see playground tune race --help."),
        (["ROWS", "--prompt", "sentiment"], "A race needs --out; see playground tune race --help."),
        (["ROWS", "--prompt", "sentiment", "--out", "OUT", "--shots", "4", "4"], "--shots names one of them twice; name each once."),
        (["ROWS", "--prompt", "sentiment", "--out", "OUT", "--template", "{text} {soft:2} {mask}."], "The template has soft tokens, which mean nothing before they are tuned; give the plain one, and the method soft puts some in front of it."),
        (["--show", "no-such.json"], 'The race "no-such.json" cannot be read (No such file or directory); give a race.json that playground tune race wrote.'),
    ],
)  # fmt: skip
def test_what_a_user_can_mend_is_one_sentence(arguments, message, reviews, tmp_path, capsys):
    known = {"ROWS": reviews, "OUT": str(tmp_path / "out")}
    assert main(["tune", "race", *(known.get(argument, argument) for argument in arguments)]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1].removeprefix("playground: ")
    assert told == message


def test_an_out_that_cannot_be_is_told(reviews, tmp_path, capsys):
    for out, end in (
        (reviews, "is a file; give a folder for the race with --out."),
        (str(tmp_path / "no" / "race"), "is not there; make it first, or give another."),
    ):
        assert main(["tune", "race", reviews, "--prompt", "sentiment", "--out", out]) == 2
        assert capsys.readouterr().err.strip().endswith(end)
