"""One seed after another, each in a folder of its own, so that a stopped run goes on where it was."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Protocol

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load, save

from playground.engine import Prompting
from playground.engine.tuning.delta import Delta
from playground.engine.tuning.files import load_delta, save_delta, write_whole
from playground.engine.tuning.loop import Step, Tuner
from playground.engine.tuning.recipe import METHODS, Recipe
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt
from playground.tasks.evaluation import LabelledRows, Progress, Result
from playground.tasks.metrics import measure
from playground.tasks.tuning.card import delta_card
from playground.tasks.tuning.shots import Draw, as_shots

NOTE = "tuning.json"
_STATE = ".state.safetensors"
_SAVE_SECONDS = 20.0
_ROWS_AT_ONCE = 512
_MOST_NOTE = 64 << 20


@dataclass(frozen=True)
class SeedResult:
    """What one seed gave: its delta, the steps, and the held-out rows' result if they were measured."""

    seed: int
    delta: Delta
    steps: tuple[Step, ...]
    result: Result | None = None

    @property
    def dev_accuracy(self) -> float | None:
        """The accuracy on the dev rows at the step that was kept."""
        return self.delta.report.get("dev_accuracy")


@dataclass(frozen=True)
class Spread:
    """A number over several seeds: its mean, sample deviation (None for one seed), and its ends."""

    mean: float
    deviation: float | None
    least: float
    most: float


class SeedRun:
    """Tunes one draw of rows, and keeps in ``folder``, if given, what it takes to go on.

    What a kill leaves there is at most 20 seconds old; the same rows, prompt, recipe and model go on
    from it, and others start anew. A run that is finished there is read instead.
    """

    def __init__(
        self,
        prompting: Prompting,
        prompt: Prompt,
        draw: Draw,
        recipe: Recipe,
        folder: Path | None = None,
        *,
        fresh: bool = False,
    ) -> None:
        self.seed, self.folder = draw.seed, folder
        self.tuner = Tuner(
            prompting.backbone,
            prompt,
            as_shots(draw.train),
            as_shots(draw.dev) if draw.dev is not None else None,
            recipe=replace(recipe, seed=draw.seed),
        )
        self._mark = self.tuner.mark()
        self._done = None if fresh else self._finished()
        if not fresh and self._done is None:
            self._restore()
        self.resumed = self.tuner.step

    @property
    def known(self) -> bool:
        """Whether an earlier run has finished this."""
        return self._done is not None

    def run(self) -> Iterator[Step]:
        """Yield the steps that are still to do; the state is saved on the way, and at the end the delta."""
        if self._done is not None:
            return
        saved = time.monotonic()
        for step in self.tuner.run():
            if self.folder is not None and time.monotonic() - saved > _SAVE_SECONDS:
                self.save_state()
                saved = time.monotonic()
            yield step

    def finish(self) -> SeedResult:
        """Return what is best so far, and write it; a run that was stopped can still go on."""
        if self._done is not None:
            return self._done
        found = SeedResult(self.seed, self.tuner.delta(), tuple(self.tuner.steps))
        if self.folder is not None:
            if not self.tuner.finished:
                self.save_state()
            save_delta(found.delta, self.folder, card=delta_card(found.delta))
            note = {
                "mark": self._mark,
                "finished": self.tuner.finished,
                "digest": found.delta.digest,
                "steps": [asdict(step) for step in found.steps],
            }
            _write(self.folder / NOTE, json.dumps(note, indent=1).encode())
            if self.tuner.finished:
                (self.folder / _STATE).unlink(missing_ok=True)
        return found

    def save_state(self) -> None:
        """Write all that the run needs to go on."""
        if self.folder is None:
            return
        tensors, about = self.tuner.state()
        data = save(
            {name: t.contiguous() for name, t in tensors.items()}, {"run": json.dumps(about)}
        )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self.folder, error) from None
        _write(self.folder / _STATE, data)

    def _restore(self) -> None:
        if self.folder is None:
            return
        try:
            data = (self.folder / _STATE).read_bytes()
            size = int.from_bytes(data[:8], "little")
            about = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["run"])
            self.tuner.restore(load(data), about)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError, RecursionError):
            return  # none there, of another run, or damaged: the run starts anew

    def _finished(self) -> SeedResult | None:
        if self.folder is None:
            return None
        try:
            if (self.folder / NOTE).stat().st_size > _MOST_NOTE:
                return None
            note = json.loads((self.folder / NOTE).read_text(encoding="utf-8"))
            if note["mark"] != self._mark or note["finished"] is not True:
                return None
            delta = load_delta(self.folder)
            steps = tuple(Step(**step) for step in note["steps"])
            return SeedResult(self.seed, delta, steps) if delta.digest == note["digest"] else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError, PlaygroundError):
            return None


def measured(
    prompting: Prompting,
    prompt: Prompt,
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
    prompt: Prompt,
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


def _write(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data)
    except OSError as error:
        raise _unwritable(path.parent, error) from None


def _unwritable(folder: Path, error: OSError) -> PlaygroundError:
    return PlaygroundError(
        f"The run cannot be written to {shorten(folder, 120)} ({error.strerror}); make room, or choose "
        "another folder."
    )
