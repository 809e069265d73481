"""The picture that leaves the page: well-formed XML of the right numbers, whatever the labels hold."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given

from playground.app import bars
from playground.engine import Explanation
from tests.app.payloads import PAYLOADS
from tests.attacks.strategies import texts as anything

NAMESPACE = "{http://www.w3.org/2000/svg}"
FOOT = "bar: score · dark line: content-free prior · Prompt Playground"


def svg(found, title: str) -> str:
    return bars.svg(found.labels, found.probabilities.tolist(), title, found.prior.tolist())


def drawn(source: str) -> tuple[list[str], list[dict[str, str]]]:
    """Return the texts and the rectangles of a picture; fails if it is not well-formed."""
    root = ElementTree.fromstring(source.encode("utf-8"))
    assert root.tag == f"{NAMESPACE}svg"
    assert {e.tag for e in root} == {f"{NAMESPACE}text", f"{NAMESPACE}rect"}
    assert all(len(e) == 0 for e in root)
    return (
        [e.text or "" for e in root.iter(f"{NAMESPACE}text")],
        [e.attrib for e in root.iter(f"{NAMESPACE}rect")],
    )


def test_the_picture_shows_labels_scores_and_priors(made):
    words, rectangles = drawn(svg(made(), "A film was [MASK]."))
    assert words == ["A film was [MASK].", "good", "25.0 %", "bad", "75.0 %", FOOT]
    _, *bars = rectangles  # the first is the paper
    assert [(r["x"], r["width"], r["fill"]) for r in bars] == [
        ("170", "390", "#eceef1"),
        ("170", "97.5", "#8a8f98"),
        ("519.5", "3", "#222"),  # 170 + 0.9 * 390 - 1.5
        ("170", "390", "#eceef1"),
        ("170", "292.5", "#0072B2"),
        ("207.5", "3", "#222"),
    ]
    assert [r["y"] for r in bars] == ["52", "52", "49", "86", "86", "83"]


@pytest.mark.parametrize(("count", "height"), [(2, "154"), (5, "256"), (64, "2262")])
def test_the_picture_grows_with_the_labels(made, count, height):
    found = made(
        labels=tuple(f"label {i}" for i in range(count)),
        probabilities=np.full(count, 1 / count),
        prior=np.full(count, 1 / count),
    )
    root = ElementTree.fromstring(svg(found, "x"))
    assert (root.get("width"), root.get("height")) == ("640", height)
    assert root.get("viewBox") == f"0 0 640 {height}"


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 79 + "…"),
        ("two\nlines\r\nand\ttabs", "two lines and tabs"),
        ("", ""),
    ],
)
def test_a_title_is_one_line_that_fits(made, title, shown):
    assert drawn(svg(made(), title))[0][0] == shown


def test_a_long_label_is_cut(made):
    assert drawn(svg(made(labels=("x" * 60, "bad")), ""))[0][1] == "x" * 24


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_is_text_in_the_picture(made, payload):
    words, _ = drawn(svg(made(labels=(payload, "bad")), payload))
    assert words[:2] == [payload, payload[:24]]


@pytest.mark.parametrize(
    "sign", ["\x00", "\x08", "\x0b", "\x1b", "\x1f", "\ud800", "\ufffe", "\uffff"]
)
def test_a_sign_that_xml_does_not_know_is_shown_as_unknown(made, sign):
    words, _ = drawn(svg(made(labels=(f"a{sign}b", "bad")), f"c{sign}d"))
    assert words[1] == "a\ufffdb"
    assert words[0] in ("c\ufffdd", "c d")  # some are white space to Python


@given(anything, anything)
def test_any_label_and_title_are_well_formed(title, label):
    share = np.array([0.5, 0.5])
    found = Explanation((label, "b"), share, share, share, (), 0.0, (), (), 1, 1, 0)
    words, _ = drawn(svg(found, title))
    assert len(words) == 6
