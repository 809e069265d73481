"""Pattern-exploiting training: tuned templates label unlabelled rows, and a classifier learns from them.

PET (Schick and Schütze 2021, "Exploiting Cloze Questions for Few Shot Text Classification and Natural
Language Inference", section 3) and iPET, its generations (section 3.4).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from playground.engine import Prompting
from playground.engine.tuning.delta import Delta
from playground.engine.tuning.loop import Shots, Step, Tuner
from playground.engine.tuning.recipe import METHODS, Recipe
from playground.errors import PlaygroundError
from playground.prompts import Prompt
from playground.tasks.evaluation import LabelledRows, Result, ensemble, softmax
from playground.tasks.tuning.keeping import KeptRun
from playground.tasks.tuning.runs import measured
from playground.tasks.tuning.shots import Draw, as_shots

TEMPERATURE = 2.0  # of the soft labels, section 4
GROWTH = 5  # each generation tunes on so many times the rows of the one before
_SHARE = 0.25  # of the other members, that label a member's rows


@dataclass(frozen=True)
class PetRecipe:
    """How PET is run.

    member: how each template is tuned; last: how the classifier is, on soft labels. generations: of
    iPET, 0 for PET.
    """

    member: Recipe = Recipe(method="whole", steps=100)
    last: Recipe = Recipe(method="cls", steps=300, batch_size=16)
    generations: int = 0

    def __post_init__(self) -> None:
        if not METHODS[self.member.method].words or self.member.method == "soft":
            raise PlaygroundError(
                f"A member of PET reads label words, and {self.member.method} does not fit every "
                "template; choose whole, bias or lora."
            )
        if not 0 <= self.generations <= 5:
            raise PlaygroundError(
                f"generations is {self.generations}; it must be from 0 (PET) to 5 (iPET)."
            )


@dataclass(frozen=True)
class Member:
    """A tuned template: its delta, its weight in the ensemble, and its scores of the unlabelled rows.

    weight: accuracy on the dev rows. scores: log P(label | row) of the U unlabelled rows, (U, C).
    """

    delta: Delta
    weight: float
    scores: np.ndarray


@dataclass(frozen=True)
class Stage:
    """What one stage gave on the rows held out: "zero-shot", "templates", "generation 1" or "classifier".

    members: each template's result, for the stages that have some; result: their ensemble, or the
    classifier. rows: how many were tuned on. delta: the classifier's.
    """

    name: str
    result: Result
    members: tuple[Result, ...] = ()
    rows: int = 0
    delta: Delta | None = None


@dataclass(frozen=True)
class Doing:
    """A run on the way to the next stage: what is being tuned, in how many steps, and the last one.

    resumed: the step at which an earlier run was left, 0 for none. step: None where that one had done
    all of them.
    """

    what: str
    steps: int
    resumed: int = 0
    step: Step | None = None


def pet(
    prompting: Prompting,
    prompt: Prompt,
    draw: Draw,
    unlabelled: Sequence[Mapping[str, str]],
    held_out: LabelledRows,
    recipe: PetRecipe,
    *,
    folder: Path | None = None,
    fresh: bool = False,
) -> Iterator[Stage | Doing]:
    """Yield each stage of PET with all templates of ``prompt``, and each step between them.

    ``draw`` has the labelled rows, and a dev set, by which members are weighed and steps are chosen. The
    held-out rows are only measured on. folder: gets the classifier's delta, each member's in a folder
    of its own, and what it takes to go on (:class:`KeptRun`) unless ``fresh``; a run that was killed
    ends in the same bytes. Raises PlaygroundError without a dev set, or with one template.
    """
    prompts = [prompt.with_template(template) for template in prompt.templates]
    if draw.dev is None:
        raise PlaygroundError("PET weighs templates by a dev set; give --dev-shots above 0.")
    if len(prompts) < 2:
        raise PlaygroundError(
            f"PET takes several templates and the prompt {prompt.name} has one; add another to its card."
        )
    run = _Run(prompting, draw, unlabelled, held_out, recipe, folder, fresh)
    before = [measured(prompting, own, held_out, own.template.source) for own in prompts]
    yield Stage("zero-shot", ensemble(before, held_out.gold), tuple(before))
    plain = [as_shots(draw.train)] * len(prompts)
    members = yield from run.members("templates", prompts, plain)
    for generation in range(1, recipe.generations + 1):
        sets = [run.grown(members, k, generation) for k in range(len(members))]
        members = yield from run.members(f"generation {generation}", prompts, sets)
    shares = soft_labels([m.scores for m in members], [m.weight for m in members])
    train = as_shots(draw.train)
    both = Shots((*train.rows, *unlabelled), np.concatenate([train.targets, shares]))
    delta = yield from run.tuned("classifier", prompt, both, recipe.last, folder)
    result = measured(prompting.tuned(delta), delta.prompt, held_out, "classifier")
    yield Stage("classifier", result, rows=len(both), delta=delta)


def soft_labels(
    scores: Sequence[np.ndarray], weights: Sequence[float], *, temperature: float = TEMPERATURE
) -> np.ndarray:
    """Return the labels that an ensemble gives, M scores (U, C) -> (U, C): eq. 3, softened.

    The weighed mean of the members' log-scores, divided by the temperature, then a softmax.
    """
    share = np.asarray(weights, dtype=float)
    share = share / share.sum() if share.sum() > 0 else np.full(len(share), 1 / len(share))
    return softmax(np.tensordot(share, np.stack(scores), 1) / temperature)


class _Run:
    def __init__(
        self,
        prompting: Prompting,
        draw: Draw,
        unlabelled: Sequence[Mapping[str, str]],
        held_out: LabelledRows,
        recipe: PetRecipe,
        folder: Path | None = None,
        fresh: bool = False,
    ) -> None:
        self.prompting, self.draw, self.recipe = prompting, draw, recipe
        self.unlabelled, self.held_out = list(unlabelled), held_out
        self.folder, self.fresh = folder, fresh

    def tuned(
        self, what: str, prompt: Prompt, train: Shots, recipe: Recipe, folder: Path | None
    ) -> Generator[Stage | Doing, None, Delta]:
        """Tune one model from where it was left in ``folder``, telling its steps; return its delta."""
        dev = as_shots(self.draw.dev) if self.draw.dev is not None else None
        own = replace(recipe, seed=self.draw.seed)
        tuner = Tuner(self.prompting.backbone, prompt, train, dev, recipe=own)
        run = KeptRun(tuner, folder, fresh=self.fresh)
        if run.known:
            yield Doing(what, own.steps, own.steps)
        try:
            for step in run.run():
                yield Doing(what, own.steps, run.resumed, step)
        except KeyboardInterrupt:
            run.save_state()
            raise
        return run.finish().delta

    def members(
        self, name: str, prompts: Sequence[Prompt], sets: Sequence[Shots]
    ) -> Generator[Stage | Doing, None, list[Member]]:
        """Tune every template on its own set and tell the stage; return the members."""
        found: list[Member] = []
        results: list[Result] = []
        for number, (prompt, train) in enumerate(zip(prompts, sets, strict=True), start=1):
            what = f"{name}: {prompt.template.source}"
            own = self.folder / name.replace(" ", "-") / str(number) if self.folder else None
            delta = yield from self.tuned(what, prompt, train, self.recipe.member, own)
            model = self.prompting.tuned(delta)
            scores = model.classify(self.unlabelled, delta.prompt, words=False)
            if scores.errors:
                raise PlaygroundError(
                    f"An unlabelled row cannot be read. {min(scores.errors.items())[1]}"
                )
            weight = float(delta.report["dev_accuracy"] or 0.0)
            found.append(Member(delta, weight, scores.label_scores))
            results.append(measured(model, delta.prompt, self.held_out, prompt.template.source))
        weights = [member.weight for member in found]
        together = ensemble(results, self.held_out.gold, weights=weights)
        yield Stage(name, together, tuple(results), max(map(len, sets)))
        return found

    def grown(self, members: Sequence[Member], member: int, generation: int) -> Shots:
        """Return what a member is tuned on next: its rows, and more that some of the others labelled.

        GROWTH times as many for each generation, labels in the proportion of the labelled rows, the
        surest likelier (section 3.4); as many as there are.
        """
        rng = random.Random(f"{self.draw.seed}/{generation}/{member}")
        others = [m for k, m in enumerate(members) if k != member]
        chosen = rng.sample(others, max(1, round(_SHARE * len(others))))
        weights = [m.weight for m in chosen]
        shares = soft_labels([m.scores for m in chosen], weights, temperature=1.0)  # (U, C)
        train = as_shots(self.draw.train)
        wanted = (len(train) * (GROWTH**generation - 1)) * train.targets.mean(0)  # (C,)
        numbers = np.random.default_rng([self.draw.seed, generation, member])
        best = shares.argmax(1)
        taken: list[int] = []
        for label, count in enumerate(wanted.round().astype(int)):
            own = np.flatnonzero(best == label)
            sure = shares[own, label]
            size = min(int(count), len(own))
            if size:
                taken += numbers.choice(own, size, replace=False, p=sure / sure.sum()).tolist()
        rows = (*train.rows, *(self.unlabelled[i] for i in taken))
        targets = np.concatenate([train.targets, np.eye(shares.shape[1])[best[taken]]])
        return Shots(rows, targets)


def accuracy_gain(stages: Sequence[Stage]) -> list[float]:
    """Return how much each stage's accuracy is above that of the one before, 0 for the first."""
    found = [stage.result.metrics.accuracy for stage in stages]
    return [0.0, *(after - before for before, after in itertools.pairwise(found))]
