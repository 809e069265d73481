"""Quoting values for messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from playground.errors import PlaygroundError, shorten


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("good", '"good"'),
        ("", '""'),
        ("  a \n b\t\u2028c ", '"a b c"'),
        ("x" * 40, f'"{"x" * 40}"'),
        ("x" * 41, f'"{"x" * 39}…"'),
        (5, '"5"'),
        (None, '"None"'),
        (0.25, '"0.25"'),
        (Path("folder/card.json"), '"folder/card.json"'),
        (["a", 1], "\"['a', 1]\""),
        ({"word": "good"}, "\"{'word': 'good'}\""),
        (("a",), "\"('a',)\""),
    ],
)
def test_a_value_is_quoted_on_one_line(value, shown):
    assert shorten(value) == shown


@pytest.mark.parametrize(("limit", "shown"), [(6, '"abcdef"'), (5, '"abcd…"'), (1, '"…"')])
def test_the_limit_counts_the_characters_between_the_quotes(limit, shown):
    assert shorten("abcdef", limit) == shown


def test_a_value_nested_deeper_than_the_stack_is_shown():
    value: list = []
    for _ in range(100_000):
        value = [value]
    assert shorten(value) == '"[[[[[[[...]]]]]]]"'


def test_a_playground_error_is_shown_by_its_message():
    assert str(PlaygroundError("The template is empty.")) == "The template is empty."
    assert not issubclass(PlaygroundError, ValueError | OSError)  # never caught by accident
