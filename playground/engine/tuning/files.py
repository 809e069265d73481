"""A delta as a folder: safetensors with its description inside, a SHA-256, and a card."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from playground.engine.tuning.delta import Delta
from playground.errors import PlaygroundError, shorten
from playground.prompts import prompt_from_json

WEIGHTS, SUMS, CARD = "delta.safetensors", "SHA256SUMS", "README.md"
_FORMAT = "playground-delta-1"
_MOST_BYTES = 4 << 30
_MOST_HEADER = 8 << 20


def save_delta(delta: Delta, folder: str | os.PathLike[str], *, card: str = "") -> Path:
    """Write a delta to a folder, made if need be, and return the folder.

    Each file is replaced whole or not at all, the sum before the weights, so that a half-written delta
    never opens. Raises PlaygroundError where it cannot be written.
    """
    target = Path(folder).expanduser()
    description = {
        "format": _FORMAT,
        "method": delta.method,
        "base": delta.base,
        "revision": delta.revision,
        "prompt": delta.prompt.to_json(),
        "report": dict(delta.report),
    }
    # a lone surrogate of a text becomes an escape here, which the header could not hold
    metadata = {"playground": json.dumps(description)}
    data = save({name: tensor.contiguous() for name, tensor in delta.tensors.items()}, metadata)
    try:
        target.mkdir(parents=True, exist_ok=True)
        if card:
            write_whole(target / CARD, card.encode("utf-8", "backslashreplace"))
        (target / SUMS).unlink(missing_ok=True)
        write_whole(target / WEIGHTS, data)
        write_whole(target / SUMS, f"{hashlib.sha256(data).hexdigest()}  {WEIGHTS}\n".encode())
    except (OSError, ValueError) as error:
        raise PlaygroundError(
            f"The delta cannot be written to {shorten(folder, 120)} "
            f"({getattr(error, 'strerror', None) or 'not a folder name'}); choose another folder."
        ) from None
    return target


def load_delta(folder: str | os.PathLike[str]) -> Delta:
    """Read a delta that :func:`save_delta` wrote; nothing of it is run.

    Raises PlaygroundError, in one sentence, for one that is not there, is damaged, or is no delta. Its
    fit with a base is checked when it is applied.
    """
    shown = shorten(folder, 120)
    try:
        path = Path(folder).expanduser()
        size = (path / WEIGHTS).stat().st_size
        if size > _MOST_BYTES:
            raise PlaygroundError(f"The delta {shown} is larger than 4 GiB; it is not opened.")
        data = (path / WEIGHTS).read_bytes()
        listed = (path / SUMS).read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        raise PlaygroundError(
            f"The folder {shown} holds no whole delta: {WEIGHTS} or {SUMS} cannot be read; give a folder "
            "that playground tune wrote."
        ) from None
    if listed != [hashlib.sha256(data).hexdigest(), WEIGHTS]:
        raise PlaygroundError(f"The delta {shown} is damaged: its SHA-256 differs; get it again.")
    about = _description(data)
    if about is None:
        raise PlaygroundError(
            f"The file {WEIGHTS} in {shown} is no delta of this version; make it again with "
            "playground tune."
        )
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError, OverflowError):
        raise PlaygroundError(
            f"The delta {shown} is damaged: its tensors cannot be read; get it again."
        ) from None
    return Delta(
        about["method"],
        about["base"],
        about["revision"],
        prompt_from_json(about["prompt"]),
        tensors,
        about["report"],
    )


def _description(data: bytes) -> dict[str, Any] | None:
    """Return what the header says of the delta, None where it is no delta of ours."""
    kinds = {"method": str, "base": str, "revision": str, "prompt": dict, "report": dict}
    try:
        (length,) = struct.unpack("<Q", data[:8])
        if length > _MOST_HEADER:
            return None
        about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["playground"])
        sound = about["format"] == _FORMAT and set(about) == {"format", *kinds}
    except (struct.error, ValueError, KeyError, TypeError, RecursionError):
        return None
    fit = sound and all(isinstance(about[name], kind) for name, kind in kinds.items())
    return about if fit else None


def write_whole(path: Path, data: bytes) -> None:
    """Write a file by way of another, so that it is there whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield another file to write to, which takes the place of ``path`` at the end, or is taken away."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
