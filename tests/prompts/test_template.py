"""The template grammar: parts and columns, errors, rows, and the filled prompt."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from types import MappingProxyType

import pytest

from playground.errors import PlaygroundError
from playground.prompts import Segment, Template
from playground.prompts.template import Part

SLOTS = (
    "the slots are {text}, {text_a}, {text_b}, {premise}, {hypothesis}, {head}, {tail}, {span}, {before}, {after}, {mask}, {sep}, {soft:4}, "
    "and {{ and }} are literal braces."
)


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("plain", [("literal", "plain", 1)]),
        ("{text}", [("field", "text", 1)]),
        ("It is {mask}.", [("literal", "It is ", 1), ("mask", "mask", 7), ("literal", ".", 13)]),
        ("[MASK]<mask>", [("mask", "mask", 1), ("mask", "mask", 7)]),
        ("{ mask }{\ntext }", [("mask", "mask", 1), ("field", "text", 9)]),
        ("{text_a} {sep}{text_b}", [("field", "text_a", 1), ("literal", " ", 9), ("sep", "sep", 10), ("field", "text_b", 15)]),
        ("a{{b}}c {mask}", [("literal", "a{b}c ", 1), ("mask", "mask", 9)]),
        ("{{{mask}}}", [("literal", "{", 1), ("mask", "mask", 3), ("literal", "}", 9)]),
        ("{{mask}}", [("literal", "{mask}", 1)]),
        ("{mask}}}{{", [("mask", "mask", 1), ("literal", "}{", 7)]),
        ("{span}{{{{", [("field", "span", 1), ("literal", "{{", 7)]),
        ("[mask] <MASK> [MASK", [("literal", "[mask] <MASK> [MASK", 1)]),
        ("100% %s %(x)s $x", [("literal", "100% %s %(x)s $x", 1)]),
        ("é🎈 {mask}", [("literal", "é🎈 ", 1), ("mask", "mask", 4)]),
    ],
)  # fmt: skip
def test_parts_and_columns(source, parts):
    assert Template(source).parts == tuple(Part(*part) for part in parts)


@pytest.mark.parametrize(
    ("source", "column", "shown"),
    [
        ("{label} {mask}", 1, '"{label}"'),
        ("a {} {mask}", 3, '"{}"'),
        ("{0}", 1, '"{0}"'),
        ("{{ {Text}", 4, '"{Text}"'),
        ("{text.__class__}", 1, '"{text.__class__}"'),
        ("{text!r:>99999999}", 1, '"{text!r:>99999999}"'),
        ("{mask} {text[0]}", 8, '"{text[0]}"'),
        ("é {te\nxt}", 3, '"{te xt}"'),
    ],
)
def test_an_unknown_slot_is_named_with_its_column(source, column, shown):
    message = f"Column {column} of the template has {shown}; {SLOTS}"
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Template(source)


@pytest.mark.parametrize(
    ("source", "column", "brace"),
    [
        ("{", 1, "{"),
        ("a } {mask}", 3, "}"),
        ("{mask", 1, "{"),
        ("{text}} {mask}", 7, "}"),
        ("{{{text", 3, "{"),
        ("{a{mask}", 1, "{"),
        ("}}}", 3, "}"),
    ],
)
def test_a_lone_brace_is_named_with_its_column(source, column, brace):
    message = (
        f'Column {column} of the template has a "{brace}" without its partner; '
        f"write {brace * 2} for a literal brace."
    )
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Template(source)


@pytest.mark.parametrize("source", ["", "  \n\t"])
def test_an_empty_template_is_refused(source):
    message = "The template is empty; write a sentence with a {mask} in it."
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Template(source)


@pytest.mark.parametrize(("value", "kind"), [(None, "NoneType"), (5, "int"), (b"{mask}", "bytes")])
def test_a_template_is_text(value, kind):
    message = f"A template is text with a {{mask}}, not a {kind}."
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Template(value)


def test_the_longest_template_fits_and_one_more_character_does_not():
    assert Template("x" * 2000).parts == (Part("literal", "x" * 2000, 1),)
    message = "The template has 2,001 characters; the most is 2,000."
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Template("x" * 2001)


def test_the_longest_template_is_a_setting(monkeypatch):
    monkeypatch.setenv("PLAYGROUND_MAX_TEMPLATE_CHARS", "6")
    assert Template("{mask}").masks == 1
    with pytest.raises(
        PlaygroundError, match=exactly("The template has 7 characters; the most is 6.")
    ):
        Template("{mask}.")


def test_a_pair_has_one_border():
    message = "The template has more than one {sep}; a pair has one border."
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Template("{text}{sep}{mask}{sep}")


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("{mask}", ()),
        ("{text} {mask} {text}", ("text",)),
        ("{hypothesis} {mask} {premise}", ("hypothesis", "premise")),
        ("{span} {text} {span}", ("span", "text")),
    ],
)
def test_fields_stand_in_order_each_once(source, names):
    assert Template(source).fields == names


def test_one_mask_is_what_labels_need():
    assert Template("{text} {mask}").require_one_mask() is None


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{text}", "The template has no {mask}; put {mask} where a label word should stand."),
        ("{{mask}}", "The template has no {mask}; put {mask} where a label word should stand."),
        ("{mask} a [MASK] <mask>", "The template has 3 masks, the second at column 10; scoring labels takes exactly one."),
    ],
)  # fmt: skip
def test_labels_need_one_mask(source, message):
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Template(source).require_one_mask()


@pytest.mark.parametrize(
    ("source", "row", "bound"),
    [
        ("{text} {mask}", "good", {"text": "good"}),
        ("{premise} {mask}", "good", {"premise": "good"}),
        ("{mask}", "unused", {}),
        ("{mask}", {"text": "unused"}, {}),
        ("{text_a}{text_b}", {"text_b": "b", "text_a": "a", "id": 7}, {"text_a": "a", "text_b": "b"}),
        ("{text_a}{text_b}", MappingProxyType({"text_b": "b", "text_a": "a"}), {"text_a": "a", "text_b": "b"}),
        ("{hypothesis}{premise}", ["h", "p"], {"hypothesis": "h", "premise": "p"}),
        ("{text}", ("a",), {"text": "a"}),
    ],
)  # fmt: skip
def test_a_row_is_bound_to_the_fields(source, row, bound):
    assert Template(source).bind(row) == bound


@pytest.mark.parametrize(
    ("source", "row", "message"),
    [
        ("{text_a} {text_b}", "one", 'The template takes {text_a}, {text_b}, but the row is one text "one"; give a value for each.'),
        ("{text_a} {text_b}", {"text_a": "a", "b": "b"}, "The row has no {text_b}; it has {text_a}, {b}."),
        ("{text}", {}, "The row has no {text}; it has nothing."),
        ("{premise}{hypothesis}", ["a", "b", "c"], "The template takes 2 texts, {premise}, {hypothesis}; the row has 3."),
        ("{text}", None, 'A row is a text, not "None" (NoneType).'),
        ("{text}", 3.5, 'A row is a text, not "3.5" (float).'),
        ("{text}", {"text": float("nan")}, 'text is "nan" (float); it must be text.'),
        ("{premise}{hypothesis}", ["a", None], 'hypothesis is "None" (NoneType); it must be text.'),
        ("{text}", b"a", 'text is "97" (int); it must be text.'),
    ],
)  # fmt: skip
def test_a_row_that_does_not_fit_is_refused(source, row, message):
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Template(source).bind(row)


def test_the_keys_of_a_wrong_row_are_cut_in_the_message():
    row = {letter * 1_000_000: "" for letter in "abcdefghijklmn"}
    shown = ", ".join(f"{{{letter * 40}}}" for letter in "abcdefghijkl")
    with pytest.raises(PlaygroundError, match=exactly(f"The row has no {{text}}; it has {shown}.")):
        Template("{text}").bind(row)


def test_render_keeps_each_piece_apart():
    template = Template("{{ {text_a} {sep}{mask}, {text_b}")
    assert template.render({"text_a": " first \n", "text_b": "second"}) == (
        Segment("literal", "{ "),
        Segment("field", "first", "text_a"),
        Segment("literal", " "),
        Segment("sep", " "),
        Segment("mask", "[MASK]"),
        Segment("literal", ", "),
        Segment("field", "second", "text_b"),
    )


@pytest.mark.parametrize("masks", [1, 2, 5])
def test_each_mask_is_repeated_for_a_word_of_several_pieces(masks):
    assert Template("a <mask>.").render("", masks=masks) == (
        Segment("literal", "a "),
        *[Segment("mask", "[MASK]")] * masks,
        Segment("literal", "."),
    )


@pytest.mark.parametrize(
    "text",
    [
        "{mask}",
        "[MASK]",
        "<mask>",
        "{text}",
        "{",
        "}}",
        "%s %(text)s",
        "{0.__class__}",
        "\\1",
        "$1",
    ],
)
def test_the_text_of_a_user_is_only_text(text):
    template = Template("{text} is {mask}.")
    assert template.fill(text) == f"{text} is [MASK]."
    assert [segment.kind for segment in template.render(text)] == [
        "field",
        "literal",
        "mask",
        "literal",
    ]


def test_a_field_that_stands_twice_is_filled_twice():
    assert Template("{text}, {text}: {mask}").fill("ha") == "ha, ha: [MASK]"


def test_templates_are_values():
    template = Template("{text} {mask}")
    assert template == Template("{text} {mask}")
    assert hash(template) == hash(Template("{text} {mask}"))
    assert template != Template("{text} [MASK]")
    assert str(template) == "{text} {mask}"
    with pytest.raises(FrozenInstanceError):
        template.source = "x"  # type: ignore[misc]


IN_PLACE = Template("{before}the {mask} {span}{after}")


def test_a_template_in_place_takes_a_text_and_a_span_of_it():
    assert IN_PLACE.fields == ("text", "span")
    assert IN_PLACE.slots == ("before", "span", "after")
    row = {"text": " We left Paris, at last. ", "span": "Paris "}
    assert IN_PLACE.fill(row) == "We left the [MASK] Paris, at last."
    assert IN_PLACE.fill(["We left Paris.", "Paris"]) == "We left the [MASK] Paris."


@pytest.mark.parametrize(
    ("text", "span", "filled"),
    [
        ("Parisians love Paris.", "Paris", "Parisians love the [MASK] Paris."),
        ("Parisians love it.", "Paris", "the [MASK] Parisians love it."),
        ("I am I", "I", "the [MASK] I am I"),
        ("a+b (c)", "(c)", "a+b the [MASK] (c)"),
        ("naïve Zoë 👩‍🎤", "Zoë", "naïve the [MASK] Zoë 👩‍🎤"),
        ("N/A", "N/A", "the [MASK] N/A"),
        ("", "", "the [MASK] "),
    ],
)
def test_the_span_is_found_in_its_text_as_a_whole_word_first(text, span, filled):
    assert IN_PLACE.fill({"text": text, "span": span}) == filled


def test_a_row_may_say_which_of_two_equal_spans_is_meant():
    row = {"before": "Paris, or ", "span": "Paris", "after": ", Texas "}
    assert IN_PLACE.fill(row) == "Paris, or the [MASK] Paris, Texas"
    assert IN_PLACE.bind(row) == row


def test_a_mask_may_take_the_place_of_the_span():
    template = Template("{before}{mask}{after}")
    assert template.fields == ("text", "span")
    assert template.fill({"text": "We left Paris.", "span": "Paris"}) == "We left [MASK]."


def test_other_texts_stand_beside_text_and_span():
    template = Template("{premise} {before}{mask}{after}")
    assert template.fields == ("text", "span", "premise")


def test_a_span_that_is_not_in_the_text_is_told():
    message = (
        'The span "Rome" does not stand in the text "We left Paris."; write it as it stands there.'
    )
    with pytest.raises(PlaygroundError, match=exactly(message)):
        IN_PLACE.fill({"text": "We left Paris.", "span": "Rome"})
    with pytest.raises(PlaygroundError, match=exactly("The row has no {span}; it has {text}.")):
        IN_PLACE.fill({"text": "We left Paris."})


# ---- soft tokens ---------------------------------------------------------------------------------


def test_soft_slots_are_tokens_in_their_order():
    template = Template("{soft:2}{text} {soft: 1}{mask}.")
    assert template.parts == (
        Part("soft", "soft:2", 1),
        Part("field", "text", 9),
        Part("literal", " ", 15),
        Part("soft", "soft:1", 16),
        Part("mask", "mask", 25),
        Part("literal", ".", 31),
    )
    assert [part.soft for part in template.parts] == [2, 0, 0, 1, 0, 0]
    assert template.soft_tokens == 3
    assert template.fields == ("text",)
    assert [s.kind for s in template.render("a")] == [
        *("soft", "soft", "field", "literal", "soft", "mask", "literal")
    ]
    assert template.fill("a") == "[SOFT][SOFT]a [SOFT][MASK]."


@pytest.mark.parametrize("source", ["{soft:0}", "{soft:101}", "{soft:999999999}"])
def test_a_soft_slot_has_1_to_100_tokens(source):
    message = f'Column 3 of the template has "{source}"; a soft slot has 1 to 100 tokens, as in {{soft:4}}.'
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Template(f"a {source} {{mask}}")


def test_all_soft_slots_together_have_at_most_100_tokens():
    assert Template("{soft:60}{soft:40}{mask}").soft_tokens == 100
    with pytest.raises(
        PlaygroundError, match=exactly("The template has 101 soft tokens; the most is 100.")
    ):
        Template("{soft:61}{soft:40}{mask}")


@pytest.mark.parametrize(
    "source", ["{soft}", "{soft:}", "{soft:-1}", "{soft:1.5}", "{soft:²}", "{soft:9999999999}"]
)
def test_anything_else_behind_soft_is_no_slot(source):
    with pytest.raises(PlaygroundError, match=r"^Column 1 of the template has .*; the slots are "):
        Template(f"{source} {{mask}}")
