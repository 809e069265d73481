"""The time-lapse of a pretraining: what the model predicted at stored checkpoints, and its losses.

It lies beside a model's weights as ``pretraining.json``. A folder may come from anywhere, so the file is
read with every size, kind and range checked, and nothing in it is trusted to be text that one may show.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from playground.errors import PlaygroundError, shorten

if TYPE_CHECKING:
    from playground.engine.loading import Source

FILE = "pretraining.json"
FORMAT = 1
MASK = "[MASK]"
_MOST_BYTES = 2 << 20
_MOST_POINTS, _MOST_CHECKPOINTS, _MOST_PROBES, _MOST_TOP, _MOST_CORPORA = 5_000, 60, 100, 10, 50
_MOST_TEXT, _MOST_TOKEN, _MOST_NAME = 300, 80, 40
_MOST_COUNT, _MOST_LOSS = 10**15, 100.0
_ADVICE = "make it again with playground pretrain"


@dataclass(frozen=True)
class CurvePoint:
    """One point of the training curve.

    loss: mean since the point before, nats a hidden token. tokens: read so far.
    """

    step: int
    tokens: int
    loss: float
    learning_rate: float


@dataclass(frozen=True)
class Checkpoint:
    """A moment of the training at which the model was looked at.

    loss: held-out loss by corpus, nats a hidden token; mean_loss over the corpora, None if there was
    nothing held out. seconds: of training.
    """

    step: int
    tokens: int
    seconds: float
    loss: Mapping[str, float]
    mean_loss: float | None

    @property
    def perplexity(self) -> float | None:
        """How many equally likely words would be as hard to choose among: e to the mean loss."""
        return None if self.mean_loss is None else math.exp(self.mean_loss)


@dataclass(frozen=True)
class Probe:
    """A sentence with one [MASK], and its likeliest tokens at each checkpoint, best first.

    top: (checkpoints, up to 10) pairs of a token and its probability.
    """

    text: str
    top: tuple[tuple[tuple[str, float], ...], ...]


@dataclass(frozen=True)
class Timelapse:
    """A pretraining from its first step to its last: curve, checkpoints in order, probes.

    note: what else one should know of it, empty in most.
    """

    curve: tuple[CurvePoint, ...]
    checkpoints: tuple[Checkpoint, ...]
    probes: tuple[Probe, ...]
    note: str = ""

    def __post_init__(self) -> None:
        for name, steps in (
            ("curve", [point.step for point in self.curve]),
            ("checkpoints", [point.step for point in self.checkpoints]),
        ):
            if any(after <= before for before, after in itertools.pairwise(steps)):
                raise _wrong(f"the steps of its {name} do not grow")
        for probe in self.probes:
            if len(probe.top) != len(self.checkpoints):
                raise _wrong(
                    f"{shorten(probe.text)} has predictions of {len(probe.top)} checkpoints "
                    f"and there are {len(self.checkpoints)}"
                )
        if len({probe.text for probe in self.probes}) < len(self.probes):
            raise _wrong("one of its sentences stands there twice")

    def to_json(self) -> dict[str, Any]:
        """Return the time-lapse as plain values, as the file holds it."""
        return {
            "format": FORMAT,
            **({"note": self.note} if self.note else {}),
            "curve": [asdict(point) for point in self.curve],
            "checkpoints": [asdict(point) | {"loss": dict(point.loss)} for point in self.checkpoints],
            "probes": [
                {"text": p.text, "top": [[[*pair] for pair in row] for row in p.top]}
                for p in self.probes
            ],
        }  # fmt: skip

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file in one step: a run that is killed leaves the old one."""
        path = Path(path)
        text = json.dumps(self.to_json(), ensure_ascii=False, allow_nan=False)
        fresh = path.with_name(f"{path.name}.new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)

    @classmethod
    def of(cls, source: Source) -> Timelapse:
        """Return what lies beside a model's weights; PlaygroundError if it brings nothing."""
        file = Path(source.location) / FILE
        if not source.local or not file.exists():
            raise PlaygroundError(
                f"The model {shorten(source.name, 80)} brings no record of its pretraining; "
                "choose one that playground pretrain has made."
            )
        return cls.load(file)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Timelapse:
        """Return the time-lapse of a file; PlaygroundError, in one sentence, for one that is none."""
        path = Path(path)
        if not path.is_file():  # a pipe or a device would be read without end
            raise _wrong("it is no file")
        try:
            with path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise _wrong(f"it cannot be opened ({error.strerror})") from None
        if len(content) > _MOST_BYTES:
            raise _wrong(f"it is larger than {_MOST_BYTES >> 20} MiB")
        try:
            data = json.loads(content.decode("utf-8"), parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise _wrong("it is no JSON that can be read") from None
        return cls.from_json(data)

    @classmethod
    def from_json(cls, data: Any) -> Timelapse:
        """Return the time-lapse of plain values; PlaygroundError for what does not belong there."""
        top = _fields(data, "the file", ("format", "curve", "checkpoints", "probes"))
        if top["format"] != FORMAT or isinstance(top["format"], bool):
            raise _wrong(f"its format is {shorten(top['format'])} and this app reads {FORMAT}")
        points = _list(top["curve"], "curve", _MOST_POINTS)
        checkpoints = _list(top["checkpoints"], "checkpoints", _MOST_CHECKPOINTS, fewest=1)
        probes = _list(top["probes"], "probes", _MOST_PROBES)
        return cls(
            tuple(_point(one) for one in points),
            tuple(_checkpoint(one) for one in checkpoints),
            tuple(_probe(one) for one in probes),
            _text(top["note"], "note", _MOST_TEXT) if "note" in top else "",
        )


def _point(data: Any) -> CurvePoint:
    own = _fields(data, "a point of the curve", ("step", "tokens", "loss", "learning_rate"))
    return CurvePoint(
        _count(own["step"], "step"),
        _count(own["tokens"], "tokens"),
        _real(own["loss"], "loss", _MOST_LOSS),
        _real(own["learning_rate"], "learning_rate", 1.0),
    )


def _checkpoint(data: Any) -> Checkpoint:
    own = _fields(data, "a checkpoint", ("step", "tokens", "seconds", "loss", "mean_loss"))
    losses = own["loss"]
    if not isinstance(losses, dict) or len(losses) > _MOST_CORPORA:
        raise _wrong(f"the loss of a checkpoint is {shorten(losses)}")
    return Checkpoint(
        _count(own["step"], "step"),
        _count(own["tokens"], "tokens"),
        _real(own["seconds"], "seconds", 1e9),
        {
            _text(name, "a corpus", _MOST_NAME): _real(loss, "loss", _MOST_LOSS)
            for name, loss in losses.items()
        },
        None if own["mean_loss"] is None else _real(own["mean_loss"], "mean_loss", _MOST_LOSS),
    )


def _probe(data: Any) -> Probe:
    own = _fields(data, "a sentence", ("text", "top"))
    text = _text(own["text"], "a sentence", _MOST_TEXT)
    if text.count(MASK) != 1:
        raise _wrong(f"{shorten(text)} has {text.count(MASK)} masks; a sentence has one {MASK}")
    rows = []
    for row in _list(own["top"], "top", _MOST_CHECKPOINTS):
        pairs = []
        for pair in _list(row, "top", _MOST_TOP, fewest=1):
            if not isinstance(pair, list) or len(pair) != 2:
                raise _wrong(f"a prediction is {shorten(pair)}; it must be a token and a number")
            token = _text(pair[0], "a token", _MOST_TOKEN)
            pairs.append((token, _real(pair[1], "a probability", 1.0)))
        rows.append(tuple(pairs))
    return Probe(text, tuple(rows))


def _fields(data: Any, what: str, names: Sequence[str]) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise _wrong(f"{what} is {shorten(data)}; it must be an object")
    if missing := [name for name in names if name not in data]:
        raise _wrong(f"{what} lacks {shorten(missing[0])}")
    return data


def _list(data: Any, what: str, most: int, *, fewest: int = 0) -> list[Any]:
    if not isinstance(data, list):
        raise _wrong(f"{what} is {shorten(data)}; it must be a list")
    if not fewest <= len(data) <= most:
        raise _wrong(f"{what} has {len(data):,} entries; it may have {fewest} to {most:,}")
    return data


def _text(data: Any, what: str, most: int) -> str:
    if not isinstance(data, str) or not 1 <= len(data) <= most:
        raise _wrong(f"{what} is {shorten(data)}; it must be text of 1 to {most} characters")
    if any("\ud800" <= sign <= "\udfff" for sign in data):
        raise _wrong(f"{what} holds half a character")
    return data


def _count(data: Any, what: str) -> int:
    if type(data) is not int or not 0 <= data <= _MOST_COUNT:
        raise _wrong(f"{what} is {_number(data)}; it must be a whole number from 0")
    return data


def _real(data: Any, what: str, most: float) -> float:
    if type(data) not in (int, float) or not 0 <= data <= most:  # NaN is in no range
        raise _wrong(f"{what} is {_number(data)}; it must be a number from 0 to {most:g}")
    return float(data)


def _number(data: Any) -> str:
    if type(data) is int and abs(data) > _MOST_COUNT:
        return "a huge number"  # Python would not write out one of thousands of digits
    return shorten(data)


def _no_number(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")


def _wrong(why: str) -> PlaygroundError:
    return PlaygroundError(f"The model's {FILE} cannot be shown: {why}; {_ADVICE}.")
