"""Where tensors live and how many threads work on them."""

from __future__ import annotations

import os

import torch

from playground.errors import PlaygroundError, shorten
from playground.settings import Settings


def choose_device(wanted: str) -> torch.device:
    """Return the device for "auto" (CUDA, then MPS, then CPU) or for a name; checks that it is there."""
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device).item()  # "meta" has no numbers
    except (RuntimeError, AssertionError, NotImplementedError):
        raise PlaygroundError(
            f"The device {shorten(wanted)} is not there; use auto, cpu, cuda or mps."
        ) from None
    return device


def choose_threads(settings: Settings) -> int:
    """Set torch's CPU threads for this process as the settings say, and return their number.

    By default one core is left free: torch threads that wait for a busy core wait for each other.
    """
    count = settings.threads or max(1, (os.cpu_count() or 2) - 1)
    torch.set_num_threads(count)
    return count
