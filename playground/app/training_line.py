"""Who trains next: one training at a time, the others wait in line and see their place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from playground.errors import PlaygroundError


class TrainingLine:
    """A line in the order of arrival; whoever stands first trains. Safe between threads.

    most: how many may stand in it, the one that trains among them.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._line: list[Place] = []
        self._lock = threading.Lock()

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Stand in the line for as long as the block lasts, which must not train before its turn.

        Raises PlaygroundError where the line is full.
        """
        place = Place(self)
        with self._lock:
            if len(self._line) >= self._most:
                raise PlaygroundError(
                    f"{len(self._line)} trainings are in line, as many as this app takes; try again in "
                    "a few minutes."
                )
            self._line.append(place)
        try:
            yield place
        finally:
            with self._lock:
                self._line.remove(place)

    def __len__(self) -> int:
        with self._lock:
            return len(self._line)


class Place:
    """One's place in the line."""

    def __init__(self, line: TrainingLine) -> None:
        self._line = line

    def ahead(self) -> int:
        """Return how many stand before: 0 when it is one's turn."""
        with self._line._lock:
            return self._line._line.index(self)
