"""A rule prompt tuned end to end: its loss is that of inference, it learns, and its delta comes back."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from playground import PlaygroundError, RulePrompt
from playground.engine.tuning.delta import Delta
from playground.engine.tuning.files import load_delta, save_delta
from playground.engine.tuning.loop import Shots, Tuner
from playground.engine.tuning.recipe import Recipe
from playground.tasks.tuning.card import delta_card
from tests.engine.test_rules import rule_prompt

ROWS = [
    {"text": f"The {thing} was {word}.", "head": thing, "tail": word}
    for word in ("great", "awful", "slow")
    for thing in ("film", "book", "food", "music")
]
GOLD = [2] * 4 + [0] * 4 + [1] * 4  # as no tiny model knows


@pytest.fixture(scope="module")
def shots() -> Shots:
    return Shots.of(ROWS, GOLD, 3)


def tuner(model, shots: Shots, method: str, prompt: RulePrompt | None = None, **recipe) -> Tuner:
    options = {"steps": 30, "batch_size": 12, "dropout": 0.0} | recipe
    return Tuner(
        model.backbone, prompt or rule_prompt(), shots, recipe=Recipe(method=method, **options)
    )


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("aggregation", ["mean", "max", "logit_sum"])
def test_the_loss_is_cross_entropy_of_the_joint_scores_of_inference(
    kind, aggregation, open_model, shots
):
    prompt = rule_prompt(
        aggregation=aggregation, calibration="contextual"
    )  # training leaves it out
    one = tuner(open_model(kind), shots, "whole", prompt)
    found = open_model(kind).classify(ROWS, one.network.prompt)
    log_probs = one.network.log_probs(one._train)
    np.testing.assert_allclose(log_probs.detach(), found.label_scores, atol=2e-5)
    np.testing.assert_allclose(np.exp(found.label_scores), found.probabilities, atol=1e-6)
    plain = torch.nn.functional.nll_loss(torch.tensor(found.label_scores), torch.tensor(GOLD))
    assert float(one._loss(range(len(ROWS)), 1).detach()) == pytest.approx(float(plain), abs=2e-5)


@pytest.mark.parametrize("method", ["whole", "bias", "lora", "soft"])
def test_a_tuned_rule_prompt_learns_and_comes_back_from_its_folder(
    method, open_model, shots, tmp_path
):
    prompt = rule_prompt(calibration="contextual")
    if method == "soft":
        prompt = replace(prompt, text="{text} {soft:3}")
    model = open_model("bert")
    one = tuner(model, shots, method, prompt)
    losses = [step.loss for step in one.run() if step.loss is not None]
    assert losses[-1] < losses[0] * 0.9
    delta = one.delta()
    assert delta.prompt == replace(prompt, scoring=replace(prompt.scoring, calibration="none"))
    back = load_delta(save_delta(delta, tmp_path / "delta", card=delta_card(delta)))
    assert back.prompt == delta.prompt
    assert back.digest == delta.digest
    scores = model.tuned(back).classify(ROWS, back.prompt)
    one.network.train(False)
    with torch.no_grad():
        expected = one.network.log_probs(one._train).exp()
    np.testing.assert_allclose(scores.probabilities, expected, atol=1e-3)  # rounded to fp16
    if method != "soft":  # whose template the base cannot read
        before = model.classify(ROWS, back.prompt).probabilities
        gained = (scores.probabilities - before)[np.arange(len(ROWS)), GOLD]
        assert gained.mean() > 0


def test_the_card_of_a_delta_states_the_rules(open_model, shots):
    one = tuner(open_model("bert"), shots, "bias", steps=1)
    list(one.run())
    card = delta_card(one.delta())
    assert "- bored: head: person ∧ verb: bad ∧ tail: more\n" in card
    assert "- verb bad: awful, bad, sad\n" in card


@pytest.mark.parametrize("method", ["linear", "cls"])
def test_a_head_of_its_own_reads_no_rules(method, open_model, shots):
    message = (
        f"The method {method} has a head of its own and reads no rules; choose one of whole, bias, lora, "
        "soft."
    )
    with pytest.raises(PlaygroundError, match=f"^{re.escape(message)}$"):
        tuner(open_model("bert"), shots, method)
    message = f"its prompt has rules, which {method} does not read"
    with pytest.raises(PlaygroundError, match=message):
        Delta(method, "base", "0" * 64, rule_prompt(), {})


def test_rows_of_other_classes_and_split_words_are_refused(open_model):
    two = Shots.of(ROWS[:2], [0, 1], 2)
    with pytest.raises(PlaygroundError, match=r"^The rows have 2 labels and the prompt has 3\.$"):
        tuner(open_model("bert"), two, "bias")
    card = rule_prompt().to_json()
    card["prompts"][1]["words"]["good"] = ["greatness"]
    with pytest.raises(
        PlaygroundError, match=r'"greatness" is \d pieces and tuning takes words of one'
    ):
        tuner(open_model("bert"), Shots.of(ROWS, GOLD, 3), "bias", RulePrompt.from_json(card))


def test_a_delta_with_a_hostile_card_of_rules_is_refused(open_model, shots, tmp_path):
    one = tuner(open_model("bert"), shots, "bias", steps=1)
    list(one.run())
    delta = one.delta()
    card = delta.prompt.to_json() | {"rules": {"a": {}, "b": {}}}

    class Hostile:
        def to_json(self) -> dict:
            return card

    object.__setattr__(delta, "prompt", Hostile())
    save_delta(delta, tmp_path / "delta")
    with pytest.raises(
        PlaygroundError, match=r'^The rule of "a" is "\{\}"; it must give a sub-label'
    ):
        load_delta(tmp_path / "delta")
