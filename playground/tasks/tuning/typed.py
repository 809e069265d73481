"""Rows that people type, a line each, to tune on: ``positive: A fine film.``"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from playground.engine.tuning.call import kept_apart
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt
from playground.tasks.evaluation import LabelledRows, place_of
from playground.tasks.held_out import part_of, row_key
from playground.tasks.tuning.shots import Draw

BETWEEN = "|"  # two texts of a row
_COLON = re.compile("[:\uff1a]")  # as one writes it in Latin, or in Chinese


def typed_rows(source: str, prompt: Prompt) -> LabelledRows:
    """Return the rows of lines ``label: text``, the label one of the prompt's.

    Where the template takes several texts, they stand behind each other with a | between. Raises
    PlaygroundError for a line that cannot be read, or a label without a row.
    """
    names, fields = prompt.verbalizer.names, prompt.template.fields
    places = {name: k for k, name in enumerate(names)}
    rows: list[dict[str, str]] = []
    gold: list[int] = []
    for number, line in enumerate(source.splitlines(), start=1):
        if not line.strip():
            continue
        place, text = _split(line, places)
        texts = [text] if len(fields) == 1 else [part.strip() for part in text.split(BETWEEN)]
        if place is None or len(texts) != len(fields) or not all(texts):
            shape = f" {BETWEEN} ".join(
                f"its {name}" if len(fields) > 1 else "its text" for name in fields
            )
            raise PlaygroundError(
                f"Line {number} of the typed rows is {shorten(line.strip())}; write a label "
                f"({', '.join(names)}), a colon, and {shape}."
            )
        rows.append(dict(zip(fields, texts, strict=True)))
        gold.append(place)
    missing = [name for k, name in enumerate(names) if k not in gold]
    if missing:
        raise PlaygroundError(
            f"No row is typed for the label {shorten(missing[0])}; write at least one line for each of "
            f"{', '.join(names)}."
        )
    return LabelledRows("The typed rows", names, rows, np.array(gold))


def typed_draws(typed: LabelledRows, seeds: Sequence[int]) -> tuple[Draw, ...]:
    """Return the same rows for each seed: all are tuned on, but for every fourth of a label.

    Those choose the best step, where each label has four rows or more, as ``fine_tune`` does it. Seeds
    differ in the order of the rows and in dropout.
    """
    train, dev = kept_apart(typed.gold, len(typed.labels))
    return tuple(
        Draw(seed, part_of(typed, train), part_of(typed, dev) if dev else None) for seed in seeds
    )


def unseen(labelled: LabelledRows, typed: LabelledRows) -> LabelledRows:
    """Return the rows whose texts were not typed, which are the ones to measure on.

    Raises PlaygroundError if none is left.
    """
    known = {row_key(row) for row in typed.rows}
    places = [i for i, row in enumerate(labelled.rows) if row_key(row) not in known]
    if not places:
        raise PlaygroundError(
            f"All rows of {labelled.name} are among the typed ones; measure on rows that were not tuned on."
        )
    return part_of(labelled, places)


def _split(line: str, places: Mapping[str, int]) -> tuple[int | None, str]:
    """Return a line's place, None for no label of the prompt, and its text; no label holds a colon."""
    label, *rest = _COLON.split(line, maxsplit=1)
    return place_of(places, label.strip()), "".join(rest).strip()
