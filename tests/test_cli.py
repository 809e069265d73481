"""The command line: exit codes, one sentence an error, and nothing heavy before it is needed."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import playground
from playground import Prompt, resources
from playground.cli import main
from playground.cli.parts import write_json

ROOT = Path(__file__).resolve().parents[1]
REVIEWS = "text,label\nI really like the film a lot.,1\nIt was an awful waste of time.,0\n"


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("PLAYGROUND_THREADS", "1")


@pytest.fixture
def reviews(tmp_path) -> str:
    (tmp_path / "reviews.csv").write_text(REVIEWS, encoding="utf-8")
    return str(tmp_path / "reviews.csv")


def start(*arguments: str, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "playground", *arguments],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        **options,
    )  # fmt: skip


# ---- fast, and quiet ------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["score", "--help"], ["eval", "--help"], ["search", "words", "--help"], ["cards"], ["models"]])  # fmt: skip
def test_nothing_heavy_is_loaded_for_a_short_answer(arguments):
    program = (
        "import sys\nfrom playground.cli import main\n"
        f"assert main({arguments}) == 0\n"
        "heavy = {'torch', 'transformers', 'gradio', 'datasets', 'pandas', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{playground.__version__}\n"


@pytest.mark.parametrize("command", ["run", "score", "eval", "search", "bench", "models", "cards"])
def test_each_command_is_explained_with_examples(command, capsys):
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "examples:\n  " in shown
    assert f"playground {command}" in shown


def test_an_error_is_one_line_and_exit_2():
    process = start("score", "no.csv", "--prompt", "sentiment")
    out, told = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert told == 'playground: The file "no.csv" is not there; check its name.\n'


def test_a_closed_pipe_is_quiet():
    process = start("cards")
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == ""
    process.stdin.close()
    process.stderr.close()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a named pipe")
def test_ctrl_c_is_exit_130_without_a_traceback(tmp_path):
    os.mkfifo(tmp_path / "out")
    process = start(
        *("score", "-", "--format", "csv", "--prompt", "sentiment", "-o", str(tmp_path / "out"))
    )
    with (tmp_path / "out").open("rb"):  # opens when the command has opened its end
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (130, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "invalid choice: 'nope'"),
        (["score", "a.csv"], "one of the arguments --prompt --tuned is required"),
        (["score", "a.csv", "--prompt", "sentiment", "--limit", "0"], '"0" is not a number of rows above 0'),
        (["score", "a.csv", "--prompt", "sentiment", "--limit", "²"], '"²" is not a number of rows'),
        (["bench", "nope"], "invalid choice: 'nope'"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_exit_2(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_standard_output_is_one_sentence():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "playground", "cards"], cwd=ROOT, stdout=full, stderr=subprocess.PIPE
        )  # fmt: skip
    assert done.returncode == 2
    assert (
        done.stderr == b"playground: Standard output cannot be written (No space left on device).\n"
    )


@pytest.mark.parametrize("command", [["bench"], ["nli", "eval", "--data", "no.csv"]])
def test_numbers_without_their_folder_are_told_before_any_work(command, tmp_path, capsys):
    assert main([*command, "--json", str(tmp_path / "no" / "n.json")]) == 2
    assert capsys.readouterr().err.endswith("is not there; make it first, or give another.\n")


# ---- cards and models -----------------------------------------------------------------------------


def test_cards_are_listed(capsys):
    assert main(["cards"]) == 0
    shown = capsys.readouterr().out
    listed = [*resources.card_names(), *resources.card_names("rules")]
    assert [line.split()[0] for line in shown.splitlines()] == listed


def test_a_card_is_printed_as_json_that_loads(capsys, tmp_path):
    assert main(["cards", "sentiment"]) == 0
    (tmp_path / "mine.json").write_text(capsys.readouterr().out, encoding="utf-8")
    assert Prompt.load(tmp_path / "mine.json") == Prompt.load("sentiment")


def test_half_a_character_in_a_card_stays_escaped(tmp_path):
    card = json.loads(json.dumps(Prompt.load("sentiment").to_json()))
    card["source"] = "half \ud83d a sign, and Ünï 你好"
    (tmp_path / "card.json").write_text(json.dumps(card))
    done = subprocess.run(
        [sys.executable, "-m", "playground", "cards", str(tmp_path / "card.json")],
        cwd=ROOT, env=os.environ | {"PYTHONUTF8": "1"}, capture_output=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["source"] == card["source"]
    assert "你好".encode() in done.stdout


def test_numbers_with_half_a_character_are_written_escaped(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_json("~/n.json", {"label": "half \ud83d, 你好"})
    assert json.loads((tmp_path / "n.json").read_bytes()) == {"label": "half \ud83d, 你好"}


def test_an_unknown_card(capsys):
    assert main(["cards", "nope"]) == 2
    assert capsys.readouterr().err.startswith('playground: The prompt card "nope" cannot be read')


def test_models_are_listed(capsys):
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines()] == list(resources.shipped_models())
    assert "playground-mini" in shown


@pytest.mark.parametrize("by", ["name", "folder"])
def test_a_model_is_loaded_and_described(by, capsys):
    folder = resources.shipped_models()["playground-mini"]
    assert main(["models", "playground-mini" if by == "name" else str(folder)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("playground-mini · ")
    assert "savings   mask-only head" in shown
    assert "warnings  none" in shown


def test_an_unknown_model(capsys):
    assert main(["models", "nope nope"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(
        'playground: The model "nope nope" is neither a folder here nor a hub id'
    )
    assert told.count("\n") == 1


def test_a_model_out_of_reach(capsys):
    assert main(["models", "nobody/nothing"]) == 2
    assert "could not be fetched from the hub: there is no network" in capsys.readouterr().err


# ---- score ----------------------------------------------------------------------------------------


def test_score_writes_to_standard_output(reviews, capfdbinary):
    assert main(["score", reviews, "--prompt", "sentiment"]) == 0
    out, told = capfdbinary.readouterr()
    lines = out.decode().splitlines()
    assert lines[0] == "text,label,prediction,p_positive,p_negative,tokens,dropped,error"
    assert [line.split(",")[2] for line in lines[1:]] == ["positive", "negative"]
    assert told.decode().splitlines()[-1].startswith("playground: Scored 2 rows, 0 with an error (")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_score_writes_the_format_that_the_name_says(reviews, tmp_path, suffix, capsys):
    out = tmp_path / f"out.{suffix}"
    assert main(["score", reviews, "--prompt", "sentiment", "-o", str(out), "--limit", "1"]) == 0
    first = out.read_text().splitlines()[0]
    if suffix == "jsonl":
        assert json.loads(first)["prediction"] == "positive"
    else:
        assert first.split("\t" if suffix == "tsv" else ",")[2] == "prediction"
    assert capsys.readouterr().out == ""


def test_score_reads_standard_input(monkeypatch, capfdbinary):
    stdin = io.TextIOWrapper(io.BytesIO(b'{"body": "a great film"}\n'))
    monkeypatch.setattr(sys, "stdin", stdin)
    command = ["score", "-", "--format", "jsonl", "--prompt", "sentiment", "--text-column", "body"]
    assert main(command) == 0
    row = json.loads(capfdbinary.readouterr().out)
    assert (row["body"], row["prediction"]) == ("a great film", "positive")


def test_score_options_reach_the_prompt(reviews, prompting, capfdbinary):
    options = ["--template", "{text} It was {mask}.", "--aggregation", "max"]
    options += ["--calibration", "contextual"]
    assert main(["score", reviews, "--prompt", "sentiment", "--limit", "1", *options]) == 0
    row = capfdbinary.readouterr().out.decode().splitlines()[1].split(",")
    card = Prompt.load("sentiment").with_template("{text} It was {mask}.").to_json()
    card["scoring"] = {"aggregation": "max", "calibration": "contextual"}
    expected = prompting.classify(["I really like the film a lot."], Prompt.from_json(card))
    assert float(row[3]) == pytest.approx(expected.probabilities[0, 0], abs=2e-6)


def test_score_reads_a_data_set_folder(tmp_path, monkeypatch, capfdbinary):
    (tmp_path / "mini").mkdir()
    (tmp_path / "mini" / "validation.jsonl").write_text('{"text": "a great film"}\n')
    monkeypatch.chdir(tmp_path)
    command = ["score", "--dataset", "mini", "--split", "validation", "--prompt", "sentiment"]
    assert main(command) == 0
    assert capfdbinary.readouterr().out.decode().splitlines()[1].startswith("a great film,positive")


def test_score_to_a_device_leaves_the_device(reviews, capsys):
    assert main(["score", reviews, "--prompt", "sentiment", "-o", os.devnull]) == 0
    assert not Path(os.devnull).is_file()


def test_score_to_what_cannot_be_opened_is_one_sentence(reviews, tmp_path, monkeypatch, capsys):
    """A socket, as /dev/tty without a terminal, is there and opens to nobody."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind("out.csv")
    assert main(["score", reviews, "--prompt", "sentiment", "-o", "out.csv"]) == 2
    assert capsys.readouterr().err == (
        'playground: The output "out.csv" cannot be opened (No such device or address); give another '
        "name.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give one input: a file, - for standard input, or --dataset for a hub data set."),
        (["FILE", "--dataset", "x"], "Give one input: a file, - for standard input, or"),
        (["FILE", "--split", "train"], "--split and --config belong to --dataset; leave them out"),
        (["FILE", "--text-column", "body"], 'There is no column "body"; the columns are "text", "label".'),
        (["FILE", "--columns", "body"], '--columns has "body"; write SLOT=COLUMN, and FILE before'),
        (["FILE", "-o", "out.xlsx"], 'The output "out.xlsx" ends in ".xlsx"; end it in .csv, .tsv or'),
        (["FILE", "-o", "FILE"], "is the input; give another name."),
        (["FILE", "--template", "no slot"], "The template has no {mask}"),
        (["FILE", "--calibration", "corpus"], "Corpus calibration has no unlabelled texts"),
        (["FILE", "--model", "nope nope"], 'The model "nope nope" is neither a folder here nor'),
        (["FILE", "--device", "toaster"], 'The device "toaster" is not there; use auto, cpu, cuda or mps.'),
        (["-"], "Standard input can be csv, tsv or jsonl; say which with --format csv|tsv|jsonl."),
    ],
)  # fmt: skip
def test_a_wrong_score_is_one_sentence(reviews, arguments, message, capsys):
    given = [reviews if word == "FILE" else word for word in arguments]
    assert main(["score", *given, "--prompt", "sentiment"]) == 2
    out, told = capsys.readouterr()
    assert told.startswith("playground: ")
    assert message in told
    assert (out, told.count("\n"), "Traceback" in told) == ("", 1, False)
    assert [path.name for path in Path(reviews).parent.iterdir()] == ["reviews.csv"]


def test_an_input_that_is_not_there_leaves_the_output(tmp_path, capsys):
    (tmp_path / "old.csv").write_text("old")
    command = ["score", str(tmp_path / "no.csv"), "--prompt", "sentiment"]
    assert main([*command, "-o", str(tmp_path / "old.csv")]) == 2
    assert "is not there; check its name." in capsys.readouterr().err
    assert (tmp_path / "old.csv").read_text() == "old"


def test_a_wrong_setting_is_one_sentence(reviews, monkeypatch, capsys):
    monkeypatch.setenv("PLAYGROUND_WINDOW_ROWS", "many")
    assert main(["score", reviews, "--prompt", "sentiment"]) == 2
    told = capsys.readouterr().err
    assert told == 'playground: PLAYGROUND_WINDOW_ROWS is "many"; set it to a whole number.\n'
