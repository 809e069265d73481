"""Reading several masks at once: sub-label distributions, and the classes that rules make of them.

With p_j the distribution over the sub-labels of mask j, and phi_j(y) the sub-label that the rule of class y
has there, log P(y | x) is the sum over masks of log p_j(phi_j(y)), normalised over the classes (Han et al.
2021, "PTR", section 3). The masks are read in one forward pass. Whether p_j is normalised over the
mask's words, as in the paper, or over the whole vocabulary makes no difference to the classes: its
partition is the same for all of them and cancels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from playground.engine import scoring
from playground.engine.backbone import Backbone
from playground.engine.calibration import Priors, label_log_probs, prior_rows
from playground.engine.encoding import Encoded
from playground.engine.label_words import Vocabulary, texts_before_masks
from playground.engine.results import MaskScores, RuleScores
from playground.engine.runner import STOPPED, Cancel, Progress, Runner, WordTable
from playground.engine.shared import spread_rows
from playground.errors import PlaygroundError, shorten
from playground.prompts import AnyPrompt, Prompt, RulePrompt, Template
from playground.prompts.template import Row


@dataclass(frozen=True)
class MaskReader:
    """What turns logits at the M masks of a prompt into class log-probabilities; words of one piece.

    ids: (W,) the words of all masks, each once. masks: what reads each mask, as a prompt of its own, and
    columns: the places of its words in ``ids``. choices: (C, M) the sub-label of each class at each
    mask; None for a plain prompt, whose one mask gives the classes themselves.
    """

    ids: torch.Tensor
    masks: tuple[Prompt, ...]
    columns: tuple[tuple[int, ...], ...]
    choices: torch.Tensor | None

    @classmethod
    def of(cls, prompt: AnyPrompt, vocabulary: Vocabulary, *, what: str) -> MaskReader:
        """Return the reader of a prompt; PlaygroundError for a word that ``what`` cannot read."""
        ruled = prompt if isinstance(prompt, RulePrompt) else None
        masks = (prompt,) if isinstance(prompt, Prompt) else prompt.masks
        place: dict[int, int] = {}
        columns = []
        for mask, before in zip(masks, texts_before_masks(prompt.template), strict=True):
            words = vocabulary.encode_distinct([w.text for w in mask.verbalizer.words], before)
            for word in words:
                if not word.single:
                    raise PlaygroundError(
                        f"Label word {shorten(word.text)} is {len(word.ids)} pieces and {what} takes "
                        "words of one piece; choose another word."
                    )
            columns.append(tuple(place.setdefault(word.ids[0], len(place)) for word in words))
        choices = None if ruled is None else torch.tensor(ruled.choices)
        ids = torch.tensor(list(place), device=vocabulary.device)
        return cls(ids, masks, tuple(columns), choices)

    def sub_labels(self, logits: torch.Tensor) -> list[torch.Tensor]:
        """Return log P(sub-label | row) at each mask, (N, M, W) -> M times (N, S).

        Raw logits do, since log Z cancels; in training each row of the table of words would get a
        gradient of rounding errors through it, and Adam makes full steps of those.
        """
        done = torch.ones(len(logits), dtype=torch.bool)
        return [
            label_log_probs(WordTable(logits[:, j, list(own)], None, done), mask, Priors())[0]
            for j, (mask, own) in enumerate(zip(self.masks, self.columns, strict=True))
        ]

    def joint(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the sum over masks of each class's sub-label log-scores, M times (N, S) -> (N, C)."""
        if self.choices is None:
            return parts[0]
        chosen = [part[:, self.choices[:, j]] for j, part in enumerate(parts)]
        return torch.stack(chosen).sum(0)  # (M, N, C) -> (N, C)

    def log_probs(self, logits: torch.Tensor) -> torch.Tensor:
        """Return log P(class | row), (N, M, W) -> (N, C)."""
        joint = self.joint(self.sub_labels(logits))
        return joint if self.choices is None else scoring.normalise(joint)


class _Reading(NamedTuple):
    """What depends on a rule prompt alone: its reader, and the log prior of each mask, (1, S), or none."""

    reader: MaskReader
    priors: list[torch.Tensor] | None


class RuleCalls:
    """The calls that read several masks at once; Prompting has them."""

    backbone: Backbone
    vocabulary: Vocabulary
    runner: Runner
    _readings: Callable[[RulePrompt], _Reading]

    def _encode(
        self, rows: Sequence[Row], template: Template, errors: dict[int, str]
    ) -> dict[int, Encoded]:
        """Return the encoded rows by number; rows that cannot be encoded go to ``errors``."""
        raise NotImplementedError

    def classify_rules(
        self,
        rows: Sequence[Row],
        prompt: RulePrompt,
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> RuleScores:
        """Score rows with a rule prompt: its classes, and the sub-labels at each mask.

        One forward pass a row reads all masks, and rows are independent of their batch mates. With
        contextual calibration each mask's distribution is divided by that of content-free texts, before
        the classes are made; without a second softmax. ``progress``, ``cancel`` and ``errors`` are as
        in ``classify``. Raises PlaygroundError for a word that is unknown, or of several pieces.
        """
        if isinstance(rows, str):
            raise PlaygroundError(f"classify takes a list of rows; write [{shorten(rows)}].")
        bare = prompt.bare()
        reader, priors = self._readings(bare)
        errors: dict[int, str] = {}
        encoded = self._encode(rows, bare.template, errors)
        kept = list(encoded)
        logits, done = self.runner.columns(
            list(encoded.values()),
            reader.ids,
            masks=len(bare.masks),
            progress=progress,
            cancel=cancel,
        )  # (n, M, W), (n,)
        errors |= {i: STOPPED for i, ran in zip(kept, done.tolist(), strict=True) if not ran}

        def spread(values: torch.Tensor) -> np.ndarray:
            return spread_rows(values, kept, errors, len(rows))

        parts = reader.sub_labels(logits)
        plain = scoring.normalise(reader.joint(parts))
        prior = None
        final = plain
        if priors is not None:
            parts = [scoring.calibrate(part, own) for part, own in zip(parts, priors, strict=True)]
            prior = reader.joint(priors)[0]
            final = scoring.calibrate(plain, prior)
        counts = [encoded.get(i) for i in range(len(rows))]
        return RuleScores(
            labels=bare.labels,
            words=tuple(word.text for mask in bare.masks for word in mask.verbalizer.words),
            probabilities=spread(final.exp()),
            label_scores=spread(plain),
            word_log_probs=None,
            mass=None,
            log_prior=None if prior is None else prior.double().numpy(),
            tokens=np.array([len(e) if e else 0 for e in counts], dtype=int),
            dropped=np.array([e.dropped if e else 0 for e in counts], dtype=int),
            errors=errors,
            masks=tuple(
                MaskScores(one.name, one.verbalizer.names, spread(part.exp()))
                for one, part in zip(bare.prompts, parts, strict=True)
            ),
        )

    def _read_rules(self, prompt: RulePrompt) -> _Reading:
        self.backbone.encoder.check_soft(prompt.template.soft_tokens)
        reader = MaskReader.of(prompt, self.vocabulary, what="a rule prompt")
        if prompt.scoring.calibration == "none":
            return _Reading(reader, None)
        rows, template = prior_rows(prompt)
        errors: dict[int, str] = {}
        encoded = self._encode(rows, template, errors)
        if errors:
            raise PlaygroundError(min(errors.items())[1])
        logits, _ = self.runner.columns(list(encoded.values()), reader.ids, masks=len(prompt.masks))
        priors = [scoring.content_free_prior(part) for part in reader.sub_labels(logits)]
        return _Reading(reader, [prior[None] for prior in priors])
