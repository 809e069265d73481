"""Tiny models made once a session, opened by our engine and by plain transformers."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import cache
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch

from playground import Prompt, Prompting, ScoringOptions, Template, Verbalizer, resources
from tests.engine import tiny
from tests.engine.oracle import Plain

Make = Callable[..., Prompt]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory) -> Callable[[str], Path]:
    """Return the folder of a tiny model by its architecture, or of the shipped one by "shipped"."""

    @cache
    def folder(kind: str) -> Path:
        if kind == "shipped":
            return resources.shipped_models()["playground-mini"]
        return tiny.save(kind, tmp_path_factory.mktemp("models") / f"tiny-{kind}")

    return folder


@pytest.fixture(scope="session")
def open_model(folder_of, prompting) -> Callable[[str], Prompting]:
    """Return the engine on a model of ``folder_of``; each is opened once."""

    @cache
    def opened(kind: str) -> Prompting:
        return prompting if kind == "shipped" else Prompting(folder_of(kind), threads=1)

    return opened


@pytest.fixture(scope="session")
def plain_of(folder_of) -> Callable[[str], Plain]:
    """Return plain transformers on a model of ``folder_of``; each is opened once."""

    @cache
    def opened(kind: str) -> Plain:
        return Plain.load(folder_of(kind))

    return opened


@pytest.fixture(scope="session")
def make_prompt() -> Make:
    """Return a builder of a prompt: two labels of two words, unless told otherwise."""

    def make(
        template: str = "{text} Because it was {mask}.",
        labels: dict | None = None,
        **options: object,
    ) -> Prompt:
        words = labels or {"positive": ["great", "good"], "negative": ["awful", "bad"]}
        return Prompt(Template(template), Verbalizer(words), ScoringOptions(**options))

    return make


@pytest.fixture
def no_network(monkeypatch) -> list[object]:
    """Let transformers try the network, refuse every connection, and return what was tried."""
    tried: list[object] = []

    def refuse(_socket, address):
        tried.append(address)
        raise OSError("the network is blocked")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **_: refuse(None, args))
    return tried
