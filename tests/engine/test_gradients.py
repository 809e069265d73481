"""Gradients at single tokens against plain transformers and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from playground import PlaygroundError
from playground.engine.gradients import TokenGradients
from playground.engine.tuning.loop import Shots, Tuner
from playground.engine.tuning.recipe import Recipe
from tests.engine import tiny

ROWS = ["The film was great.", "No.", "The food was bad and the service was slow!"]
GOLD = [0, 1, 1]


def encoded(model, prompt):
    return [model.backbone.encoder.encode_one(prompt.template.render(row)) for row in ROWS]


def plain_loss(plain, prompts, words, gold, shift=None):
    """The mean loss from input embeddings, one prompt at a time; ``shift``: what is added where."""
    total = torch.tensor(0.0)
    leaves = []
    for n, (prompt, right) in enumerate(zip(prompts, gold, strict=True)):
        inputs = plain.get_input_embeddings()(torch.tensor([prompt.ids])).detach()
        if shift is not None and shift[0] == n:
            inputs[0, shift[1]] += shift[2]
        inputs.requires_grad_(True)
        leaves.append(inputs)
        logits = plain(inputs_embeds=inputs).logits[0, prompt.mask_positions[0]]
        p = logits.softmax(-1)[[word.ids[0] for word in words]]
        labels = torch.stack([p[:2].mean(), p[2:].mean()])
        total = total - (labels[right] / labels.sum()).log() / len(prompts)
    return total, leaves


@pytest.mark.parametrize(
    "kind", ["shipped", "bert", "roberta", "distilbert", "electra", "modernbert"]
)
def test_loss_and_gradient_are_plain_autograds(kind, open_model, folder_of, make_prompt):
    model, prompt = open_model(kind), make_prompt("{text} It was {mask}.")
    prompts, words = encoded(model, prompt), model.vocabulary.encode_prompt(prompt)
    positions = [[p.mask_positions[0] - 2, p.mask_positions[0] - 1] for p in prompts]
    loss, gradient = TokenGradients(model.backbone).loss(prompts, positions, prompt, words, GOLD)
    plain = AutoModelForMaskedLM.from_pretrained(folder_of(kind), dtype=torch.float32).eval()
    expected, leaves = plain_loss(plain, prompts, words, GOLD)
    assert loss == pytest.approx(expected.item(), abs=1e-5)
    slopes = torch.autograd.grad(expected, leaves)
    by_hand = sum(s[0, own] for s, own in zip(slopes, positions, strict=True))
    assert gradient.shape == by_hand.shape
    torch.testing.assert_close(gradient, by_hand, atol=2e-5, rtol=1e-3)


def test_the_gradient_foretells_a_small_change(open_model, folder_of, make_prompt):
    model, prompt = open_model("bert"), make_prompt("{text} It was {mask}.")
    prompts, words = encoded(model, prompt), model.vocabulary.encode_prompt(prompt)
    place = prompts[1].mask_positions[0] - 1
    _, gradient = TokenGradients(model.backbone).loss(
        prompts[1:2], [[place]], prompt, words, GOLD[1:2]
    )
    plain = AutoModelForMaskedLM.from_pretrained(folder_of("bert")).eval().double()
    step = 1e-4 * torch.nn.functional.normalize(
        torch.randn(32, generator=torch.Generator().manual_seed(1)), dim=0
    )
    ahead, _ = plain_loss(plain, prompts[1:2], words, GOLD[1:2], (0, place, step))
    behind, _ = plain_loss(plain, prompts[1:2], words, GOLD[1:2], (0, place, -step))
    assert (gradient[0] @ step).item() == pytest.approx((ahead - behind).item() / 2, rel=0.01)


@pytest.mark.parametrize("kind", tiny.ARCHITECTURES)
def test_every_architecture_gives_the_loss_of_its_own_scores(kind, open_model, make_prompt):
    model, prompt = open_model(kind), make_prompt()
    prompts, words = encoded(model, prompt), model.vocabulary.encode_prompt(prompt)
    positions = [[p.mask_positions[0] - 1] for p in prompts]
    loss, gradient = TokenGradients(model.backbone).loss(prompts, positions, prompt, words, GOLD)
    shares = model.classify(ROWS, prompt).probabilities
    expected = -sum(float(torch.tensor(shares[n, k]).log()) for n, k in enumerate(GOLD)) / 3
    assert loss == pytest.approx(expected, abs=1e-4)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


def test_the_shared_model_stays_as_it_was(open_model, make_prompt):
    model, prompt = open_model("bert"), make_prompt()
    before = model.classify(ROWS, prompt).probabilities
    prompts, words = encoded(model, prompt), model.vocabulary.encode_prompt(prompt)
    TokenGradients(model.backbone).loss(prompts, [[1], [1], [1]], prompt, words, GOLD)
    assert (model.classify(ROWS, prompt).probabilities == before).all()
    assert not any(p.requires_grad or p.grad is not None for p in model.backbone.model.parameters())


@pytest.fixture(scope="module")
def tuned_by(open_model, make_prompt):
    """Return the tiny model tuned by a method, with a few steps that change its scores."""

    def tuned(method: str):
        source = f"{'{soft:3} ' if method == 'soft' else ''}{{text}} It was {{mask}}."
        shots, recipe = Shots.of(ROWS, [1, 0, 0], 2), Recipe(method, steps=8, learning_rate=0.05)
        tuner = Tuner(open_model("bert").backbone, make_prompt(source), shots, recipe=recipe)
        list(tuner.run())
        return open_model("bert").tuned(tuner.delta()), tuner.prompt

    return tuned


@pytest.mark.parametrize("method", ["whole", "bias", "lora", "soft"])
def test_the_gradient_of_a_tuned_model_is_its_own(method, tuned_by):
    model, prompt = tuned_by(method)
    prompts, words = encoded(model, prompt), model.vocabulary.encode_prompt(prompt)
    positions = [[p.mask_positions[0] - 1] for p in prompts]
    loss, gradient = TokenGradients(model.backbone).loss(prompts, positions, prompt, words, GOLD)
    shares = model.classify(ROWS, prompt).probabilities
    assert loss == pytest.approx(-sum(np.log(shares[n, k]) for n, k in enumerate(GOLD)) / 3, 1e-4)
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("method", ["linear", "cls"])
def test_a_model_with_a_head_of_its_own_is_refused(method, tuned_by):
    message = (
        f"^This model was tuned with the method {method}, which has a head of its own and no label"
    )
    with pytest.raises(PlaygroundError, match=message):
        TokenGradients(tuned_by(method)[0].backbone)


def test_a_label_word_that_splits_is_refused(prompting, make_prompt):
    prompt = make_prompt(labels={"positive": ["unputdownable"], "negative": ["bad"]})
    words = prompting.vocabulary.encode_prompt(prompt)
    message = (
        r'^Label word "unputdownable" is \d+ pieces and a gradient takes words of one piece; choose'
    )
    with pytest.raises(PlaygroundError, match=message):
        TokenGradients(prompting.backbone).loss(
            encoded(prompting, prompt), [[1]] * 3, prompt, words, GOLD
        )
