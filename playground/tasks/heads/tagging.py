"""A tag for each word: the output at a word's first piece counts, others do not (Devlin et al. 2019, § 5.3)."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from playground.engine.classifier import log_softmax
from playground.engine.encoding import Encoded, clean, literal_backend
from playground.tasks.entities.evaluation import strict_score
from playground.tasks.entities.labelled import bio_spans
from playground.tasks.entities.spans import Span
from playground.tasks.heads.head import Head, Piece, Spec
from playground.tasks.heads.measures import Measure, Result, ratio_interval
from playground.tasks.heads.rows import Examples
from playground.tasks.metrics import measure
from playground.tasks.training.curve import ACCURACY, Metric

IGNORED = -100  # what the loss of transformers' heads leaves out
_BIO = re.compile(r"O|[BIESLUM]-.+")
_TOKEN = re.compile(r"\w+(?:[-'’.]\w+)*|[^\w\s]")


class TagHead(Head):
    """A tag for each word. A prediction is the tags' log-probabilities for each word, (words, C).

    Words are read as they stand in a text with spaces between them. A sentence that is too long is read
    in parts, each of whole words.
    """

    def __init__(self, spec: Spec, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__(spec, tokenizer)
        self._backend = literal_backend(tokenizer)
        self._known: dict[str, list[int]] = {}
        empty = self._backend.encode("")
        self._before, self._after = empty.ids[:1], empty.ids[1:]
        self._room = spec.max_tokens - len(empty.ids)
        self._unknown = [tokenizer.unk_token_id or 0]

    def pieces(self, inputs: Sequence[tuple[str, ...]]) -> list[Piece]:
        made: list[Piece] = []
        for row, words in enumerate(inputs):
            ids: list[int] = []
            places: list[int] = []
            first = 0
            for number, word in enumerate(words):
                own = self._ids(word if number == 0 else f" {word}")[: self._room]
                if len(ids) + len(own) > self._room:
                    made.append(self._piece(row, ids, places, first))
                    ids, places, first = [], [], number
                places.append(len(self._before) + len(ids))
                ids += own
            made.append(self._piece(row, ids, places, first))
        return made

    def _ids(self, word: str) -> list[int]:
        if word not in self._known:
            found = self._backend.encode(clean(word), add_special_tokens=False).ids
            self._known[word] = found or self._unknown  # of signs that the tokenizer drops
        return self._known[word]

    def _piece(self, row: int, ids: list[int], places: list[int], first: int) -> Piece:
        whole = (*self._before, *ids, *self._after)
        return Piece(row, Encoded(whole, (0,) * len(whole), ()), tuple(places), first)

    def targets(self, piece: Piece, gold: tuple[str, ...]) -> dict[str, Any]:
        labels = [IGNORED] * len(piece.encoded)
        for number, place in enumerate(piece.places, start=piece.first):
            labels[place] = self.spec.labels.index(gold[number])
        return {"labels": labels}

    def decode(
        self, inputs: Sequence[Any], pieces: Sequence[Piece], outputs: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        parts: dict[int, list[np.ndarray]] = defaultdict(list)
        for piece, logits in zip(pieces, outputs, strict=True):
            parts[piece.row].append(log_softmax(logits[list(piece.places)].astype(float)))
        return [np.concatenate(parts[row]) for row in range(len(inputs))]

    def evaluate(
        self, predictions: Sequence[np.ndarray], rows: Examples, train: Examples | None = None
    ) -> Result:
        place = {label: k for k, label in enumerate(self.spec.labels)}
        gold = [[place[tag] for tag in tags] for tags in rows.golds]
        found = [one.argmax(-1) for one in predictions]
        flat = np.concatenate([np.array(tags) for tags in gold])
        eye = np.eye(len(place))
        whole = measure(np.exp(np.concatenate(predictions)), flat)
        hits = [int((f == np.array(g)).sum()) for f, g in zip(found, gold, strict=True)]
        usual = None if train is None else usual_tags(train, rows)
        plain = None
        if usual is not None:
            plain = measure(eye[[place[tag] for tags in usual for tag in tags]], flat)
        measures = [
            Measure(
                "accuracy", whole.accuracy, ratio_interval(hits, [len(g) for g in gold]),
                plain and plain.accuracy,
            ),
            Measure("macro_f1", whole.macro_f1, whole.macro_f1_interval, plain and plain.macro_f1),
        ]  # fmt: skip
        if self.bio:
            tags = [[self.spec.labels[k] for k in one] for one in found]
            measures.insert(0, _entity_f1(rows.golds, tags, usual))
        return Result(
            len(rows),
            f"rows with {len(flat):,} words",
            tuple(measures),
            "the commonest tag of each word" if train is not None else None,
            {
                "labels": list(self.spec.labels),
                "support": list(whole.support),
                "precision": list(whole.precision),
                "recall": list(whole.recall),
            },
        )

    @property
    def metric(self) -> Metric:
        return Metric("entity_f1") if self.bio else ACCURACY

    @property
    def bio(self) -> bool:
        """Whether the tags mark spans: O, B-..., I-... (Ramshaw and Marcus 1995)."""
        labels = self.spec.labels
        return all(map(_BIO.fullmatch, labels)) and any(label.startswith("B-") for label in labels)

    @property
    def columns(self) -> tuple[str, ...]:
        return ("words", "prediction")

    def show(self, given: tuple[str, ...], prediction: np.ndarray) -> dict[str, Any]:
        tags = [self.spec.labels[k] for k in prediction.argmax(-1)]
        return {"words": list(given), "prediction": tags}

    def lines(self, given: tuple[str, ...], prediction: np.ndarray) -> list[str]:
        best = prediction.argmax(-1)
        return [
            f"{word:20}{self.spec.labels[k]:10}{np.exp(row[k]):7.1%}"
            for word, k, row in zip(given, best, prediction, strict=True)
        ]


def split_words(text: str) -> tuple[str, ...]:
    """Return the words and signs of a text, for a model that reads words."""
    return tuple(_TOKEN.findall(text))


def usual_tags(train: Examples, rows: Examples) -> list[list[str]]:
    """Return for each word of ``rows`` its commonest tag in ``train``, the commonest of all if unseen."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    every: Counter[str] = Counter()
    for words, tags in zip(train.inputs, train.golds, strict=True):
        every.update(tags)
        for word, tag in zip(words, tags, strict=True):
            counts[word][tag] += 1
    commonest = every.most_common(1)[0][0]
    best = {word: own.most_common(1)[0][0] for word, own in counts.items()}
    return [[best.get(word, commonest) for word in words] for words in rows.inputs]


def _entity_f1(
    gold: Sequence[Sequence[str]],
    found: Sequence[Sequence[str]],
    usual: Sequence[Sequence[str]] | None,
) -> Measure:
    """Return the F1 of whole entities of the right type, as seqeval counts them (its "strict" spans)."""

    def spans(rows: Sequence[Sequence[str]]) -> list[list[tuple[Span, str]]]:
        return [[(Span(a, b), label) for a, b, label in bio_spans(tags)] for tags in rows]

    right = spans(gold)
    score = strict_score("found", right, spans(found))
    plain = None if usual is None else strict_score("usual", right, spans(usual)).f1
    return Measure("entity_f1", score.f1, score.interval, plain)
