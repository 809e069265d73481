"""Rows for each head whose golds follow a rule that a tiny encoder can learn and no baseline knows."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

from playground.tasks.heads import Examples
from playground.tasks.heads.recipes import Recipe
from playground.tasks.heads.rows import GOLD

RECIPE = Recipe(
    epochs=8, batch_size=16, learning_rate=1e-2, evaluations=3 / 8, precision="float32",
    max_tokens=32, dropout=0.0,
)  # fmt: skip
WORTH = {"great": 5.0, "good": 4.0, "slow": 2.0, "awful": 1.0}
THINGS = ("film", "food", "service", "music", "story", "house", "book", "room", "train", "team")
_FILLER = ("it", "is", "a", "day", "the", "man", "and", "to", "of", "in", "was", "we", "took")


def texts(count: int, seed: int = 0) -> Examples:
    """Return texts whose label is a word of them."""
    draw = random.Random(seed)
    inputs, golds = [], []
    for k in range(count):
        word = list(WORTH)[k % len(WORTH)]
        more = " ".join(
            ["so", *draw.choices(_FILLER, k=draw.randint(0, 5))]
        )  # of different lengths
        inputs.append((f"The {draw.choice(THINGS)} was {more} {word}.",))
        golds.append(word.upper())
    return Examples("classify", inputs, golds, sources=("mine",))


def pairs(count: int, seed: int = 0) -> Examples:
    """Return pairs whose number, from 100 to 500, a word of the second text tells."""
    draw = random.Random(seed)
    inputs, golds = [], []
    for k in range(count):
        word = list(WORTH)[k % len(WORTH)]
        inputs.append(
            (f"We took the {draw.choice(THINGS)}.", f"The {draw.choice(THINGS)} is {word}.")
        )
        golds.append(100 * WORTH[word])
    return Examples("regress", inputs, golds, sources=("mine",))


def sentences(count: int, seed: int = 0, *, bio: bool = False) -> Examples:
    """Return sentences in which the first word decides what the things are."""
    draw = random.Random(seed)
    inputs, golds = [], []
    names = {"great": ("B-UP", "I-UP"), "awful": ("B-DOWN", "I-DOWN")} if bio else {
        "great": ("UP", "UP"), "awful": ("DOWN", "DOWN")
    }  # fmt: skip
    for k in range(count):
        first = ("great", "awful")[k % 2]
        words, tags = [first], ["O"]
        for _ in range(draw.randint(2, 4)):
            words += [draw.choice(_FILLER), draw.choice(THINGS), draw.choice(THINGS)]
            tags += ["O", *names[first]]
        inputs.append(tuple(words))
        golds.append(tuple(tags))
    return Examples("tag", inputs, golds, sources=("mine",))


def questions(count: int, seed: int = 0, *, filler: int = 6, silent: bool = False) -> Examples:
    """Return questions whose answer is the one word of worth in the context.

    silent: every third context has no such word, and the question no answer.
    """
    draw = random.Random(seed)
    inputs, golds = [], []
    for k in range(count):
        words = [draw.choice(_FILLER) for _ in range(filler + draw.randint(-2, 2))]
        answer = list(WORTH)[k % len(WORTH)]
        gold = ()
        if not (silent and k % 3 == 0):
            place = draw.randrange(len(words))
            words.insert(place, answer)
            gold = ((answer, len(" ".join(words[:place])) + (place > 0)),)
        inputs.append((f"what was the {draw.choice(THINGS)}?", " ".join(words)))
        golds.append(gold)
    return Examples("answer", inputs, golds, sources=("mine",))


MAKERS: dict[str, Callable[..., Examples]] = {
    "classify": texts,
    "regress": pairs,
    "tag": sentences,
    "answer": questions,
}


def write(rows: Examples, file: Path) -> Path:
    """Write rows as JSON Lines, as a user would have them."""
    lines = []
    for given, gold in zip(rows.inputs, rows.golds, strict=True):
        if rows.kind == "tag":
            values = {"tokens": list(given), "tags": list(gold)}
        elif rows.kind == "answer":
            text, start = gold[0] if gold else ("", None)
            values = {"question": given[0], "context": given[1], "answer": text, "start": start}
        else:
            values = dict(zip(("text", "text_b"), given, strict=False)) | {GOLD[rows.kind]: gold}
        lines.append(json.dumps(values))
    file.write_text("\n".join(lines) + "\n")
    return file
