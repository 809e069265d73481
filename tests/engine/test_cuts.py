"""How a pair that is too long is cut: from the longer text, as transformers does, or by ratio."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from playground.engine.classifier import PAIR
from playground.engine.encoding import CUTS, Encoder, cut_by_ratio, cut_longest
from tests.engine import tiny

LIMIT = 24
LENGTHS = st.lists(st.integers(0, 300), min_size=1, max_size=4)


@st.composite
def cuts(draw) -> tuple[list[int], int]:
    """Return the lengths of some texts, and how many tokens are too many."""
    lengths = draw(LENGTHS)
    return lengths, draw(st.integers(0, sum(lengths)))


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@given(case=cuts())
def test_exactly_the_excess_is_dropped(cut, case):
    lengths, excess = case
    assume(sum(lengths))
    kept = cut(lengths, excess)
    assert sum(kept) == sum(lengths) - excess
    assert all(0 <= count <= length for count, length in zip(kept, lengths, strict=True))


@given(case=cuts())
def test_the_longest_first_leaves_shorter_texts_whole(case):
    lengths, excess = case
    kept = cut_longest(lengths, excess)
    shortened = [count for count, length in zip(kept, lengths, strict=True) if count < length]
    assert all(count >= max(kept) - 1 for count in shortened)
    for count, length in zip(kept, lengths, strict=True):
        if length < max(kept):
            assert count == length


@given(case=cuts())
def test_the_ratio_of_the_lengths_is_kept_to_a_token(case):
    lengths, excess = case
    assume(sum(lengths))
    share = (sum(lengths) - excess) / sum(lengths)
    kept = cut_by_ratio(lengths, excess)
    texts = sum(length > 0 for length in lengths)
    if all(length * share >= 1 for length in lengths if length):  # no text needs its last token
        assert all(abs(count - n * share) < 1 for count, n in zip(kept, lengths, strict=True))
    if sum(lengths) - excess >= texts:
        assert all(count >= 1 for count, length in zip(kept, lengths, strict=True) if length)


@pytest.mark.parametrize(
    ("lengths", "excess", "longest", "ratio"),
    [
        ((10, 10), 0, [10, 10], [10, 10]),
        ((40, 5), 30, [10, 5], [13, 2]),
        ((30, 10), 20, [10, 10], [15, 5]),
        ((5, 40), 30, [5, 10], [2, 13]),
        ((99, 1), 90, [9, 1], [9, 1]),
        ((299, 1), 298, [1, 1], [1, 1]),
        ((7, 0), 3, [4, 0], [4, 0]),
        ((3, 2), 5, [0, 0], [0, 0]),
        ((50, 30, 20), 50, [17, 17, 16], [25, 15, 10]),
    ],
)
def test_by_hand(lengths, excess, longest, ratio):
    assert sorted(cut_longest(lengths, excess)) == sorted(longest)
    assert cut_by_ratio(lengths, excess) == ratio


# ---- the same as transformers -------------------------------------------------------------------


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def tokenizer(request, plain_of):
    """A tokenizer of each family."""
    return plain_of(request.param).tokenizer


def _words(count: int, word: str) -> str:
    return " ".join([word] * count)


@pytest.mark.parametrize("limit", [LIMIT - 1, LIMIT])
@pytest.mark.parametrize("first", [0, 1, 9, 10, 11, 12, 20, 60])
@pytest.mark.parametrize("second", [1, 9, 10, 11, 12, 20, 60])
def test_the_longest_first_is_that_of_transformers(second, first, limit, tokenizer):
    pair = (_words(first, "good"), _words(second, "bad"))
    encoded = Encoder(tokenizer, limit).encode_one(PAIR.render(pair))
    whole = tokenizer(*pair)
    expected = tokenizer(*pair, truncation="longest_first", max_length=limit)
    room = limit - tokenizer.num_special_tokens_to_add(pair=True)
    one, other = (len(tokenizer(text, add_special_tokens=False).input_ids) for text in pair)
    if room % 2 and one > other > room // 2:
        assert len(encoded) == limit  # the odd token is the longer text's there, the second's here
    else:
        assert list(encoded.ids) == expected.input_ids
        if "token_type_ids" in expected:
            assert list(encoded.type_ids) == expected.token_type_ids
    assert encoded.dropped == len(whole.input_ids) - len(expected.input_ids)


@pytest.mark.parametrize(("first", "second"), [(60, 20), (20, 60), (60, 1), (1, 60), (30, 30)])
def test_a_pair_cut_by_ratio_keeps_both_starts(first, second, tokenizer):
    pair = (_words(first, "good"), _words(second, "bad"))
    encoded = Encoder(tokenizer, LIMIT, cut="ratio").encode_one(PAIR.render(pair))
    one, other = (tokenizer(text, add_special_tokens=False).input_ids for text in pair)
    kept = cut_by_ratio([len(one), len(other)], encoded.dropped)
    inner = [i for i in encoded.ids if i not in tokenizer.all_special_ids]
    assert inner == [*one[: kept[0]], *other[: kept[1]]]
    assert len(encoded) == LIMIT


@pytest.mark.parametrize("cut", CUTS)
def test_what_fits_is_the_same_with_either_cut(cut, tokenizer):
    pair = ("It was good.", "It was bad.")
    encoded = Encoder(tokenizer, 64, cut=cut).encode_one(PAIR.render(pair))
    assert (list(encoded.ids), encoded.dropped) == (tokenizer(*pair).input_ids, 0)
