"""The numbers of a run: what is refused, and the schedule of the learning rate."""

from __future__ import annotations

import re

import pytest
import torch
from transformers import get_linear_schedule_with_warmup

from playground import PlaygroundError
from playground.engine.tuning.recipe import METHODS, Recipe


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "all"}, 'There is no method "all"; choose one of whole, bias, lora, soft, linear, cls.'),
        ({"steps": 0}, 'steps is "0"; it must be a whole number above 0.'),
        ({"batch_size": 1.5}, 'batch_size is "1.5"; it must be a whole number above 0.'),
        ({"rank": True}, 'rank is "True"; it must be a whole number above 0.'),
        ({"patience": 0}, 'patience is "0"; it must be a whole number above 0.'),
        ({"learning_rate": 0.0}, 'learning_rate is "0.0"; it must be above 0.'),
        ({"alpha": float("nan")}, 'alpha is "nan"; it must be above 0.'),
        ({"warmup": 1.0}, 'warmup is "1.0"; it must be from 0 to below 1.'),
        ({"dropout": -0.1}, 'dropout is "-0.1"; it must be from 0 to below 1.'),
        ({"seed": -1}, 'seed is "-1"; it must be from 0 to 4294967295.'),
        ({"soft_encoder": "gru"}, 'soft_encoder is "gru"; choose one of none, lstm, mlp.'),
        (
            {"method": "soft", "soft_encoder": "mlp", "soft_words": "it was"},
            "soft_words and soft_encoder mlp exclude each other: an encoder makes the vectors itself; leave "
            "one of them out.",
        ),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(PlaygroundError, match=f"^{re.escape(message)}$"):
        Recipe(**options)


@pytest.mark.parametrize(("steps", "warmup"), [(20, 0.2), (7, 0.0), (5, 0.5)])
def test_the_learning_rate_is_transformers_linear_schedule_one_step_on(steps, warmup):
    recipe = Recipe(steps=steps, warmup=warmup, learning_rate=0.5)
    warm = round(warmup * steps)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = get_linear_schedule_with_warmup(optimizer, warm, steps)
    expected = []
    for _ in range(steps + 1):
        expected.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    found = [recipe.rate(step) for step in range(1, steps + 1)]
    # theirs wastes its first step at 0; from the peak on ours is one step behind, so the last is not 0
    assert found[:warm] == pytest.approx(expected[1 : warm + 1])
    assert found[warm:] == pytest.approx(expected[warm:-1])
    assert min(found) > 0


def test_each_method_has_its_own_rate():
    for name, method in METHODS.items():
        assert Recipe(method=name).peak == method.learning_rate
        assert Recipe(method=name, learning_rate=0.1).peak == 0.1
