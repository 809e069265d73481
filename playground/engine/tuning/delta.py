"""What tuning changed: a small set of tensors with the prompt it belongs to, and how it is applied.

A change of a weight is stored as the difference to the base, in fp16 for whole models and fp32 for the
small methods: the difference is some hundred times smaller than the weight, and so is its rounding. Of a
matrix with few changed rows, such as the table of embeddings, only those rows are kept.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from playground.engine.loading import weights_digest
from playground.engine.tuning.recipe import METHODS
from playground.engine.tuning.soft import Rows, SoftEmbedding
from playground.errors import PlaygroundError, shorten
from playground.prompts import AnyPrompt, RulePrompt

_KEY = re.compile(r"(change|rows|lora_a|lora_b|head):[\w.]{1,200}|soft")
_KINDS = {  # which tensors a method's delta may hold
    "whole": ("change", "rows"),
    "bias": ("change", "rows"),
    "lora": ("lora_a", "lora_b"),
    "soft": ("soft",),
    "linear": ("head",),
    "cls": ("change", "rows", "head"),
}
_HEADS: dict[str, tuple[str, ...]] = {"linear": ("out.weight", "out.bias")}
_HEADS["cls"] = ("dense.weight", "dense.bias", *_HEADS["linear"])


@dataclass(frozen=True)
class Delta:
    """A tuned prompt: its method, the base it belongs to, the prompt, and the tensors that differ.

    tensors: ``change:NAME`` a difference of the base's parameter NAME, with ``rows:NAME`` where only
    these rows changed; ``lora_a:NAME`` and ``lora_b:NAME`` whose product is added to a layer's weight;
    ``soft`` the vectors of the soft tokens; ``head:NAME`` of a new head. report: what the run measured,
    for the card.
    """

    method: str
    base: str
    revision: str
    prompt: AnyPrompt
    tensors: Mapping[str, torch.Tensor] = field(hash=False)
    report: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.method, str) or self.method not in METHODS:
            raise PlaygroundError(
                f"The delta is of the unknown method {shorten(self.method)}; it was made by another "
                "version, or damaged."
            )
        if isinstance(self.prompt, RulePrompt) and not METHODS[self.method].words:
            raise _bad(f"its prompt has rules, which {self.method} does not read")
        for name, tensor in self.tensors.items():
            kind = name.partition(":")[0]
            if not _KEY.fullmatch(name) or kind not in _KINDS[self.method]:
                raise _bad(f"it holds {shorten(name, 80)}, which {self.method} does not tune")
            wanted = (torch.int32,) if kind == "rows" else (torch.float16, torch.float32)
            if tensor.dtype not in wanted:
                raise _bad(f"{shorten(name, 80)} has the type {tensor.dtype}")
            if kind == "soft" and tensor.ndim != 2:
                raise _bad(f"its soft vectors have the shape {tuple(tensor.shape)}")
            if kind != "rows" and not bool(torch.isfinite(tensor).all()):
                raise _bad(f"{shorten(name, 80)} holds a number that is not finite")

    @property
    def nbytes(self) -> int:
        """The bytes of its tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the method, the prompt and the tensors."""
        own = {name: self.tensors[name] for name in sorted(self.tensors)}
        return weights_digest(
            {json.dumps([self.method, self.prompt.to_json()]): torch.zeros(0), **own}
        )

    @property
    def soft_tokens(self) -> int:
        return len(self.tensors["soft"]) if "soft" in self.tensors else 0

    def check_base(self, name: str, revision: str) -> None:
        """Raise PlaygroundError unless the delta was tuned on this very model."""
        if revision != self.revision:
            raise PlaygroundError(
                f"The delta was tuned on {shorten(self.base, 80)} ({self.revision[:12]}) and this is "
                f"{shorten(name, 80)} ({revision[:12]}); open it with the model that it was tuned on."
            )

    def apply(self, model: PreTrainedModel) -> None:
        """Add the change to a private copy of the base, in place; a head of its own stays beside.

        Everything is checked before anything is changed. Raises PlaygroundError for what does not fit.
        """
        weights: dict[str, torch.Tensor] = dict(model.named_parameters())
        for name, tensor in self.tensors.items():
            kind, _, target = name.partition(":")
            if kind == "change":
                self._check_change(target, tensor, weights)
            elif kind == "rows" and f"change:{target}" not in self.tensors:
                raise _bad(f"{shorten(name, 80)} stands alone")
            elif kind in ("lora_a", "lora_b"):
                self._check_lora(target, weights)
        self._check_soft(model)
        self._check_head(model)
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                kind, _, target = name.partition(":")
                if kind == "change":
                    weight = weights[target]
                    added = tensor.to(weight.device, weight.dtype)
                    if (rows := self.tensors.get(f"rows:{target}")) is not None:
                        weight.index_add_(0, rows.to(weight.device), added)
                    else:
                        weight.add_(added)
                elif kind == "lora_a":
                    weight = weights[f"{target}.weight"]
                    product = self.tensors[f"lora_b:{target}"].float() @ tensor.float()
                    weight.add_(
                        product.to(weight.device, weight.dtype)
                    )  # (O, r) @ (r, I) -> (O, I)
        if "soft" in self.tensors:
            table = cast(nn.Embedding, model.get_input_embeddings())
            vectors = self.tensors["soft"].to(table.weight.device, torch.float32)
            model.set_input_embeddings(SoftEmbedding(table, Rows(vectors)))

    def head(self) -> nn.Module | None:
        """Return the head of "linear" or "cls" with its weights, None for methods of label words."""
        if METHODS[self.method].words:
            return None
        weights = {
            name.removeprefix("head:"): tensor.float()
            for name, tensor in self.tensors.items()
            if name.startswith("head:")
        }
        labels, width = weights["out.weight"].shape
        with torch.device("meta"):  # draws no random numbers: a tuning may be drawing
            head = new_head(self.method, width, labels)
        head.load_state_dict(weights, assign=True)
        return head.eval().requires_grad_(False)

    # ---- checks -------------------------------------------------------------------------------

    def _check_change(
        self, target: str, tensor: torch.Tensor, weights: Mapping[str, torch.Tensor]
    ) -> None:
        if target not in weights:
            raise _bad(f"the base has no weight {shorten(target, 80)}")
        if self.method == "bias" and not target.endswith("bias"):
            raise _bad(f"{shorten(target, 80)} is no bias")
        shape = tuple(weights[target].shape)
        rows = self.tensors.get(f"rows:{target}")
        if rows is not None:
            sound = rows.ndim == 1 and len(rows) > 0 and len(shape) > 0
            if not sound or bool((rows.diff() <= 0).any()) or rows[0] < 0 or rows[-1] >= shape[0]:
                raise _bad(f"the rows of {shorten(target, 80)} are not those of the base")
            shape = (len(rows), *shape[1:])
        if tuple(tensor.shape) != shape:
            raise _bad(
                f"{shorten(target, 80)} has the shape {tuple(tensor.shape)} where {shape} is needed"
            )

    def _check_lora(self, target: str, weights: Mapping[str, torch.Tensor]) -> None:
        weight = weights.get(f"{target}.weight")
        a, b = (self.tensors.get(f"lora_{part}:{target}") for part in "ab")
        if weight is None or weight.ndim != 2:
            raise _bad(f"the base has no layer {shorten(target, 80)}")
        if a is None or b is None or a.ndim != 2 or b.ndim != 2:
            raise _bad(f"{shorten(target, 80)} lacks one of its two matrices")
        if (b.shape[0], a.shape[1]) != tuple(weight.shape) or b.shape[1] != a.shape[0]:
            raise _bad(
                f"{shorten(target, 80)} has {tuple(b.shape)} times {tuple(a.shape)} where "
                f"{tuple(weight.shape)} is needed"
            )

    def _check_soft(self, model: PreTrainedModel) -> None:
        if self.method != "soft":
            return
        width = cast(nn.Embedding, model.get_input_embeddings()).weight.shape[1]
        needed = (self.prompt.template.soft_tokens, width)
        if "soft" not in self.tensors or tuple(self.tensors["soft"].shape) != needed:
            raise _bad(f"its soft vectors are not those of the template, {needed}")

    def _check_head(self, model: PreTrainedModel) -> None:
        if METHODS[self.method].words:
            return
        wide, labels = int(model.config.hidden_size), len(self.prompt.labels)
        shapes = {"out.weight": (labels, wide), "out.bias": (labels,)}
        shapes |= {"dense.weight": (wide, wide), "dense.bias": (wide,)}
        needed = {f"head:{name}": shapes[name] for name in _HEADS[self.method]}
        found = {n: tuple(t.shape) for n, t in self.tensors.items() if n.startswith("head:")}
        if found != needed:
            raise _bad(f"its head is not one of {labels} labels on states of {wide}")


def new_head(method: str, width: int, labels: int) -> nn.Module:
    """Return an untrained head on states of ``width``, (N, H) -> (N, C).

    "cls": a dense layer with tanh, then the output, as in BERT; "linear": the output alone.
    """
    out = nn.Linear(width, labels)
    nn.init.normal_(out.weight, std=0.02)
    nn.init.zeros_(out.bias)
    if method == "linear":
        return _Head(None, out)
    dense = nn.Linear(width, width)
    nn.init.normal_(dense.weight, std=1 / math.sqrt(width))
    nn.init.zeros_(dense.bias)
    return _Head(dense, out)


class _Head(nn.Module):
    def __init__(self, dense: nn.Linear | None, out: nn.Linear) -> None:
        super().__init__()
        self.dense, self.out = dense, out

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        if self.dense is not None:
            states = torch.tanh(self.dense(states))
        return self.out(states)  # (N, H) -> (N, C)


def differences(
    tuned: Mapping[str, torch.Tensor], base: Mapping[str, torch.Tensor], *, half: bool
) -> dict[str, torch.Tensor]:
    """Return what differs between weights by name, as a delta's ``change`` and ``rows`` tensors.

    A weight that did not change is left out; of one with fewer than half of its rows changed, those.
    """
    kind = torch.float16 if half else torch.float32
    found: dict[str, torch.Tensor] = {}
    for name, weight in tuned.items():
        change = weight.detach().cpu() - base[name].detach().cpu()
        rows = change.reshape(len(change), -1).ne(0).any(1) if change.ndim else change.ne(0)
        if not bool(rows.any()):
            continue
        if change.ndim and int(rows.sum()) * 2 < len(rows):
            found[f"rows:{name}"] = rows.nonzero()[:, 0].to(torch.int32)
            change = change[rows]
        found[f"change:{name}"] = change.to(kind).contiguous()
    return found


def _bad(reason: str) -> PlaygroundError:
    return PlaygroundError(
        f"The delta cannot be used: {reason}; it is damaged or of another model, get it again."
    )
