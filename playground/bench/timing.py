"""Fair clocks: contestants in turn, CPU time, medians, one torch thread."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Contestant:
    """Work to time: ``run`` is given the number of the round, so that it can take fresh texts.

    ``texts`` is how many texts one call scores; times are kept for one of them.
    """

    run: Callable[[int], object]
    texts: int = 1


@dataclass(frozen=True)
class Times:
    """CPU seconds a text, of each contestant in each round."""

    seconds: dict[str, list[float]]

    def median(self, name: str) -> float:
        """Return the median seconds a text."""
        return statistics.median(self.seconds[name])

    def ratio(self, slow: str, fast: str) -> float:
        """Return how many times longer ``slow`` took than ``fast``: the median over paired rounds."""
        pairs = zip(self.seconds[slow], self.seconds[fast], strict=True)
        return statistics.median(a / b for a, b in pairs)


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold torch to one thread, as threads beside a busy core wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_turn(
    contestants: Mapping[str, Contestant],
    *,
    rounds: int,
    warm_up: int = 1,
    before: Callable[[int], object] | None = None,
) -> Times:
    """Run contestants in turn (A B, B A, A B ...) and return their CPU times.

    Turns share what changes over a run: frequency, caches, neighbours. CPU time (all threads of the
    process) leaves out what other processes take. ``warm_up`` rounds are run and not counted, and
    ``before`` is called at the start of each round, outside the clock.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for turn in range(warm_up + rounds):
        gc.collect()
        if before is not None:
            before(turn)
        for name in names if turn % 2 else reversed(names):
            start = time.process_time()
            contestants[name].run(turn)
            spent = time.process_time() - start
            if turn >= warm_up:
                seconds[name].append(spent / contestants[name].texts)
    return Times(seconds)
