"""The memory that a tuning is said to take, held to the peak of a process that does it."""

from __future__ import annotations

import gc
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from playground import Prompt, Prompting
from playground.engine.tuning.loop import Shots, Tuner
from playground.engine.tuning.memory import peak_bytes
from playground.engine.tuning.recipe import Recipe
from tests.processes import PROCESSES

_CLEAR = Path("/proc/self/clear_refs")
_WORDS = [
    "film",
    "good",
    "bad",
    "story",
    "man",
    "woman",
    "music",
    "actor",
    "house",
    "train",
    "long",
    "short",
    "great",
    "awful",
    "time",
]


def test_by_hand():
    common = {"weights": 100, "layers": 2, "heads": 3, "wide": 8, "batch": 4, "width": 5}
    own = peak_bytes("linear", **(common | {"weights": 0}), tuned=0)
    activations = 2 * 2 * 4 * 5 * (34 * 8 + 5 * 3 * 5)
    assert peak_bytes("linear", **common, tuned=7) - own == 400 + 16 * 7
    assert peak_bytes("lora", **common, tuned=7) - own == 400 + 16 * 7 + activations
    assert peak_bytes("whole", **common, tuned=100) - own == 400 + 1600 + activations + 600 + 200


@pytest.mark.skipif(not _CLEAR.exists(), reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize(("method", "words"), [("whole", 20), ("lora", 60), ("linear", 10)])
def test_the_estimate_is_near_the_peak_of_a_process(method, words):
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=_tuned, args=(method, words, theirs))
    process.start()
    theirs.close()
    estimate, peak = ours.recv()
    process.join()
    assert estimate / 1.3 <= peak <= estimate * 1.3, f"{estimate >> 20} and {peak >> 20} MiB"


def _tuned(method: str, words: int, answer: Connection) -> None:
    """Tune the shipped model, and send the estimate and the growth to the peak, in bytes."""
    prompting, prompt = Prompting(threads=1), Prompt.load("sentiment")
    size = len(_WORDS)
    rows = [" ".join(_WORDS[(i * 7 + j * 3 + j // size) % size] for j in range(words)) for i in range(32)]  # fmt: skip
    prompting.classify(rows, prompt)
    shots = Shots.of(rows, [i % 2 for i in range(32)], 2)
    gc.collect()
    before = _kept("VmRSS")
    _CLEAR.write_text("5")  # the peak counts from here
    recipe = Recipe(method=method, steps=3, batch_size=16, evaluate_every=2)
    tuner = Tuner(prompting.backbone, prompt, shots, shots, recipe=recipe)
    estimate = tuner.estimate().nbytes
    for _ in tuner.run():
        pass
    tuner.delta()
    answer.send((estimate, _kept("VmHWM") - before))


def _kept(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) << 10
