"""``playground tune mistakes``: classic mistakes beside the right way, on the same rows, and why they hurt."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from playground.cli.parts import (
    add_command,
    add_labelled_input,
    amount,
    check_folders,
    labelled_rows,
    open_model,
    progress_bar,
    say,
    write_json,
)
from playground.errors import PlaygroundError
from playground.prompts import Prompt

if TYPE_CHECKING:
    from playground.tasks.tuning.mistakes import Trial

_NAMES = ("double-softmax", "learning-rate", "mask-cut-off", "label-word", "attention-mask")
_EXAMPLES = """\
examples:
  playground tune mistakes reviews.csv --prompt sentiment
  playground tune mistakes reviews.csv --prompt sentiment --mistake label-word --model roberta-base

Each mistake is tuned beside the right way: all weights, the same rows in the same order, the same dropout.
What it does to the untuned model is measured first; then both are measured on the same other rows, before
and after --steps steps. Nothing is written, and no other command can make the mistakes.
"""


def add(commands: Any) -> None:
    """Add the command."""
    summary = "make classic mistakes of prompt tuning on purpose, beside the right way"
    lab = add_command(commands, "mistakes", _mistakes, summary, _EXAMPLES)
    lab.usage = "playground tune mistakes FILE --prompt CARD [options]"
    add_labelled_input(lab)
    lab.add_argument("--prompt", required=True, metavar="CARD", help="a shipped card or a file")
    lab.add_argument("--template", help="template instead of the card's first")
    lab.add_argument(
        "--mistake", nargs="+", choices=_NAMES, default=list(_NAMES), metavar="M",
        help=f"{', '.join(_NAMES)} (all)",
    )  # fmt: skip
    lab.add_argument(
        "--shots", type=amount, default=16, metavar="N", help="rows of each label to tune on (16)"
    )
    lab.add_argument("--seed", type=int, default=0, metavar="N", help="of draw and order (0)")
    lab.add_argument("--steps", type=amount, default=40, metavar="N", help="of each way (40)")
    lab.add_argument("--batch", type=amount, default=8, metavar="N", help="rows in a step (8)")
    lab.add_argument(
        "--most", type=amount, default=500, metavar="N", help="rows to measure on (500)"
    )
    lab.add_argument("--json", metavar="FILE", help="write all numbers there too")
    lab.add_argument("--model", help="a shipped name, a hub id or a folder")
    lab.add_argument("--device", help="cpu, cuda, mps or auto")
    lab.set_defaults(dtype=None)


def _mistakes(options: argparse.Namespace) -> None:
    prompt = Prompt.load(options.prompt)
    if options.template is not None:
        prompt = prompt.with_template(options.template)
    if len(set(options.mistake)) < len(options.mistake):
        raise PlaygroundError("--mistake names one of them twice; name each once.")
    check_folders(options.json)
    labelled = labelled_rows(options, prompt)
    from playground.tasks.tuning.mistakes import side_by_side
    from playground.tasks.tuning.shots import draw_shots

    drawn = draw_shots(labelled, shots=options.shots, seeds=[options.seed], most=options.most)
    prompting = open_model(options)
    found: list[Trial] = []
    for name in options.mistake:
        say(f"{name}: {options.steps:,} steps the right way and the wrong way.")
        trial = None
        with progress_bar(options.steps, unit="steps") as (progress, tell):
            ways = side_by_side(
                prompting, prompt, drawn.draws[0], drawn.held_out, name,
                steps=options.steps, batch_size=options.batch,
            )  # fmt: skip
            try:
                for trial in ways:
                    progress(len(trial.right))
            except PlaygroundError as error:
                if len(options.mistake) == 1:
                    raise
                tell(f"{name} is left out: {error}")
                continue
        if trial is not None:
            found.append(trial)
            print(f"{_text(trial)}\n", flush=True)
    if options.json:
        write_json(options.json, {"mistakes": [_numbers(trial) for trial in found]})


def _text(trial: Trial) -> str:
    """Return what one mistake is, what was measured of it, both ways' steps, and why."""
    mistake = trial.mistake
    lines = [f"{mistake.title} ({mistake.name})", f"  {mistake.code}", mistake.what, ""]
    if trial.room is not None:
        lines += [f"Both may read {trial.room} tokens here, so that some rows are cut.", ""]
    if trial.facts.rows:
        lines += [*_table([trial.facts.heads, *trial.facts.rows]), ""]
    if trial.facts.said:
        lines += [trial.facts.said, ""]
    heads = ("step", "loss, right", "loss, wrong", "dev, right", "dev, wrong")
    steps = [
        (str(one.step), _number(one.loss), _number(other.loss), *(_percent(s.dev_accuracy) for s in (one, other)))
        for one, other in zip(trial.right, trial.wrong, strict=True)
        if one.dev_accuracy is not None or one.step == trial.total
    ]  # fmt: skip
    return "\n".join([*lines, *_table([heads, *steps]), "", trial.outcome, f"Why: {mistake.why}"])


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    ]  # fmt: skip


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _numbers(trial: Trial) -> dict[str, Any]:
    from dataclasses import asdict

    ways = {}
    for place, (way, steps) in enumerate((("right", trial.right), ("wrong", trial.wrong))):
        measured = {
            when: pair[place].metrics.to_json()
            for when, pair in (("before", trial.before), ("after", trial.after))
            if pair is not None
        }
        ways[way] = {"steps": [asdict(step) for step in steps], **measured}
    return {
        "name": trial.mistake.name,
        "room": trial.room,
        "facts": asdict(trial.facts),
        "outcome": trial.outcome,
        **ways,
    }
