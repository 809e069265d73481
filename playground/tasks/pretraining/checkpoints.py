"""Where a stopped pretraining goes on: weights, optimiser, streams and curve, in safetensors and JSON."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from playground.errors import PlaygroundError, shorten
from playground.tasks.training.saving import why_unwritten

FOLDER = "stopped"
FOLDERS = (FOLDER, f".{FOLDER}", f".{FOLDER}-old")  # all that a checkpoint may leave
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
    place, new, old = (folder / name for name in FOLDERS)
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
        reason = why_unwritten(error)
        shutil.rmtree(new, ignore_errors=True)  # half a checkpoint is of no use
        raise PlaygroundError(
            f"The checkpoint cannot be written to {shorten(folder, 120)} ({reason}); make room and run "
            "the same command again: it goes on from the checkpoint before."
        ) from None


def load_progress(folder: Path, mark: str) -> tuple[Progress, dict[str, torch.Tensor]] | None:
    """Return the checkpoint of the run ``mark`` in ``folder``, or None where there is none.

    Raises PlaygroundError for one of another recipe, model size or data.
    """
    place, _, old = (folder / name for name in FOLDERS)
    if not place.exists():
        with suppress(FileNotFoundError):  # it is there after a kill between two renames
            old.rename(place)
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
        raise of_another_run(folder)
    return Progress(**note), tensors


def of_another_run(folder: Path) -> PlaygroundError:
    """Return what to raise where the stopped run in ``folder`` is not the one that is asked for."""
    return PlaygroundError(
        f"The stopped run in {shorten(folder, 120)} is of another recipe, vocabulary or corpus; "
        "give another --out, or --fresh to start anew."
    )
