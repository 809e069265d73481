"""``playground pretrain`` from end to end: a text file in, a model out, and one sentence an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import BertForMaskedLM

from playground.cli import main
from playground.tasks.pretraining.timelapse import Timelapse
from tests.tasks.pretraining.toys import sentences

ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    *("--layers", "1", "--hidden", "16", "--heads", "2", "--positions", "32", "--vocabulary", "70"),
    *("--tokens", "2560", "--batch-tokens", "128", "--lengths", "16:0.5", "32:0.5"),
    *("--vectors", "0", "--checkpoints", "3", "--precision", "float32", "--held-out", "0.1"),
]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("PLAYGROUND_THREADS", "1")
    monkeypatch.setenv("PLAYGROUND_DEVICE", "cpu")


@pytest.fixture
def texts(tmp_path) -> str:
    file = tmp_path / "texts.txt"
    file.write_text("".join(f"{text}\n" for text in sentences(200)))
    return str(file)


def told(capsys, *arguments) -> str:
    """Return the sentence that a wrong command says."""
    assert main(["pretrain", *map(str, arguments)]) == 2
    return capsys.readouterr().err.splitlines()[-1].removeprefix("playground: ")


def test_a_text_file_becomes_a_model(texts, tmp_path, capsys):
    probes = tmp_path / "probes.txt"
    probes.write_text("the dog [MASK] in the house .\n\n")
    out = tmp_path / "out"
    assert main(["pretrain", texts, "-o", str(out), *SMALL, "--probes", str(probes)]) == 0
    said = capsys.readouterr().err.splitlines()
    report = json.loads((out / "training.json").read_text())
    assert said[-1] == (
        f"playground: Done: 2,560 tokens, last training loss {report['training_loss']:.2f} nats; the "
        f"model is in {out}."
    )
    recipe = report["recipe"]
    assert (recipe["layers"], recipe["hidden"], recipe["vocabulary"]) == (1, 16, 70)
    assert recipe["lengths"] == [[16, 0.5], [32, 0.5]]
    lapse = Timelapse.load(out / "pretraining.json")
    assert [probe.text for probe in lapse.probes] == ["the dog [MASK] in the house ."]
    assert told(capsys, texts, "-o", out, *SMALL) == (
        f'The folder "{out}" holds a finished model; give another --out, or --fresh to train anew.'
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--lengths", "16"], None),
        (["--lengths", "16:x"], '--lengths has "16:x"; write TOKENS:SHARE, such as 128:0.75 256:0.25.'),
        (["--mask-rate", "2"], "mask_rate is 2.0; it must be from 0 to below 1."),
        (["--heads", "3"], "hidden is 16 and heads 3; hidden must be a multiple of heads."),
        (["--optimizer", "sgd"], 'optimizer is "sgd"; choose adamw or muon.'),
        (["--checkpoints", "99"], "checkpoints is 99; the most is 59."),
        (
            ["--model", "playground-mini"],
            "--model brings its own size and tokenizer; leave out --vocabulary --layers --hidden --heads.",
        ),
        (
            ["--tokenizer", "playground-mini"],
            "--tokenizer brings its own pieces; leave out --vocabulary and --cased.",
        ),
        (
            ["--probes", "/nowhere/probes.txt"],
            'The probes "/nowhere/probes.txt" cannot be read (No such file or directory); give a text '
            "file with a sentence a line.",
        ),
        (["--device", "abacus"], None),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(more, message, texts, tmp_path, capsys):
    if message is None:
        options = [texts, "-o", tmp_path / "out", *SMALL, *more]
        status = main(["pretrain", *map(str, options)])
        shown = capsys.readouterr().err
        assert "Traceback" not in shown
        assert status == (0 if more[0] == "--lengths" else 2)
    else:
        assert told(capsys, texts, "-o", tmp_path / "out", *SMALL, *more) == message
    assert not (tmp_path / "out" / "config.json").exists() or message is None


def test_a_missing_corpus_is_told(tmp_path, capsys):
    missing = tmp_path / "no.txt"
    assert told(capsys, missing, "-o", tmp_path / "out") == (
        f'The file "{missing}" is not there; check its name.'
    )
    assert not (tmp_path / "out").exists()


def test_the_help_names_every_option(capsys):
    assert main(["pretrain", "--help"]) == 0
    shown = capsys.readouterr().out
    for option in (
        "--tokenizer",
        "--whole-word",
        "--lengths",
        "--accumulate",
        "--fresh",
        "--model",
    ):
        assert option in shown


@pytest.mark.skipif(sys.platform == "win32", reason="needs gloo")
def test_two_processes_are_one_with_two_batches_a_step(texts, tmp_path, capsys):
    """The same blocks and masks, shared out: the same model up to the rounding of a sum."""
    alone, both = tmp_path / "alone", tmp_path / "both"
    assert main(["pretrain", texts, "-o", str(alone), *SMALL, "--accumulate", "2"]) == 0
    run = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0",
         "--standalone", "-m", "playground", "pretrain", texts, "-o", str(both), *SMALL],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("Done: 2,560 tokens") == 1  # one of them speaks
    left, right = (BertForMaskedLM.from_pretrained(folder) for folder in (alone, both))
    for name, weight in left.named_parameters():
        torch.testing.assert_close(right.get_parameter(name), weight, rtol=1e-2, atol=2e-4)
    one, two = (Timelapse.load(folder / "pretraining.json") for folder in (alone, both))
    assert [point.loss for point in two.curve] == pytest.approx(
        [point.loss for point in one.curve], abs=1e-3
    )
    assert json.loads((both / "training.json").read_text())["processes"] == 2
