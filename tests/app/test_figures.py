"""The Plotly figure: the words' probabilities as they are, and hostile text as plain text."""

from __future__ import annotations

import numpy as np
import pytest

from playground.app.figures import CLASS_COLORS, word_chart
from playground.engine import WordScore
from tests.app.payloads import PAYLOADS


def escaped(text: str) -> str:
    """Return what Plotly shows as ``text``: it reads a few tags, entities and %{...}."""
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), ("%{", "% {")):
        text = text.replace(sign, entity)
    return text


def test_a_label_is_a_colour_and_its_words_rise(made):
    figure = word_chart(made(), "A film was [MASK].")
    assert [bar.name for bar in figure.data] == ["good", "bad"]
    assert [list(bar.y) for bar in figure.data] == [["uplifting", "fine"], ["awful"]]
    np.testing.assert_allclose(figure.data[0].x, [0.02, 0.08], rtol=1e-12)
    np.testing.assert_allclose(figure.data[1].x, [0.04], rtol=1e-12)
    assert [bar.marker.color for bar in figure.data] == ["#0072B2", "#D55E00"]
    assert figure.layout.title.text == "A film was [MASK]."
    assert figure.layout.xaxis.type == "log"


def test_it_reads_in_light_and_dark(made):
    layout = word_chart(made(), "").layout
    assert (layout.paper_bgcolor, layout.plot_bgcolor) == ("rgba(0,0,0,0)", "rgba(0,0,0,0)")


def test_words_that_look_like_numbers_are_words(made):
    """Plotly would lay "1" and "10" out on a scale of numbers."""
    words = tuple(WordScore(str(n), "good", 1.0, (str(n),), -float(n), 1) for n in (1, 10, 2024))
    figure = word_chart(made(words=words), "")
    assert figure.layout.yaxis.type == "category"
    assert list(figure.data[0].y) == ["2024", "10", "1"]


@pytest.mark.parametrize(("words", "height"), [(1, 260), (5, 260), (6, 284), (100, 2540)])
def test_the_chart_grows_with_the_words(made, words, height):
    scores = tuple(WordScore(f"w{i}", "good", 1.0, ("w",), -1.0, 1) for i in range(words))
    assert word_chart(made(words=scores), "").layout.height == height


def test_colours_repeat_after_the_last(made):
    count = len(CLASS_COLORS) + 1
    found = made(labels=tuple(f"l{i}" for i in range(count)))
    assert word_chart(found, "").data[-1].marker.color == CLASS_COLORS[0]


@pytest.mark.parametrize(("title", "shown"), [("x" * 80, "x" * 80), ("x" * 81, "x" * 79 + "…")])
def test_a_long_title_is_cut(made, title, shown):
    assert word_chart(made(), title).layout.title.text == shown


@pytest.mark.parametrize("text", [*PAYLOADS, "<b>x</b>", "&lt;b&gt;", "%{y}", "%{{y}}"])
def test_hostile_text_is_no_markup(made, text):
    word = WordScore(text, text, 1.0, (text,), -1.0, 1)
    figure = word_chart(made(labels=(text, "bad"), words=(word,)), text)
    bar = figure.data[0]
    assert (bar.name, list(bar.y), figure.layout.title.text) == (
        escaped(text),
        [escaped(text)],
        escaped(text),
    )
    assert bar.hovertemplate == f"%{{y}}: %{{x:.3%}}<extra>{escaped(text)}</extra>"
    for shown in (bar.name, bar.y[0], figure.layout.title.text):
        assert "<" not in shown
        assert "%{" not in shown
