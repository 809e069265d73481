"""How a masked LM is pretrained from scratch: its size, its data, its schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from playground.errors import PlaygroundError, shorten

OPTIMIZERS = ("adamw", "muon")
PRECISIONS = ("auto", "float32", "bfloat16")
LENGTHS = ((128, 0.7), (256, 0.2), (512, 0.1))
_GOLDEN = (5**0.5 - 1) / 2
_MOST_CHECKPOINTS = 59  # a time-lapse holds 60, the one at the start among them
_SHARES = ("mask_rate", "warmup", "weight_decay", "held_out")
_COUNTS = (
    "layers", "hidden", "heads", "positions", "vocabulary", "tokens", "batch_tokens", "accumulate",
    "checkpoints",
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """How a BERT is pretrained.

    layers, hidden, heads: its size; feed-forward layers are four times as wide as ``hidden``.
    positions: its longest input. vocabulary: WordPieces, where one is trained.

    tokens: read in all. batch_tokens: in a batch of one process; ``accumulate`` batches make a step.
    A batch holds as many whole blocks as fit. lengths: (tokens of a block, share of the steps), none above
    ``positions``. They take turns all along: kept for the end (Devlin et al. 2019, app. A.2), long
    ones stayed at 6.0 nats here, where short ones had 4.5: far places were untrained. mask_rate: share
    of the tokens that are predicted; of these ``masked`` are replaced by the mask token, ``randomised`` by
    any token, and the rest stay (Devlin et al. 2019, § 3.1: .8 and .1). whole_word: hide all pieces of a word together.

    optimizer: "adamw" (Loshchilov and Hutter 2019), or "muon" (Jordan et al. 2024) for the matrices of
    the layers with AdamW for the rest. learning_rate: the peak, after ``warmup``, a share of the steps;
    it falls to 0 over the last ``decay`` (Hägele et al. 2024). vectors: tokens of CBOW training for the
    first embeddings, 0 for none. held_out: share of the documents that are never trained on.
    checkpoints: looks at the held-out texts and the probes, after one at the start. half: store weights in fp16.
    """

    layers: int = 4
    hidden: int = 256
    heads: int = 4
    positions: int = 512
    vocabulary: int = 20_000
    tokens: int = 50_000_000
    batch_tokens: int = 4096
    accumulate: int = 1
    lengths: tuple[tuple[int, float], ...] = ()
    mask_rate: float = 0.2
    masked: float = 0.8
    randomised: float = 0.1
    whole_word: bool = False
    optimizer: str = "adamw"
    learning_rate: float = 1.5e-3
    warmup: float = 0.025
    decay: float = 0.7
    weight_decay: float = 0.01
    vectors: int = 12_000_000
    precision: str = "auto"
    held_out: float = 0.005
    checkpoints: int = 16
    seed: int = 0
    half: bool = False

    def __post_init__(self) -> None:
        if not self.lengths:
            most = min(self.positions, self.batch_tokens)
            usual = tuple((min(length, most), share) for length, share in LENGTHS)
            object.__setattr__(self, "lengths", usual)
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise PlaygroundError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        for name in _SHARES:
            if not 0 <= getattr(self, name) < 1:
                raise PlaygroundError(
                    f"{name} is {getattr(self, name)}; it must be from 0 to below 1."
                )
        if self.mask_rate == 0:
            raise PlaygroundError("mask_rate is 0; it must be above 0, or nothing is learned.")
        if self.checkpoints > _MOST_CHECKPOINTS:
            raise PlaygroundError(
                f"checkpoints is {self.checkpoints}; the most is {_MOST_CHECKPOINTS}."
            )
        if not 0 < self.decay <= 1:
            raise PlaygroundError(f"decay is {self.decay}; it must be above 0 and at most 1.")
        if not 0 < self.learning_rate < math.inf:
            raise PlaygroundError(f"learning_rate is {self.learning_rate}; it must be above 0.")
        if self.vectors < 0:
            raise PlaygroundError(f"vectors is {self.vectors}; it must be 0 or more.")
        if not (self.masked >= 0 and self.randomised >= 0 and self.masked + self.randomised <= 1):
            raise PlaygroundError(
                f"masked is {self.masked} and randomised {self.randomised}; both are shares of the "
                "hidden tokens, so together they must be from 0 to 1."
            )
        if not 0 <= self.seed < 2**32:
            raise PlaygroundError(f"seed is {self.seed}; it must be from 0 to {2**32 - 1}.")
        for name, known in {"optimizer": OPTIMIZERS, "precision": PRECISIONS}.items():
            if getattr(self, name) not in known:
                raise PlaygroundError(
                    f"{name} is {shorten(getattr(self, name))}; choose {' or '.join(known)}."
                )
        if self.hidden % self.heads:
            raise PlaygroundError(
                f"hidden is {self.hidden} and heads {self.heads}; hidden must be a multiple of heads."
            )
        self._check_lengths()

    def _check_lengths(self) -> None:
        for length, share in self.lengths:
            if not 0 < share <= 1:
                raise PlaygroundError(
                    f"Blocks of {length} tokens have the share {share}; it must be above 0 and at most 1."
                )
            if not 8 <= length <= self.positions:
                raise PlaygroundError(
                    f"A block has {length} tokens; it must have from 8 to positions ({self.positions})."
                )
            if length > self.batch_tokens:
                raise PlaygroundError(
                    f"A block of {length} tokens is longer than a batch ({self.batch_tokens}); "
                    "raise batch_tokens or shorten the blocks."
                )
        total = sum(share for _, share in self.lengths)
        if abs(total - 1) > 1e-6:
            raise PlaygroundError(
                f"The shares of lengths add up to {total:g}; they must add up to 1."
            )

    def steps(self, processes: int = 1) -> int:
        """Return the steps of the whole training."""
        return max(1, round(self.tokens / (self.batch_tokens * self.accumulate * processes)))

    def length_at(self, step: int) -> int:
        """Return the tokens of a block in a step, counted from 0."""
        return self.lengths[int(self._turns(step, step + 1)[0])][0]

    def tokens_in(self, done: int, processes: int = 1) -> int:
        """Return the tokens of the first ``done`` steps."""
        turns = np.bincount(self._turns(0, done), minlength=len(self.lengths))
        held = [self.batch_tokens // length * length for length, _ in self.lengths]
        return int(turns @ np.array(held)) * self.accumulate * processes

    def _turns(self, start: int, stop: int) -> np.ndarray:
        """Return which of the lengths each step has, spread evenly over the steps (N,).

        Multiples of the golden ratio, without their whole parts, fill the unit interval evenly.
        """
        places = np.arange(start + 1, stop + 1) * _GOLDEN % 1
        ends = np.cumsum([share for _, share in self.lengths])[:-1]
        return np.searchsorted(ends, places, side="right")

    def rate_at(self, step: int, steps: int) -> float:
        """Return the learning rate of a step: a linear rise, a plateau, and a linear fall to 0."""
        rising = max(1, round(self.warmup * steps))
        falling = max(1, round(self.decay * steps))
        return self.learning_rate * min(1.0, (step + 1) / rising, (steps - step) / falling)
