"""A training that is stopped, even by a kill, goes on to the weights of one that was not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from playground.tasks.nli import NliClassifier
from playground.tasks.nli.adaptation import adapt
from playground.tasks.nli.evaluation import evaluate
from playground.tasks.nli.training import Trained, train_classifier
from tests.tasks.nli import checkpoints
from tests.tasks.nli.checkpoints import lessons, write
from tests.tasks.nli.test_adaptation import RECIPE as ADAPTATION
from tests.tasks.nli.test_training import DEV, FILES, RECIPE, TRAIN, same, weights_of

ROOT = Path(__file__).resolve().parents[3]
SHORT = replace(RECIPE, epochs=3, evaluations=1)  # looks at steps 6, 12 and 18


class Stopped(BaseException):
    """Stops a run where a kill would."""


def stop_at(look: int):
    """Return what is told of a run, and stops it at a look at the dev set, before its checkpoint."""
    seen: list[str] = []

    def say(sentence: str) -> None:
        seen.append(sentence)
        if sum(told.startswith("step ") for told in seen) == look:
            raise Stopped

    return say


@pytest.fixture
def run(learner, settings, tmp_path):
    """Return a training to the folder ``out``."""

    def train(out="out", recipe=SHORT, *, model=learner, train=TRAIN, **options):
        return train_classifier(
            str(model), train, DEV, tmp_path / out, recipe=recipe, settings=settings, **options
        )

    return train


@pytest.fixture(scope="module")
def whole(learner, settings, tmp_path_factory) -> Trained:
    """A run that was not stopped."""
    out = tmp_path_factory.mktemp("whole") / "out"
    return train_classifier(str(learner), TRAIN, DEV, out, recipe=SHORT, settings=settings)


@pytest.mark.parametrize(("look", "step"), [(1, None), (2, 6), (3, 12)])
def test_a_stopped_run_ends_in_the_same_weights(look, step, run, whole, tmp_path):
    with pytest.raises(Stopped):
        run(say=stop_at(look))
    half_written = tmp_path / "out" / "checkpoints" / "checkpoint-18"  # what a kill leaves behind
    half_written.mkdir()
    (half_written / "model.safetensors").write_bytes(b"half")
    said: list[str] = []
    done = run(say=said.append)
    assert said[1].startswith(
        f"Continuing the stopped run at step {step}." if step else "step 6 of"
    )
    assert same(weights_of(done.folder), weights_of(whole.folder))
    assert done.curve == whole.curve
    assert done.report["result"] == whole.report["result"]
    assert done.report["resumed"] == (step is not None)
    assert sorted(path.name for path in done.folder.iterdir()) == FILES


@pytest.mark.parametrize("padding", ["dynamic", "fixed"])
@pytest.mark.parametrize(("look", "step"), [(2, 3), (4, 9)])  # in the first epoch, in the second
def test_a_run_stopped_within_an_epoch_does_not_see_a_pair_twice(padding, look, step, run):
    recipe = replace(SHORT, epochs=2.5, evaluations=2, padding=padding)  # a look every 3 steps
    whole = run("whole", recipe)
    with pytest.raises(Stopped):
        run(recipe=recipe, say=stop_at(look))
    said: list[str] = []
    done = run(recipe=recipe, say=said.append)
    assert said[1] == f"Continuing the stopped run at step {step}."
    assert done.curve == whole.curve  # the weights may be those of an earlier look
    assert same(weights_of(done.folder), weights_of(whole.folder))


@pytest.mark.parametrize("change", ["recipe", "pairs", "model", "labels"])
def test_another_run_starts_anew(change, run, tmp_path, classifier_of):
    with pytest.raises(Stopped):
        run(say=stop_at(3))
    changes = {
        "recipe": {"recipe": replace(SHORT, learning_rate=2e-3)},
        "pairs": {"train": lessons(90, seed=5)},
        "labels": {"train": replace(TRAIN, labels=TRAIN.labels[::-1].copy())},
        "model": {"model": checkpoints.save("bert", tmp_path / "start")},
    }[change]
    said: list[str] = []
    done = run(say=said.append, **changes)
    assert said[1] == "Starting anew: the stopped run is of another recipe, model or data."
    assert same(weights_of(done.folder), weights_of(run("clean", **changes).folder))


def test_a_fresh_run_does_not_go_on(run, whole):
    with pytest.raises(Stopped):
        run(say=stop_at(3))
    said: list[str] = []
    done = run(say=said.append, fresh=True)
    assert not any(told.startswith("Continuing") for told in said)
    assert done.report["resumed"] is False
    assert same(weights_of(done.folder), weights_of(whole.folder))


@pytest.mark.parametrize(("look", "step"), [(2, 15), (3, 30)])
def test_a_stopped_adaptation_ends_in_the_same_weights(look, step, learner, settings, tmp_path):
    """The words that are hidden are those of a run that was not stopped, within an epoch too."""
    # 6 steps an epoch, looks at 15, 30 and 45
    recipe = replace(ADAPTATION, epochs=7.5, evaluations=0.4)

    def start(out: str, **options) -> list[float]:
        folder = tmp_path / out
        return adapt(str(learner), TRAIN, DEV, folder, recipe=recipe, settings=settings, **options)

    whole = start("whole")
    with pytest.raises(Stopped):
        start("out", say=stop_at(look))
    said: list[str] = []
    assert start("out", say=said.append) == whole[look - 1 :]
    assert said[0] == f"Continuing the stopped run at step {step}."
    assert same(weights_of(tmp_path / "out"), weights_of(tmp_path / "whole"))
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert found == {path.name for path in (tmp_path / "whole").iterdir()}


# ---- other processes, really killed -------------------------------------------------------------

LONG = replace(RECIPE, epochs=20, evaluations=1, learning_rate=5e-3)  # 120 steps, 20 looks
_OPTIONS = [
    "--epochs", "20", "--evaluations", "1", "--batch-size", "16", "--learning-rate", "5e-3",
    "--precision", "float32", "--max-tokens", "32", "--device", "cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def command(tmp_path_factory, learner):
    """Return the arguments of a training of 120 steps to a folder."""
    data = tmp_path_factory.mktemp("data")
    train, dev = write(TRAIN, data / "train.jsonl"), write(DEV, data / "dev.jsonl")

    def arguments(out: Path) -> list[str]:
        given = [
            "--train",
            str(train),
            "--dev",
            str(dev),
            "--out",
            str(out),
            "--model",
            str(learner),
        ]
        return ["-m", "playground", "nli", "train", *given, *_OPTIONS]

    return arguments


def start(arguments: list[str], program: tuple[str, ...] = (sys.executable,)) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PLAYGROUND_THREADS": "1"}
    return subprocess.Popen(
        [*program, *arguments],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_killed_run_ends_in_the_files_of_one_that_was_not(command, run, tmp_path):
    process = start(command(tmp_path / "out"))
    folder = tmp_path / "out" / "checkpoints"
    deadline = time.monotonic() + 120
    while len(list(folder.glob("checkpoint-*/trainer_state.json"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert not (tmp_path / "out" / "config.json").exists()
    again = start(command(tmp_path / "out"))
    _, told = again.communicate(timeout=120)
    assert again.returncode == 0, told
    assert "playground: Continuing the stopped run at step " in told
    run("whole", LONG)
    assert same(weights_of(tmp_path / "out"), weights_of(tmp_path / "whole"))
    for name in ("config.json", "curve.json", "SHA256SUMS"):
        first, second = (tmp_path / run / name for run in ("out", "whole"))
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.skipif(shutil.which("torchrun", path=Path(sys.executable).parent) is None, reason="torchrun is missing")  # fmt: skip
def test_two_processes_write_one_model(command, tmp_path, settings):
    program = (shutil.which("torchrun", path=Path(sys.executable).parent), "--standalone", "--nproc-per-node", "2")  # fmt: skip
    process = start([*command(tmp_path / "out"), "--epochs", "8", "--evaluations", "0.25"], program)
    _, told = process.communicate(timeout=240)
    assert process.returncode == 0, told
    assert told.count("playground: Done: dev accuracy ") == 1
    assert told.count("playground: 90 pairs to train on") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    report = json.loads((tmp_path / "out" / "training.json").read_text())
    assert (report["processes"], report["steps"]) == (2, 48)
    found = evaluate(NliClassifier(tmp_path / "out", settings=settings), DEV)
    assert found.accuracy >= 0.9
    assert report["result"]["accuracy"] == pytest.approx(found.accuracy)
    assert all(bool(t.isfinite().all()) for t in load_file(tmp_path / "out" / "model.safetensors").values())  # fmt: skip
