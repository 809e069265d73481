"""What a training leaves: the model with its tokenizer, the curve, the numbers, and a model card."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from playground.engine.loading import CHECKSUMS, quietly
from playground.errors import PlaygroundError, shorten
from playground.tasks.training.curve import Curve

_LISTED = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def save_trained(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    curve: Curve,
    report: dict[str, Any],
    card: str,
    half: bool = False,
) -> None:
    """Write a finished model to ``folder``; config.json comes last, so half a model is never opened.

    report: goes to ``training.json``, and card to ``README.md``. half: store weights in fp16; they are
    cast to fp32 when they are read. Raises PlaygroundError where the folder cannot be written.
    """
    with staged(folder) as stage:
        if half:
            model = model.to(torch.float16)  # type: ignore[arg-type]
        model.save_pretrained(stage)
        tokenizer.save_pretrained(stage)
        curve.save(stage / "curve.json")
        curve.draw(stage / "curve.svg")
        text = json.dumps(report, indent=1, ensure_ascii=False)
        (stage / "training.json").write_text(f"{text}\n", encoding="utf-8")
        (stage / "README.md").write_text(card, encoding="utf-8")
        add_checksums(stage)


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yield a folder to write a model to; its files move to ``folder`` at the end, config.json last.

    Raises PlaygroundError where they cannot be written.
    """
    stage = folder / ".saving"
    try:
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir()
        with quietly():
            yield stage
        (folder / "config.json").unlink(missing_ok=True)
        for file in sorted(stage.iterdir(), key=lambda file: file.name == "config.json"):
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
            file.chmod(0o644)
            os.replace(file, folder / file.name)
        stage.rmdir()
    except Exception as error:
        reason = why_unwritten(error)
        if reason is None:
            raise
        raise PlaygroundError(
            f"The model cannot be written to {shorten(folder, 120)} ({reason}); make room and run the "
            "same command again: it goes on from the last checkpoint."
        ) from None


def why_unwritten(error: Exception) -> str | None:
    """Return why files could not be written, or None for an error of another kind.

    safetensors has an exception of its own for a failed write, and tokenizers raises a bare one.
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    told = isinstance(error, OSError | SafetensorError) or type(error) is Exception
    return "the disk may be full" if told else None


def add_checksums(folder: Path) -> None:
    """Write the list of SHA-256 sums that is checked when the model is read."""
    sums = [f"{_digest(folder / n)}  {n}\n" for n in _LISTED if (folder / n).is_file()]
    (folder / CHECKSUMS).write_text("".join(sums), encoding="utf-8")


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
