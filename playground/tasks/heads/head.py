"""What the four heads have in common: what config.json notes of one, and how rows pass through it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from transformers import (
    MODEL_FOR_QUESTION_ANSWERING_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from playground.engine.encoding import Encoded
from playground.engine.loading import Family
from playground.errors import PlaygroundError, shorten
from playground.tasks.heads.measures import Result
from playground.tasks.heads.rows import KINDS, Examples
from playground.tasks.training.curve import Metric

NOTE = "playground_head"  # a key of config.json, which transformers keeps


def _family(auto: Any, configs: Mapping[Any, Any], architecture: str, head: str) -> Family:
    return Family(
        auto,
        configs,
        architecture,
        head,
        "train one with playground finetune",
        None,
        lambda settings: settings.model,
        lambda settings: (),
    )


SEQUENCE = _family(
    AutoModelForSequenceClassification,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    "ForSequenceClassification",
    "classification head",
)
TOKENS = _family(
    AutoModelForTokenClassification,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    "ForTokenClassification",
    "head for tokens",
)
ANSWERS = _family(
    AutoModelForQuestionAnswering,
    MODEL_FOR_QUESTION_ANSWERING_MAPPING,
    "ForQuestionAnswering",
    "head for answers",
)
FAMILIES = {"classify": SEQUENCE, "regress": SEQUENCE, "tag": TOKENS, "answer": ANSWERS}


@dataclass(frozen=True)
class Spec:
    """What a folder's config.json notes of its head, beside the labels.

    sides: texts of a row. max_tokens: the longest input. doc_stride, longest_answer, unanswerable and
    threshold belong to answers: tokens that windows share, the longest answer in tokens, whether there
    may be none, and by how much a span must be better than none.
    """

    kind: str
    labels: tuple[str, ...] = ()
    sides: int = 1
    max_tokens: int = 128
    doc_stride: int = 0
    longest_answer: int = 20
    unanswerable: bool = False
    threshold: float = 0.0

    def to_config(self) -> dict[str, Any]:
        """Return the keys of config.json."""
        note = asdict(self)
        names = note.pop("labels")
        problem = {"classify": "single_label_classification", "regress": "regression"}
        return {
            "id2label": dict(enumerate(names)),
            "label2id": {name: k for k, name in enumerate(names)},
            "problem_type": problem.get(self.kind),
            NOTE: note,
        }

    @classmethod
    def of_config(cls, config: Mapping[str, Any], name: str) -> Spec:
        """Return what the config.json of the model ``name`` notes; PlaygroundError without a note."""
        note = config.get(NOTE)
        try:
            names = sorted((int(k), str(v)) for k, v in config["id2label"].items())
            spec = cls(**{**note, "labels": tuple(label for _, label in names)})  # type: ignore[dict-item]
            known = all(type(getattr(spec, k)) is type(v) for k, v in asdict(cls("")).items())
        except (KeyError, TypeError, ValueError, AttributeError):
            known = False
        if not known or spec.kind not in KINDS or spec.max_tokens < 1 or not spec.labels:
            raise PlaygroundError(
                f"The model {shorten(name, 80)} was not made by playground finetune, or its config.json "
                "is damaged; train one first."
            )
        return spec


@dataclass(frozen=True)
class Piece:
    """What the model reads at once: a row or a part of one.

    row: the row's place. places: of tags, the token of each word's first piece; of answers, the
    characters (start, end) of each token in the context, None for other tokens. first: of tags, the
    number of the first word.
    """

    row: int
    encoded: Encoded
    places: tuple[Any, ...] = ()
    first: int = 0


class Head(ABC):
    """Rows to token ids, and a network's outputs back to what was asked."""

    def __init__(self, spec: Spec, tokenizer: PreTrainedTokenizerBase) -> None:
        self.spec = spec
        self.tokenizer = tokenizer

    @property
    @abstractmethod
    def metric(self) -> Metric:
        """What training chooses by: the first measure of a result."""

    @abstractmethod
    def pieces(self, inputs: Sequence[tuple[str, ...]]) -> list[Piece]:
        """Return what the model reads for each row, in order, at least one piece a row."""

    @abstractmethod
    def targets(self, piece: Piece, gold: Any) -> dict[str, Any]:
        """Return what the network's loss compares a piece with, by the name of its argument."""

    @abstractmethod
    def decode(
        self,
        inputs: Sequence[tuple[str, ...]],
        pieces: Sequence[Piece],
        outputs: Sequence[np.ndarray],
    ) -> list[Any]:
        """Return the prediction of each row, from the output of each piece."""

    @abstractmethod
    def evaluate(
        self, predictions: Sequence[Any], rows: Examples, train: Examples | None = None
    ) -> Result:
        """Return how good predictions are; ``train`` is what a baseline learns from."""

    @abstractmethod
    def show(self, given: tuple[str, ...], prediction: Any) -> dict[str, Any]:
        """Return a prediction as columns of a table."""

    @abstractmethod
    def lines(self, given: tuple[str, ...], prediction: Any) -> list[str]:
        """Return a prediction as lines that people read."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The names of these columns."""

    def finish(self, network: PreTrainedModel) -> None:  # noqa: B027, most have nothing to do
        """Change a network after it was trained, if need be."""

    def score(self, predictions: Sequence[Any], rows: Examples) -> float:
        """Return the measure that training chooses by."""
        return self.evaluate(predictions, rows).first.value


def output_of(found: Any) -> torch.Tensor:
    """Return a network's output as one tensor: (N, C), (N, T, C), or (N, T, 2) for start and end."""
    if "start_logits" in found:
        return torch.stack([found.start_logits, found.end_logits], -1).float()
    return found.logits.float()
