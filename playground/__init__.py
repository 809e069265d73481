"""Prompt Playground: zero-shot classification with a masked language model and a cloze prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playground.errors import PlaygroundError
from playground.prompts import (
    LabelWord,
    Prompt,
    RulePrompt,
    ScoringOptions,
    SubPrompt,
    Template,
    Verbalizer,
)

if TYPE_CHECKING:
    from playground.engine import Prompting, Scores
    from playground.tasks.nli import NliClassifier

__version__ = "0.1.0"
__all__ = [
    "LabelWord",
    "NliClassifier",
    "PlaygroundError",
    "Prompt",
    "Prompting",
    "RulePrompt",
    "Scores",
    "ScoringOptions",
    "SubPrompt",
    "Template",
    "Verbalizer",
]


def __getattr__(name: str) -> Any:
    if name in ("Prompting", "Scores"):  # torch is loaded when it is first needed
        from playground import engine

        return getattr(engine, name)
    if name == "NliClassifier":
        from playground.tasks import nli

        return nli.NliClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
