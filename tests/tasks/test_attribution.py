"""Leaving words out, one by one: the engine's own numbers with the word and without it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playground import Prompt, Template, Verbalizer
from playground.errors import PlaygroundError
from playground.tasks.attribution import leave_one_out

WORDS = Verbalizer({"positive": ["great", "good"], "negative": ["awful", "bad"]})


def prompt(source: str = "{text} It was {mask}.", calibration: str = "contextual") -> Prompt:
    made = Prompt(Template(source), WORDS)
    return replace(made, scoring=replace(made.scoring, calibration=calibration))


def share(prompting, text, chosen: Prompt, label: str) -> float:
    scores = prompting.classify([text], chosen)
    return float(scores.probabilities[0, scores.labels.index(label)])


def test_an_effect_is_the_probability_with_the_word_minus_without_it(prompting):
    text = "The food was awful, nobody cared."
    found = leave_one_out(prompting, text, prompt())
    full = share(prompting, text, prompt(), found.label)
    assert found.probability == pytest.approx(full, abs=1e-6)
    without = {
        "food": "The was awful, nobody cared.",
        "awful": "The food was , nobody cared.",
        "cared": "The food was awful, nobody .",
        "The": "food was awful, nobody cared.",
    }
    effects = {p.text: p.effect for p in found.pieces if p.field and p.effect is not None}
    for word, rest in without.items():
        expected = full - share(prompting, rest, prompt(), found.label)
        assert effects[word] == pytest.approx(expected, abs=1e-5), word
    assert found.strongest(1)[0].text == "awful"


@pytest.mark.parametrize("calibration", ["none", "contextual"])
def test_a_word_of_the_template_is_left_out_with_its_prior(prompting, calibration):
    text = "A film about trains."
    found = leave_one_out(prompting, text, prompt(calibration=calibration))
    own = {p.text: p.effect for p in found.pieces if p.field is None and p.effect is not None}
    assert list(own) == ["It", "was", "."]
    for word, source in (
        ("It", "{text} was {mask}."),
        ("was", "{text} It {mask}."),
        (".", "{text} It was {mask}"),
    ):
        fewer = share(prompting, text, prompt(source, calibration), found.label)
        assert own[word] == pytest.approx(found.probability - fewer, abs=1e-5)


@pytest.mark.parametrize(
    ("source", "row"),
    [
        ("{text} It was {mask}.", "One word-by-word test, isn't it?"),
        ("{{odd}} {text}: {mask} {text}", "twice"),
        ("{premise}? {mask}, {hypothesis}", {"premise": "A dog runs", "hypothesis": "It moves."}),
        ("{text} {sep} It was {mask}.", "a [MASK] {mask} <b>"),
        ("{mask} news: {text}", "  blanks  "),
    ],
)
def test_the_pieces_are_the_filled_prompt(prompting, source, row):
    chosen = prompt(source)
    found = leave_one_out(prompting, row, chosen)
    shown = "".join(p.text for p in found.pieces).replace(" ┃ ", " ")
    assert " ".join(shown.split()) == " ".join(chosen.template.fill(row).split())
    assert all(-1 <= (p.effect or 0) <= 1 for p in found.pieces)
    assert {p.kind for p in found.pieces} <= {"word", "gap", "mask"}


def test_only_the_first_words_are_left_out(prompting):
    found = leave_one_out(prompting, "one two three four five", prompt(), most_words=3)
    assert found.words == 3
    assert [p.text for p in found.pieces if p.effect is not None] == ["one", "two", "three"]


@settings(max_examples=15, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_cut_and_scored(prompting, text):
    found = leave_one_out(prompting, text, prompt(calibration="none"))
    kept = "".join(p.text for p in found.pieces if p.field == "text")
    assert kept == text.strip()


def test_a_row_that_cannot_be_scored_says_why(prompting):
    with pytest.raises(PlaygroundError, match=r"^text has 20,001 characters; the most is 20,000\."):
        leave_one_out(prompting, "x" * 20_001, prompt())
