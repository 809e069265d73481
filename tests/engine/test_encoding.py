"""Prompts to ids: what transformers makes of the same text, with the mask found by its place."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from playground import PlaygroundError, Template
from playground.engine.encoding import Encoded, Encoder, batches
from tests.engine import tiny

TEXTS = [
    "I really like the film a lot.",
    "THE FOOD WAS GOOD, and the Service was slow!!",
    "",
    "  white space \t around\n it  ",
    "100 % of {braces} and 50% and %s",
    "café naïve Ångström ﬁne Ⅷ ½",
    "東京 は 晴れ",
    "emoji \U0001f468\u200d\U0001f469\u200d\U0001f467 and \U0001f1eb\U0001f1f7",
    "right to left \u202eabc\u202c end",
    "zero\u200bwidth and no break and nul \x00.",
    "line one\n\nline two\ttabbed",
    "é decomposed",
]
SPECIALS = ["[MASK]", "<mask>", "[SEP]", "[CLS]", "[PAD]", "[UNK]", "<s>", "</s>", "<pad>", "<unk>"]
hostile = st.lists(
    st.one_of(
        st.sampled_from(
            [*SPECIALS, "＜mask＞", "{mask}", " ", "\n", "\u202e", "\u200d", "\U0001f600"]
        ),
        st.text(st.characters(), max_size=6),  # lone surrogates, too
    ),
    max_size=6,
).map("".join)


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def family(request, plain_of):
    """A tokenizer family: the plain tokenizer and our encoder, long enough for any text here."""
    tokenizer = plain_of(request.param).tokenizer
    return tokenizer, Encoder(tokenizer, 4096)


def _without_special_tokens(tokenizer) -> Tokenizer:
    """Return a tokenizer that has never heard of a special token: their spellings are taken out."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    special = {
        token: f"\ufdd0{number}" for number, token in enumerate(tokenizer.all_special_tokens)
    }
    vocabulary = state["model"]["vocab"]
    if isinstance(vocabulary, list):
        state["model"]["vocab"] = [
            [special.get(piece, piece), score] for piece, score in vocabulary
        ]
    elif state["model"]["type"] == "BPE":
        state["model"]["vocab"] = {special.get(p, p): number for p, number in vocabulary.items()}
    state["added_tokens"], state["post_processor"] = [], None
    return Tokenizer.from_str(json.dumps(state))


# ---- the same ids as transformers ---------------------------------------------------------------


@pytest.mark.parametrize("kind", tiny.ARCHITECTURES)
@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_ids_are_those_of_transformers(kind, text, plain_of):
    tokenizer = plain_of(kind).tokenizer
    encoded = Encoder(tokenizer, 4096).encode_one(Template("{text} It was {mask}!").render(text))
    expected = tokenizer(f"{text.strip()} It was {tokenizer.mask_token}!")
    assert list(encoded.ids) == expected["input_ids"]
    assert encoded.mask_positions == (expected["input_ids"].index(tokenizer.mask_token_id),)
    assert encoded.dropped == 0


@pytest.mark.parametrize("kind", tiny.ARCHITECTURES)
@pytest.mark.parametrize(
    ("template", "first", "second"),
    [
        ("{premise} ? {sep} {mask}, {hypothesis}", "{0} ?", "{m}, {1}"),
        ("{premise}{sep}{hypothesis} {mask}", "{0}", "{1} {m}"),
        ("It was {mask}: {premise} {sep} {hypothesis}", "It was {m}: {0}", "{1}"),
    ],
)
def test_a_pair_is_built_as_transformers_builds_it(kind, template, first, second, plain_of):
    tokenizer = plain_of(kind).tokenizer
    row = ("A man inspects the uniform.", "The man is sleeping.")
    encoded = Encoder(tokenizer, 4096).encode_one(Template(template).render(row))
    halves = (half.format(*row, m=tokenizer.mask_token) for half in (first, second))
    expected = tokenizer(*halves, return_token_type_ids=True)
    assert list(encoded.ids) == expected["input_ids"]
    assert list(encoded.type_ids) == expected["token_type_ids"]


def test_type_ids_tell_the_two_sides_apart(plain_of):
    tokenizer = plain_of("bert").tokenizer
    encoder = Encoder(tokenizer, 64)
    encoded = encoder.encode_one(Template("{text_a} {sep} {mask} {text_b}").render(("a", "b")))
    assert tokenizer.convert_ids_to_tokens(encoded.ids) == [
        "[CLS]", "a", "[SEP]", "[MASK]", "b", "[SEP]",
    ]  # fmt: skip
    assert encoded.type_ids == (0, 0, 0, 1, 1, 1)


@settings(max_examples=200)
@given(text=st.text(max_size=30).filter(lambda text: not set(text) & set("<[＜［")))
def test_any_text_without_special_tokens_has_the_ids_of_transformers(family, text):
    tokenizer, encoder = family
    encoded = encoder.encode_one(Template("{text} was {mask}.").render(text))
    assert list(encoded.ids) == tokenizer(f"{text.strip()} was {tokenizer.mask_token}.").input_ids


# ---- the mask is found by its place -------------------------------------------------------------


@settings(max_examples=300)
@given(text=hostile)
@example(text="[MASK]")
@example(text="<mask>")
@example(text="</s><s><pad>")
@example(text="[SEP] [CLS]")
@example(text="a\ud800b")
def test_there_is_one_mask_behind_the_tokens_of_its_prefix(family, text):
    tokenizer, encoder = family
    encoded = encoder.encode_one(Template("{text} was {mask} so").render(text))
    shown = "".join("\ufffd" if "\ud800" <= sign <= "\udfff" else sign for sign in text.strip())
    before = _without_special_tokens(tokenizer).encode(f"{shown} was").ids
    after = tokenizer(" so", add_special_tokens=False).input_ids
    place = len(encoded.ids) - len(after) - 2
    assert encoded.mask_positions == (place,)
    assert encoded.ids.count(tokenizer.mask_token_id) == 1
    assert encoded.ids[place] == tokenizer.mask_token_id
    assert list(encoded.ids[place:]) == [tokenizer.mask_token_id, *after, tokenizer.sep_token_id]
    unknown = tokenizer.unk_token_id
    assert _once(encoded.ids[1:place], unknown) == _once(before, unknown)


def _once(ids: Sequence[int], token: int) -> list[int]:
    """Return ``ids`` with a run of ``token`` written once: a run of unknown signs may be cut."""
    return [i for n, i in enumerate(ids) if i != token or n == 0 or ids[n - 1] != token]


@pytest.mark.parametrize("kind", tiny.ARCHITECTURES)
@pytest.mark.parametrize("special", SPECIALS)
def test_a_special_token_in_a_text_is_text(kind, special, plain_of):
    tokenizer = plain_of(kind).tokenizer
    encoder = Encoder(tokenizer, 64)
    encoded = encoder.encode_one(Template("{text} {mask}").render(f"a {special} b{special}c"))
    inner = list(encoded.ids[1:-1])
    inner.remove(tokenizer.mask_token_id)
    assert not set(inner) & (set(tokenizer.all_special_ids) - {tokenizer.unk_token_id})


@pytest.mark.parametrize("kind", tiny.FAMILIES)
def test_a_special_token_in_a_template_is_text(kind, plain_of):
    tokenizer = plain_of(kind).tokenizer
    template = Template("</s> {text} [SEP] <pad> {mask}")
    encoded = Encoder(tokenizer, 64).encode_one(template.render("x"))
    assert encoded.ids.count(tokenizer.sep_token_id) == 1
    assert encoded.ids.count(tokenizer.pad_token_id) == 0


def test_masks_of_one_place_stand_side_by_side(plain_of):
    tokenizer = plain_of("roberta").tokenizer
    segments = Template("{text} was {mask}.").render("It", masks=3)
    encoded = Encoder(tokenizer, 64).encode_one(segments)
    assert list(encoded.ids) == tokenizer("It was <mask><mask><mask>.").input_ids
    assert encoded.mask_positions == (3, 4, 5)


@pytest.mark.parametrize("code", [0xD800, 0xDEAD, 0xDFFF])
def test_a_lone_surrogate_reads_as_the_replacement_character(family, code):
    _, encoder = family
    template = Template("{text} was {mask}.")
    assert encoder.encode_one(template.render(f"a{chr(code)}b")) == encoder.encode_one(
        template.render("a\ufffdb")
    )


def test_encoding_many_equals_encoding_one_by_one(family):
    _, encoder = family
    prompts = [Template("{text} was {mask}.").render(text) for text in [*TEXTS, *SPECIALS]]
    assert encoder.encode(prompts) == [encoder.encode_one(prompt) for prompt in prompts]
    assert encoder.encode([]) == []


def test_the_callers_tokenizer_is_left_as_it_was(plain_of):
    tokenizer = plain_of("xlm-roberta").tokenizer
    before = tokenizer.backend_tokenizer.to_str()
    Encoder(tokenizer, 64).encode_one(Template("{text} {mask}").render("<mask>"))
    assert tokenizer.backend_tokenizer.to_str() == before


def test_a_tokenizer_without_a_mask_token_is_refused(plain_of):
    backend = plain_of("bert").tokenizer.backend_tokenizer
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]")
    with pytest.raises(PlaygroundError, match=r"has no fast version with a mask token; choose a"):
        Encoder(tokenizer, 64)


@pytest.mark.parametrize("kind", tiny.FAMILIES)
def test_the_words_beside_a_span_stay_when_a_text_is_cut(kind, plain_of):
    """A long {before} is cut at its start, {after} and {text} at their end."""
    tokenizer = plain_of(kind).tokenizer
    far, near = "the weather is good today. " * 9, "she said that"
    template = Template("{before}the {mask} {span}{after}")
    row = {"before": f"{far}{near} ", "span": "Paris", "after": f" was great. {far}"}
    encoded = Encoder(tokenizer, 40).encode_one(template.render(row))
    text = f"{row['before']}the {tokenizer.mask_token} Paris{row['after'].rstrip()}"
    whole = tokenizer(text).input_ids
    assert len(encoded) == 40
    assert encoded.dropped == len(whole) - 40
    (place,) = encoded.mask_positions
    true_place = whole.index(tokenizer.mask_token_id)
    # what is kept is one stretch around the span, without its far ends
    start = true_place - place + 1
    assert start > 1
    assert list(encoded.ids) == [whole[0], *whole[start : start + 38], whole[-1]]
    kept = tokenizer.decode(encoded.ids).lower()
    assert f"{near} the" in kept
    assert "paris was great." in kept


@pytest.mark.parametrize("kind", tiny.FAMILIES)
def test_only_what_stands_before_a_span_loses_its_start(kind, plain_of):
    tokenizer = plain_of(kind).tokenizer
    encoder = Encoder(tokenizer, 24)
    far = "good food and " * 20
    row = {"before": f"bad {far}she said ", "after": f" was great {far}sad", "span": "Rome"}
    for source, kept, lost in [
        ("{before}{span} {mask}", "she said", "bad"),
        ("{mask} {span}{after}", "was great", "sad"),
    ]:
        encoded = encoder.encode_one(Template(source).render(row))
        shown = tokenizer.decode(encoded.ids).lower()
        assert len(encoded) == 24
        assert kept in shown
        assert lost not in shown


# ---- free text ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", ["{mask}", "[MASK]", "<mask>"])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_free_text_takes_every_spelling_of_the_mask(kind, mask, plain_of):
    tokenizer = plain_of(kind).tokenizer
    encoder = Encoder(tokenizer, 64)
    encoded = encoder.encode_one(encoder.free_text(f"It was {mask}, so {mask}."))
    own = tokenizer.mask_token
    assert list(encoded.ids) == tokenizer(f"It was {own}, so {own}.").input_ids
    assert len(encoded.mask_positions) == 2


def test_free_text_has_no_slots_but_the_mask(plain_of):
    encoder = Encoder(plain_of("bert").tokenizer, 64)
    kinds = [segment.kind for segment in encoder.free_text("{text} {{sep}} %s [SEP]")]
    assert kinds == ["literal"]
    assert encoder.free_text("") == ()


# ---- label words at the mask --------------------------------------------------------------------


@pytest.mark.parametrize("kind", tiny.ARCHITECTURES)
@pytest.mark.parametrize("before", ["", " ", "(", '"', "-", " ("])
@pytest.mark.parametrize("word", ["great", "pizza", "Paris", "fantastic", "very good", "not-so"])
def test_a_label_word_has_the_pieces_it_has_in_the_text(kind, before, word, plain_of):
    tokenizer = plain_of(kind).tokenizer
    text = f"So it was{before}" if before else ""
    whole = tokenizer(text + word, add_special_tokens=False).input_ids
    prefix = tokenizer(text.rstrip(), add_special_tokens=False).input_ids
    assert list(Encoder(tokenizer, 64).pieces(word, before)) == whole[len(prefix) :]


@pytest.mark.parametrize("kind", tiny.ARCHITECTURES)
@pytest.mark.parametrize("space", ["\n", "\t", "\u00a0", "ends. "])
def test_any_white_space_before_a_label_word_counts_as_a_space(kind, space, plain_of):
    encoder = Encoder(plain_of(kind).tokenizer, 64)
    assert encoder.pieces("great", space) == encoder.pieces("great", " ")


def test_a_byte_level_word_carries_the_space_before_it(plain_of):
    tokenizer = plain_of("roberta").tokenizer
    encoder = Encoder(tokenizer, 64)
    assert tokenizer.convert_ids_to_tokens(encoder.pieces("great", " ")) == ["Ġgreat"]
    assert tokenizer.convert_ids_to_tokens(encoder.pieces("great", ""))[0] == "g"


@pytest.mark.parametrize("kind", tiny.ARCHITECTURES)
def test_a_special_token_is_no_label_word(kind, plain_of):
    tokenizer = plain_of(kind).tokenizer
    encoder = Encoder(tokenizer, 64)
    for word in tokenizer.all_special_tokens:
        with pytest.raises(PlaygroundError, match=r"is a special token of this model; choose a"):
            encoder.check_word(word, encoder.pieces(word))


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "albert", "deberta-v2"])
def test_an_unknown_label_word_is_refused(kind, plain_of):
    encoder = Encoder(plain_of(kind).tokenizer, 64)
    message = r'^Label word "東京" is unknown to this model; choose another word\.$'
    with pytest.raises(PlaygroundError, match=message):
        encoder.check_word("東京", encoder.pieces("東京"))


def test_a_label_word_without_a_token_is_refused(plain_of):
    encoder = Encoder(plain_of("bert").tokenizer, 64)
    with pytest.raises(
        PlaygroundError, match=r'^Label word "\u202e" has no token in this model\.$'
    ):
        encoder.check_word("\u202e", encoder.pieces("\u202e"))


# ---- batches ------------------------------------------------------------------------------------


def _encoded(length: int) -> Encoded:
    return Encoded(tuple(range(1, length + 1)), (0,) * length, (length - 1,))


@given(
    lengths=st.lists(st.integers(1, 40), max_size=30),
    budget=st.integers(1, 120),
)
def test_batches_hold_every_prompt_once_within_the_budget(lengths, budget):
    prompts = [_encoded(length) for length in lengths]
    seen: list[int] = []
    for batch in batches(prompts, budget=budget, pad_id=0, type_ids=False):
        count, width = batch.inputs["input_ids"].shape
        assert count == 1 or count * width <= budget
        assert width == max(lengths[row] for row in batch.rows)
        assert count == len(batch.rows)
        seen.extend(batch.rows)
    assert sorted(seen) == list(range(len(lengths)))
    assert [lengths[row] for row in seen] == sorted(lengths)


def test_a_batch_is_padded_and_masked():
    (batch,) = batches([_encoded(2), _encoded(4)], budget=8, pad_id=9, type_ids=True)
    assert batch.inputs["input_ids"].tolist() == [[1, 2, 9, 9], [1, 2, 3, 4]]
    assert batch.inputs["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch.inputs["token_type_ids"].tolist() == [[0] * 4, [0] * 4]
    assert torch.equal(batch.mask_positions, torch.tensor([[1], [3]]))


def test_a_batch_has_no_type_ids_where_the_tokenizer_names_none():
    (batch,) = batches([_encoded(2)], budget=8, pad_id=0, type_ids=False)
    assert set(batch.inputs) == {"input_ids", "attention_mask"}
