"""Shaded words: the effects are printed, nothing but text comes through, and a visitor sees them."""

from __future__ import annotations

import pytest

from playground import Prompting
from playground.app.attribution_view import attribution_html, points
from playground.app.tabs.classify import default_prompt
from playground.tasks.attribution import Attribution, Piece, leave_one_out
from tests.app.driver import PATIENCE
from tests.app.elements import read, select, texts
from tests.app.looks import barriers
from tests.app.payloads import PAYLOADS

FOUND = Attribution(
    (
        Piece("Bad", "word", "text", -0.25),
        Piece(" ", "gap", "text"),
        Piece("film", "word", "text", 0.5),
        Piece(" was ", "gap"),
        Piece("it", "word", None, 0.1),
        Piece("[MASK]", "mask"),
    ),
    "positive",
    0.75,
    3,
)


def test_each_word_is_shaded_by_its_share_of_the_strongest():
    drawn = attribution_html(FOUND)
    shaded = [e for e in read(drawn) if "style" in e.attributes]
    assert [(e.text, e.attributes["style"], e.attributes["title"]) for e in shaded] == [
        ("Bad", "--pp-share:0.50", "-25.0 points"),
        ("film", "--pp-share:1.00", "+50.0 points"),
        ("it", "--pp-share:0.20", "+10.0 points"),
    ]
    assert [sorted(e.classes) for e in shaded] == [["pp-against"], ["pp-for"], ["pp-for", "pp-own"]]
    assert [e.text for e in read(drawn) if e.tag == "li"] == [
        "film +50.0 points of the text",
        "Bad -25.0 points of the text",
        "it +10.0 points of the template",
    ]
    assert texts(drawn, "pp-mask") == ["[MASK]"]
    assert "75.0 %" in drawn
    assert points(0.123) == "+12.3 points"


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_word_is_only_text(payload):
    drawn = attribution_html(Attribution((Piece(payload, "word", "text", 0.1),), payload, 0.5, 1))
    assert {e.tag for e in read(drawn)} == {"div", "p", "b", "span", "ol", "li"}
    assert select(drawn, "pp-for")[-1].text == payload


@pytest.mark.browser
def test_a_visitor_weighs_the_words(visitor, prompting: Prompting):
    text = "The food was awful, and nobody cared."
    visitor.box("classify-text").fill(text)
    visitor.open_fold("classify-words-matter")
    first = visitor.page.locator("#classify-weighed li").first
    first.wait_for(timeout=PATIENCE)
    best = leave_one_out(prompting, text, default_prompt()).strongest(1)[0]
    assert first.text_content() == f"{best.text} {points(best.effect)} of the text"
    assert barriers(visitor) == []
