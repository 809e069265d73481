"""A delta as one file, safetensors with its description inside, and as a folder with a SHA-256 and a card."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
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


def delta_bytes(delta: Delta) -> bytes:
    """Return a delta as the content of one safetensors file, its description and digest inside."""
    description = {
        "format": _FORMAT,
        "method": delta.method,
        "base": delta.base,
        "revision": delta.revision,
        "prompt": delta.prompt.to_json(),
        "report": dict(delta.report),
        "digest": delta.digest,
    }
    # a lone surrogate of a text becomes an escape here, which the header could not hold
    metadata = {"playground": json.dumps(description)}
    return save({name: tensor.contiguous() for name, tensor in delta.tensors.items()}, metadata)


def delta_from_bytes(data: bytes, *, name: str = "The file") -> Delta:
    """Return the delta in the content of a file that :func:`delta_bytes` made; nothing of it is run.

    name: what an error calls the file. Raises PlaygroundError, in one sentence, for one that is damaged
    or no delta. Its fit with a base is checked when it is applied.
    """
    return _delta(data, name, summed=False)


def save_delta(delta: Delta, folder: str | os.PathLike[str], *, card: str = "") -> Path:
    """Write a delta to a folder, made if need be, and return the folder.

    Each file is replaced whole or not at all, the sum before the weights, so that a half-written delta
    never opens. Raises PlaygroundError where it cannot be written.
    """
    target = Path(folder).expanduser()
    data = delta_bytes(delta)
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


def load_delta(source: str | os.PathLike[str]) -> Delta:
    """Read a delta from a folder that :func:`save_delta` wrote, or from its file of weights alone.

    Nothing of it is run. Raises PlaygroundError, in one sentence, for one that is not there, is damaged,
    or is no delta. Its fit with a base is checked when it is applied.
    """
    shown = shorten(source, 120)
    try:
        path = Path(source).expanduser()
        alone = path.is_file()
        weights = path if alone else path / WEIGHTS
        if weights.stat().st_size > _MOST_BYTES:
            raise PlaygroundError(f"The delta {shown} is larger than 4 GiB; it is not opened.")
        data = weights.read_bytes()
        listed = None if alone else (path / SUMS).read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        raise PlaygroundError(
            f"The folder {shown} holds no whole delta: {WEIGHTS} or {SUMS} cannot be read; give a folder "
            "that playground tune wrote."
        ) from None
    if listed is None:
        return delta_from_bytes(data, name=f"The file {shown}")
    if listed != [hashlib.sha256(data).hexdigest(), WEIGHTS]:
        raise PlaygroundError(f"The delta {shown} is damaged: its SHA-256 differs; get it again.")
    return _delta(data, f"The file {WEIGHTS} in {shown}", summed=True)


def _delta(data: bytes, name: str, *, summed: bool) -> Delta:
    """Return the delta in ``data``; ``summed`` says that its SHA-256 was checked already."""
    about = _description(data)
    if about is None:
        raise PlaygroundError(
            f"{name} is no delta of this version; make it again with playground tune."
        )
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError, OverflowError):
        raise PlaygroundError(
            f"{name} is damaged: its tensors cannot be read; get it again."
        ) from None
    found = Delta(
        about["method"],
        about["base"],
        about["revision"],
        prompt_from_json(about["prompt"]),
        tensors,
        about["report"],
    )
    known = about.get("digest")
    if known != found.digest and not (known is None and summed):
        raise PlaygroundError(f"{name} is damaged: its digest differs; get it again.")
    return found


def _description(data: bytes) -> dict[str, Any] | None:
    """Return what the header says of the delta, None where it is no delta of ours."""
    kinds = {"method": str, "base": str, "revision": str, "prompt": dict, "report": dict}
    try:
        (length,) = struct.unpack("<Q", data[:8])
        if length > _MOST_HEADER:
            return None
        about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["playground"])
        own = set(about) - {"digest"}
        sound = about["format"] == _FORMAT and own == {"format", *kinds}
        fit = sound and all(isinstance(about[name], kind) for name, kind in kinds.items())
        return about if fit and _is_report(about["report"]) else None
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _is_report(report: Mapping[str, Any]) -> bool:
    """Whether a report holds what cards and pages read of it, each of its kind, or leaves it out."""
    counts = [report.get(name, 0) for name in ("rows", "dev_rows", "steps", "best_step")]
    shares = [report.get(name) for name in ("dev_accuracy", "start_dev_accuracy")]
    recipe = report.get("recipe", {})
    if not isinstance(recipe, dict):
        return False
    counts += [recipe.get(name, 0) for name in ("batch_size", "seed")]
    return (
        all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in counts)
        and all(n is None or (isinstance(n, int | float) and 0 <= n <= 1) for n in shares)
        and isinstance(recipe.get("learning_rate", 0.0), int | float)
    )


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
