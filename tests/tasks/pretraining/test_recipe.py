"""A recipe is checked when it is made, and says block length, learning rate and tokens of each step."""

from __future__ import annotations

import math

import pytest
from transformers.optimization import get_linear_schedule_with_warmup

from playground.errors import PlaygroundError
from playground.tasks.pretraining.recipe import LENGTHS, Recipe
from tests.tasks.pretraining.toys import recipe

NAN = float("nan")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 0}, "layers is 0; it must be at least 1."),
        ({"tokens": -1}, "tokens is -1; it must be at least 1."),
        ({"mask_rate": 1.0}, "mask_rate is 1.0; it must be from 0 to below 1."),
        ({"mask_rate": NAN}, "mask_rate is nan; it must be from 0 to below 1."),
        ({"mask_rate": 0}, "mask_rate is 0; it must be above 0, or nothing is learned."),
        ({"held_out": 1}, "held_out is 1; it must be from 0 to below 1."),
        ({"decay": 0.0}, "decay is 0.0; it must be above 0 and at most 1."),
        ({"learning_rate": math.inf}, "learning_rate is inf; it must be above 0."),
        ({"vectors": -1}, "vectors is -1; it must be 0 or more."),
        (
            {"masked": 0.9, "randomised": 0.2},
            "masked is 0.9 and randomised 0.2; both are shares of the hidden tokens, so together they "
            "must be from 0 to 1.",
        ),
        ({"seed": -1}, "seed is -1; it must be from 0 to 4294967295."),
        ({"optimizer": "sgd"}, 'optimizer is "sgd"; choose adamw or muon.'),
        ({"precision": "int8"}, 'precision is "int8"; choose auto or float32 or bfloat16.'),
        ({"heads": 3}, "hidden is 16 and heads 3; hidden must be a multiple of heads."),
        ({"lengths": ((16, 0.5), (32, 0.4))}, "The shares of lengths add up to 0.9; they must add up to 1."),
        (
            {"lengths": ((16, -0.5), (32, 1.5))},
            "Blocks of 16 tokens have the share -0.5; it must be above 0 and at most 1.",
        ),
        (
            {"lengths": ((16, NAN),)},
            "Blocks of 16 tokens have the share nan; it must be above 0 and at most 1.",
        ),
        ({"lengths": ((7, 1.0),)}, "A block has 7 tokens; it must have from 8 to positions (32)."),
        ({"lengths": ((33, 1.0),)}, "A block has 33 tokens; it must have from 8 to positions (32)."),
        (
            {"batch_tokens": 20},
            "A block of 32 tokens is longer than a batch (20); raise batch_tokens or shorten the blocks.",
        ),
        ({"checkpoints": 60}, "checkpoints is 60; the most is 59."),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_in_one_sentence(changes, message):
    with pytest.raises(PlaygroundError) as told:
        recipe(**changes)
    assert str(told.value) == message


def test_lengths_are_the_usual_ones_cut_to_what_fits():
    assert Recipe().lengths == LENGTHS
    assert Recipe(positions=200).lengths == ((128, 0.7), (200, 0.2), (200, 0.1))
    assert Recipe(batch_tokens=64).lengths == ((64, 0.7), (64, 0.2), (64, 0.1))


def test_the_usual_learning_rate_rises_stays_and_falls_to_nothing():
    own = recipe(learning_rate=1.0, warmup=0.1, decay=0.5)
    rates = [own.rate_at(step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (k + 1) for k in range(10)])
    assert rates[10:50] == [1.0] * 40
    assert rates[50:] == pytest.approx([(100 - k) / 50 for k in range(50, 100)])


def test_a_decay_of_the_whole_training_is_the_linear_schedule_of_transformers():
    import torch

    own = recipe(learning_rate=1.0, warmup=0.0, decay=1.0)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, 40)
    for step in range(40):
        assert own.rate_at(step, 40) == pytest.approx(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()


def test_a_rate_of_few_steps_is_never_above_the_peak_nor_nothing():
    for steps in range(1, 12):
        own = recipe(learning_rate=2e-3)
        assert all(0 < own.rate_at(step, steps) <= 2e-3 for step in range(steps))


def test_lengths_of_blocks_take_turns_by_their_shares():
    own = recipe(lengths=((8, 0.5), (16, 0.3), (32, 0.2)))
    lengths = [own.length_at(step) for step in range(1000)]
    assert {length: lengths.count(length) for length in (8, 16, 32)} == {
        8: pytest.approx(500, abs=3), 16: pytest.approx(300, abs=3), 32: pytest.approx(200, abs=3)
    }  # fmt: skip
    for start in range(0, 1000, 10):  # none is kept for the end
        assert {8, 16, 32} == set(lengths[start : start + 10])
    assert recipe(lengths=((8, 1.0),)).length_at(7) == 8


def test_steps_and_tokens_are_counted_over_all_processes():
    own = recipe(tokens=10_000, batch_tokens=100, accumulate=2, lengths=((16, 0.5), (32, 0.5)))
    assert own.steps() == 50
    assert own.steps(processes=5) == 10
    assert recipe(tokens=1).steps() == 1
    for done in range(60):  # a batch holds whole blocks: 6 of 16 tokens or 3 of 32, 96 tokens
        by_step = sum(100 // own.length_at(s) * own.length_at(s) for s in range(done))
        assert own.tokens_in(done, 3) == 6 * by_step
    assert own.tokens_in(50) == 50 * 2 * 96
    assert type(own.tokens_in(30)) is int
