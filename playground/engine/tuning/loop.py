"""Tuning a prompt on a few labelled rows, a step at a time, so that it can be watched, stopped, resumed.

The loss is the cross-entropy of the label log-probabilities that inference gives (Schick and Schütze 2021,
section 3.1): no softmax is taken of probabilities. What is best on the dev rows is kept, and step 0, the
prompt before any tuning, is in the running.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from playground.engine.backbone import Backbone
from playground.engine.encoding import Encoded
from playground.engine.tuning.delta import Delta
from playground.engine.tuning.drawing import drawn
from playground.engine.tuning.memory import peak_bytes
from playground.engine.tuning.network import Network
from playground.engine.tuning.recipe import Recipe
from playground.errors import PlaygroundError
from playground.prompts import AnyPrompt
from playground.prompts.template import Row

_LOOK_ROWS = 32
_CLIP = 1.0


@dataclass(frozen=True)
class Shots:
    """Labelled rows: texts, and what is right of each as shares of the labels, (N, C), adding up to 1."""

    rows: tuple[Row, ...]
    targets: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(self.rows))
        wanted = np.asarray(self.targets, dtype=np.float64)
        object.__setattr__(self, "targets", wanted)
        if wanted.ndim != 2 or len(wanted) != len(self.rows) or not len(self.rows):
            raise PlaygroundError(
                f"There are {len(self.rows)} rows and {len(wanted)} labels; give one label a row, and at "
                "least one row."
            )
        if (
            not np.isfinite(wanted).all()
            or (wanted < 0).any()
            or abs(wanted.sum(1) - 1).max() > 1e-6
        ):
            raise PlaygroundError("The shares of a row's labels must be 0 or more and add up to 1.")

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, rows: Sequence[Row], gold: Sequence[int] | np.ndarray, labels: int) -> Shots:
        """Return rows with one right label each: gold holds places from 0 to ``labels`` - 1."""
        places = np.asarray(gold, dtype=int)
        if len(places) and not (places.min() >= 0 and places.max() < labels):
            raise PlaygroundError(
                f"A label is {int(places.max() if places.min() >= 0 else places.min())}; the prompt's "
                f"{labels} labels count from 0 to {labels - 1}."
            )
        return cls(tuple(rows), np.eye(labels)[places])


@dataclass(frozen=True)
class Step:
    """What one step gave: its mean loss in nats and learning rate; the dev rows' numbers where measured.

    Step 0 is the prompt before any tuning, or an untrained head, which is a guess.
    """

    step: int
    loss: float | None
    learning_rate: float
    dev_accuracy: float | None = None
    dev_loss: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Estimate:
    """What a run will take: parameters tuned, peak bytes of its own, and seconds at this speed."""

    parameters: int
    nbytes: int
    seconds: float


class Tuner:
    """One run of one method on one draw of rows.

    train, dev: rows with labels; the dev rows may be no more than those to train on, and without any
    the last step is kept. Nothing of ``backbone`` changes. The same seed gives the same bytes on a CPU.
    Raises PlaygroundError for a prompt, rows or dev set that cannot be used.
    """

    def __init__(
        self,
        backbone: Backbone,
        prompt: AnyPrompt,
        train: Shots,
        dev: Shots | None = None,
        *,
        recipe: Recipe,
    ) -> None:
        if dev is not None and len(dev) > len(train):
            raise PlaygroundError(
                f"The dev set has {len(dev)} rows and there are {len(train)} to train on; a dev set that "
                "is larger would be better used to train."
            )
        labels = len(prompt.labels)
        for shots in filter(None, (train, dev)):
            if shots.targets.shape[1] != labels:
                raise PlaygroundError(
                    f"The rows have {shots.targets.shape[1]} labels and the prompt has {labels}."
                )
        self.recipe, self.prompt = recipe, prompt
        self._backbone = backbone
        self._rows = (train, dev)
        self.network = self.make_network(backbone, prompt, recipe)
        self._train = self.network.encode(train.rows, "rows to train on")
        self._dev = self.network.encode(dev.rows, "dev set") if dev is not None else []
        self._targets = torch.tensor(train.targets, dtype=torch.float32)
        self._dev_targets = torch.tensor(dev.targets, dtype=torch.float32) if dev else None
        flat = self.network.undecayed
        groups: list[dict[str, Any]] = [
            {
                "params": [w for n, w in self.network.tuned.items() if (n in flat) == plain],
                "weight_decay": 0.0 if plain else recipe.weight_decay,
            }
            for plain in (False, True)
        ]
        self.optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=recipe.peak,
            fused=backbone.device.type in ("cpu", "cuda"),
        )
        self.steps: list[Step] = []
        self.best_step = 0
        self.best: dict[str, torch.Tensor] = {}

    @property
    def step(self) -> int:
        """How many steps are done."""
        return self.steps[-1].step if self.steps else 0

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or the dev set has not gained for as long as the recipe allows."""
        patience = self.recipe.patience
        late = [s for s in self.steps if s.dev_accuracy is not None and s.step > self.best_step]
        tired = patience is not None and bool(self._dev) and len(late) >= patience
        return bool(self.steps) and (tired or self.step >= self.recipe.steps)

    def run(self) -> Iterator[Step]:
        """Yield step 0 and each step after it, from where an earlier call was left.

        Raises PlaygroundError where the loss or its gradient is no number any more.
        """
        if not self.steps:
            yield self._told(Step(0, None, 0.0))
        while not self.finished:
            step = self.step + 1
            rate = self.recipe.rate(step)
            yield self._told(Step(step, self._learn(step, rate), rate))

    def delta(self) -> Delta:
        """Return what is best so far as a delta; nothing, or the untrained head, before a first step."""
        self._keep_first()
        return Delta(
            self.recipe.method,
            self._backbone.name,
            self._backbone.revision,
            self.network.prompt,
            self.network.tensors(self.best),
            self.report(),
        )

    def report(self) -> dict[str, Any]:
        """Return what the card of the delta says of the run; no times, so that runs are equal bytes."""
        shown = {s.step: s for s in self.steps}
        best = shown.get(self.best_step)
        return {
            "recipe": asdict(self.recipe) | {"learning_rate": self.recipe.peak},
            "rows": len(self._train),
            "dev_rows": len(self._dev),
            "steps": self.step,
            "best_step": self.best_step,
            "dev_accuracy": best.dev_accuracy if best else None,
            "start_dev_accuracy": self.steps[0].dev_accuracy if self.steps else None,
        }

    def mark(self) -> str:
        """Return what must be the same for a stopped run to go on: base, recipe, prompt, rows."""
        rows = [[list(map(str, s.rows)), s.targets.tolist()] if s else None for s in self._rows]
        about = [asdict(self.recipe), self._backbone.revision, self.prompt.to_json(), rows]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()

    def estimate(self) -> Estimate:
        """Return time and memory that the run will take, from one pass over a batch, timed here.

        Nothing is learned from it. Memory as in :func:`peak_bytes`. Time: without what is left out by
        early stopping.
        """
        recipe, network = self.recipe, self.network
        size = min(recipe.batch_size, len(self._train))
        longest = sorted(range(len(self._train)), key=lambda i: len(self._train[i]))[-size:]
        start = time.perf_counter()
        self._loss(longest, 0).backward()
        self.optimizer.zero_grad()
        learning = time.perf_counter() - start
        start = time.perf_counter()
        self._measure(self._dev[:size])
        look = (time.perf_counter() - start) * len(self._dev) / max(1, len(self._dev[:size]))
        looks = -(-recipe.steps // recipe.evaluate_every) if self._dev else 0
        tuned = sum(weight.numel() for weight in network.tuned.values())
        config, width = network.model.config, max(len(self._train[i]) for i in longest)
        total = peak_bytes(
            recipe.method,
            weights=sum(weight.numel() for weight in network.model.parameters()),
            tuned=tuned,
            layers=int(config.num_hidden_layers),
            heads=int(config.num_attention_heads),
            wide=int(config.hidden_size),
            batch=size,
            width=width,
        )
        return Estimate(tuned, total, recipe.steps * learning + looks * look)

    # ---- what a lesson on mistakes overrides; nothing else does ---------------------------------

    def make_network(self, backbone: Backbone, prompt: AnyPrompt, recipe: Recipe) -> Network:
        """Return what reads the rows and scores them."""
        return Network(backbone, prompt, recipe)

    def objective(self, log_probs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of a batch, (B, C) and (B, C) -> (); dev rows get the cross-entropy always."""
        return cross_entropy(log_probs, targets)

    # ---- state of a run -------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Return all that a run needs to go on: tensors by name, and what is no tensor."""
        self._keep_first()
        tensors = {
            f"now/{name}": weight.detach().cpu() for name, weight in self.network.tuned.items()
        }
        tensors |= {f"best/{name}": weight.cpu() for name, weight in self.best.items()}
        for name, weight in self.network.tuned.items():
            for key, value in self.optimizer.state.get(weight, {}).items():
                tensors[f"{key}/{name}"] = value.detach().cpu()
        about = {"mark": self.mark(), "best_step": self.best_step}
        return tensors, about | {"steps": [asdict(step) for step in self.steps]}

    def restore(self, tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave; raises ValueError if that is of another run, or damaged."""
        if about.get("mark") != self.mark():
            raise ValueError("the state is of another run")
        named = self.network.tuned
        keys = ("now", "best", *(("exp_avg", "exp_avg_sq") if len(about["steps"]) > 1 else ()))
        for key in keys:
            for name, weight in named.items():
                found = tensors.get(f"{key}/{name}")
                if found is None:
                    if key in ("exp_avg", "exp_avg_sq"):
                        continue  # a parameter that never had a gradient
                    raise ValueError(f"the state lacks {key}/{name}")
                if found.shape != weight.shape or not bool(torch.isfinite(found).all()):
                    raise ValueError(f"{key}/{name} is damaged")
        self.steps = [Step(**step) for step in about["steps"]]
        self.best_step = int(about["best_step"])
        place = self._backbone.device
        self.best = {name: tensors[f"best/{name}"].to(place).clone() for name in named}
        self.network.restore({name: tensors[f"now/{name}"] for name in named})
        for name, weight in named.items():
            if f"exp_avg/{name}" in tensors:
                self.optimizer.state[weight] = {
                    "step": tensors[f"step/{name}"].to(place).clone(),
                    "exp_avg": tensors[f"exp_avg/{name}"].to(place).clone(),
                    "exp_avg_sq": tensors[f"exp_avg_sq/{name}"].to(place).clone(),
                }

    # ---- parts ----------------------------------------------------------------------------------

    def _learn(self, step: int, rate: float) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self._loss(self._batch(step), step)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(self.network.tuned.values()), _CLIP)
        found = float(loss.detach())
        for name, value in (("loss", found), ("gradient", float(norm))):
            if not math.isfinite(value):  # the weights and the best before stay as they are
                raise PlaygroundError(
                    f"The {name} is {value} at step {step:,}; tune anew with a learning_rate below "
                    f"{self.recipe.peak:g}."
                )
        self.optimizer.step()
        self.optimizer.zero_grad()  # frees them: between steps they would only take room
        return found

    def _loss(self, places: Sequence[int], step: int) -> torch.Tensor:
        """Return the mean cross-entropy of some rows, in nats: -sum over labels of target · log P.

        What is dropped out is drawn from the seed of ``step``.
        """
        self.network.train()
        with drawn(self.recipe.seed, step, self._backbone.device):
            log_probs = self.network.log_probs([self._train[i] for i in places])  # (B, C)
        return self.objective(log_probs, self._targets[list(places)])

    def _batch(self, step: int) -> list[int]:
        """Return the rows of a step: all are drawn, in a new order, before any is drawn again."""
        size = min(self.recipe.batch_size, len(self._train))
        first = (step - 1) * size
        found: list[int] = []
        while len(found) < size:
            epoch, place = divmod(first + len(found), len(self._train))
            order = list(range(len(self._train)))
            random.Random(f"{self.recipe.seed}/{epoch}").shuffle(order)
            found += order[place : place + size - len(found)]
        return found

    def _told(self, step: Step) -> Step:
        """Return a step with what the dev rows say of it, where it is time to look; keep the best."""
        due = step.step % self.recipe.evaluate_every == 0 or step.step == self.recipe.steps
        if self._dev and due:
            accuracy, loss = self._measure(self._dev)
            known = [s for s in self.steps if s.dev_accuracy is not None]
            better = all((accuracy, -loss) > (s.dev_accuracy, -(s.dev_loss or 0.0)) for s in known)
            step = Step(step.step, step.loss, step.learning_rate, accuracy, loss, better)
        elif not self._dev:
            step = Step(step.step, step.loss, step.learning_rate, best=True)
        self.steps.append(step)
        if step.best:
            self._keep_first()
            for name, weight in self.network.tuned.items():  # in place: no second best beside it
                self.best[name].copy_(weight.detach())
            self.best_step = step.step
        return step

    def _measure(self, prompts: Sequence[Encoded]) -> tuple[float, float]:
        """Return accuracy and mean loss of the first dev rows, without dropout."""
        if not prompts or self._dev_targets is None:
            return 0.0, 0.0
        self.network.train(False)
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        found = torch.empty(len(prompts), self._dev_targets.shape[1])
        with torch.no_grad():
            for start in range(0, len(order), _LOOK_ROWS):
                part = order[start : start + _LOOK_ROWS]
                found[part] = self.network.log_probs([prompts[i] for i in part])
        wanted = self._dev_targets[: len(prompts)]
        right = found.argmax(-1) == wanted.argmax(-1)
        return float(right.double().mean()), float(cross_entropy(found, wanted))

    def _keep_first(self) -> None:
        if not self.best:
            self.best = {n: w.detach().clone() for n, w in self.network.tuned.items()}


def cross_entropy(log_probs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean of -sum(target · log P) over rows, (B, C) and (B, C) -> (), in nats."""
    return -(targets * log_probs).sum(-1).mean()
