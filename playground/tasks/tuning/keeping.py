"""A run of a tuner kept in a folder, so that it goes on where a kill, or Ctrl-C, left it."""

from __future__ import annotations

import hashlib
import json
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from playground.engine.loading import weights_digest
from playground.engine.tuning.delta import Delta
from playground.engine.tuning.files import load_delta, replacing, save_delta, write_whole
from playground.engine.tuning.loop import Step, Tuner
from playground.errors import PlaygroundError, shorten
from playground.tasks.evaluation import Result
from playground.tasks.tuning.card import delta_card

NOTE, STATE = "tuning.json", ".state.safetensors"
_SAVE_SECONDS = 20.0
_MOST_NOTE = 64 << 20


@dataclass(frozen=True)
class SeedResult:
    """What one run gave: its seed, delta and steps, and the held-out rows' result if they were measured."""

    seed: int
    delta: Delta
    steps: tuple[Step, ...]
    result: Result | None = None

    @property
    def dev_accuracy(self) -> float | None:
        """The accuracy on the dev rows at the step that was kept."""
        return self.delta.report.get("dev_accuracy")


class KeptRun:
    """Runs a tuner, and keeps in ``folder``, if given, what it takes to go on.

    What a kill leaves there is at most 20 seconds old; the same rows, prompt, recipe and model go on
    from it to the same bytes, and others start anew. A run that is finished there is read instead.
    Ctrl-C takes effect between two steps.
    """

    def __init__(self, tuner: Tuner, folder: Path | None = None, *, fresh: bool = False) -> None:
        self.tuner, self.folder, self.seed = tuner, folder, tuner.recipe.seed
        self._mark = tuner.mark()
        self._done = None if fresh else self._finished()
        if not fresh and self._done is None:
            self._restore()
        self.resumed = tuner.step

    @property
    def known(self) -> bool:
        """Whether an earlier run has finished this."""
        return self._done is not None

    def run(self) -> Iterator[Step]:
        """Yield the steps that are still to do; the state is saved on the way."""
        if self._done is not None:
            return
        saved = time.monotonic()
        steps = self.tuner.run()
        while True:
            with _ctrl_c_waits():
                step = next(steps, None)
            if step is None:
                return
            if self.folder is not None and time.monotonic() - saved > _SAVE_SECONDS:
                self.save_state()
                saved = time.monotonic()
            yield step

    def finish(self) -> SeedResult:
        """Return what is best so far, and write it; a run that was stopped can still go on."""
        if self._done is not None:
            self._tidy()
            return self._done
        found = SeedResult(self.seed, self.tuner.delta(), tuple(self.tuner.steps))
        if self.folder is not None:
            if not self.tuner.finished:
                self.save_state()
            save_delta(found.delta, self.folder, card=delta_card(found.delta))
            note = {
                "mark": self._mark,
                "finished": self.tuner.finished,
                "digest": found.delta.digest,
                "steps": [asdict(step) for step in found.steps],
            }
            _write(self.folder / NOTE, json.dumps(note, indent=1).encode())
            if self.tuner.finished:
                self._tidy()
        return found

    def save_state(self) -> None:
        """Write all that the run needs to go on."""
        if self.folder is None:
            return
        tensors, about = self.tuner.state()
        text = json.dumps(about)
        about = {"run": text, "sum": _sum(text, tensors)}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.folder / STATE) as partial:  # from memory to the disk, no copy
                save_file({n: t.contiguous() for n, t in tensors.items()}, partial, about)
        except (OSError, SafetensorError) as error:
            raise _unwritable(self.folder, error) from None

    def _restore(self) -> None:
        if self.folder is None:
            return
        try:
            with safe_open(self.folder / STATE, "pt") as file:
                about = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if _sum(about["run"], tensors) == about["sum"]:
                self.tuner.restore(tensors, json.loads(about["run"]))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError, RuntimeError):
            return  # none there, of another run, or damaged: the run starts anew

    def _finished(self) -> SeedResult | None:
        if self.folder is None:
            return None
        try:
            if (self.folder / NOTE).stat().st_size > _MOST_NOTE:
                return None
            note = json.loads((self.folder / NOTE).read_text(encoding="utf-8"))
            if note["mark"] != self._mark or note["finished"] is not True:
                return None
            delta = load_delta(self.folder)
            steps = tuple(Step(**step) for step in note["steps"])
            return SeedResult(self.seed, delta, steps) if delta.digest == note["digest"] else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError, PlaygroundError):
            return None

    def _tidy(self) -> None:
        """Take away what only a run under way needs, and what a kill left half written."""
        if self.folder is None:
            return
        for path in (self.folder / STATE, *self.folder.glob(".*.partial")):
            path.unlink(missing_ok=True)


def _sum(about: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of a state: safetensors reads a flipped byte without a word."""
    weights = weights_digest({name: tensors[name] for name in sorted(tensors)})
    return hashlib.sha256(f"{about}{weights}".encode()).hexdigest()


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Hold Ctrl-C back while a step is made: half of one could not be gone on from to the same end."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    asked: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: asked.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if asked:
        raise KeyboardInterrupt


def _write(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data)
    except OSError as error:
        raise _unwritable(path.parent, error) from None


def _unwritable(folder: Path, error: Exception) -> PlaygroundError:
    reason = getattr(error, "strerror", None) or "the disk may be full"
    return PlaygroundError(
        f"The run cannot be written to {shorten(folder, 120)} ({reason}); make room, or choose another "
        "folder."
    )
