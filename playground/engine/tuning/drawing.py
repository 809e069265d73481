"""Random numbers of a tuning, the same whatever other threads do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_DRAWING = threading.Lock()  # torch has one generator for all threads


@contextmanager
def drawn(seed: int, step: int, device: torch.device) -> Iterator[None]:
    """Draw a step's random numbers from its own seed, and leave everyone else's as they are.

    One tuning draws at a time, so nothing slow belongs in here. Opening a model draws nothing and does
    not wait.
    """
    devices = [device] if device.type == "cuda" else []
    with _DRAWING, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed * 1_000_003 + step + 1)
        yield
