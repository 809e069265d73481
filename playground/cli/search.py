"""``playground search``: label words or a template found on a few labelled rows, measured on the rest."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playground.cli.parts import (
    add_command,
    add_labelled_input,
    amount,
    check_folders,
    labelled_rows,
    open_model,
    progress_bar,
    say,
    write_json,
)
from playground.prompts import Prompt

if TYPE_CHECKING:
    from playground.engine import Prompting
    from playground.tasks.held_out import Change, Key, Split

_ALL = """\
examples:
  playground search words reviews.csv --prompt sentiment --save learned.json
  playground search template reviews.csv --prompt sentiment --steps 30
"""
_WORDS = """\
examples:
  playground search words reviews.csv --prompt sentiment
  playground search words reviews.csv --prompt sentiment --method dev-accuracy --words 3
  playground search words news.csv --prompt topic --shots 32 --seed 1 --save learned.json

--shots rows of each label are drawn with --seed, and words of one piece are looked for that tell them
apart. What was found is then measured against the card's own words on all other rows: raw, with
contextual calibration, and with each word divided by its mean over the texts searched on (corpus), which
learned words need most. "p" is McNemar's test.
"""
_TEMPLATE = """\
examples:
  playground search template reviews.csv --prompt sentiment
  playground search template reviews.csv --prompt sentiment --triggers 4 --steps 100 --save found.json

AutoPrompt: words before the mask are changed one at a time, where the gradient points and the loss on
--shots rows of each label falls. What was found is then measured against the card's first template on
all other rows. With few rows it learns those rows: look at the held-out lines. Ctrl-C ends the search
early and measures what it has.
"""


def add(commands: Any) -> None:
    """Add the commands."""
    summary = "look for label words or a template on a few labelled rows"
    parser = add_command(commands, "search", _nothing, summary, _ALL)
    kinds = parser.add_subparsers(title="what to look for", metavar="WHAT", required=True)
    words = add_command(
        kinds, "words", _words, "learn label words from a few labelled rows", _WORDS
    )
    _add_common(words)
    words.set_defaults(found="label words")
    words.add_argument(
        "--method",
        choices=("likelihood-ratio", "dev-accuracy"),
        default="likelihood-ratio",
        help="PETAL or LM-BFF (likelihood-ratio)",
    )
    words.add_argument("--words", type=amount, default=1, metavar="N", help="for each label (1)")
    template = add_command(
        kinds, "template", _template, "look for a template by gradients (AutoPrompt)", _TEMPLATE
    )
    _add_common(template)
    template.set_defaults(found="the first template")
    template.add_argument(
        "--triggers", type=amount, default=3, metavar="N", help="words before the mask (3)"
    )
    template.add_argument(
        "--steps", type=amount, default=50, metavar="N", help="changes tried (50)"
    )
    template.add_argument(
        "--candidates", type=amount, default=20, metavar="N", help="words measured in a step (20)"
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    add_labelled_input(parser)
    parser.add_argument("--prompt", required=True, metavar="CARD", help="a shipped card or a file")
    parser.add_argument(
        "--shots", type=amount, default=16, metavar="N", help="rows of each label to search on (16)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which rows those are (0)")
    parser.add_argument("--save", metavar="CARD.json", help="write the card with what was found")
    parser.add_argument("--json", metavar="FILE", help="write all numbers there too")
    parser.add_argument("--model", help="a shipped name, a hub id or a folder")
    parser.add_argument("--device", help="cpu, cuda, mps or auto")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "auto"), help="precision")


def _nothing(options: argparse.Namespace) -> None:
    """Stand for ``search`` itself, which always has something to look for."""


def _words(options: argparse.Namespace) -> None:
    prompt, split = _rows(options)
    from playground.tasks.word_search import search_label_words

    prompting = open_model(options)
    with progress_bar() as (progress, _):
        learned = search_label_words(
            prompting,
            prompt,
            split.search.rows,
            split.search.gold,
            method=options.method,
            count=options.words,
            progress=progress,
        )
    after = replace(prompt, verbalizer=learned.verbalizer)
    found = _measured(prompting, prompt, after, split, learned.searched)
    wide = max(map(len, learned.words))
    print(f"{learned.considered:,} words looked at, {options.method}")
    for label, words in learned.words.items():
        told = ", ".join(f"{word.text} ({word.score:.2f})" for word in words)
        print(f"  {label:{wide}}  {told}")
    print(_text(found, split, "learned words"))
    data = {
        "method": options.method,
        "words": {
            label: [{"word": word.text, "score": word.score} for word in words]
            for label, words in learned.words.items()
        },
    }
    _finish(options, after, found, split, data)


def _template(options: argparse.Namespace) -> None:
    prompt, split = _rows(options)
    from playground.tasks.template_search import search_template

    prompting = open_model(options)
    steps = search_template(
        prompting,
        prompt,
        split.search.rows,
        split.search.gold,
        triggers=options.triggers,
        steps=options.steps,
        candidates=options.candidates,
        seed=options.seed,
    )
    first = last = next(steps)
    with progress_bar(options.steps, unit="steps") as (progress, tell):
        try:
            for last in steps:
                progress(last.step)
                if last.kept:
                    tell(f"step {last.step}: loss {last.loss:.3f}, {last.template.source}")
        except KeyboardInterrupt:  # a search has no end of its own; what it has counts
            tell(f"stopped after step {last.step}; what was found is measured")
    after = prompt.with_template(last.template)
    found = _measured(prompting, prompt, after, split, last.searched)
    print(f"before  {prompt.template.source}")
    print(f"after   {last.template.source}")
    print(
        f"on the {len(split.search):,} rows searched on: loss {first.loss:.3f} at the start, "
        f"{last.loss:.3f} after {last.step} steps; accuracy {first.accuracy:.1%}, {last.accuracy:.1%}"
    )
    print(_text(found, split, "found template"))
    data = {
        "template": last.template.source,
        "steps": last.step,
        "start_loss": first.loss,
        "loss": last.loss,
        "start_accuracy": first.accuracy,
        "accuracy": last.accuracy,
    }
    _finish(options, after, found, split, data)


def _rows(options: argparse.Namespace) -> tuple[Prompt, Split]:
    prompt = Prompt.load(options.prompt)
    check_folders(options.save, options.json)
    labelled = labelled_rows(options, prompt)
    from playground.tasks.held_out import split_rows

    split = split_rows(labelled, shots=options.shots, seed=options.seed)
    repeated = f", {split.repeated:,} left out since they repeat" if split.repeated else ""
    say(
        f"Searching on {len(split.search):,} rows (seed {split.seed}), measuring on the other "
        f"{len(split.held_out):,}{repeated}."
    )
    return prompt, split


def _texts(prompt: Prompt, split: Split) -> list[str]:
    """Return the texts searched on, for corpus calibration, which takes templates of one text."""
    fields = prompt.template.fields
    return [row[fields[0]] for row in split.search.rows] if len(fields) == 1 else []


def _measured(
    prompting: Prompting, before: Prompt, after: Prompt, split: Split, searched: Iterable[Key]
) -> list[Change]:
    """Return both prompts on the held-out rows, under each calibration."""
    from playground.tasks.held_out import changes

    with progress_bar() as (progress, _):
        return changes(
            prompting,
            before,
            after,
            split.held_out,
            searched=searched,
            prior_texts=_texts(before, split),
            progress=progress,
        )


def _text(found: Sequence[Change], split: Split, name: str) -> str:
    """Return the card and what was found, a line each and calibration, on the held-out rows."""
    width = max(len("own card"), len(name))
    lines = [
        "",
        f"{len(split.held_out):,} rows held out",
        f"{'':{width}}  {'calibration':11}  accuracy          95 %          macro-F1       p",
    ]
    for change in found:
        for label, result, test in (
            ("own card", change.before, ""),
            (name, change.after, f"{change.comparison.p_value:.3f}"),
        ):
            low, high = result.metrics.accuracy_interval
            lines.append(
                f"{label:{width}}  {change.calibration:11}  {result.metrics.accuracy:8.1%}  "
                f"{low:7.1%} to {high:6.1%}  {result.metrics.macro_f1:8.1%}  {test:>6}".rstrip()
            )
    return "\n".join(lines)


def _finish(
    options: argparse.Namespace,
    card: Prompt,
    found: Sequence[Change],
    split: Split,
    data: dict[str, Any],
) -> None:
    """Save the card and the numbers where that was asked for."""
    if options.save:
        how = f"{options.found} found on {len(split.search)} labelled rows, seed {split.seed}"
        source = "; ".join(filter(None, [card.source, how]))
        replace(card, source=source).save(Path(options.save).expanduser())
        say(f"The card is in {options.save}.")
    if options.json:
        write_json(
            options.json,
            data
            | {
                "shots": split.shots,
                "seed": split.seed,
                "searched_on": len(split.search),
                "held_out": len(split.held_out),
                "changes": [
                    {
                        "calibration": change.calibration,
                        "before": change.before.metrics.to_json(),
                        "after": change.after.metrics.to_json(),
                        "difference": change.comparison.difference,
                        "interval": change.comparison.interval,
                        "p_value": change.comparison.p_value,
                    }
                    for change in found
                ],
            },
        )
