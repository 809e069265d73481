"""``playground ner``: the entities of every text of a table, or how good they are."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from playground.cli.parts import (
    add_command,
    add_table_options,
    assignments,
    check_folders,
    check_input,
    open_model,
    output,
    progress_bar,
    say,
    table,
    tell_summary,
    write_json,
)
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt

if TYPE_CHECKING:
    from playground.tasks.entities import EntityTyper
    from playground.tasks.entities.evaluation import EntityReport
    from playground.tasks.entities.labelled import LabelledTexts

_CANDIDATES = ("names", "names and numbers", "all")
_DECODINGS = ("greedy", "best total")
_PRIORS = ("contextual", "none", "span")
_EXAMPLES = """\
examples:
  playground ner posts.csv -o entities.jsonl
  playground ner posts.jsonl --text-column body --prompt my_types.json --candidates all -o out.csv
  playground ner posts.csv --spacy -o train.jsonl
  playground ner labelled.jsonl --eval
  playground ner wnut17.jsonl --eval --types corporation=organization group=organization

The output has the input's columns, then entities (a list of start, end, label, text, margin over none and
probability) and error. --eval takes rows with text and entities (start, end, label), or tokens and BIO
ner_tags, and prints strict entity-level precision, recall and F1 beside what capitals alone get.
"""


def add(commands: Any) -> None:
    """Add the command."""
    ner = add_command(commands, "ner", _ner, "find the entities of texts, zero-shot", _EXAMPLES)
    add_table_options(ner)
    ner.add_argument("--text-column", metavar="NAME", default="text", help="(text)")
    ner.add_argument("--prompt", metavar="CARD", default="entity", help="types (entity)")
    ner.add_argument("--candidates", choices=_CANDIDATES, default="names", help="spans (names)")
    ner.add_argument("--most-words", type=int, default=4, metavar="N", help="of all spans (4)")
    ner.add_argument("--prior", choices=_PRIORS, default="contextual", help="(contextual)")
    ner.add_argument("--threshold", type=float, metavar="X", help="margin over none, nats (1)")
    ner.add_argument("--decoding", choices=_DECODINGS, default="greedy", help="(greedy)")
    ner.add_argument("--nested", action="store_true", help="spans may lie within spans")
    ner.add_argument("--spacy", action="store_true", help="write spaCy's training data")
    ner.add_argument("--eval", action="store_true", help="measure on labelled rows")
    ner.add_argument(
        "--types", nargs="+", metavar="THEIRS=OURS", default=[], help="what the data calls a type"
    )
    ner.add_argument("--json", metavar="FILE", help="with --eval: write all numbers there too")
    ner.add_argument("--model", help="a shipped name, a hub id or a folder")
    ner.add_argument("--device", help="cpu, cuda, mps or auto")
    ner.add_argument("--dtype", choices=("float32", "bfloat16", "auto"), help="precision")


def _ner(options: argparse.Namespace) -> None:
    check_input(options)
    _check(options)
    prompt = Prompt.load(options.prompt)
    if options.eval:
        _evaluate(options, prompt)
    elif options.types or options.json:
        raise PlaygroundError("--types and --json belong to --eval; add it, or leave them out.")
    else:
        _tag(options, prompt)


def _check(options: argparse.Namespace) -> None:
    """Raise PlaygroundError for what every row would be refused for, or what would do nothing."""
    if options.most_words < 1:
        raise PlaygroundError(f"--most-words is {options.most_words}; a span has at least 1 word.")
    if options.threshold is not None and not math.isfinite(options.threshold):
        raise PlaygroundError(f"--threshold is {options.threshold}; it must be a finite number.")
    if options.columns:
        raise PlaygroundError("A row has one text; name its column with --text-column.")
    if options.eval and (options.out or options.fresh or options.spacy):
        raise PlaygroundError(
            "-o, --fresh and --spacy do not belong to --eval; --json writes its numbers to a file."
        )


def _tag(options: argparse.Namespace, prompt: Prompt) -> None:
    with output(options) as (out, format):
        rows = table(options)
        from playground.tasks.entities.tagging import Tagger
        from playground.tasks.score import run_windows
        from playground.tasks.writing import output_format

        with progress_bar(options.limit or rows.total) as (progress, tell):
            tagger = Tagger(_typer(options, prompt), spacy=options.spacy, **_choices(options))
            kind = format or output_format(str(out))
            if options.spacy and format is None and kind != "jsonl":
                raise PlaygroundError(
                    f"--spacy writes JSON lines and {shorten(options.out, 120)} is {kind}; "
                    "end its name in .jsonl."
                )
            summary = run_windows(
                tagger,
                tagger,
                tagger.layout(rows, options.text_column, kind, tell),
                rows,
                out,
                limit=options.limit,
                fresh=options.fresh,
                notify=tell,
                progress=progress,
            )
    tell_summary(summary, options.out)


def _evaluate(options: argparse.Namespace, prompt: Prompt) -> None:
    check_folders(options.json)
    rows = table(options)
    from playground.tasks.entities.evaluation import evaluate_entities
    from playground.tasks.entities.labelled import read_labelled_texts
    from playground.tasks.entities.typing import is_none

    labelled = read_labelled_texts(
        rows,
        [name for name in prompt.verbalizer.names if not is_none(name)],
        names=assignments(options.types, "--types", "THEIRS=OURS"),
        limit=options.limit,
    )
    if labelled.faulty:
        many = "1 row is" if labelled.faulty == 1 else f"{labelled.faulty:,} rows are"
        say(f"{many} left out: {'; '.join(labelled.problems)}")
    if labelled.left_out:
        kinds = ", ".join(f"{shorten(k)} {n:,}" for k, n in labelled.left_out.items())
        say(f"Entities of other types are no gold here: {kinds}.")
    with progress_bar(unit="texts") as (progress, _):
        report = evaluate_entities(
            _typer(options, prompt), labelled.rows, progress=progress, **_choices(options)
        )
    print(_to_text(report, labelled))
    if options.json:
        _save(options.json, report, labelled)


def _choices(options: argparse.Namespace) -> dict[str, Any]:
    from playground.tasks.entities import THRESHOLD

    return {
        "candidates": options.candidates,
        "most_words": options.most_words,
        "threshold": THRESHOLD if options.threshold is None else options.threshold,
        "decoding": options.decoding,
        "nested": options.nested,
    }


def _typer(options: argparse.Namespace, prompt: Prompt) -> EntityTyper:
    from playground.tasks.entities import EntityTyper

    return EntityTyper(open_model(options), prompt, prior=options.prior)


def _to_text(report: EntityReport, labelled: LabelledTexts) -> str:
    typing = report.typing
    low, high = typing.accuracy_interval
    scores = [report.found, *report.by_type, *report.baselines]
    width = max(len(score.name) for score in scores) + 2
    lines = [
        f"{len(labelled.rows):,} texts, {labelled.entities:,} entities; "
        f"{report.prompts:,} prompts in {report.seconds:.1f} s",
        "",
        f"gold spans typed: {typing.accuracy:.1%} right (95 %: {low:.1%} to {high:.1%}), "
        f"macro-F1 {typing.macro_f1:.1%}; the commonest type gets {typing.majority:.1%}",
        f"gold spans among the candidates: {report.candidate_recall:.1%}",
        "",
        f"{'found and typed':{width}}  precision   recall       F1          95 %",
    ]
    for k, score in enumerate(scores):
        gap = "  " if 0 < k <= len(report.by_type) else ""
        low, high = score.interval
        lines.append(
            f"{gap + score.name:{width}}  {score.precision:9.1%}  {score.recall:7.1%}  {score.f1:7.1%}  "
            f"{low:6.1%} to {high:6.1%}"
        )
    lines += ["", f"{'threshold':{width}}  precision   recall       F1"]
    for limit, score in report.ladder:
        lines.append(
            f"{limit:<{width}g}  {score.precision:9.1%}  {score.recall:7.1%}  {score.f1:7.1%}"
        )
    names = report.types
    cell = max(9, *(len(name) + 2 for name in names))
    lines += ["", f"{'gold / typed':{cell + 4}}" + "".join(f"{name:>{cell}}" for name in names)]
    for name, row in zip(names, typing.confusion, strict=True):
        lines.append(
            f"{name:{cell + 4}}" + "".join(f"{count:{cell},}" for count in row[: len(names)])
        )
    return "\n".join(lines)


def _save(path: str, report: EntityReport, labelled: LabelledTexts) -> None:
    def numbers(score) -> dict[str, Any]:
        return {
            "name": score.name,
            "precision": score.precision,
            "recall": score.recall,
            "f1": score.f1,
            "interval": list(score.interval),
            "true": score.true,
            "predicted": score.predicted,
            "gold": score.gold,
        }

    data = {
        "texts": len(labelled.rows),
        "entities": labelled.entities,
        "left_out": dict(labelled.left_out),
        "types": list(report.types),
        "typing": report.typing.to_json(),
        "candidate_recall": report.candidate_recall,
        "found": numbers(report.found),
        "by_type": [numbers(score) for score in report.by_type],
        "baselines": [numbers(score) for score in report.baselines],
        "ladder": [{"threshold": limit, **numbers(score)} for limit, score in report.ladder],
    }
    write_json(path, data)
