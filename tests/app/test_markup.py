"""Everything from outside is escaped in one place, and numbers read the same everywhere."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.app.markup import action, esc, markdown, notice, percent, width
from tests.app.elements import read
from tests.app.payloads import PAYLOADS


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain", "plain"),
        ("", ""),
        ("a < b > c", "a &lt; b &gt; c"),
        ("&amp;", "&amp;amp;"),
        ("\"double\" 'single'", "&quot;double&quot; &#x27;single&#x27;"),
        ("{mask}", "&#123;mask&#125;"),
        ("${x}", "&#36;&#123;x&#125;"),
        ("`x`", "&#96;x&#96;"),
        ("<a href='x'>", "&lt;a href=&#x27;x&#x27;&gt;"),
        ("ß \u202e 👩‍👩‍👧 \x00", "ß \u202e 👩‍👩‍👧 \x00"),
        (7, "7"),
        (None, "None"),
    ],
)
def test_signs_with_a_meaning_are_escaped(text, escaped):
    assert esc(text) == escaped


@given(st.text())
def test_any_text_comes_back_from_its_escaped_form(text):
    escaped = esc(text)
    assert html.unescape(escaped) == text
    assert not set(escaped) & set("<>\"'{}$`")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_is_text_inside_an_element_and_in_an_attribute(payload):
    (element,) = read(f'<p title="{esc(payload)}">{esc(payload)}</p>')
    assert element.text == payload
    assert element.attributes == {"title": payload}


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (1.0, "100.0 %"),
        (0.62149, "62.1 %"),
        (0.1, "10.0 %"),
        (0.099999, "10.00 %"),
        (0.0437, "4.37 %"),
        (0.0004, "0.04 %"),
        (0.0001, "0.01 %"),
        (0.0000999, "< 0.01 %"),
        (0.0, "< 0.01 %"),
    ],
)
def test_a_share_is_shown_as_people_read_it(share, shown):
    assert percent(share) == shown


@pytest.mark.parametrize(
    ("share", "css"),
    [
        (0.0, "width:0.00%"),
        (0.5, "width:50.00%"),
        (1.0, "width:100.00%"),
        (1.2, "width:100.00%"),
        (-0.1, "width:0.00%"),
        (0.123456, "width:12.35%"),
    ],
)
def test_a_width_stays_on_its_track(share, css):
    assert width(share) == css


def test_a_button_reports_its_name_and_argument():
    (button,) = read(action("pick", '0|"<b>"', esc("<b>"), title="Take <b>", classes="pp-token"))
    assert button.tag == "button"
    assert button.text == "<b>"
    assert button.attributes == {
        "type": "button",
        "class": "pp-action pp-token",
        "data-act": "pick",
        "data-arg": '0|"<b>"',
        "title": "Take <b>",
    }


def test_a_button_without_a_tip_has_no_title():
    (button,) = read(action("pick", 3, "x"))
    assert button.attributes == {
        "type": "button",
        "class": "pp-action ",
        "data-act": "pick",
        "data-arg": "3",
    }


def test_an_error_is_announced_and_a_remark_is_not():
    (error,) = read(notice("No {mask} <here>", error=True))
    assert (error.text, error.attributes) == (
        "No {mask} <here>",
        {"class": "pp-notice pp-error", "role": "alert"},
    )
    (remark,) = read(notice("Copied."))
    assert (remark.text, remark.attributes) == ("Copied.", {"class": "pp-notice pp-note"})


def test_an_empty_line_keeps_its_place_and_dims_nothing():
    (line,) = read(notice(""))
    assert (line.text, line.classes) == ("", {"pp-notice"})


@pytest.mark.parametrize("payload", PAYLOADS)
def test_markdown_lets_no_html_through(payload):
    made = markdown(f"# Title\n\n{payload}\n\n| a | b |\n|---|---|\n| {payload} | x |\n")
    tags = {element.tag for element in read(made)}
    assert tags <= {"div", "h1", "p", "table", "thead", "tbody", "tr", "th", "td", "code"}


def test_markdown_is_drawn_without_pictures_and_odd_links():
    made = markdown("**bold** `code` ![x](a.png) [go](javascript:alert(1)) [ok](https://a.b)")
    found = read(made)
    assert [element.tag for element in found] == ["div", "p", "strong", "code", "a", "a"]
    assert [e.attributes["href"] for e in found if e.tag == "a"] == ["a.png", "https://a.b"]
