"""Low-rank changes of the attention's query and value (Hu et al. 2022, section 4)."""

from __future__ import annotations

import torch
from torch import nn

from playground.errors import PlaygroundError

# what the architectures call them; where all three are one layer, it is that one
_TARGETS = frozenset({"query", "value", "q_lin", "v_lin", "query_proj", "value_proj", "Wqkv"})


class LoraLinear(nn.Module):
    """A frozen linear layer W, (O, I), and a learned change: (W + alpha / rank · B A) x.

    A (rank, I) begins as noise and B (O, rank) as zeros, so that nothing is changed at first.
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.linear, self.scale = linear, alpha / rank
        self.a = nn.Parameter(torch.empty(rank, linear.in_features))
        self.b = nn.Parameter(torch.zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.a, a=5**0.5)

    @property
    def weight(self) -> torch.Tensor:
        return self.linear.weight

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        change = nn.functional.linear(nn.functional.linear(hidden, self.a), self.b)
        return self.linear(hidden) + self.scale * change  # (..., I) -> (..., O)


def add_lora(model: nn.Module, rank: int, alpha: float) -> dict[str, LoraLinear]:
    """Put low-rank changes beside each query and value layer; return them by the layer's name.

    Raises PlaygroundError for a model that has no such layers.
    """
    found = [
        name
        for name, module in model.named_modules(remove_duplicate=True)
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in _TARGETS
    ]
    if not found:
        raise PlaygroundError(
            "This model has no query and value layers that LoRA could change; choose another method."
        )
    added: dict[str, LoraLinear] = {}
    for name in found:
        linear = model.get_submodule(name)
        added[name] = LoraLinear(linear, rank, alpha)  # type: ignore[arg-type]
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, added[name])
    return added
