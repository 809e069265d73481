"""What is tuned, and how: the methods with their learning rates, and the numbers of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from playground.errors import PlaygroundError, shorten


@dataclass(frozen=True)
class Method:
    """A way to tune: what it changes, and its usual peak learning rate.

    words: whether it scores label words, through the prompt's own aggregation; a method with a head of
    its own does not, and begins with an untrained head instead of the zero-shot prompt.
    """

    summary: str
    learning_rate: float
    words: bool = True


METHODS = {
    "whole": Method("all weights, label words read by the model's own head", 5e-5),
    "bias": Method("bias terms alone (BitFit, Ben Zaken et al. 2022)", 2e-3),
    "lora": Method("low-rank changes of attention's query and value (Hu et al. 2022)", 2e-3),
    "soft": Method(
        "the vectors of the template's {soft:n} slots (P-tuning, Liu et al. 2021)", 1e-2
    ),
    "linear": Method("a linear layer on the frozen state at the mask", 1e-2, words=False),
    "cls": Method(
        "all weights and a new head on [CLS], without the prompt (Devlin et al. 2019)",
        2e-4,
        words=False,
    ),
}
SOFT_ENCODERS = ("none", "lstm", "mlp")


@dataclass(frozen=True)
class Recipe:
    """The numbers of one run.

    learning_rate: the peak, the method's own if None; it warms up over ``warmup`` of the steps and
    falls to 0. batch_size: rows of a step, shuffled anew when all have been seen. evaluate_every: steps
    between two looks at the dev set; patience: looks without a gain after which a run ends, None for
    never. dropout: the model's own if None. rank, alpha: of LoRA, whose change is alpha / rank times
    the product. soft_encoder: what makes the soft vectors while they are learned, "none", "lstm" or
    "mlp"; soft_words: words whose embeddings they begin with.
    """

    method: str = "whole"
    steps: int = 200
    learning_rate: float | None = None
    batch_size: int = 8
    warmup: float = 0.1
    weight_decay: float = 0.01
    evaluate_every: int = 10
    patience: int | None = None
    dropout: float | None = None
    seed: int = 0
    rank: int = 8
    alpha: float = 16.0
    soft_encoder: str = "none"
    soft_words: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.method, str) or self.method not in METHODS:
            raise PlaygroundError(
                f"There is no method {shorten(self.method)}; choose one of {', '.join(METHODS)}."
            )
        if self.soft_encoder not in SOFT_ENCODERS:
            raise PlaygroundError(
                f"soft_encoder is {shorten(self.soft_encoder)}; choose one of "
                f"{', '.join(SOFT_ENCODERS)}."
            )
        for name in ("steps", "batch_size", "evaluate_every", "rank", "patience"):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int) or value < 1
            ):
                raise PlaygroundError(
                    f"{name} is {shorten(value)}; it must be a whole number above 0."
                )
        for name in ("learning_rate", "alpha"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise PlaygroundError(f"{name} is {shorten(value)}; it must be above 0.")
        for name in ("warmup", "weight_decay", "dropout"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise PlaygroundError(f"{name} is {shorten(value)}; it must be from 0 to below 1.")
        if not 0 <= self.seed < 2**32:
            raise PlaygroundError(
                f"seed is {shorten(self.seed)}; it must be from 0 to {2**32 - 1}."
            )
        if self.soft_words and self.soft_encoder != "none":
            raise PlaygroundError(
                f"soft_words and soft_encoder {self.soft_encoder} exclude each other: an encoder makes "
                "the vectors itself; leave one of them out."
            )

    @property
    def peak(self) -> float:
        """The learning rate at its highest."""
        return (
            METHODS[self.method].learning_rate if self.learning_rate is None else self.learning_rate
        )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, from 1: linear up over the warm-up, then down to 0."""
        warm = round(self.warmup * self.steps)
        if step <= warm:
            return self.peak * step / warm
        return self.peak * (self.steps - step + 1) / (self.steps - warm)
