"""The fused encoder gives the hidden states of the encoder that it stands for."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from playground.engine.fused import FusedEncoder

BERT_LIKE = ("shipped", "bert", "roberta", "xlm-roberta", "electra")


def _inputs(padded: bool) -> dict[str, torch.Tensor]:
    ids = torch.tensor([[5, 6, 7, 8, 9, 10, 11], [12, 13, 14, 15, 16, 17, 18]])
    mask = torch.ones_like(ids)
    if padded:
        mask[1, 4:] = 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.fixture(params=BERT_LIKE)
def bases(request, plain_of):
    """A plain base model, and a copy of it whose encoder is about to be fused."""
    base = plain_of(request.param).model.base_model
    return base, copy.deepcopy(base)


def _places(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    return inputs["attention_mask"].bool()  # what padding holds is nobody's concern


@pytest.mark.parametrize("padded", [False, True])
def test_all_rows_are_those_of_the_plain_encoder(bases, padded):
    plain, fused = bases
    fused.encoder = FusedEncoder(fused.encoder, lambda _hidden: None)
    inputs = _inputs(padded)
    with torch.no_grad():
        expected = plain(**inputs).last_hidden_state[_places(inputs)]
        got = fused(**inputs).last_hidden_state[_places(inputs)]
    assert (got - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("positions", [[[2], [0]], [[6, 1, 1], [3, 2, 0]]])
def test_the_last_layer_runs_where_it_is_told(bases, padded, positions):
    plain, fused = bases
    places = torch.tensor(positions)
    fused.encoder = FusedEncoder(fused.encoder, lambda _hidden: places)
    inputs = _inputs(padded)
    with torch.no_grad():
        expected = plain(**inputs).last_hidden_state[torch.arange(2)[:, None], places]
        got = fused(**inputs).last_hidden_state
    assert got.shape == expected.shape
    assert (got - expected).abs().max() <= 1e-5


def test_it_is_frozen_and_shares_what_it_can(plain_of):
    encoder = copy.deepcopy(plain_of("bert").model.bert.encoder).requires_grad_(False)
    fused = FusedEncoder(encoder, lambda _hidden: None)
    assert not any(parameter.requires_grad for parameter in fused.parameters())
    assert fused.layers[0].up is encoder.layer[0].intermediate.dense
    sizes = [sum(p.numel() for p in module.parameters()) for module in (fused, encoder)]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("kind", ["deberta-v2", "albert"])
def test_layers_of_another_kind_are_not_fused(kind, plain_of):
    with pytest.raises(AttributeError):
        FusedEncoder(plain_of(kind).model.base_model.encoder, lambda _hidden: None)


def test_a_layer_without_biases_is_not_fused(plain_of):
    encoder = copy.deepcopy(plain_of("bert").model.bert.encoder)
    own = encoder.layer[0].attention.self
    own.query = nn.Linear(32, 32, bias=False)
    with pytest.raises(TypeError):
        FusedEncoder(encoder, lambda _hidden: None)
