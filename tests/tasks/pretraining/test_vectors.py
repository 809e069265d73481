"""CBOW vectors: contexts against a slow loop, words of like contexts alike, of the norm that is asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from playground.tasks.pretraining.vectors import (
    NORM,
    WINDOW,
    _context,
    cbow,
    log_frequencies,
    unigram_counts,
)


def test_a_context_is_the_mean_of_the_neighbours():
    torch.manual_seed(0)
    vectors = torch.randn(128, 5)
    found = _context(vectors)
    for place in range(128):
        first = place // 64 * 64  # neighbours are sought in runs of 64
        near = [
            other for other in range(max(first, place - WINDOW), min(first + 64, place + WINDOW + 1))
            if other != place
        ]  # fmt: skip
        torch.testing.assert_close(found[place], vectors[near].mean(0), rtol=1e-5, atol=1e-6)


def test_counts_and_frequencies():
    counts = unigram_counts(np.array([1, 1, 3, 1], np.uint16), 6)
    assert counts.tolist() == [0, 3, 0, 1, 0, 0]
    found = log_frequencies(counts)
    np.testing.assert_allclose(found, np.log(np.array([1, 4, 1, 2, 1, 1]) / 10), rtol=1e-6)
    assert float(found.exp().sum()) == pytest.approx(1, rel=1e-6)


@pytest.fixture(scope="module")
def toy():
    """Two groups of words, each among words of its own, so that words of a group are alike."""
    rng = np.random.default_rng(0)
    groups = np.repeat(rng.integers(0, 2, 1_500), 64)
    tokens = np.where(
        groups == 0, rng.integers(10, 20, len(groups)), rng.integers(20, 30, len(groups))
    )
    return tokens.astype(np.uint16)


def read(tokens):
    place = 0

    def some(many):
        nonlocal place
        found = np.take(tokens, np.arange(place, place + many), mode="wrap")
        place += many
        return found

    return some


def vectors(tokens, seed=0, tokens_read=8_192):
    counts = unigram_counts(tokens, 40)
    return cbow(read(tokens), counts, dimensions=8, tokens=tokens_read, batch=512, seed=seed)


def test_words_of_like_contexts_get_like_vectors(toy):
    found = vectors(toy, tokens_read=200_000)
    assert found.shape == (40, 8)
    unit = found / found.norm(dim=1, keepdim=True)
    near = unit @ unit.T
    same = (near[10:20, 10:20].sum() - 10) / 90
    other = near[10:20, 20:30].mean()
    assert float(same) > float(other) + 0.4


def test_the_mean_norm_is_that_of_an_embedding(toy):
    found = vectors(toy)
    assert float(found[10:30].norm(dim=1).mean()) == pytest.approx(NORM, rel=1e-5)
    assert torch.isfinite(found).all()


def test_vectors_are_the_same_for_a_seed_and_leave_the_global_one_alone(toy):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    first = vectors(toy)
    assert torch.equal(torch.rand(3), wanted)
    assert torch.equal(first, vectors(toy))
    assert not torch.equal(first, vectors(toy, seed=1))
