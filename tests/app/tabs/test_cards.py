"""The card panel: buttons that carry what they set, and card files that say what is wrong with them."""

from __future__ import annotations

import json

import pytest

from playground import resources
from playground.app import samples
from playground.app.tabs.cards import card_from_file, card_html, first_texts
from playground.errors import PlaygroundError
from playground.prompts import Prompt, Template, Verbalizer
from tests.app.elements import buttons, read, texts
from tests.app.payloads import PAYLOADS

CARD = {"templates": ["{text} {mask}."], "labels": {"a": ["x"], "b": ["y"]}}


def rows_of(card: Prompt) -> list[list[str]]:
    return [list(card.template.bind(example).values()) for example in card.examples]


@pytest.mark.parametrize("name", resources.card_names())
def test_a_shipped_card_shows_its_templates_examples_and_samples(name):
    card = Prompt.load(name)
    html = card_html(card)
    _, kinds = samples.kinds(name)
    assert buttons(html) == [
        *(("template", t.source, t.source) for t in card.templates),
        *(("example", json.dumps(row), " · ".join(row)) for row in rows_of(card)),
        *(("sample", f"{name}|{kind}", kind) for kind in kinds),
    ]
    captions = texts(html, "pp-caption")
    assert captions[0] == card.description
    assert captions[-1] == f"Source: {card.source}"


@pytest.mark.parametrize("name", resources.card_names())
def test_a_shipped_card_has_one_box_for_a_file(name):
    inputs = [e.attributes for e in read(card_html(Prompt.load(name))) if e.tag == "input"]
    assert inputs == [{"type": "file", "accept": ".json,application/json"}]


def test_a_drawn_sample_is_remarked_on():
    remark = "Drawn: “<x>”, a review that we labelled positive."
    assert texts(card_html(Prompt.load("sentiment"), remark), "pp-remark") == [remark]


def test_a_card_without_a_sample_set_offers_none():
    html = card_html(Prompt.load("spam"))
    assert texts(html, "pp-remark") == []
    assert {act for act, _, _ in buttons(html)} == {"template", "example"}


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_in_a_card_adds_no_element(payload):
    source = payload.replace("{", "{{").replace("}", "}}") + " {text} {mask}"
    card = Prompt(
        Template(source),
        Verbalizer({"a": ["x"], "b": ["y"]}),
        name=payload,
        description=payload,
        examples=(payload,),
        source=payload,
    )
    html = card_html(card)
    assert [e.tag for e in read(html)] == [
        *("p", "p", "div", "button", "p", "div", "button"),
        *("div", "label", "input", "p"),
    ]
    assert buttons(html) == [
        ("template", source, source),
        ("example", json.dumps([payload]), payload),
    ]
    assert texts(html, "pp-caption")[0] == payload


def test_the_first_example_opens_with_its_card():
    assert first_texts(Prompt.load("sentiment")) == (
        "What a warm, clever and beautiful little play!",
    )
    assert first_texts(Prompt.load("nli")) == (
        "A girl in a red coat is riding a horse",
        "A girl is riding an animal.",
    )
    assert first_texts(Prompt(Template("{mask}"), Verbalizer({"a": ["x"], "b": ["y"]}))) == ()


@pytest.mark.parametrize("name", resources.card_names())
def test_a_saved_card_opens(name):
    card = Prompt.load(name)
    assert card_from_file(json.dumps(card.to_json())) == card


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "The file is not a prompt card: it is not JSON."),
        ("{", "The file is not a prompt card: it is not JSON."),
        ("\x89PNG\r\n", "The file is not a prompt card: it is not JSON."),
        ("[" * 100_000, "The file is not a prompt card: it is not JSON."),
        ("[]", "A prompt card is a JSON object with templates and labels."),
        ("null", "A prompt card is a JSON object with templates and labels."),
        ("{}", 'The prompt card needs "templates", a list with at least one.'),
        (json.dumps({"templates": ["{mask}"]}), 'The prompt card needs "labels", a list of words for each label.'),
        (json.dumps({**CARD, "code": "x"}), 'The prompt card has the unknown key "code"; it takes name, task, language, description, templates, labels, scoring, examples, source.'),
        (json.dumps({**CARD, "templates": ["no gap"]}), "The template has no {mask}; put {mask} where a label word should stand."),
        (json.dumps({**CARD, "labels": {"a": ["x"]}}), "There is one label; give at least two, one a line."),
        (" " * (1 << 20) + "{}", "The card is larger than 1 MiB; it was not opened."),
    ],
    ids=["empty", "cut", "picture", "deep", "list", "null", "object", "labels", "key", "mask", "label", "size"],
)  # fmt: skip
def test_a_file_that_is_no_card_says_why(content, message):
    with pytest.raises(PlaygroundError) as error:
        card_from_file(content)
    assert str(error.value) == message
