"""How much memory a tuning takes, by arithmetic."""

from __future__ import annotations

_OWN = 16 << 20  # bytes: measured of a tokenizer, autograd and the kernels' buffers
_COMPARED = ("whole", "bias", "cls")  # whose delta is a difference to the base


def peak_bytes(
    method: str,
    *,
    weights: int,
    tuned: int,
    layers: int,
    heads: int,
    wide: int,
    batch: int,
    width: int,
) -> int:
    """Return the peak of a tuning in bytes, beyond what the process held before.

    weights, tuned: parameters of the model and those tuned; batch, width: rows of a step and their
    tokens. There are the copy of the model, for each tuned parameter its gradient, two moments of Adam
    and the best value, and the activations of a step, as in Korthikanti et al. 2022, section 4.1, in
    fp32. In the end comes, for a delta that is a difference, the base read anew (its file in fp16) and
    the delta in fp16; all is added up, since what is freed stays with the allocator.
    """
    total = 4 * weights + 4 * 4 * tuned + _OWN
    if method != "linear":
        total += 2 * layers * batch * width * (34 * wide + 5 * heads * width)
    if method in _COMPARED:
        total += (4 + 2) * weights + 2 * tuned
    return total
