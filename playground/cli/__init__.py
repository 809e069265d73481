"""``python -m playground`` and ``playground``: the app, scoring of tables, measurements, models, cards.

Every command imports what it needs when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import playground
from playground import resources
from playground.errors import PlaygroundError, shorten
from playground.prompts import AGGREGATIONS, CALIBRATIONS, Prompt

if TYPE_CHECKING:
    from playground.engine import Prompting
    from playground.tasks.reading import Table

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count
EXIT_PIPE = 141  # 128 + SIGPIPE

_EXAMPLES = """\
examples:
  playground                                    open the app
  playground score reviews.csv --prompt sentiment -o scored.csv
  playground cards                              prompts that come with it
  playground bench                              how fast it is on this machine
"""
_RUN = """\
examples:
  playground run
  playground run --host 0.0.0.0 --port 8000     for a class network
  playground run --model bert-base-uncased
"""
_SCORE = """\
examples:
  playground score reviews.csv --prompt sentiment -o scored.csv
  playground score posts.jsonl --prompt my_card.json --text-column body -o scored.jsonl
  playground score pairs.tsv --prompt nli --columns premise=sentence1 hypothesis=sentence2 -o out.tsv
  playground score --dataset stanfordnlp/snli --split validation --prompt nli -o snli.csv
  cat reviews.csv | playground score - --format csv --prompt sentiment | head

The output has the input's columns, then prediction, p_<label> for each label, tokens, dropped and
error. In CSV and TSV a text that a spreadsheet would run (=1+1) gets a ' in front. A run that was
stopped is continued by the same command.
"""
_BENCH = """\
examples:
  playground bench                              speed, against what people use today
  playground bench quality --data DIR --rows 1000
  playground bench app                          needs playwright and chromium
"""
_MODELS = """\
examples:
  playground models                             models that come with it
  playground models bert-base-uncased           load one and say what it is
"""
_CARDS = """\
examples:
  playground cards
  playground cards sentiment > my_card.json
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 2 for what a user can mend, 130 for Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = _parser().parse_args(_with_command(arguments))
        options.command(options)
        sys.stdout.flush()
    except SystemExit as stop:  # argparse has said what is wrong, or shown its help
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except PlaygroundError as error:
        _say(" ".join(str(error).split()))
        return EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader, such as head, has seen enough
        return EXIT_PIPE
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _say(f"Standard output cannot be written ({error.strerror}).")
        return EXIT_ERROR
    finally:
        _settle_stdout()
    return 0


def _settle_stdout() -> None:
    """Flush standard output, or let go of what it does not take, before Python tries on exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _with_command(arguments: list[str]) -> list[str]:
    """Return the arguments with ``run`` in front where no command is named."""
    if not arguments:
        return ["run"]
    if arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version"):
        return ["run", *arguments]
    return arguments


def _parser() -> argparse.ArgumentParser:
    def command(name: str, function, summary: str, examples: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        made.set_defaults(command=function)
        return made

    parser = argparse.ArgumentParser(
        prog="playground",
        description="Prompt learning with a masked language model: open the app, or score a table.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=playground.__version__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = command("run", _run, "open the app (the default)", _RUN)
    run.add_argument("--host", help="address to listen on (127.0.0.1; 0.0.0.0 for a network)")
    run.add_argument("--port", type=int, help="port to listen on (7860, or the next free one)")
    run.add_argument("--model", help="model that opens first: a shipped name, a hub id or a folder")
    run.add_argument("--share", action="store_true", help="make a public link through Gradio")
    run.add_argument("--open", action="store_true", help="open it in the browser")

    score = command("score", _score, "score every row of a table with a prompt", _SCORE)
    score.add_argument("file", nargs="?", metavar="FILE|-", help="CSV, TSV, JSON Lines or parquet")
    score.add_argument("--prompt", required=True, metavar="CARD", help="a shipped card or a file")
    score.add_argument(
        "-o", "--out", metavar="OUT", help=".csv, .tsv or .jsonl; else standard output"
    )
    score.add_argument("--text-column", metavar="NAME", help="column with the text (text)")
    score.add_argument(
        "--columns", nargs="+", metavar="SLOT=NAME", default=[], help="column for each slot"
    )
    score.add_argument("--format", choices=("csv", "tsv", "jsonl", "parquet"), help="of the input")
    score.add_argument("--encoding", default="utf-8", help="of the input (utf-8)")
    score.add_argument("--dataset", metavar="ID", help="a hub data set or its folder, not a file")
    score.add_argument("--split", help="its split, such as validation")
    score.add_argument("--config", help="its configuration")
    score.add_argument("--template", help="template instead of the card's first")
    score.add_argument("--aggregation", choices=list(AGGREGATIONS), help="instead of the card's")
    score.add_argument("--calibration", choices=list(CALIBRATIONS), help="instead of the card's")
    score.add_argument("--limit", type=_count, metavar="N", help="score the first N rows only")
    score.add_argument("--fresh", action="store_true", help="do not continue a stopped run")
    _add_engine(score)

    bench = command("bench", _bench, "measure speed, quality or the app", _BENCH)
    bench.add_argument("what", nargs="?", choices=("speed", "quality", "app"), default="speed")
    bench.add_argument("--data", metavar="DIR", help="quality: folder of labelled sets")
    bench.add_argument("--rows", type=_count, metavar="N", help="quality: at most N rows of a set")
    bench.add_argument("--json", metavar="FILE", help="write the numbers there too")
    bench.add_argument("--model", help="a shipped name, a hub id or a folder")

    models = command("models", _models, "list the models, or load one and describe it", _MODELS)
    models.add_argument("name", nargs="?", help="a shipped name, a hub id or a folder")

    cards = command("cards", _cards, "list the prompt cards, or print one as JSON", _CARDS)
    cards.add_argument("name", nargs="?", help="a shipped card or a file")
    return parser


def _add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="a shipped name, a hub id or a folder")
    parser.add_argument("--device", help="cpu, cuda, mps or auto")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "auto"), help="precision")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{shorten(text)} is not a number of rows above 0")
    return int(text)


# ---- commands -------------------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> None:
    from playground.app import launch

    launch(
        host=options.host,
        port=options.port,
        model=options.model,
        share=options.share,
        open_browser=options.open,
    )


def _score(options: argparse.Namespace) -> None:
    prompt = _prompt(options)
    named = _assignments(options.columns)
    if (options.file is None) == (options.dataset is None):
        raise PlaygroundError(
            "Give one input: a file, - for standard input, or --dataset for a hub data set."
        )
    with _output(options) as (out, format):  # a name that cannot be is told before all else
        from playground.tasks.reading import column_map

        table = _table(options)
        columns = column_map(
            prompt.template, table.columns, text_column=options.text_column, columns=named
        )
        from playground.tasks.score import score_table  # loads torch

        prompting = _prompting(options)
        with _progress(options.limit or table.total) as (progress, say):
            summary = score_table(
                prompting,
                prompt,
                table,
                out,
                columns=columns,
                format=format,
                limit=options.limit,
                fresh=options.fresh,
                notify=say,
                progress=progress,
            )
    if summary.lost_fields:
        names = ", ".join(shorten(name) for name in summary.lost_fields[:10])
        _say(f"Fields that the first row does not have were left out: {names}; .jsonl keeps them.")
    done = summary.rows - summary.resumed
    speed = f"{done / summary.seconds:,.0f} rows/s" if done and summary.seconds else "nothing to do"
    where = f" to {options.out}" if options.out not in (None, "-") else ""
    rows = "1 row" if summary.rows == 1 else f"{summary.rows:,} rows"
    _say(f"Scored {rows}{where}, {summary.failed:,} with an error ({speed}).")


def _bench(options: argparse.Namespace) -> None:
    from playground import bench

    report = bench.measure(
        options.what, model=options.model, data=options.data, rows=options.rows, say=_say
    )
    print(report.to_text())
    if options.json:
        report.save(options.json)


def _models(options: argparse.Namespace) -> None:
    if options.name is None:
        for name, folder in resources.shipped_models().items():
            print(f"{name:24} {_model_line(folder)}")
        return
    from playground.engine import Prompting

    backbone = Prompting(options.name).backbone
    print(backbone.describe())
    print(f"revision  {backbone.revision}")
    print(f"savings   {', '.join(backbone.forward.savings) or 'none'}")
    print(f"packed    {backbone.packed} linear layers")
    for warning in backbone.warnings or ("none",):
        print(f"warnings  {warning}")


def _cards(options: argparse.Namespace) -> None:
    if options.name is not None:
        print(json.dumps(Prompt.load(options.name).to_json(), ensure_ascii=False, indent=2))
        return
    for name in resources.card_names():
        prompt = Prompt.load(name)
        print(f"{name:18} {prompt.task:15} {', '.join(prompt.verbalizer.names)}")


# ---- parts ----------------------------------------------------------------------------------------


def _prompt(options: argparse.Namespace) -> Prompt:
    prompt = Prompt.load(options.prompt)
    if options.template is not None:
        prompt = prompt.with_template(options.template)
    chosen = {
        name: value
        for name in ("aggregation", "calibration")
        if (value := getattr(options, name)) is not None
    }
    return replace(prompt, scoring=replace(prompt.scoring, **chosen))


def _prompting(options: argparse.Namespace) -> Prompting:
    from playground.engine import Prompting
    from playground.engine.backbone import choose_threads
    from playground.settings import settings

    choose_threads(settings())
    return Prompting(options.model, device=options.device, dtype=options.dtype)


def _table(options: argparse.Namespace) -> Table:
    from playground.tasks import reading

    if options.dataset is not None:
        _say(f"Opening the data set {shorten(options.dataset, 120)}.")  # a slow hub takes its time
        return reading.read_dataset(options.dataset, split=options.split, config=options.config)
    if options.split or options.config:
        raise PlaygroundError(
            "--split and --config belong to --dataset; leave them out for a file."
        )
    if options.file == "-":
        return reading.read_stream(
            sys.stdin.buffer, format=options.format, encoding=options.encoding
        )
    return reading.read_file(options.file, format=options.format, encoding=options.encoding)


@contextmanager
def _output(options: argparse.Namespace) -> Iterator[tuple[str | BinaryIO, str | None]]:
    """Yield where the rows go: a file's name, or a stream (a pipe, a device) and its format."""
    from playground.tasks.reading import format_of
    from playground.tasks.writing import output_format

    source = options.format or (format_of(options.file) if options.file else None)
    format = source if source in ("csv", "tsv", "jsonl") else "csv"
    if options.out in (None, "-"):
        yield sys.stdout.buffer, format
        return
    target = Path(options.out).expanduser()
    if target.exists() and not target.is_file() and not target.is_dir():
        stream = target.open("wb")  # a device must not be replaced by a file
        try:
            yield stream, format
        finally:
            with suppress(OSError):  # what it did not take was told when it was written
                stream.close()
        return
    output_format(target)
    given = Path(options.file or "-").expanduser()
    if given.exists() and target.exists() and target.samefile(given):
        raise PlaygroundError(
            f"The output {shorten(options.out, 120)} is the input; give another name."
        )
    yield options.out, None


def _assignments(pairs: Sequence[str]) -> dict[str, str]:
    result: dict[str, str] = {}
    for pair in pairs:
        slot, equals, column = pair.partition("=")
        if not equals or not slot:
            raise PlaygroundError(
                f"--columns has {shorten(pair)}; write SLOT=COLUMN, and FILE before --columns."
            )
        result[slot.strip("{}")] = column
    return result


@contextmanager
def _progress(total: int | None):
    """Yield what shows the rows done and what says a sentence, neither disturbing the other."""
    from tqdm import tqdm

    bars: list[tqdm] = []

    def progress(rows: int) -> None:
        if not bars:  # rows of a stopped run are no part of the speed
            bars.append(tqdm(total=total, initial=rows, unit=" rows", disable=None, leave=False))
        bars[0].update(rows - bars[0].n)

    try:
        yield progress, lambda sentence: tqdm.write(f"playground: {sentence}", file=sys.stderr)
    finally:
        for bar in bars:
            bar.close()


def _say(sentence: str) -> None:
    print(f"playground: {sentence}", file=sys.stderr)


def _model_line(folder: Path) -> str:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e6
    kind = (config.get("architectures") or [config.get("model_type", "model")])[0]
    return (
        f"{kind}, {config.get('num_hidden_layers')} layers of {config.get('hidden_size')}, "
        f"{config.get('max_position_embeddings')} positions, {size:.1f} MB"
    )
