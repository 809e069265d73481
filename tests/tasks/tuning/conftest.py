"""A tiny random model with a few rows written here: runs are about what is kept and told of them."""

from __future__ import annotations

import numpy as np
import pytest

from playground import Prompt, Prompting, Template, Verbalizer
from playground.tasks.evaluation import LabelledRows
from tests.engine import tiny

THINGS = ["film", "meal", "song", "book", "hotel", "play", "game", "dish", "show", "trip"]
PLACES = ["here", "there", "at home", "in town"]


@pytest.fixture(scope="session")
def labelled() -> LabelledRows:
    """Forty rows of each label, all different."""
    rows = [
        {"text": f"A {word} {thing} {place} that I {verb}."}
        for word, verb in (("good", "loved"), ("bad", "hated"))
        for thing in THINGS
        for place in PLACES
    ]
    return LabelledRows("reviews", ("positive", "negative"), rows, np.array([0] * 40 + [1] * 40))


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Prompting:
    return Prompting(tiny.save("bert", tmp_path_factory.mktemp("models") / "tiny"), threads=1)


@pytest.fixture(scope="session")
def prompt() -> Prompt:
    words = Verbalizer({"positive": ["great"], "negative": ["awful"]})
    others = (Template("{text} All in all, it was {mask}."), Template("It was {mask}. {text}"))
    return Prompt(Template("{text} It was {mask}."), words, alternatives=others)
