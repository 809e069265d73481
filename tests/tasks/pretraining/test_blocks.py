"""Blocks hold every token of every document once a pass, none is padding, and a stream goes on anywhere."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.tasks.pretraining.blocks import Blocks, Stream, held_out_blocks
from tests.tasks.pretraining.toys import CLS, SEP, corpus

DOCUMENTS = st.lists(
    st.lists(st.integers(10, 500), min_size=1, max_size=30), min_size=1, max_size=12
)
TAKES = st.lists(st.integers(1, 40), min_size=1, max_size=12)


def split(tokens: np.ndarray) -> list[tuple[int, ...]]:
    """Return the documents between separators, the unfinished last one left out."""
    found, last = [], []
    for token in tokens.tolist():
        if token == SEP:
            found.append(tuple(last))
            last = []
        else:
            last.append(token)
    return found


@given(DOCUMENTS, TAKES, st.integers(0, 5))
def test_each_document_stands_there_once_a_pass(documents, takes, seed):
    stream = Stream(corpus(documents), SEP, (seed, 0))
    a_pass = sum(len(document) + 1 for document in documents)
    tokens = []
    while len(tokens) < 3 * a_pass:
        tokens.extend(stream.take(takes[len(tokens) % len(takes)]).tolist())
    wanted = Counter(tuple(document) for document in documents)
    for number in range(3):
        part = np.array(tokens[number * a_pass : (number + 1) * a_pass])
        assert part[-1] == SEP
        assert Counter(split(part)) == wanted


@given(DOCUMENTS, TAKES, st.integers(0, 200))
def test_a_stream_goes_on_anywhere(documents, takes, stop):
    whole = Stream(corpus(documents), SEP, (7, 0))
    before = [whole.take(1) for _ in range(stop)]
    again = Stream(corpus(documents), SEP, (7, 0))
    if stop:
        np.testing.assert_array_equal(again.take(stop), np.concatenate(before))
    assert again.state == whole.state
    assert again.passes == whole.passes
    restored = Stream(corpus(documents), SEP, (7, 0))
    restored.state = whole.state
    for many in takes:
        np.testing.assert_array_equal(restored.take(many), whole.take(many))


def test_passes_have_orders_of_their_own_and_seeds_too():
    documents = [[10 + number] for number in range(50)]

    def orders(seed):
        tokens = Stream(corpus(documents), SEP, (seed, 0)).take(200).tolist()
        return tokens[:100:2], tokens[100::2]

    first, second = orders(0)
    assert sorted(first) == sorted(second) == list(range(10, 60))
    assert first != second
    assert orders(0) == (first, second)
    assert orders(1)[0] != first


def test_passes_are_counted_in_documents():
    stream = Stream(corpus([[10, 11], [12, 13]]), SEP, (0, 0))
    seen = [stream.passes]
    for _ in range(4):
        stream.take(3)
        seen.append(stream.passes)
    assert seen == [0.0, 0.5, 1.0, 1.5, 2.0]


def blocks(*corpora, seed=0) -> Blocks:
    return Blocks(corpora, first=CLS, separator=SEP, seed=seed)


def test_a_block_is_a_first_token_tokens_and_a_separator():
    documents = [list(range(10 + 20 * k, 10 + 20 * k + k + 1)) for k in range(15)]
    source = blocks(corpus(documents))
    found = [source.batch(step, 4, 8) for step in range(20)]
    for batch in found:
        assert batch.shape == (4, 8)
        assert batch.dtype == np.int64
        assert (batch[:, 0] == CLS).all()
        assert (batch[:, -1] == SEP).all()
    inner = np.concatenate([batch[:, 1:-1].ravel() for batch in found])
    np.testing.assert_array_equal(inner, Stream(corpus(documents), SEP, (0, 0)).take(len(inner)))


def test_batches_are_the_same_for_a_seed_and_go_on_from_a_state():
    both = (corpus([[10, 11], [12]], 1.0, "a"), corpus([[20, 21, 22]], 2.0, "b"))
    whole, again = blocks(*both, seed=3), blocks(*both, seed=3)
    for step in range(6):
        np.testing.assert_array_equal(whole.batch(step, 5, 8), again.batch(step, 5, 8))
    restored = blocks(*both, seed=3)
    restored.state = whole.state
    assert restored.passes == whole.passes
    for step, (rows, length) in enumerate([(5, 8), (2, 16), (1, 32)], start=6):
        np.testing.assert_array_equal(
            whole.batch(step, rows, length), restored.batch(step, rows, length)
        )
    assert (blocks(*both, seed=3).batch(0, 8, 8) != blocks(*both, seed=4).batch(0, 8, 8)).any()


def test_a_state_of_other_corpora_is_refused():
    source = blocks(corpus([[10]]))
    with pytest.raises(ValueError, match="zip"):
        source.state = [[0, 0, 0], [0, 0, 0]]


def test_blocks_are_mixed_by_share():
    names = {10: 0.5, 20: 0.3, 30: 0.2}
    source = blocks(*(corpus([[token]], 10 * share) for token, share in names.items()))
    rows = 6_000
    firsts = source.batch(0, rows, 8)[:, 1:-1].max(axis=1)
    for token, share in names.items():
        sigma = (share * (1 - share) / rows) ** 0.5
        assert abs((firsts == token).mean() - share) < 4 * sigma


@given(DOCUMENTS, st.integers(8, 16), st.integers(1, 6))
def test_held_out_blocks_are_the_corpus_in_order(documents, length, most):
    joined = [token for document in documents for token in (*document, SEP)]
    room = length - 2
    rows = min(most, len(joined) // room)
    found = held_out_blocks(corpus(documents), first=CLS, separator=SEP, length=length, most=most)
    assert found.shape == (rows, length)
    assert (found[:, 0] == CLS).all()
    assert (found[:, -1] == SEP).all()
    assert found[:, 1:-1].ravel().tolist() == joined[: rows * room]


def test_nothing_held_out_is_no_block():
    found = held_out_blocks(corpus([]), first=CLS, separator=SEP, length=16, most=4)
    assert found.shape == (0, 16)
