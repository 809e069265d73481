"""A few labelled rows to search on, and all others to measure on: never the same row in both."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from playground.engine import Prompting
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt
from playground.settings import settings
from playground.tasks.evaluation import (
    CALIBRATED,
    LabelledRows,
    Progress,
    Result,
    scored_together,
    versus,
)
from playground.tasks.metrics import Comparison, measure

Key = tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """Rows to search on, rows held out, and how many rows were neither since their texts repeat.

    search has ``shots`` rows of each label; the same seed draws the same rows.
    """

    search: LabelledRows
    held_out: LabelledRows
    shots: int
    seed: int
    repeated: int


@dataclass(frozen=True)
class Change:
    """A prompt before and after a search on the same held-out rows, under one calibration.

    comparison: after against before, so that a positive difference is a gain.
    """

    calibration: str
    before: Result
    after: Result
    comparison: Comparison


def row_key(row: Mapping[str, str]) -> Key:
    """Return what makes two rows the same: their texts, without regard to case and white space."""
    return tuple(" ".join(row[name].lower().split()) for name in sorted(row))


def split_rows(labelled: LabelledRows, *, shots: int = 16, seed: int = 0) -> Split:
    """Return ``shots`` rows of each label, drawn with a seed, and the rest with no text of theirs.

    Raises PlaygroundError for a label with too few different rows, or if nothing is left.
    """
    if shots < 1:
        raise PlaygroundError(f"The number of shots is {shots}; draw at least 1 row of each label.")
    present = np.unique(labelled.gold)
    if len(present) < 2:
        only = labelled.labels[int(present[0])] if len(present) else "none"
        raise PlaygroundError(
            f"All rows of {labelled.name} have the label {shorten(only)}; "
            "give rows of at least two labels."
        )
    keys = [row_key(row) for row in labelled.rows]
    drawn: list[int] = []
    taken: set[Key] = set()
    rng = random.Random(seed)
    for place, label in enumerate(labelled.labels):
        own: list[int] = np.flatnonzero(labelled.gold == place).tolist()
        rng.shuffle(own)
        chosen: list[int] = []
        for i in own:
            if len(chosen) < shots and keys[i] not in taken:
                taken.add(keys[i])
                chosen.append(i)
        if len(chosen) < shots:
            raise PlaygroundError(
                f"{labelled.name} has {len(chosen):,} different rows with the label "
                f"{shorten(label)} and {shots:,} are to be drawn; give more rows or draw fewer of a label."
            )
        drawn += chosen
    rest = [i for i in range(len(labelled)) if keys[i] not in taken]
    if not rest:
        raise PlaygroundError(
            f"Nothing of {labelled.name} is left to measure on behind {shots:,} rows of each label; "
            "give more rows or draw fewer of a label."
        )
    return Split(
        part_of(labelled, sorted(drawn)),
        part_of(labelled, rest),
        shots,
        seed,
        len(labelled) - len(drawn) - len(rest),
    )


def check_apart(searched: Iterable[Key], held_out: LabelledRows) -> None:
    """Raise PlaygroundError if a row to measure on was searched on, in whatever case or spacing."""
    known = set(searched)
    shared = [row for row in held_out.rows if row_key(row) in known]
    if shared:
        text = next(iter(shared[0].values()), "")
        raise PlaygroundError(
            f"{len(shared):,} of the rows to measure on were searched on, such as {shorten(text)}; "
            "measure on rows that the search has not seen."
        )


def changes(
    prompting: Prompting,
    before: Prompt,
    after: Prompt,
    held_out: LabelledRows,
    *,
    searched: Iterable[Key],
    calibrations: Sequence[str] = CALIBRATED,
    prior_texts: Sequence[str] = (),
    progress: Progress | None = None,
) -> list[Change]:
    """Return what a search changed, one entry a calibration, measured on rows that it has not seen.

    prior_texts: the texts searched on, without their labels, for one more entry with "corpus"
    calibration: a word that was found for its ratio may be rare or common, which that sets right.
    Raises PlaygroundError if the search has seen a row.
    """
    check_apart(searched, held_out)
    priors = dict.fromkeys(calibrations, ())
    if prior_texts:
        priors["corpus"] = tuple(prior_texts)[: settings().max_prior_texts]
    tried = [
        replace(prompt, scoring=replace(prompt.scoring, calibration=name, prior_texts=texts))
        for prompt in (before, after)
        for name, texts in priors.items()
    ]
    shares = np.empty((len(tried), 0, len(held_out.labels)))
    for shares in scored_together(prompting, tried, held_out.rows):
        if progress is not None:
            progress(shares.shape[1], len(held_out))
    half = len(priors)
    found = []
    for k, name in enumerate(priors):
        one, other = (
            Result(told, share, measure(share, held_out.gold))
            for told, share in (("before", shares[k]), ("after", shares[half + k]))
        )
        found.append(Change(name, one, other, versus(other, one, held_out.gold)))
    return found


def part_of(labelled: LabelledRows, places: Sequence[int]) -> LabelledRows:
    """Return some of the rows, in the order given."""
    rows = [labelled.rows[i] for i in places]
    return replace(labelled, rows=rows, gold=labelled.gold[list(places)], faulty=0, problems=())
