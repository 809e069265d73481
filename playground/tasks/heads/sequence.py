"""One output for a whole text or a pair of texts: a label, or a number (Devlin et al. 2019, § 4.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from playground.engine.classifier import log_softmax
from playground.engine.encoding import Encoded, Encoder
from playground.errors import PlaygroundError
from playground.prompts import Template
from playground.tasks.entities.spans import words
from playground.tasks.heads.head import Head, Piece, Spec
from playground.tasks.heads.measures import Measure, Result, paired_interval, pearson, spearman
from playground.tasks.heads.rows import Examples
from playground.tasks.metrics import measure
from playground.tasks.training.curve import Metric

_TEMPLATES = {1: Template("{text}"), 2: Template("{text_a} {sep} {text_b}")}


class _SequenceHead(Head):
    def __init__(self, spec: Spec, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__(spec, tokenizer)
        self._encoder = Encoder(tokenizer, spec.max_tokens)

    def pieces(self, inputs: Sequence[tuple[str, ...]]) -> list[Piece]:
        template = _TEMPLATES[self.spec.sides]
        rendered = [template.render(given if len(given) > 1 else given[0]) for given in inputs]
        made: list[Piece] = []
        for row, encoded in enumerate(self._encoder.encode(rendered)):
            if not isinstance(encoded, Encoded):
                raise encoded
            made.append(Piece(row, encoded))
        return made


class ClassifyHead(_SequenceHead):
    """A label for a text or a pair. A prediction is the labels' log-probabilities, (C,)."""

    @property
    def metric(self) -> Metric:
        return Metric("matthews", share=False)

    def targets(self, piece: Piece, gold: str) -> dict[str, Any]:
        return {"labels": self.spec.labels.index(gold)}

    def decode(
        self, inputs: Sequence[Any], pieces: Sequence[Piece], outputs: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        return [log_softmax(logits.astype(float)) for logits in _by_row(pieces, outputs)]

    def evaluate(
        self, predictions: Sequence[np.ndarray], rows: Examples, train: Examples | None = None
    ) -> Result:
        labels = self.spec.labels
        gold = [labels.index(label) for label in rows.golds]
        found = measure(np.exp(np.stack(predictions)), gold)
        plain = None
        if train is not None:
            commonest = labels.index(Counter(train.golds).most_common(1)[0][0])
            plain = measure(np.tile(np.eye(len(labels))[commonest], (len(gold), 1)), gold)
        return Result(
            len(rows),
            "rows",
            (
                Measure(
                    "matthews", found.matthews, found.matthews_interval, plain and 0.0, share=False
                ),
                Measure(
                    "accuracy", found.accuracy, found.accuracy_interval, plain and plain.accuracy
                ),
                Measure(
                    "macro_f1", found.macro_f1, found.macro_f1_interval, plain and plain.macro_f1
                ),
            ),
            "the commonest label" if train is not None else None,
            {
                "labels": list(labels),
                "confusion": [list(row[:-1]) for row in found.confusion],
                "precision": list(found.precision),
                "recall": list(found.recall),
                "calibration_error": found.calibration_error,
            },
        )

    @property
    def columns(self) -> tuple[str, ...]:
        return ("prediction", *(f"p_{label}" for label in self.spec.labels))

    def show(self, given: tuple[str, ...], prediction: np.ndarray) -> dict[str, Any]:
        shares = [float(f"{share:.6g}") for share in np.exp(prediction)]
        best = self.spec.labels[int(prediction.argmax())]
        return dict(zip(self.columns, [best, *shares], strict=True))

    def lines(self, given: tuple[str, ...], prediction: np.ndarray) -> list[str]:
        order = np.argsort(-prediction, kind="stable")
        return [f"{self.spec.labels[k]:20}{np.exp(prediction[k]):7.1%}" for k in order]


class RegressHead(_SequenceHead):
    """A number for a text or a pair; the loss is the squared error. A prediction is a float.

    The network learns numbers of mean 0 and spread 1, whatever the scale of the data;
    :meth:`finish` writes the scale into the weights of its last layer.
    """

    def __init__(
        self, spec: Spec, tokenizer: PreTrainedTokenizerBase, golds: Sequence[float] = (0.0, 2.0)
    ) -> None:
        super().__init__(spec, tokenizer)
        self._mean, self._spread = float(np.mean(golds)), float(np.std(golds))

    @property
    def metric(self) -> Metric:
        return Metric("spearman", share=False, loss="squared error, of spread 1")

    def targets(self, piece: Piece, gold: float) -> dict[str, Any]:
        return {"labels": (gold - self._mean) / self._spread}

    def finish(self, network: PreTrainedModel) -> None:
        lasts = [m for m in network.modules() if isinstance(m, nn.Linear) and m.out_features == 1]
        if not lasts or lasts[-1].bias is None:
            raise PlaygroundError(
                f"A {network.config.model_type} has no last layer that a scale can be written to; "
                "choose a BERT-like model such as bert-base-uncased."
            )
        with torch.no_grad():
            lasts[-1].weight *= self._spread
            lasts[-1].bias *= self._spread
            lasts[-1].bias += self._mean

    def decode(
        self, inputs: Sequence[Any], pieces: Sequence[Piece], outputs: Sequence[np.ndarray]
    ) -> list[float]:
        return [float(output.reshape(-1)[0]) for output in _by_row(pieces, outputs)]

    def evaluate(
        self, predictions: Sequence[float], rows: Examples, train: Examples | None = None
    ) -> Result:
        gold, found = np.array(rows.golds, dtype=float), np.array(predictions, dtype=float)
        plain: dict[str, float | None] = {"spearman": None, "pearson": None, "squared error": None}
        told = None
        if train is not None:
            plain = {"spearman": 0.0, "pearson": 0.0}
            told = "the mean of the training rows"
            if self.spec.sides == 2:
                shared = np.array([overlap(*given) for given in rows.inputs])
                plain = {
                    "spearman": float(spearman(gold, shared)),
                    "pearson": float(pearson(gold, shared)),
                }
                told = "share of common words (correlations), the mean (squared error)"
            plain["squared error"] = float(_squared(gold, np.full(len(gold), np.mean(train.golds))))
        ways = {"spearman": spearman, "pearson": pearson, "squared error": _squared}
        return Result(
            len(rows),
            "rows",
            tuple(
                Measure(
                    name,
                    float(way(gold, found)),
                    paired_interval(way, gold, found),
                    plain[name],
                    share=False,
                )
                for name, way in ways.items()
            ),
            told,
        )

    def score(self, predictions: Sequence[float], rows: Examples) -> float:
        return float(spearman(np.array(rows.golds, dtype=float), np.array(predictions)))

    @property
    def columns(self) -> tuple[str, ...]:
        return ("prediction",)

    def show(self, given: tuple[str, ...], prediction: float) -> dict[str, Any]:
        return {"prediction": float(f"{prediction:.6g}")}

    def lines(self, given: tuple[str, ...], prediction: float) -> list[str]:
        return [f"{prediction:.3f}"]


def overlap(first: str, second: str) -> float:
    """Return the words that two texts share, over all their words (Jaccard 1901), in lower case."""
    one, other = ({text[w.start : w.end].lower() for w in words(text)} for text in (first, second))
    return len(one & other) / max(1, len(one | other))


def _by_row(pieces: Sequence[Piece], outputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the outputs in the order of their rows, whatever the order of the pieces."""
    found = dict(zip((piece.row for piece in pieces), outputs, strict=True))
    return [found[row] for row in range(len(found))]


def _squared(gold: np.ndarray, found: np.ndarray) -> np.ndarray:
    return ((gold - found) ** 2).mean(-1)


def spec_of(kind: str, rows: Examples, base: Spec) -> Spec:
    """Return ``base`` with the labels and the sides of training rows."""
    sides = len(rows.inputs[0])
    if kind == "regress":
        return replace(base, labels=("score",), sides=sides)
    return replace(base, labels=tuple(sorted(set(rows.golds))), sides=sides)
