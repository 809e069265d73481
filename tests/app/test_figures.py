"""The Plotly figure: the words' probabilities as they are, and hostile text as plain text."""

from __future__ import annotations

import numpy as np
import pytest

from playground.app.figures import CLASS_COLORS, span_lattice, word_chart
from playground.engine import WordScore
from playground.tasks.entities import Span, TypedSpans, all_spans
from playground.tasks.entities.typing import margins
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


# ---- the lattice of spans -----------------------------------------------------------------------

WORDS = "Ana Lima met Bo"


def typed(text: str, spans: list[Span], labels: tuple[str, ...] = ("person", "place", "none")):
    """Return spans with probabilities that rise from span to span."""
    many = len(spans)
    shares = np.array([[0.05 + 0.5 * k / max(many, 1), 0.2, 0.3] for k in range(many)])
    logs = np.log(shares / shares.sum(1, keepdims=True)) if many else np.zeros((0, 3))
    return TypedSpans(text, tuple(spans), labels, logs, margins(logs, labels))


def test_a_cell_is_a_span_at_its_first_word_and_its_length():
    found = typed(WORDS, all_spans(WORDS, most_words=3))
    (map_,) = span_lattice(found).data
    assert (list(map_.x), list(map_.y)) == ([0, 1, 2, 3], [1, 2, 3])
    words, cells = WORDS.split(), 0
    for place, span in enumerate(found.spans):
        own = found.words(place).split()
        column, row = words.index(own[0]), len(own) - 1
        label, margin = found.best(place)
        assert map_.z[row][column] == margin
        assert (map_.text[row][column], map_.customdata[row][column]) == (
            label,
            WORDS[span.start : span.end],
        )
        cells += 1
    empty = [(r, c) for r in range(3) for c in range(4) if map_.z[r][c] is None]
    assert (cells, empty) == (9, [(1, 3), (2, 2), (2, 3)])
    assert map_.text[1][3] == map_.customdata[1][3] == ""


def test_the_lattice_names_its_words_and_is_grey_at_none():
    figure = span_lattice(typed(WORDS, all_spans(WORDS)))
    assert list(figure.layout.xaxis.ticktext) == WORDS.split()
    assert figure.data[0].zmid == 0
    assert [list(stop) for stop in figure.data[0].colorscale][1] == [0.5, "#d8dce3"]
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"


@pytest.mark.parametrize(("most", "height"), [(1, 192), (2, 234), (4, 318)])
def test_the_lattice_grows_with_the_longest_span(most, height):
    figure = span_lattice(typed(WORDS, all_spans(WORDS, most_words=most)))
    assert figure.layout.height == height


@pytest.mark.parametrize(("words", "named"), [(12, True), (13, False)])
def test_the_cells_name_their_types_where_there_is_room(words, named):
    text = " ".join(f"w{k}" for k in range(words))
    template = span_lattice(typed(text, all_spans(text, most_words=1))).data[0].texttemplate
    assert template == ("%{text}" if named else None)


def test_a_span_that_is_not_cut_at_words_has_no_cell():
    figure = span_lattice(typed(WORDS, [Span(1, 3), Span(4, 8)]))
    assert [cell for row in figure.data[0].z for cell in row if cell is not None] == [
        typed(WORDS, [Span(1, 3), Span(4, 8)]).best(1)[1]
    ]


@pytest.mark.parametrize("text", ["", "no name", "?!"])
def test_a_lattice_of_nothing_is_drawn(text):
    figure = span_lattice(typed(text, []))
    assert {cell for row in figure.data[0].z for cell in row} <= {None}
    assert figure.layout.height == 192


@pytest.mark.parametrize("payload", [*PAYLOADS, "<b>x</b>", "&lt;b&gt;", "%{y}"])
def test_hostile_words_and_types_are_no_markup_in_the_lattice(payload):
    text = f"{payload} Ana"
    found = typed(text, all_spans(text, most_words=40), (payload, "place", "none"))
    figure = span_lattice(found)
    shown = [*figure.layout.xaxis.ticktext]
    shown += [cell for row in (*figure.data[0].text, *figure.data[0].customdata) for cell in row]
    assert len(shown) > 3
    assert not [one for one in shown if "<" in one or "%{" in one]
    whole = text[found.spans[0].start : found.spans[0].end]
    assert escaped(whole) in [cell for row in figure.data[0].customdata for cell in row]
