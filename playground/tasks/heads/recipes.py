"""How a head is trained: the same choices for all four, with defaults that suit a small encoder."""

from __future__ import annotations

from dataclasses import dataclass

from playground.errors import PlaygroundError
from playground.tasks.training.runs import check_recipe


@dataclass(frozen=True)
class Recipe:
    """How an encoder and a new head are trained.

    learning_rate: the peak; it warms up over ``warmup`` of the steps and falls to 0. max_tokens: the
    longest input. dropout: the encoder's own if None. precision: "auto" takes bfloat16 where it is
    faster. evaluations: on the dev set, in each epoch. half: store weights in fp16. doc_stride: tokens
    that neighbouring windows of a long context share, at most a quarter of ``max_tokens``.
    longest_answer: in tokens.
    """

    epochs: float = 4.0
    learning_rate: float = 3e-4
    batch_size: int = 32
    max_tokens: int = 128
    warmup: float = 0.1
    weight_decay: float = 0.01
    dropout: float | None = 0.1
    precision: str = "auto"
    evaluations: float = 1
    seed: int = 0
    half: bool = False
    doc_stride: int = 32
    longest_answer: int = 20

    def __post_init__(self) -> None:
        check_recipe(self, {}, ("dropout",))
        if self.doc_stride < 0:
            raise PlaygroundError(f"doc_stride is {self.doc_stride}; it must be 0 or more.")
        if self.longest_answer < 1:
            raise PlaygroundError(
                f"longest_answer is {self.longest_answer}; an answer has at least 1 token."
            )


RECIPES = {
    "classify": Recipe(epochs=4, learning_rate=2e-4),
    "regress": Recipe(epochs=4, learning_rate=2e-4),
    "tag": Recipe(epochs=3, learning_rate=5e-4),
    "answer": Recipe(epochs=3, learning_rate=5e-4),
}
