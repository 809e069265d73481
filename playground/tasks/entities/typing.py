"""Zero-shot entity typing: a prompt for every candidate span, entity types as the labels.

Cloze prompts for typing are those of Ding et al. 2021; every span against a "none" type is template-based
NER (Cui et al. 2021), with a masked LM that is asked once a span and template instead of a generator that
scores each sentence with each type.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from playground.engine import Prompting
from playground.engine.label_words import split_pieces
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt, Template
from playground.settings import settings
from playground.tasks.entities import spans as cutting
from playground.tasks.entities.spans import Span
from playground.tasks.evaluation import softmax

NONE = "none"
PRIORS = {
    "contextual": "Divided by what the prompt says of content-free inputs.",
    "none": "As the model gives it.",
    "span": "Divided by what the prompt says of the span alone: what its sentence adds.",
}


@dataclass(frozen=True)
class TypedSpans:
    """Type scores of S spans of one text.

    labels: the types, (C,), the none type among them. log_probs: log P(type | span), (S, C), averaged over
    the templates and normalised. margins: (S, C), see :func:`margins`; -inf for the none type. prompts: the
    filled prompts that were run, batches: the forward passes they took, and seconds: how long that was.
    """

    text: str
    spans: tuple[Span, ...]
    labels: tuple[str, ...]
    log_probs: np.ndarray
    margins: np.ndarray
    prompts: int = 0
    batches: int = 0
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.spans)

    @property
    def types(self) -> tuple[str, ...]:
        """The types without none."""
        return tuple(label for label in self.labels if not is_none(label))

    def words(self, place: int) -> str:
        """Return the text of a span."""
        span = self.spans[place]
        return self.text[span.start : span.end]

    def best(self, place: int) -> tuple[str, float]:
        """Return the type of a span with the widest margin, and that margin."""
        k = int(self.margins[place].argmax())
        return self.labels[k], float(self.margins[place, k])


@dataclass(frozen=True)
class EntityTyper:
    """Types spans with a prompt: its templates averaged, its labels the types.

    prompt: every template takes {span}, or {before} and {after} with the mask in its place; it may take
    {text}, and no other text.
    prior: one of PRIORS, what each template's scores are divided by. context_words: how many words of the
    text stand on each side of a span in its prompt.

    Raises PlaygroundError for a prompt that cannot type spans.
    """

    prompting: Prompting
    prompt: Prompt
    prior: str = "contextual"
    context_words: int = 40

    def __post_init__(self) -> None:
        if self.prior not in PRIORS:
            raise PlaygroundError(
                f"There is no prior {shorten(self.prior)}; choose one of {', '.join(PRIORS)}."
            )
        if self.context_words < 0:
            raise PlaygroundError(f"context_words is {self.context_words}; the least is 0.")
        for template in self.prompt.templates:
            _check(template)
        if not [label for label in self.prompt.verbalizer.names if not is_none(label)]:
            raise PlaygroundError("There is no type but none; add one, such as person: man, woman.")
        for prompt in self._prompts():  # an unknown label word is told before a text is typed
            self.prompting.classify([], prompt)

    def type_text(
        self,
        text: str,
        *,
        candidates: str | Sequence[tuple[int, int]] = "names",
        most_words: int = 4,
        most_spans: int | None = None,
    ) -> TypedSpans:
        """Return the type scores of a text's candidate spans: a kind of CANDIDATES, or given offsets."""
        return self.type_texts(
            [text], candidates=[candidates], most_words=most_words, most_spans=most_spans
        )[0]

    def type_texts(
        self,
        texts: Sequence[str],
        *,
        candidates: Sequence[str | Sequence[tuple[int, int]]],
        most_words: int = 4,
        most_spans: int | None = None,
    ) -> list[TypedSpans]:
        """Return the type scores of several texts from one stream of batches.

        ``candidates`` has one entry a text. ``most_spans`` bounds the candidates of one text (the setting
        of that name if None), and the runs that they take with label words of several pieces. Raises
        PlaygroundError for a text without words or with too many spans.
        """
        start = time.perf_counter()
        found = [
            self._candidates(text, kind, most_words, most_spans)
            for text, kind in zip(texts, candidates, strict=True)
        ]
        rows = [
            row for text, spans in zip(texts, found, strict=True) for row in self._rows(text, spans)
        ]
        counted = [0, 0]

        def count(done: int, total: int) -> None:
            counted[0], counted[1] = total, counted[1] + 1

        prompts = self._prompts()
        jobs: list[tuple[Prompt, Sequence[dict[str, str]]]] = [(p, rows) for p in prompts]
        if self.prior == "span":
            alone = [
                {"text": r["span"], "span": r["span"], "before": "", "after": ""} for r in rows
            ]
            jobs += [(p, alone) for p in prompts]
        scores = self.prompting.classify_jobs(jobs, progress=count)
        for one in scores:
            if one.errors:
                raise PlaygroundError(next(iter(one.errors.values())))
        logs = [_log(one.probabilities) for one in scores]
        if self.prior == "span":
            logs = [_log(softmax(a - b)) for a, b in zip(logs[: len(prompts)], logs[len(prompts) :], strict=True)]  # fmt: skip
        mean = sum(logs) / len(logs)  # (S, C): the mean of log-probabilities (PET, eq. 3)
        log_probs = _log(softmax(mean)) if len(mean) else mean
        labels = self.prompt.verbalizer.names
        seconds = time.perf_counter() - start
        results, at = [], 0
        for text, spans in zip(texts, found, strict=True):
            own = log_probs[at : at + len(spans)]
            at += len(spans)
            results.append(
                TypedSpans(text, tuple(spans), labels, own, margins(own, labels), *counted, seconds)
            )
        return results

    def explain(self, typed: TypedSpans, place: int) -> list[tuple[Prompt, dict[str, str]]]:
        """Return the prompts that typed a span, each with the row that fills it."""
        (row,) = self._rows(typed.text, [typed.spans[place]])
        return [
            (prompt, {slot: row[slot] for slot in prompt.template.slots})
            for prompt in self._prompts()
        ]

    def _prompts(self) -> list[Prompt]:
        calibration = "contextual" if self.prior == "contextual" else "none"
        scoring = replace(self.prompt.scoring, calibration=calibration)
        return [
            Prompt(template, self.prompt.verbalizer, scoring) for template in self.prompt.templates
        ]

    def _candidates(self, text, kind, most_words: int, most_spans: int | None) -> list[Span]:
        limits = settings()
        if len(text) > limits.max_text_chars:
            raise PlaygroundError(
                f"The text has {len(text):,} characters; the most is {limits.max_text_chars:,}."
            )
        if not isinstance(kind, str):
            spans = cutting.given_spans(text, kind)
        else:
            spans = cutting.candidates(text, kind, most_words=most_words)
        most = limits.max_spans if most_spans is None else most_spans
        if len(spans) > most:
            raise PlaygroundError(
                f"The text has {len(spans):,} candidate spans and the most is {most:,}; shorten it, "
                "take fewer words a span, or candidates that look like names."
            )
        split = self._split_pieces
        if len(spans) * (1 + split) > most:
            raise PlaygroundError(
                f"The text has {len(spans):,} candidate spans, and the label words that split have {split} "
                f"pieces, each a run of its own: {len(spans) * (1 + split):,} runs a template, and the most "
                f"is {most:,}; choose words of one piece, or fewer spans."
            )
        return spans

    @cached_property
    def _split_pieces(self) -> int:
        """How many pieces the label words that split have together: runs of a span beside the first."""
        if not self.prompting.reads_words:
            return 0
        return split_pieces(self.prompting.vocabulary.encode_prompt(self._prompts()[0]))

    def _rows(self, text: str, spans: Sequence[Span]) -> list[dict[str, str]]:
        """Return what fills the templates for each span: no more of the text than stands near it."""
        cut = cutting.words(text)
        starts, ends = [w.start for w in cut], [w.end for w in cut]
        rows = []
        for span in spans:
            first = int(np.searchsorted(starts, span.start)) - self.context_words
            last = int(np.searchsorted(ends, span.end, side="right")) + self.context_words
            start = min([span.start, *starts[first : first + 1]]) if first > 0 else 0
            end = max(span.end, starts[last]) if last < len(starts) else len(text)
            rows.append(
                {
                    "text": text[start:end],
                    "span": text[span.start : span.end],
                    "before": text[start : span.start],
                    "after": text[span.end : end],
                }
            )
        return rows


def margins(log_probs: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Return by how much each type is likelier than none, (S, C) -> (S, C), in nats.

    log P(type) - log P(none); without a none type, the log-odds against all other types together. The
    margin of none itself is -inf. Margins of different spans can be compared, raw probabilities cannot.
    """
    where = [k for k, label in enumerate(labels) if is_none(label)]
    if where:
        found = log_probs - np.logaddexp.reduce(log_probs[:, where], axis=1, keepdims=True)
        found[:, where] = -np.inf
        return found
    with np.errstate(divide="ignore"):
        return log_probs - np.log(-np.expm1(np.minimum(log_probs, -1e-12)))


def is_none(label: str) -> bool:
    """Return whether a label is the type of what is no entity."""
    return label.strip().lower() == NONE


def _check(template: Template) -> None:
    known = ("span", "text", "before", "after")
    if others := [slot for slot in template.slots if slot not in known]:
        raise PlaygroundError(
            f"The template {shorten(template)} takes {{{others[0]}}}; one that types spans takes "
            "{span}, {text}, {before} and {after}."
        )
    if not set(template.slots) & {"span", "before", "after"}:
        raise PlaygroundError(
            f"The template {shorten(template)} has no {{span}}; put {{span}} where the name should stand."
        )


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, 1e-30))
