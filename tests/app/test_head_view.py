"""What Classify shows of a head: its bars, the plain remark, and what the model reads."""

from __future__ import annotations

import numpy as np
import pytest

from playground import Prompt, Template, Verbalizer
from playground.app.head_view import head_details, head_result
from playground.engine import Scores
from playground.engine.tuning.delta import Delta
from tests.app.elements import read, texts
from tests.app.payloads import PAYLOADS


def scores(labels: tuple[str, ...], dropped: int = 0) -> Scores:
    shares = np.array([[0.25, 0.75]])
    return Scores(
        labels, (), shares, np.log(shares), None, None, None, np.array([9]), np.array([dropped])
    )


def delta(method: str, prompt: Prompt) -> Delta:
    return Delta(method, "base", "r", prompt, {})


PROMPT = Prompt(Template("{text} It was {mask}."), Verbalizer({"good": ["fine"], "bad": ["poor"]}))


def test_the_bars_are_the_scores():
    html = head_result(scores(("good", "bad")))
    assert texts(html, "pp-number") == ["25.0 %", "75.0 %"]
    assert texts(html, "pp-win")[0].startswith("bad")
    assert read(html)[0].attributes["data-summary"] == "bad 75.0 %, good 25.0 %"
    assert not texts(html, "pp-prior")


@pytest.mark.parametrize(
    ("method", "place", "reads"),
    [
        ("linear", "at the mask", "A film. It was [MASK]."),
        ("cls", "at [CLS], its first token", "A film."),
    ],
)
def test_it_says_why_there_are_no_words_and_what_is_read(method, place, reads):
    html = head_details(
        scores(("good", "bad"), 3), delta(method, PROMPT), PROMPT, {"text": "A film."}, 128
    )
    assert f"tuned with the method {method}, which has a head of its own {place}." in html
    assert texts(html, "pp-prompt") == [reads]
    assert "9 of 128 tokens" in html
    assert texts(html, "pp-warn") == ["3 tokens of the text were cut off"]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_texts_and_labels_are_only_text(payload):
    row = {"text": payload}
    for html in (
        head_result(scores((payload, "bad"))),
        head_details(scores((payload, "bad")), delta("linear", PROMPT), PROMPT, row, 128),
    ):
        allowed = {"div", "h2", "ul", "li", "span", "p", "mark", "b"}
        assert {element.tag for element in read(html)} <= allowed
