"""Linear layers whose weights are kept in oneDNN's own layout, for inference on a CPU.

One prompt is bound by reading the weights, and this layout is read up to four times faster. oneDNN
compiles and keeps code for every number of rows that it meets, so rows are padded to a few numbers and
memory stays flat. Whether fp32 batches of many rows gain too depends on the processor (a tenth on one,
twofold on another), so it is measured once in a process.
"""

from __future__ import annotations

import functools
import time

import torch
from torch import nn

FEW_ROWS = 64  # up to here fp32 gains everywhere it was measured
MANY_ROWS = 2048
_STEPS = (1, 2, 4, 8, 16, 32, 48, 64)
_SMALLEST = 1 << 17  # weights; smaller layers stay in the processor's cache anyway


class PackedLinear(nn.Module):
    """A linear layer with a packed copy of its weight; the plain weight stays readable."""

    def __init__(self, linear: nn.Linear, *, most_rows: int = FEW_ROWS) -> None:
        super().__init__()
        self.most_rows = most_rows  # fp32 inputs of more rows take the plain layer
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), FEW_ROWS)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        rows = hidden.numel() // self.in_features
        if rows > self.most_rows and hidden.dtype == torch.float32:
            return nn.functional.linear(hidden, self.weight, self.bias)
        flat = hidden.reshape(rows, self.in_features)
        spare = _padded(rows) - rows
        if spare:
            flat = nn.functional.pad(flat, (0, 0, 0, spare))
        product = torch.ops.mkldnn._linear_pointwise(flat, self._packed, self.bias, "none", [], "")
        return product[:rows].view(*hidden.shape[:-1], self.out_features)


def _padded(rows: int) -> int:
    """Return the number of rows that ``rows`` are padded to: a few small steps, then by 64."""
    if rows <= FEW_ROWS:
        return next(step for step in _STEPS if step >= rows)
    return -(-rows // FEW_ROWS) * FEW_ROWS


def pack_linears(model: nn.Module, *, smallest: int = _SMALLEST) -> int:
    """Swap linear layers of at least ``smallest`` weights for packed ones; return how many.

    In bf16 all layers are swapped, since a plain one would pack its weight in every call. The operator
    is private to PyTorch: where it is missing, or gives other numbers than ``nn.Linear`` on this
    machine, nothing is swapped and 0 is returned.
    """
    if not _packing_works(model):
        return 0
    most_rows = MANY_ROWS if _many_rows_gain() else FEW_ROWS
    swapped = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is not nn.Linear:
                continue
            if child.weight.numel() >= smallest or child.weight.dtype != torch.float32:
                setattr(parent, name, PackedLinear(child, most_rows=most_rows))
                swapped += 1
    return swapped


@functools.cache
def _many_rows_gain() -> bool:
    """Return whether 500 fp32 rows run at least 1.5 times faster packed, padding included.

    The bar is high, the two take turns, and the clock counts this thread's own work, so that a busy
    machine does not decide: two runs on one machine give the same numbers.
    """
    linear = _probe(256, 1024)
    packed = PackedLinear(linear, most_rows=MANY_ROWS)
    hidden = torch.ones(500, 256)

    times: dict[nn.Module, list[float]] = {packed: [], linear: []}
    for _ in range(12):
        for layer, spent in times.items():
            start = time.thread_time()
            layer(hidden)
            spent.append(time.thread_time() - start)
    return min(times[packed]) * 1.5 <= min(times[linear])


def _packing_works(model: nn.Module) -> bool:
    weight = next(model.parameters())
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    linear = _probe(48, 32).to(weight.dtype)
    hidden = torch.linspace(-1, 1, 5 * 48).reshape(5, 48).to(weight.dtype)
    try:
        difference = (PackedLinear(linear)(hidden) - linear(hidden)).abs().max()
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    return bool(difference <= (1e-4 if weight.dtype == torch.float32 else 2e-2))


def _probe(inputs: int, outputs: int) -> nn.Linear:
    """Return a frozen layer to try; it draws no random numbers, since a tuning may be drawing."""
    linear = nn.utils.skip_init(nn.Linear, inputs, outputs).requires_grad_(False)
    for weight in linear.parameters():
        weight.copy_(torch.arange(weight.numel()).view_as(weight).sin() * inputs**-0.5)
    return linear
