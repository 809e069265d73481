"""Prompting: fill a prompt with texts, run the masked LM once, and read the labels at the mask."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice

import numpy as np
import torch

from playground.engine import scoring
from playground.engine.backbone import Backbone, load_backbone
from playground.engine.calibration import Priors, label_log_probs, prior_rows
from playground.engine.encoding import Encoded
from playground.engine.explained import label_word_scores, top, word_score
from playground.engine.inside import InsideCalls
from playground.engine.label_words import Vocabulary, text_before_mask
from playground.engine.lens import Lens
from playground.engine.results import (
    Explanation,
    Fill,
    RowScore,
    Scores,
    WordScore,
)
from playground.engine.rules import RuleCalls
from playground.engine.runner import STOPPED, Cancel, Progress, Runner
from playground.engine.shared import Stream, check_together, run_streams, scores_of, union
from playground.engine.tuning.delta import Delta
from playground.engine.tutorial import TutorialCalls
from playground.errors import PlaygroundError, shorten
from playground.prompts import AnyPrompt, Prompt, RulePrompt, ScoringOptions, Segment, Template
from playground.prompts.template import Row
from playground.settings import Settings

_PROMPTS_KNOWN = 128


class Prompting(TutorialCalls, InsideCalls, RuleCalls):
    """A masked LM that scores prompts.

    ``model`` is a shipped name (the default), a hub id, or a folder, or ``backbone`` is one that is
    loaded already. ``device`` and ``dtype`` override the settings; ``threads`` sets torch's CPU threads
    for the whole process. The model is frozen and may be used from several threads. ``reads_words``:
    whether its label scores come from label words, which can be explained, and not from a head.
    """

    reads_words = True

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        device: str | None = None,
        dtype: str | None = None,
        threads: int | None = None,
        settings: Settings | None = None,
        backbone: Backbone | None = None,
    ) -> None:
        self.settings = settings or Settings.from_environment()
        if threads:
            torch.set_num_threads(threads)
        self.backbone: Backbone = backbone or load_backbone(
            model, settings=self.settings, device=device, dtype=dtype
        )
        self.vocabulary = Vocabulary(self.backbone)
        self.runner = Runner(self.backbone, self.settings)
        self._lens = Lens(self.backbone, self.settings)
        # what depends on the prompt alone is worked out once, so that typing a text costs its own
        # forward pass and little else
        self._pieces = lru_cache(maxsize=_PROMPTS_KNOWN)(self.vocabulary.encode_prompt)
        self._priors = lru_cache(maxsize=_PROMPTS_KNOWN)(self._read_priors)
        self._prior_prompts = lru_cache(maxsize=_PROMPTS_KNOWN)(self._encode_priors)
        self._readings = lru_cache(maxsize=_PROMPTS_KNOWN)(self._read_rules)

    def classify(
        self,
        rows: Sequence[Row],
        prompt: AnyPrompt,
        *,
        words: bool = True,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Scores:
        """Score rows with a prompt, each independent of its batch mates.

        With ``words=False`` only the label words' columns are computed: faster, the same label
        probabilities, but no word_log_probs and no mass. A rule prompt is scored as
        :meth:`classify_rules` does. ``progress`` is called with the rows done
        and the rows in all; ``cancel`` is asked between batches, and rows that it leaves out say so
        in ``errors``, as does any row that cannot be scored. Raises PlaygroundError for a prompt
        that cannot score at all.
        """
        if isinstance(prompt, RulePrompt):
            return self.classify_rules(rows, prompt, progress=progress, cancel=cancel)
        return self.classify_together(
            rows, [prompt], words=words, progress=progress, cancel=cancel
        )[0]

    def classify_together(
        self,
        rows: Sequence[Row],
        prompts: Sequence[Prompt],
        *,
        words: bool = False,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> list[Scores]:
        """Return what :meth:`classify` gives of each prompt, from one forward pass a row for all.

        The prompts have one template, and their words, weights, aggregation and calibration may
        differ. Raises PlaygroundError for several templates, or several ways to read split words.
        """
        if isinstance(rows, str):
            raise PlaygroundError(f"classify takes a list of texts; write [{shorten(rows)}].")
        check_together(prompts)
        bare = [prompt.bare() for prompt in prompts]
        pieces, columns = union([self._pieces(prompt) for prompt in bare])
        priors = [self._priors(prompt) for prompt in bare]
        template = bare[0].template
        errors: dict[int, str] = {}
        encoded = self._encode(rows, template, errors)
        table = self.runner.batch_table(
            list(encoded.values()),
            self._with_masks([rows[i] for i in encoded], template),
            pieces,
            bare[0].scoring,
            full=words,
            progress=progress,
            cancel=cancel,
        )
        done = table.done.tolist()
        errors |= {i: STOPPED for i, ran in zip(encoded, done, strict=True) if not ran}
        return [
            scores_of(table, own, prompt, prior, encoded, errors, count=len(rows), words=words)
            for own, prompt, prior in zip(columns, bare, priors, strict=True)
        ]

    def classify_jobs(
        self,
        jobs: Sequence[tuple[Prompt, Sequence[Row]]],
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> list[Scores]:
        """Return the scores of several prompts, each with rows of its own, from one stream of batches.

        A filled prompt that stands in several places is run once. Scores are those of :meth:`classify`
        with ``words=False``; ``progress`` counts the filled prompts that differ.
        """
        bare = [(prompt.bare(), rows) for prompt, rows in jobs]
        encoded: list[dict[int, Encoded]] = []
        errors: list[dict[int, str]] = []
        for prompt, rows in bare:
            errors.append({})
            encoded.append(self._encode(rows, prompt.template, errors[-1]))
        streams = [
            Stream(self._pieces(prompt), prompt.scoring.fill_order, prompt.scoring.pieces)
            for prompt, _ in bare
        ]
        tables = run_streams(self.runner, streams, encoded, self._masked(bare), progress, cancel)
        found = []
        for (prompt, rows), own, table, wrong in zip(bare, encoded, tables, errors, strict=True):
            ran = zip(own, table.done.tolist(), strict=True)
            wrong |= {i: STOPPED for i, done in ran if not done}
            every = range(table.scores.shape[1])
            priors = self._priors(prompt)
            found.append(
                scores_of(table, every, prompt, priors, own, wrong, count=len(rows), words=False)
            )
        return found

    def word_log_probs(
        self, rows: Sequence[Row], template: Template, words: Sequence[str]
    ) -> np.ndarray:
        """Return log P(word | row) over the whole vocabulary at the template's mask, (N, W).

        For words that belong to no label yet. A row that cannot be scored holds NaN.
        """
        template.require_one_mask()
        self.backbone.encoder.check_soft(template.soft_tokens)
        pieces = self.vocabulary.encode_words(words, text_before_mask(template))
        encoded = self._encode(rows, template, {})
        table = self.runner.batch_table(
            list(encoded.values()),
            self._with_masks([rows[i] for i in encoded], template),
            pieces,
            ScoringOptions(),
            full=True,
        )
        found = np.full((len(rows), len(words)), np.nan)
        found[list(encoded)] = table.scores.double().numpy()
        return found

    def classify_stream(
        self, rows: Iterable[Row], prompt: AnyPrompt, *, cancel: Cancel | None = None
    ) -> Iterator[RowScore]:
        """Yield the score of each row of any iterable, in order, holding one window at a time.

        Memory does not grow with the number of rows (``window_rows`` of the settings). Ends early
        when ``cancel`` says so.
        """
        source = iter(rows)
        start = 0
        while window := list(islice(source, self.settings.window_rows)):
            scores = self.classify(window, prompt, words=False, cancel=cancel)
            for k, prediction in enumerate(scores.predictions):
                error = scores.errors.get(k)
                if error == STOPPED:
                    return
                numbers = zip(scores.labels, scores.probabilities[k].tolist(), strict=True)
                yield RowScore(
                    start + k,
                    prediction,
                    dict(numbers) if error is None else {},
                    int(scores.tokens[k]),
                    int(scores.dropped[k]),
                    error,
                )
            start += len(window)

    def explain(self, row: Row, prompt: Prompt, *, top_k: int = 10) -> Explanation:
        """Score one row and return all that the live view shows of it.

        The mask's distribution is cached by the filled prompt, so that a change of label words,
        weights, aggregation or calibration alone runs no model (a new word of several pieces runs
        once).
        """
        prompt = prompt.bare()
        pieces = self._pieces(prompt)
        self._check_length(row, prompt.template)
        segments = prompt.template.render(row)
        encoded = self.backbone.encoder.encode_one(segments)
        neutral = replace(prompt, scoring=replace(prompt.scoring, calibration="contextual"))
        # one forward pass for the text and its content-free twins
        logits, expected = [
            rows[0] for rows in self.runner.logits([encoded, *self._prior_prompts(neutral)[0]])[:2]
        ]  # (V,) each: at the mask of the text, and of its first content-free twin
        ghost, priors = self._priors(neutral), self._priors(prompt)
        table = self.runner.live_table(
            [encoded], self._with_masks([row], prompt.template), pieces, prompt.scoring
        )
        uncalibrated, final = label_log_probs(table, prompt, priors)
        return Explanation(
            labels=prompt.verbalizer.names,
            probabilities=final[0].exp().double().numpy(),
            uncalibrated=uncalibrated[0].exp().double().numpy(),
            prior=ghost.label_prior().exp().double().numpy(),
            words=label_word_scores(
                self.vocabulary, table.scores[0], logits, expected, prompt, pieces
            ),
            mass=float(scoring.vocabulary_mass(table.scores)[0]),
            top=top(self.vocabulary, logits, top_k),
            segments=segments,
            tokens=len(encoded),
            max_tokens=self.backbone.encoder.max_tokens,
            dropped=encoded.dropped,
            warnings=self.backbone.warnings,
        )

    def fill(self, text: str, *, top_k: int = 5) -> list[Fill]:
        """Return the likeliest tokens at the first mask of ``text``, best first.

        The mask is written {mask}, [MASK], <mask> or as the model's own mask token.
        """
        return self.fill_masks(text, top_k=top_k)[0]

    def fill_masks(self, text: str, *, top_k: int = 5) -> list[list[Fill]]:
        """Return what :meth:`fill` does for every mask of ``text``, in order."""
        if top_k < 1:
            raise PlaygroundError(f"top_k is {top_k}; ask for at least 1 prediction.")
        encoded = self._free_text(text)
        return [
            list(top(self.vocabulary, logits, top_k)) for logits in self.runner.logits([encoded])[0]
        ]

    def score_words(
        self, text: str, words: Sequence[str], *, scoring: ScoringOptions | None = None
    ) -> list[WordScore]:
        """Return the log-probability of each word at the one mask of ``text``, in the order given.

        A word of several pieces is scored with as many masks, as ``scoring`` says.
        """
        options = scoring or ScoringOptions()
        segments = self.backbone.encoder.free_text(text)
        if sum(segment.kind == "mask" for segment in segments) != 1:
            raise PlaygroundError(
                f"{shorten(text)} must have exactly one mask; write {{mask}} once."
            )
        before = "".join(s.text for s in segments[: [s.kind for s in segments].index("mask")])
        pieces = self.vocabulary.encode_words(words, before)
        encoded = self._free_text(text)

        def with_masks(count: int) -> list[Encoded]:
            wider = [s for s in segments for _ in range(count if s.kind == "mask" else 1)]
            return [self.backbone.encoder.encode_one(wider)]

        scores = self.runner.live_table([encoded], with_masks, pieces, options).scores[0]
        logits = self.runner.logits([encoded])[0][0]
        return [
            word_score(self.vocabulary, word, float(score), logits)
            for word, score in zip(pieces, scores, strict=True)
        ]

    def tuned(self, delta: Delta | str | os.PathLike[str]) -> Prompting:
        """Return a Prompting of a private copy of this model with ``delta`` applied, or a folder's.

        This one stays as it is. Raises PlaygroundError for a delta that is damaged, or of another model.
        """
        from playground.engine.tuned import open_tuned
        from playground.engine.tuning.files import load_delta

        return open_tuned(self, delta if isinstance(delta, Delta) else load_delta(delta))

    # ---- parts --------------------------------------------------------------------------------

    def _check_length(self, row: Row, template: Template) -> None:
        limit = self.settings.max_text_chars
        values = template.bind(row)
        reads = f"The model reads {self.backbone.encoder.max_tokens} tokens."
        for name, value in values.items():
            if len(value) > limit:
                raise PlaygroundError(
                    f"{name} has {len(value):,} characters; the most is {limit:,}. {reads}"
                )
        found = template.fillings(row)
        filled = sum(len(found[part.value]) for part in template.parts if part.kind == "field")
        if filled > (most := limit * max(1, len(values))):  # a template may repeat a text
            raise PlaygroundError(
                f"The filled template holds {filled:,} characters of text; the most is {most:,}. {reads}"
            )

    def _encode(
        self, rows: Sequence[Row], template: Template, errors: dict[int, str]
    ) -> dict[int, Encoded]:
        """Return the encoded rows by number; rows that cannot be encoded go to ``errors``."""
        rendered: dict[int, tuple[Segment, ...]] = {}
        for i, row in enumerate(rows):
            try:
                self._check_length(row, template)
                rendered[i] = template.render(row)
            except PlaygroundError as error:
                errors[i] = str(error)
        encoded: dict[int, Encoded] = {}
        for i, result in zip(
            rendered, self.backbone.encoder.encode(list(rendered.values())), strict=True
        ):
            if isinstance(result, Encoded):
                encoded[i] = result
            else:
                errors[i] = str(result)
        return encoded

    def _masked(self, jobs: Sequence[tuple[Prompt, Sequence[Row]]]):
        """Return what fills the prompt of a job's row with more masks than one."""

        def render(job: int, row: int, count: int) -> Encoded:
            prompt, rows = jobs[job]
            return self.backbone.encoder.encode_one(prompt.template.render(rows[row], masks=count))

        return render

    def _with_masks(self, rows: Sequence[Row], template: Template):
        def render(count: int) -> list[Encoded]:
            return [
                self.backbone.encoder.encode_one(template.render(row, masks=count)) for row in rows
            ]

        return render

    def _free_text(self, text: str, *, masked: bool = True) -> Encoded:
        limit = self.settings.max_text_chars
        if len(text) > limit:
            raise PlaygroundError(f"The text has {len(text):,} characters; the most is {limit:,}.")
        segments = self.backbone.encoder.free_text(text)
        if masked and not any(segment.kind == "mask" for segment in segments):
            raise PlaygroundError(
                f"{shorten(text)} has no mask; write {{mask}} where a word is missing."
            )
        encoder = self.backbone.encoder
        try:
            return encoder.encode_one(segments)
        except PlaygroundError:
            raise PlaygroundError(
                f"The text is longer than the {encoder.max_tokens} tokens that the model reads; "
                "shorten it."
            ) from None

    def _encode_priors(self, prompt: Prompt) -> tuple[list[Encoded], list[Row], Template]:
        """Return the prompts whose scores are the calibration prior, with their rows and template."""
        rows, template = prior_rows(prompt)
        for row in rows:
            try:
                self._check_length(row, template)
            except PlaygroundError as error:
                raise PlaygroundError(
                    f"A text of the calibration cannot be used. {error}"
                ) from None
        encoded = []
        for result in self.backbone.encoder.encode([template.render(row) for row in rows]):
            if isinstance(result, PlaygroundError):
                raise result
            encoded.append(result)
        return encoded, rows, template

    def _read_priors(self, prompt: Prompt) -> Priors:
        if prompt.scoring.calibration == "none":
            return Priors()
        encoded, rows, template = self._prior_prompts(prompt)
        table = self.runner.live_table(
            encoded, self._with_masks(rows, template), self._pieces(prompt), prompt.scoring
        )
        if prompt.scoring.calibration == "corpus":
            return Priors(word=scoring.word_prior(table.scores))
        uncalibrated, _ = label_log_probs(table, prompt, Priors())
        return Priors(label=scoring.content_free_prior(uncalibrated))
