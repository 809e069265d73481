"""Every shipped prompt card: whole, with sources, and made of words that the shipped model knows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from playground import resources
from playground.prompts import Prompt, RulePrompt

NAMES = resources.card_names()
TEMPLATES = [(name, t.source) for name in NAMES for t in Prompt.load(name).templates]


def single_pieces(prompting, prompt: Prompt) -> dict[str, int]:
    """Return each label word with how many pieces it has where the template's mask stands."""
    pieces = prompting.vocabulary.encode_prompt(prompt)
    return {word.text: len(word.ids) for word in pieces}


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_whole(name):
    prompt = Prompt.load(name)
    assert prompt.name == name
    assert len(prompt.templates) >= 3
    assert len(set(prompt.templates)) == len(prompt.templates)
    assert len(prompt.examples) >= 3
    assert prompt.description.strip()
    assert prompt.source.strip()
    assert prompt.language in ("en", "mul")


@pytest.mark.parametrize("name", NAMES)
def test_a_card_states_nothing_that_is_lost(name):
    written = json.loads(resources.card_path(name).read_text(encoding="utf-8"))
    assert Prompt.load(name).to_json() == written


@pytest.mark.parametrize("name", NAMES)
def test_a_card_fits_a_link(name):
    prompt = Prompt.load(name)
    assert Prompt.from_link(prompt.link()) == prompt
    assert len(prompt.link()) < 2000  # what mail and chat programs leave whole


@pytest.mark.parametrize(("name", "template"), TEMPLATES)
def test_every_example_fills_every_template(name, template):
    prompt = Prompt.load(name).with_template(template)
    assert len(prompt.examples) == len(Prompt.load(name).examples)
    for example in prompt.examples:
        assert prompt.template.fill(example).count("[MASK]") == 1


@pytest.mark.parametrize(("name", "template"), TEMPLATES)
def test_every_label_word_is_one_known_piece(prompting, name, template):
    prompt = Prompt.load(name).with_template(template)
    pieces = single_pieces(prompting, prompt)  # an unknown word is an error
    assert {word: count for word, count in pieces.items() if count != 1} == {}


@pytest.mark.parametrize("name", NAMES)
def test_every_label_word_stands_in_the_vocabulary(prompting, name):
    vocabulary = prompting.backbone.tokenizer.get_vocab()  # uncased
    words = [word.text for word in Prompt.load(name).verbalizer.words]
    assert [word for word in words if word.lower() not in vocabulary] == []


@pytest.mark.parametrize(("name", "template"), TEMPLATES)
def test_a_card_classifies_its_own_examples(prompting, name, template):
    prompt = Prompt.load(name).with_template(template)
    scores = prompting.classify(prompt.examples, prompt)
    assert scores.errors == {}
    assert scores.dropped.tolist() == [0] * len(prompt.examples)
    assert scores.labels == prompt.verbalizer.names
    np.testing.assert_allclose(scores.probabilities.sum(1), 1.0, atol=1e-5)
    assert np.ptp(scores.probabilities, axis=0).max() > 1e-4  # the text counts


# ---- cards of rules -------------------------------------------------------------------------------

RULES = resources.card_names("rules")


@pytest.mark.parametrize("name", RULES)
def test_a_card_of_rules_is_whole_and_states_nothing_that_is_lost(name):
    written = json.loads(resources.card_path(name, "rules").read_text(encoding="utf-8"))
    prompt = RulePrompt.load(name)
    assert prompt.to_json() == written
    assert prompt.name == name
    assert len(prompt.examples) >= 3
    assert prompt.description.strip()
    assert prompt.source.strip()
    assert name not in NAMES  # one name, one card


@pytest.mark.parametrize("name", RULES)
def test_a_card_of_rules_is_read_by_the_shipped_model(prompting, name):
    prompt = RulePrompt.load(name)
    scores = prompting.classify(prompt.examples, prompt)  # a word that splits is an error
    assert scores.errors == {}
    np.testing.assert_allclose(scores.probabilities.sum(1), 1.0, atol=1e-5)
    vocabulary = prompting.backbone.tokenizer.get_vocab()
    assert [word for word in scores.words if word.lower() not in vocabulary] == []
    for mask in scores.masks:
        assert np.ptp(mask.probabilities, axis=0).max() > 1e-4  # the text counts at every mask
