"""Prompt cards as files: read with care, and written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from playground import resources
from playground.errors import PlaygroundError, shorten

_MAX_CARD_BYTES = 1 << 20


def read_card(source: str | os.PathLike[str], kinds: Sequence[str] = ("",)) -> Any:
    """Return the JSON of a card's file, or of a shipped card of one of ``kinds`` by its name.

    Raises PlaygroundError for a file that cannot be read, is too large, or is not JSON.
    """
    path = Path(source)
    for kind in kinds:
        if not path.suffix and str(source) in resources.card_names(kind):
            path = resources.card_path(str(source), kind)
            break
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_CARD_BYTES + 1)
    except (OSError, ValueError) as error:
        names = [name for kind in kinds for name in resources.card_names(kind)]
        raise PlaygroundError(
            f"The prompt card {shorten(source, 120)} cannot be read ({_reason(error)}); "
            f"give a file, or one of {', '.join(names)}."
        ) from None
    if len(raw) > _MAX_CARD_BYTES:
        raise PlaygroundError(f"The prompt card {shorten(source, 120)} is larger than 1 MiB.")
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise PlaygroundError(
            f"The prompt card {shorten(source, 120)} is not JSON; check its commas and quotes."
        ) from None


def check_keys(data: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise PlaygroundError for a key of a card that is none of ``known``."""
    unknown = [key for key in data if key not in known]
    if unknown:
        raise PlaygroundError(
            f"The prompt card has the unknown key {shorten(unknown[0])}; it takes {', '.join(known)}."
        )


def card_texts(data: Mapping[str, Any], keys: Sequence[str]) -> dict[str, str]:
    """Return those of ``keys`` that the card has; PlaygroundError for one that is no text."""
    texts = {key: data[key] for key in keys if key in data}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise PlaygroundError(f'"{key}" of the card is {shorten(value)}; it must be text.')
    return texts


def card_examples(data: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the rows that a card shows; PlaygroundError unless they are texts or objects."""
    examples = data.get("examples", [])
    if not isinstance(examples, list) or not all(isinstance(e, str | dict) for e in examples):
        raise PlaygroundError('"examples" of the card must be a list of texts or objects.')
    return tuple(examples)


def write_card(path: str | os.PathLike[str], card: Mapping[str, Any]) -> None:
    """Write a card; the file is replaced whole or not at all."""
    target = Path(path)
    text = json.dumps(card, ensure_ascii=False, indent=2) + "\n"
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".partial")
    except (OSError, ValueError) as error:
        raise PlaygroundError(
            f"The card cannot be written to {shorten(path, 120)} ({_reason(error)})."
        ) from None
    try:
        # a lone surrogate becomes \udXXX, its JSON escape
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            mask = os.umask(0)  # a temporary file is private; a card is as open as other files
            os.umask(mask)
            os.chmod(name, 0o666 & ~mask)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise PlaygroundError(
            f"The card cannot be written to {shorten(path, 120)} ({error.strerror}); "
            "what was there is untouched."
        ) from None


def _reason(error: OSError | ValueError) -> str:
    return (isinstance(error, OSError) and error.strerror) or "not a file name"
