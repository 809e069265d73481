"""How good a classifier of pairs is: accuracy with an interval, confusion, calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from playground.engine.classifier import log_softmax
from playground.errors import PlaygroundError
from playground.tasks.metrics import SEED, calibration_error, measure
from playground.tasks.nli.classifier import NliClassifier
from playground.tasks.nli.pairs import LABELS, Pairs


@dataclass(frozen=True)
class Evaluation:
    """What was measured on N pairs; shares are from 0 to 1.

    interval: 95 %, from a percentile bootstrap over pairs. confusion: [gold][predicted], in the order
    of ``LABELS``. nll: mean negative log-likelihood in nats. calibration_error: expected calibration
    error over 15 equal bins of confidence (Guo et al. 2017), with the classifier's temperature, and
    ``raw_calibration_error`` without. dropped: pairs that lost tokens.
    """

    pairs: int
    accuracy: float
    interval: tuple[float, float]
    majority: float
    confusion: tuple[tuple[int, ...], ...]
    precision: dict[str, float]
    recall: dict[str, float]
    nll: float
    raw_nll: float
    calibration_error: float
    raw_calibration_error: float
    temperature: float
    dropped: int
    failed: int

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the numbers as a terminal shows them."""
        low, high = self.interval
        lines = [
            f"accuracy            {self.accuracy:.1%} (95 %: {low:.1%} to {high:.1%}) of {self.pairs:,} pairs",
            f"majority label      {self.majority:.1%}",
            f"calibration error   {self.calibration_error:.1%} at temperature {self.temperature:.2f}, "
            f"{self.raw_calibration_error:.1%} without",
            f"log-likelihood      {-self.nll:.3f} nats a pair, {-self.raw_nll:.3f} without",
            f"cut or failed       {self.dropped:,} pairs lost tokens, {self.failed:,} failed",
            "",
            f"{'gold / predicted':18}{''.join(f'{name:>15}' for name in LABELS)}{'recall':>10}",
        ]
        for name, row in zip(LABELS, self.confusion, strict=True):
            cells = "".join(f"{count:15,}" for count in row)
            lines.append(f"{name:18}{cells}{self.recall[name]:10.1%}")
        lines.append(f"{'precision':18}{''.join(f'{self.precision[n]:15.1%}' for n in LABELS)}")
        return "\n".join(lines)


def evaluate(
    classifier: NliClassifier,
    pairs: Pairs,
    *,
    hypothesis_only: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Return how ``classifier`` does on labelled pairs; a pair that fails counts as wrong.

    hypothesis_only: hide the premise, as the baseline of Poliak et al. 2018 does.
    """
    premises = [HIDDEN] * len(pairs) if hypothesis_only else pairs.premises
    rows = list(zip(premises, pairs.hypotheses, strict=True))
    scores = classifier.classify(rows, progress=progress)
    return summarize(
        scores.label_scores, pairs.labels, classifier.temperature, int((scores.dropped > 0).sum())
    )


HIDDEN = "."  # what stands for a premise that is not shown: a pair needs two sides


def summarize(
    logits: np.ndarray, gold: np.ndarray, temperature: float = 1.0, dropped: int = 0
) -> Evaluation:
    """Return the numbers for logits (N, 3) and gold places (N,); NaN rows failed."""
    cold, warm = log_softmax(logits), log_softmax(logits / temperature)
    found = measure(np.exp(warm), gold)
    scored = ~np.isnan(logits[:, 0])
    kept = gold[scored]
    return Evaluation(
        pairs=found.rows,
        accuracy=found.accuracy,
        interval=found.accuracy_interval,
        majority=found.majority,
        confusion=tuple(row[:-1] for row in found.confusion),  # failed pairs are counted apart
        precision=dict(zip(LABELS, found.precision, strict=True)),
        recall=dict(zip(LABELS, found.recall, strict=True)),
        nll=negative_log_likelihood(warm[scored], kept),
        raw_nll=negative_log_likelihood(cold[scored], kept),
        calibration_error=found.calibration_error,
        raw_calibration_error=calibration_error(np.exp(cold[scored]), kept)[0],
        temperature=temperature,
        dropped=dropped,
        failed=found.failed,
    )


def fit_temperature(logits: np.ndarray, gold: np.ndarray) -> float:
    """Return the temperature that gives logits (N, C) their highest likelihood (Guo et al. 2017, § 4.2).

    The loss is convex in 1/T, so a golden-section search over 1/T in [1/20, 20] finds it.
    """
    if not len(gold):
        raise PlaygroundError("A temperature needs at least one labelled pair.")

    def loss(inverse: float) -> float:
        return negative_log_likelihood(log_softmax(logits * inverse), gold)

    low, high, ratio = 1 / 20, 20.0, (5**0.5 - 1) / 2
    while high - low > 1e-5:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) <= loss(right) else (left, high)
    return 2 / (low + high)


def crossed_calibration_error(
    logits: np.ndarray, gold: np.ndarray, *, seed: int = SEED
) -> float | None:
    """Return the calibration error when each half of the rows is judged at the other half's temperature.

    None for a single row, which has no halves.
    """
    if len(gold) < 2:
        return None
    halves = np.array_split(np.random.default_rng(seed).permutation(len(gold)), 2)
    probabilities = np.zeros_like(logits)
    for own, other in ((halves[0], halves[1]), (halves[1], halves[0])):
        temperature = fit_temperature(logits[other], gold[other])
        probabilities[own] = np.exp(log_softmax(logits[own] / temperature))
    return calibration_error(probabilities, gold)[0]


def negative_log_likelihood(log_probs: np.ndarray, gold: np.ndarray) -> float:
    """Return the mean of -log p(gold) in nats, for log-probabilities (N, C)."""
    return float(-log_probs[np.arange(len(gold)), gold].mean()) if len(gold) else 0.0
