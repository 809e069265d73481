"""Rule prompts: composition, rules as conjunctions, cards, and what a rule cannot be."""

from __future__ import annotations

import copy
import json
import re

import pytest

import playground
from playground.errors import PlaygroundError
from playground.prompts import (
    Prompt,
    RulePrompt,
    ScoringOptions,
    SubPrompt,
    load_prompt,
    prompt_from_json,
)
from playground.prompts.rules import MAX_MASKS, Rule

CARD = {
    "name": "kin",
    "task": "rules",
    "language": "en",
    "description": "Who is who?",
    "text": "{text}",
    "prompts": [
        {"name": "head", "template": "The {mask} {head}", "words": {"person": ["man", "woman"], "place": ["city"]}},
        {"name": "verb", "template": "{mask}", "words": {"born": ["born"], "lies": [{"word": "lies", "weight": 0.5}]}},
        {"name": "tail", "template": "in the {mask} {tail}.", "words": {"place": ["city", "town"], "house": ["house"]}},
    ],
    "rules": {
        "per:born": {"head": "person", "verb": "born", "tail": "place"},
        "loc:within": {"head": "place", "verb": "lies", "tail": "place"},
        "loc:inside": {"head": "place", "verb": "lies", "tail": "house"},
    },
    "scoring": {"aggregation": "sum", "calibration": "contextual"},
    "examples": [{"text": "Ada was born in Ur.", "head": "Ada", "tail": "Ur"}],
    "source": "written for the tests",
}  # fmt: skip
ROW = {"text": "Ada [MASK] {mask} was born in Ur.", "head": "Ada", "tail": "Ur"}


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def changed(*path, value=None) -> dict:
    """Return the card with one value of it replaced, or taken away."""
    card = copy.deepcopy(CARD)
    place = card
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return card


# ---- composition ----------------------------------------------------------------------------------


def test_sub_prompts_are_composed_behind_the_text_in_order():
    prompt = RulePrompt.from_json(CARD)
    assert prompt.template.source == "{text} The {mask} {head} {mask} in the {mask} {tail}."
    assert prompt.template.fields == ("text", "head", "tail")
    assert prompt.templates == (prompt.template,)
    assert prompt.template.masks == len(prompt.masks) == 3


def test_masks_are_places_of_the_template_whatever_the_text_holds():
    kinds = [s.kind for s in RulePrompt.from_json(CARD).template.render(ROW)]
    assert kinds == ["field", "literal", "mask", "literal", "field", "literal", "mask", "literal",
                     "mask", "literal", "field", "literal"]  # fmt: skip


def test_without_a_text_part_the_sub_prompts_hold_the_texts():
    prompt = RulePrompt(
        "",
        (
            SubPrompt("stance", "{premise} {mask}, {hypothesis}", {"yes": ["yes"], "no": ["no"]}),
            SubPrompt("sure", "That is {mask}.", {"sure": ["clear"], "open": ["possible"]}),
        ),
        {
            "entailment": {"stance": "yes", "sure": "sure"},
            "neutral": {"stance": "yes", "sure": "open"},
            "contradiction": {"stance": "no", "sure": "sure"},
        },
    )
    assert prompt.template.source == "{premise} {mask}, {hypothesis} That is {mask}."
    assert prompt.choices == ((0, 0), (0, 1), (1, 0))


def test_a_class_is_a_conjunction_of_sub_labels():
    prompt = RulePrompt.from_json(CARD)
    assert prompt.labels == ("per:born", "loc:within", "loc:inside")
    assert prompt.choices == ((0, 0, 0), (1, 1, 0), (1, 1, 1))
    assert prompt.conjunction("loc:inside") == "head: place ∧ verb: lies ∧ tail: house"
    assert [mask.verbalizer.names for mask in prompt.masks] == [
        ("person", "place"), ("born", "lies"), ("place", "house")]  # fmt: skip
    assert {mask.scoring for mask in prompt.masks} == {prompt.scoring}


def test_equal_rules_are_equal_prompts_and_their_order_counts():
    prompt = RulePrompt.from_json(CARD)
    by_hand = RulePrompt(
        prompt.text,
        prompt.prompts,
        [Rule("per:born", ("person", "born", "place")), *prompt.rules[1:]],
        prompt.scoring,
    )
    assert by_hand == prompt.bare()
    assert hash(by_hand) == hash(prompt.bare())
    assert by_hand != RulePrompt(prompt.text, prompt.prompts, prompt.rules[::-1], prompt.scoring)


def test_its_template_is_composed_and_not_given():
    prompt = RulePrompt.from_json(CARD)
    assert prompt.with_template(prompt.template.source) is prompt
    message = (
        'The template of a rule prompt is composed of its sub-prompts and cannot be "{text} {mask}"; '
        "change them in the card."
    )
    with pytest.raises(PlaygroundError, match=exactly(message)):
        prompt.with_template("{text} {mask}")


# ---- cards ----------------------------------------------------------------------------------------


def test_a_card_comes_back(tmp_path):
    prompt = RulePrompt.from_json(CARD)
    assert prompt.to_json() == CARD
    prompt.save(tmp_path / "kin.json")
    assert RulePrompt.load(tmp_path / "kin.json") == prompt
    assert load_prompt(tmp_path / "kin.json") == prompt_from_json(CARD) == prompt


def test_the_least_card_has_prompts_and_rules():
    least = {key: CARD[key] for key in ("task", "prompts", "rules")}
    prompt = RulePrompt.from_json(least)
    assert (prompt.text, prompt.name, prompt.scoring) == ("", "rules", ScoringOptions())
    assert prompt.to_json() == least | {"name": "rules", "language": "en"}


def test_a_shipped_card_is_opened_by_its_name():
    assert playground.RulePrompt.load("relations").name == "relations"
    assert load_prompt("relations") == RulePrompt.load("relations")
    assert load_prompt("sentiment") == Prompt.load("sentiment")


def test_each_kind_of_card_is_opened_by_its_own_class(tmp_path):
    RulePrompt.from_json(CARD).save(tmp_path / "kin.json")
    message = (
        "The prompt card is one of rules, with several masks; this takes a card with one mask."
    )
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Prompt.load(tmp_path / "kin.json")
    message = 'A card of rules is a JSON object with "task": "rules".'
    for data in (Prompt.load("sentiment").to_json(), [CARD], None):
        with pytest.raises(PlaygroundError, match=exactly(message)):
            RulePrompt.from_json(data)


def test_a_missing_card_names_those_that_there_are():
    with pytest.raises(PlaygroundError, match=r"give a file, or one of relations\.$"):
        RulePrompt.load("relation")
    with pytest.raises(
        PlaygroundError, match=r"give a file, or one of .*sentiment.*, relations\.$"
    ):
        load_prompt("relation")


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (changed("prompts"), 'The card of rules needs "prompts", a list of sub-prompts.'),
        (changed("prompts", value={}), 'The card of rules needs "prompts", a list of sub-prompts.'),
        (changed("rules"), 'The card of rules needs "rules", an object of classes.'),
        (changed("rules", value=["x"]), 'The card of rules needs "rules", an object of classes.'),
        (changed("words", value=1), 'The prompt card has the unknown key "words"; it takes name, task, language, description, text, prompts, rules, scoring, examples, source.'),
        (changed("name", value=["x"]), '"name" of the card is "[\'x\']"; it must be text.'),
        (changed("text", value=3), '"text" of the rule prompt is "3"; it must be text.'),
        (changed("text", value="{text} {mask}"), 'The text part "{text} {mask}" has a mask; masks stand in sub-prompts.'),
        (changed("text", value="{words}"), 'Column 1 of the template has "{words}"; the slots are '),
        (changed("prompts", value=CARD["prompts"][:1]), "The rule prompt has 1 sub-prompt; give two or more, or take a prompt with one mask."),
        (changed("prompts", value=CARD["prompts"] * 99), f"The rule prompt has 297 sub-prompts; the most is {MAX_MASKS}."),
        (changed("prompts", value=[*CARD["prompts"], CARD["prompts"][0]]), 'Two sub-prompts are called "head"; rename one.'),
        (changed("prompts", 0, value="The {mask} {head}"), 'The sub-prompt "The {mask} {head}" is not whole; it is an object with name, template, words.'),
        (changed("prompts", 0, "words"), "is not whole; it is an object with name, template, words."),
        (changed("prompts", 0, "name", value=" "), "A sub-prompt has no name; give it one."),
        (changed("prompts", 0, "name", value="x" * 61), f'The sub-prompt "{"x" * 39}…" has 61 characters; the most is 60.'),
        (changed("prompts", 1, "template", value="was {mask} {mask}"), 'The sub-prompt "verb" has 2 masks; give it one {mask}, and a phrase of several words a sub-prompt for each.'),
        (changed("prompts", 1, "template", value="was"), 'The sub-prompt "verb" has 0 masks; give it one {mask}, and a phrase of several words a sub-prompt for each.'),
        (changed("prompts", 1, "words", value={"born": ["born"]}), "There is one label; give at least two, one a line."),
        (changed("prompts", 1, "words", "lies", value=["born"]), 'Label word "born" stands under both "born" and "lies"; keep one.'),
        (changed("rules", "loc:within", "tail"), "The rule of \"loc:within\" is \"{'head': 'place', 'verb': 'lies'}\"; it must give a sub-label for each of head, verb, tail."),
        (changed("rules", "loc:within", value="head"), 'The rule of "loc:within" is "head"; it must give a sub-label for each of head, verb, tail.'),
        (changed("rules", "loc:within", "tail", value="moon"), 'The rule of "loc:within" has "moon" for "tail", whose sub-labels are place, house.'),
        (changed("rules", "loc:within", "tail", value=["place"]), 'The rule of "loc:within" has "[\'place\']" for "tail", whose sub-labels are place, house.'),
        (changed("rules", "loc:within", "tail", value="house"), 'The classes "loc:within" and "loc:inside" have the same rule; let them differ in a sub-label.'),
        (changed("rules", "loc:inside"), 'The sub-label "house" of "tail" stands in no rule; use it or take it out.'),
        (changed("rules", value={}), "There are 0 rules; give at least two classes."),
        (changed("rules", value={" per:born": CARD["rules"]["per:born"], "per:born ": CARD["rules"]["loc:within"]}), 'Two rules are of the class "per:born"; keep one.'),
        (changed("rules", value={str(i): CARD["rules"]["per:born"] for i in range(10_000)}), "There are 10000 rules; the most is "),
        (changed("scoring", "calibration", value="domain"), 'The calibration is "domain"; a rule prompt takes none or contextual.'),
        (changed("examples", value=["one text"]), "The template takes {text}, {head}, {tail}, but the row is one text"),
        (changed("examples", value="x"), '"examples" of the card must be a list of texts or objects.'),
        (changed("prompts", 0, "template", value="x" * 2500 + "{mask} {head}"), "The template has "),
    ],
)  # fmt: skip
def test_a_card_that_is_wrong_says_where(card, message):
    with pytest.raises(PlaygroundError, match=re.escape(message)) as caught:
        RulePrompt.from_json(json.loads(json.dumps(card)))
    assert len(str(caught.value)) < 600


def test_parts_that_do_not_fit_together_are_told_when_they_are_composed():
    card = changed("text", value="{text} {sep}")
    card["prompts"][1]["template"] = "{sep} {mask}"
    with pytest.raises(PlaygroundError, match=r"^The template has more than one \{sep\}"):
        RulePrompt.from_json(card)


@pytest.mark.parametrize("rules", ["abc", 5, [("per:born", ("person",))], [Rule("x", ("person",))]])
def test_rules_in_python_are_checked_too(rules):
    prompt = RulePrompt.from_json(CARD)
    with pytest.raises(PlaygroundError, match=r"^(The rules are|There are 0 rules)"):
        RulePrompt("{text}", prompt.prompts, rules)
