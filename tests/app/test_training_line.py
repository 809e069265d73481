"""Who trains next: in the order of arrival, one at a time."""

from __future__ import annotations

import threading
import time

import pytest

from playground.app.training_line import TrainingLine
from playground.errors import PlaygroundError


def test_who_comes_later_stands_further_back():
    line = TrainingLine(3)
    with line.place() as first, line.place() as second, line.place() as third:
        assert [place.ahead() for place in (first, second, third)] == [0, 1, 2]
        assert len(line) == 3
    assert len(line) == 0


def test_who_gives_up_lets_the_others_move_up():
    line = TrainingLine(3)
    with line.place() as first:
        leaving = line.place()
        leaving.__enter__()
        with line.place() as third:
            assert third.ahead() == 2
            leaving.__exit__(None, None, None)
            assert (first.ahead(), third.ahead()) == (0, 1)


def test_an_error_leaves_the_line():
    line = TrainingLine(1)
    with pytest.raises(ZeroDivisionError), line.place():
        raise ZeroDivisionError
    assert len(line) == 0


def test_a_full_line_takes_no_more():
    line = TrainingLine(2)
    with line.place(), line.place():
        sentence = (
            r"^2 trainings are in line, as many as this app takes; try again in a few minutes.$"
        )
        with pytest.raises(PlaygroundError, match=sentence), line.place():
            pass
        assert len(line) == 2


def test_of_many_threads_one_trains_at_a_time():
    line, training, most = TrainingLine(20), [], []

    def train() -> None:
        with line.place() as place:
            while place.ahead():
                time.sleep(0.001)
            training.append(1)
            most.append(len(training))
            time.sleep(0.002)
            training.pop()

    threads = [threading.Thread(target=train) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1] * 20
