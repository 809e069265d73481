"""Prompts scored together: the numbers of each alone, one forward pass a row, words of any count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from playground import PlaygroundError, Template
from playground.prompts import AGGREGATIONS

ROWS = ["I really like the film.", "", "The food was bad and slow!", "x" * 30_000, "No."]
KINDS = ("shipped", "bert", "roberta", "xlm-roberta")


def prompts(make, kind):
    """Prompts of one template that differ in words, weights, aggregation and calibration."""
    split = {"positive": ["great", "grandiose"], "negative": ["bad"]}
    return [
        make(),
        make(labels={"positive": [("great", 2.0)], "negative": ["sad", "awful"]}),
        make(calibration="contextual"),
        make(calibration="corpus", prior_texts=["The weather was bad.", "It is a place."]),
        *(make(aggregation=name) for name in AGGREGATIONS),
        *([make(labels=split, calibration="domain")] if kind == "shipped" else []),
    ]


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_each_prompt_gets_what_it_gets_alone(kind, words, open_model, make_prompt):
    prompting, tried = open_model(kind), prompts(make_prompt, kind)
    for prompt, scores in zip(
        tried, prompting.classify_together(ROWS, tried, words=words), strict=True
    ):
        alone = prompting.classify(ROWS, prompt, words=words)
        np.testing.assert_allclose(scores.probabilities, alone.probabilities, atol=1e-6)
        assert scores.words == alone.words
        assert scores.predictions == alone.predictions
        assert (scores.errors, set(scores.errors)) == (alone.errors, {3})
        assert scores.tokens.tolist() == alone.tokens.tolist()
        if words:
            np.testing.assert_allclose(scores.word_log_probs, alone.word_log_probs, atol=1e-5)
            np.testing.assert_allclose(scores.mass, alone.mass, atol=1e-6)


def test_all_prompts_share_one_forward_pass_a_row(prompting, make_prompt):
    tried = prompts(make_prompt, "bert")
    prompting.classify_together(ROWS[:2], tried)  # priors are remembered
    before = prompting.runner.prompts_run
    prompting.classify_together(ROWS[:2], tried)
    assert prompting.runner.prompts_run - before == 2


def test_what_cannot_be_scored_together_says_why(prompting, make_prompt):
    one = make_prompt()
    with pytest.raises(PlaygroundError, match=r"^There is no prompt to score with; give at least"):
        prompting.classify_together(["a"], [])
    message = r'^The templates "\{text\} Because it was \{mask\}\." and "\{text\} \{mask\}" differ;'
    with pytest.raises(PlaygroundError, match=message):
        prompting.classify_together(["a"], [one, one.with_template("{text} {mask}")])
    other = replace(one, scoring=replace(one.scoring, pieces="mean"))
    message = r'^pieces is "sum" in one prompt and "mean" in another; prompts that are scored'
    with pytest.raises(PlaygroundError, match=message):
        prompting.classify_together(["a"], [one, other])
    with pytest.raises(PlaygroundError, match=r"^classify takes a list of texts; write \[\"a\"\]"):
        prompting.classify_together("a", [one])


@pytest.mark.parametrize("kind", KINDS)
def test_words_of_no_label_get_the_plain_log_probabilities(kind, open_model, plain_of):
    words = ["sad", "great", "bad", "good"]
    rows = ["The food was slow.", "x" * 30_000, "No."]
    found = open_model(kind).word_log_probs(rows, Template("{text} It was {mask}."), words)
    assert np.isnan(found[1]).all()
    plain = plain_of(kind)
    for n in (0, 2):
        expected = plain.word_log_probs(words, f"{rows[n]} It was {plain.mask}.").numpy()
        assert found[n] == pytest.approx(expected, abs=1e-4)
    with pytest.raises(PlaygroundError, match=r"^The template has no \{mask\}; put \{mask\} where"):
        open_model(kind).word_log_probs(rows, Template("{text}"), words)


@pytest.mark.parametrize("kind", KINDS)
def test_single_words_are_one_piece_each_and_letters_only(kind, open_model):
    model = open_model(kind)
    words = model.vocabulary.single_words()
    pieces = model.vocabulary.encode_words(words)
    assert all(word.single and word.text.isalpha() and len(word.text) > 2 for word in pieces)
    assert len({word.ids for word in pieces}) == len(words) > 10
    assert {"great", "good", "the"} <= set(words)
    assert not model.backbone.encoder.special_ids.intersection(word.ids[0] for word in pieces)
