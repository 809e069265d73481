"""One seed after another, each in a folder of its own, so that a stopped run goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Protocol

import numpy as np

from playground.engine import Prompting
from playground.engine.tuning.loop import Tuner
from playground.engine.tuning.recipe import METHODS, Recipe
from playground.prompts import AnyPrompt
from playground.tasks.evaluation import LabelledRows, Progress, Result
from playground.tasks.metrics import measure
from playground.tasks.tuning.keeping import KeptRun, SeedResult
from playground.tasks.tuning.shots import Draw, as_shots

_ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class Spread:
    """A number over several seeds: its mean, sample deviation (None for one seed), and its ends."""

    mean: float
    deviation: float | None
    least: float
    most: float


class SeedRun(KeptRun):
    """Tunes one draw of rows, kept in ``folder`` as :class:`KeptRun` tells."""

    def __init__(
        self,
        prompting: Prompting,
        prompt: AnyPrompt,
        draw: Draw,
        recipe: Recipe,
        folder: Path | None = None,
        *,
        fresh: bool = False,
    ) -> None:
        tuner = Tuner(
            prompting.backbone,
            prompt,
            as_shots(draw.train),
            as_shots(draw.dev) if draw.dev is not None else None,
            recipe=replace(recipe, seed=draw.seed),
        )
        super().__init__(tuner, folder, fresh=fresh)


def measured(
    prompting: Prompting,
    prompt: AnyPrompt,
    held_out: LabelledRows,
    name: str,
    *,
    progress: Progress | None = None,
) -> Result:
    """Return what a model and a prompt give on rows that it has not seen."""
    parts = []
    for start in range(0, len(held_out), _ROWS_AT_ONCE):
        rows = held_out.rows[start : start + _ROWS_AT_ONCE]
        parts.append(prompting.classify(rows, prompt, words=False).probabilities)
        if progress is not None:
            progress(start + len(rows), len(held_out))
    shares = np.concatenate(parts)
    return Result(name, shares, measure(shares, held_out.gold))


def zero_shot(
    prompting: Prompting,
    prompt: AnyPrompt,
    held_out: LabelledRows,
    *,
    progress: Progress | None = None,
) -> list[Result]:
    """Return what the prompt gives before any tuning, raw and with contextual calibration.

    Empty where it has soft tokens, which mean nothing before they are tuned.
    """
    if prompt.template.soft_tokens:
        return []
    found = []
    for name, calibration in (("zero-shot", "none"), ("zero-shot, calibrated", "contextual")):
        own = replace(prompt, scoring=replace(prompt.scoring, calibration=calibration))
        found.append(measured(prompting, own, held_out, name, progress=progress))
    return found


def with_result(
    prompting: Prompting,
    found: SeedResult,
    held_out: LabelledRows,
    *,
    progress: Progress | None = None,
) -> SeedResult:
    """Return a seed's result with what it gives on the held-out rows."""
    tuned = prompting.tuned(found.delta)
    name = f"{found.delta.method}, seed {found.seed}"
    return replace(
        found, result=measured(tuned, found.delta.prompt, held_out, name, progress=progress)
    )


def best_of(found: Sequence[SeedResult]) -> SeedResult:
    """Return the seed that is best on its own dev rows, never by the rows held out; the first of equals."""
    return max(found, key=lambda one: (one.dev_accuracy or 0.0, -one.seed))


class Measurable(Protocol):
    """A seed that may have been measured."""

    @property
    def result(self) -> Result | None: ...


def spread(
    found: Sequence[Measurable], number: Callable[[Result], float] = lambda r: r.metrics.accuracy
) -> Spread:
    """Return mean and spread over seeds of a number of their results, accuracy by default."""
    values = [number(one.result) for one in found if one.result is not None]
    if not values:
        raise ValueError("no seed was measured")
    deviation = stdev(values) if len(values) > 1 else None
    return Spread(mean(values), deviation, min(values), max(values))


def untuned(method: str) -> str:
    """Return what step 0 of a method is, for a table or a chart."""
    if method == "soft":
        return "the prompt with soft tokens that have learned nothing"
    return "the zero-shot prompt" if METHODS[method].words else "an untrained head, a guess"
