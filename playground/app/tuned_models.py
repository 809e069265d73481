"""What visitors have tuned: each delta under a name that its own page alone knows.

The name holds a random token and is the only key, as a session's identity is chosen by its client.
Deltas lie in memory, never on disk, under one cap for all visitors; they go with their page or when idle for long, and
where room is short the least recently used goes first.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from playground.engine import Prompting
from playground.engine.tuning.delta import Delta
from playground.errors import PlaygroundError
from playground.settings import Settings

PREFIX = "tuned:"
_TOKEN_BYTES = 24  # of chance in a name: none is found by trying
_TEXT_COST = 10  # bytes of memory, about, for each character of what a delta says of itself
_GONE = (
    "This tuned model is gone from the page's memory; tune it again or open its file, or choose another "
    "model."
)


@dataclass
class _Kept:
    delta: Delta
    base: str
    title: str
    owner: str
    size: int
    used: float  # seconds of the clock


class TunedModels:
    """The deltas of all visitors and the few of them that are open; safe between threads.

    ``clock`` gives seconds. Settings: ``tuned_mb`` for all deltas, ``tuned_each`` a visitor,
    ``tuned_slots`` models open at once, ``tuned_minutes`` without use.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()  # the least recently used first
        self._open: OrderedDict[str, Prompting] = OrderedDict()
        self._size = 0  # of all that is kept
        self._lock = threading.Lock()
        self._opening = threading.Lock()  # one copy of a model is read at a time

    @staticmethod
    def is_tuned(name: str | None) -> bool:
        """Whether a model's name is one of a tuned model, there or not."""
        return (name or "").strip().startswith(PREFIX)

    def keep(self, delta: Delta, *, base: str, title: str, owner: str = "") -> str:
        """Keep a delta and return the name under which its page finds it again.

        base: the model that it changes, as the registry names it. title: what people call it. owner:
        whose it is, so that one visitor pushes out its own first. Raises PlaygroundError for one that
        is larger than the whole room, or that changes a tuned model.
        """
        if self.is_tuned(base):  # opening it would wait for itself
            raise PlaygroundError(
                "A tuned model cannot be tuned again; choose the model that it was made from."
            )
        room, size = self._settings.tuned_mb << 20, size_of(delta)
        if size > room:
            raise PlaygroundError(
                f"What was tuned has {size / 2**20:,.0f} MiB and this app keeps "
                f"{self._settings.tuned_mb} MiB for all visitors; download it, or choose a smaller "
                "method such as lora."
            )
        name = PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
        with self._lock:
            self._sweep()
            own = [n for n, kept in self._kept.items() if owner and kept.owner == owner]
            for old in own[: max(0, len(own) - self._settings.tuned_each + 1)]:
                self._drop(old)
            while self._kept and self._size + size > room:
                self._drop(next(iter(self._kept)))
            self._kept[name] = _Kept(delta, base, title, owner, size, self._clock())
            self._size += size
        return name

    def delta(self, name: str) -> Delta:
        """Return the delta of a name; raises PlaygroundError where it is gone, or never was."""
        return self._find(name).delta

    def base(self, name: str) -> str:
        """Return the model that a tuned one changes; raises PlaygroundError where it is gone."""
        return self._find(name).base

    def title(self, name: str) -> str:
        """Return what people call a tuned model; raises PlaygroundError where it is gone."""
        return self._find(name).title

    def forget(self, names: Iterable[str]) -> None:
        """Free some tuned models; one that is gone already is no error."""
        with self._lock:
            for name in names:
                self._drop(name.strip())

    def forget_owner(self, owner: str | None) -> None:
        """Free all that one visitor has tuned, whose page was closed."""
        with self._lock:
            for name in [n for n, kept in self._kept.items() if owner and kept.owner == owner]:
                self._drop(name)

    def opened(self, name: str, base: Callable[[str], Prompting]) -> Prompting:
        """Return a tuned model ready to score; ``base`` gives the model that it changes, by name."""
        name = name.strip()
        kept = self._find(name)
        if (found := self._known(name)) is not None:
            return found
        with self._opening:
            if (found := self._known(name)) is not None:
                return found
            fresh = base(kept.base).tuned(kept.delta)
            with self._lock:
                if name in self._kept:  # it may have been forgotten meanwhile
                    self._open[name] = fresh
                    while len(self._open) > self._settings.tuned_slots:
                        self._open.popitem(last=False)
            return fresh

    @property
    def nbytes(self) -> int:
        """The bytes of all deltas, with what they say of themselves."""
        with self._lock:
            self._sweep()
            return self._size

    def __len__(self) -> int:
        with self._lock:
            self._sweep()
            return len(self._kept)

    def _find(self, name: str) -> _Kept:
        with self._lock:
            self._sweep()
            kept = self._kept.get(name.strip())
            if kept is None:
                raise PlaygroundError(_GONE)
            kept.used = self._clock()
            self._kept.move_to_end(name.strip())
            return kept

    def _known(self, name: str) -> Prompting | None:
        with self._lock:
            if name in self._open:
                self._open.move_to_end(name)
            return self._open.get(name)

    def _sweep(self) -> None:
        """Drop what was idle for too long; the order of use is that of time."""
        oldest = self._clock() - 60 * self._settings.tuned_minutes
        while self._kept and next(iter(self._kept.values())).used < oldest:
            self._drop(next(iter(self._kept)))

    def _drop(self, name: str) -> None:
        if (kept := self._kept.pop(name, None)) is not None:
            self._size -= kept.size
        self._open.pop(name, None)


def size_of(delta: Delta) -> int:
    """Return about how many bytes a delta takes: its tensors, its prompt, and its report.

    A file may hold next to no tensors and a report of millions of characters.
    """
    told = json.dumps([delta.prompt.to_json(), dict(delta.report)])
    return delta.nbytes + _TEXT_COST * len(told)
