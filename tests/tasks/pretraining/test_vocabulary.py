"""A vocabulary is that of tokenizers, opens as any BERT's, and one that cannot be is told."""

from __future__ import annotations

import pytest
from tokenizers import BertWordPieceTokenizer, Tokenizer, models
from transformers import AutoTokenizer, BertTokenizerFast

from playground.errors import PlaygroundError
from playground.tasks.pretraining.vocabulary import (
    SPECIAL,
    keep_vocabulary,
    kept_vocabulary,
    train_tokenizer,
)
from tests.engine.tiny import SENTENCES

TEXTS = ["I saw a Café, unsurprisingly.", "Don't go - the [MASK] says 漢字!", "", "  two  words "]


def theirs(texts, size: int, lowercase: bool = True) -> set[str]:
    """Return the pieces of tokenizers' own BERT; which of equally frequent ones come first is chance."""
    made = BertWordPieceTokenizer(lowercase=lowercase)
    made.train_from_iterator(
        texts, vocab_size=size, min_frequency=2, limit_alphabet=5_000, show_progress=False,
        special_tokens=list(SPECIAL),
    )  # fmt: skip
    return set(made.get_vocab())


def test_the_pieces_are_the_most_frequent_pairs():
    """By hand: ##u+##g 20 times, ##u+##n 16, h+##ug 15, p+##un 12; no two are equally frequent."""
    words = {"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}
    texts = [" ".join([word] * many) for word, many in words.items()]
    found = train_tokenizer(lambda: texts, 20)
    wanted = [*SPECIAL, "##g", "##n", "##s", "##u", *"bghnpsu", "##ug", "##un", "hug", "pun"]
    assert found.convert_ids_to_tokens(range(20)) == wanted
    assert set(wanted) == theirs(texts, 20)
    assert found.tokenize("hugs bugs") == ["hug", "##s", "b", "##ug", "##s"]


@pytest.mark.parametrize("lowercase", [True, False])
def test_characters_are_those_of_tokenizers(lowercase):
    texts = [*SENTENCES, *TEXTS, "e\u0301te\u0301r naïve 漢字漢 a漢 x漢y İstanbul ﬁx A-b can't"]
    ours = train_tokenizer(lambda: texts, most_pieces(texts, lowercase), lowercase=lowercase)
    short = {piece for piece in ours.get_vocab() if len(piece.removeprefix("##")) == 1}
    assert short == {
        piece for piece in theirs(texts, 5_000, lowercase) if len(piece.removeprefix("##")) == 1
    }


@pytest.mark.parametrize("lowercase", [True, False])
def test_texts_are_encoded_as_by_a_berts_tokenizer(lowercase):
    ours = train_tokenizer(lambda: SENTENCES, 150, lowercase=lowercase)
    own = BertTokenizerFast(vocab=ours.get_vocab(), do_lower_case=lowercase)
    for text in (*SENTENCES, *TEXTS):
        assert ours(text)["input_ids"] == own(text)["input_ids"], text
        assert ours(text, "so it is")["token_type_ids"] == own(text, "so it is")["token_type_ids"]


def most_pieces(texts, lowercase: bool) -> int:
    """Return how many pieces the texts hold, as the message tells it."""
    with pytest.raises(PlaygroundError) as told:
        train_tokenizer(lambda: texts, 20_000, lowercase=lowercase)
    return int(str(told.value).split()[3])


@pytest.mark.parametrize("lowercase", [True, False])
def test_the_same_texts_give_the_same_ids(lowercase):
    texts = [*SENTENCES, "Ünï cödé — naïve café", "e\u0301te\u0301r 漢字漢 a漢 x漢y", "İstanbul ﬁx"]
    first = train_tokenizer(lambda: texts, 170, lowercase=lowercase).get_vocab()
    for _ in range(5):
        assert train_tokenizer(lambda: texts, 170, lowercase=lowercase).get_vocab() == first
    assert sorted(first.values()) == list(range(170))


def test_case_is_kept_where_it_is_asked():
    cased = train_tokenizer(lambda: SENTENCES, 150, lowercase=False)
    uncased = train_tokenizer(lambda: SENTENCES, 150)
    assert uncased.tokenize("THE food") == uncased.tokenize("the food")
    assert cased.tokenize("The") != cased.tokenize("the")
    assert "I" in cased.get_vocab()
    assert "I" not in uncased.get_vocab()


def test_special_tokens_are_a_berts():
    found = train_tokenizer(lambda: SENTENCES, 150, longest=40)
    assert found.convert_ids_to_tokens(range(5)) == list(SPECIAL)
    assert (found.pad_token_id, found.unk_token_id, found.mask_token_id) == (0, 1, 4)
    assert (found.cls_token_id, found.sep_token_id) == (2, 3)
    assert found.model_max_length == 40
    assert found("it [MASK] ☃")["input_ids"] == [
        2, *found.convert_tokens_to_ids(["it", "[MASK]", "[UNK]"]), 3,
    ]  # fmt: skip
    assert found.decode(found("it was unsurprising")["input_ids"], skip_special_tokens=True)


def test_it_opens_again_through_transformers(tmp_path):
    found = train_tokenizer(lambda: SENTENCES, 150, longest=40)
    found.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.get_vocab() == found.get_vocab()
    assert again.model_max_length == 40
    for text in (*SENTENCES, *TEXTS):
        assert dict(again(text)) == dict(found(text))
        assert list(again(text)) == ["input_ids", "token_type_ids", "attention_mask"]


def test_a_size_that_the_texts_do_not_hold_is_told_with_one_that_they_do():
    with pytest.raises(PlaygroundError) as told:
        train_tokenizer(lambda: SENTENCES, 20_000)
    pieces = int(str(told.value).split()[3])
    assert str(told.value) == (
        f"The texts hold {pieces} pieces, fewer than the vocabulary of 20,000; give more text, or "
        f"--vocabulary {pieces} or less."
    )
    assert len(train_tokenizer(lambda: SENTENCES, pieces)) == pieces


def test_more_characters_than_pieces_are_told():
    with pytest.raises(PlaygroundError) as told:
        train_tokenizer(lambda: SENTENCES, 20)
    least = int(str(told.value).split()[7])
    assert str(told.value) == (
        f"The characters of the texts alone are {least} pieces, more than the vocabulary of 20; give "
        f"--vocabulary {least} or more."
    )
    assert len(train_tokenizer(lambda: SENTENCES, least)) == least


@pytest.mark.parametrize("texts", [[], ["", "  ", "\t"], ["\x00\x01"]])
def test_texts_without_a_word_are_told(texts):
    with pytest.raises(PlaygroundError) as told:
        train_tokenizer(lambda: texts, 100)
    assert str(told.value) == "The texts hold no word to make a vocabulary of; give more text."


def test_an_error_of_the_texts_comes_through():
    def texts():
        yield "so far"
        raise PlaygroundError("The file is damaged.")

    with pytest.raises(PlaygroundError, match=r"^The file is damaged\.$"):
        train_tokenizer(texts, 100)


def test_it_is_kept_with_its_note(tmp_path):
    found = train_tokenizer(lambda: SENTENCES, 150)
    place = tmp_path / "vocabulary"
    assert kept_vocabulary(place) is None
    keep_vocabulary(found, place, {"size": 150})
    keep_vocabulary(found, place, {"size": 151})
    again, note = kept_vocabulary(place)
    assert note == {"size": 151}
    assert again.get_vocab() == found.get_vocab()
    assert [path.name for path in tmp_path.iterdir()] == ["vocabulary"]
    assert isinstance(Tokenizer.from_file(str(place / "tokenizer.json")).model, models.WordPiece)


def test_half_a_vocabulary_is_none(tmp_path):
    place = tmp_path / "vocabulary"
    keep_vocabulary(train_tokenizer(lambda: SENTENCES, 150), place, {})
    (place / "note.json").write_text("{")
    assert kept_vocabulary(place) is None
