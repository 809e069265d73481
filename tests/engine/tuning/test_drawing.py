"""The same seed gives the same bytes, whatever other threads do: open models, or tune too."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from playground.engine import packing
from playground.engine.backbone import open_backbone
from playground.engine.tuning.recipe import METHODS
from tests.engine import tiny
from tests.engine.tuning.conftest import ROWS

STEPS = {"steps": 40, "dropout": 0.3, "evaluate_every": 40}


@pytest.mark.parametrize("kind", ["shipped", *tiny.ARCHITECTURES])
def test_opening_a_model_draws_no_random_numbers(kind, open_model):
    source = open_model(kind).backbone.source
    before = torch.get_rng_state()
    open_backbone(source, device="cpu", dtype="auto")
    packing._many_rows_gain.__wrapped__()  # once a process
    assert torch.equal(torch.get_rng_state(), before)


def test_a_tuning_is_the_same_beside_a_thread_that_opens_models(tuner_of, open_model):
    alone = tuner_of("cls", **STEPS)
    list(alone.run())
    model, delta = open_model("bert"), alone.delta()
    done, opened = threading.Event(), []

    def open_models() -> None:
        while not done.is_set():
            model.tuned(delta).classify(ROWS[:1], delta.prompt)
            opened.append(1)

    visitor = threading.Thread(target=open_models)
    visitor.start()
    try:
        beside = tuner_of("cls", **STEPS)
        list(beside.run())
    finally:
        done.set()
        visitor.join()
    assert len(opened) > 1
    assert beside.delta().digest == delta.digest


def test_tunings_at_the_same_time_are_the_same_as_in_turn(tuner_of):
    def tune(method: str) -> str:
        tuner = tuner_of(method, **STEPS)
        list(tuner.run())
        return tuner.delta().digest

    in_turn = [tune(method) for method in METHODS]
    with ThreadPoolExecutor(len(METHODS)) as threads:
        assert list(threads.map(tune, METHODS)) == in_turn
