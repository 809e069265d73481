"""A tiny masked LM, a model of each head trained from it, and one thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from playground.settings import Settings
from playground.tasks.heads import Finished, finetune
from tests.tasks.heads.lessons import MAKERS, RECIPE
from tests.tasks.nli import checkpoints


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings(threads=1, device="cpu")


@pytest.fixture(scope="session")
def learner(tmp_path_factory) -> Path:
    """The folder of a tiny masked LM that can be trained in a second."""
    return checkpoints.save_learner(tmp_path_factory.mktemp("models") / "learner")


@pytest.fixture(scope="session")
def trained(tmp_path_factory, learner, settings) -> Callable[[str], tuple[Finished, list[str]]]:
    """Return a finished run of a kind on 96 rows, with 32 to choose on, and what it said."""

    @cache
    def run(kind: str) -> tuple[Finished, list[str]]:
        said: list[str] = []
        out = tmp_path_factory.mktemp("trained") / kind
        rows = [MAKERS[kind](96), MAKERS[kind](32, 1)]
        done = finetune(str(learner), *rows, out, recipe=RECIPE, settings=settings, say=said.append)
        return done, said

    return run
