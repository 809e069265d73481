"""``bench quality``: what a model and the shipped cards get right on labelled data and plain texts.

The prompt is each card's first template with its own words, fixed beforehand. The shipped cards' words were
chosen on labelled rows, some of which are measured too: the card of playground-mini says which.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from playground import resources
from playground.bench.entities import entity_quality
from playground.bench.hidden_words import hidden_words
from playground.bench.report import Cell, Report, Table, circumstances
from playground.engine import Prompting
from playground.engine.device import choose_threads
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt
from playground.settings import Settings
from playground.tasks.evaluation import LabelledRows, candidates, evaluate
from playground.tasks.metrics import RESAMPLES, SEED
from playground.tasks.nli import NliClassifier
from playground.tasks.nli.evaluation import evaluate as evaluate_pairs
from playground.tasks.nli.pairs import read_pairs


@dataclass(frozen=True)
class LabelledSet:
    """A labelled file, the card it is measured with, and the card's label for each of its labels."""

    name: str
    file: str
    card: str
    labels: Mapping[Any, str]


SETS = (
    LabelledSet("SST-2 dev", "sst2/dev.jsonl.gz", "sentiment", {0: "negative", 1: "positive"}),
    LabelledSet(
        "IMDB train", "imdb/train.jsonl.gz", "sentiment",
        {"negative": "negative", "positive": "positive"},
    ),
    LabelledSet(
        "AG News train, part", "agnews/train_partial.jsonl.gz", "topic",
        {"World": "world", "Sports": "sports", "Business": "business", "Sci/Tech": "technology"},
    ),
    LabelledSet(
        "TREC train", "trec/train.jsonl.gz", "question",
        {"ABBR": "abbreviation", "ENTY": "entity", "DESC": "description", "HUM": "human",
         "LOC": "location", "NUM": "number"},
    ),
)  # fmt: skip

_COLUMNS = {
    "": "", "rows": ",d", "majority": ".1%",
    "accuracy": ".1%", "from": ".1%", "to": ".1%", "macro-F1": ".1%",
    "calibrated": ".1%", "c. from": ".1%", "c. to": ".1%", "c. macro-F1": ".1%",
}  # fmt: skip


def measure_quality(
    *,
    model: str | None,
    data: str | None,
    rows: int | None,
    texts: Sequence[str] = (),
    say: Callable[[str], None],
) -> Report:
    """Measure the labelled sets under ``data`` (those that are there) and the shipped sample sets.

    rows: at most that many of each set, drawn with a fixed seed. texts: files of plain texts in which
    hidden words are predicted.
    """
    if data is not None and not Path(data).is_dir():
        raise PlaygroundError(f"The folder {shorten(data, 120)} is not there; check --data.")
    # a review may be longer than the app accepts; the model reads its first tokens
    settings = replace(Settings.from_environment(), max_text_chars=1_000_000)
    choose_threads(settings)
    prompting = Prompting(model, settings=settings)
    tables = []
    if data is not None:
        tables.append(_public_sets(prompting, Path(data), rows, say))
        tables += _pairs(Path(data), rows, settings, say)
    else:
        say("no labelled sets without --data DIR; the shipped sample sets only")
    tables += [_by_kind(prompting), _headlines(prompting)]
    tables.append(entity_quality(prompting, Path(data) if data is not None else None, rows, say))
    if texts:
        tables.append(hidden_words(model, texts, settings, say))
    facts = circumstances() | {"interval": f"95%, {RESAMPLES:,} resamples, seed {SEED}"}
    return Report("quality", prompting.backbone.describe(), tuple(tables), facts)


def read_labelled(
    path: Path, labels: Mapping[Any, str], rows: int | None
) -> tuple[list[str], list[str]]:
    """Return texts and card labels of a JSON Lines file, at most ``rows`` drawn with a fixed seed."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        found = [json.loads(line) for line in file]
    if rows is not None and rows < len(found):
        found = random.Random(SEED).sample(found, rows)
    unknown = {row["label"] for row in found} - set(labels)
    if unknown:
        raise PlaygroundError(
            f"{shorten(path.name)} has the unknown label {shorten(unknown.pop())}; "
            f"its labels should be {', '.join(map(str, labels))}."
        )
    return [row["text"] for row in found], [labels[row["label"]] for row in found]


def _public_sets(
    prompting: Prompting, folder: Path, rows: int | None, say: Callable[[str], None]
) -> Table:
    lines: list[tuple[Cell, ...]] = []
    for entry in SETS:
        path = folder / entry.file
        if not path.is_file():
            say(f"{entry.name} is skipped: there is no {entry.file} in the folder")
            continue
        say(f"{entry.name}, card {entry.card}")
        prompt = Prompt.load(entry.card)
        texts, gold = read_labelled(path, entry.labels, rows)
        lines.append((f"{entry.name} ({entry.card})", *_scored(prompting, prompt, texts, gold)))
    return Table("Zero-shot on public labelled sets", _COLUMNS, tuple(lines), _notes())


def _pairs(
    folder: Path, rows: int | None, settings: Settings, say: Callable[[str], None]
) -> list[Table]:
    """Return what the shipped classifier gets right on SNLI dev, if that is in ``folder``."""
    path = folder / "snli" / "dev.jsonl.gz"
    if not path.is_file():
        return []
    classifier = NliClassifier(settings=settings)
    say(f"SNLI dev, {classifier.describe()}")
    found = evaluate_pairs(classifier, read_pairs([str(path)], drop_repeated=False, limit=rows))
    line = (
        "SNLI dev", found.pairs, found.majority, found.accuracy, *found.interval, found.nll,
        found.calibration_error,
    )  # fmt: skip
    columns = {
        "": "", "pairs": ",d", "majority": ".1%", "accuracy": ".1%", "from": ".1%", "to": ".1%",
        "nll": ".3f", "calibration error": ".1%",
    }  # fmt: skip
    return [Table("Inference, fine-tuned", columns, (line,), (classifier.describe(),))]


def _by_kind(prompting: Prompting) -> Table:
    prompt, examples = Prompt.load("sentiment"), resources.load_examples("reviews")
    kinds = list(dict.fromkeys(row["kind"] for row in examples))
    lines: list[tuple[Cell, ...]] = []
    for kind in ("all", *kinds):
        chosen = [row for row in examples if kind in ("all", row["kind"])]
        texts, gold = [row["text"] for row in chosen], [row["label"] for row in chosen]
        lines.append((kind, *_scored(prompting, prompt, texts, gold)))
    return Table(
        "Shipped sample set: reviews (sentiment), by kind", _COLUMNS, tuple(lines), _notes()
    )


def _headlines(prompting: Prompting) -> Table:
    prompt, examples = Prompt.load("topic"), resources.load_examples("headlines")
    texts, gold = [row["text"] for row in examples], [row["label"] for row in examples]
    line = ("all", *_scored(prompting, prompt, texts, gold))
    return Table("Shipped sample set: headlines (topic)", _COLUMNS, (line,), _notes())


def _scored(
    prompting: Prompting, prompt: Prompt, texts: Sequence[str], gold: Sequence[str]
) -> tuple[Cell, ...]:
    """Return the numbers of one line: rows, majority, then accuracy, interval and F1, twice."""
    names = prompt.verbalizer.names
    (slot,) = prompt.template.fields
    rows = LabelledRows(
        "", names, [{slot: text} for text in texts], np.array([names.index(g) for g in gold])
    )
    cells: list[Cell] = []
    for result in evaluate(prompting, candidates([("", prompt)]), rows):
        found = result.metrics
        cells = cells or [found.rows, found.majority]
        cells += [found.accuracy, *found.accuracy_interval, found.macro_f1]
    return tuple(cells)


def _notes() -> tuple[str, ...]:
    return (
        "Raw, then with contextual calibration (c.); the card's first template and words, as shipped.",
    )
