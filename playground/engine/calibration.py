"""From word scores to label log-probabilities, before and after a prompt's calibration."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from playground.engine import scoring
from playground.engine.runner import WordTable
from playground.errors import PlaygroundError, shorten
from playground.prompts import AnyPrompt, Prompt, Template
from playground.prompts.template import Row


@dataclass(frozen=True)
class Priors:
    """What calibration divides by, as logs: a label prior (C,), or a word prior (W,), or neither."""

    label: torch.Tensor | None = None
    word: torch.Tensor | None = None

    def label_prior(self) -> torch.Tensor:
        """Return the label prior, (C,), which must be there."""
        if self.label is None:
            raise ValueError("this calibration has no label prior")
        return self.label


def label_log_probs(
    table: WordTable, prompt: Prompt, priors: Priors
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log P(label | row) before and after calibration, (N, C) each."""
    verbalizer, method = prompt.verbalizer, prompt.scoring.aggregation
    labels = torch.tensor(verbalizer.label_of_word)
    weights = torch.tensor([word.weight for word in verbalizer.words])
    scores = table.logits() if method == "logit_sum" else table.scores
    plain = scoring.normalise(scoring.aggregate(scores, labels, weights, method))
    if priors.word is not None:
        adjusted = scoring.aggregate(scores - priors.word, labels, weights, method)
        return plain, scoring.normalise(adjusted)
    return plain, plain if priors.label is None else scoring.calibrate(plain, priors.label)


def prior_rows(prompt: AnyPrompt) -> tuple[list[Row], Template]:
    """Return the rows that a prompt's prior is read from, and the template they fill.

    Raises PlaygroundError for a prior that the template cannot take.
    """
    options, template = prompt.scoring, prompt.template
    if options.calibration == "corpus":
        if len(template.fields) != 1:
            raise PlaygroundError(
                f"Corpus calibration takes a template with one text and this one has "
                f"{len(template.fields)}; choose contextual or domain."
            )
        return list(options.prior_texts), template
    if options.calibration == "domain":
        if options.domain:
            template = Template(options.domain)
            template.require_one_mask()
            if template.fields:
                raise PlaygroundError(
                    f"The domain prompt {shorten(options.domain)} holds {{{template.fields[0]}}}; "
                    "it says what the texts are about and takes no text."
                )
        return [dict.fromkeys(template.fields, "")], template
    return [dict.fromkeys(template.fields, text) for text in options.content_free], template
