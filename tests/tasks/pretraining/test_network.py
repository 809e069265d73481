"""The loss is that of transformers and torch, its gradient too, and a new network starts as it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertForMaskedLM

from playground.tasks.pretraining.loop import masker
from playground.tasks.pretraining.network import (
    HiddenTokens,
    grown_network,
    hidden_loss,
    new_network,
)
from playground.tasks.pretraining.optimizer import Masters
from tests.engine.tiny import wordpiece
from tests.tasks.pretraining.toys import recipe


@pytest.fixture(scope="module")
def tokenizer():
    return wordpiece()


def flat(tokenizer) -> torch.Tensor:
    return torch.full((len(tokenizer),), -np.log(len(tokenizer)), dtype=torch.float32)


def network(tokenizer, **changes) -> BertForMaskedLM:
    return new_network(recipe(**changes), tokenizer, frequencies=flat(tokenizer))


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 50])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_the_loss_and_its_gradient_are_those_of_cross_entropy(rows, scale):
    torch.manual_seed(rows)
    logits = (3 * torch.randn(rows, 33)).requires_grad_()
    gold = torch.randint(33, (rows,))
    ours = HiddenTokens.apply(logits, gold)
    (ours * scale).backward()
    found, logits.grad = logits.grad, None
    exact = logits.detach().double().requires_grad_()
    wanted = nn.functional.cross_entropy(exact, gold)
    (wanted * scale).backward()
    torch.testing.assert_close(ours.detach().double(), wanted.detach(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.double(), exact.grad, rtol=1e-5, atol=1e-7)


def test_the_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    logits, gold = torch.randn(5, 7), torch.tensor([0, 3, 6, 2, 2])
    leaf = logits.clone().requires_grad_()
    HiddenTokens.apply(leaf, gold).backward()
    step = 1e-2
    for row in range(5):
        for column in range(7):
            more, less = logits.clone(), logits.clone()
            more[row, column] += step
            less[row, column] -= step
            slope = (HiddenTokens.apply(more, gold) - HiddenTokens.apply(less, gold)) / (2 * step)
            assert float(leaf.grad[row, column]) == pytest.approx(float(slope), abs=2e-4)


def test_bf16_logits_lose_no_more_than_their_own_rounding():
    torch.manual_seed(0)
    logits = (4 * torch.randn(40, 500)).bfloat16().requires_grad_()
    gold = torch.randint(500, (40,))
    ours = HiddenTokens.apply(logits, gold)
    ours.backward()
    exact = logits.detach().double().requires_grad_()
    wanted = nn.functional.cross_entropy(exact, gold)
    wanted.backward()
    assert ours.dtype == torch.float32
    assert float(ours.detach()) == pytest.approx(float(wanted.detach()), rel=1e-6)
    assert logits.grad.dtype == torch.bfloat16
    torch.testing.assert_close(logits.grad.double(), exact.grad, rtol=2**-8, atol=1e-12)


def test_huge_logits_overflow_nothing():
    logits = torch.tensor([[1e4, -1e4, 0.0], [3e38, 0.0, 0.0]], requires_grad=True)
    loss = HiddenTokens.apply(logits, torch.tensor([0, 0]))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert torch.isfinite(logits.grad).all()


def test_no_hidden_token_is_no_loss():
    logits = torch.zeros(0, 9, requires_grad=True)
    loss = HiddenTokens.apply(logits, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert logits.grad.shape == (0, 9)


def test_the_hidden_loss_is_that_of_transformers(tokenizer):
    """Against BertForMaskedLM with labels of -100 elsewhere: the loss and every gradient."""
    model = network(tokenizer, layers=2)
    rng = np.random.default_rng(0)
    blocks = rng.integers(5, len(tokenizer), (4, 24))
    blocks[:, 0], blocks[:, -1] = tokenizer.cls_token_id, tokenizer.sep_token_id
    hidden = masker(tokenizer, recipe()).hide(blocks, rng)
    ids = torch.from_numpy(hidden.ids)
    ours = hidden_loss(model, ids, torch.from_numpy(hidden.places), torch.from_numpy(hidden.gold))
    ours.backward()
    found = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    labels = torch.full(blocks.shape, -100)
    labels.view(-1)[torch.from_numpy(hidden.places)] = torch.from_numpy(hidden.gold)
    theirs = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss
    theirs.backward()
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-6)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(found[name], weight.grad, rtol=1e-4, atol=1e-7)


def test_a_new_network_has_the_size_of_the_recipe_and_no_dropout(tokenizer):
    config = network(tokenizer, layers=3, hidden=24, heads=4, positions=40, lengths=()).config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (3, 24, 4)
    assert (config.intermediate_size, config.max_position_embeddings) == (96, 40)
    assert (config.vocab_size, config.pad_token_id) == (len(tokenizer), tokenizer.pad_token_id)
    assert config.hidden_dropout_prob == config.attention_probs_dropout_prob == 0.0


def test_a_new_network_is_the_same_for_a_seed_alone(tokenizer):
    first, again, other = (network(tokenizer, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    name = "bert.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(first[name], other[name])


def test_it_starts_from_frequencies_and_vectors(tokenizer):
    frequencies = torch.randn(len(tokenizer)).log_softmax(0)
    vectors = torch.randn(len(tokenizer), 16)
    model = new_network(recipe(), tokenizer, frequencies=frequencies, vectors=vectors)
    assert torch.equal(model.cls.predictions.decoder.bias, frequencies)
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, vectors)
    assert torch.equal(model.cls.predictions.decoder.weight, vectors)  # tied
    assert not model.bert.embeddings.token_type_embeddings.weight.any()
    places = model.bert.embeddings.position_embeddings.weight.detach().double()
    assert places.shape == (32, 16)
    for place in (0, 1, 31):  # by hand: sin and cos of place / 10000^(k/8), of norm 0.3
        waves = [np.sin(place / 10_000 ** (k / 8)) for k in range(8)]
        waves += [np.cos(place / 10_000 ** (k / 8)) for k in range(8)]
        np.testing.assert_allclose(places[place], 0.3 / 8**0.5 * np.array(waves), atol=1e-7)
    np.testing.assert_allclose(places.norm(dim=1), 0.3, rtol=1e-6)


def test_without_states_the_first_prediction_is_the_frequency(tokenizer):
    frequencies = torch.randn(len(tokenizer)).log_softmax(0)
    model = new_network(recipe(), tokenizer, frequencies=frequencies)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.zero_()
        logits = model(torch.tensor([[2, 9, 3]])).logits[0, 1]
    torch.testing.assert_close(logits.softmax(0), frequencies.exp())


def test_a_grown_network_keeps_its_weights_and_repeats_its_positions(tokenizer):
    trained = network(tokenizer)
    with torch.no_grad():
        for weight in trained.parameters():
            weight += 0.1 * torch.randn_like(weight)
    for positions in (32, 33, 80, 20):
        grown = grown_network(trained, positions)
        known = trained.bert.embeddings.position_embeddings.weight
        found = grown.bert.embeddings.position_embeddings.weight
        assert found.shape == (positions, 16)
        for place in range(positions):
            assert torch.equal(found[place], known[place % 32])
        others = {n: w for n, w in grown.named_parameters() if "position_embeddings" not in n}
        assert all(torch.equal(weight, trained.get_parameter(n)) for n, weight in others.items())
        assert len(others) == len(list(trained.parameters())) - 1
    ids = torch.randint(5, len(tokenizer), (2, 32))
    with torch.no_grad():
        wanted = trained.eval()(ids).logits
        torch.testing.assert_close(grown_network(trained, 64).eval()(ids).logits, wanted)
        long = grown_network(trained, 64)(torch.cat([ids, ids], 1)).logits
    assert long.shape == (2, 64, len(tokenizer))


def test_the_trained_one_is_not_touched_by_what_goes_on_from_it(tokenizer):
    trained = network(tokenizer)
    before = {name: weight.clone() for name, weight in trained.state_dict().items()}
    grown = grown_network(trained, 64)
    hidden_loss(grown, torch.tensor([[2, 9, 3]]), torch.tensor([1]), torch.tensor([8])).backward()
    Masters(grown, recipe()).step(0.1)
    assert all(torch.equal(before[name], weight) for name, weight in trained.state_dict().items())
    assert trained.config.max_position_embeddings == 32


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_tied_weights_stay_tied(tokenizer, kind, tmp_path):
    model = network(tokenizer).to(kind)
    masters = Masters(model, recipe())
    for _ in range(3):
        ids = torch.randint(5, len(tokenizer), (2, 8))
        hidden_loss(model, ids, torch.tensor([3, 12]), ids.view(-1)[[3, 12]]).backward()
        masters.gather()
        masters.step(1e-2)

    def tied(one) -> bool:
        words, decoder = one.bert.embeddings.word_embeddings, one.cls.predictions.decoder
        return decoder.weight.data_ptr() == words.weight.data_ptr()

    assert tied(model)
    assert sum("word_embeddings" in n or "decoder.weight" in n for n in masters.weights) == 1
    model.float().save_pretrained(tmp_path)
    again = BertForMaskedLM.from_pretrained(tmp_path)
    assert tied(again)
    ids = torch.tensor([[2, 9, 8, 3]])
    with torch.no_grad():
        wanted = model.eval()(ids).logits
        torch.testing.assert_close(again.eval()(ids).logits, wanted, rtol=1e-5, atol=1e-6)
