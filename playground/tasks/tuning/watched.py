"""A training that is watched: what it has so far, told a few times a second, until all is measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from playground.engine import Prompting
from playground.engine.tuning.delta import Delta
from playground.engine.tuning.loop import Estimate, Step
from playground.engine.tuning.recipe import Recipe
from playground.prompts import Prompt
from playground.tasks.evaluation import Candidate, LabelledRows, Result, evaluate_parts
from playground.tasks.tuning.runs import SeedResult, SeedRun, best_of
from playground.tasks.tuning.shots import Draw


@dataclass(frozen=True)
class Plan:
    """What is tuned on which rows, a draw a seed, and what is measured on the same held-out rows.

    before: the prompt before tuning, None where it has none that can score. held_out: None to measure
    nothing.
    """

    prompt: Prompt
    recipe: Recipe
    draws: tuple[Draw, ...]
    before: Prompt | None
    held_out: LabelledRows | None


@dataclass(frozen=True)
class Outcome:
    """What one seed gave: its steps, the report and size of its delta, the held-out rows' result."""

    seed: int
    steps: tuple[Step, ...]
    report: Mapping[str, Any]
    nbytes: int
    result: Result | None

    @property
    def dev_accuracy(self) -> float | None:
        """The accuracy on the dev rows at the step that was kept."""
        return self.report.get("dev_accuracy")


@dataclass(frozen=True)
class Watched:
    """How far a training is. Nothing of it is a model or a delta, but ``delta`` at the end.

    doing: "zero-shot" and "measuring" run over the held-out rows, ``rows`` done and in all; "tuning" the
    seed with ``steps``; "done". left: seconds of tuning still to come, of all seeds. best: the outcome
    that is best on its own dev rows, and ``delta`` its delta.
    """

    plan: Plan
    doing: str = "zero-shot"
    rows: tuple[int, int] = (0, 0)
    estimate: Estimate | None = None
    before: tuple[Result, ...] = ()
    steps: tuple[Step, ...] = ()
    left: float | None = None
    outcomes: tuple[Outcome, ...] = ()
    stopped: bool = False
    best: Outcome | None = None
    delta: Delta | None = None

    @property
    def seed(self) -> int:
        """The seed that is at work, or was the last."""
        place = len(self.outcomes) - (self.doing == "done" and bool(self.outcomes))
        return self.plan.draws[min(place, len(self.plan.draws) - 1)].seed


def watch(
    prompting: Prompting,
    plan: Plan,
    *,
    asked: Callable[[], bool] = lambda: False,
    every: float = 0.25,
) -> Iterator[Watched]:
    """Yield how far a training is, at most every ``every`` seconds, and at the end all that it gave.

    ``asked`` says whether to stop, once for each wish: tuning ends with the best so far, which is then
    measured; measuring ends without a number. Nothing is written. When the caller closes the generator,
    the copy of the model is free. Raises PlaygroundError for what cannot be tuned.
    """
    now = Watched(plan)
    if plan.before is not None and plan.held_out is not None:
        tried = [
            Candidate(name, _calibrated(plan.before, calibration))
            for name, calibration in (
                ("zero-shot", "none"),
                ("zero-shot, calibrated", "contextual"),
            )
        ]
        for results in evaluate_parts(prompting, tried, plan.held_out):
            now = replace(now, before=tuple(results), rows=_rows(results[0], plan.held_out))
            yield now
            if asked():
                yield replace(now, doing="done", before=(), stopped=True)
                return
    best: SeedResult | None = None
    for place, draw in enumerate(plan.draws):
        run = SeedRun(prompting, plan.prompt, draw, plan.recipe)
        if now.estimate is None:
            now = replace(now, estimate=run.tuner.estimate())
        now = replace(now, doing="tuning", steps=(), left=None)
        yield now
        pace = _Pace(plan.recipe.steps, len(plan.draws) - place - 1)
        told = 0.0
        for step in run.run():
            halt = asked()
            if halt or time.monotonic() - told >= every:
                now = replace(now, steps=tuple(run.tuner.steps), left=pace.left(step.step))
                yield now
                told = time.monotonic()
            if halt:
                now = replace(now, stopped=True)
                break
        found = run.finish()
        del run  # its copy of the model goes before the tuned one is opened
        now = replace(now, steps=found.steps, left=None, doing="measuring", rows=(0, 0))
        yield now
        if plan.held_out is not None:
            tuned = prompting.tuned(found.delta)
            name = f"{plan.recipe.method}, seed {draw.seed}"
            for results in evaluate_parts(
                tuned, [Candidate(name, found.delta.prompt)], plan.held_out
            ):
                now = replace(now, rows=_rows(results[0], plan.held_out))
                if now.rows[0] == now.rows[1]:
                    found = replace(found, result=results[0])
                yield now
                if asked():
                    now = replace(now, stopped=True)
                    break
            del tuned
        best = found if best is None else best_of([best, found])
        own = Outcome(draw.seed, found.steps, found.delta.report, found.delta.nbytes, found.result)
        chosen = own if best is found else now.best
        now = replace(now, outcomes=(*now.outcomes, own), best=chosen)
        if now.stopped:
            break
    yield replace(now, doing="done", delta=best.delta if best is not None else None)


class _Pace:
    """How long a training still takes at the pace of this seed."""

    def __init__(self, steps: int, seeds_after: int) -> None:
        self._steps, self._after = steps, seeds_after
        self._start = time.monotonic()

    def left(self, step: int) -> float | None:
        """Return the seconds left after ``step``, None before there is a pace."""
        if step < 2:
            return None
        each = (time.monotonic() - self._start) / step
        return each * (self._steps - step + self._after * self._steps)


def _rows(result: Result, held_out: LabelledRows) -> tuple[int, int]:
    return result.metrics.rows, len(held_out)


def _calibrated(prompt: Prompt, calibration: str) -> Prompt:
    return replace(prompt, scoring=replace(prompt.scoring, calibration=calibration))
