"""A tuned prompt opened: an ordinary Prompting on a private copy of the base with a delta applied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from playground.engine.backbone import Backbone, open_backbone
from playground.engine.encoding import Encoded, batches
from playground.engine.prompting import Prompting
from playground.engine.results import Explanation, RuleScores, Scores
from playground.engine.runner import STOPPED, Cancel, Progress
from playground.engine.tuning.delta import Delta
from playground.engine.tuning.network import bare_template
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt, RulePrompt
from playground.prompts.template import Row
from playground.settings import Settings


def open_tuned(prompting: Prompting, delta: Delta) -> Prompting:
    """Return a Prompting of a copy of ``prompting``'s model with ``delta`` applied; see Prompting.tuned."""
    base = prompting.backbone
    if base.delta is not None:
        raise PlaygroundError(
            f"The model {base.name} is tuned already; open the delta on the one that it was made from."
        )
    dtype = str(base.dtype).removeprefix("torch.")
    backbone = open_backbone(base.source, device=str(base.device), dtype=dtype, delta=delta)
    kind = Prompting if delta.head() is None else HeadPrompting
    return kind(backbone=backbone, settings=prompting.settings)


class HeadPrompting(Prompting):
    """A tuned model whose labels come from a head of its own: "linear" on the mask, or "cls" on [CLS].

    It classifies rows with the labels that it was tuned on; label words play no part, so that nothing
    of them can be explained.
    """

    reads_words = False

    def __init__(self, *, backbone: Backbone, settings: Settings) -> None:
        super().__init__(backbone=backbone, settings=settings)
        if backbone.delta is None:
            raise ValueError("a head comes with a delta")
        self.delta: Delta = backbone.delta
        self._head = cast(nn.Module, self.delta.head()).to(backbone.device)

    def classify_together(
        self,
        rows: Sequence[Row],
        prompts: Sequence[Prompt],
        *,
        words: bool = False,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> list[Scores]:
        """Return the head's scores for each prompt, as :meth:`Prompting.classify_together` does.

        ``words`` has no meaning here. Raises PlaygroundError for labels that were not tuned.
        """
        if isinstance(rows, str):
            raise PlaygroundError(f"classify takes a list of texts; write [{shorten(rows)}].")
        for prompt in prompts:
            self._check_labels(prompt)
        found: dict[Any, Scores] = {}
        for prompt in prompts:
            if prompt.template not in found:
                found[prompt.template] = self._scores(rows, prompt, progress, cancel)
        return [found[prompt.template] for prompt in prompts]

    def classify_jobs(
        self,
        jobs: Sequence[tuple[Prompt, Sequence[Row]]],
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> list[Scores]:
        """Return the head's scores of several prompts, each with rows of its own."""
        return [
            self.classify(rows, prompt, progress=progress, cancel=cancel) for prompt, rows in jobs
        ]

    def classify_rules(
        self,
        rows: Sequence[Row],
        prompt: RulePrompt,
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> RuleScores:
        """Raise PlaygroundError: a head reads no masks."""
        raise PlaygroundError(
            f"This model was tuned with the method {self.delta.method}, which has a head of its own and "
            "reads no rules; take the model that it was made from."
        )

    def explain(self, row: Row, prompt: Prompt, *, top_k: int = 10) -> Explanation:
        """Raise PlaygroundError: a head has no label words to show."""
        raise PlaygroundError(
            f"This model was tuned with the method {self.delta.method}, which has a head of its own and "
            "no label words to explain; classify with it."
        )

    def _check_labels(self, prompt: Prompt) -> None:
        tuned = self.delta.prompt.labels
        if prompt.verbalizer.names != tuned:
            raise PlaygroundError(
                f"The head was tuned on the labels {', '.join(tuned)} and the prompt has "
                f"{', '.join(prompt.verbalizer.names)}; take the prompt that it was tuned with."
            )

    def _scores(
        self, rows: Sequence[Row], prompt: Prompt, progress: Progress | None, cancel: Cancel | None
    ) -> Scores:
        template, bare = prompt.template, self.delta.method == "cls"
        errors: dict[int, str] = {}
        encoded = self._encode(rows, bare_template(template) if bare else template, errors)
        if bare:
            encoded = {i: replace(one, mask_positions=(0,)) for i, one in encoded.items()}
        places, count = list(encoded), len(prompt.verbalizer.names)
        log_probs = np.full((len(rows), count), np.nan)
        finished = 0
        for own, states in self._states(list(encoded.values()), cancel):
            shares = self._head(states).log_softmax(-1).cpu().double().numpy()  # (B, C)
            log_probs[[places[k] for k in own]] = shares
            finished += len(own)
            if progress is not None:
                progress(finished, len(places))
        errors |= {i: STOPPED for i in places if np.isnan(log_probs[i]).any()}
        sizes = [encoded.get(i) for i in range(len(rows))]
        return Scores(
            labels=prompt.verbalizer.names,
            words=tuple(word.text for word in prompt.verbalizer.words),
            probabilities=np.exp(log_probs),
            label_scores=log_probs,
            word_log_probs=None,
            mass=None,
            log_prior=None,
            tokens=np.array([len(e) if e else 0 for e in sizes], dtype=int),
            dropped=np.array([e.dropped if e else 0 for e in sizes], dtype=int),
            errors=errors,
        )

    def _states(
        self, prompts: Sequence[Encoded], cancel: Cancel | None
    ) -> Iterator[tuple[tuple[int, ...], torch.Tensor]]:
        """Yield the places of some prompts and their states at the mask or at [CLS], (B, H)."""
        encoder = self.backbone.encoder
        for batch in batches(
            prompts,
            budget=self.runner.budget,
            pad_id=encoder.pad_id,
            type_ids=encoder.uses_type_ids,
            device=self.backbone.device,
        ):
            if cancel is not None and cancel():
                return
            yield batch.rows, self.backbone.forward.hidden(batch)[:, 0]
