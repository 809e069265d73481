"""``playground nli``: train, evaluate and use a classifier of premise and hypothesis pairs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from playground.cli.parts import (
    add_command,
    add_table_options,
    assignments,
    check_folders,
    count,
    progress_bar,
    say,
    score_rows,
    write_json,
)
from playground.errors import PlaygroundError

if TYPE_CHECKING:
    from playground.tasks.nli import NliScorer, Pairs

_NLI = """\
examples:
  playground nli predict pairs.csv -o answers.csv
  playground nli eval --data stanfordnlp/snli --split validation
  playground nli train --train snli_1.0 --dev snli_1.0 --out my-classifier
"""
_TRAIN = """\
examples:
  playground nli train --train stanfordnlp/snli --dev stanfordnlp/snli --out my-classifier
  playground nli train --train snli_1.0 --dev snli_1.0 --out chapter --padding fixed --precision float32
  playground nli train --train mnli.jsonl --dev dev.jsonl --out stage-1
  playground nli train --model stage-1 --train snli.jsonl --dev dev.jsonl --out stage-2
  torchrun --nproc-per-node 4 -m playground nli train --train snli_1.0 --dev snli_1.0 --out fast

A source is a hub data set, the folder of the original snli_1.0, or a CSV, TSV, JSON Lines or parquet
file with premise, hypothesis and label (or sentence1, sentence2, gold_label). Of a data set with
splits, --train takes "train" and --dev "validation". The same command goes on with a stopped run.
"""
_ADAPT = """\
examples:
  playground nli adapt --train snli_1.0 --dev snli_1.0 --out adapted
  playground nli train --model adapted --train snli_1.0 --dev snli_1.0 --out my-classifier
"""
_EVAL = """\
examples:
  playground nli eval --data dev.jsonl
  playground nli eval --data stanfordnlp/snli --split test --model my-classifier --json numbers.json
"""
_PREDICT = """\
examples:
  playground nli predict pairs.csv -o answers.csv
  playground nli predict pairs.tsv --columns premise=sentence1 hypothesis=sentence2 -o answers.tsv
  playground nli predict --premise "A man sleeps." --hypothesis "A man is awake."
"""
_MAIN = os.environ.get("RANK", "0") == "0"  # of several processes the first one speaks
_MODEL_HELP = "a shipped name, a hub id or a folder"


def add(commands: Any) -> None:
    """Add ``nli`` and its three commands."""
    nli = add_command(
        commands, "nli", _nothing, "train, evaluate or use a classifier of sentence pairs", _NLI
    )
    ways = nli.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_train(ways)
    _add_adapt(ways)

    test = add_command(ways, "eval", _eval, "measure a classifier on labelled pairs", _EVAL)
    test.add_argument("--data", nargs="+", required=True, metavar="SOURCE", help="labelled pairs")
    test.add_argument("--split", default="validation", help="of a data set (validation)")
    test.add_argument("--hypothesis-only", action="store_true", help="hide the premises")
    test.add_argument("--json", metavar="FILE", help="write the numbers there too")
    test.add_argument("--max-tokens", type=count, metavar="N", help="cut pairs that are longer")
    test.add_argument("--cut", choices=("longest", "ratio"), default="longest", help="how")
    _add_sources(test)
    test.add_argument("--model", help=_MODEL_HELP)
    test.add_argument("--device", help="cpu, cuda, mps or auto")

    predict = add_command(
        ways, "predict", _predict, "classify one pair or a table of pairs", _PREDICT
    )
    add_table_options(predict)
    predict.add_argument("--premise", help="one pair instead of a table")
    predict.add_argument("--hypothesis", help="its other side")
    predict.add_argument("--model", help=_MODEL_HELP)
    predict.add_argument("--device", help="cpu, cuda, mps or auto")


def _add_train(ways: Any) -> None:
    train = add_command(ways, "train", _train, "fine-tune an encoder on labelled pairs", _TRAIN)
    train.add_argument("--train", nargs="+", required=True, metavar="SOURCE", help="pairs to learn")
    train.add_argument(
        "--dev", nargs="+", required=True, metavar="SOURCE", help="pairs to choose on"
    )
    train.add_argument(
        "-o", "--out", required=True, metavar="DIR", help="folder for the classifier"
    )
    train.add_argument("--model", help=f"where to start: {_MODEL_HELP} (playground-mini)")
    _add_sources(train)
    train.add_argument("--epochs", type=float, help="times through the pairs (3)")
    train.add_argument("--learning-rate", type=float, help="its peak (1e-4)")
    train.add_argument("--batch-size", type=int, help="pairs a step (64)")
    train.add_argument("--max-tokens", type=int, help="longest pair (128)")
    train.add_argument("--padding", help="dynamic or fixed, as in the textbook (dynamic)")
    train.add_argument("--cut", help="of longer pairs: longest or ratio (longest)")
    train.add_argument("--warmup", type=float, help="share of the steps (0.06)")
    train.add_argument("--weight-decay", type=float, help="of matrices (0.01)")
    train.add_argument("--dropout", type=float, help="instead of the encoder's own")
    train.add_argument("--precision", help="auto, float32 or bfloat16 (auto)")
    train.add_argument("--balance", action="store_true", default=None, help="weigh rare labels up")
    train.add_argument(
        "--hypothesis-only", action="store_true", default=None, help="hide the premises: a baseline"
    )
    train.add_argument("--evaluations", type=float, help="looks at the dev set in an epoch (2)")
    train.add_argument("--seed", type=int, help="of the head, the order and the dropout (0)")
    train.add_argument("--half", action="store_true", default=None, help="store weights in fp16")
    train.add_argument("--fresh", action="store_true", help="do not continue a stopped run")
    train.add_argument("--device", help="cpu, cuda, mps or auto")


def _add_adapt(ways: Any) -> None:
    adapt = add_command(ways, "adapt", _adapt, "go on with masked-LM training on the pairs", _ADAPT)
    adapt.add_argument("--train", nargs="+", required=True, metavar="SOURCE", help="pairs to read")
    adapt.add_argument("--dev", nargs="+", required=True, metavar="SOURCE", help="held-out pairs")
    adapt.add_argument("-o", "--out", required=True, metavar="DIR", help="folder for the masked LM")
    adapt.add_argument("--model", help=f"where to start: {_MODEL_HELP} (playground-mini)")
    _add_sources(adapt)
    adapt.add_argument("--epochs", type=float, help="times through the pairs (1)")
    adapt.add_argument("--learning-rate", type=float, help="its peak (5e-4)")
    adapt.add_argument("--batch-size", type=int, help="pairs a step (96)")
    adapt.add_argument("--max-tokens", type=int, help="longest pair (64)")
    adapt.add_argument("--mask-rate", type=float, help="share of hidden tokens (0.2)")
    adapt.add_argument("--precision", help="auto, float32 or bfloat16 (auto)")
    adapt.add_argument("--seed", type=int, help="of the order and the masks (0)")
    adapt.add_argument("--fresh", action="store_true", help="do not continue a stopped run")
    adapt.add_argument("--device", help="cpu, cuda, mps or auto")


def _add_sources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", help="configuration of a hub data set")
    parser.add_argument(
        "--columns", nargs="+", metavar="NAME=COLUMN", default=[], help="premise, hypothesis, label"
    )
    parser.add_argument(
        "--label-names", nargs="+", metavar="NAME", help="what the labels 0, 1 and 2 are called"
    )
    parser.add_argument(
        "--limit", type=count, metavar="N", help="first N pairs of each source only"
    )


def _nothing(options: argparse.Namespace) -> None:
    """Stand for ``nli`` itself, which always has a command."""


def _train(options: argparse.Namespace) -> None:
    from playground.tasks.nli.training import Recipe, train_classifier

    trained = _run(options, Recipe, train_classifier)
    if _MAIN:
        result = trained.report["result"]
        say(f"Done: dev accuracy {result['accuracy']:.1%}; the classifier is in {options.out}.")


def _adapt(options: argparse.Namespace) -> None:
    from playground.tasks.nli.adaptation import Adaptation, adapt

    losses = _run(options, Adaptation, adapt)
    if _MAIN and losses:
        say(f"Done: dev loss {min(losses):.3f} nats; the masked LM is in {options.out}.")


def _run(options: argparse.Namespace, kind: Any, work: Callable[..., Any]) -> Any:
    """Read the pairs, run ``work`` with a recipe of ``kind``, and return what it gives."""
    from playground.engine.device import choose_threads
    from playground.settings import settings

    chosen = {f.name: getattr(options, f.name, None) for f in fields(kind)}
    recipe = kind(**{name: value for name, value in chosen.items() if value is not None})
    train = _pairs(options, options.train, "train")
    dev = _pairs(options, options.dev, "validation", drop_repeated=False)
    if _MAIN:
        say(f"Train: {train.describe()}")
        say(f"Dev: {dev.describe()}")
    choose_threads(settings())
    with progress_bar(unit="steps") as (progress, tell):
        return work(
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


def _eval(options: argparse.Namespace) -> None:
    check_folders(options.json)
    pairs = _pairs(options, options.data, options.split, drop_repeated=False)
    say(pairs.describe())
    from playground.tasks.nli.evaluation import evaluate

    scorer = _scorer(options)
    with progress_bar(len(pairs)) as (progress, _):
        found = evaluate(
            scorer.classifier,
            pairs,
            hypothesis_only=options.hypothesis_only,
            progress=lambda done, total: progress(done),
        )
    print(found.to_text())
    if options.json:
        write_json(options.json, found.to_json())


def _predict(options: argparse.Namespace) -> None:
    one = options.premise is not None or options.hypothesis is not None
    if not one:
        from playground.engine.classifier import PAIR
        from playground.tasks.nli.pairs import usual_columns

        score_rows(options, lambda: _scorer(options), PAIR, usual=usual_columns)
        return
    if options.file or options.dataset:
        raise PlaygroundError(
            "Give one pair with --premise and --hypothesis, or a table, not both."
        )
    pair = (options.premise or "", options.hypothesis or "")
    scores = _scorer(options).classifier.classify([pair])
    if scores.errors:
        raise PlaygroundError(scores.errors[0])
    for label, share in sorted(
        zip(scores.labels, scores.probabilities[0], strict=True), key=lambda pair: -pair[1]
    ):
        print(f"{label:15}{share:7.1%}")


def _scorer(options: argparse.Namespace) -> NliScorer:
    from playground.engine.device import choose_threads
    from playground.settings import settings
    from playground.tasks.nli import NliClassifier, NliScorer

    choose_threads(settings())
    classifier = NliClassifier(
        options.model,
        settings=settings(),
        device=options.device,
        max_tokens=getattr(options, "max_tokens", None),
        cut=getattr(options, "cut", "longest"),
    )
    return NliScorer(classifier)


def _pairs(
    options: argparse.Namespace, sources: list[str], split: str, *, drop_repeated: bool = True
) -> Pairs:
    from playground.tasks.nli.pairs import read_pairs

    return read_pairs(
        sources,
        split=split,
        config=options.config,
        columns=assignments(options.columns),
        label_names=options.label_names,
        limit=options.limit,
        drop_repeated=drop_repeated,
    )
