"""The answer to a question as a span of its context: a start and an end (Devlin et al. 2019, § 4.2 and 4.3)."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

from playground.engine.encoding import Encoded, clean, literal_backend
from playground.errors import PlaygroundError, shorten
from playground.tasks.heads.head import Head, Piece, Spec
from playground.tasks.heads.measures import Measure, Result, exact_match, normalized, token_f1
from playground.tasks.heads.rows import Answers, Examples
from playground.tasks.metrics import mean_interval
from playground.tasks.training.curve import Metric

_NONE = 0  # the place of [CLS], which stands for "no answer"
_SENTENCE = re.compile(r"[^.!?]+(?:[.!?]+|$)")
_NAME = re.compile(r"(?:[A-Z][\w'’-]*|\d[\d.,:]*)(?: (?:[A-Z][\w'’-]*|\d[\d.,:]*))*")


@dataclass(frozen=True)
class Found:
    """The best span of a context, whether or not it is given as the answer.

    margin: the sum of its start and end logits over that of no answer. probability: of its start and
    end, each among the tokens of its window.
    """

    text: str
    start: int
    margin: float
    probability: float


class AnswerHead(Head):
    """A span of the context. A prediction is :class:`Found`; it is no answer at or below the threshold.

    A context that is too long is read in windows that share ``doc_stride`` tokens; the best span of all
    windows is taken. Questions are cut to half of the longest input.
    """

    def __init__(self, spec: Spec, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__(spec, tokenizer)
        self._backend = literal_backend(tokenizer)
        added = len(self._backend.encode("a", "a").ids) - 2 * len(self._plain("a").ids)
        self._longest_question = (spec.max_tokens - added) // 2
        self._windows = literal_backend(tokenizer)
        self._windows.enable_truncation(
            spec.max_tokens,
            stride=min(spec.doc_stride, spec.max_tokens // 4),
            strategy="only_second",
        )

    @property
    def metric(self) -> Metric:
        return Metric("f1")

    def _plain(self, text: str) -> Encoding:
        return self._backend.encode(text, add_special_tokens=False)

    def pieces(self, inputs: Sequence[tuple[str, ...]]) -> list[Piece]:
        asked = [(self._short(clean(question)), clean(context)) for question, context in inputs]
        made: list[Piece] = []
        for row, encoding in enumerate(self._windows.encode_batch(asked)):
            for window in (encoding, *encoding.overflowing):
                sides, context = window.sequence_ids, asked[row][1]
                places = tuple(
                    _trimmed(context, span) if side == 1 else None
                    for side, span in zip(sides, window.offsets, strict=True)
                )
                made.append(
                    Piece(row, Encoded(tuple(window.ids), tuple(window.type_ids), ()), places)
                )
        return made

    def _short(self, question: str) -> str:
        question = question.strip()
        offsets = self._plain(question).offsets
        if len(offsets) <= self._longest_question:
            return question
        return question[: offsets[self._longest_question - 1][1]]

    def targets(self, piece: Piece, gold: Answers) -> dict[str, Any]:
        first = last = _NONE
        if gold:
            text, start = gold[0]
            end = start + len(text)
            own = [i for i, span in enumerate(piece.places) if span is not None and span[1] > start]
            own = [i for i in own if piece.places[i][0] < end]
            # a window that holds only a part of the answer does not have it
            if own and piece.places[own[0]][0] <= start and piece.places[own[-1]][1] >= end:
                first, last = own[0], own[-1]
        return {"start_positions": first, "end_positions": last}

    def decode(
        self,
        inputs: Sequence[tuple[str, ...]],
        pieces: Sequence[Piece],
        outputs: Sequence[np.ndarray],
    ) -> list[Found]:
        best: dict[int, tuple[float, float, tuple[int, int]]] = {}
        none: dict[int, float] = defaultdict(lambda: np.inf)
        for piece, logits in zip(pieces, outputs, strict=True):
            row = piece.row
            none[row] = min(none[row], float(logits[_NONE].sum()))
            inside = np.array([span is not None for span in piece.places])
            span = best_span(logits, inside, self.spec.longest_answer)
            if span is None:
                continue
            first, last, score = span
            if row not in best or score > best[row][0]:
                share = score - sum(_log_total(logits[:, side], inside) for side in (0, 1))
                place = (piece.places[first][0], piece.places[last][1])
                best[row] = (score, float(np.exp(share)), place)
        found: list[Found] = []
        for row, (_, context) in enumerate(inputs):
            if row not in best:
                raise PlaygroundError("The context has no word that the model knows.")
            score, share, (start, end) = best[row]
            found.append(Found(context[start:end], start, score - none[row], share))
        return found

    def answer(self, found: Found, threshold: float | None = None) -> str:
        """Return the answer, empty if no answer is the better one, by the head's threshold or another."""
        least = self.spec.threshold if threshold is None else threshold
        return found.text if not self.spec.unanswerable or found.margin > least else ""

    def score(self, predictions: Sequence[Found], rows: Examples) -> float:
        threshold = self.fit_threshold(predictions, rows)
        answers = [self.answer(found, threshold) for found in predictions]
        pairs = zip(answers, rows.golds, strict=True)
        return float(np.mean([token_f1(a, [text for text, _ in gold]) for a, gold in pairs]))

    def evaluate(
        self, predictions: Sequence[Found], rows: Examples, train: Examples | None = None
    ) -> Result:
        answers = [self.answer(found) for found in predictions]
        golds = [[text for text, _ in gold] for gold in rows.golds]
        ways = {"f1": token_f1, "exact_match": exact_match}
        values = {
            name: [way(a, g) for a, g in zip(answers, golds, strict=True)]
            for name, way in ways.items()
        }
        guesses = [likely_name(*given) for given in rows.inputs]
        plain = {
            name: float(np.mean([way(a, g) for a, g in zip(guesses, golds, strict=True)]))
            for name, way in ways.items()
        }
        kinds = {
            "answerable": [i for i, gold in enumerate(golds) if gold],
            "unanswerable": [i for i, gold in enumerate(golds) if not gold],
        }
        return Result(
            len(rows),
            "questions",
            tuple(
                Measure(name, float(np.mean(own)), mean_interval(own), plain[name])
                for name, own in values.items()
            ),
            "a name or number in the sentence most like the question",
            {
                name: {
                    "rows": len(own),
                    **{m: float(np.mean([v[i] for i in own])) for m, v in values.items()},
                }
                for name, own in kinds.items()
                if own
            },
        )

    def fit_threshold(self, predictions: Sequence[Found], rows: Examples) -> float:
        """Return the margin over no answer that gives these rows their best F1 (Devlin et al. 2019, § 4.3)."""
        margins = np.array([found.margin for found in predictions])
        golds = [[text for text, _ in gold] for gold in rows.golds]
        given = np.array([token_f1(p.text, g) for p, g in zip(predictions, golds, strict=True)])
        silent = np.array([float(not gold) for gold in golds])
        order = np.argsort(-margins, kind="stable")
        # entry k: the k surest are answered, the others not
        totals = np.concatenate([[0.0], np.cumsum((given - silent)[order])]) + silent.sum()
        ranked = np.concatenate([[np.inf], margins[order], [-np.inf]])
        k = max(
            (k for k in range(len(totals)) if ranked[k] > ranked[k + 1]), key=lambda k: totals[k]
        )
        high, low = ranked[k], ranked[k + 1]
        if np.isinf(high) or np.isinf(low):
            return float(low + 1 if np.isinf(high) else high - 1)
        return float((high + low) / 2)

    @property
    def columns(self) -> tuple[str, ...]:
        return ("prediction", "start", "margin", "probability")

    def show(self, given: tuple[str, ...], prediction: Found) -> dict[str, Any]:
        answer = self.answer(prediction)
        return {
            "prediction": answer,
            "start": prediction.start if answer else None,
            "margin": float(f"{prediction.margin:.6g}"),
            "probability": float(f"{prediction.probability:.6g}"),
        }

    def lines(self, given: tuple[str, ...], prediction: Found) -> list[str]:
        answer = self.answer(prediction)
        if not answer:
            return [
                f"No answer; the best span is {shorten(prediction.text)}, margin {prediction.margin:.2f}."
            ]
        return [
            f"{answer} (characters {prediction.start} to {prediction.start + len(answer)}, "
            f"{prediction.probability:.1%} of its window, margin {prediction.margin:.2f})"
        ]


def best_span(
    logits: np.ndarray, inside: np.ndarray, longest: int
) -> tuple[int, int, float] | None:
    """Return (first, last, score) of the best span of at most ``longest`` tokens, None if there is none.

    logits: (T, 2), of start and end. inside: (T,), whether a token may be in a span. The score is the
    sum of both logits; ties go to the earlier start, then the shorter span.
    """
    size = len(logits)
    scores = logits[:, :1] + logits[:, 1]  # (T, T), start by end
    first, last = np.arange(size)[:, None], np.arange(size)[None]
    legal = inside[:, None] & inside[None] & (first <= last) & (last < first + longest)
    if not legal.any():
        return None
    place = int(np.where(legal, scores, -np.inf).argmax())
    return place // size, place % size, float(scores.flat[place])


def likely_name(question: str, context: str) -> str:
    """Return the first name or number, not in the question, of the sentence that shares most with it.

    The baseline: sentences are weighed by the share of the question's words that they hold, and among
    equals those with a name come first. Empty if there is no name.
    """
    asked = Counter(normalized(question).split())
    best, found = -1.0, ""
    for sentence in _SENTENCE.findall(context):
        names = [m.group().rstrip(".,:") for m in _NAME.finditer(sentence.strip())]
        names = [
            name
            for name in names
            if normalized(name) and not set(normalized(name).split()) & set(asked)
        ]
        shared = sum((asked & Counter(normalized(sentence).split())).values()) / max(
            1, sum(asked.values())
        )
        if names and shared > best:
            best, found = shared, names[0]
    return found


def _trimmed(context: str, span: tuple[int, int]) -> tuple[int, int] | None:
    """Return the characters of a token without white space beside them, None if nothing is left."""
    start, end = span
    while start < end and context[start].isspace():
        start += 1
    while end > start and context[end - 1].isspace():
        end -= 1
    return (start, end) if start < end else None


def _log_total(logits: np.ndarray, inside: np.ndarray) -> float:
    """Return the log of the sum of exp over the tokens of the context and "no answer"."""
    kept = logits[inside | (np.arange(len(logits)) == _NONE)].astype(float)
    most = kept.max()
    return float(most + np.log(np.exp(kept - most).sum()))
