"""The Fill tab's edits: a word becomes the mask, and a prediction takes the mask's place."""

from __future__ import annotations

import pytest

from playground.app.registry import Registry
from playground.app.tabs.fill import DEFAULT_SENTENCES, EXAMPLES, INSERT, SEND, inserted, masked
from playground.app.tabs.fill import predictions as shown
from playground.errors import PlaygroundError
from playground.settings import Settings
from tests.app.elements import buttons, read

STALE_WORD = "The sentence has changed since; click the word again."
STALE_PREDICTION = "The sentence has changed since; click the prediction again."


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(Settings())


@pytest.mark.parametrize(
    ("text", "span", "expected"),
    [
        ("The man ran.", "4|7", "The {mask} ran."),
        ("Man", "0|3", "{mask}"),
        ("👩‍👩‍👧 cafe\u0301!", "6|11", "👩‍👩‍👧 {mask}!"),
        ("{mask} man", "7|10", "{mask} {mask}"),
    ],
)
def test_a_word_becomes_the_mask(text, span, expected):
    assert masked(text, span) == expected


@pytest.mark.parametrize("span", ["0|4", "3|3", "2|1", "-1|2", "9|12"])
def test_a_word_that_is_gone_is_not_masked(span):
    with pytest.raises(PlaygroundError) as error:
        masked("The", span)
    assert str(error.value) == STALE_WORD


@pytest.mark.parametrize(
    ("text", "number", "token", "expected"),
    [
        ("a {mask} c", 0, "b", "a b c"),
        ("a [MASK] c", 0, "b", "a b c"),
        ("a <mask> c", 0, "b", "a b c"),
        ("{mask} {mask}", 1, "b", "{mask} b"),
        ("{mask} {mask}", 0, "b", "b {mask}"),
        ("play {mask} now", 0, "##ing", "playing now"),
        ("{mask} x", 0, "##s", "s x"),
        ("a {mask}", 0, "##", "a"),
        ("a {mask}", 0, "\\1", "a \\1"),
    ],
)
def test_a_prediction_takes_the_masks_place(text, number, token, expected):
    assert inserted(text, number, token) == expected


@pytest.mark.parametrize(("text", "number"), [("", 0), ("a {mask}", 1), ("a {mask}", -1), ("a", 0)])
def test_a_mask_that_is_gone_is_not_filled(text, number):
    with pytest.raises(PlaygroundError) as error:
        inserted(text, number, "x")
    assert str(error.value) == STALE_PREDICTION


@pytest.mark.parametrize(("does", "verb"), [(INSERT, "Insert"), (SEND, "Add to the label:")])
def test_predictions_are_those_of_the_engine(registry, prompting, does, verb):
    html = shown(registry, "", "The man worked as a {mask}.", 5, does)
    best = prompting.fill("The man worked as a {mask}.", top_k=5)
    picks = [e for e in read(html) if e.attributes.get("data-act") == "pick"]
    assert [e.attributes["data-arg"] for e in picks] == [f"0|{fill.token}" for fill in best]
    assert [e.attributes["title"] for e in picks] == [
        f"{verb} {fill.token} (logit {fill.logit:.2f})" for fill in best
    ]


def test_a_sentence_without_a_mask_has_words_and_no_predictions(registry):
    html = shown(registry, "", "The man", 5, INSERT)
    assert buttons(html) == [("mask", "0|3", "The"), ("mask", "4|7", "man")]


@pytest.mark.parametrize("text", ["", "  \n", None])
def test_an_empty_sentence_shows_nothing(registry, text):
    assert buttons(shown(registry, "", text, 5, INSERT)) == []


def test_too_many_masks_are_refused(registry):
    with pytest.raises(PlaygroundError) as error:
        shown(registry, "", "{mask} " * 5, 5, INSERT)
    assert str(error.value) == "The sentence has 5 masks; the page shows up to 4."


@pytest.mark.parametrize("pair", EXAMPLES)
def test_every_example_is_two_sentences_with_one_mask(pair):
    assert [sentence.count("{mask}") for sentence in pair] == [1, 1]


def test_the_first_example_is_what_the_page_opens_with():
    assert EXAMPLES[0] == DEFAULT_SENTENCES
