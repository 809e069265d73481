"""Entities: part of ``bench speed``, against the tutorial's way, and of ``bench quality``, against capitals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from playground import resources
from playground.bench.baselines import Baselines
from playground.bench.report import Cell, Table
from playground.bench.sentences import sentences
from playground.bench.timing import Contestant, in_turn
from playground.engine import Prompting
from playground.prompts import Prompt
from playground.tasks.entities import EntityTyper, TypedSpans, all_spans, words
from playground.tasks.entities.evaluation import evaluate_entities
from playground.tasks.entities.labelled import read_labelled_texts
from playground.tasks.entities.typing import is_none
from playground.tasks.reading import Table as Rows
from playground.tasks.reading import read_file
from playground.tasks.text_rows import Record

WORDS, MOST_WORDS, ROUNDS = 25, 4, 5
_WNUT = {"corporation": "organization", "group": "organization"}
_OURS, _ONE = "playground, card entity", "playground, tutorial's prompt"
_TUTORIAL = "tutorial's code and prompt"


def entity_speed(exact: Prompting) -> Table:
    """Return how long all spans of up to four words of a 25-word sentence take, each way.

    Each round takes a fresh sentence. The tutorial's code runs one prompt at a time, ranks the whole
    vocabulary and reads each type's words off it; one template, as it has. Contextual priors are cached, as
    they are while one types.
    """
    card, taught = Prompt.load("entity"), Prompt.load("entity_tutorial")
    scoring = replace(taught.scoring, aggregation="logit_sum")
    single = Prompt(taught.template, taught.verbalizer, scoring)
    averaged = EntityTyper(exact, card)
    # the tutorial adds raw logits up and has no prior
    alone = EntityTyper(exact, single, prior="none")
    plain = Baselines(exact, single)
    source, now = _texts(), {"text": ""}
    found: dict[str, np.ndarray] = {}
    counted: list[TypedSpans] = []

    def ours(typer: EntityTyper, name: str) -> Contestant:
        def run(turn: int) -> None:
            typed = typer.type_text(now["text"], candidates="all", most_words=MOST_WORDS)
            found[name] = typed.log_probs
            if typer is averaged:
                counted.append(typed)

        return Contestant(run)

    def tutorial(turn: int) -> None:
        text = now["text"]
        rows = [
            {"text": text, "span": text[s.start : s.end]}
            for s in all_spans(text, most_words=MOST_WORDS)
        ]
        found[_TUTORIAL] = np.log(np.stack([plain.tutorial(plain.fill(row)) for row in rows]))

    def fresh(turn: int) -> None:
        now["text"] = next(source)

    times = in_turn(
        {_ONE: ours(alone, _ONE), _OURS: ours(averaged, _OURS), _TUTORIAL: Contestant(tutorial)},
        rounds=ROUNDS,
        before=fresh,
    )
    apart = float(np.abs(np.exp(found[_ONE]) - np.exp(found[_TUTORIAL])).max())
    rows = tuple(
        (
            name,
            times.median(name) * 1e3,
            times.ratio(_TUTORIAL, name),
            apart if name == _ONE else None,
        )
        for name in times.seconds
    )
    last = counted[-1]
    return Table(
        f"Entities: all {len(last)} spans of up to {MOST_WORDS} words of a {WORDS}-word sentence",
        {"": "", "ms a sentence": ".0f", "times as fast as tutorial": ".1f", "max |Δp|": ".0e"},
        rows,
        (
            f"The card's {len(averaged.prompt.templates)} templates fill {len(averaged.prompt.templates) * len(last)} prompts, "
            f"of which {last.prompts} differ; they run in {last.batches} batches. max |Δp|: the same "
            "prompt, raw logits added up, against the tutorial's code.",
            f"{torch.get_num_threads()} torch thread.",
        ),
    )


def entity_quality(
    prompting: Prompting, folder: Path | None, rows: int | None, say: Callable[[str], None]
) -> Table:
    """Return typing accuracy and strict F1 on the shipped sentences, and on WNUT17 if it is in ``folder``."""
    prompt = Prompt.load("entity")
    typer = EntityTyper(prompting, prompt)
    types = [name for name in prompt.verbalizer.names if not is_none(name)]
    own = [Record(row) for row in resources.load_examples("names")]
    sets: dict[str, tuple[Rows, dict[str, str]]] = {
        "shipped sentences": (Rows("names", lambda: iter(own)), {})
    }
    for part in ("dev", "train"):
        path = folder / "wnut17" / f"{part}.jsonl.gz" if folder else None
        if path is not None and path.is_file():
            sets[f"WNUT17 {part}"] = (read_file(str(path)), _WNUT)
    lines: list[tuple[Cell, ...]] = []
    for name, (table, names) in sets.items():
        say(f"{name}, card entity")
        labelled = read_labelled_texts(table, types, names=names, limit=rows)
        report = evaluate_entities(typer, labelled.rows)
        typing, found = report.typing, report.found
        lines.append(
            (
                name,
                len(labelled.rows),
                labelled.entities,
                typing.majority,
                typing.accuracy,
                *typing.accuracy_interval,
                found.precision,
                found.recall,
                found.f1,
                *found.interval,
                report.baselines[0].f1,
                report.baselines[1].f1,
            )
        )
    columns = {
        "": "", "texts": ",d", "entities": ",d", "majority": ".1%", "typed": ".1%", "from": ".1%",
        "to": ".1%", "precision": ".1%", "recall": ".1%", "F1": ".1%", "F1 from": ".1%",
        "F1 to": ".1%", "capitals": ".1%", "candidates": ".1%",
    }  # fmt: skip
    notes = (
        "typed: gold spans, none left out; F1: spans found and typed, strict. capitals and candidates: F1 if "
        "every capitalised run, or every candidate, is given the commonest type.",
        "WNUT17: corporation and group are organizations, product and creative work no entities.",
    )
    return Table("Entities, card entity", columns, tuple(lines), notes)


def _texts():
    """Yield texts of exactly 25 words."""
    for text in sentences(seed=3):
        more = islice(sentences(seed=len(text)), 4)
        cut = words(longer := " ".join([text, *more]))
        yield longer[: cut[WORDS - 1].end] + "."
