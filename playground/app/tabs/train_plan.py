"""What the Train tab's boxes ask for: checked here, whatever a client sends, and made a plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from playground.app import training_code
from playground.app.model_names import named
from playground.app.registry import Registry
from playground.app.session import Inputs
from playground.app.tabs.evaluate import Opened, guessed, label_names, labelled_rows, sample
from playground.app.tabs.measure import OPEN_ROWS
from playground.app.training_code import MOST_HELD_OUT, RowsFile
from playground.engine.tuning.network import soft_template
from playground.engine.tuning.recipe import METHODS, Recipe
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt
from playground.tasks.evaluation import LabelledRows
from playground.tasks.tuning.shots import Draw, at_most, draw_shots
from playground.tasks.tuning.typed import typed_draws, typed_rows, unseen
from playground.tasks.tuning.watched import Plan

TYPED, NOTHING = "typed below", "nothing"

MOST_BATCH = 256
METHODS_SAID = {
    "whole": "All weights learn and the label words are read as before: the strongest, and the largest to keep.",
    "bias": "Only the bias terms learn, a few in a thousand of the weights (BitFit).",
    "lora": "Two small matrices beside each query and value of attention learn; the model stays as it is (LoRA).",
    "soft": "A few vectors that stand in the template instead of words learn; the model stays as it is (P-tuning).",
    "linear": "A new layer on the frozen model's state at the mask learns; label words play no part.",
    "cls": "All weights and a new head on [CLS] learn, without any prompt: plain fine-tuning, the one to beat.",
}


@dataclass(frozen=True)
class Choices:
    """The values of the tab's boxes, in the order in which they are wired; numbers may be anything."""

    source: str
    typed: str
    measured_on: str
    method: str
    shots: Any
    steps: Any
    seeds: Any
    seed: Any
    batch: Any
    rate: Any
    patience: Any
    opened: Opened | None  # the rows of Eval, and how they are mapped there
    first: str | None
    second: str | None
    label: str | None
    mapping: str

    def recipe(self, caps: tuple[int, int, int]) -> Recipe:
        """Return the recipe of the first seed; raises PlaygroundError for a number that is out of range."""
        return Recipe(
            method=self.method,
            steps=whole(self.steps, "Steps", caps[0]),
            learning_rate=_rate(self.rate),
            batch_size=whole(self.batch, "Rows in a step", MOST_BATCH),
            patience=whole(self.patience, "Early stopping", 1_000, least=0) or None,
            seed=self.first_seed,
        )

    @property
    def first_seed(self) -> int:
        return whole(self.seed, "The first seed", 2**31, least=0)

    def seed_range(self, caps: tuple[int, int, int]) -> range:
        return range(self.first_seed, self.first_seed + whole(self.seeds, "Seeds", caps[2]))


def plan_of(registry: Registry, chosen: Choices, inputs: Inputs) -> Plan:
    """Return the training that the boxes ask for; raises PlaygroundError for what cannot be."""
    caps = registry.settings.tune_caps
    if not isinstance(chosen.method, str) or chosen.method not in METHODS:
        raise PlaygroundError(
            f"There is no method {shorten(chosen.method)}; choose one of {', '.join(METHODS)}."
        )
    prompt = inputs.prompt()
    inputs.row(prompt)  # which says so where a template takes more texts than the page has
    recipe, seeds = chosen.recipe(caps), chosen.seed_range(caps)
    before = None if prompt.template.soft_tokens else prompt
    tuned = with_soft_tokens(prompt) if chosen.method == "soft" else prompt
    if chosen.source == TYPED:
        draws, held_out = _typed(registry, chosen, prompt, seeds, caps[1])
        return Plan(tuned, recipe, draws, before, held_out)
    shots = whole(chosen.shots, "Shots", caps[1])
    labelled = _rows(registry, chosen, chosen.source, prompt)
    drawn = draw_shots(labelled, shots=shots, seeds=seeds, most=MOST_HELD_OUT)
    return Plan(tuned, recipe, drawn.draws, before, drawn.held_out)


def with_soft_tokens(prompt: Prompt) -> Prompt:
    """Return the prompt itself if its template has soft tokens, else with a template of such."""
    if prompt.template.soft_tokens:
        return prompt
    return replace(prompt, template=soft_template(prompt.template), alternatives=())


def soft_remark(method: str, inputs: Inputs) -> str:
    """Return what is said where the template of Classify gets soft tokens, "" where it does not."""
    if method != "soft":
        return ""
    prompt = inputs.prompt()
    if prompt.template.soft_tokens:
        return ""
    found = with_soft_tokens(prompt).template.source
    return (
        f"The template has no soft tokens, so {found} is tuned in its place; write {{soft:4}} into the "
        "template of Classify to place them yourself."
    )


def whole(value: Any, name: str, most: int, *, least: int = 1) -> int:
    """Return a whole number from ``least`` to ``most``; raises PlaygroundError for anything else."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if fits and value == int(value) and least <= value <= most:
        return int(value)
    raise PlaygroundError(
        f"{name} is {_told(value)}; it must be a whole number from {least:,} to {most:,}."
    )


def _told(value: Any) -> str:
    """Return a value for an error: a number as it is, anything else in quotes."""
    if value is None:
        return "empty"
    return shorten(value).strip('"') if isinstance(value, int | float) else shorten(value)


def _rate(value: Any) -> float | None:
    if value is None or value == "" or value == 0:  # an empty box may come as 0
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1:
        return float(value)
    raise PlaygroundError(
        f"The learning rate is {_told(value)}; it must be above 0 and at most 1, or 0 for the "
        "method's own."
    )


def _typed(
    registry: Registry, chosen: Choices, prompt: Prompt, seeds: Sequence[int], most: int
) -> tuple[tuple[Draw, ...], LabelledRows | None]:
    source, largest = chosen.typed or "", registry.settings.table_caps[1]
    if len(source) > largest:
        raise PlaygroundError(
            f"The typed rows have {len(source):,} characters; the most is {largest:,}."
        )
    typed = typed_rows(source, prompt)
    for k, name in enumerate(typed.labels):
        if (count := int((typed.gold == k).sum())) > most:
            raise PlaygroundError(
                f"{count:,} rows are typed for the label {shorten(name)}; the most is {most:,}."
            )
    held_out: LabelledRows | None = None
    if chosen.measured_on != NOTHING:
        labelled = _rows(registry, chosen, chosen.measured_on, prompt)
        held_out = at_most(unseen(labelled, typed), MOST_HELD_OUT)
    return typed_draws(typed, seeds), held_out


def _rows(registry: Registry, chosen: Choices, source: str, prompt: Prompt) -> LabelledRows:
    """Return the rows of a source as the prompt reads them: those open in Eval, or a sample set."""
    if source == OPEN_ROWS:
        columns = (chosen.first, chosen.second, chosen.label)
        return labelled_rows(registry, prompt, chosen.opened, *columns, chosen.mapping)
    opened = sample(source)
    return labelled_rows(registry, prompt, opened, *guessed(opened.columns), "")


def program(registry: Registry, chosen: Choices, inputs: Inputs) -> str:
    """Return the Python and the command that do what the boxes ask for, ready to paste."""
    plan, model = plan_of(registry, chosen, inputs), named(registry, inputs.model)
    if chosen.source == TYPED:
        return training_code.typed_program(plan, typed_rows(chosen.typed, inputs.prompt()), model)
    if chosen.source != OPEN_ROWS:
        return training_code.drawn_program(plan, model, RowsFile(f"{chosen.source}.csv"))
    pairs = zip(plan.prompt.template.fields, (chosen.first, chosen.second), strict=False)
    columns = {field: column for field, column in pairs if column and column != field}
    file = RowsFile("rows.csv", columns, chosen.label or "label", label_names(chosen.mapping))
    return training_code.drawn_program(plan, model, file)
