"""The cache of tensors: bounded in bytes, least recently used first, safe between threads."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from playground.engine.cache import TensorCache, cost
from playground.engine.encoding import Encoded


def _row(value: float, size: int = 4) -> torch.Tensor:
    return torch.full((size,), float(value))  # 4 bytes an entry


FOUR = cost("a", _row(0.0))  # an entry of one letter and four numbers


def test_what_was_put_is_got():
    cache = TensorCache(2 * FOUR)
    cache.put("a", _row(1.0))
    assert torch.equal(cache.get("a"), _row(1.0))
    assert cache.get("b") is None
    assert (len(cache), cache.nbytes) == (1, FOUR)


def test_the_least_recently_used_goes_first():
    cache = TensorCache(3 * FOUR)
    for key in "abc":
        cache.put(key, _row(ord(key)))
    cache.get("a")
    cache.put("d", _row(4.0))
    assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "c", "d"]
    assert cache.nbytes == 3 * FOUR


def test_a_key_put_again_counts_once():
    cache = TensorCache(3 * FOUR)
    cache.put("a", _row(1.0))
    cache.put("a", _row(2.0, 8))
    assert torch.equal(cache.get("a"), _row(2.0, 8))
    assert (len(cache), cache.nbytes) == (1, FOUR + 16)


@pytest.mark.parametrize(("limit", "size"), [(0, 1), (FOUR - 1, 4), (FOUR, 5)])
def test_what_is_larger_than_the_cache_is_not_kept(limit, size):
    cache = TensorCache(limit)
    cache.put("a", _row(1.0, size))
    assert cache.get("a") is None
    assert (len(cache), cache.nbytes) == (0, 0)


def test_a_value_that_grew_too_large_leaves_no_old_value():
    cache = TensorCache(FOUR)
    cache.put("a", _row(1.0))
    cache.put("a", _row(2.0, 5))
    assert cache.get("a") is None
    assert cache.nbytes == 0


def test_a_kept_row_is_a_copy_not_a_view_of_its_batch():
    batch = torch.zeros(1000, 4)
    cache = TensorCache(2 * FOUR)
    cache.put("a", batch[0])
    batch.fill_(7.0)
    assert torch.equal(cache.get("a"), _row(0.0))
    assert cache.get("a").untyped_storage().nbytes() == 16


@given(
    limit=st.integers(0, 4 * FOUR),
    puts=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 20)), max_size=60),
)
def test_bytes_are_counted_and_bounded(limit, puts):
    cache = TensorCache(limit)
    for key, size in puts:
        cache.put(key, _row(key, size))
        held = {k: row for k in range(10) if (row := cache.get(k)) is not None}
        assert cache.nbytes == sum(cost(k, row) for k, row in held.items()) <= limit
        assert len(cache) == len(held)


def test_threads_leave_the_count_right():
    cache = TensorCache(10 * FOUR)

    def work(seed: int) -> bool:
        right = True
        for k in range(300):
            key = (seed * 7 + k * 3) % 25
            cache.put(key, _row(key, 1 + key % 5))
            row = cache.get((key + 1) % 25)
            right = right and (row is None or bool((row == (key + 1) % 25).all()))
        return right

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    held = {k: row for k in range(25) if (row := cache.get(k)) is not None}
    assert cache.nbytes == sum(cost(k, row) for k, row in held.items()) <= 10 * FOUR


@pytest.mark.parametrize("tokens", [2, 60, 500])
def test_keys_are_counted_as_python_holds_them(tokens):
    """Prompts are far larger than the one number that is kept of each."""
    cache = TensorCache(1 << 20)
    tracemalloc.start()
    try:
        for number in range(3_000):
            ids = tuple(1_000 + number + place for place in range(tokens))
            cache.put((Encoded(ids, (0,) * tokens, (3,)), ids[:2], "left"), torch.zeros(()))
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 1 << 19 < cache.nbytes <= 1 << 20
    assert held <= 1.1 * cache.nbytes  # the tensors' own numbers are not traced, and few
