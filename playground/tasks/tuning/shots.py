"""A few rows a label to tune on and as many to choose by, drawn anew for each seed; the rest to measure on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from playground.engine.tuning.loop import Shots
from playground.errors import PlaygroundError
from playground.tasks.evaluation import LabelledRows
from playground.tasks.held_out import part_of, row_key, split_rows


@dataclass(frozen=True)
class Draw:
    """What one seed tunes on, ``train``, and chooses its best step by, ``dev`` (None: without)."""

    seed: int
    train: LabelledRows
    dev: LabelledRows | None


@dataclass(frozen=True)
class Draws:
    """The draws of all seeds, and the rows that none of them has seen: every seed is measured on these.

    pool: what the seeds draw from.
    """

    draws: tuple[Draw, ...]
    held_out: LabelledRows
    pool: LabelledRows


def draw_shots(
    labelled: LabelledRows,
    *,
    shots: int = 16,
    dev_shots: int | None = None,
    seeds: Sequence[int] = (0,),
    most: int | None = None,
) -> Draws:
    """Return ``shots`` rows of each label to tune on and ``dev_shots`` to choose by, for each seed.

    dev_shots: as many as shots if None (Gao, Fisch and Chen 2021, section 3), 0 for no dev set. A pool is
    set apart first, with room for all seeds but at most half of the rarest label's rows; seeds draw from
    it, and what is held out is the same for all, at most ``most`` of it. Raises PlaygroundError for too
    few rows, or a dev set that is larger than what is tuned on.
    """
    wanted = shots if dev_shots is None else dev_shots
    if wanted > shots:
        raise PlaygroundError(
            f"The dev set has {wanted} rows of each label and {shots} are tuned on; a dev set that is "
            "larger would be better used to tune."
        )
    keys = [row_key(row) for row in labelled.rows]
    kinds = [
        len({keys[i] for i in np.flatnonzero(labelled.gold == k)})
        for k in range(len(labelled.labels))
    ]
    need = shots + wanted
    pool = split_rows(
        labelled, shots=max(need, min(need * len(seeds), min(kinds) // 2)), seed=min(seeds)
    )
    held_out = pool.held_out if most is None else at_most(pool.held_out, most)
    drawn = tuple(_draw(pool.search, shots, wanted, seed) for seed in seeds)
    return Draws(drawn, held_out, pool.search)


def at_most(labelled: LabelledRows, most: int) -> LabelledRows:
    """Return ``most`` of the rows, always the same, or all where there are fewer."""
    if len(labelled) <= most:
        return labelled
    return part_of(labelled, sorted(random.Random(0).sample(range(len(labelled)), most)))


def draw_ladder(
    labelled: LabelledRows,
    *,
    shots: Sequence[int],
    seeds: Sequence[int] = (0,),
    most: int | None = None,
    test: LabelledRows | None = None,
) -> tuple[dict[int, tuple[Draw, ...]], LabelledRows]:
    """Return draws at several numbers of shots, and the rows that none of them has seen.

    What a seed tunes on at few shots is part of what it tunes on at more, and each has as many dev rows;
    all are measured on the same rows, so that a curve over shots is one of shots alone. test: rows to
    measure on instead of the rest; those whose text stands in the pool are left out. Raises
    PlaygroundError as :func:`draw_shots` does.
    """
    largest = draw_shots(labelled, shots=max(shots), seeds=seeds, most=None if test else most)
    held_out = largest.held_out
    if test is not None:
        known = {row_key(row) for row in largest.pool.rows}
        kept = [i for i, row in enumerate(test.rows) if row_key(row) not in known]
        if not kept:
            raise PlaygroundError(
                f"All rows of {test.name} are drawn from too; give other rows to measure on."
            )
        held_out = part_of(test, kept)
        held_out = held_out if most is None else at_most(held_out, most)
    draws = {n: tuple(_draw(largest.pool, n, n, seed) for seed in seeds) for n in sorted(shots)}
    return draws, held_out


def set_apart(labelled: LabelledRows, count: int) -> tuple[list[dict[str, str]], LabelledRows]:
    """Return ``count`` texts without their labels, and the other rows with theirs.

    Raises PlaygroundError if nothing would be left.
    """
    if count >= len(labelled):
        raise PlaygroundError(
            f"{count:,} rows are to be used without labels and {len(labelled):,} are left to be measured "
            "on; give more rows, or set fewer apart."
        )
    drawn = set(random.Random(0).sample(range(len(labelled)), count))
    rest = [i for i in range(len(labelled)) if i not in drawn]
    return [labelled.rows[i] for i in sorted(drawn)], part_of(labelled, rest)


def as_shots(labelled: LabelledRows) -> Shots:
    """Return labelled rows as the tuner takes them."""
    return Shots.of(labelled.rows, labelled.gold, len(labelled.labels))


def _draw(pool: LabelledRows, shots: int, dev_shots: int, seed: int) -> Draw:
    rng = random.Random(seed)
    train: list[int] = []
    dev: list[int] = []
    for place in range(len(pool.labels)):
        own: list[int] = np.flatnonzero(pool.gold == place).tolist()
        rng.shuffle(own)
        train += own[:shots]
        dev += own[shots : shots + dev_shots]
    return Draw(
        seed, part_of(pool, sorted(train)), part_of(pool, sorted(dev)) if dev_shots else None
    )
