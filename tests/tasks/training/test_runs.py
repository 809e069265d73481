"""A training's device and batch: one GPU for each process, and the recipe's rows a step."""

from __future__ import annotations

import pytest
import torch

from playground.errors import PlaygroundError
from playground.tasks.nli.training import Recipe
from playground.tasks.training.runs import trainer_arguments, training_device


@pytest.mark.parametrize("wanted", ["cuda:1", "cuda:0"])
def test_a_gpu_by_number_is_refused(wanted):
    number = wanted[-1]
    message = (
        f'^The device is "{wanted}" and a training takes the first GPU that it sees; set '
        f"CUDA_VISIBLE_DEVICES={number} and give cuda\\.$"
    )
    with pytest.raises(PlaygroundError, match=message):
        training_device(wanted)


def test_other_devices_are_as_everywhere():
    assert training_device("cpu") == torch.device("cpu")
    with pytest.raises(PlaygroundError, match=r'^The device "toaster" is not there; use auto, cpu'):
        training_device("toaster")


@pytest.mark.parametrize("gpus", [1, 2, 8])
def test_several_visible_gpus_leave_the_batch_as_it_is(gpus, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    recipe = Recipe(batch_size=24, precision="float32")
    found = trainer_arguments(tmp_path, recipe, 240, torch.device("cuda"))
    assert (found.n_gpu, found.train_batch_size, found.eval_batch_size) == (1, 24, 24)
