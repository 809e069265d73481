"""Hidden tokens: so many as the rate says, none of them special, replaced in the shares of the recipe."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DataCollatorForLanguageModeling

from playground.tasks.pretraining.loop import masker
from playground.tasks.pretraining.masking import Masker
from tests.engine.tiny import wordpiece
from tests.tasks.pretraining.toys import CLS, MASK, SEP, recipe

SIZE = 400
SPECIAL = frozenset(range(5))
PLAIN = np.arange(5, SIZE)


def hider(rate=0.2, masked=0.8, randomised=0.1, inner=None) -> Masker:
    return Masker(MASK, SPECIAL, PLAIN, rate, masked, randomised, inner)


def some_blocks(rows: int, length: int, seed: int = 0) -> np.ndarray:
    """Return blocks of plain tokens with a separator here and there."""
    rng = np.random.default_rng(seed)
    found = rng.integers(5, SIZE, (rows, length))
    found[rng.random(found.shape) < 0.05] = SEP
    found[:, 0], found[:, -1] = CLS, SEP
    return found


@given(
    st.integers(1, 8), st.integers(8, 64), st.floats(0.01, 0.6), st.booleans(), st.integers(0, 9)
)
def test_what_is_hidden_is_told_and_all_else_stays(rows, length, rate, whole, seed):
    blocks = some_blocks(rows, length, seed)
    kept = blocks.copy()
    inner = np.arange(SIZE) % 3 == 0
    inner[:5] = False
    hidden = hider(rate, inner=inner if whole else None).hide(blocks, np.random.default_rng(seed))
    np.testing.assert_array_equal(blocks, kept)
    assert hidden.ids.shape == blocks.shape
    assert (np.diff(hidden.places) > 0).all()
    np.testing.assert_array_equal(blocks.ravel()[hidden.places], hidden.gold)
    assert not np.isin(hidden.gold, list(SPECIAL)).any()
    others = np.delete(np.arange(blocks.size), hidden.places)
    np.testing.assert_array_equal(hidden.ids.ravel()[others], blocks.ravel()[others])
    plain = (~np.isin(blocks, list(SPECIAL))).sum(axis=1)
    many = np.bincount(hidden.places // length, minlength=rows)
    np.testing.assert_array_equal(many, np.minimum(plain, max(1, round(rate * length))))


@pytest.mark.parametrize("rate", [0.15, 0.2, 0.4])
def test_the_rate_is_exact_in_every_block(rate):
    found = hider(rate).hide(np.full((50, 128), 9), np.random.default_rng(0))
    many = np.bincount(found.places // 128)
    assert set(many.tolist()) == {round(rate * 128)}


@pytest.mark.parametrize(
    ("masked", "randomised"), [(0.8, 0.1), (0.9, 0.05), (1.0, 0.0), (0.0, 0.0)]
)
def test_replacements_have_their_shares(masked, randomised):
    blocks = some_blocks(400, 128)
    found = hider(masked=masked, randomised=randomised).hide(blocks, np.random.default_rng(1))
    ids = found.ids.ravel()[found.places]
    many = len(ids)
    assert many > 9_000
    by_chance = randomised / len(PLAIN)  # a random token may be the token itself
    for share, wanted in [
        ((ids == MASK).mean(), masked),
        ((ids == found.gold).mean(), 1 - masked - randomised + by_chance),
        (((ids != MASK) & (ids != found.gold)).mean(), randomised - by_chance),
    ]:
        assert abs(share - wanted) <= 4 * (wanted * (1 - wanted) / many) ** 0.5 + 1e-12
    assert not np.isin(ids[ids != MASK], list(SPECIAL)).any()


def test_every_place_and_every_token_is_as_likely():
    """Places are drawn without regard to where they stand, and random tokens from all plain ones."""
    blocks = np.full((20_000, 18), 9)
    blocks[:, 0], blocks[:, -1] = CLS, SEP
    found = hider(0.2, masked=0.0, randomised=1.0).hide(blocks, np.random.default_rng(2))
    share = np.bincount(found.places % 18, minlength=18) / 20_000
    assert share[0] == share[-1] == 0
    wanted = 4 / 16
    assert np.abs(share[1:-1] - wanted).max() < 4.5 * (wanted * (1 - wanted) / 20_000) ** 0.5
    counts = np.bincount(found.ids.ravel()[found.places], minlength=SIZE)
    assert counts[:5].sum() == 0
    mean = len(found.places) / len(PLAIN)
    assert np.abs(counts[5:] - mean).max() < 5 * mean**0.5


def test_masks_are_new_for_each_batch_and_the_same_for_a_seed():
    blocks = some_blocks(4, 64)

    def places(seed):
        return hider().hide(blocks, np.random.default_rng([0, 2, seed])).places.tolist()

    assert places(0) == places(0)
    assert places(0) != places(1)


def test_whole_words_are_hidden_but_for_one_in_part():
    rng = np.random.default_rng(3)
    inner = np.zeros(SIZE, bool)
    inner[200:] = True
    blocks = rng.integers(5, SIZE, (200, 64))
    blocks[:, 0], blocks[:, -1] = CLS, SEP
    blocks[::4, 1] = 300  # a block that begins within a word
    found = hider(0.25, inner=inner).hide(blocks, rng)
    hidden = np.zeros(blocks.size, bool)
    hidden[found.places] = True
    hidden = hidden.reshape(blocks.shape)
    in_part = 0
    for row, shown in zip(blocks, hidden, strict=True):
        words, word = [], []
        for place in range(1, 63):
            if word and not inner[row[place]]:
                words.append(word)
                word = []
            word.append(place)
        words.append(word)
        cut = [w for w in words if 0 < shown[w].sum() < len(w)]
        assert len(cut) <= 1
        in_part += len(cut)
        assert shown.sum() == 16
    assert in_part > 0  # the number holds because a word may be cut


def test_without_whole_words_pieces_are_hidden_apart():
    inner = np.zeros(SIZE, bool)
    inner[200:] = True
    blocks = np.tile([CLS, *[9, 300] * 15, SEP], (300, 1))
    apart = hider(0.25).hide(blocks, np.random.default_rng(0))
    together = hider(0.25, inner=inner).hide(blocks, np.random.default_rng(0))

    def pairs(found):
        shown = np.zeros(blocks.size, bool)
        shown[found.places] = True
        shown = shown.reshape(blocks.shape)[:, 1:-1].reshape(-1, 2)
        return (shown.sum(axis=1) == 1).sum()

    assert pairs(together) == 0
    assert pairs(apart) > 1_000


def test_a_block_of_special_tokens_hides_nothing():
    found = hider().hide(np.full((2, 16), SEP), np.random.default_rng(0))
    assert len(found.places) == len(found.gold) == 0
    assert (found.ids == SEP).all()


def test_it_agrees_with_the_collator_of_transformers():
    """The same share hidden, the same three replacements, the same tokens spared; ours to the token."""
    tokenizer = wordpiece()
    rng = np.random.default_rng(0)
    blocks = rng.integers(5, len(tokenizer), (300, 64))
    blocks[:, 0], blocks[:, -1] = tokenizer.cls_token_id, tokenizer.sep_token_id
    ours = masker(tokenizer, recipe(mask_rate=0.15)).hide(blocks, rng)
    torch.manual_seed(0)
    collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    theirs = collate([{"input_ids": torch.from_numpy(row)} for row in blocks])
    flat = theirs["labels"].ravel().numpy()
    places = np.flatnonzero(flat != -100)
    their_ids = theirs["input_ids"].ravel().numpy()[places]
    our_ids = ours.ids.ravel()[ours.places]
    assert abs(len(places) / (300 * 62) - 0.15) < 0.012
    assert len(ours.places) == 300 * round(0.15 * 64)
    for ids, gold in ((their_ids, flat[places]), (our_ids, ours.gold)):
        mask = (ids == tokenizer.mask_token_id).mean()
        kept = (ids == gold).mean()
        assert abs(mask - 0.8) < 0.03
        assert abs(kept - 0.1) < 0.03
        assert not np.isin(gold, tokenizer.all_special_ids).any()


def test_the_masker_of_a_tokenizer_knows_its_special_tokens_and_inner_pieces():
    tokenizer = wordpiece()
    found = masker(tokenizer, recipe(whole_word=True, mask_rate=0.3, masked=0.7, randomised=0.2))
    assert found.special == {
        tokenizer.convert_tokens_to_ids(mark)
        for mark in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    }
    assert (found.rate, found.masked, found.randomised) == (0.3, 0.7, 0.2)
    assert found.mask_id == tokenizer.mask_token_id
    assert set(found.plain.tolist()) | found.special == set(range(len(tokenizer)))
    assert not set(found.plain.tolist()) & found.special
    pieces = tokenizer.get_vocab()
    assert all(found.inner[number] == piece.startswith("##") for piece, number in pieces.items())
    assert masker(tokenizer, recipe()).inner is None
