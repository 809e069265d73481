"""``playground tune pet``: tuned templates label unlabelled rows for a classifier (PET and iPET)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from playground.cli.parts import (
    add_command,
    add_labelled_input,
    amount,
    deltas_folder,
    labelled_rows,
    open_model,
    say,
    write_json,
)
from playground.errors import shorten
from playground.prompts import Prompt

if TYPE_CHECKING:
    from playground.tasks.evaluation import LabelledRows
    from playground.tasks.tuning.pet import Doing, PetRecipe, Stage

_EXAMPLES = """\
examples:
  playground tune pet reviews.csv --prompt sentiment --out pet
  playground tune pet reviews.csv --prompt sentiment --generations 2 --unlabelled 1000 --out ipet
  playground score more.csv --tuned pet -o scored.csv

Every template of the card is tuned on --shots rows of each label. Weighed by their accuracy on as many
dev rows, they label --unlabelled rows softly, whose own labels are not looked at, and a classifier on
[CLS] learns from that (PET). With --generations the templates are tuned again on rows that others of them
labelled, five times as many each time (iPET). Each stage is measured on the same other rows. DIR gets
the classifier's delta, and folders in it those of the templates; after a kill, or Ctrl-C, the same
command goes on from there.
"""


def add(commands: Any) -> None:
    """Add the command."""
    summary = "tune all templates of a card, and a classifier on what they label (PET, iPET)"
    pet = add_command(commands, "pet", _pet, summary, _EXAMPLES)
    add_labelled_input(pet)
    pet.add_argument("--prompt", required=True, metavar="CARD", help="a shipped card or a file")
    pet.add_argument(
        "--shots", type=amount, default=16, metavar="N", help="rows of each label to tune on (16)"
    )
    pet.add_argument("--dev-shots", type=int, metavar="N", help="to weigh by (as many)")
    pet.add_argument(
        "--unlabelled", type=amount, default=500, metavar="N", help="rows without labels (500)"
    )
    pet.add_argument(
        "--templates", type=amount, metavar="N", help="the first N of the card (all, at most 8)"
    )
    pet.add_argument(
        "--method", choices=("whole", "bias", "lora"), default="whole", help="of templates (whole)"
    )
    pet.add_argument("--steps", type=amount, default=100, metavar="N", help="of each (100)")
    pet.add_argument(
        "--last-steps", type=amount, default=300, metavar="N", help="of the classifier (300)"
    )
    pet.add_argument("--generations", type=int, default=0, metavar="N", help="of iPET (0)")
    pet.add_argument("--seed", type=int, default=0, metavar="N", help="(0)")
    pet.add_argument(
        "--most", type=amount, default=2_000, metavar="N", help="rows to measure on (2,000)"
    )
    pet.add_argument("--out", required=True, metavar="DIR", help="folder for the deltas")
    pet.add_argument("--fresh", action="store_true", help="do not continue a stopped run")
    pet.add_argument("--json", metavar="FILE", help="write all numbers there too")
    pet.add_argument("--model", help="a shipped name, a hub id or a folder")
    pet.add_argument("--device", help="cpu, cuda, mps or auto")
    pet.set_defaults(dtype=None)


def _pet(options: argparse.Namespace) -> None:
    from dataclasses import replace

    prompt = Prompt.load(options.prompt)
    others = prompt.alternatives[: (options.templates or 8) - 1]
    prompt = replace(prompt, alternatives=others)
    folder = deltas_folder(options)
    recipe = _recipe(options)
    labelled = labelled_rows(options, prompt)
    from playground.tasks.tuning.pet import Stage, pet
    from playground.tasks.tuning.shots import draw_shots, set_apart

    drawn = draw_shots(
        labelled, shots=options.shots, dev_shots=options.dev_shots, seeds=[options.seed]
    )
    unlabelled, held_out = set_apart(drawn.held_out, options.unlabelled)
    if len(held_out) > options.most:
        _, held_out = set_apart(held_out, len(held_out) - options.most)
    draw = drawn.draws[0]
    say(
        f"{len(prompt.templates)} templates are tuned on {len(draw.train):,} rows and label "
        f"{len(unlabelled):,}; all is measured on {len(held_out):,} others."
    )
    prompting = open_model(options)
    told = pet(
        prompting, prompt, draw, unlabelled, held_out, recipe, folder=folder, fresh=options.fresh
    )
    stages: list[Stage] = []
    what = ""
    try:
        for one in told:
            if isinstance(one, Stage):
                stages.append(one)
                say(f"{one.name}: {one.result.metrics.accuracy:.1%}")
            elif one.what != what:
                what = one.what
                say(_begun(one))
    except KeyboardInterrupt:
        say("stopped; the same command goes on from here")
        raise
    say(f"The classifier is in {shorten(options.out, 120)}.")
    print(_text(stages, held_out))
    if options.json:
        write_json(options.json, _numbers(options, stages, held_out))


def _begun(doing: Doing) -> str:
    """Return what is said when a model is tuned: where it begins, or that it is done."""
    if doing.step is None:
        return f"{doing.what}: done by an earlier run"
    if doing.resumed:
        return f"{doing.what}: going on at step {doing.resumed:,} of {doing.steps:,}"
    return f"tuning {doing.what}, {doing.steps:,} steps"


def _recipe(options: argparse.Namespace) -> PetRecipe:
    from playground.engine.tuning.recipe import Recipe
    from playground.tasks.tuning.pet import PetRecipe

    return PetRecipe(
        Recipe(method=options.method, steps=options.steps),
        Recipe(method="cls", steps=options.last_steps, batch_size=16),
        options.generations,
    )


def _text(stages: Sequence[Stage], held_out: LabelledRows) -> str:
    """Return a line a stage, with what it gained, and the templates' range."""
    from playground.tasks.tuning.pet import accuracy_gain

    chance = stages[0].result.metrics
    width = max(12, *(len(stage.name) for stage in stages))
    lines = [
        f"{len(held_out):,} rows held out; majority label {chance.majority:.1%}, at random "
        f"{chance.random:.1%}",
        "",
        f"{'':{width}}  accuracy          95 %          macro-F1     gain  single templates",
    ]
    for stage, gain in zip(stages, accuracy_gain(stages), strict=True):
        found = stage.result.metrics
        low, high = found.accuracy_interval
        own = [member.metrics.accuracy for member in stage.members]
        single = f"{min(own):.1%} to {max(own):.1%}" if own else ""
        gained = "" if stage is stages[0] else f"{100 * gain:+.1f}"
        lines.append(
            f"{stage.name:{width}}  {found.accuracy:8.1%}  {low:7.1%} to {high:6.1%}  "
            f"{found.macro_f1:8.1%}  {gained:>7}  {single}".rstrip()
        )
    return "\n".join(lines)


def _numbers(
    options: argparse.Namespace, stages: Sequence[Stage], held_out: LabelledRows
) -> dict[str, Any]:
    return {
        "rows": len(held_out),
        "labels": list(held_out.labels),
        "shots": options.shots,
        "unlabelled": options.unlabelled,
        "seed": options.seed,
        "stages": [
            {
                "name": stage.name,
                "tuned_on": stage.rows,
                **stage.result.metrics.to_json(),
                "members": [{"name": m.name, **m.metrics.to_json()} for m in stage.members],
            }
            for stage in stages
        ],
    }
