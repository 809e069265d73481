"""Label words as a model reads them: pieces, collisions, spellings, suggestions."""

from __future__ import annotations

import pytest
import torch

from playground import PlaygroundError, Template
from playground.engine.label_words import WordPieces, text_before_mask
from tests.engine import tiny

SPLIT = "fantastic"  # of several pieces in every tiny model


@pytest.mark.parametrize(
    ("template", "before"),
    [
        ("{mask} is it", ""),
        ("It was {mask}.", " "),
        ("{text} {mask}", " "),
        ("{text}{mask}", " "),
        ("({mask}) {text}", "("),
        ("so\n{mask}", "\n"),
        ("{{{mask}}}", "{"),
        ("{text_a}{sep}{mask} {text_b}", ""),
        ("{text_a} {sep} {mask} {text_b}", ""),  # white space beside {sep} belongs to no side
        ("{text_a} {sep} ({mask}) {text_b}", "("),
        ("{text_a} {sep} so {mask} {text_b}", " "),
        ("{text_a} {sep} {text_b}{mask}", " "),
        ("It was {mask} {sep} {text}", " "),
    ],
)
def test_what_stands_before_the_mask(template, before):
    assert text_before_mask(Template(template)) == before


@pytest.mark.parametrize("kind", tiny.FAMILIES)
def test_a_word_at_the_border_of_a_pair_is_the_one_of_the_text(
    kind, open_model, plain_of, make_prompt
):
    tokenizer = plain_of(kind).tokenizer
    prompt = make_prompt("{text} {sep} {mask}, yes", {"a": ["great"], "b": ["bad"]})
    (great, _) = open_model(kind).vocabulary.encode_prompt(prompt)
    expected = tokenizer("It", "great, yes").input_ids
    special = tokenizer.num_special_tokens_to_add
    start = len(tokenizer("It").input_ids) + special(pair=True) - special() - 1
    assert list(great.ids) == expected[start : start + len(great.ids)]


@pytest.mark.parametrize("kind", tiny.ARCHITECTURES)
def test_words_after_a_text_are_single_pieces(kind, open_model, plain_of, make_prompt):
    words = open_model(kind).vocabulary.encode_prompt(make_prompt())
    plain = plain_of(kind)
    assert [word.ids for word in words] == [
        (plain.word_id(word),) for word in ("great", "good", "awful", "bad")
    ]
    assert all(word.single for word in words)


def test_one_word_twice_to_an_uncased_model_is_an_error(open_model, make_prompt):
    labels = {"positive": ["Good"], "negative": ["good"]}
    message = r'^Label words "Good" and "good" are the same to this model; keep one\.$'
    with pytest.raises(PlaygroundError, match=message):
        open_model("bert").vocabulary.encode_prompt(make_prompt(labels=labels))


def test_a_cased_model_tells_them_apart(open_model, make_prompt):
    labels = {"positive": ["Good"], "negative": ["good"]}
    good, small = open_model("roberta").vocabulary.encode_prompt(make_prompt(labels=labels))
    assert good.ids != small.ids


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
def test_a_prompt_with_an_unknown_word_is_refused(kind, open_model, make_prompt):
    prompt = make_prompt(labels={"positive": ["great"], "negative": ["東京"]})
    message = r'^Label word "東京" is unknown to this model; choose another word\.$'
    with pytest.raises(PlaygroundError, match=message):
        open_model(kind).classify(["good"], prompt)


@pytest.mark.parametrize("kind", tiny.FAMILIES)
def test_a_prompt_with_a_special_token_is_refused(kind, open_model, plain_of, make_prompt):
    mask = plain_of(kind).mask
    prompt = make_prompt(labels={"positive": ["great"], "negative": [mask]})
    with pytest.raises(PlaygroundError, match=r"is a special token of this model; choose a plain"):
        open_model(kind).classify(["good"], prompt)


def test_logit_sum_takes_single_pieces_only(open_model, make_prompt):
    labels = {"positive": ["great"], "negative": [SPLIT]}
    model = open_model("roberta")
    pieces = model.vocabulary.tokens(model.backbone.encoder.pieces(SPLIT))
    message = (
        rf'^Label word "{SPLIT}" is {len(pieces)} pieces \({" ".join(pieces)}\) and logit_sum adds '
        r"single logits; choose a word of one piece or another aggregation\.$"
    )
    with pytest.raises(PlaygroundError, match=message):
        model.classify(["good"], make_prompt(labels=labels, aggregation="logit_sum"))


# ---- spellings ----------------------------------------------------------------------------------


def test_pieces_are_shown_as_the_vocabulary_spells_them(open_model):
    vocabulary = open_model("roberta").vocabulary
    (word,) = vocabulary.encode_words(["great"])
    assert vocabulary.tokens(word.ids) == ("Ġgreat",)
    assert vocabulary.readable(word.ids[0]) == "great"


@pytest.mark.parametrize("kind", tiny.ARCHITECTURES)
def test_every_row_of_the_vocabulary_has_a_spelling(kind, open_model):
    model = open_model(kind)
    ids = range(model.backbone.vocabulary_size)
    assert all(isinstance(token, str) and token for token in model.vocabulary.tokens(ids))
    assert all(model.vocabulary.readable(number) for number in ids)


def test_rows_without_a_token_show_their_number(open_model, plain_of):
    model = open_model("deberta-v2")
    first = len(plain_of("deberta-v2").tokenizer)
    assert model.backbone.vocabulary_size == first + tiny.SPARE_ROWS
    assert model.vocabulary.tokens([first]) == (f"[no token {first}]",)
    assert model.vocabulary.readable(first) == f"[no token {first}]"
    everything = model.fill("It was {mask}.", top_k=first + tiny.SPARE_ROWS)
    assert f"[no token {first}]" in [fill.token for fill in everything]


# ---- suggestions --------------------------------------------------------------------------------


def _logits(model) -> torch.Tensor:
    return model.runner.logits([model._free_text("It was {mask}.")])[0][0]


def _word(model, text: str) -> WordPieces:
    return WordPieces(text, model.backbone.encoder.pieces(text))


@pytest.mark.parametrize("kind", ["shipped", "bert", "roberta", "xlm-roberta"])
def test_suggestions_are_other_whole_words_of_one_piece(kind, open_model):
    model = open_model(kind)
    split = _word(model, "fantastically")
    assert not split.single
    found = model.vocabulary.suggest(split, _logits(model), count=5)
    assert len(set(found)) == 5
    for text in found:
        assert text.isalpha()
        assert _word(model, text).single
    others = [_word(model, found[0].upper()), _word(model, found[1])]
    again = model.vocabulary.suggest(split, _logits(model), own=others[:1], others=others[1:])
    assert len(again) == 2
    assert not {text.lower() for text in again} & {text.lower() for text in found[:2]}


def test_suggestions_are_the_nearest_of_the_likely_words(open_model, plain_of):
    model, plain = open_model("shipped"), plain_of("shipped")
    ids = plain.tokenizer("fantastically", add_special_tokens=False).input_ids
    table = plain.model.get_input_embeddings().weight.detach()
    likely = [
        (i, token)
        for i in plain.logits("It was [MASK].")[0].topk(300).indices.tolist()
        for token in plain.tokenizer.convert_ids_to_tokens([i])
        if i not in ids and token.isalpha() and len(token) > 2
    ]
    nearness = torch.cosine_similarity(table[[i for i, _ in likely]], table[ids].mean(0)[None])
    best = [likely[k][1] for k in nearness.argsort(descending=True)[:3].tolist()]
    word = _word(model, "fantastically")
    assert model.vocabulary.suggest(word, _logits(model), count=3) == tuple(best)


def test_a_split_label_word_comes_with_suggestions(prompting, make_prompt):
    labels = {"positive": ["great", "fantastically"], "negative": ["bad"]}
    words = prompting.explain("Good.", make_prompt(labels=labels)).words
    assert [word.rank is None for word in words] == [False, True, False]
    assert [len(word.suggestions) for word in words] == [0, 2, 0]
    assert len(words[1].pieces) > 1


def test_a_single_piece_has_a_rank_and_no_suggestions(open_model, plain_of):
    plain = plain_of("shipped")
    (score,) = open_model("shipped").score_words("It was {mask}.", ["good"])
    order = plain.log_probs("It was [MASK].").argsort(descending=True).tolist()
    assert score.rank == order.index(plain.word_id("good")) + 1
    assert score.suggestions == ()
    assert score.pieces == ("good",)
