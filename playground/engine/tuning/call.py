"""Tuning in one call, as the tutorial has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from playground.engine.tuning.loop import Shots, Tuner
from playground.engine.tuning.recipe import Recipe
from playground.errors import PlaygroundError, shorten
from playground.prompts import AnyPrompt, LabelWord, Prompt, Template, Verbalizer
from playground.prompts.template import Row

if TYPE_CHECKING:
    from playground.engine.prompting import Prompting

_DEV_SHARE = 4  # every fourth row of a label


def fine_tune(
    prompting: Prompting,
    sentences: Sequence[Row],
    labels: Sequence[int | str],
    prompt: AnyPrompt | str = " Since it was [MASK].",
    goodToken: str = "good",
    badToken: str = "bad",
    **recipe: Any,
) -> Prompting:
    """Return ``prompting``'s model tuned on labelled sentences, as a Prompting of its own.

    prompt: a Prompt or a RulePrompt, or a text with a mask that is put behind the sentence, its labels ``goodToken``
    (0) and ``badToken`` (1). labels: places from 0, or names of the prompt's labels. Where each label
    has four rows or more, every fourth is kept apart to choose the best step. The prompt with which to
    classify is ``.backbone.delta.prompt``. Raises PlaygroundError for what cannot be tuned.
    """
    if isinstance(prompt, str):
        words = Verbalizer({token: (LabelWord(token),) for token in (goodToken, badToken)})
        prompt = Prompt(Template(prompt if "{text}" in prompt else f"{{text}}{prompt}"), words)
    if isinstance(sentences, str) or isinstance(labels, str):
        raise PlaygroundError("fine_tune takes a list of sentences and a list of labels.")
    names = prompt.labels
    if len(sentences) != len(labels) or not len(sentences):
        raise PlaygroundError(
            f"There are {len(sentences)} sentences and {len(labels)} labels; give one label each, and at "
            "least one."
        )
    gold = np.array([_place(label, names) for label in labels])
    train, dev = kept_apart(gold, len(names))

    def shots(places: Sequence[int]) -> Shots:
        return Shots.of([sentences[i] for i in places], gold[list(places)], len(names))

    tuner = Tuner(
        prompting.backbone,
        prompt,
        shots(train),
        shots(dev) if dev else None,
        recipe=_recipe(recipe),
    )
    for _ in tuner.run():
        pass
    return prompting.tuned(tuner.delta())


def kept_apart(gold: np.ndarray, labels: int) -> tuple[list[int], list[int]]:
    """Return which of N rows to tune on and which to choose the best step by, from places (N,).

    Where each label has four rows or more, every fourth of a label is kept apart; else none is.
    """
    dev: set[int] = set()
    if all((gold == k).sum() >= _DEV_SHARE for k in range(labels)):
        for k in range(labels):
            dev.update(np.flatnonzero(gold == k)[_DEV_SHARE - 1 :: _DEV_SHARE].tolist())
    return [i for i in range(len(gold)) if i not in dev], sorted(dev)


def _recipe(options: dict[str, Any]) -> Recipe:
    unknown = set(options) - set(Recipe.__dataclass_fields__)
    if unknown:
        raise PlaygroundError(
            f"fine_tune has no option {shorten(min(unknown))}; it takes "
            f"{', '.join(Recipe.__dataclass_fields__)}."
        )
    return Recipe(**options)


def _place(label: int | str, names: Sequence[str]) -> int:
    if isinstance(label, str):
        if label in names:
            return names.index(label)
    elif isinstance(label, int | np.integer) and 0 <= label < len(names):
        return int(label)
    raise PlaygroundError(
        f"The label {shorten(label)} is none of the prompt's; give {', '.join(names)}, or their places "
        f"from 0 to {len(names) - 1}."
    )
