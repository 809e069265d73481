"""The load measurement: its arithmetic by hand, and a small class in a real app."""

from __future__ import annotations

import pytest

from playground.bench.load import Answer, Page, crowd, summary
from playground.errors import PlaygroundError
from tests.app.serving import served


def cells(table) -> dict[str, object]:
    return {row[0]: row[1] for row in table.rows}


def test_the_numbers_by_hand():
    answers = [Answer(k / 100, (k + 1) / 1000) for k in range(101)]
    found = cells(summary([*answers, Answer(1.5, 0.5, "status 503")], 7, 512.0))
    assert (found["people"], found["requests"], found["errors"]) == (7, 102, 1)
    assert found["requests a second"] == pytest.approx(102 / 2.0)
    assert found["answer: median"] == pytest.approx(51)
    assert found["answer: 95th percentile"] == pytest.approx(96)
    assert found["answer: slowest"] == pytest.approx(101)
    assert found["resident memory at the end"] == 512.0


def test_errors_are_named_and_are_no_answers():
    table = summary([Answer(0, 0.1), Answer(1, 9, "TimeoutError")], 1, None)
    assert cells(table)["answer: slowest"] == pytest.approx(100)
    assert table.notes[1] == "Errors: TimeoutError."
    assert "resident memory at the end" not in cells(table)
    with pytest.raises(PlaygroundError, match=r"^No answer came \(TimeoutError\)\.$"):
        summary([Answer(1, 9, "TimeoutError")], 1, None)


def test_a_small_class_is_answered_in_its_time():
    with served() as site:
        page = Page.open(site.port)
        answers = crowd(page, people=4, seconds=4)
    assert [answer.error for answer in answers] == [None] * 8
    sent = sorted(answer.sent for answer in answers)
    due = [turn * 2 + person / 2 for turn in range(2) for person in range(4)]
    assert all(when >= wanted for when, wanted in zip(sent, due, strict=True))


def test_a_busy_app_is_an_error_of_the_request():
    with served(queue_size=1, concurrency=1) as site:
        page = Page.open(site.port)
        answers = crowd(page, people=40, seconds=2)
    assert len(answers) == 40
    assert {answer.error for answer in answers} <= {None, "status 503"}
    assert any(answer.error is None for answer in answers)
