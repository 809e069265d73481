"""Attacks on cards and links: damaged, deeply nested, huge or hostile ones give one clear error."""

from __future__ import annotations

import base64
import json
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playground import resources
from playground.errors import PlaygroundError
from playground.prompts import (
    AGGREGATIONS,
    Prompt,
    RulePrompt,
    ScoringOptions,
    Template,
    Verbalizer,
    load_prompt,
    prompt_from_json,
)
from playground.prompts.link import unpack
from tests.attacks.strategies import attacks, literals, outcome, refused, texts, verbalizers

MEBIBYTE = 1 << 20

# ---- cards --------------------------------------------------------------------------------------

junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts, attacks),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)
scorings = st.builds(
    ScoringOptions,
    aggregation=st.sampled_from(sorted(AGGREGATIONS)),
    calibration=st.sampled_from(["none", "contextual", "domain"]),
    content_free=st.lists(texts, min_size=1, max_size=3).map(tuple),
    domain=texts,
    prior_texts=st.lists(texts, max_size=3).map(tuple),
)
one_mask = st.tuples(literals, st.sampled_from(["{mask}", "[MASK]"])).map(
    lambda pair: pair[0].replace("{", "{{").replace("}", "}}") + " {text} " + pair[1]
)
prompts = st.builds(
    Prompt,
    one_mask.map(Template),
    verbalizers(),
    scorings,
    name=texts,
    task=st.sampled_from(["classification", "entity", "nli"]),
    language=texts,
    description=texts,
    alternatives=st.lists(one_mask.map(Template), max_size=2).map(tuple),
    examples=st.lists(st.one_of(texts, st.fixed_dictionaries({"text": texts})), max_size=3).map(tuple),
    source=texts,
)  # fmt: skip


@settings(max_examples=150)
@given(prompts)
def test_a_prompt_survives_its_card_and_its_link(prompt):
    assert Prompt.from_json(json.loads(json.dumps(prompt.to_json()))) == prompt
    assert Prompt.from_link(prompt.link("https://example.org/")) == prompt


parts_of_scoring = st.fixed_dictionaries({}, optional={
    "aggregation": st.one_of(st.sampled_from(["mean", "sum", "best"]), junk),
    "calibration": st.one_of(st.sampled_from(["none", "corpus"]), junk),
    "content_free": st.one_of(st.lists(texts, max_size=2), junk),
    "prior_texts": st.one_of(st.lists(texts, max_size=2), junk),
    "domain": junk, "fill_order": junk, "pieces": junk,
})  # fmt: skip
word = st.one_of(texts, st.fixed_dictionaries({"word": texts}, optional={"weight": junk}), junk)
cards = st.fixed_dictionaries(
    {"templates": st.one_of(st.just(["{text} {mask}"]), st.lists(attacks, max_size=3), junk)},
    optional={
        "labels": st.one_of(
            st.just({"a": ["x"], "b": ["y"]}),
            st.dictionaries(texts, st.lists(word, max_size=3), max_size=3),
            junk,
        ),
        "scoring": st.one_of(parts_of_scoring, junk),
        "examples": st.one_of(st.lists(st.dictionaries(st.just("text"), junk), max_size=2), junk),
        **dict.fromkeys(["name", "task", "language", "description", "source", "other"], junk),
    },
)


@settings(max_examples=400)
@given(st.one_of(cards, junk))
def test_any_json_is_a_card_or_an_error(data):
    prompt = outcome(lambda: Prompt.from_json(json.loads(json.dumps(data))))
    if not refused(prompt):
        assert Prompt.from_json(prompt.to_json()) == prompt


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_card_file_loads_or_says_why(tmp_path_factory, data):
    raw = bytearray(resources.card_path("sentiment").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))]
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_bytes(raw)
    assert isinstance(outcome(lambda: Prompt.load(path)), Prompt | PlaygroundError)


rule_words = st.dictionaries(texts, st.lists(word, max_size=2), min_size=1, max_size=3)
sub_prompts = st.fixed_dictionaries(
    {"name": st.one_of(st.just("head"), texts), "template": st.one_of(st.just("{mask}"), attacks)},
    optional={"words": st.one_of(st.just({"a": ["x"], "b": ["y"]}), rule_words, junk)},
)
rule_cards = st.fixed_dictionaries(
    {
        "task": st.just("rules"),
        "prompts": st.one_of(st.lists(sub_prompts, max_size=3), junk),
        "rules": st.one_of(st.dictionaries(texts, st.one_of(st.just({"head": "a"}), junk), max_size=3), junk),
    },
    optional={
        "text": st.one_of(attacks, junk),
        "scoring": st.one_of(parts_of_scoring, junk),
        **dict.fromkeys(["name", "language", "description", "source", "examples", "other"], junk),
    },
)  # fmt: skip


@settings(max_examples=150)
@given(rule_cards)
def test_any_json_of_rules_is_a_card_or_an_error(data):
    prompt = outcome(lambda: prompt_from_json(json.loads(json.dumps(data))))
    if not refused(prompt):
        assert prompt_from_json(prompt.to_json()) == prompt


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_card_of_rules_loads_or_says_why(tmp_path_factory, data):
    raw = bytearray(resources.card_path("relations", "rules").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged_rules.json"
    path.write_bytes(raw)
    prompt = outcome(lambda: load_prompt(path))
    if isinstance(prompt, RulePrompt):
        assert prompt_from_json(json.loads(json.dumps(prompt.to_json()))) == prompt


DEEP = 400  # levels, less than the parser of JSON refuses by itself


@pytest.mark.parametrize("inner", ["[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP])
@pytest.mark.parametrize("key", ["name", "templates", "labels", "scoring", "examples", "other"])
@pytest.mark.parametrize("frame", ["%s", "[%s]", '{"text": %s, "aggregation": %s}'])
def test_a_deeply_nested_card_is_refused(key, frame, inner):
    card = {"templates": ["{text}{mask}"], "labels": {"a": ["x"], "b": ["y"]}, key: "HERE"}
    text = json.dumps(card).replace('"HERE"', frame.replace("%s", inner))
    assert refused(outcome(lambda: Prompt.from_json(json.loads(text))))


# ---- links --------------------------------------------------------------------------------------

CARD = Prompt(
    Template("{text} Because it was {mask}."),
    Verbalizer({"positive": ["great", ("good", 0.5)], "negative": ["awful", "bad"]}),
    examples=("I really like the film a lot.",),
    description="Is it good or bad?",
)
TOKEN = CARD.link().removeprefix("?p=")


def link_of(raw: bytes, version: str = "1") -> str:
    return f"{version}." + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def bomb(megabytes: int) -> bytes:
    """Return that many MB of zeros, deflated: about a thousandth."""
    deflate = zlib.compressobj(9)
    zeros = bytes(1_000_000)
    return b"".join([*(deflate.compress(zeros) for _ in range(megabytes)), deflate.flush()])


@settings(max_examples=1000)
@given(st.one_of(texts, st.text("ABCxyz019-_.=?&", max_size=80).map("1.".__add__)))
def test_any_text_is_a_link_or_an_error(link):
    assert refused(outcome(lambda: Prompt.from_link(link)))


def test_every_link_that_is_cut_is_refused():
    assert Prompt.from_link(TOKEN) == CARD
    opened = [n for n in range(len(TOKEN)) if not refused(outcome(lambda n=n: unpack(TOKEN[:n])))]
    assert opened == []


@settings(max_examples=1500)
@given(st.integers(0, len(TOKEN) - 1), st.one_of(st.sampled_from("Aa0-_.=%"), st.characters()))
def test_a_link_with_a_wrong_character_is_refused_or_means_the_same(place, character):
    damaged = TOKEN[:place] + character + TOKEN[place + 1 :]
    result = outcome(lambda: Prompt.from_link(damaged))
    assert refused(result) or result == CARD  # the last character has bits that carry nothing
    assert refused(result) or place == len(TOKEN) - 1 or character == TOKEN[place]


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_behind_a_version_are_refused(raw):
    assert refused(outcome(lambda: Prompt.from_link(link_of(raw))))
    assert refused(outcome(lambda: Prompt.from_link(link_of(zlib.compress(raw)))))


@pytest.mark.parametrize("version", ["0", "2", "99", "-1", "1e0", "", "9" * 10_000])
def test_a_link_of_another_version_is_refused(version):
    assert refused(outcome(lambda: Prompt.from_link(version + TOKEN[1:])))


def test_a_link_of_20_kb_is_refused_unread():
    message = "The link has 20,002 characters, the most is 16,000; it was not opened."
    assert str(outcome(lambda: Prompt.from_link("1." + "A" * 20_000))) == message


@pytest.mark.parametrize(
    ("megabytes", "limit", "message"),
    [
        (10, None, "The link is damaged: "),  # as large as the longest link can hold
        (100, None, "The link has "),
        (100, "1000000", "The link is damaged: "),
    ],
)
def test_a_deflate_bomb_takes_no_memory(monkeypatch, megabytes, limit, message):
    if limit:
        monkeypatch.setenv("PLAYGROUND_MAX_LINK_CHARS", limit)
    link = link_of(bomb(megabytes))
    tracemalloc.start()
    try:
        result = outcome(lambda: Prompt.from_link(link))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(result).startswith(message)
    assert peak < 4 * MEBIBYTE  # of the 1 MiB that is inflated at most, and its buffers


@pytest.mark.parametrize(
    "card",
    [
        {"templates": ["{mask}"] * 90_000, "labels": {}},
        {"templates": ["{mask}"], "labels": {str(k): ["x"] for k in range(20_000)}},
        {"templates": ["{mask}"], "labels": {"a": [str(k) for k in range(30_000)]}},
        {"templates": ["{mask}"], "labels": {}, "examples": [{}] * 200_000},
        {"templates": ["{mask}"], "labels": {}, "scoring": {"prior_texts": [""] * 200_000}},
        {"templates": ["{mask}"], "labels": {}, "x" * 1_000_000: 1},
        {"templates": ["{text}{mask}"], "labels": {}, "examples": [{"x" * 1_000_000: ""}]},
    ],
    ids=lambda card: max(card, key=lambda key: len(json.dumps(card[key])))[:9],
)
def test_a_short_link_to_a_huge_card_is_refused(card, monkeypatch):
    monkeypatch.setenv("PLAYGROUND_MAX_LINK_CHARS", "200000")
    link = link_of(zlib.compress(json.dumps(card).encode(), 9))
    # up to 1 MiB of JSON is read, so it may take longer
    assert refused(outcome(lambda: Prompt.from_link(link), budget=0.5))
