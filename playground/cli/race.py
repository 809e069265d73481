"""``playground tune race``: ways to tune against zero-shot, over numbers of shots and seeds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playground.cli.parts import (
    add_command,
    add_labelled_input,
    amount,
    labelled_rows,
    open_model,
    progress_bar,
    say,
)
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt

if TYPE_CHECKING:
    from playground.tasks.tuning.race import Race, Run
    from playground.tasks.tuning.race_runs import Entry

_METHODS = ("whole", "bias", "lora", "soft", "linear", "cls")
_EXAMPLES = """\
examples:
  playground tune race reviews.csv --prompt sentiment --out race
  playground tune race train.csv --test dev.csv --prompt sentiment --methods whole cls --shots 4 16 64 --out race
  playground tune race --show race/race.json

Every method tunes on the same rows of each label (--shots; a smaller number is part of a larger one) and
chooses its step by as many others, --seeds times; all runs are measured on the same other rows, the
zero-shot prompt too. soft gets four soft tokens in front of the template. DIR gets a small file for each
finished run, so that the same command goes on after a kill or Ctrl-C, then race.json and race.svg.
"""


def add(commands: Any) -> None:
    """Add the command."""
    summary = "let ways to tune race over numbers of shots and seeds, against zero-shot"
    race = add_command(commands, "race", _race, summary, _EXAMPLES)
    race.usage = "playground tune race FILE --prompt CARD --out DIR [options]"
    add_labelled_input(race)
    race.add_argument("--test", metavar="FILE", help="rows to measure on (the rest of FILE)")
    race.add_argument("--prompt", metavar="CARD", help="a shipped card or a file")
    race.add_argument("--template", help="template instead of the card's first")
    race.add_argument(
        "--methods", nargs="+", choices=_METHODS, default=list(_METHODS), metavar="M",
        help=f"{', '.join(_METHODS)} (all)",
    )  # fmt: skip
    race.add_argument(
        "--shots", nargs="+", type=amount, default=[4, 16, 64], metavar="N",
        help="rows of each label to tune on (4 16 64)",
    )  # fmt: skip
    race.add_argument("--seeds", type=amount, default=5, metavar="N", help="how many draws (5)")
    race.add_argument("--seed", type=int, default=0, metavar="N", help="the first of them (0)")
    race.add_argument("--steps", type=amount, default=100, metavar="N", help="of each run (100)")
    race.add_argument("--batch", type=amount, default=8, metavar="N", help="rows in a step (8)")
    race.add_argument(
        "--most", type=amount, default=1_000, metavar="N", help="rows to measure on (1,000)"
    )
    race.add_argument("--name", help="of the data, for table and picture (the file's)")
    race.add_argument("--out", metavar="DIR", help="folder for the race")
    race.add_argument("--fresh", action="store_true", help="do not continue a stopped race")
    race.add_argument(
        "--show", metavar="RACE", help="print the Markdown table of a race.json, only"
    )
    race.add_argument("--model", help="a shipped name, a hub id or a folder")
    race.add_argument("--device", help="cpu, cuda, mps or auto")
    race.set_defaults(dtype=None)


def _race(options: argparse.Namespace) -> None:
    if options.show is not None:
        from playground.tasks.tuning.race import Race
        from playground.tasks.tuning.race_report import to_markdown

        print(to_markdown(Race.load(options.show)))
        return
    prompt, folder = _checked(options)
    entries = [_entry(options, prompt, method) for method in options.methods]
    labelled = labelled_rows(options, prompt)
    test = None
    if options.test is not None:
        test = labelled_rows(argparse.Namespace(**vars(options) | {"file": options.test}), prompt)
    from playground.tasks.tuning.race_runs import Runner
    from playground.tasks.tuning.shots import draw_ladder

    seeds = range(options.seed, options.seed + options.seeds)
    draws, held_out = draw_ladder(
        labelled, shots=options.shots, seeds=seeds, most=options.most, test=test
    )
    prompting = open_model(options)
    runner = Runner(
        prompting, prompt, entries, draws, held_out, folder / "runs", fresh=options.fresh
    )
    say(
        f"{runner.total:,} runs of {options.steps:,} steps; all are measured on {len(held_out):,} other "
        "rows."
    )
    untuned = runner.untuned()
    runs: list[Run] = []
    with progress_bar(runner.total, unit="runs") as (progress, tell):
        try:
            for run, known in runner.runs():
                runs.append(run)
                progress(len(runs))
                name = f"{run.method}, {run.shots:,} shots, seed {run.seed}"
                took = "done by an earlier race" if known else f"{run.seconds:.0f} s"
                tell(f"{name}: {run.accuracy:.1%} ({took})")
        except KeyboardInterrupt:
            tell(f"stopped after {len(runs):,} runs; the same command goes on")
    race = runner.race(untuned, runs, name=options.name or labelled.name)
    _write(race, folder)
    _print(race)


def _checked(options: argparse.Namespace) -> tuple[Prompt, Path]:
    """Return the prompt and the folder; PlaygroundError for options that cannot be."""
    for name in ("prompt", "out"):
        if getattr(options, name) is None:
            raise PlaygroundError(f"A race needs --{name}; see playground tune race --help.")
    for name in ("methods", "shots"):
        if len(set(getattr(options, name))) < len(getattr(options, name)):
            raise PlaygroundError(f"--{name} names one of them twice; name each once.")
    prompt = Prompt.load(options.prompt)
    if options.template is not None:
        prompt = prompt.with_template(options.template)
    if prompt.template.soft_tokens:
        raise PlaygroundError(
            "The template has soft tokens, which mean nothing before they are tuned; give the plain one, "
            "and the method soft puts some in front of it."
        )
    folder = Path(options.out).expanduser()
    if folder.is_file():
        raise PlaygroundError(
            f"{shorten(options.out, 120)} is a file; give a folder for the race with --out."
        )
    if not folder.absolute().parent.is_dir():
        raise PlaygroundError(
            f"The folder of {shorten(options.out, 120)} is not there; make it first, or give another."
        )
    return prompt, folder


def _entry(options: argparse.Namespace, prompt: Prompt, method: str) -> Entry:
    from playground.engine.tuning.recipe import Recipe
    from playground.tasks.tuning.race_runs import entry_of

    recipe = Recipe(method=method, steps=options.steps, batch_size=options.batch)
    return entry_of(prompt, recipe)


def _write(race: Race, folder: Path) -> None:
    from playground.tasks.tuning.race_report import draw

    try:
        folder.mkdir(parents=True, exist_ok=True)
        race.save(folder / "race.json")
        draw(race, folder / "race.svg")
    except OSError as error:
        raise PlaygroundError(
            f"The race cannot be written to {shorten(folder, 120)} ({error.strerror}); choose another "
            "folder."
        ) from None
    say(f"The numbers are in {shorten(folder / 'race.json', 120)}, and race.svg beside it.")


def _print(race: Race) -> None:
    from playground.tasks.tuning.race_report import to_text

    print(to_text(race))
