"""``playground eval``: prompts on labelled rows, with intervals, baselines and paired tests."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playground.cli.better import probed, varied
from playground.cli.parts import (
    add_command,
    add_labelled_input,
    amount,
    check_folders,
    labelled_rows,
    open_model,
    open_tuned_model,
    progress_bar,
    say,
    write_json,
)
from playground.errors import PlaygroundError, shorten
from playground.prompts import CALIBRATIONS, RulePrompt, load_prompt

if TYPE_CHECKING:
    from playground.tasks.evaluation import LabelledRows, Result
    from playground.tasks.held_out import Split

_EXAMPLES = """\
examples:
  playground eval reviews.csv --prompt sentiment
  playground eval reviews.csv --prompt sentiment --templates all --ensemble
  playground eval reviews.csv --prompt sentiment --templates all --ensemble --weights dev-accuracy
  playground eval reviews.csv --prompt sentiment --sensitivity
  playground eval reviews.csv --prompt sentiment --templates all --probe
  playground eval reviews.csv --prompt sentiment --tuned tuned
  playground eval people.csv --prompt relations one_mask.json
  playground eval posts.jsonl --prompt sentiment my_card.json --text-column body
  playground eval --dataset stanfordnlp/sst2 --split validation --prompt sentiment --text-column sentence
  playground eval rows.csv --prompt topic --labels Sci/Tech=technology --model playground-mini bert-base-uncased

Each prompt is measured raw and calibrated on the same rows. Accuracy and macro-F1 have 95 % intervals
(1,000 resamples); "p" is McNemar's test against the best line: below 0.05 the difference is real.

--weights dev-accuracy sets --shots rows of each label apart, weighs each template by its accuracy on
them, and measures every line on the others only. --sensitivity tries every template, label word and
calibration of the first card (and the words of the others); its p-values are corrected for their number
(Holm). --probe needs no labels: it swaps sentiment words for opposites (the prediction should flip) and
for synonyms (it should hold).
"""


def add(commands: Any) -> None:
    """Add the command."""
    measure = add_command(
        commands, "eval", _eval, "measure prompts on labelled rows and compare them", _EXAMPLES
    )
    add_labelled_input(measure)
    measure.add_argument(
        "--prompt", nargs="+", required=True, metavar="CARD", help="shipped cards or files"
    )
    measure.add_argument(
        "--tuned",
        nargs="+",
        default=[],
        metavar="DIR",
        help="what playground tune wrote, beside them",
    )
    measure.add_argument(
        "--templates", choices=("first", "all"), default="first", help="of each card (first)"
    )
    measure.add_argument(
        "--calibration",
        nargs="+",
        choices=list(CALIBRATIONS),
        default=["none", "contextual"],
        help="(none contextual)",
    )
    measure.add_argument(
        "--ensemble", action="store_true", help="average the templates of each calibration too"
    )
    measure.add_argument(
        "--weights",
        choices=("equal", "dev-accuracy"),
        default="equal",
        help="of the ensemble's members (equal)",
    )
    measure.add_argument(
        "--shots",
        type=amount,
        metavar="N",
        help="rows of each label that the weights come from (16)",
    )
    measure.add_argument("--seed", type=int, metavar="N", help="which rows those are (0)")
    measure.add_argument(
        "--sensitivity", action="store_true", help="every way to write the card, and what is luck"
    )
    measure.add_argument(
        "--probe", action="store_true", help="swap sentiment words; no labels used"
    )
    measure.add_argument("--lexicon", metavar="FILE", help="the probe's words (sentiment_swaps)")
    measure.add_argument("--json", metavar="FILE", help="write all numbers there too")
    measure.add_argument(
        "--model", nargs="+", metavar="M", help="shipped names, hub ids or folders"
    )
    measure.add_argument("--device", help="cpu, cuda, mps or auto")
    measure.add_argument("--dtype", choices=("float32", "bfloat16", "auto"), help="precision")


def _eval(options: argparse.Namespace) -> None:
    _check_options(options)
    prompts = [(Path(name).stem, load_prompt(name)) for name in options.prompt]
    ruled = next((name for name, prompt in prompts if isinstance(prompt, RulePrompt)), None)
    if ruled and (options.sensitivity or options.probe):
        kind = "--sensitivity" if options.sensitivity else "--probe"
        raise PlaygroundError(
            f"The card {shorten(ruled)} is one of rules and {kind} takes prompts with one mask; leave it out."
        )
    check_folders(options.json)
    labelled = labelled_rows(options, prompts[0][1])
    if options.sensitivity:
        varied(options, prompts, labelled)
        return
    from playground.tasks import evaluation

    tried = evaluation.candidates(
        prompts, templates=options.templates, calibrations=options.calibration
    )
    if options.probe:
        probed(options, tried, labelled)
        return
    rest, split = labelled, None
    if options.weights == "dev-accuracy":
        from playground.tasks.held_out import split_rows

        split = split_rows(labelled, shots=options.shots or 16, seed=options.seed or 0)
        rest = split.held_out
        say(
            f"Weights come from {len(split.search):,} rows (seed {split.seed}); "
            f"every line is measured on the other {len(rest):,}."
        )
    results, weights = _results(options, tried, rest, split)
    results += [_tuned(options, folder, rest) for folder in options.tuned]
    print(_to_text(results, rest))
    if options.json:
        data = {
            "rows": len(rest),
            "labels": list(rest.labels),
            "left_out": labelled.faulty,
            "results": [{"name": r.name, **r.metrics.to_json()} for r in results],
        }
        if split is not None:
            data |= {"weights": weights, "shots": split.shots, "seed": split.seed}
        write_json(options.json, data)


def _check_options(options: argparse.Namespace) -> None:
    """Raise PlaygroundError for options that mean nothing together."""
    if options.sensitivity and options.probe:
        raise PlaygroundError("--sensitivity and --probe are two runs; give one of them.")
    kind = "--sensitivity" if options.sensitivity else "--probe" if options.probe else None
    if kind and options.ensemble:
        raise PlaygroundError(f"--ensemble does not go with {kind}; leave one of them out.")
    if kind and len(options.model or []) > 1:
        raise PlaygroundError(f"{kind} takes one model; give one behind --model.")
    if kind and options.tuned:
        raise PlaygroundError(f"--tuned does not go with {kind}; leave one of them out.")
    if options.lexicon and not options.probe:
        raise PlaygroundError("--lexicon belongs to --probe; give both or neither.")
    if options.weights != "equal" and not options.ensemble:
        raise PlaygroundError(f"--weights {options.weights} belongs to --ensemble; give both.")
    if options.weights == "equal" and (options.shots or options.seed is not None):
        raise PlaygroundError("--shots and --seed belong to --weights dev-accuracy; give it too.")


def _results(
    options: argparse.Namespace, tried: list, labelled: LabelledRows, split: Split | None
) -> tuple[list[Result], dict[str, float]]:
    """Return the results of all models, and the ensemble's weights by member where rows give them."""
    from dataclasses import replace

    from playground.tasks.evaluation import ensemble, evaluate

    models = options.model or [None]
    results: list[Result] = []
    weights: dict[str, float] = {}
    for model in models:
        prompting = open_model(options, model=model)
        tag = f"{prompting.backbone.name} · " if len(models) > 1 else ""
        shares = [1.0] * len(tried)
        if split is not None:
            with progress_bar() as (progress, _):
                known = evaluate(prompting, tried, split.search, progress=progress)
            shares = [result.metrics.accuracy for result in known]
            weights |= {f"{tag}{r.name}": s for r, s in zip(known, shares, strict=True)}
        with progress_bar() as (progress, _):
            found = evaluate(prompting, tried, labelled, progress=progress)
        results += [replace(result, name=f"{tag}{result.name}") for result in found]
        if options.ensemble:
            for calibration in options.calibration:
                members = [
                    (result, share)
                    for result, candidate, share in zip(found, tried, shares, strict=True)
                    if candidate.prompt.scoring.calibration == calibration
                ]
                named = f"{tag}ensemble of {len(members)}"
                own = [result for result, _ in members]
                results.append(ensemble(own, labelled.gold, name=f"{named} · {calibration}"))
                if split is not None:  # beside the equal one, which it has to beat
                    results.append(
                        ensemble(
                            own,
                            labelled.gold,
                            weights=[share for _, share in members],
                            name=f"{named} by dev accuracy · {calibration}",
                        )
                    )
    return results, weights


def _tuned(options: argparse.Namespace, folder: str, labelled: LabelledRows) -> Result:
    """Return what a tuned prompt gives, named by its folder."""
    from playground.engine.tuning.files import load_delta
    from playground.tasks.evaluation import Candidate, evaluate

    delta = load_delta(folder)
    candidate = Candidate(f"{Path(folder).name} · tuned", delta.prompt)
    with progress_bar() as (progress, _):
        prompting = open_tuned_model(options, delta)
        return evaluate(prompting, [candidate], labelled, progress=progress)[0]


def _to_text(results: list[Result], labelled: LabelledRows) -> str:
    """Return the lines, best last, each tested against the best, and the best one's labels."""
    from playground.tasks.evaluation import versus

    ranked = sorted(results, key=lambda result: result.metrics.accuracy)
    best = ranked[-1]
    width = max(len(result.name) for result in results)
    baseline = best.metrics
    lines = [
        f"{len(labelled):,} rows; majority label {baseline.majority:.1%}, at random {baseline.random:.1%}",
        "",
        f"{'':{width}}  accuracy          95 %          macro-F1          95 %           ECE       p",
    ]
    for result in ranked:
        found = result.metrics
        (low, high), (f_low, f_high) = found.accuracy_interval, found.macro_f1_interval
        test = "best" if result is best else f"{versus(best, result, labelled.gold).p_value:.3f}"
        lines.append(
            f"{result.name:{width}}  {found.accuracy:8.1%}  {low:7.1%} to {high:6.1%}  "
            f"{found.macro_f1:8.1%}  {f_low:7.1%} to {f_high:6.1%}  {found.calibration_error:6.1%}  {test:>6}"
        )
    names = labelled.labels
    cell = max(9, *(len(name) + 2 for name in names))
    lines += [
        "",
        f"{best.name}",
        f"{'gold / predicted':{cell + 8}}"
        + "".join(f"{n:>{cell}}" for n in names)
        + f"{'recall':>9}",
    ]
    for name, row, recall in zip(names, baseline.confusion, baseline.recall, strict=True):
        cells = "".join(f"{count:{cell},}" for count in row[: len(names)])
        lines.append(f"{name:{cell + 8}}{cells}{recall:9.1%}")
    precision = "".join(f"{share:{cell}.1%}" for share in baseline.precision)
    lines.append(f"{'precision':{cell + 8}}{precision}")
    if baseline.failed:
        lines.append(f"{baseline.failed:,} rows could not be scored and count as wrong.")
    return "\n".join(lines)
