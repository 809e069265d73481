"""Packed linear layers: the same numbers, a bounded number of shapes, and a way back."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from playground.engine import packing
from playground.engine.packing import PackedLinear, pack_linears
from tests.engine.test_forward import (
    _batch,
    _bert,
    _close,
    _double_decoder,
    _Doubling,
    _plain_logits,
)

packs = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN"
)


@packs
def test_the_large_layers_of_the_shipped_model_are_packed(prompting):
    backbone = prompting.backbone
    packed = [m for m in backbone.model.modules() if isinstance(m, PackedLinear)]
    assert len(packed) == backbone.packed > 0
    assert all(layer.weight.numel() >= packing._SMALLEST for layer in packed)
    plain = [m for m in backbone.model.modules() if type(m) is nn.Linear]
    assert all(layer.weight.numel() < packing._SMALLEST for layer in plain)


@packs
def test_in_bf16_every_layer_is_packed(plain_of):
    model, _ = _bert(plain_of)
    model.to(torch.bfloat16)
    linears = sum(type(module) is nn.Linear for module in model.modules())
    assert pack_linears(model) == linears


@packs
@pytest.mark.parametrize(
    ("dtype", "most_rows", "largest"),
    [(torch.float32, 64, 64), (torch.float32, 512, 512), (torch.bfloat16, 64, 1024)],
)
def test_the_operator_meets_few_numbers_of_rows(dtype, most_rows, largest, monkeypatch):
    linear = nn.Linear(8, 4, dtype=dtype).requires_grad_(False)
    packed = PackedLinear(linear, most_rows=most_rows)
    met = set()
    real = torch.ops.mkldnn._linear_pointwise

    def noting(hidden, *rest):
        met.add(len(hidden))
        return real(hidden, *rest)

    operators = SimpleNamespace(_linear_pointwise=noting)
    monkeypatch.setattr(torch.ops, "mkldnn", operators)
    for rows in range(1, 1025):
        assert packed(torch.ones(rows, 8, dtype=dtype)).shape == (rows, 4)
    assert met == {1, 2, 4, 8, 16, 32, 48} | set(range(64, largest + 1, 64))


@packs
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 48), (7, 48), (2, 5, 48), (3, 1, 48), (600, 48)])
def test_a_packed_layer_is_the_linear_layer(shape, bias):
    torch.manual_seed(3)
    linear = nn.Linear(48, 20, bias=bias).requires_grad_(False)
    hidden = torch.randn(*shape)
    packed = PackedLinear(linear)
    assert (packed(hidden) - linear(hidden)).abs().max() <= 1e-5
    assert packed.weight is linear.weight
    assert (packed.in_features, packed.out_features) == (48, 20)


@packs
def test_packing_swaps_plain_linear_layers_only(plain_of):
    model, encoder = _bert(plain_of)
    _double_decoder(model)
    model.eval().requires_grad_(False)
    linears = sum(type(module) is nn.Linear for module in model.modules())
    batch = _batch(encoder)
    expected = _plain_logits(model, batch)
    assert pack_linears(model, smallest=0) == linears
    assert type(model.cls.predictions.decoder) is _Doubling
    assert sum(type(module) is nn.Linear for module in model.modules()) == 0
    assert _close(_plain_logits(model, batch), expected)


def _refuse(*_):
    raise NotImplementedError("no kernel on this machine")


@pytest.mark.parametrize(
    "operators",
    [
        {},
        {"_reorder_linear_weight": _refuse, "_linear_pointwise": _refuse},
        {
            "_reorder_linear_weight": lambda weight, _rows: weight,
            "_linear_pointwise": lambda hidden, weight, *_: hidden @ weight.T + 0.001,
        },
    ],
    ids=["missing", "refusing", "wrong"],
)
def test_without_a_right_operator_nothing_is_packed(operators, monkeypatch, plain_of):
    model, encoder = _bert(plain_of)
    batch = _batch(encoder)
    expected = _plain_logits(model, batch)
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace(**operators))
    assert pack_linears(model, smallest=0) == 0
    assert torch.equal(_plain_logits(model, batch), expected)


def test_without_onednn_nothing_is_packed(monkeypatch, plain_of):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    model, _ = _bert(plain_of)
    assert pack_linears(model, smallest=0) == 0
