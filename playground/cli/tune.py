"""``playground tune``: a prompt tuned on a few labelled rows, over several seeds, measured on the rest."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playground.cli.parts import (
    add_command,
    add_labelled_input,
    amount,
    deltas_folder,
    labelled_rows,
    open_model,
    progress_bar,
    say,
    write_json,
)
from playground.errors import PlaygroundError, shorten
from playground.prompts import AnyPrompt, load_prompt

if TYPE_CHECKING:
    from playground.engine import Prompting
    from playground.engine.tuning.recipe import Recipe
    from playground.tasks.evaluation import LabelledRows, Result
    from playground.tasks.tuning.runs import SeedResult
    from playground.tasks.tuning.shots import Draw

_METHODS = ("whole", "bias", "lora", "soft", "linear", "cls")
_EXAMPLES = """\
examples:
  playground tune reviews.csv --prompt sentiment --out tuned
  playground tune reviews.csv --prompt sentiment --method whole cls --shots 16 --seeds 5 --out tuned
  playground tune reviews.csv --prompt sentiment --method soft --template "{text} {soft:4} {mask}." --out soft
  playground tune people.csv --prompt relations --method bias --shots 4 --out tuned
  playground score more.csv --tuned tuned -o scored.csv

Each seed draws --shots rows of each label to tune on and as many to choose the best step by; all seeds
are measured on the same other rows. whole, bias, lora and soft train what reads the label words, and
begin as the zero-shot prompt; linear and cls train a head of their own, which begins as a guess. cls is
plain fine-tuning, the one to beat. The model itself is never changed: DIR gets a small delta for each
seed, and the one that is best on its dev rows stands in DIR itself. Ctrl-C keeps the best so far and
measures it; the same command goes on, after a kill too.

More under the same name, each with --help: tune race (methods against numbers of shots), tune mistakes
(what the classic ones do), tune pet (all templates of a card, and a classifier).
"""


def add(commands: Any) -> None:
    """Add the command."""
    tune = add_command(
        commands, "tune", _tune, "tune a prompt on a few labelled rows (few-shot)", _EXAMPLES
    )
    add_labelled_input(tune)
    tune.add_argument("--prompt", required=True, metavar="CARD", help="a shipped card or a file")
    tune.add_argument("--template", help="template instead of the card's first")
    tune.add_argument(
        "--method", nargs="+", choices=_METHODS, default=["whole"], metavar="M",
        help=f"{', '.join(_METHODS)} (whole)",
    )  # fmt: skip
    tune.add_argument(
        "--shots", type=amount, default=16, metavar="N", help="rows of each label to tune on (16)"
    )
    tune.add_argument(
        "--dev-shots", type=int, metavar="N", help="rows of each label to choose by (as many)"
    )
    tune.add_argument("--seeds", type=amount, default=3, metavar="N", help="how many draws (3)")
    tune.add_argument("--seed", type=int, default=0, metavar="N", help="the first of them (0)")
    tune.add_argument("--steps", type=amount, default=200, metavar="N", help="(200)")
    tune.add_argument("--learning-rate", type=float, metavar="X", help="peak (the method's own)")
    tune.add_argument("--batch", type=amount, default=8, metavar="N", help="rows in a step (8)")
    tune.add_argument(
        "--patience", type=amount, metavar="N", help="looks without a gain that end a seed (never)"
    )
    tune.add_argument("--dropout", type=float, metavar="X", help="while tuning (the model's own)")
    tune.add_argument("--rank", type=amount, default=8, metavar="N", help="of lora (8)")
    tune.add_argument(
        "--soft-encoder", choices=("none", "lstm", "mlp"), default="none", help="of soft (none)"
    )
    tune.add_argument("--soft-words", default="", metavar="WORDS", help="that soft begins with")
    tune.add_argument(
        "--most", type=amount, default=2_000, metavar="N", help="rows to measure on (2,000)"
    )
    tune.add_argument("--out", required=True, metavar="DIR", help="folder for the deltas")
    tune.add_argument("--fresh", action="store_true", help="do not continue a stopped run")
    tune.add_argument("--json", metavar="FILE", help="write all numbers there too")
    tune.add_argument("--model", help="a shipped name, a hub id or a folder")
    tune.add_argument("--device", help="cpu, cuda, mps or auto")
    tune.set_defaults(dtype=None)


def _tune(options: argparse.Namespace) -> None:
    prompt = load_prompt(options.prompt)
    if options.template is not None:
        prompt = prompt.with_template(options.template)
    if len(set(options.method)) < len(options.method):
        raise PlaygroundError("--method names a method twice; name each once.")
    out = deltas_folder(options)
    recipes = [_recipe(options, method) for method in options.method]
    labelled = labelled_rows(options, prompt)
    from playground.tasks.tuning.runs import best_of, with_result, zero_shot
    from playground.tasks.tuning.shots import draw_shots

    seeds = range(options.seed, options.seed + options.seeds)
    drawn = draw_shots(
        labelled, shots=options.shots, dev_shots=options.dev_shots, seeds=seeds, most=options.most
    )
    first = drawn.draws[0]
    say(
        f"Each seed tunes on {len(first.train):,} rows and chooses by "
        f"{len(first.dev) if first.dev else 0:,}; all are measured on {len(drawn.held_out):,} others."
    )
    prompting = open_model(options)
    found: dict[str, list[SeedResult]] = {recipe.method: [] for recipe in recipes}
    stopped = False
    for recipe in recipes:
        for draw in drawn.draws:
            if not stopped:
                folder = (out / recipe.method if len(recipes) > 1 else out) / f"seed-{draw.seed}"
                one, stopped = _one(options, prompting, prompt, draw, recipe, folder)
                found[recipe.method].append(one)
    with progress_bar() as (progress, _):
        before = zero_shot(prompting, prompt, drawn.held_out, progress=progress)
    for method, own in found.items():
        for k, one in enumerate(own):
            with progress_bar() as (progress, _):
                own[k] = with_result(prompting, one, drawn.held_out, progress=progress)
        if own:
            _save_best(best_of(own), out / method if len(recipes) > 1 else out)
    print(_text(before, found, drawn.held_out))
    if options.json:
        write_json(options.json, _numbers(options, before, found, drawn.held_out, recipes))


def _recipe(options: argparse.Namespace, method: str) -> Recipe:
    from playground.engine.tuning.recipe import Recipe

    soft = method == "soft"
    return Recipe(
        method=method,
        steps=options.steps,
        learning_rate=options.learning_rate,
        batch_size=options.batch,
        patience=options.patience,
        dropout=options.dropout,
        rank=options.rank,
        soft_encoder=options.soft_encoder if soft else "none",
        soft_words=options.soft_words if soft else "",
    )


def _one(
    options: argparse.Namespace,
    prompting: Prompting,
    prompt: AnyPrompt,
    draw: Draw,
    recipe: Recipe,
    folder: Path,
) -> tuple[SeedResult, bool]:
    """Tune one seed; return what came out, and whether Ctrl-C ended it."""
    from playground.tasks.tuning.runs import SeedRun

    run = SeedRun(prompting, prompt, draw, recipe, folder, fresh=options.fresh)
    name = f"{recipe.method}, seed {draw.seed}"
    if run.known:
        say(f"{name}: done by an earlier run.")
        return run.finish(), False
    if run.resumed:
        say(f"{name}: going on at step {run.resumed:,}.")
    else:
        cost = run.tuner.estimate()
        say(
            f"{name}: {cost.parameters:,} parameters, about {_time(cost.seconds)} and "
            f"{cost.nbytes / 2**20:,.0f} MiB."
        )
    stopped = False
    with progress_bar(recipe.steps, unit="steps") as (progress, tell):
        try:
            for step in run.run():
                progress(step.step)
                if step.best and step.dev_accuracy is not None:
                    loss = "" if step.loss is None else f"loss {step.loss:.3f}, "
                    tell(f"{name}, step {step.step}: {loss}dev {step.dev_accuracy:.1%}")
        except KeyboardInterrupt:
            stopped = True
            tell(f"stopped after step {run.tuner.step}; the best so far is kept and measured")
    return run.finish(), stopped


def _save_best(best: SeedResult, folder: Path) -> None:
    """Write the best seed's delta to the folder that holds the seeds."""
    from playground.engine.tuning.files import save_delta
    from playground.tasks.tuning.card import delta_card

    save_delta(best.delta, folder, card=delta_card(best.delta))
    say(f"Seed {best.seed}, best on its dev rows, is in {shorten(folder, 120)}.")


def _text(
    before: Sequence[Result], found: dict[str, list[SeedResult]], held_out: LabelledRows
) -> str:
    """Return the lines before tuning, of each seed, and mean and spread of each method."""
    from playground.tasks.tuning.runs import spread, untuned

    results = [*before, *(one.result for own in found.values() for one in own if one.result)]
    width = max(16, *(len(result.name) for result in results))
    chance = results[0].metrics
    lines = [
        f"{len(held_out):,} rows held out; majority label {chance.majority:.1%}, at random "
        f"{chance.random:.1%}",
        "",
        f"{'':{width}}  accuracy          95 %          macro-F1   step     dev",
    ]
    lines += [_line(result, width) for result in before]
    for method, own in found.items():
        if not own:
            continue
        for one in own:
            if one.result is not None:
                dev = "" if one.dev_accuracy is None else f"{one.dev_accuracy:7.1%}"
                step = one.delta.report["best_step"]
                lines.append(f"{_line(one.result, width)}  {step:5,} {dev}".rstrip())
        share, f1 = spread(own), spread(own, lambda result: result.metrics.macro_f1)
        around = "" if share.deviation is None else f"± {share.deviation:.1%}"
        lines.append(
            f"{f'{method}, mean of {len(own)}':{width}}  {share.mean:8.1%}  {around:>7}"
            f"           {f1.mean:8.1%}   from {share.least:.1%} to {share.most:.1%}"
        )
    lines += ["", *(f"Step 0 of {method} is {untuned(method)}." for method in found)]
    return "\n".join(lines)


def _line(result: Result, width: int) -> str:
    found = result.metrics
    low, high = found.accuracy_interval
    return (
        f"{result.name:{width}}  {found.accuracy:8.1%}  {low:7.1%} to {high:6.1%}  "
        f"{found.macro_f1:8.1%}"
    )


def _numbers(
    options: argparse.Namespace,
    before: Sequence[Result],
    found: dict[str, list[SeedResult]],
    held_out: LabelledRows,
    recipes: Sequence[Recipe],
) -> dict[str, Any]:
    from dataclasses import asdict

    from playground.tasks.tuning.runs import spread

    return {
        "rows": len(held_out),
        "labels": list(held_out.labels),
        "shots": options.shots,
        "before": [{"name": r.name, **r.metrics.to_json()} for r in before],
        "methods": [
            {
                "recipe": asdict(recipe) | {"learning_rate": recipe.peak},
                "accuracy": asdict(spread(found[recipe.method])),
                "seeds": [
                    {
                        "seed": one.seed,
                        "bytes": one.delta.nbytes,
                        "report": dict(one.delta.report),
                        "steps": [asdict(step) for step in one.steps],
                        "held_out": one.result.metrics.to_json() if one.result else None,
                    }
                    for one in found[recipe.method]
                ],
            }
            for recipe in recipes
            if found[recipe.method]
        ],
    }


def _time(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"
