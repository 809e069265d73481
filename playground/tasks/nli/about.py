"""What a classifier's folder tells of it: its model card and its training curve."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from playground.engine.loading import Source
from playground.tasks.training.curve import Curve

_MOST_CHARS = 20_000
_PICTURE = re.compile(r"^!\[.*\n?", re.MULTILINE)
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


@dataclass(frozen=True)
class About:
    """The card as Markdown, without front matter and pictures, and the curve if there is one."""

    card: str
    curve: Curve | None


def about(source: Source) -> About:
    """Return what stands beside a model's weights; a hub model's page is named instead."""
    if not source.local:
        return About(
            f"This classifier comes from the hub; its card is on the page of {source.name}.", None
        )
    folder = Path(source.location)
    try:
        card = (folder / "README.md").read_text(encoding="utf-8")[:_MOST_CHARS]
    except (OSError, UnicodeError):
        card = "This classifier has no model card."
    try:
        curve = Curve.load(folder / "curve.json")
    except (OSError, ValueError, KeyError, TypeError):
        curve = None
    return About(_PICTURE.sub("", _FRONT_MATTER.sub("", card)), curve)
