"""Answers reach the browser whatever a text holds: half of a surrogate pair breaks no stream."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import httpx
import pytest

from playground.app.page import sendable
from playground.app.share import PageState
from playground.app.tabs.ner import EXAMPLES as NAMES
from playground.app.tabs.ner import card_text
from playground.prompts import Prompt
from tests.app.driver import START
from tests.app.serving import Site

HALF = "half \ud800 a pair"
Ask = Callable[..., dict]


@pytest.fixture
def ask(site: Site) -> Ask:
    """Ask a listener by its name as the page does, through the queue; its output, or what came instead."""
    config = httpx.get(f"{site.url}/config").json()

    def asking(name: str, values: list[object], query: str = "") -> dict:
        number = next(d["id"] for d in config["dependencies"] if d["api_name"] == name)
        session = uuid.uuid4().hex[:10]
        body = {"fn_index": number, "data": values, "session_hash": session}
        with httpx.Client(timeout=60) as client:
            sent = client.post(
                f"{site.url}/gradio_api/queue/join{query}",
                content=json.dumps(body),  # a half stays as its escape
                headers={"content-type": "application/json"},
            )
            sent.raise_for_status()
            stream = f"{site.url}/gradio_api/queue/data?session_hash={session}"
            with client.stream("GET", stream) as lines:
                for line in lines.iter_lines():
                    if "process_completed" in line:
                        return json.loads(line.removeprefix("data: "))
        raise AssertionError("the stream ended without an answer")

    return asking


def test_half_a_pair_in_a_text_is_scored_and_shown(ask):
    values = list(vars(START).values())
    values[1] = HALF
    answer = ask("score", values)
    assert answer["success"]
    assert "half \ufffd a pair" in json.dumps(answer["output"]["data"], ensure_ascii=False)


@pytest.mark.parametrize("box", ["template", "label_words"])
def test_half_a_pair_in_a_prompt_is_told_or_scored(ask, box):
    said = {"template": f"{{text}} {HALF} {{mask}}.", "label_words": f"good: {HALF}\nbad: bad"}
    answer = ask("score", list((vars(START) | {box: said[box]}).values()))
    assert answer["success"]


def test_a_link_that_holds_half_a_pair_opens(ask):
    token = PageState(Prompt.load("sentiment"), (HALF,)).token()
    answer = ask("restore", [], f"?p={token}")
    assert answer["success"]
    assert "half \ufffd a pair" in json.dumps(answer["output"]["data"], ensure_ascii=False)


def test_entities_of_a_text_with_half_a_pair_are_found(ask):
    types, templates = card_text(Prompt.load("entity"))
    inputs = ["", f"\ud800 {NAMES[0]} {HALF}", types, templates, "names", 4, "contextual"]
    assert ask("find", [None, *inputs, 1.0, "greedy", False])["success"]


def test_only_halves_are_replaced():
    value = {"a\udfff": ["👩‍👩‍👧 \ud83d", ("é", 1, None)], "b": 0.5}
    assert sendable(value) == {"a\ufffd": ["👩‍👩‍👧 \ufffd", ["é", 1, None]], "b": 0.5}
