"""Tiny checkpoints beside the shipped model, and prompts that type spans."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from playground import Prompt, ScoringOptions, Template, Verbalizer
from tests.engine.conftest import _one_thread, folder_of, open_model, plain_of  # noqa: F401

TYPES = {
    "person": ["man", "friend"],
    "place": ["place", "park", "house"],
    "none": ["film", "good"],
}
TEMPLATES = ("{before}the {mask} {span}{after}", "{text} {span} is a {mask}.", "The {mask} {span}.")


@pytest.fixture(scope="session")
def make_typing_prompt() -> Callable[..., Prompt]:
    """Return a builder of a typing prompt of several templates: person, place, none."""

    def make(*templates: str, labels: dict | None = None, **options: object) -> Prompt:
        first, *others = map(Template, templates or TEMPLATES)
        return Prompt(
            first,
            Verbalizer(labels or TYPES),
            ScoringOptions(**options),
            task="entity",
            alternatives=tuple(others),
        )

    return make


@pytest.fixture(scope="session")
def entity_card() -> Prompt:
    """The shipped card."""
    return Prompt.load("entity")
