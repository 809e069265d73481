"""The folder of a training run, its steps, its precision, and going on after a kill."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import nn
from transformers import (
    PreTrainedConfig,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)

from playground.engine.device import choose_device
from playground.engine.loading import quietly, weights_digest
from playground.errors import PlaygroundError, shorten
from playground.tasks.training.curve import ACCURACY, Curve, Metric, Point

CHECKPOINTS = "checkpoints"
LEAST_TOKENS = 8
_NOTE = "run.json"
_HEADS = ("classifier", "pooler", "qa_outputs")  # parts of the names of weights that may be new
PRECISIONS = ("auto", "float32", "bfloat16")


class Steps(Protocol):
    """The part of a recipe that says how many steps there are, of what size."""

    @property
    def epochs(self) -> float: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def warmup(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def precision(self) -> str: ...
    @property
    def evaluations(self) -> float: ...
    @property
    def seed(self) -> int: ...


R = TypeVar("R", bound=Steps)


def check_recipe(
    recipe: Steps, choices: dict[str, tuple[str, ...]], shares: tuple[str, ...]
) -> None:
    """Raise PlaygroundError for a number out of its range or a name that is no choice."""
    for name in ("epochs", "learning_rate", "batch_size", "evaluations"):
        if not 0 < getattr(recipe, name) < math.inf:
            raise PlaygroundError(f"{name} is {getattr(recipe, name)}; it must be above 0.")
    if not 0 <= recipe.seed < 2**32:
        raise PlaygroundError(f"seed is {recipe.seed}; it must be from 0 to {2**32 - 1}.")
    if recipe.max_tokens < LEAST_TOKENS:
        raise PlaygroundError(f"max_tokens is {recipe.max_tokens}; the least is {LEAST_TOKENS}.")
    for name, known in ({"precision": PRECISIONS} | choices).items():
        if getattr(recipe, name) not in known:
            raise PlaygroundError(
                f"{name} is {shorten(getattr(recipe, name))}; choose {' or '.join(known)}."
            )
    for name in ("warmup", "weight_decay", *shares):
        value = getattr(recipe, name)
        if value is not None and not 0 <= value < 1:
            raise PlaygroundError(f"{name} is {value}; it must be from 0 to below 1.")


def open_folder(out: str | os.PathLike[str], *, fresh: bool) -> Path:
    """Return the folder of a run, made if need be; raises PlaygroundError for one that cannot be used."""
    folder = Path(out).expanduser()
    shown = shorten(out, 120)
    if (folder / "config.json").exists() and not fresh:
        raise PlaygroundError(
            f"The folder {shown} holds a finished model; give another --out, or --fresh to train anew."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise PlaygroundError(
            f"The folder {shown} cannot be written ({error.strerror}); choose another."
        ) from None
    return folder


def training_device(wanted: str) -> torch.device:
    """Return the device of a training; PlaygroundError for one that is not there, or a GPU by number.

    transformers and accelerate take the first GPU that they see, or one for each process.
    """
    kind, colon, number = wanted.partition(":")
    if kind == "cuda" and colon:
        raise PlaygroundError(
            f"The device is {shorten(wanted)} and a training takes the first GPU that it sees; set "
            f"CUDA_VISIBLE_DEVICES={number} and give cuda."
        )
    return choose_device(wanted)


def trainer_arguments(
    folder: Path, recipe: Steps, rows: int, place: torch.device, **more: Any
) -> TrainingArguments:
    """Return the Trainer's arguments: a batch is ``batch_size`` rows over all processes together.

    The last look at the dev set falls on the last step, and each look keeps a checkpoint. The recipe's
    precision must be chosen already, see :func:`with_precision`.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    each = max(1, recipe.batch_size // processes)
    in_epoch = math.ceil(rows / (each * processes))
    looks = max(1, round(recipe.epochs * recipe.evaluations))
    between = max(1, math.ceil(recipe.epochs * in_epoch / looks))
    arguments = TrainingArguments(
        output_dir=str(folder / CHECKPOINTS),
        per_device_train_batch_size=each,
        per_device_eval_batch_size=each,
        max_steps=between * looks,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(recipe.warmup * between * looks),
        weight_decay=recipe.weight_decay,
        adam_beta2=0.98,
        optim="adamw_torch_fused",
        max_grad_norm=1.0,
        bf16=recipe.precision == "bfloat16",
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=between,
        save_steps=between,
        save_total_limit=2,
        load_best_model_at_end=True,
        logging_steps=max(1, between * looks // 200),
        seed=recipe.seed,
        use_cpu=place.type == "cpu",
        disable_tqdm=True,
        report_to=[],
        dataloader_pin_memory=place.type == "cuda",
        **more,
    )
    if arguments.n_gpu > 1:  # DataParallel would take a batch for each GPU
        arguments._n_gpu = 1
    return arguments


def config_changes(config: PreTrainedConfig, dropout: float | None) -> dict[str, Any]:
    """Return what a config gets for training: its dropout, if one is given, and quick attention."""
    changes: dict[str, Any] = {}
    if dropout is not None:  # each architecture has names of its own for it
        changes = dict.fromkeys((k for k in config.to_dict() if "dropout" in k), dropout)
    if not torch.cuda.is_available():
        changes["_attn_implementation"] = "eager"  # a tenth faster than the fused kernel on a CPU
    return changes


def with_precision(recipe: R, place: torch.device, folder: Path) -> R:
    """Return the recipe with its precision chosen: for "auto" bfloat16 where it is faster there.

    A run that was stopped in ``folder`` keeps what it had. Several processes on CPUs take float32, as
    each would have to measure the same.
    """
    if recipe.precision != "auto":
        return recipe
    chosen = _note(folder / CHECKPOINTS).get("precision")
    if chosen not in PRECISIONS[1:]:
        alone = int(os.environ.get("WORLD_SIZE", "1")) == 1 or place.type != "cpu"
        chosen = "bfloat16" if alone and bfloat16_gains(place) else "float32"
    return replace(recipe, precision=chosen)  # type: ignore[type-var]


def run_mark(recipe: Any, model: nn.Module, columns: Iterable[Any], processes: int) -> str:
    """Return what must be the same for a stopped run to go on: recipe, weights, rows, processes.

    columns: the columns of the rows one after another, each a list that JSON can hold.
    """
    total = hashlib.sha256(repr((asdict(recipe), processes)).encode())
    kept = {n: w for n, w in model.state_dict().items() if not any(part in n for part in _HEADS)}
    total.update(weights_digest(kept).encode())  # without a head, which may be new
    for column in columns:
        total.update(json.dumps(column).encode())
    return total.hexdigest()


def bfloat16_gains(place: torch.device) -> bool:
    """Return whether a product in bf16 takes less than three quarters of its time in fp32 there."""
    if place.type != "cpu":
        return place.type == "cuda" and torch.cuda.is_bf16_supported()

    def seconds(kind: torch.dtype) -> float:
        left, right = torch.ones(1024, 256, dtype=kind), torch.ones(256, 1024, dtype=kind)
        times = []
        for _ in range(8):
            start = time.perf_counter()
            left @ right
            times.append(time.perf_counter() - start)
        return min(times)

    return seconds(torch.bfloat16) < 0.75 * seconds(torch.float32)


@dataclass(frozen=True)
class Done:
    """How a training went: seconds of this process, and whether it went on with a stopped one."""

    seconds: float
    resumed: bool

    def facts(self, trainer: Trainer) -> dict[str, Any]:
        """Return what every report says of a run."""
        return {
            "steps": trainer.state.global_step,
            "seconds": round(self.seconds, 1),
            "resumed": self.resumed,
            "processes": trainer.args.world_size,
            "precision": "bfloat16" if trainer.args.bf16 else "float32",
        }


def train_on(
    trainer: Trainer,
    folder: Path,
    mark: str,
    *,
    precision: str,
    fresh: bool,
    say: Callable[[str], None],
    callbacks: Iterable[TrainerCallback],
) -> Done:
    """Train from the last whole checkpoint of the run ``mark`` in ``folder``, or from the start."""
    arguments = trainer.args
    with arguments.main_process_first():  # which clears the folder where it must
        first = fresh and arguments.process_index == 0
        resume = last_checkpoint(
            folder / CHECKPOINTS, mark, precision=precision, fresh=first, say=say
        )
    for callback in (*callbacks, _SameOrder()):
        trainer.add_callback(callback)
    started = time.perf_counter()
    with quietly():
        trainer.train(resume_from_checkpoint=resume)
    return Done(time.perf_counter() - started, resume is not None)


class ShowSteps(TrainerCallback):
    """Tells ``progress``, if given, the steps done and the steps in all, a stopped run's included."""

    def __init__(self, progress: Callable[[int, int], None] | None) -> None:
        self._progress = progress

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        if self._progress is not None and state.is_world_process_zero:
            self._progress(state.global_step, state.max_steps)


class _SameOrder(TrainerCallback):
    """Gives a run that goes on within an epoch the order of rows that the epoch had.

    transformers draws it from torch's random numbers as an epoch begins, and keeps only those of the step
    at which a checkpoint is written.
    """

    _name = "order"

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        self._goes_on = state.global_step > 0

    def on_epoch_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        kept = state.stateful_callbacks.get(self._name)
        if self._goes_on and kept:
            numbers = bytearray.fromhex(kept["attributes"]["numbers"])
            torch.set_rng_state(torch.frombuffer(numbers, dtype=torch.uint8))
        self._goes_on = False
        self._keep(state)

    def on_evaluate(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        if state.epoch == int(state.epoch or 0):  # the next epoch begins with these
            self._keep(state)

    def _keep(self, state: TrainerState) -> None:
        numbers = torch.get_rng_state().numpy().tobytes().hex()
        state.stateful_callbacks[self._name] = {"args": {}, "attributes": {"numbers": numbers}}


class Watch(TrainerCallback):
    """Tells how a run goes at each look at the dev set, and keeps nothing of its own.

    What it shows comes from the trainer's state, so a run that goes on after a kill has one curve.
    """

    def __init__(
        self, say: Callable[[str], None], steps_in_epoch: float, metric: Metric = ACCURACY
    ) -> None:
        self._say = say
        self._steps = steps_in_epoch
        self._metric = metric

    def on_evaluate(
        self, args: Any, state: TrainerState, control: Any, metrics: Any = None, **_: Any
    ) -> None:
        if not state.is_world_process_zero or not metrics or self._measured not in metrics:
            return
        losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
        self._say(
            f"step {state.global_step:,} of {state.max_steps:,}, "
            f"epoch {state.global_step / self._steps:.2f}: "
            f"{f'loss {losses[-1]:.3f}, ' if losses else ''}dev loss {metrics['eval_loss']:.3f}, "
            f"dev {self._metric.title} {self._metric.show(metrics[self._measured])}"
        )

    def curve(self, state: TrainerState) -> Curve:
        """Return the whole curve of a run."""
        points: dict[int, dict[str, Any]] = {}
        names = {
            "loss": "loss",
            "learning_rate": "learning_rate",
            "eval_loss": "dev_loss",
            self._measured: "dev_score",
        }
        for entry in state.log_history:
            step = entry.get("step", 0)
            found = {ours: entry[key] for key, ours in names.items() if key in entry}
            if found:
                points.setdefault(step, {}).update(found)
        best = state.best_global_step or state.global_step
        return Curve(
            tuple(
                Point(step, round(step / self._steps, 4), **points[step]) for step in sorted(points)
            ),
            int(best),
            self._metric,
        )

    @property
    def _measured(self) -> str:
        """The name under which the trainer logs the metric."""
        return f"eval_{self._metric.name}"


def last_checkpoint(
    folder: Path, mark: str, *, precision: str, fresh: bool, say: Callable[[str], None]
) -> str | None:
    """Return the last whole checkpoint of the run ``mark``, if one was stopped; else clear the folder."""
    found = sorted(
        (path for path in folder.glob("checkpoint-*") if _whole(path)),
        key=lambda path: int(path.name.rpartition("-")[2]),
    )
    same = _note(folder).get("mark") == mark
    if found and same and not fresh:
        say(f"Continuing the stopped run at step {found[-1].name.rpartition('-')[2]}.")
        return str(found[-1])
    if found and not same:
        say("Starting anew: the stopped run is of another recipe, model or data.")
    if fresh or not same:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        note = json.dumps({"mark": mark, "precision": precision})
        (folder / _NOTE).write_text(note, encoding="utf-8")
    return None


def _note(folder: Path) -> dict[str, str]:
    """Return what the run in ``folder`` noted of itself, empty if it cannot be read."""
    try:
        found = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _whole(checkpoint: Path) -> bool:
    """Return whether a checkpoint was written to its end: the trainer's state is its last file."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
