"""``playground finetune`` from end to end: rows in, a head and its numbers out, one sentence an error."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from playground.cli import finetune, main
from playground.settings import Settings
from playground.tasks.heads import Finetuned
from playground.tasks.heads.recipes import RECIPES, Recipe
from playground.tasks.training.curve import Curve
from tests.tasks.heads.lessons import MAKERS, write
from tests.tasks.nli import checkpoints

ROOT = Path(__file__).resolve().parents[1]
QUICK = [
    "--epochs", "8", "--evaluations", "0.375", "--batch-size", "16", "--learning-rate", "0.01",
    "--max-tokens", "32", "--dropout", "0", "--precision", "float32", "--device", "cpu",
]  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("PLAYGROUND_THREADS", "1")
    monkeypatch.setenv("PLAYGROUND_DEVICE", "cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder with a masked LM, and rows of each kind to train on and to choose on."""
    folder = tmp_path_factory.mktemp("data")
    checkpoints.save_learner(folder / "learner")
    for kind, rows in MAKERS.items():
        write(rows(96), folder / f"{kind}-train.jsonl")
        write(rows(32, 1), folder / f"{kind}-dev.jsonl")
    return folder


def train(data: Path, kind: str, out: Path, *options: str) -> list[str]:
    return [
        "finetune", kind, "--train", str(data / f"{kind}-train.jsonl"), "--model",
        str(data / "learner"), "--out", str(out), *QUICK, *options,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def models(data, tmp_path_factory):
    """Return the folder of a trained head."""
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            out = tmp_path_factory.mktemp("models") / kind
            dev = ["--dev", str(data / f"{kind}-dev.jsonl")]
            assert main(train(data, kind, out, *dev)) == 0
            made[kind] = out
        return made[kind]

    return get


# ---- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [[], *([kind] for kind in MAKERS), ["eval"], ["predict"]])
def test_each_command_is_explained_with_examples_at_once(command):
    program = (
        "import sys\nfrom playground.cli import main\n"
        f"assert main(['finetune', *{command}, '--help']) == 0\n"
        "heavy = {'torch', 'transformers', 'gradio', 'datasets', 'pandas', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "examples:\n  " in done.stdout
    assert f"playground finetune {' '.join(command)}" in done.stdout


@pytest.mark.parametrize("kind", MAKERS)
def test_the_help_names_the_defaults_of_the_recipe(kind, capsys):
    usual = {name: getattr(RECIPES[kind], name) for name in finetune.USUAL[kind]}
    assert usual == finetune.USUAL[kind]
    main(["finetune", kind, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for name in ("max_tokens", "warmup", "weight_decay", "dropout", "evaluations"):
        assert f"({getattr(RECIPES[kind], name):g})" in shown
        assert getattr(RECIPES[kind], name) == getattr(Recipe(), name)


# ---- training, measuring, using -------------------------------------------------------------------


@pytest.mark.parametrize("kind", MAKERS)
def test_a_head_is_trained_measured_and_used(kind, models, data, tmp_path, capsys):
    folder = models(kind)
    report = json.loads((folder / "training.json").read_text())
    capsys.readouterr()
    numbers = tmp_path / "numbers.json"
    test = ["finetune", "eval", "--model", str(folder), "--data", str(data / f"{kind}-dev.jsonl")]
    assert main([*test, "--json", str(numbers)]) == 0
    told = capsys.readouterr()
    assert "playground: 32 rows.\n" in told.err
    found = json.loads(numbers.read_text())["measures"]
    for name, measure in found.items():
        assert measure["value"] == pytest.approx(
            report["result"]["measures"][name]["value"], rel=1e-4
        )
        assert name in told.out
    out = tmp_path / "out.csv"
    table = [str(data / f"{kind}-dev.jsonl"), "-o", str(out)]
    assert main(["finetune", "predict", "--model", str(folder), *table]) == 0
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 32
    assert {row["error"] for row in rows} == {""}
    model = Finetuned(folder, settings=Settings(threads=1, device="cpu"))
    dev = MAKERS[kind](32, 1)
    shown = [
        model.head.show(g, p) for g, p in zip(dev.inputs, model.predict(dev.inputs), strict=True)
    ]
    wanted = [one["prediction"] for one in shown]
    got = [row["prediction"] for row in rows]
    if kind == "regress":
        assert [float(cell) for cell in got] == pytest.approx(wanted, rel=1e-4)
    else:
        assert got == [json.dumps(one) if kind == "tag" else one for one in wanted]


@pytest.mark.parametrize(
    ("kind", "row", "shown"),
    [
        ("classify", ["--text", "The film was awful in the park."], "AWFUL "),
        ("regress", ["--text", "We took the bus.", "--text-b", "The book is awful."], "1"),
        ("tag", ["--text", "awful film"], "awful               O "),
        ("answer", ["--question", "what was the film?", "--context", "it is great in the park"], "great (characters 6 to 11, "),
    ],
)  # fmt: skip
def test_one_row_is_answered(kind, row, shown, models, capsys):
    folder = models(kind)
    capsys.readouterr()
    assert main(["finetune", "predict", "--model", str(folder), *row]) == 0
    assert capsys.readouterr().out.startswith(shown)


def test_the_dev_rows_are_cut_off_and_labels_named(data, tmp_path, capsys):
    rows = [{"review": f"The {w} was {k} here.", "stars": i} for i, k in enumerate(("awful", "great")) for w in ("film", "food", "book", "room", "team", "house", "music", "story", "train", "service")]  # fmt: skip
    file = tmp_path / "reviews.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [
        "finetune", "classify", "--train", str(file), "--dev-share", "0.2", "--model",
        str(data / "learner"), "--out", str(tmp_path / "out"), *QUICK, "--batch-size", "4",
        "--columns", "text=review", "label=stars", "--label-names", "bad", "good", "--seed", "3",
    ]  # fmt: skip
    assert main(command) == 0
    told = capsys.readouterr()
    assert (
        "playground: Train: 20 rows.\nplayground: Dev: 4 of these rows, drawn with seed 3.\n"
        in told.err
    )
    assert "baseline: the commonest label" in told.out
    report = json.loads((tmp_path / "out" / "training.json").read_text())
    assert report["train"]["labels"] == {"bad": 8, "good": 8}
    assert report["dev"]["labels"] == {"bad": 2, "good": 2}


# ---- a kill ---------------------------------------------------------------------------------------


def test_a_killed_run_ends_in_the_files_of_one_that_was_not(data, tmp_path):
    long = ["--dev", str(data / "tag-dev.jsonl"), "--epochs", "20", "--evaluations", "1", "--dropout", "0.1"]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PLAYGROUND_THREADS": "1"}

    def start(out: Path) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "playground", *train(data, "tag", out, *long)],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    process = start(tmp_path / "out")
    folder = tmp_path / "out" / "checkpoints"
    deadline = time.monotonic() + 120
    while len(list(folder.glob("checkpoint-*/trainer_state.json"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert not (tmp_path / "out" / "config.json").exists()
    again = start(tmp_path / "out")
    _, told = again.communicate(timeout=120)
    assert again.returncode == 0, told
    assert "playground: Continuing the stopped run at step " in told
    assert main(train(data, "tag", tmp_path / "whole", *long)) == 0
    first, second = (load_file(tmp_path / n / "model.safetensors") for n in ("out", "whole"))
    assert all(bool((first[name] == second[name]).all()) for name in first)
    for name in ("config.json", "curve.json", "SHA256SUMS"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.skipif(shutil.which("torchrun", path=Path(sys.executable).parent) is None, reason="torchrun is missing")  # fmt: skip
def test_two_processes_see_the_dev_rows_in_their_order(data, tmp_path):
    program = shutil.which("torchrun", path=Path(sys.executable).parent)
    dev = write(MAKERS["tag"](33, 1), tmp_path / "dev.jsonl")  # one process gets a row more
    command = train(data, "tag", tmp_path / "out", "--dev", str(dev))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PLAYGROUND_THREADS": "1"}
    done = subprocess.run(
        [str(program), "--standalone", "--nproc-per-node", "2", "-m", "playground", *command],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("playground: Done: the model is in ") == 1
    report = json.loads((tmp_path / "out" / "training.json").read_text())
    assert (report["processes"], report["steps"]) == (2, 48)
    curve = Curve.load(tmp_path / "out" / "curve.json")
    look = next(point for point in curve.points if point.step == curve.best_step)
    found = report["result"]["measures"]["accuracy"]["value"]
    assert look.dev_score == pytest.approx(found)
    assert found >= 0.9


# ---- one sentence an error ------------------------------------------------------------------------


def told_of(capsys, *arguments: str) -> str:
    assert main(["finetune", *arguments]) == 2
    return capsys.readouterr().err


def test_a_dev_set_is_named_once(data, tmp_path, capsys):
    wanted = "playground: Give --dev with rows to choose on, or --dev-share to cut them off.\n"
    command = train(data, "classify", tmp_path / "out")[1:]
    assert told_of(capsys, *command) == wanted
    dev = str(data / "classify-dev.jsonl")
    assert told_of(capsys, *command, "--dev", dev, "--dev-share", "0.1") == wanted


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("classify", ["--text", "a", "--text-b", "b"], "This model reads --text; give just that."),
        ("regress", ["--text", "a"], "This model reads --text and --text-b; give just that."),
        ("answer", ["--text", "a"], "This model reads --question and --context; give just that."),
        ("classify", ["--text", " "], "The text is empty; it must be text."),
        ("answer", ["--question", "", "--context", "b"], "The question is empty; it must be text."),
        ("classify", ["rows.csv", "--text", "a"], "Give one row with --text or --question, or a table, not both."),
        ("classify", [], "Give one input: a file, - for standard input, or --dataset for a hub data set."),
    ],
)  # fmt: skip
def test_what_a_model_does_not_read_is_told(kind, row, message, models, capsys):
    folder = models(kind)
    capsys.readouterr()
    assert told_of(capsys, "predict", "--model", str(folder), *row) == f"playground: {message}\n"


def test_other_rows_than_the_models_are_told(models, data, capsys):
    folder = models("classify")
    capsys.readouterr()
    told = told_of(capsys, "eval", "--model", str(folder), "--data", str(data / "tag-dev.jsonl"))
    assert "has no column " in told
    assert told_of(capsys, "eval", "--model", str(data / "learner"), "--data", "x.csv").startswith(
        'playground: The model "learner" was not made by playground finetune, or '
    )
