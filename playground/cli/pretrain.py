"""``playground pretrain``: a masked LM from scratch, of one's own texts."""

from __future__ import annotations

import argparse
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from playground.cli.parts import add_command, amount, progress_bar, say
from playground.errors import PlaygroundError, shorten

_EXAMPLES = """\
examples:
  playground pretrain reviews.txt --out my-bert
  playground pretrain books.txt.xz=0.7 news.jsonl=0.3 --vocabulary 8000 --tokens 20000000 --out my-bert
  playground pretrain wikimedia/wikipedia --config 20231101.simple --out simple-bert --whole-word
  playground pretrain texts.txt --tokenizer playground-mini --layers 6 --hidden 384 --heads 6 --out six
  playground pretrain mails.txt --model playground-mini --learning-rate 5e-4 --out adapted
  accelerate launch --num_processes 4 -m playground pretrain texts.txt --out fast

A corpus is a text file with a document a line (compressed or not), a JSON Lines, CSV or parquet file
with a column of texts, a data set of the hub, or a folder that holds one. "=0.7" is its share of the
training, 1 if none is given; the shares are brought to a sum of 1. The same command goes on with a
stopped run, bit for bit; a larger --tokens makes it longer. Look at the result in the Pretrain tab:
playground run --model my-bert.
"""
_OF_SCRATCH = ("vocabulary", "cased", "tokenizer", "layers", "hidden", "heads", "vectors")


def add(commands: Any) -> None:
    """Add ``pretrain``."""
    made = add_command(
        commands, "pretrain", _pretrain, "train a masked LM from scratch on texts", _EXAMPLES
    )
    made.add_argument("corpora", nargs="+", metavar="CORPUS[=SHARE]", help="texts to train on")
    made.add_argument("-o", "--out", required=True, metavar="DIR", help="folder for the model")
    made.add_argument("--model", help="a BERT to go on from, instead of from scratch")
    texts = made.add_argument_group("texts")
    texts.add_argument("--text-column", metavar="NAME", help="of a table (text)")
    texts.add_argument("--split", help="of a data set")
    texts.add_argument("--config", help="of a data set")
    texts.add_argument("--encoding", default="utf-8", help="of files (utf-8)")
    texts.add_argument("--held-out", type=float, help="share of documents to measure on (0.005)")
    words = made.add_argument_group("vocabulary")
    words.add_argument("--vocabulary", type=amount, metavar="N", help="WordPieces to find (20000)")
    words.add_argument("--cased", action="store_true", help="keep capitals")
    words.add_argument("--tokenizer", metavar="MODEL", help="take that of a model instead")
    size = made.add_argument_group("size")
    size.add_argument("--layers", type=amount, help="(4)")
    size.add_argument("--hidden", type=amount, help="width of a layer (256)")
    size.add_argument("--heads", type=amount, help="attention heads of a layer (4)")
    size.add_argument("--positions", type=amount, help="longest input (512)")
    way = made.add_argument_group("training")
    way.add_argument("--tokens", type=amount, help="to read in all (50000000)")
    way.add_argument("--batch-tokens", type=amount, help="in a batch of one process (4096)")
    way.add_argument("--accumulate", type=amount, help="batches in a step (1)")
    way.add_argument(
        "--lengths", nargs="+", metavar="TOKENS:SHARE",
        help="of blocks, and in how many of the steps (128:0.7 256:0.2 512:0.1)",
    )  # fmt: skip
    way.add_argument("--mask-rate", type=float, help="share of tokens to predict (0.2)")
    way.add_argument("--masked", type=float, help="of these, replaced by the mask (0.8)")
    way.add_argument("--randomised", type=float, help="of these, replaced by any token (0.1)")
    way.add_argument("--whole-word", action="store_true", default=None, help="hide whole words")
    way.add_argument("--optimizer", help="adamw or muon (adamw)")
    way.add_argument("--learning-rate", type=float, help="its peak (1.5e-3)")
    way.add_argument("--warmup", type=float, help="share of the steps in which it rises (0.025)")
    way.add_argument("--decay", type=float, help="share of the steps in which it falls (0.7)")
    way.add_argument("--weight-decay", type=float, help="of matrices (0.01)")
    way.add_argument("--vectors", type=_whole, help="tokens for first word vectors (12000000)")
    way.add_argument("--precision", help="auto, float32 or bfloat16 (auto)")
    way.add_argument("--seed", type=int, help="of weights, order and masks (0)")
    way.add_argument("--checkpoints", type=amount, help="looks at the model on the way (16)")
    way.add_argument("--probes", metavar="FILE", help="sentences with one [MASK] to ask then")
    way.add_argument("--half", action="store_true", default=None, help="store weights in fp16")
    way.add_argument("--fresh", action="store_true", help="do not continue a stopped run")
    way.add_argument("--device", help="cpu, cuda, mps or auto")


def _pretrain(options: argparse.Namespace) -> None:
    from playground.engine.device import choose_threads
    from playground.settings import settings
    from playground.tasks.pretraining.corpora import open_source
    from playground.tasks.pretraining.pipeline import pretrain_on
    from playground.tasks.pretraining.recipe import Recipe

    _check_sources(options)
    chosen = {field.name: getattr(options, field.name, None) for field in fields(Recipe)}
    chosen["lengths"] = _lengths(options)
    recipe = Recipe(**{name: value for name, value in chosen.items() if value is not None})
    sources = [
        open_source(
            spec, column=options.text_column, split=options.split, config=options.config,
            encoding=options.encoding,
        )
        for spec in options.corpora
    ]  # fmt: skip
    choose_threads(settings())
    first = os.environ.get("RANK", "0") == "0"  # of several processes one speaks
    with progress_bar(unit="steps") as (progress, tell):
        done = pretrain_on(
            sources,
            options.out,
            recipe=recipe,
            settings=settings(),
            model=options.model,
            tokenizer=options.tokenizer,
            lowercase=not options.cased,
            probes=_probes(options.probes),
            device=options.device,
            fresh=options.fresh,
            say=tell if first else None,
            progress=progress,
        )
    if first:
        say(
            f"Done: {done.report['tokens']:,} tokens, last training loss "
            f"{done.report['training_loss']:.2f} nats; the model is in {options.out}."
        )


def _check_sources(options: argparse.Namespace) -> None:
    """Raise PlaygroundError for an option that another one makes void."""
    if options.model is not None:
        void = [name for name in _OF_SCRATCH if getattr(options, name) not in (None, False)]
        if void:
            raise PlaygroundError(
                f"--model brings its own size and tokenizer; leave out --{' --'.join(void)}."
            )
    elif options.tokenizer is not None and (options.vocabulary is not None or options.cased):
        raise PlaygroundError(
            "--tokenizer brings its own pieces; leave out --vocabulary and --cased."
        )


def _lengths(options: argparse.Namespace) -> tuple[tuple[int, float], ...] | None:
    """Return the lengths of blocks and their shares; None for the usual ones."""
    if options.lengths is None:
        return None
    found = []
    for text in options.lengths:
        length, sign, share = text.partition(":")
        try:
            found.append((int(length), float(share) if sign else 1.0))
        except ValueError:
            raise PlaygroundError(
                f"--lengths has {shorten(text)}; write TOKENS:SHARE, such as 128:0.75 256:0.25."
            ) from None
    return tuple(found)


def _probes(path: str | None) -> list[str] | None:
    if path is None:
        return None
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise PlaygroundError(
            f"The probes {shorten(path, 120)} cannot be read ({why}); give a text file with a "
            "sentence a line."
        ) from None


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{shorten(text)} is not a whole number from 0")
    return int(text)
