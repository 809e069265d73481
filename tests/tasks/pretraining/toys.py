"""Small corpora, a tokenizer and a recipe that trains in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from playground.tasks.pretraining.blocks import Corpus
from playground.tasks.pretraining.recipe import Recipe

CLS, SEP, MASK = 2, 3, 4
RECIPE = Recipe(
    layers=1, hidden=16, heads=2, positions=32, vocabulary=60, tokens=2_560, batch_tokens=128,
    lengths=((16, 0.5), (32, 0.5)), optimizer="adamw", learning_rate=5e-3, vectors=0,
    precision="float32", held_out=0.1, checkpoints=4,
)  # fmt: skip
SUBJECTS = {"dog": "barks", "cat": "meows", "cow": "moos", "duck": "quacks", "bee": "hums"}


def corpus(documents: Sequence[Sequence[int]], share: float = 1.0, name: str = "toy") -> Corpus:
    """Return an encoded corpus of these documents."""
    tokens = np.array([token for document in documents for token in document], np.uint16)
    return Corpus(name, tokens, np.cumsum([len(d) for d in documents], dtype=np.int64), share)


def sentences(many: int, seed: int = 0) -> list[str]:
    """Return sentences of a toy language, in which an animal tells its verb."""
    rng = np.random.default_rng(seed)
    places = ("house", "garden", "field", "street", "wood")
    animals = list(SUBJECTS)
    found = []
    for _ in range(many):
        animal = animals[rng.integers(len(animals))]
        found.append(
            f"the {animal} {SUBJECTS[animal]} in the {places[rng.integers(len(places))]} ."
        )
    return found


def choruses(many: int, seed: int = 0) -> list[str]:
    """Return sentences of six animals each, so many that none has to be there twice."""
    rng = np.random.default_rng(seed)
    animals = list(SUBJECTS)
    chosen = [[animals[k] for k in rng.integers(0, len(animals), 6)] for _ in range(many)]
    return [" , ".join(f"the {a} {SUBJECTS[a]}" for a in six) + " ." for six in chosen]


def recipe(**changes) -> Recipe:
    """Return the toy recipe with some of its fields changed."""
    return replace(RECIPE, **changes)
