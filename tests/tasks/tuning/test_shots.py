"""Draws of rows: balanced, apart from each other and from what is measured on, the same for a seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from playground import PlaygroundError
from playground.tasks.held_out import part_of, row_key
from playground.tasks.tuning.shots import as_shots, draw_ladder, draw_shots


def keys(rows):
    return {row_key(row) for row in rows.rows}


def test_each_seed_has_its_own_rows_and_all_are_measured_on_the_same(labelled):
    drawn = draw_shots(labelled, shots=4, seeds=(3, 4, 5))
    assert [draw.seed for draw in drawn.draws] == [3, 4, 5]
    for draw in drawn.draws:
        assert np.bincount(draw.train.gold).tolist() == [4, 4]
        assert np.bincount(draw.dev.gold).tolist() == [4, 4]
        assert not keys(draw.train) & keys(draw.dev)
        assert not (keys(draw.train) | keys(draw.dev)) & keys(drawn.held_out)
    assert len({frozenset(keys(draw.train)) for draw in drawn.draws}) == 3
    assert (
        len(drawn.held_out) == 80 - 2 * 20
    )  # half of a label's rows, where the seeds could use more
    again = draw_shots(labelled, shots=4, seeds=(3, 4, 5))
    assert [draw.train.rows for draw in again.draws] == [d.train.rows for d in drawn.draws]
    assert again.held_out.rows == drawn.held_out.rows


def test_one_seed_takes_no_more_than_it_needs(labelled):
    drawn = draw_shots(labelled, shots=4, dev_shots=0)
    assert drawn.draws[0].dev is None
    assert len(drawn.held_out) == 80 - 8


def test_a_row_that_repeats_is_in_one_part_alone(labelled):
    twice = replace(
        labelled,
        rows=[*labelled.rows, *({"text": f"  {row['text'].upper()}"} for row in labelled.rows)],
        gold=np.concatenate([labelled.gold, labelled.gold]),
    )
    drawn = draw_shots(twice, shots=8, seeds=(0, 1))
    for draw in drawn.draws:
        assert len(keys(draw.train) | keys(draw.dev)) == 32
        assert not (keys(draw.train) | keys(draw.dev)) & keys(drawn.held_out)


def test_the_rows_to_measure_on_have_a_most(labelled):
    drawn = draw_shots(labelled, shots=4, most=30)
    assert len(drawn.held_out) == 30
    assert drawn.held_out.rows == draw_shots(labelled, shots=4, most=30).held_out.rows


def test_too_few_rows_and_too_large_a_dev_set_are_refused(labelled):
    with pytest.raises(PlaygroundError, match=r"^reviews has 40 different rows with the label"):
        draw_shots(labelled, shots=30)
    message = (
        "The dev set has 5 rows of each label and 4 are tuned on; a dev set that is larger would be better "
        "used to tune."
    )
    with pytest.raises(PlaygroundError, match=f"^{message}$"):
        draw_shots(labelled, shots=4, dev_shots=5)


def test_shots_are_one_label_a_row(labelled):
    shots = as_shots(part_of(labelled, [0, 79]))
    assert shots.targets.tolist() == [[1, 0], [0, 1]]


def test_fewer_shots_are_part_of_more_and_all_are_measured_on_the_same(labelled):
    draws, held_out = draw_ladder(labelled, shots=(8, 2), seeds=(0, 1))
    assert list(draws) == [2, 8]
    for few, many in zip(draws[2], draws[8], strict=True):
        assert few.seed == many.seed
        assert keys(few.train) < keys(many.train)
        for draw, count in ((few, 2), (many, 8)):
            assert np.bincount(draw.train.gold).tolist() == [count, count]
            assert np.bincount(draw.dev.gold).tolist() == [count, count]
            assert not keys(draw.train) & keys(draw.dev)
            assert not (keys(draw.train) | keys(draw.dev)) & keys(held_out)
    assert [d.train.rows for d in draws[8]] == [
        d.train.rows for d in draw_shots(labelled, shots=8, seeds=(0, 1)).draws
    ]


def test_rows_to_measure_on_may_be_others_and_none_is_drawn_from(labelled):
    first, second = part_of(labelled, range(0, 80, 2)), part_of(labelled, range(80))
    draws, held_out = draw_ladder(first, shots=(4,), test=second, most=25)
    assert len(held_out) == 25
    assert not (keys(draws[4][0].train) | keys(draws[4][0].dev)) & keys(held_out)
    both = draw_ladder(first, shots=(4,), test=second)[1]
    assert len(both) == 80 - 16
    drawn = draws[4][0].train
    with pytest.raises(PlaygroundError) as caught:
        draw_ladder(first, shots=(4,), test=drawn)
    assert (
        str(caught.value)
        == "All rows of reviews are drawn from too; give other rows to measure on."
    )
