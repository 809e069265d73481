"""What the Classify tab does to its label words, and what it opens with."""

from __future__ import annotations

import pytest

from playground.app.tabs.classify import (
    default_prompt,
    input_values,
    with_word_added,
    with_word_swapped,
)
from playground.errors import PlaygroundError
from playground.prompts import Prompt, ScoringOptions, Template, Verbalizer

WORDS = "good: great, uplifting*0.5\nbad: awful"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("great", "nice", "good: nice, uplifting*0.5\nbad: awful"),
        ("uplifting", "warm", "good: great, warm*0.5\nbad: awful"),
        ("awful", "poor", "good: great, uplifting*0.5\nbad: poor"),
        ("missing", "poor", WORDS),
    ],
)
def test_a_word_is_swapped_and_keeps_its_weight(old, new, expected):
    assert with_word_swapped(WORDS, old, new) == expected


@pytest.mark.parametrize(
    ("source", "new", "message"),
    [
        (WORDS, "awful", 'Label word "awful" stands under both "good" and "bad"; keep one.'),
        (WORDS, "", "A label word is empty; write a word or take the comma away."),
        ("good great", "x", 'Line 1 of the label words, "good great", has no colon; write it as label: word, word.'),
    ],
)  # fmt: skip
def test_a_swap_that_would_break_the_words_is_refused(source, new, message):
    with pytest.raises(PlaygroundError) as error:
        with_word_swapped(source, "great", new)
    assert str(error.value) == message


def test_a_word_is_added_to_its_label():
    assert with_word_added(WORDS, "bad", "poor") == "good: great, uplifting*0.5\nbad: awful, poor"


@pytest.mark.parametrize(
    ("label", "word", "message"),
    [
        ("ugly", "poor", "There is no label ugly; the labels are good, bad."),
        ("bad", "awful", 'Label word "awful" stands twice under "bad"; keep one.'),
        ("bad", "great", 'Label word "great" stands under both "good" and "bad"; keep one.'),
        ("bad", ",", 'Label word "," holds ","; write words between commas, and weights as good*0.5.'),
    ],
)  # fmt: skip
def test_an_addition_that_would_break_the_words_is_refused(label, word, message):
    with pytest.raises(PlaygroundError) as error:
        with_word_added(WORDS, label, word)
    assert str(error.value) == message


def test_the_page_opens_with_the_sentiment_card_calibrated():
    card, opened = Prompt.load("sentiment"), default_prompt()
    assert (opened.template, opened.verbalizer) == (card.template, card.verbalizer)
    assert opened.scoring == ScoringOptions(calibration="contextual")


def test_the_inputs_hold_every_choice_of_a_prompt():
    prompt = Prompt(
        Template("{text_a} {mask} {text_b}"),
        Verbalizer.from_text(WORDS),
        ScoringOptions(
            "max", "corpus", domain="It {mask}.", prior_texts=("x", "y"), fill_order="parallel", pieces="mean"
        ),
    )  # fmt: skip
    assert input_values(prompt, ("a", "b")) == [
        *("a", "b", "{text_a} {mask} {text_b}", WORDS),
        *("max", "corpus", "It {mask}.", "x\ny", "parallel", "mean"),
    ]
