"""The probability of a word of several pieces: one mask a piece, filled in a chosen order.

The whole word's log-probability is the sum over its pieces of log p(piece | the pieces filled
before); reading all pieces at one mask would not be that. Most confident first is the order of
Schick and Schütze 2021 ("It's Not Just Size That Matters").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from playground.engine.encoding import Encoded

LogProbs = Callable[[Sequence[Encoded]], list[torch.Tensor]]
"""Runs prompts with M masks each and returns, a prompt, log-probabilities (M, V)."""


def piece_log_probs(
    prompts: Sequence[Encoded],
    targets: Sequence[Sequence[int]],
    order: str,
    log_probs: LogProbs,
) -> torch.Tensor:
    """Return log p of each piece, (N, T, K): N prompts with K masks, T target words of K pieces.

    ``order`` is "confidence", "left-to-right" or "parallel". Words of a prompt share the first
    forward pass; the later passes run all words of all prompts together, K - 1 of them at most.
    """
    target = torch.tensor([list(pieces) for pieces in targets])  # (T, K)
    words, length = target.shape
    first = log_probs(prompts)
    places = torch.arange(length)
    result = torch.stack([rows[places, target] for rows in first]).float()  # (N, T, K)
    if order == "parallel" or length == 1:
        return result
    open_places = torch.ones_like(result, dtype=torch.bool)  # (N, T, K)
    jobs = [(n, t) for n in range(len(prompts)) for t in range(words)]
    states = {job: prompts[job[0]] for job in jobs}
    scores = result.clone()
    for step in range(length):
        for n, t in jobs:
            row = scores[n, t].masked_fill(~open_places[n, t], -torch.inf)
            chosen = int(row.argmax()) if order == "confidence" else step
            open_places[n, t, chosen] = False
            result[n, t, chosen] = scores[n, t, chosen]
            states[n, t] = _fill(
                states[n, t], prompts[n].mask_positions[chosen], int(target[t, chosen])
            )
        if step == length - 1:
            break
        for (n, t), rows in zip(jobs, log_probs([states[job] for job in jobs]), strict=True):
            left = open_places[n, t].nonzero().flatten()  # (M,) places whose masks are open
            scores[n, t, left] = rows[torch.arange(len(left)), target[t, left]].float()
    return result


def _fill(prompt: Encoded, position: int, token: int) -> Encoded:
    ids = list(prompt.ids)
    ids[position] = token
    rest = tuple(place for place in prompt.mask_positions if place != position)
    return replace(prompt, ids=tuple(ids), mask_positions=rest)
