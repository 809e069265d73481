"""Tiny checkpoints made once a session, and one thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from playground.settings import Settings
from playground.tasks.nli import NliClassifier
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
def classifier_of(tmp_path_factory) -> Callable[[str], Path]:
    """Return the folder of a tiny classifier by its architecture."""

    @cache
    def folder(kind: str) -> Path:
        return checkpoints.save(kind, tmp_path_factory.mktemp("classifiers") / f"nli-{kind}")

    return folder


@pytest.fixture(scope="session")
def classifier(classifier_of, settings) -> NliClassifier:
    """A tiny random BERT classifier; it is frozen, so tests share it."""
    return NliClassifier(classifier_of("bert"), settings=settings)
