"""Where a stopped pretraining goes on: weights, optimiser, streams and curve, in safetensors and JSON."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from playground.errors import PlaygroundError, shorten

FOLDER = "stopped"
_FILE = "state.safetensors"


@dataclass
class Progress:
    """How far a training is, and what it has shown so far.

    step: steps done. streams: where each corpus stands, (pass, document, token). curve, checkpoints and
    tops: what :mod:`timelapse` keeps. sums: loss since the last point of the curve, and of how many steps.
    """

    step: int = 0
    seconds: float = 0.0
    streams: list[list[int]] = field(default_factory=list)
    curve: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    tops: list[list[list[list[Any]]]] = field(default_factory=list)
    sums: list[float] = field(default_factory=lambda: [0.0, 0])


def save_progress(
    folder: Path, mark: str, progress: Progress, tensors: dict[str, torch.Tensor]
) -> None:
    """Replace the checkpoint in ``folder``; a kill at any moment leaves the old one or the new one."""
    place = folder / FOLDER
    new = folder / f".{FOLDER}"
    old = folder / f".{FOLDER}-old"
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        note = json.dumps({"mark": mark, **asdict(progress)})
        kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(kept, str(new / _FILE), {"progress": note})
        with (new / _FILE).open("rb") as stream:
            os.fsync(stream.fileno())
        shutil.rmtree(old, ignore_errors=True)
        if place.exists():
            place.rename(old)
        new.rename(place)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or "the disk may be full"
        raise PlaygroundError(
            f"The checkpoint cannot be written to {shorten(folder, 120)} ({reason}); make room and run "
            "the same command again: it goes on from the checkpoint before."
        ) from None


def load_progress(folder: Path, mark: str) -> tuple[Progress, dict[str, torch.Tensor]] | None:
    """Return the checkpoint of the run ``mark`` in ``folder``, or None where there is none.

    Raises PlaygroundError for one of another recipe, model size or data.
    """
    place = folder / FOLDER
    if not place.exists() and (folder / f".{FOLDER}-old").exists():  # killed between two renames
        (folder / f".{FOLDER}-old").rename(place)
    try:
        with safe_open(str(place / _FILE), "pt") as file:
            note = json.loads((file.metadata() or {}).get("progress", ""))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, ValueError):
        raise PlaygroundError(
            f"The stopped run in {shorten(folder, 120)} cannot be read; --fresh starts anew."
        ) from None
    if note.pop("mark", None) != mark:
        raise PlaygroundError(
            f"The stopped run in {shorten(folder, 120)} is of another recipe, vocabulary or corpus; "
            "give another --out, or --fresh to start anew."
        )
    return Progress(**note), tensors
