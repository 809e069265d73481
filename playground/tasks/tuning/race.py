"""A race of ways to tune: their accuracy by number of shots, seed by seed, as data.

A race is written by ``playground tune race`` and read back with every size, kind and range checked.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from playground.errors import PlaygroundError, shorten

FORMAT = 1
_MOST_BYTES = 2 << 20
_MOST_RUNS, _MOST_COUNT, _MOST_TEXT = 5_000, 10**12, 2_000
_METHOD = re.compile(r"[a-z][a-z0-9_-]{0,19}")


@dataclass(frozen=True)
class Untuned:
    """What the prompt gives before any tuning, on the rows that all runs are measured on; shares."""

    name: str
    accuracy: float
    low: float
    high: float
    macro_f1: float


@dataclass(frozen=True)
class Run:
    """What one method gave with one draw of rows.

    accuracy, macro_f1: on the held-out rows; dev_accuracy: on the rows that the step was chosen by,
    None without. parameters: how many were tuned; nbytes: of the delta; seconds: of the tuning.
    """

    method: str
    shots: int
    seed: int
    accuracy: float
    macro_f1: float
    dev_accuracy: float | None
    best_step: int
    parameters: int
    nbytes: int
    seconds: float


@dataclass(frozen=True)
class Cell:
    """A method at one number of shots: its accuracy over seeds.

    deviation: of the sample, None for one seed. above: how many seeds beat the prompt before tuning, see Race.start.
    """

    method: str
    shots: int
    seeds: int
    mean: float
    deviation: float | None
    least: float
    most: float
    above: int
    macro_f1: float
    seconds: float


@dataclass(frozen=True)
class Race:
    """All runs of a race, and what they have in common.

    data: the data set's name. rows: held out. labels: the prompt's. majority, random: what the commonest
    label and a fair draw get. untuned: the prompt before any tuning, raw first. steps: of each run.
    """

    data: str
    model: str
    revision: str
    template: str
    labels: tuple[str, ...]
    rows: int
    majority: float
    random: float
    steps: int
    untuned: tuple[Untuned, ...]
    runs: tuple[Run, ...]

    def __post_init__(self) -> None:
        if len(set(self.labels)) < 2:
            raise _wrong("it has fewer than two labels")
        if not self.untuned:
            raise _wrong("what the prompt gives before tuning is missing")
        if len({(run.method, run.shots, run.seed) for run in self.runs}) < len(self.runs):
            raise _wrong("one of its runs stands there twice")
        for run in self.runs:
            if not _METHOD.fullmatch(run.method):
                raise _wrong(f"a method is called {shorten(run.method, 40)}")

    @property
    def start(self) -> float:
        """What every method has to beat: the accuracy before tuning, calibrated where that is better."""
        return max(one.accuracy for one in self.untuned)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods in the order in which they ran."""
        return tuple(dict.fromkeys(run.method for run in self.runs))

    @property
    def shots(self) -> tuple[int, ...]:
        """The numbers of shots, growing."""
        return tuple(sorted({run.shots for run in self.runs}))

    def of(self, method: str, shots: int) -> tuple[Run, ...]:
        """Return a method's runs at a number of shots, by seed."""
        own = [run for run in self.runs if (run.method, run.shots) == (method, shots)]
        return tuple(sorted(own, key=lambda run: run.seed))

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Each method at each number of shots that has runs."""
        found = ((method, shots) for method in self.methods for shots in self.shots)
        return tuple(self._cell(*pair) for pair in found if self.of(*pair))

    def cell(self, method: str, shots: int) -> Cell | None:
        """Return one of the cells, None if it has no run."""
        return next((c for c in self.cells if (c.method, c.shots) == (method, shots)), None)

    def _cell(self, method: str, shots: int) -> Cell:
        own = self.of(method, shots)
        values = [run.accuracy for run in own]
        return Cell(
            method,
            shots,
            len(own),
            mean(values),
            stdev(values) if len(own) > 1 else None,
            min(values),
            max(values),
            sum(value > self.start for value in values),
            mean(run.macro_f1 for run in own),
            mean(run.seconds for run in own),
        )

    # ---- files ----------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return the race as plain values, as the file holds it."""
        return {"format": FORMAT, **asdict(self), "labels": list(self.labels)}

    @classmethod
    def from_json(cls, data: Any) -> Race:
        """Return a race of plain values; raises PlaygroundError, in one sentence, for anything else."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise _wrong("it is no race of this version")
        if set(data) != {"format", *(field.name for field in fields(cls))}:
            raise _wrong("its entries are not those of a race")
        labels, untuned, runs = (data[name] for name in ("labels", "untuned", "runs"))
        if not all(isinstance(part, list) for part in (labels, untuned, runs)):
            raise _wrong("labels, untuned and runs must be lists")
        if max(map(len, (labels, untuned, runs))) > _MOST_RUNS:
            raise _wrong(f"it has more than {_MOST_RUNS:,} entries")
        return cls(
            **{name: _text(data, name) for name in ("data", "model", "revision", "template")},
            labels=tuple(_text({"label": label}, "label") for label in labels),
            rows=_whole(data, "rows", least=1),
            majority=_share(data, "majority"),
            random=_share(data, "random"),
            steps=_whole(data, "steps", least=1),
            untuned=tuple(_untuned(one) for one in untuned),
            runs=tuple(run_from_json(one) for one in runs),
        )

    def save(self, path: Path) -> None:
        """Write the race, whole or not at all; raises OSError."""
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(f"{json.dumps(self.to_json(), indent=1)}\n", encoding="utf-8")
        os.replace(partial, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Race:
        """Return a race that :meth:`save` wrote; raises PlaygroundError for a file that is none."""
        shown = shorten(Path(path).name, 120)
        try:
            if Path(path).expanduser().stat().st_size > _MOST_BYTES:
                raise PlaygroundError(f"The race {shown} is larger than 2 MiB; it is not opened.")
            data = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
        except OSError as error:
            raise PlaygroundError(
                f"The race {shown} cannot be read ({error.strerror}); give a race.json that playground "
                "tune race wrote."
            ) from None
        except (ValueError, RecursionError):
            raise _wrong(f"{shown} is no JSON") from None
        return cls.from_json(data)


def run_from_json(data: Any) -> Run:
    """Return a run of plain values; raises PlaygroundError for anything else."""
    _entries(data, Run)
    dev = data["dev_accuracy"]
    return Run(
        method=_text(data, "method"),
        shots=_whole(data, "shots", least=1),
        seed=_whole(data, "seed"),
        accuracy=_share(data, "accuracy"),
        macro_f1=_share(data, "macro_f1"),
        dev_accuracy=None if dev is None else _share(data, "dev_accuracy"),
        best_step=_whole(data, "best_step"),
        parameters=_whole(data, "parameters"),
        nbytes=_whole(data, "nbytes"),
        seconds=_number(data, "seconds", _MOST_COUNT),
    )


def _untuned(data: Any) -> Untuned:
    _entries(data, Untuned)
    shares = {name: _share(data, name) for name in ("accuracy", "low", "high", "macro_f1")}
    return Untuned(name=_text(data, "name"), **shares)


def _entries(data: Any, kind: type) -> None:
    if not isinstance(data, dict) or set(data) != {field.name for field in fields(kind)}:
        raise _wrong(f"one of its entries is no {kind.__name__.lower()}")


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data[name]
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_TEXT:
        raise _wrong(
            f"{name} is {shorten(value, 40)}, which is no text of 1 to {_MOST_TEXT:,} characters"
        )
    if any("\ud800" <= sign <= "\udfff" for sign in value):
        raise _wrong(f"{name} holds half a character")
    return value


def _whole(data: Mapping[str, Any], name: str, *, least: int = 0) -> int:
    value = data[name]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST_COUNT:
        raise _wrong(f"{name} is {shorten(value, 40)}, which is no whole number from {least}")
    return value


def _number(data: Mapping[str, Any], name: str, most: float) -> float:
    value = data[name]
    sound = isinstance(value, int | float) and not isinstance(value, bool)
    if not sound or not math.isfinite(value) or not 0 <= value <= most:
        raise _wrong(f"{name} is {shorten(value, 40)}, which is no number from 0 to {most:,}")
    return float(value)


def _share(data: Mapping[str, Any], name: str) -> float:
    return _number(data, name, 1)


def _wrong(reason: str) -> PlaygroundError:
    return PlaygroundError(
        f"The race cannot be shown: {reason}; make it again with playground tune race."
    )
