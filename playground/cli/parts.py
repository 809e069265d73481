"""What the commands share: options of the engine, progress, the output, sentences for the terminal."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from playground.errors import PlaygroundError, shorten

if TYPE_CHECKING:
    from playground.engine import Prompting
    from playground.engine.tuning.delta import Delta
    from playground.prompts import AnyPrompt, Template
    from playground.tasks.evaluation import LabelledRows
    from playground.tasks.reading import Table
    from playground.tasks.score import Engine, Scorer, ScoreSummary

Function = Callable[[argparse.Namespace], None]


def add_command(
    commands: Any, name: str, function: Function, summary: str, examples: str
) -> argparse.ArgumentParser:
    """Add a command with its one-line summary and its examples, and return its parser."""
    made = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.set_defaults(command=function)
    return made


def add_table_input(parser: argparse.ArgumentParser) -> None:
    """Add what names the rows: a file or a data set, and its columns."""
    parser.add_argument("file", nargs="?", metavar="FILE|-", help="CSV, TSV, JSON Lines or parquet")
    parser.add_argument(
        "--columns", nargs="+", metavar="SLOT=NAME", default=[], help="column for each slot"
    )
    parser.add_argument("--format", choices=("csv", "tsv", "jsonl", "parquet"), help="of the input")
    parser.add_argument("--encoding", default="utf-8", help="of the input (utf-8)")
    parser.add_argument("--dataset", metavar="ID", help="a hub data set or its folder, not a file")
    parser.add_argument("--split", help="its split, such as validation")
    parser.add_argument("--config", help="its configuration")
    parser.add_argument("--limit", type=count, metavar="N", help="the first N rows only")


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Add what names the rows and where they go when they are scored."""
    add_table_input(parser)
    parser.add_argument(
        "-o", "--out", metavar="OUT", help=".csv, .tsv or .jsonl; else standard output"
    )
    parser.add_argument("--fresh", action="store_true", help="do not continue a stopped run")


def add_labelled_input(parser: argparse.ArgumentParser) -> None:
    """Add what names labelled rows: their table, the column of the text, and what the labels are."""
    add_table_input(parser)
    parser.add_argument("--text-column", metavar="NAME", help="column with the text (text)")
    parser.add_argument("--label-column", metavar="NAME", default="label", help="(label)")
    parser.add_argument(
        "--labels", nargs="+", metavar="THEIRS=OURS", default=[], help="what the data calls a label"
    )


def check_input(options: argparse.Namespace) -> None:
    """Raise PlaygroundError unless exactly one input is named."""
    if (options.file is None) == (options.dataset is None):
        raise PlaygroundError(
            "Give one input: a file, - for standard input, or --dataset for a hub data set."
        )


def count(text: str) -> int:
    """Return a whole number above 0."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{shorten(text)} is not a number of rows above 0")
    return int(text)


def amount(text: str) -> int:
    """Return a whole number above 0, of whatever the option counts."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{shorten(text)} is not a whole number above 0")
    return int(text)


def check_folders(*paths: str | None) -> None:
    """Raise PlaygroundError for an output without its folder, before any work is done for it."""
    for path in filter(None, paths):
        if not Path(path).expanduser().absolute().parent.is_dir():
            raise PlaygroundError(
                f"The folder of {shorten(path, 120)} is not there; make it first, or give another."
            )


def deltas_folder(options: argparse.Namespace) -> Path:
    """Return the folder that --out names for deltas, checked before any work, as is --dev-shots."""
    if options.dev_shots is not None and options.dev_shots < 0:
        raise PlaygroundError(f"--dev-shots is {options.dev_shots}; it must be 0 or more.")
    check_folders(options.out, options.json)
    folder = Path(options.out).expanduser()
    if folder.is_file():
        raise PlaygroundError(
            f"{shorten(options.out, 120)} is a file; give a folder for the deltas with --out."
        )
    return folder


def score_rows(
    options: argparse.Namespace,
    scorer: Callable[[], Scorer],
    template: Template,
    *,
    text_column: str | None = None,
    usual: Callable[[Sequence[str]], dict[str, str]] | None = None,
    engine: Engine | None = None,
) -> None:
    """Score the rows that the table options name; ``scorer`` loads the model, after all checks.

    usual: which of the columns that are there fill the slots that no option names. engine: where the
    windows are scored, if not in this process.
    """
    named = assignments(options.columns)
    check_input(options)
    with output(options) as (out, format):  # a name that cannot be is told before all else
        from playground.tasks.reading import column_map

        rows = table(options)
        if usual is not None:
            named = {**usual(rows.columns), **named}
        columns = column_map(template, rows.columns, text_column=text_column, columns=named)
        from playground.tasks.score import score_table  # loads torch

        ready = scorer()
        with progress_bar(options.limit or rows.total) as (progress, tell):
            summary = score_table(
                ready,
                rows,
                out,
                columns=columns,
                format=format,
                limit=options.limit,
                fresh=options.fresh,
                engine=engine,
                notify=tell,
                progress=progress,
            )
    tell_summary(summary, options.out)


def tell_summary(summary: ScoreSummary, out: str | None) -> None:
    """Say how a run over a table went."""
    if summary.lost_fields:
        names = ", ".join(shorten(name) for name in summary.lost_fields[:10])
        say(f"Fields that the first row does not have were left out: {names}; .jsonl keeps them.")
    done = summary.rows - summary.resumed
    speed = f"{done / summary.seconds:,.0f} rows/s" if done and summary.seconds else "nothing to do"
    where = f" to {out}" if out not in (None, "-") else ""
    shown = "1 row" if summary.rows == 1 else f"{summary.rows:,} rows"
    say(f"Scored {shown}{where}, {summary.failed:,} with an error ({speed}).")


def open_model(
    options: argparse.Namespace, *, model: str | None = None, device: str | None = None
) -> Prompting:
    """Return the model given, or the first that the options name, on as many threads as the settings say."""
    from playground.engine import Prompting
    from playground.engine.device import choose_threads
    from playground.settings import settings

    choose_threads(settings())
    named = options.model if isinstance(options.model, list) else [options.model]
    return Prompting(
        model or (named or [None])[0], device=device or options.device, dtype=options.dtype
    )


def open_tuned_model(options: argparse.Namespace, delta: Delta) -> Prompting:
    """Return the model given, or else the shipped one that the delta was tuned on, with it applied."""
    from playground import resources

    named = options.model[0] if isinstance(options.model, list) else options.model
    shipped = delta.base if delta.base in resources.shipped_models() else None
    return open_model(options, model=named or shipped).tuned(delta)


def table(options: argparse.Namespace) -> Table:
    """Return the table that the options name."""
    from playground.tasks import reading

    if options.dataset is not None:
        say(f"Opening the data set {shorten(options.dataset, 120)}.")  # a slow hub takes its time
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


def labelled_rows(options: argparse.Namespace, prompt: AnyPrompt) -> LabelledRows:
    """Return the labelled rows that the options name; those left out are told."""
    check_input(options)
    columns = assignments(options.columns)
    if options.text_column is not None:
        fields = prompt.template.fields
        if len(fields) != 1:
            raise PlaygroundError("The template takes several texts; name them with --columns.")
        columns.setdefault(fields[0], options.text_column)
    rows = table(options)
    from playground.tasks.evaluation import read_labelled

    labelled = read_labelled(
        rows,
        prompt,
        columns=columns,
        label_column=options.label_column,
        label_names=assignments(options.labels, "--labels", "THEIRS=OURS"),
        limit=options.limit,
    )
    if labelled.faulty:
        say(f"{labelled.faulty:,} rows are left out: {'; '.join(labelled.problems)}")
    return labelled


def json_text(data: Any, *, indent: int | None = None) -> str:
    """Return data as JSON that can be written: half a character, as JSON may hold one, stays escaped."""
    text = json.dumps(data, indent=indent, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def write_json(path: str, data: dict[str, Any]) -> None:
    """Write the numbers of a run; PlaygroundError if the file cannot be written."""
    try:
        Path(path).expanduser().write_text(f"{json_text(data, indent=1)}\n", "utf-8")
    except OSError as error:
        raise PlaygroundError(
            f"The numbers cannot be written to {shorten(path, 120)} ({error.strerror})."
        ) from None


@contextmanager
def output(options: argparse.Namespace) -> Iterator[tuple[str | BinaryIO, str | None]]:
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
        try:
            stream = target.open("wb")  # a device must not be replaced by a file
        except OSError as error:
            raise PlaygroundError(
                f"The output {shorten(options.out, 120)} cannot be opened ({error.strerror}); give "
                "another name."
            ) from None
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


def assignments(
    pairs: Sequence[str], option: str = "--columns", form: str = "SLOT=COLUMN"
) -> dict[str, str]:
    """Return SLOT=COLUMN arguments, or others of that form, as a mapping."""
    result: dict[str, str] = {}
    for pair in pairs:
        slot, equals, column = pair.partition("=")
        if not equals or not slot:
            raise PlaygroundError(
                f"{option} has {shorten(pair)}; write {form}, and FILE before {option}."
            )
        result[slot.strip("{}")] = column
    return result


@contextmanager
def progress_bar(total: int | None = None, *, unit: str = "rows"):
    """Yield what shows how much is done and what says a sentence, neither disturbing the other."""
    from tqdm import tqdm

    bars: list[tqdm] = []

    def progress(done: int, of: int | None = None) -> None:
        if not bars:  # what a stopped run had done is no part of the speed
            most = total if of is None else of
            bars.append(tqdm(total=most, initial=done, unit=f" {unit}", disable=None, leave=False))
        bars[0].update(done - bars[0].n)

    try:
        yield progress, lambda sentence: tqdm.write(f"playground: {sentence}", file=sys.stderr)
    finally:
        for bar in bars:
            bar.close()


def say(sentence: str) -> None:
    """Tell a sentence on standard error."""
    print(f"playground: {sentence}", file=sys.stderr)
