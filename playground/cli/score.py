"""``playground score``: every row of a table, with a prompt."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from playground.cli.parts import (
    add_command,
    add_table_options,
    count,
    open_model,
    open_tuned_model,
    score_rows,
)
from playground.errors import PlaygroundError, shorten
from playground.prompts import AGGREGATIONS, CALIBRATIONS, AnyPrompt, load_prompt

if TYPE_CHECKING:
    from playground.engine.tuning.delta import Delta
    from playground.tasks.score import Engine, PromptScorer

_EXAMPLES = """\
examples:
  playground score reviews.csv --prompt sentiment -o scored.csv
  playground score posts.jsonl --prompt my_card.json --text-column body -o scored.jsonl
  playground score pairs.tsv --prompt nli --columns premise=sentence1 hypothesis=sentence2 -o out.tsv
  playground score --dataset stanfordnlp/snli --split validation --prompt nli -o snli.csv
  playground score people.csv --prompt relations -o scored.csv
  cat reviews.csv | playground score - --format csv --prompt sentiment | head
  playground score reviews.csv --tuned tuned -o scored.csv
  playground score corpus.jsonl --prompt sentiment -o scored.jsonl --engine ray --ray-address auto

The output has the input's columns, then prediction, p_<label> for each label, tokens, dropped and
error. In CSV and TSV a text that a spreadsheet would run (=1+1) gets a ' in front. A run that was
stopped is continued by the same command. --engine ray scores on a Ray cluster (the extra "ray"), a
model a worker, and writes the same rows in the same order.
"""


def add(commands: Any) -> None:
    """Add the command."""
    score = add_command(
        commands, "score", _score, "score every row of a table with a prompt", _EXAMPLES
    )
    add_table_options(score)
    which = score.add_mutually_exclusive_group(required=True)
    which.add_argument("--prompt", metavar="CARD", help="a shipped card or a file")
    which.add_argument("--tuned", metavar="DIR", help="what playground tune wrote, and its prompt")
    score.add_argument("--text-column", metavar="NAME", help="column with the text (text)")
    score.add_argument("--template", help="template instead of the card's first")
    score.add_argument("--aggregation", choices=list(AGGREGATIONS), help="instead of the card's")
    score.add_argument("--calibration", choices=list(CALIBRATIONS), help="instead of the card's")
    score.add_argument("--model", help="a shipped name, a hub id or a folder")
    score.add_argument("--device", help="cpu, cuda, mps or auto")
    score.add_argument("--dtype", choices=("float32", "bfloat16", "auto"), help="precision")
    score.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="this process, or Ray Data (local)",
    )
    score.add_argument(
        "--workers", type=count, metavar="N", help="ray: models at work, one a core or GPU (all)"
    )
    score.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="ray: a running cluster, or auto; else one for the run",
    )


def _score(options: argparse.Namespace) -> None:
    delta = _delta(options)
    prompt = _prompt(options, delta)
    engine = _engine(options, prompt)

    def scorer() -> PromptScorer:
        from playground.tasks.score import PromptScorer

        # on a cluster the workers compute, and this machine may have none of their GPUs
        device = "cpu" if options.engine == "ray" else None
        if delta is not None:
            return PromptScorer(open_tuned_model(options, delta), prompt)
        return PromptScorer(open_model(options, device=device), prompt)

    score_rows(options, scorer, prompt.template, text_column=options.text_column, engine=engine)


def _delta(options: argparse.Namespace) -> Delta | None:
    """Return what tuning changed, None where a prompt alone is given."""
    if options.tuned is None:
        return None
    if options.engine == "ray":
        raise PlaygroundError("--engine ray takes no --tuned; score it in this process.")
    from playground.engine.tuning.files import load_delta

    return load_delta(options.tuned)


def _prompt(options: argparse.Namespace, delta: Delta | None) -> AnyPrompt:
    prompt = delta.prompt if delta is not None else load_prompt(options.prompt)
    if options.template is not None:
        prompt = prompt.with_template(options.template)
    chosen = {
        name: value
        for name in ("aggregation", "calibration")
        if (value := getattr(options, name)) is not None
    }
    return replace(prompt, scoring=replace(prompt.scoring, **chosen))


def _engine(options: argparse.Namespace, prompt: AnyPrompt) -> Engine | None:
    """Return where windows are scored, None for this process."""
    if options.engine == "local":
        if options.workers or options.ray_address:
            raise PlaygroundError(
                "--workers and --ray-address belong to --engine ray; add it, or leave them out."
            )
        return None
    from playground.settings import settings
    from playground.tasks.ray_engine import PromptWorker, RayEngine

    device = options.device or settings().device
    gpu = device.partition(":")[0] == "cuda"
    if not gpu and device not in ("auto", "cpu"):
        raise PlaygroundError(
            f"--engine ray works on cpu or cuda, not on {shorten(device)}; choose one with --device."
        )
    worker = PromptWorker(
        options.model, prompt, settings(), "cuda" if gpu else "cpu", options.dtype
    )
    return RayEngine(worker, workers=options.workers, address=options.ray_address, gpu=gpu)
