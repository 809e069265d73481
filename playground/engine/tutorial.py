"""The well-known tutorial's calls: one text, raw logits, two lists of words, and fine-tuning done right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch

from playground.engine.backbone import Backbone
from playground.engine.encoding import Encoded
from playground.engine.label_words import Vocabulary
from playground.engine.runner import Runner
from playground.prompts import AnyPrompt
from playground.prompts.template import Row

if TYPE_CHECKING:
    from playground.engine.prompting import Prompting


class TutorialCalls:
    """The calls by the tutorial's names; Prompting has them."""

    backbone: Backbone
    vocabulary: Vocabulary
    runner: Runner

    def _free_text(self, text: str) -> Encoded:
        """Return a text with masks as the model reads it."""
        raise NotImplementedError

    def prompt_pred(self, text: str) -> list[tuple[str, float]]:
        """Return the whole vocabulary with raw logits at the first mask, best first.

        The tutorial's call, with the numbers of its code on the same model.
        """
        logits = self.runner.logits([self._free_text(text)])[0][0]
        values, ids = logits.sort(descending=True)
        return list(zip(self.vocabulary.tokens(ids.tolist()), values.tolist(), strict=True))

    def compute_tokens_prob(
        self, text: str, token_list1: Sequence[str], token_list2: Sequence[str]
    ) -> torch.Tensor:
        """Return the softmax over the summed raw logits of two token lists, (2,).

        The tutorial's call: a token that the vocabulary does not hold adds 0. It favours the longer
        list where logits are positive, which is why ``classify`` uses the mean instead.
        """
        logits = self.runner.logits([self._free_text(text)])[0][0]
        known = self.backbone.tokenizer.get_vocab()
        sums = [
            sum(float(logits[known[token]]) for token in tokens if token in known)
            for tokens in (token_list1, token_list2)
        ]
        return torch.tensor(sums, dtype=torch.float32).softmax(0)

    def fine_tune(
        self,
        sentences: Sequence[Row],
        labels: Sequence[int | str],
        prompt: AnyPrompt | str = " Since it was [MASK].",
        goodToken: str = "good",
        badToken: str = "bad",
        **recipe: Any,
    ) -> Prompting:
        """Return a Prompting tuned on labelled sentences; this one stays as it is.

        The tutorial's call: a prompt as text stands behind the sentence, and label 0 is ``goodToken``,
        1 ``badToken``. ``recipe``: what :class:`~playground.engine.tuning.recipe.Recipe` takes, such as
        ``method`` and ``steps``. See :func:`playground.engine.tuning.call.fine_tune`, which it is.

        What differs is the loss. The tutorial takes a softmax of the label scores and gives it to a
        cross-entropy, which takes a second one: the loss of two labels then never falls below 0.313, and
        of a row's gradient 50 % is left where its label has P = 0.5, 13.8 % at 0.1 and 1.5 % at 0.01, so
        that the rows that are most wrong teach least. ``playground tune mistakes`` shows both side by side.
        """
        from playground.engine.tuning.call import fine_tune

        return fine_tune(cast(Any, self), sentences, labels, prompt, goodToken, badToken, **recipe)
