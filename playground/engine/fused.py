"""A BERT encoder with its layers fused for inference: the same sums with fewer, larger steps.

Query, key and value are one product, nothing but arithmetic runs between the layers, and in the last
layer all but the keys and values is computed for the wanted rows only: the masks, or [CLS]. It reads
the layers of the BERT family (BERT, RoBERTa, XLM-R, ELECTRA, CamemBERT); others have no such layers
and keep their own encoder, and so does a model whose numbers would differ, which is checked when it is
loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

FUSED_TYPES = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "electra"})
Positions = Callable[[torch.Tensor], torch.Tensor | None]


class FusedEncoder(nn.Module):
    """Stands in for the encoder of a BERT-like model; its layers share the model's weights.

    ``positions`` gives the places (N, M) that are wanted of hidden states (N, T, H), or None for all.
    Raises AttributeError for an encoder whose layers are of another kind.
    """

    def __init__(self, encoder: nn.Module, positions: Positions) -> None:
        super().__init__()
        layers: Any = encoder.layer
        self.layers = nn.ModuleList(_FusedLayer(layer) for layer in layers)
        self._positions = positions

    def forward(
        self, hidden: torch.Tensor, attention_mask: torch.Tensor | None = None, **_: Any
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        *first, last = self.layers
        for layer in first:
            hidden = layer(hidden, attention_mask)
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=last(hidden, attention_mask, self._positions(hidden))
        )

    def plain_weights(self) -> dict[str, torch.Tensor]:
        """Return the weights by the names that they had in the encoder before: views, no copies."""
        found: dict[str, torch.Tensor] = {}
        for number, layer in enumerate(self.layers):
            found |= {
                f"layer.{number}.{name}": weight
                for name, weight in cast(_FusedLayer, layer).plain_weights()
            }
        return found


class _FusedLayer(nn.Module):
    def __init__(self, layer: Any) -> None:
        super().__init__()
        own, output = layer.attention.self, layer.attention.output
        query, key, value = own.query, own.key, own.value
        self.heads: int = own.num_attention_heads
        self.qkv = nn.utils.skip_init(  # which draws no random numbers: a tuning may be drawing
            nn.Linear,
            query.in_features,
            3 * query.out_features,
            device=query.weight.device,
            dtype=query.weight.dtype,
        )
        with torch.no_grad():
            self.qkv.weight.copy_(torch.cat([query.weight, key.weight, value.weight]))
            self.qkv.bias.copy_(torch.cat([query.bias, key.bias, value.bias]))
        self.qkv.requires_grad_(False)
        self.out, self.norm = output.dense, output.LayerNorm
        self.up, self.act = layer.intermediate.dense, layer.intermediate.intermediate_act_fn
        self.down, self.norm_out = layer.output.dense, layer.output.LayerNorm

    def plain_weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        parts = zip(
            ("query", "key", "value"),
            self.qkv.weight.chunk(3),  # (3 H, H) -> (H, H) each
            self.qkv.bias.chunk(3),
            strict=True,
        )
        for name, weight, bias in parts:
            yield f"attention.self.{name}.weight", weight
            yield f"attention.self.{name}.bias", bias
        for place, module in (
            ("attention.output.dense", self.out),
            ("attention.output.LayerNorm", self.norm),
            ("intermediate.dense", self.up),
            ("output.dense", self.down),
            ("output.LayerNorm", self.norm_out),
        ):
            yield f"{place}.weight", module.weight
            yield f"{place}.bias", module.bias

    def forward(
        self,
        hidden: torch.Tensor,
        mask: torch.Tensor | None,
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        rows, width = hidden.shape[:2]
        qkv = self.qkv(hidden).view(rows, width, 3, self.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (N, heads, T, D) each
        if positions is not None:
            place = positions[:, None, :, None].expand(-1, self.heads, -1, query.shape[-1])
            query = query.gather(2, place)  # (N, heads, T, D) -> (N, heads, M, D)
            hidden = hidden.gather(1, positions[..., None].expand(-1, -1, hidden.shape[-1]))
            if mask is not None:
                mask = mask[:, :, :1]  # all rows of a sequence see the same tokens
        seen = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        seen = seen.transpose(1, 2).reshape(rows, hidden.shape[1], -1)  # (N, T or M, H)
        hidden = self.norm(self.out(seen) + hidden)
        return self.norm_out(self.down(self.act(self.up(hidden))) + hidden)
