"""A prompt that is too long loses tokens of the user's texts only, of the longest one first."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playground import PlaygroundError, Template
from playground.engine.encoding import Encoder
from tests.engine import tiny

LIMIT = 24


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def family(request, plain_of):
    """A tokenizer family: the plain tokenizer and our encoder of 24 tokens."""
    tokenizer = plain_of(request.param).tokenizer
    return tokenizer, Encoder(tokenizer, LIMIT)


def _tokens(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids


@pytest.mark.parametrize("kind", tiny.ARCHITECTURES)
def test_the_text_loses_its_end_and_the_template_nothing(kind, plain_of):
    tokenizer = plain_of(kind).tokenizer
    text = " ".join(["the film was good and"] * 40)
    whole = tokenizer(f"{text} It was {tokenizer.mask_token} so").input_ids
    tail = whole[len(tokenizer(text).input_ids) - 1 :]  # the template's tokens and the last special
    encoded = Encoder(tokenizer, 64).encode_one(Template("{text} It was {mask} so").render(text))
    assert list(encoded.ids) == whole[: 64 - len(tail)] + tail
    assert encoded.mask_positions == (encoded.ids.index(tokenizer.mask_token_id),)
    assert encoded.dropped == len(whole) - 64
    assert len(encoded.type_ids) == 64


@pytest.mark.parametrize("count", range(9))
def test_what_just_fits_is_kept_whole(count, plain_of):
    tokenizer = plain_of("bert").tokenizer
    text = " ".join(["good"] * (3 + count))  # [CLS] and 3 words, "was [MASK] ." and [SEP]: 8 tokens
    encoded = Encoder(tokenizer, 11).encode_one(Template("{text} was {mask}.").render(text))
    assert len(encoded) == min(11, 8 + count)
    assert encoded.dropped == max(0, count - 3)


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        (40, 5, (12, 5)),  # the longer one alone is cut
        (5, 40, (5, 12)),
        (40, 40, (8, 9)),  # then both in turn
        (10, 9, (8, 9)),
        (8, 9, (8, 9)),
        (17, 0, (17, 0)),
    ],
)
@pytest.mark.parametrize("border", ["so", "{sep}"])
def test_the_longest_text_is_cut_first(first, second, left, border, plain_of):
    tokenizer = plain_of("bert").tokenizer
    good, bad = tokenizer.convert_tokens_to_ids(["good", "bad"])
    template = Template(f"{{text_a}} {border} {{text_b}} was {{mask}}.")
    # 17 places for texts: [CLS], the border (a word, or the [SEP] of a pair), "was [MASK] .", [SEP]
    row = (" ".join(["good"] * first), " ".join(["bad"] * second))
    encoded = Encoder(tokenizer, 17 + 6).encode_one(template.render(row))
    assert (encoded.ids.count(good), encoded.ids.count(bad)) == left
    assert encoded.dropped == first + second - sum(left)


@pytest.mark.parametrize("kind", tiny.ARCHITECTURES)
def test_a_pair_keeps_room_for_its_special_tokens(kind, plain_of):
    tokenizer = plain_of(kind).tokenizer
    template = Template("{premise} ? {sep} {mask}, {hypothesis}")
    encoder = Encoder(tokenizer, 64)
    encoded = encoder.encode_one(template.render(("the film was good " * 30, "it was bad " * 30)))
    special = len(encoder.encode_one(template.render(("", "")))) - len(
        _tokens(tokenizer, " ?") + _tokens(tokenizer, f"{tokenizer.mask_token}, ")
    )
    assert special == tokenizer.num_special_tokens_to_add(pair=True)
    assert len(encoded) == 64
    ends = [i for i in encoded.ids if i in (tokenizer.cls_token_id, tokenizer.sep_token_id)]
    assert len(ends) == special
    assert encoded.ids.count(tokenizer.mask_token_id) == 1


def test_a_text_used_twice_is_cut_in_both_places(plain_of):
    tokenizer = plain_of("bert").tokenizer
    template = Template("{text} so {text} was {mask}.")
    encoded = Encoder(tokenizer, 16).encode_one(template.render(" ".join(["good"] * 30)))
    assert tokenizer.convert_ids_to_tokens(encoded.ids) == (
        ["[CLS]", *["good"] * 5, "so", *["good"] * 5, "was", "[MASK]", ".", "[SEP]"]
    )
    assert encoded.dropped == 50


@pytest.mark.parametrize(
    "text",
    [
        "a" + " \n" * 100 + "b",
        "a" + " " * 100 + "b",
        "a" + "\t" * 50 + "b" + "\n" * 50 + "c",
        "東 京 " * 60,
        "\U0001f600 " * 60,
    ],
    ids=["lines", "spaces", "tabs", "signs", "emoji"],
)
def test_white_space_and_signs_of_a_text_can_be_cut(family, text):
    tokenizer, encoder = family
    whole = tokenizer(f"{text.strip()} It was {tokenizer.mask_token}.").input_ids
    encoded = encoder.encode_one(Template("{text} It was {mask}.").render(text))
    assert len(encoded) == min(LIMIT, len(whole))
    assert encoded.dropped == max(0, len(whole) - LIMIT)
    tail = _tokens(tokenizer, " It was") + _tokens(tokenizer, f"{tokenizer.mask_token}.")
    assert list(encoded.ids[-1 - len(tail) : -1]) == tail


@settings(max_examples=150)
@given(texts=st.tuples(st.text(max_size=60), st.text(max_size=60)), masks=st.integers(1, 3))
def test_no_text_takes_the_place_of_the_template(family, texts, masks):
    tokenizer, encoder = family
    template = Template("So {text_a} it was {mask}, {text_b}!")
    encoded = encoder.encode_one(template.render(texts, masks=masks))
    whole = Encoder(tokenizer, 4096).encode_one(template.render(texts, masks=masks))
    assert len(encoded) == min(LIMIT, len(whole))
    assert encoded.dropped == len(whole) - len(encoded)
    assert encoded.ids.count(tokenizer.mask_token_id) == masks
    first = encoded.mask_positions[0]
    assert encoded.mask_positions == tuple(range(first, first + masks))
    before = _tokens(tokenizer, "it was")[1:]
    assert list(encoded.ids[first - len(before) : first]) == before
    assert encoded.ids[1] == _tokens(tokenizer, "So")[0]


@pytest.mark.parametrize(("text", "limit"), [("", 7), ("good", 7), ("good " * 50, 7), ("x", 3)])
def test_a_template_that_does_not_fit_alone_is_an_error(text, limit, plain_of):
    encoder = Encoder(plain_of("bert").tokenizer, limit)
    message = (
        rf"^The prompt takes 8 tokens without any text and the model reads {limit}; "
        r"shorten the template\.$"
    )
    with pytest.raises(PlaygroundError, match=message):
        encoder.encode_one(Template("{text} so it was not {mask}.").render(text))


def test_a_prompt_that_does_not_fit_leaves_the_others_alone(plain_of):
    encoder = Encoder(plain_of("bert").tokenizer, 7)
    short = Template("{text} was {mask}.").render("good")
    long = Template("{text} so it was not {mask}.").render("good")
    first, error, second = encoder.encode([short, long, short])
    assert first == second == encoder.encode_one(short)
    assert isinstance(error, PlaygroundError)


@pytest.mark.parametrize("kind", tiny.ARCHITECTURES)
def test_the_number_of_dropped_tokens_is_reported(kind, open_model, plain_of, make_prompt):
    tokenizer = plain_of(kind).tokenizer
    text = ("the film was good " * 40).strip()
    whole = tokenizer(f"{text} Because it was {tokenizer.mask_token}.").input_ids
    scores = open_model(kind).classify([text, "good"], make_prompt())
    assert scores.dropped.tolist() == [len(whole) - 64, 0]
    assert scores.tokens[0] == 64
    shown = open_model(kind).explain(text, make_prompt())
    assert (shown.tokens, shown.max_tokens, shown.dropped) == (64, 64, len(whole) - 64)


def test_free_text_is_never_cut(open_model):
    message = r"^The text is longer than the 64 tokens that the model reads; shorten it\.$"
    with pytest.raises(PlaygroundError, match=message):
        open_model("bert").fill("good " * 63 + "{mask}")
    assert len(open_model("bert").fill("good " * 61 + "{mask}")) == 5
