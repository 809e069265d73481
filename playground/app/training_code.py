"""The Python and the command that do what the Train tab does, ready to paste."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from playground.engine.tuning.recipe import Recipe
from playground.prompts import Prompt
from playground.tasks.evaluation import LabelledRows
from playground.tasks.tuning.watched import Plan

MOST_HELD_OUT = 2_000  # rows to measure on, as playground tune takes them


@dataclass(frozen=True)
class RowsFile:
    """A table to draw rows from: its slots' columns, the label's, and what it calls the labels."""

    path: str
    columns: Mapping[str, str] = field(default_factory=dict)
    label: str = "label"
    names: Mapping[str, str] = field(default_factory=dict)


def typed_program(plan: Plan, typed: LabelledRows, model: str) -> str:
    """Return the tutorial's call on the typed rows; ``model`` is empty for the default one."""
    texts = [next(iter(row.values())) if len(row) == 1 else row for row in typed.rows]
    labels = [typed.labels[place] for place in typed.gold]
    lines = [
        *_prompt_lines(plan.prompt, model),
        f"texts = {texts!r}",
        f"labels = {labels!r}",
        f"for seed in {_seeds(plan)}:",
        f"    tuned = prompting.fine_tune(texts, labels, prompt, {_options(plan.recipe)}, seed=seed)",
        "    print(tuned.classify(texts, tuned.backbone.delta.prompt).to_frame())",
        "",
    ]
    return "\n".join(lines)


def drawn_program(plan: Plan, model: str, file: RowsFile) -> str:
    """Return the program and the command that tune on rows drawn from ``file``."""
    head, *prompt_lines = _prompt_lines(plan.prompt, model)
    options = [f"columns={dict(file.columns)!r}"] if file.columns else []
    options += [f"label_column={file.label!r}"] if file.label != "label" else []
    options += [f"label_names={dict(file.names)!r}"] if file.names else []
    read = "".join(f", {option}" for option in options)
    lines = [
        head,
        "from playground.engine.tuning.recipe import Recipe",
        "from playground.tasks.evaluation import read_labelled",
        "from playground.tasks.reading import read_file",
        "from playground.tasks.tuning.runs import SeedRun, with_result",
        "from playground.tasks.tuning.shots import draw_shots",
        *prompt_lines,
        f"rows = read_labelled(read_file({file.path!r}), prompt{read})",
        f"drawn = draw_shots(rows, shots={_shots(plan)}, seeds={_seeds(plan)}, most={MOST_HELD_OUT})",
        "for draw in drawn.draws:",
        f"    run = SeedRun(prompting, prompt, draw, Recipe({_options(plan.recipe)}))",
        "    for step in run.run():",
        "        print(step.step, step.loss, step.dev_accuracy)",
        "    found = with_result(prompting, run.finish(), drawn.held_out)",
        "    print(draw.seed, found.result.metrics.accuracy, found.result.metrics.accuracy_interval)",
        "",
        "# in a terminal, with the prompt saved as JSON in Classify:",
        f"# {command(plan, model, file)}",
        "",
    ]
    return "\n".join(lines)


def command(plan: Plan, model: str, file: RowsFile) -> str:
    """Return the command line of the same training."""
    recipe, default = plan.recipe, Recipe()
    parts = ["playground", "tune", file.path, "--prompt", "prompt.json"]
    if plan.before is None or plan.prompt.template != plan.before.template:
        parts += ["--template", plan.prompt.template.source]
    parts += ["--method", recipe.method, "--shots", str(_shots(plan))]
    parts += ["--seeds", str(len(plan.draws)), "--seed", str(recipe.seed)]
    parts += ["--steps", str(recipe.steps), "--batch", str(recipe.batch_size)]
    if recipe.learning_rate is not None:
        parts += ["--learning-rate", f"{recipe.learning_rate:g}"]
    if recipe.patience != default.patience:
        parts += ["--patience", str(recipe.patience)]
    if file.columns:
        parts += ["--columns", *(f"{slot}={column}" for slot, column in file.columns.items())]
    if file.label != "label":
        parts += ["--label-column", file.label]
    if file.names:
        parts += ["--labels", *(f"{theirs}={ours}" for theirs, ours in file.names.items())]
    parts += ["--model", model] if model else []
    # a line break of a name would end the comment that the command stands in
    return " ".join(shlex.quote(" ".join(part.split())) for part in [*parts, "--out", "tuned"])


def _prompt_lines(prompt: Prompt, model: str) -> list[str]:
    """Return the import, and the lines that make the model and the prompt."""
    lines = prompt.to_python([""], model=model or None).split("\n")
    end = next(k for k, line in enumerate(lines) if line.startswith("scores = "))
    return lines[:end]


def _options(recipe: Recipe) -> str:
    default = Recipe()
    names = ("steps", "learning_rate", "batch_size", "patience")
    differing = [n for n in names if getattr(recipe, n) != getattr(default, n)]
    return ", ".join(f"{name}={getattr(recipe, name)!r}" for name in ["method", *differing])


def _shots(plan: Plan) -> int:
    first = plan.draws[0].train
    return len(first) // len(first.labels)


def _seeds(plan: Plan) -> str:
    return f"range({plan.draws[0].seed}, {plan.draws[-1].seed + 1})"
