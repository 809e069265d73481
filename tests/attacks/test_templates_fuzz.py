"""Attacks on templates and label words: whatever a stranger types is text, or one clear error."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from playground.prompts import Template, Verbalizer
from tests.attacks.strategies import attacks, literals, outcome, refused, texts, verbalizers


def canonical(template: Template) -> str:
    """Return a source for the same parts, every mask and slot in its plain spelling."""
    escaped = {"{": "{{", "}": "}}"}
    return "".join(
        "".join(escaped.get(character, character) for character in part.value)
        if part.kind == "literal"
        else f"{{{part.value}}}"
        for part in template.parts
    )


def check_template(source: str) -> None:
    template = outcome(lambda: Template(source))
    if refused(template):
        return
    again = Template(canonical(template))
    assert [(p.kind, p.value) for p in again.parts] == [(p.kind, p.value) for p in template.parts]
    shown = outcome(lambda: template.fill(dict.fromkeys(template.fields, "")))
    assert len(shown) <= len(source)  # nothing in a template makes it grow


@settings(max_examples=1500)
@given(texts)
def test_any_text_is_a_template_or_an_error(source):
    check_template(source)


@settings(max_examples=2500)
@given(attacks)
def test_an_attack_is_a_template_or_an_error(source):
    check_template(source)


@pytest.mark.parametrize(
    "piece", ["{", "}", "{{", "{a", "{ ", "{text}", "[MASK]", "{{{mask}}}", "a"]
)
def test_the_longest_template_of_one_piece_is_quick(piece):
    check_template(piece * (2000 // len(piece)))


@pytest.mark.parametrize("source", ["{" * 50_000_000, "{text}" * 10_000_000])
def test_a_template_of_many_megabytes_is_refused_unread(source):
    assert str(outcome(lambda: Template(source))).endswith(" characters; the most is 2,000.")


slots = st.sampled_from(["{text}", "{span}", "{mask}", "[MASK]", "<mask>", "{ text\n}"])


@settings(max_examples=1000)
@given(st.lists(st.one_of(slots, literals.map(lambda text: (text,))), min_size=1), texts, texts)
def test_a_filled_prompt_is_its_pieces_side_by_side(pieces, text, span):
    """A tuple is a literal, written with escapes; the expected prompt is joined by hand."""
    source = "".join(
        p[0].replace("{", "{{").replace("}", "}}") if isinstance(p, tuple) else p for p in pieces
    )
    by_slot = dict.fromkeys(["{mask}", "[MASK]", "<mask>"], "[MASK]")
    by_slot |= {"{text}": text.strip(), "{ text\n}": text.strip(), "{span}": span.strip()}
    expected = "".join(p[0] if isinstance(p, tuple) else by_slot[p] for p in pieces)
    assume(source.strip() and len(source) <= 2000)
    assume(sum(source.count(m) for m in ("{mask}", "[MASK]", "<mask>")) == count_masks(pieces))
    template = Template(source)
    assert template.fill({"text": text, "span": span}) == expected
    assert template.masks == count_masks(pieces)


def count_masks(pieces: list) -> int:
    return sum(piece in ("{mask}", "[MASK]", "<mask>") for piece in pieces)


@settings(max_examples=700)
@given(st.one_of(texts, attacks))
def test_a_users_text_is_never_interpreted(text):
    template = Template("{text_a} ({text_b}) is {mask} {{text_a}} 100%.")
    row = {"text_a": text, "text_b": text[::-1]}
    a, b = text.strip(), text[::-1].strip()
    assert outcome(lambda: template.fill(row)) == f"{a} ({b}) is [MASK] {{text_a}} 100%."
    segments = template.render(row, masks=3)
    assert [s.text for s in segments if s.kind == "field"] == [a, b]
    assert [s.kind for s in segments].count("mask") == 3


# ---- label words --------------------------------------------------------------------------------


@settings(max_examples=400)
@given(verbalizers())
def test_label_words_survive_their_text_and_json_forms(verbalizer):
    assert Verbalizer.from_text(verbalizer.to_text()) == verbalizer
    written = json.dumps(verbalizer.to_json())
    assert Verbalizer(json.loads(written)) == verbalizer
    assert list(json.loads(written)) == list(verbalizer.names)


lines = st.lists(st.one_of(st.sampled_from(["a:", "b: x", ",", "*", "*0.5", "*nan", "\n", "\u2028", ":"]), st.text(max_size=4)), max_size=20).map("".join)  # fmt: skip


@settings(max_examples=1000)
@given(st.one_of(texts, lines))
def test_any_text_is_label_words_or_an_error(source):
    verbalizer = outcome(lambda: Verbalizer.from_text(source))
    if not refused(verbalizer):
        assert Verbalizer.from_text(verbalizer.to_text()) == verbalizer
