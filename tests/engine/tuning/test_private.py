"""A tuning touches nothing that others use, and leaves nothing behind."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from playground.engine.tuning.recipe import METHODS
from tests.engine.tuning.conftest import OTHERS, ROWS, digest

_STATUS = Path("/proc/self/statm")


@pytest.mark.parametrize("method", ["whole", "soft", "lora"])
def test_others_scores_stay_the_same_to_the_bit_while_one_tunes(
    method, tuner_of, open_model, make_prompt
):
    model = open_model("bert")
    prompts = [make_prompt(f"{{text}} {word} was {{mask}}.") for word in ("It", "He", "All")]
    before = [model.classify([*ROWS, *OTHERS], prompt).probabilities for prompt in prompts]
    tuner = tuner_of(method, steps=100_000, learning_rate=0.05, evaluate_every=50)
    done, steps = threading.Event(), []

    def tune() -> None:
        for step in tuner.run():
            steps.append(step.step)
            if done.is_set():
                return

    def canary(number: int) -> bool:
        k, row = number % 3, number % 32
        alone = model.classify([[*ROWS, *OTHERS][row]], prompts[k]).probabilities[0]
        whole = model.classify([*ROWS, *OTHERS], prompts[k]).probabilities
        return abs(alone - before[k][row]).max() < 1e-6 and bool((whole == before[k]).all())

    trainer = threading.Thread(target=tune)
    trainer.start()
    try:
        with ThreadPoolExecutor(4) as visitors:
            found = list(visitors.map(canary, range(150)))
        during = len(steps)
    finally:
        done.set()
        trainer.join()
    assert all(found)
    assert during > 10  # it was tuning all the while
    assert digest(tuner) != digest(tuner_of(method, learning_rate=0.05))


@pytest.mark.skipif(not _STATUS.exists(), reason="the memory is read from Linux's /proc")
def test_fifty_tunings_in_turn_leave_memory_flat_and_no_model_alive(
    tuner_of, open_model, make_prompt
):
    model, left, sizes = open_model("bert"), [], []
    for number in range(56):
        tuner = tuner_of(list(METHODS)[number % len(METHODS)], steps=2, learning_rate=0.05)
        for _ in tuner.run():
            pass
        left += [weakref.ref(one) for one in (tuner.network, tuner.network.model)]
        left += [weakref.ref(weight) for weight in tuner.network.tuned.values()]
        if number % 5 == 0:  # each method in its turn
            tuner.estimate()
            tuned = model.tuned(tuner.delta())
            tuned.classify(ROWS[:2], tuner.delta().prompt)
            left.append(weakref.ref(tuned.backbone.model))
            del tuned
        del tuner
        sizes.append(int(_STATUS.read_text().split()[1]) << 12)
    gc.collect()
    assert not [ref for ref in left if ref() is not None]
    growth = sizes[-1] - sizes[5]  # after each method once
    assert growth <= 30 << 20, f"{growth / 2**20:.0f} MiB in 50 tunings"
