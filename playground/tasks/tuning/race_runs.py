"""Running a race, one method and draw after another; what is finished is kept, so that it goes on."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from playground.engine import Prompting
from playground.engine.tuning.files import write_whole
from playground.engine.tuning.loop import Step, Tuner
from playground.engine.tuning.network import soft_template
from playground.engine.tuning.recipe import Recipe
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt
from playground.tasks.evaluation import LabelledRows
from playground.tasks.tuning.race import Race, Run, Untuned, run_from_json
from playground.tasks.tuning.runs import SeedResult, with_result, zero_shot
from playground.tasks.tuning.shots import Draw, as_shots

_MOST_NOTE = 1 << 20


@dataclass(frozen=True)
class Entry:
    """A method of the race: how it is tuned, and the prompt that it tunes."""

    recipe: Recipe
    prompt: Prompt

    @property
    def method(self) -> str:
        return self.recipe.method


def entry_of(prompt: Prompt, recipe: Recipe) -> Entry:
    """Return a method's entry; soft tunes the prompt with soft tokens in front of all it says."""
    if recipe.method == "soft" and not prompt.template.soft_tokens:
        return Entry(recipe, prompt.with_template(soft_template(prompt.template)))
    return Entry(recipe, prompt)


class Runner:
    """Runs the entries of a race on the draws, each measured on the same held-out rows.

    folder: where each finished run is kept as a small file; the same model, prompt, recipe and rows are
    not run again. on_step is told each step, with what runs.
    """

    def __init__(
        self,
        prompting: Prompting,
        prompt: Prompt,
        entries: Sequence[Entry],
        draws: Mapping[int, Sequence[Draw]],
        held_out: LabelledRows,
        folder: Path | None = None,
        *,
        fresh: bool = False,
        on_step: Callable[[str, Step], None] | None = None,
    ) -> None:
        self.prompting, self.prompt, self.entries = prompting, prompt, tuple(entries)
        self.draws, self.held_out = dict(draws), held_out
        self.folder, self.fresh, self.on_step = folder, fresh, on_step
        rows = json.dumps([held_out.labels, held_out.rows, held_out.gold.tolist()])
        self._measured_on = hashlib.sha256(rows.encode()).hexdigest()

    @property
    def total(self) -> int:
        """How many runs the race has."""
        return len(self.entries) * sum(map(len, self.draws.values()))

    def runs(self) -> Iterator[tuple[Run, bool]]:
        """Yield each run and whether an earlier race had finished it.

        Seed after seed, so that a race that is stopped has about as many of each method.
        """
        seeds = sorted({draw.seed for own in self.draws.values() for draw in own})
        for seed in seeds:
            for shots, own in sorted(self.draws.items()):
                for draw in own:
                    if draw.seed == seed:
                        for entry in self.entries:
                            yield self._run(entry, shots, draw)

    def untuned(self) -> tuple[Untuned, ...]:
        """Return what the prompt gives on the held-out rows before any tuning."""
        found = []
        for result in zero_shot(self.prompting, self.prompt, self.held_out):
            low, high = result.metrics.accuracy_interval
            numbers = (result.metrics.accuracy, low, high, result.metrics.macro_f1)
            found.append(Untuned(result.name, *numbers))
        return tuple(found)

    def race(self, untuned: Sequence[Untuned], runs: Sequence[Run], *, name: str) -> Race:
        """Return what has run so far as a race; ``name`` is the data set's."""
        held_out, backbone = self.held_out, self.prompting.backbone
        support = [int((held_out.gold == k).sum()) for k in range(len(held_out.labels))]
        order = {entry.method: place for place, entry in enumerate(self.entries)}
        return Race(
            name,
            backbone.name,
            backbone.revision,
            self.prompt.template.source,
            held_out.labels,
            len(held_out),
            max(support) / len(held_out),
            1 / len(held_out.labels),
            self.entries[0].recipe.steps,
            tuple(untuned),
            tuple(sorted(runs, key=lambda run: (order[run.method], run.shots, run.seed))),
        )

    # ---- parts ----------------------------------------------------------------------------------

    def _run(self, entry: Entry, shots: int, draw: Draw) -> tuple[Run, bool]:
        recipe = replace(entry.recipe, seed=draw.seed)
        mark = self._mark(entry.prompt, recipe, draw)
        known = None if self.fresh else self._known(entry.method, shots, draw.seed, mark)
        if known is not None:
            return known, True
        start = time.perf_counter()
        dev = as_shots(draw.dev) if draw.dev is not None else None
        tuner = Tuner(
            self.prompting.backbone, entry.prompt, as_shots(draw.train), dev, recipe=recipe
        )
        for step in tuner.run():
            if self.on_step is not None:
                self.on_step(f"{entry.method}, {shots} shots, seed {draw.seed}", step)
        seconds = time.perf_counter() - start
        parameters = sum(weight.numel() for weight in tuner.network.tuned.values())
        found = SeedResult(draw.seed, tuner.delta(), tuple(tuner.steps))
        result = with_result(self.prompting, found, self.held_out).result
        if result is None:
            raise ValueError("the run was not measured")
        run = Run(
            entry.method,
            shots,
            draw.seed,
            result.metrics.accuracy,
            result.metrics.macro_f1,
            found.dev_accuracy,
            tuner.best_step,
            parameters,
            found.delta.nbytes,
            round(seconds, 2),
        )
        self._keep(run, mark)
        return run, False

    def _mark(self, prompt: Prompt, recipe: Recipe, draw: Draw) -> str:
        """Return what must be the same for a finished run to be taken over."""
        rows = [
            [part.rows, part.gold.tolist()] if part is not None else None
            for part in (draw.train, draw.dev)
        ]
        revision = self.prompting.backbone.revision
        about = [asdict(recipe), recipe.peak, revision, prompt.to_json(), rows, self._measured_on]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()

    def _file(self, method: str, shots: int, seed: int) -> Path | None:
        return None if self.folder is None else self.folder / f"{method}-{shots}-seed-{seed}.json"

    def _known(self, method: str, shots: int, seed: int, mark: str) -> Run | None:
        path = self._file(method, shots, seed)
        try:
            if path is None or path.stat().st_size > _MOST_NOTE:
                return None
            note = json.loads(path.read_text(encoding="utf-8"))
            run = run_from_json(note["run"]) if note["mark"] == mark else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError, PlaygroundError):
            return None  # none there, of another race, or damaged: it runs anew
        return run if run and (run.method, run.shots, run.seed) == (method, shots, seed) else None

    def _keep(self, run: Run, mark: str) -> None:
        path = self._file(run.method, run.shots, run.seed)
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps({"mark": mark, "run": asdict(run)}, indent=1).encode())
        except OSError as error:
            raise PlaygroundError(
                f"The race cannot be written to {shorten(path.parent, 120)} ({error.strerror}); make "
                "room, or choose another folder."
            ) from None
