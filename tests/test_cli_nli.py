"""``playground nli`` from end to end: pairs in, a classifier and its numbers out, one sentence an error."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from playground.cli import main
from playground.tasks.nli import LABELS, NliClassifier, read_pairs
from playground.tasks.nli.evaluation import evaluate
from tests.tasks.nli import checkpoints
from tests.tasks.nli.checkpoints import lessons, write

ROOT = Path(__file__).resolve().parents[1]
QUICK = [
    "--epochs", "8", "--evaluations", "0.25", "--batch-size", "16", "--learning-rate", "0.01",
    "--max-tokens", "32", "--precision", "float32", "--device", "cpu",
]  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("PLAYGROUND_THREADS", "1")
    monkeypatch.setenv("PLAYGROUND_DEVICE", "cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder with a masked LM, and pairs to train on and to choose on."""
    folder = tmp_path_factory.mktemp("data")
    checkpoints.save_learner(folder / "learner")
    write(lessons(90), folder / "train.jsonl")
    write(lessons(30, seed=1), folder / "dev.jsonl")
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> str:
    """A tiny classifier that was never trained."""
    return str(checkpoints.save("bert", tmp_path_factory.mktemp("models") / "nli-bert"))


def train(data: Path, out: Path, *options: str) -> list[str]:
    command = [
        "nli",
        "train",
        "--train",
        str(data / "train.jsonl"),
        "--dev",
        str(data / "dev.jsonl"),
    ]
    return [*command, "--model", str(data / "learner"), "--out", str(out), *QUICK, *options]


# ---- help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [[], ["train"], ["adapt"], ["eval"], ["predict"]])
def test_each_command_is_explained_with_examples_at_once(command):
    program = (
        "import sys\nfrom playground.cli import main\n"
        f"assert main(['nli', *{command}, '--help']) == 0\n"
        "heavy = {'torch', 'transformers', 'gradio', 'datasets', 'pandas', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "examples:\n  " in done.stdout
    assert f"playground nli {' '.join(command)}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["nope"], "invalid choice: 'nope'"),
        (["train", "--train", "a.jsonl"], "the following arguments are required: --dev, -o/--out"),
        (["train", "--train", "a", "--dev", "b", "--out", "c", "--epochs", "many"], "invalid float value"),
        (["eval"], "the following arguments are required: --data"),
        (["eval", "--data", "a", "--limit", "0"], '"0" is not a number of rows above 0'),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_exit_2(arguments, message, capsys):
    assert main(["nli", *arguments]) == 2
    assert message in capsys.readouterr().err


# ---- from pairs to predictions ------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(data) -> Path:
    """The folder that ``nli train`` writes."""
    assert main(train(data, data / "trained")) == 0
    return data / "trained"


def test_train_tells_what_it_does(data, tmp_path, capsys):
    assert main(train(data, tmp_path / "out")) == 0
    out, told = capsys.readouterr()
    lines = [line for line in told.splitlines() if line.startswith("playground: ")]
    assert out.strip() == ""
    assert lines[:3] == [
        "playground: Train: 90 pairs.",
        "playground: Dev: 30 pairs.",
        "playground: 90 pairs to train on, 0 of them cut to 32 tokens.",
    ]
    report = json.loads((tmp_path / "out" / "training.json").read_text())
    accuracy = report["result"]["accuracy"]
    assert lines[-1] == (
        f"playground: Done: dev accuracy {accuracy:.1%}; the classifier is in {tmp_path / 'out'}."
    )
    assert report["train"]["sources"] == ["train.jsonl"]
    assert str(tmp_path) not in (tmp_path / "out" / "README.md").read_text()


def test_eval_prints_and_writes_the_numbers(data, trained, tmp_path, capsys):
    command = ["nli", "eval", "--data", str(data / "dev.jsonl"), "--model", str(trained)]
    assert main([*command, "--json", str(tmp_path / "numbers.json")]) == 0
    out, told = capsys.readouterr()
    found = evaluate(NliClassifier(trained), read_pairs([str(data / "dev.jsonl")]))
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers == json.loads(json.dumps(found.to_json()))
    assert numbers["accuracy"] >= 0.9
    assert out == f"{found.to_text()}\n"
    assert "playground: 30 pairs." in told


def test_eval_of_several_sources_counts_every_pair(data, trained, tmp_path):
    dev = str(data / "dev.jsonl")
    command = ["nli", "eval", "--data", dev, dev, "--model", str(trained)]
    assert main([*command, "--json", str(tmp_path / "numbers.json")]) == 0
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert (numbers["pairs"], np.sum(numbers["confusion"])) == (60, 60)


def test_eval_takes_the_options_of_a_source(data, trained, tmp_path):
    rows = [json.loads(line) for line in (data / "dev.jsonl").read_text().splitlines()]
    names = ["neutral", "contradiction", "entailment"]
    with (tmp_path / "pairs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "gold"])
        writer.writerows([r["premise"], r["hypothesis"], names.index(r["label"])] for r in rows)
    out = tmp_path / "numbers.json"
    command = ["nli", "eval", "--data", str(tmp_path / "pairs.csv"), "--model", str(trained)]
    command += ["--label-names", *names, "--columns", "premise=a", "hypothesis=b", "label=gold"]
    assert main([*command, "--limit", "12", "--json", str(out)]) == 0
    numbers = json.loads(out.read_text())
    pairs = read_pairs([str(data / "dev.jsonl")], limit=12)
    assert numbers["confusion"] == [
        list(row) for row in evaluate(NliClassifier(trained), pairs).confusion
    ]
    assert main([*command, "--limit", "12", "--json", str(out), "--hypothesis-only"]) == 0
    hidden = evaluate(NliClassifier(trained), pairs, hypothesis_only=True)
    assert json.loads(out.read_text())["nll"] == hidden.nll != numbers["nll"]


def test_predict_shows_one_pair_best_first(trained, capsys):
    pair = ("The film was here today.", "The food was awful.")
    command = ["nli", "predict", "--premise", pair[0], "--hypothesis", pair[1]]
    assert main([*command, "--model", str(trained)]) == 0
    lines = capsys.readouterr().out.splitlines()
    shares = NliClassifier(trained).classify([pair]).probabilities[0]
    expected = sorted(zip(shares, LABELS, strict=True), reverse=True)
    assert [re.split(r"\s+", line) for line in lines] == [
        [label, f"{share:.1%}"] for share, label in expected
    ]
    assert lines[0].startswith("contradiction")


@pytest.mark.parametrize(
    "columns", [("premise", "hypothesis"), ("sentence1", "sentence2"), ("a", "b")]
)
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_predict_scores_a_table(columns, suffix, classifier, tmp_path, capfdbinary):
    pairs = [
        ("A man sleeps.", "A man is awake."),
        ("It was good.", ""),
        ("Two dogs", "Rome, Italy"),
    ]
    with (tmp_path / "pairs.tsv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerows([("id", *columns), *((i, *pair) for i, pair in enumerate(pairs))])
    command = ["nli", "predict", str(tmp_path / "pairs.tsv"), "--model", classifier]
    command += ["-o", str(tmp_path / f"out.{suffix}")]
    if columns == ("a", "b"):
        command += ["--columns", "premise=a", "hypothesis=b"]
    assert main(command) == 0
    text = (tmp_path / f"out.{suffix}").read_text()
    if suffix == "csv":
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    else:
        rows = [json.loads(line) for line in text.splitlines()]
    assert list(rows[0]) == [
        "id", *columns, "prediction", *(f"p_{label}" for label in LABELS), "tokens", "dropped", "error"
    ]  # fmt: skip
    scores = NliClassifier(classifier).classify(pairs)
    assert [row["prediction"] or None for row in rows] == scores.predictions
    assert rows[1]["error"] == "The hypothesis is empty; write a sentence."
    for i in (0, 2):
        found = [float(rows[i][f"p_{label}"]) for label in LABELS]
        assert found == pytest.approx(scores.probabilities[i].tolist(), abs=1e-5)
    told = capfdbinary.readouterr().err.decode()
    assert f"playground: Scored 3 rows to {tmp_path / f'out.{suffix}'}, 1 with an error" in told


def test_predict_reads_standard_input(classifier, monkeypatch, capfdbinary):
    given = b'{"premise": "A man sleeps.", "hypothesis": "A man is awake."}\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given * 2)))
    command = ["nli", "predict", "-", "--format", "jsonl", "--limit", "1", "--model", classifier]
    assert main(command) == 0
    [line] = capfdbinary.readouterr().out.decode().splitlines()
    assert json.loads(line)["prediction"] in LABELS


def test_the_setting_names_the_classifier(classifier, monkeypatch, capsys):
    monkeypatch.setenv("PLAYGROUND_NLI_MODEL", classifier)
    assert main(["nli", "predict", "--premise", "a", "--hypothesis", "b"]) == 0
    [found] = NliClassifier(classifier).classify([("a", "b")]).predictions
    assert capsys.readouterr().out.startswith(found)


def test_adapt_makes_a_model_that_is_trained(data, tmp_path, capsys):
    command = [
        "nli",
        "adapt",
        "--train",
        str(data / "train.jsonl"),
        "--dev",
        str(data / "dev.jsonl"),
    ]
    command += [
        "--model",
        str(data / "learner"),
        "--out",
        str(tmp_path / "adapted"),
        "--device",
        "cpu",
    ]
    command += [
        "--epochs",
        "2",
        "--batch-size",
        "16",
        "--learning-rate",
        "0.01",
        "--mask-rate",
        "0.3",
    ]
    assert main([*command, "--precision", "float32", "--max-tokens", "32", "--seed", "3"]) == 0
    told = capsys.readouterr().err
    assert re.search(r"^playground: Done: dev loss \d\.\d{3} nats; the masked LM is in .*adapted\.$", told, re.M)  # fmt: skip
    chosen = train(data, tmp_path / "out")
    chosen[chosen.index(str(data / "learner"))] = str(tmp_path / "adapted")
    assert main(chosen) == 0
    assert json.loads((tmp_path / "out" / "training.json").read_text())["model"] == "adapted"


def test_every_option_reaches_the_recipe(data, tmp_path):
    options = {
        "epochs": 1.5, "learning_rate": 0.002, "batch_size": 30, "max_tokens": 24, "padding": "fixed",
        "cut": "ratio", "warmup": 0.2, "weight_decay": 0.1, "dropout": 0.05, "precision": "bfloat16",
        "evaluations": 2.0, "seed": 4,
    }  # fmt: skip
    given = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]  # fmt: skip
    flags = ["balance", "hypothesis_only", "half"]
    given += [f"--{name.replace('_', '-')}" for name in flags]
    assert main(train(data, tmp_path / "out", *given)) == 0
    report = json.loads((tmp_path / "out" / "training.json").read_text())
    assert report["recipe"] == options | dict.fromkeys(flags, True)
    assert (report["steps"], report["precision"]) == (6, "bfloat16")


# ---- one sentence an error ----------------------------------------------------------------------


def one_sentence(capsys, message: str) -> None:
    out, told = capsys.readouterr()
    last = [line for line in told.splitlines() if line.startswith("playground: ")][-1]
    assert message in last
    assert ("Traceback" in told, out.strip()) == (False, "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--train", "no.jsonl"], 'The file "no.jsonl" is not there; check its name.'),
        (["--dev", "someone/pairs"], 'The data set "someone/pairs" could not be fetched: there is no network'),
        (["--model", "nope nope"], 'The model "nope nope" is neither a folder here nor a hub id'),
        (["--device", "toaster"], 'The device "toaster" is not there; use auto, cpu, cuda or mps.'),
        (["--padding", "none"], 'padding is "none"; choose dynamic or fixed.'),
        (["--cut", "first"], 'cut is "first"; choose longest or ratio.'),
        (["--precision", "int8"], 'precision is "int8"; choose auto or float32 or bfloat16.'),
        (["--epochs", "0"], "epochs is 0.0; it must be above 0."),
        (["--epochs", "inf"], "epochs is inf; "),
        (["--dropout", "1"], "dropout is 1.0; it must be from 0 to below 1."),
        (["--max-tokens", "4"], "max_tokens is 4; the least is 8."),
        (["--seed", "-1"], "seed is -1; "),
        (["--label-names", "yes", "no"], 'The label name "yes" is unknown; the names are'),
        (["--columns", "premise"], '--columns has "premise"; write '),
        (["--columns", "label=gold"], 'has no column "gold"; its columns are "premise", "hypothesis", "label".'),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_wrong_training_is_one_sentence(options, message, data, tmp_path, capsys):
    assert main(train(data, tmp_path / "out", *options)) == 2
    one_sentence(capsys, message)


def test_a_finished_folder_is_refused(data, trained, capsys):
    before = (trained / "model.safetensors").read_bytes()
    assert main(train(data, trained)) == 2
    one_sentence(capsys, "holds a finished model; give another --out, or --fresh to train anew.")
    assert (trained / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "no.csv"], 'The file "no.csv" is not there; check its name.'),
        (["--data", "DEV", "--model", "LEARNER"], 'The checkpoint "learner" has no trained classification head'),
        (["--data", "DEV", "--device", "toaster"], 'The device "toaster" is not there; use auto, cpu,'),
        (["--data", "DEV", "--columns", "label=gold"], 'has no column "gold"; its columns are "premise"'),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_wrong_evaluation_is_one_sentence(options, message, data, classifier, capsys):
    names = {"DEV": str(data / "dev.jsonl"), "LEARNER": str(data / "learner")}
    assert main(["nli", "eval", "--model", classifier, *(names.get(o, o) for o in options)]) == 2
    one_sentence(capsys, message)


def test_numbers_that_cannot_be_written_are_told_behind_the_numbers(
    data, classifier, tmp_path, capsys
):
    command = ["nli", "eval", "--data", str(data / "dev.jsonl"), "--model", classifier]
    assert main([*command, "--json", str(tmp_path)]) == 2
    out, told = capsys.readouterr()
    assert out.startswith("accuracy ")
    assert "The numbers cannot be written to" in told.splitlines()[-1]
    assert told.splitlines()[-1].endswith("(Is a directory).")


def test_a_folder_that_is_not_there_is_told_before_any_work(tmp_path, capsys):
    command = ["nli", "eval", "--data", "no.jsonl", "--json", str(tmp_path / "no" / "n.json")]
    assert main(command) == 2
    one_sentence(capsys, "is not there; make it first, or give another.")
    assert not (tmp_path / "no").exists()


def test_numbers_may_lie_at_home(data, classifier, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    command = ["nli", "eval", "--data", str(data / "dev.jsonl"), "--model", classifier]
    assert main([*command, "--limit", "2", "--json", "~/n.json"]) == 0
    assert json.loads((tmp_path / "n.json").read_text())["pairs"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Give one input: a file, - for standard input, or --dataset for a hub data set."),
        (["--premise", "a"], "The hypothesis is empty; write a sentence."),
        (["--hypothesis", "a"], "The premise is empty; write a sentence."),
        (["--premise", "a", "--hypothesis", "b" * 20_001], "The hypothesis has 20,001 characters; the most is"),
        (["a.csv", "--premise", "a"], "Give one pair with --premise and --hypothesis, or a table, not both."),
        (["--dataset", "x", "--hypothesis", "a"], "Give one pair with --premise and --hypothesis, or a table"),
        (["no.csv"], 'The file "no.csv" is not there; check its name.'),
        (["FILE"], 'There is no column "premise"; the columns are "text". Name the one that fills {premise} with'),
        (["FILE", "--columns", "text=text"], "The template has no slot \"text\"; it takes"),
        (["FILE", "-o", "out.xlsx"], 'The output "out.xlsx" ends in ".xlsx"; end it in'),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_wrong_prediction_is_one_sentence(options, message, classifier, tmp_path, capsys):
    (tmp_path / "file.csv").write_text("text\ngood\n")
    given = [str(tmp_path / "file.csv") if word == "FILE" else word for word in options]
    assert main(["nli", "predict", *given, "--model", classifier]) == 2
    one_sentence(capsys, message)
