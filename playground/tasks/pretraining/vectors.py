"""Word vectors to start from: continuous bag of words with negative sampling (Mikolov et al. 2013).

They are trained on the same WordPieces as the model and become its tied embeddings, so the model does
not spend its first millions of tokens on learning which words are alike.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

WINDOW = 6
NEGATIVES = 128  # shared by a whole batch, so that a batch is one matrix product
NORM = 0.6  # of an embedding, on average: with it the first logits have the spread of trained ones
_RUN = 64
_DRAWN = 8
_POWER = 0.75  # of a word's frequency, for drawing negatives
_LEARNING_RATE = 0.01


def unigram_counts(tokens: np.ndarray, size: int) -> np.ndarray:
    """Return how often each id occurs, (size,)."""
    return np.bincount(tokens, minlength=size)[:size]


def log_frequencies(counts: np.ndarray) -> torch.Tensor:
    """Return log relative frequencies, (V,), each count one higher so that none is infinite."""
    smooth = torch.from_numpy(counts.astype(np.float64)) + 1
    return (smooth / smooth.sum()).log().float()


def cbow(
    read: Callable[[int], np.ndarray],
    counts: np.ndarray,
    *,
    dimensions: int,
    tokens: int,
    batch: int = 8_192,
    seed: int = 0,
) -> torch.Tensor:
    """Return vectors of the pieces, (V, dimensions), of mean norm :data:`NORM`.

    read: returns the next so many tokens, a batch of neighbours. counts: (V,) for the negatives.
    tokens: read in all; batch: at once, a multiple of the 64 in which neighbours are sought. A
    context is the mean of up to ``WINDOW`` pieces on either side. Pieces that never occur keep small
    random vectors. The loss is binary cross-entropy of the true piece against drawn ones (their eq. 4).
    """
    generator = torch.Generator().manual_seed(seed)
    size = len(counts)
    first = torch.empty(size, dimensions).normal_(0, 0.5 / dimensions**0.5, generator=generator)
    inner = nn.Embedding.from_pretrained(first, freeze=False)
    outer = torch.zeros(size, dimensions, requires_grad=True)
    noise = torch.from_numpy(counts.astype(np.float64) ** _POWER)
    noise = (noise / noise.sum()).float()
    optimizer = torch.optim.Adam([inner.weight, outer], lr=_LEARNING_RATE, fused=True)
    steps = max(1, tokens // batch)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * (1 - step / steps)
        ids = torch.from_numpy(read(batch).astype(np.int64))
        context = _context(inner(ids))  # (N, H)
        drawn = torch.multinomial(noise, NEGATIVES, replacement=True, generator=generator)
        right = (context * outer[ids]).sum(-1)  # (N,)
        wrong = context @ outer[drawn].T  # (N, NEGATIVES), weighed as if each had _DRAWN of its own
        loss = -nn.functional.logsigmoid(right).mean()
        loss = loss - _DRAWN * nn.functional.logsigmoid(-wrong).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = inner.weight.detach()
    seen = torch.from_numpy(counts > 0)
    return found * (NORM / found[seen].norm(dim=-1).mean())


def _context(vectors: torch.Tensor) -> torch.Tensor:
    """Return the mean of the neighbours of each place, itself left out; (N, H) in and out.

    Neighbours are sought in runs of ``_RUN`` places, so that a context is a product with a band matrix.
    """
    places = torch.arange(_RUN)
    apart = (places[:, None] - places[None]).abs()
    band = ((apart > 0) & (apart <= WINDOW)).float()
    band /= band.sum(-1, keepdim=True)
    runs = vectors.view(-1, _RUN, vectors.shape[-1])
    return (band @ runs).view_as(vectors)
