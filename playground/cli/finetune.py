"""``playground finetune``: train a head for texts, numbers, tags or answers, measure it, and use it."""

from __future__ import annotations

import argparse
import os
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from playground.cli.parts import (
    add_command,
    add_table_options,
    assignments,
    check_folders,
    check_input,
    count,
    output,
    progress_bar,
    say,
    table,
    tell_summary,
    write_json,
)
from playground.errors import PlaygroundError

if TYPE_CHECKING:
    from playground.tasks.heads import Examples, Finetuned

_FINETUNE = """\
examples:
  playground finetune classify --train reviews.csv --dev-share 0.1 --out my-classifier
  playground finetune tag --train train.jsonl --dev dev.jsonl --out my-tagger
  playground finetune predict --model my-classifier new.csv -o answers.csv
"""
_EXAMPLES = {
    "classify": """\
examples:
  playground finetune classify --train cola.jsonl.gz --dev-share 0.1 --label-names no yes --out cola
  playground finetune classify --train nyu-mll/glue --dev nyu-mll/glue --config cola --out cola
  playground finetune classify --train a.csv --dev b.csv --columns text=review label=stars --out stars

A row has text and label, or text, text_b and label (also sentence, sentence1 and sentence2).
""",
    "regress": """\
examples:
  playground finetune regress --train stsb.jsonl.gz --dev stsb-dev.jsonl.gz --out similarity
  playground finetune regress --train a.csv --dev-share 0.1 --columns score=stars --out stars

A row has text and score, or text, text_b and score (also sentence1, sentence2 and label).
""",
    "tag": """\
examples:
  playground finetune tag --train ewt.jsonl.gz --dev ewt-dev.jsonl.gz --columns tags=upos --out tagger
  playground finetune tag --train wnut17.jsonl --dev-share 0.1 --columns tags=ner_tags --out names

A row has tokens and tags, two lists (also words, upos, pos_tags, ner_tags); a cell of a CSV holds them
with spaces between. The tag belongs to a word's first piece. For BIO tags, whole entities are scored.
""",
    "answer": """\
examples:
  playground finetune answer --train rajpurkar/squad --dev rajpurkar/squad --out answers
  playground finetune answer --train questions.jsonl --dev-share 0.1 --out answers

A row has question, context, and answer with its start, or "answers" as SQuAD writes them. A row without
an answer is one that its context does not answer; the model then learns to give none.
""",
}
USUAL = {
    "classify": {"epochs": 4, "learning_rate": 2e-4, "batch_size": 32},
    "regress": {"epochs": 4, "learning_rate": 2e-4, "batch_size": 32},
    "tag": {"epochs": 3, "learning_rate": 5e-4, "batch_size": 32},
    "answer": {"epochs": 3, "learning_rate": 5e-4, "batch_size": 32},
}  # of the recipes, which are read with torch
_COLUMNS = {
    "classify": "text, text_b, label",
    "regress": "text, text_b, score",
    "tag": "tokens, tags",
    "answer": "question, context, answer, start",
}
_SUMMARIES = {
    "classify": "learn a label for a text or a pair of texts",
    "regress": "learn a number for a text or a pair of texts",
    "tag": "learn a tag for each word",
    "answer": "learn to find the answer to a question in its context",
}
_EVAL = """\
examples:
  playground finetune eval --model my-classifier --data test.csv --json numbers.json
  playground finetune eval --model answers --data assets/examples/questions.jsonl
"""
_PREDICT = """\
examples:
  playground finetune predict --model my-classifier new.csv -o answers.csv
  playground finetune predict --model my-tagger --text "A dog barks at the moon."
  playground finetune predict --model similarity --text "A dog barks." --text-b "A dog is barking."
  playground finetune predict --model answers --question "Who barks?" --context "A dog barks."

Without a column of tokens, a tagger reads the words and signs of text.
"""
_MAIN = os.environ.get("RANK", "0") == "0"  # of several processes the first one speaks


def add(commands: Any) -> None:
    """Add ``finetune`` and its commands."""
    finetune = add_command(
        commands, "finetune", _nothing, "train a head on an encoder, measure it, use it", _FINETUNE
    )
    ways = finetune.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for kind, summary in _SUMMARIES.items():
        _add_train(add_command(ways, kind, _train, summary, _EXAMPLES[kind]), kind)

    test = add_command(ways, "eval", _eval, "measure a trained head on labelled rows", _EVAL)
    test.add_argument("--data", nargs="+", required=True, metavar="SOURCE", help="labelled rows")
    test.add_argument("--split", default="validation", help="of a data set (validation)")
    test.add_argument("--json", metavar="FILE", help="write the numbers there too")
    _add_sources(test)
    _add_model(test)

    predict = add_command(ways, "predict", _predict, "answer for a text or a table", _PREDICT)
    add_table_options(predict)
    predict.add_argument("--text", help="one text instead of a table")
    predict.add_argument("--text-b", help="its second text")
    predict.add_argument("--question", help="one question instead of a table")
    predict.add_argument("--context", help="its context")
    _add_model(predict)


def _add_train(train: argparse.ArgumentParser, kind: str) -> None:
    usual = USUAL[kind]
    train.set_defaults(kind=kind)
    train.add_argument("--train", nargs="+", required=True, metavar="SOURCE", help="rows to learn")
    train.add_argument("--dev", nargs="+", metavar="SOURCE", help="rows to choose on")
    train.add_argument("--dev-share", type=float, metavar="X", help="or this share of --train")
    train.add_argument("-o", "--out", required=True, metavar="DIR", help="folder for the model")
    train.add_argument(
        "--model", help="where to start: a shipped name, a hub id or a folder (playground-mini)"
    )
    _add_sources(train, kind)
    train.add_argument("--epochs", type=float, help=f"times through the rows ({usual['epochs']:g})")
    train.add_argument("--learning-rate", type=float, help=f"peak ({usual['learning_rate']:g})")
    train.add_argument("--batch-size", type=int, help=f"rows a step ({usual['batch_size']})")
    train.add_argument("--max-tokens", type=int, help="longest input (128)")
    train.add_argument("--warmup", type=float, help="share of the steps (0.1)")
    train.add_argument("--weight-decay", type=float, help="of matrices (0.01)")
    train.add_argument("--dropout", type=float, help="instead of the encoder's own (0.1)")
    train.add_argument("--precision", help="auto, float32 or bfloat16 (auto)")
    train.add_argument("--evaluations", type=float, help="looks at the dev set in an epoch (1)")
    train.add_argument(
        "--seed", type=int, help="of the head, the order, the dropout, the share (0)"
    )
    if kind == "answer":
        train.add_argument("--doc-stride", type=int, help="tokens that windows share (32)")
        train.add_argument("--longest-answer", type=int, help="in tokens (20)")
    train.add_argument("--half", action="store_true", default=None, help="store weights in fp16")
    train.add_argument("--fresh", action="store_true", help="do not continue a stopped run")
    train.add_argument("--device", help="cpu, cuda, mps or auto")


def _add_sources(parser: argparse.ArgumentParser, kind: str | None = None) -> None:
    parser.add_argument("--config", help="configuration of a hub data set")
    parser.add_argument(
        "--columns",
        nargs="+",
        metavar="NAME=COLUMN",
        default=[],
        help=_COLUMNS.get(kind or "", "what the input calls a column"),
    )
    if kind in ("classify", "tag", None):
        parser.add_argument(
            "--label-names", nargs="+", metavar="NAME", help="what the labels 0, 1, ... are called"
        )
    parser.add_argument("--limit", type=count, metavar="N", help="first N rows of each source only")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="DIR", help="a folder of finetune")
    parser.add_argument("--device", help="cpu, cuda, mps or auto")


def _nothing(options: argparse.Namespace) -> None:
    """Stand for ``finetune`` itself, which always has a command."""


def _train(options: argparse.Namespace) -> None:
    if (options.dev is None) == (options.dev_share is None):
        raise PlaygroundError("Give --dev with rows to choose on, or --dev-share to cut them off.")
    from playground.engine.device import choose_threads
    from playground.settings import settings
    from playground.tasks.heads import finetune, split_off
    from playground.tasks.heads.recipes import RECIPES

    usual = RECIPES[options.kind]
    chosen = {field.name: getattr(options, field.name, None) for field in fields(usual)}
    recipe = replace(usual, **{name: value for name, value in chosen.items() if value is not None})
    train = _rows(options, options.kind, options.train, "train")
    if _MAIN:
        say(f"Train: {train.describe()}")
    if options.dev is None:
        train, dev = split_off(train, options.dev_share, seed=recipe.seed)
        told = f"Dev: {len(dev):,} of these rows, drawn with seed {recipe.seed}."
    else:
        dev = _rows(options, options.kind, options.dev, "validation")
        told = f"Dev: {dev.describe()}"
    if _MAIN:
        say(told)
    choose_threads(settings())
    with progress_bar(unit="steps") as (progress, tell):
        finished = finetune(
            options.model,
            train,
            dev,
            options.out,
            recipe=recipe,
            settings=settings(),
            device=options.device,
            fresh=options.fresh,
            say=tell if _MAIN else None,
            progress=progress,
        )
    if finished.result is not None:
        print(finished.result.to_text())
        say(f"Done: the model is in {options.out}.")


def _eval(options: argparse.Namespace) -> None:
    check_folders(options.json)
    model = _open(options)
    rows = _rows(options, model.spec.kind, options.data, options.split)
    say(rows.describe())
    with progress_bar(unit="pieces") as (progress, _):
        result = model.evaluate(rows, progress=progress)
    print(result.to_text())
    if options.json:
        write_json(options.json, result.to_json())


def _predict(options: argparse.Namespace) -> None:
    given = {k: getattr(options, k) for k in ("text", "text_b", "question", "context")}
    given = {k: text for k, text in given.items() if text is not None}
    if given and (options.file or options.dataset):
        raise PlaygroundError("Give one row with --text or --question, or a table, not both.")
    if given:
        _predict_one(_open(options), given)
        return
    check_input(options)
    with output(options) as (out, format):  # a name that cannot be is told before all else
        rows = table(options)
        from playground.tasks.heads.predicting import TablePredictor
        from playground.tasks.score import run_windows
        from playground.tasks.writing import output_format

        predictor = TablePredictor(_open(options))
        with progress_bar(options.limit or rows.total) as (progress, tell):
            columns = assignments(options.columns, form="NAME=COLUMN")
            kind = format or output_format(str(out))
            summary = run_windows(
                predictor,
                predictor,
                predictor.layout(rows, columns, kind, tell),
                rows,
                out,
                limit=options.limit,
                fresh=options.fresh,
                notify=tell,
                progress=progress,
            )
    tell_summary(summary, options.out)


def _predict_one(model: Finetuned, given: dict[str, str]) -> None:
    """Print what a model says of one row."""
    names = (
        ("question", "context")
        if model.spec.kind == "answer"
        else ("text", "text_b")[: model.sides]
    )
    if set(names) != set(given):
        options = " and ".join(f"--{name.replace('_', '-')}" for name in names)
        raise PlaygroundError(f"This model reads {options}; give just that.")
    for line in model.describe(given):
        print(line)


def _open(options: argparse.Namespace) -> Finetuned:
    from playground.engine.device import choose_threads
    from playground.settings import settings
    from playground.tasks.heads import Finetuned

    choose_threads(settings())
    return Finetuned(options.model, settings=settings(), device=options.device)


def _rows(options: argparse.Namespace, kind: str, sources: list[str], split: str) -> Examples:
    from playground.tasks.heads import read_examples

    return read_examples(
        kind,
        sources,
        split=split,
        config=options.config,
        columns=assignments(options.columns, form="NAME=COLUMN"),
        label_names=getattr(options, "label_names", None),
        limit=options.limit,
    )
