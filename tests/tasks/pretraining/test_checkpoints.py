"""A checkpoint is whole or the one before, holds no pickle, and is refused where it does not belong."""

from __future__ import annotations

import re
import shutil

import pytest
import torch
from safetensors import safe_open

from playground.errors import PlaygroundError
from playground.tasks.pretraining.checkpoints import FOLDERS, Progress, load_progress, save_progress

PROGRESS = Progress(
    step=7, seconds=1.25, streams=[[0, 3, 9]],
    curve=[{"step": 7, "tokens": 70, "loss": 0.1, "learning_rate": 1e-3}],
    checkpoints=[{"step": 0, "tokens": 0, "seconds": 0.0, "loss": {"a": 2.5}, "mean_loss": 2.5}],
    tops=[[[["film", 0.5], ["ünï", 1 / 3]]]], sums=[0.1 + 0.2, 3],
)  # fmt: skip
TENSORS = {"weight a": torch.rand(3, 4), "step a": torch.tensor(7.0), "b": torch.rand(5).bfloat16()}


def load(folder, mark="mark"):
    progress, tensors = load_progress(folder, mark)
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], value) for name, value in TENSORS.items())
    return progress


def test_what_is_saved_is_loaded_to_the_bit(tmp_path):
    assert load_progress(tmp_path, "mark") is None
    save_progress(tmp_path, "mark", PROGRESS, TENSORS)
    assert load(tmp_path) == PROGRESS
    save_progress(tmp_path, "mark", Progress(step=8), TENSORS)
    assert load(tmp_path) == Progress(step=8)
    assert [path.name for path in tmp_path.iterdir()] == ["stopped"]


def test_there_is_no_pickle(tmp_path):
    save_progress(tmp_path, "mark", PROGRESS, TENSORS)
    assert [path.name for path in (tmp_path / "stopped").iterdir()] == ["state.safetensors"]
    with safe_open(str(tmp_path / "stopped" / "state.safetensors"), "pt") as file:
        assert file.keys() == sorted(TENSORS)
        assert list(file.metadata()) == ["progress"]


def test_one_of_another_run_is_refused_and_stays(tmp_path):
    save_progress(tmp_path, "mark", PROGRESS, TENSORS)
    with pytest.raises(PlaygroundError) as told:
        load_progress(tmp_path, "other")
    assert str(told.value) == (
        f'The stopped run in "{tmp_path}" is of another recipe, vocabulary or corpus; give another '
        "--out, or --fresh to start anew."
    )
    assert load(tmp_path) == PROGRESS


@pytest.mark.parametrize("many", [0, 7, 200, -1])
def test_a_damaged_one_is_told(many, tmp_path):
    save_progress(tmp_path, "mark", PROGRESS, TENSORS)
    file = tmp_path / "stopped" / "state.safetensors"
    file.write_bytes(file.read_bytes()[:many])
    with pytest.raises(PlaygroundError) as told:
        load_progress(tmp_path, "mark")
    assert str(told.value) == (
        f'The stopped run in "{tmp_path}" cannot be read; --fresh starts anew.'
    )


def test_a_kill_at_any_moment_leaves_one(tmp_path):
    """The states between the steps of saving, by hand: only whole folders ever bear the name."""
    now, new, old = (tmp_path / name for name in FOLDERS)
    save_progress(tmp_path, "mark", PROGRESS, TENSORS)
    whole = tmp_path / "whole"
    shutil.copytree(now, whole)

    new.mkdir()  # killed while the new one is written
    (new / "state.safetensors").write_bytes(b"half")
    assert load(tmp_path) == PROGRESS

    now.rename(old)  # killed between two renames
    assert load(tmp_path) == PROGRESS
    assert now.exists()
    assert not old.exists()

    shutil.copytree(whole, old)  # killed before the old one is removed
    assert load(tmp_path) == PROGRESS
    save_progress(tmp_path, "mark", Progress(step=9), TENSORS)
    assert load(tmp_path) == Progress(step=9)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stopped", "whole"]


def test_a_folder_that_takes_nothing_is_told_and_the_one_before_stays(tmp_path):
    save_progress(tmp_path, "mark", PROGRESS, TENSORS)
    (tmp_path / ".stopped").write_text("a file is in the way")
    with pytest.raises(PlaygroundError) as told:
        save_progress(tmp_path, "mark", Progress(step=9), TENSORS)
    assert re.fullmatch(
        f'The checkpoint cannot be written to "{tmp_path}" \\(File exists\\); make room and run the same '
        "command again: it goes on from the checkpoint before.",
        str(told.value),
    )
    assert load(tmp_path) == PROGRESS
