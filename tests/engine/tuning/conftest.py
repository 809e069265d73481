"""A toy rule on a tiny random model, which no prompt knows before it is tuned."""

from __future__ import annotations

import pytest

from playground.engine.loading import weights_digest
from playground.engine.tuning.loop import Shots, Tuner
from playground.engine.tuning.recipe import Recipe

THINGS = ["film", "book", "food", "music", "train", "phone", "room", "story"]
ROWS = [f"The {thing} was {word}." for word in ("great", "awful") for thing in THINGS]
GOLD = [1] * 8 + [0] * 8  # the wrong way round
OTHERS = [f"The {thing} is {word}." for word in ("great", "awful") for thing in THINGS]


def digest(tuner: Tuner) -> str:
    """Return the SHA-256 of the tuned parameters as they are now."""
    return weights_digest(tuner.network.tuned)


@pytest.fixture(scope="session")
def shots():
    return Shots.of(ROWS, GOLD, 2)


@pytest.fixture(scope="session")
def others():
    return Shots.of(OTHERS, GOLD, 2)


@pytest.fixture(scope="session")
def tuner_of(open_model, make_prompt, shots, others):
    """Return a tuner of a method on the tiny model, its template fitting the method."""

    def make(method: str = "whole", *, kind="bert", template=None, train=None, dev=None, **recipe):
        source = template or ("{soft:3} " if method == "soft" else "") + "{text} It was {mask}."
        options = {"steps": 6, "evaluate_every": 2, "batch_size": 4} | recipe
        return Tuner(
            open_model(kind).backbone,
            make_prompt(source),
            train or shots,
            dev or others,
            recipe=Recipe(method=method, **options),
        )

    return make
