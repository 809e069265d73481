"""``playground eval``: prompts on labelled rows, with intervals, baselines and paired tests."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playground.cli.parts import (
    add_command,
    add_table_input,
    assignments,
    check_input,
    progress_bar,
    say,
    table,
)
from playground.errors import PlaygroundError, shorten
from playground.prompts import CALIBRATIONS, Prompt

if TYPE_CHECKING:
    from playground.tasks.evaluation import LabelledRows, Result

_EXAMPLES = """\
examples:
  playground eval reviews.csv --prompt sentiment
  playground eval reviews.csv --prompt sentiment --templates all --ensemble
  playground eval posts.jsonl --prompt sentiment my_card.json --text-column body
  playground eval --dataset stanfordnlp/sst2 --split validation --prompt sentiment --text-column sentence
  playground eval rows.csv --prompt topic --labels Sci/Tech=technology --model playground-mini bert-base-uncased

Each prompt is measured raw and calibrated on the same rows. Accuracy and macro-F1 have 95 % intervals
(1,000 resamples); "p" is McNemar's test against the best line: below 0.05 the difference is real.
"""


def add(commands: Any) -> None:
    """Add the command."""
    measure = add_command(
        commands, "eval", _eval, "measure prompts on labelled rows and compare them", _EXAMPLES
    )
    add_table_input(measure)
    measure.add_argument(
        "--prompt", nargs="+", required=True, metavar="CARD", help="shipped cards or files"
    )
    measure.add_argument("--text-column", metavar="NAME", help="column with the text (text)")
    measure.add_argument("--label-column", metavar="NAME", default="label", help="(label)")
    measure.add_argument(
        "--labels", nargs="+", metavar="THEIRS=OURS", default=[], help="what the data calls a label"
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
    measure.add_argument("--json", metavar="FILE", help="write all numbers there too")
    measure.add_argument(
        "--model", nargs="+", metavar="M", help="shipped names, hub ids or folders"
    )
    measure.add_argument("--device", help="cpu, cuda, mps or auto")
    measure.add_argument("--dtype", choices=("float32", "bfloat16", "auto"), help="precision")


def _eval(options: argparse.Namespace) -> None:
    prompts = [(Path(name).stem, Prompt.load(name)) for name in options.prompt]
    check_input(options)
    columns = assignments(options.columns)
    if options.text_column is not None:
        fields = prompts[0][1].template.fields
        if len(fields) != 1:
            raise PlaygroundError("The template takes several texts; name them with --columns.")
        columns.setdefault(fields[0], options.text_column)
    rows = table(options)
    from playground.tasks import evaluation

    labelled = evaluation.read_labelled(
        rows,
        prompts[0][1],
        columns=columns,
        label_column=options.label_column,
        label_names=assignments(options.labels, "--labels", "THEIRS=OURS"),
        limit=options.limit,
    )
    if labelled.faulty:
        say(f"{labelled.faulty:,} rows are left out: {'; '.join(labelled.problems)}")
    tried = evaluation.candidates(
        prompts, templates=options.templates, calibrations=options.calibration
    )
    results = _results(options, tried, labelled)
    print(_to_text(results, labelled))
    if options.json:
        _save(options.json, results, labelled)


def _results(options: argparse.Namespace, tried: list, labelled: LabelledRows) -> list[Result]:
    from dataclasses import replace

    from playground.engine import Prompting
    from playground.engine.device import choose_threads
    from playground.settings import settings
    from playground.tasks.evaluation import ensemble, evaluate

    choose_threads(settings())
    models = options.model or [None]
    results: list[Result] = []
    for model in models:
        prompting = Prompting(model, device=options.device, dtype=options.dtype)
        tag = f"{prompting.backbone.name} · " if len(models) > 1 else ""
        with progress_bar() as (progress, _):
            found = evaluate(prompting, tried, labelled, progress=progress)
        results += [replace(result, name=f"{tag}{result.name}") for result in found]
        if options.ensemble:
            for calibration in options.calibration:
                members = [
                    result
                    for result, candidate in zip(found, tried, strict=True)
                    if candidate.prompt.scoring.calibration == calibration
                ]
                name = f"{tag}ensemble of {len(members)} · {calibration}"
                results.append(ensemble(members, labelled.gold, name=name))
    return results


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


def _save(path: str, results: list[Result], labelled: LabelledRows) -> None:
    data = {
        "rows": len(labelled),
        "labels": list(labelled.labels),
        "left_out": labelled.faulty,
        "results": [{"name": r.name, **r.metrics.to_json()} for r in results],
    }
    try:
        Path(path).write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise PlaygroundError(
            f"The numbers cannot be written to {shorten(path, 120)} ({error.strerror})."
        ) from None
