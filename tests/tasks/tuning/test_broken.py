"""The lab's mistakes are the classic ones: each against what the naive code itself gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForMaskedLM, AutoTokenizer

from playground import Prompting
from playground.engine.tuning.loop import Tuner, cross_entropy
from playground.engine.tuning.network import Network
from playground.engine.tuning.recipe import Recipe
from playground.tasks.tuning.broken import (
    CutNetwork,
    LabTuner,
    PaddingNetwork,
    RoomNetwork,
    WordNetwork,
    double_softmax,
    gradient_left,
    loss_floor,
    word_pieces,
)
from playground.tasks.tuning.shots import as_shots
from tests.engine import tiny
from tests.engine.tuning.conftest import digest

RECIPE = Recipe(steps=3, batch_size=4, evaluate_every=1)


@pytest.fixture(scope="module")
def few(labelled):
    from playground.tasks.held_out import part_of

    return part_of(labelled, [0, 1, 2, 3, 40, 41, 42, 43])


@pytest.fixture(scope="module")
def other_model(tmp_path_factory):
    known = {}

    def get(kind: str) -> Prompting:
        if kind not in known:
            folder = tiny.save(kind, tmp_path_factory.mktemp("models") / kind)
            known[kind] = Prompting(folder, threads=1)
        return known[kind]

    return get


def test_the_second_softmax_is_torch_s_cross_entropy_of_probabilities():
    logits = torch.tensor([[2.0, -1.0, 0.3], [0.0, 4.0, -4.0]])
    gold = torch.tensor([0, 2])
    found = double_softmax(logits.log_softmax(-1), torch.eye(3)[gold])
    assert found.item() == pytest.approx(functional.cross_entropy(logits.softmax(-1), gold).item())


@pytest.mark.parametrize("labels", [2, 3, 6])
def test_a_certain_and_right_answer_has_the_loss_of_the_floor(labels):
    certain = torch.full((1, labels), -100.0)
    certain[0, 0] = 0.0
    found = double_softmax(certain, torch.eye(labels)[:1]).item()
    assert found == pytest.approx(loss_floor(labels), abs=1e-6)
    assert loss_floor(2) == pytest.approx(0.3133, abs=1e-4)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 0.9])
def test_the_gradient_that_is_left_is_that_of_the_formula(share):
    sigmoid = 1 / (1 + math.exp(-(2 * share - 1)))
    # with z the log-odds: d/dz -log sigmoid(2p - 1) = -(1 - sigmoid) 2 p (1 - p); of -log p: -(1 - p)
    expected = (1 - sigmoid) * 2 * share
    assert gradient_left(share, 2) == pytest.approx(expected, rel=1e-6)


def test_the_documentation_s_numbers_are_these():
    found = [f"{gradient_left(share, 2):.1%}" for share in (0.5, 0.1, 0.01)]
    assert found == ["50.0%", "13.8%", "1.5%"]


def test_the_lab_s_tuner_without_a_mistake_is_the_tuner(model, prompt, few):
    plain = Tuner(model.backbone, prompt, as_shots(few), as_shots(few), recipe=RECIPE)
    own = LabTuner(model.backbone, prompt, as_shots(few), as_shots(few), recipe=RECIPE)
    assert list(plain.run()) == list(own.run())
    assert digest(plain) == digest(own)


def test_a_gradient_is_measured_at_one_row_without_dropout(model, prompt, few):
    tuner = LabTuner(model.backbone, prompt, as_shots(few), recipe=RECIPE)
    own = Network(model.backbone, prompt, Recipe(dropout=0.0))
    loss = cross_entropy(own.log_probs(own.encode(few.rows[:1], "x")), torch.tensor([[1.0, 0.0]]))
    loss.backward()
    expected = math.sqrt(
        sum(float(w.grad.square().sum()) for w in own.tuned.values() if w.grad is not None)
    )
    assert tuner.gradient_norm(0, cross_entropy) == pytest.approx(expected, rel=1e-4)
    assert tuner.gradient_norm(0, cross_entropy) == tuner.gradient_norm(0, cross_entropy)


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta"])
def test_the_naive_cut_is_the_tokenizer_s_own(kind, other_model, prompt, few):
    base = other_model(kind).backbone
    tokenizer = AutoTokenizer.from_pretrained(base.source.location)
    text = few.rows[0]["text"]
    filled = f"{text} It was {tokenizer.mask_token}."
    whole = tokenizer(filled)["input_ids"]
    room = whole.index(tokenizer.mask_token_id) + 1  # its last place is that of the mask
    expected = tokenizer(filled, truncation=True, max_length=room)["input_ids"]
    wrong = CutNetwork(base, prompt, Recipe(), room=room).encode([few.rows[0]], "x")[0]
    assert list(wrong.ids) == expected
    assert (np.array(expected) == tokenizer.mask_token_id).argmax() == wrong.mask_positions[0] == 0
    right = RoomNetwork(base, prompt, Recipe(), room=room).encode([few.rows[0]], "x")[0]
    assert right.ids[right.mask_positions[0]] == tokenizer.mask_token_id
    assert (len(right), right.dropped) == (room, len(whole) - room)
    fits = CutNetwork(base, prompt, Recipe(), room=len(whole)).encode([few.rows[0]], "x")[0]
    assert list(fits.ids) == whole
    assert whole[fits.mask_positions[0]] == tokenizer.mask_token_id


def test_a_byte_level_word_without_its_space_is_another_piece(other_model, prompt):
    base = other_model("roberta").backbone
    tokenizer = base.tokenizer
    great = word_pieces(base, prompt)[0]
    assert tokenizer.convert_ids_to_tokens(great.right) == "Ġgreat"
    assert [great.right] == tokenizer(" great", add_special_tokens=False)["input_ids"]
    naive = tokenizer("great", add_special_tokens=False)["input_ids"]
    assert great.wrong == naive[0] != great.right
    assert not tokenizer.convert_ids_to_tokens(great.wrong).startswith("Ġ")
    first = prompt.with_template("{mask}: {text}")  # where no space stands before it
    assert all(one.right == one.wrong for one in word_pieces(base, first))


def test_a_lower_case_vocabulary_does_not_know_a_capital(model, prompt):
    base = model.backbone
    assert [one.wrong for one in word_pieces(base, prompt)] == [base.tokenizer.unk_token_id] * 2
    network = WordNetwork(base, prompt, Recipe())
    network.train(False)
    with torch.no_grad():
        found = network.log_probs(network.encode(["A good film."], "x"))
    assert found.exp().tolist() == [[0.5, 0.5]]


def test_a_sentencepiece_word_without_its_mark_is_another_piece(other_model, prompt):
    base = other_model("xlm-roberta").backbone
    great = word_pieces(base, prompt)[0]
    assert base.tokenizer.convert_ids_to_tokens(great.right) == "▁great"
    assert great.wrong == base.tokenizer.convert_tokens_to_ids("great") != great.right


def test_without_a_mask_padding_is_read_as_text(model, prompt, few):
    network = PaddingNetwork(model.backbone, prompt, Recipe())
    network.train(False)
    rows = network.encode([few.rows[0]["text"], few.rows[0]["text"] * 2], "x")
    with torch.no_grad():
        found = network.log_probs(rows)[0]
    source = model.backbone.source.location
    plain = AutoModelForMaskedLM.from_pretrained(source).eval()
    ids = list(rows[0].ids) + [model.backbone.encoder.pad_id] * (len(rows[1]) - len(rows[0]))
    words = [one.right for one in word_pieces(model.backbone, prompt)]
    with torch.no_grad():
        logits = plain(input_ids=torch.tensor([ids])).logits[0, rows[0].mask_positions[0]]
    assert torch.allclose(found, logits[words].log_softmax(-1), atol=1e-5)
    right = Network(model.backbone, prompt, Recipe())
    right.train(False)
    with torch.no_grad():
        alone, beside = right.log_probs(rows[:1])[0], right.log_probs(rows)[0]
    assert torch.allclose(alone, beside, atol=1e-5)
    assert not torch.allclose(found, beside, atol=1e-3)
