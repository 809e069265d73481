"""A stream of any length: in order, lazily, one window at a time, each row on its own."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest

from playground import Prompting
from playground.engine.results import RowScore
from playground.settings import Settings

WINDOW = 256


@pytest.fixture(scope="module")
def streaming(folder_of):
    """The tiny BERT with a window of 256 rows."""
    return Prompting(folder_of("bert"), threads=1, settings=Settings(window_rows=WINDOW))


class Counted:
    """An endless-looking source that counts the rows taken from it."""

    def __init__(self, rows: int) -> None:
        self.taken = 0
        self._rows = rows

    def __iter__(self):
        for number in range(self._rows):
            self.taken += 1
            yield "good " * (number % 7)


def test_a_stream_gives_the_rows_of_classify_in_order(streaming, make_prompt):
    rows = ["good " * (number * 5 % 11) + "film" * (number % 2) for number in range(WINDOW + 40)]
    expected = streaming.classify(rows, make_prompt(), words=False)
    got = list(streaming.classify_stream(iter(rows), make_prompt()))
    assert [row.index for row in got] == list(range(len(rows)))
    assert [row.prediction for row in got] == expected.predictions
    assert [row.tokens for row in got] == expected.tokens.tolist()
    for row, numbers in zip(got, expected.probabilities, strict=True):
        assert list(row.probabilities) == ["positive", "negative"]
        assert list(row.probabilities.values()) == pytest.approx(numbers.tolist(), abs=1e-5)
        assert row.error is None


@pytest.mark.parametrize("wanted", [1, WINDOW, WINDOW + 1])
def test_only_a_window_is_read_ahead(wanted, streaming, make_prompt):
    source = Counted(200_000)
    got = list(itertools.islice(streaming.classify_stream(source, make_prompt()), wanted))
    assert len(got) == wanted
    assert source.taken == WINDOW * (1 + (wanted - 1) // WINDOW)


def test_nothing_is_read_before_the_first_row_is_asked_for(streaming, make_prompt):
    source = Counted(200_000)
    streaming.classify_stream(source, make_prompt())
    assert source.taken == 0


def test_cancel_ends_the_stream(streaming, make_prompt):
    source = Counted(200_000)
    seen: list[RowScore] = []
    for row in streaming.classify_stream(source, make_prompt(), cancel=lambda: len(seen) >= 300):
        seen.append(row)
    assert 300 <= len(seen) <= 2 * WINDOW
    assert source.taken <= 3 * WINDOW
    assert [row.index for row in seen] == list(range(len(seen)))
    assert all(row.error is None for row in seen)


def test_a_stream_that_is_cancelled_at_once_is_empty(streaming, make_prompt):
    assert list(streaming.classify_stream(["good"], make_prompt(), cancel=lambda: True)) == []


def test_no_rows_give_no_scores(streaming, make_prompt):
    assert list(streaming.classify_stream([], make_prompt())) == []


def test_a_bad_row_has_its_error_and_the_others_their_scores(streaming, make_prompt):
    rows = ["good", None, {"other": "x"}, "a" * 20_001, "bad"]
    got = list(streaming.classify_stream(rows, make_prompt()))
    assert [row.error for row in got] == [
        None,
        'A row is a text, not "None" (NoneType).',
        "The row has no {text}; it has {other}.",
        "text has 20,001 characters; the most is 20,000. The model reads 64 tokens.",
        None,
    ]
    assert [row.prediction is None for row in got] == [False, True, True, True, False]
    assert [row.probabilities for row in got[1:4]] == [{}] * 3
    alone = streaming.classify(["bad"], make_prompt()).probabilities[0]
    assert list(got[4].probabilities.values()) == pytest.approx(alone.tolist(), abs=1e-5)


def test_an_error_of_the_source_comes_through(streaming, make_prompt):
    def rows():
        yield from ["good"] * WINDOW
        raise OSError("the file is gone")

    stream = streaming.classify_stream(rows(), make_prompt())
    assert [next(stream).index for _ in range(WINDOW)] == list(range(WINDOW))
    with pytest.raises(OSError, match="the file is gone"):
        next(stream)


def test_split_words_are_streamed_as_well(streaming, make_prompt):
    prompt = make_prompt(labels={"positive": ["fantastic"], "negative": ["bad"]})
    rows = ["good", "bad film", ""]
    expected = streaming.classify(rows, prompt).probabilities
    got = list(streaming.classify_stream(rows, prompt))
    assert [list(row.probabilities.values()) for row in got] == [
        pytest.approx(numbers.tolist(), abs=1e-5) for numbers in expected
    ]


def test_memory_does_not_grow_with_the_rows(streaming, make_prompt):
    prompt = make_prompt()
    stream = streaming.classify_stream(Counted(12 * WINDOW), prompt)
    for _ in range(2 * WINDOW):  # warm
        next(stream)
    tracemalloc.start()
    peaks = []
    for _ in range(10):
        tracemalloc.reset_peak()
        for _ in range(WINDOW):
            next(stream)
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert max(peaks[5:]) <= max(peaks[:5]) + 100_000
    assert next(stream, None) is None
