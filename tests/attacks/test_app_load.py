"""Many at once: everyone gets his own answer or is told that the app is busy, and it goes on."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from playground.prompts import Prompt, ScoringOptions, Template, Verbalizer
from tests.app.serving import Site, served

QUEUE = 16
DEFAULTS = ["{text} It was {mask}.", "good: great\nbad: awful", "", "mean", "contextual", ""]
BUSY = f"Queue is full. Max size is {QUEUE} and size is "
PROMPTS = (
    Prompt(
        Template("{text} It was {mask}."),
        Verbalizer({"good": ["great", "fine"], "bad": ["awful"]}),
        ScoringOptions(calibration="contextual"),
    ),
    Prompt(
        Template("A {mask} story: {text}"),
        Verbalizer({"sports": ["sports"], "politics": ["political"], "money": ["business"]}),
        ScoringOptions(aggregation="sum"),
    ),
)


@pytest.fixture(scope="module")
def small():
    """An app whose queue is soon full."""
    with served(queue_size=QUEUE, concurrency=1) as running:
        yield running


async def flood(site: Site, count: int) -> list[tuple[int, str]]:
    """Join ``count`` times within a second; return each status, with what came of it."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=f"{site.url}/gradio_api", limits=limits, timeout=60
    ) as http:

        async def one(number: int) -> tuple[int, str]:
            await asyncio.sleep(number / count)
            body = {"text": f"A long film, number {number}. " * 40}
            joined = await http.post("/call/v2/classify", json=body)
            if joined.status_code != 200:
                return joined.status_code, joined.json()["detail"]
            answer = await http.get(f"/call/classify/{joined.json()['event_id']}")
            return 200, answer.text

        return await asyncio.gather(*map(one, range(count)))


def test_a_hundred_in_a_second_are_served_or_told_that_it_is_busy(small):
    answers = asyncio.run(flood(small, 100))
    served_to = [text for status, text in answers if status == 200]
    turned_away = [text for status, text in answers if status != 200]
    assert {status for status, _ in answers} <= {200, 503}
    assert len(served_to) > QUEUE
    for number, (status, text) in enumerate(answers):
        if status == 200:
            assert "event: complete" in text
            assert f"A long film, number {number}. " in text
        else:
            assert text.startswith(BUSY)
    assert len(served_to) + len(turned_away) == 100


def test_a_full_queue_turns_people_away_and_is_empty_afterwards(small):
    """All at one moment: no app of one slot takes a hundred."""

    async def burst() -> list[int]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=small.url, limits=limits, timeout=60) as http:
            body = {"text": "A long film. " * 500}
            posts = (http.post("/gradio_api/call/v2/classify", json=body) for _ in range(100))
            return [answer.status_code for answer in await asyncio.gather(*posts)]

    statuses = asyncio.run(burst())
    assert set(statuses) == {200, 503}
    state, (answer,) = when_there_is_room(small, ["I like it.", *DEFAULTS])
    assert (state, answer["label"]) == ("complete", "good")


def when_there_is_room(site: Site, values: list[str]) -> tuple[str, list]:
    """Ask as soon as the app is not busy; fails if that takes half a minute."""
    for _ in range(300):
        try:
            return site.call("classify", values)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 503:
                raise
            time.sleep(0.1)
    pytest.fail("the app is still busy")


def test_two_hundred_answers_reach_their_own_askers(site, prompting):
    """Two prompts from eight threads at a time: each answer carries its asker's canary."""
    canaries = [[f"Canary {p}-{i} sings of {i * 37}." for i in range(100)] for p in (0, 1)]
    expected = [
        prompting.classify(texts, prompt).probabilities
        for texts, prompt in zip(canaries, PROMPTS, strict=True)
    ]

    def ask(number: int) -> tuple[int, int, dict]:
        which, i = number % 2, number // 2
        prompt = PROMPTS[which]
        source = [prompt.template.source, prompt.verbalizer.to_text()]
        choices = [prompt.scoring.aggregation, prompt.scoring.calibration]
        state, (answer,) = site.call("classify", [canaries[which][i], *source, "", *choices, ""])
        assert state == "complete"
        return which, i, answer

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(200)))
    assert len({(which, i) for which, i, _ in answers}) == 200
    for which, i, answer in answers:
        prompt = PROMPTS[which]
        assert answer["prompt"] == prompt.template.fill(canaries[which][i])
        assert tuple(answer["scores"]) == prompt.verbalizer.names
        np.testing.assert_allclose(list(answer["scores"].values()), expected[which][i], atol=1e-5)


def test_forty_pages_see_only_their_own_result(site):
    def ask(number: int) -> str:
        values = [
            "",
            f"canary{number}",
            "",
            *DEFAULTS[:2],
            *("mean", "contextual", "", "", "confidence", "sum"),
        ]
        state, (_, details, _) = site.call("score", values)
        assert state == "complete"
        return details

    with ThreadPoolExecutor(8) as pool:
        pages = list(pool.map(ask, range(40)))
    for number, page in enumerate(pages):
        assert f">canary{number}<" in page
