"""What people use today, written as they write it: the fill-mask pipeline and the tutorial's code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline
from transformers.utils import logging

from playground.engine import Prompting
from playground.prompts import Prompt
from playground.prompts.template import Row


class Baselines:
    """A second, plain copy of a model, and the usual ways to score a prompt with it.

    The copy is in fp32, as the engine's is: a pipeline made from a half-precision checkpoint by its
    name would run in half precision, which is slower on a CPU and less exact.
    """

    def __init__(self, prompting: Prompting, prompt: Prompt) -> None:
        location = prompting.backbone.source.location
        self.tokenizer = AutoTokenizer.from_pretrained(location)
        bars = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        self.model = AutoModelForMaskedLM.from_pretrained(
            location, dtype=torch.float32, use_safetensors=True
        ).eval()
        if bars:
            logging.enable_progress_bar()
        self.prompt = prompt
        self._pipeline = pipeline(
            "fill-mask", model=self.model, tokenizer=self.tokenizer, device=torch.device("cpu")
        )
        pieces = prompting.vocabulary.encode_prompt(prompt)
        self._tokens = [prompting.vocabulary.tokens(word.ids)[0] for word in pieces]
        self._ids = [word.ids[0] for word in pieces]
        self._label = np.array(prompt.verbalizer.label_of_word)

    def fill(self, row: Row) -> str:
        """Return the prompt as the tokenizer's user writes it, with the model's own mask token."""
        parts = self.prompt.template.render(row)
        mask = self.tokenizer.mask_token
        return "".join(mask if part.kind == "mask" else part.text for part in parts)

    def pipeline_targets(self, prompts: Sequence[str]) -> np.ndarray:
        """Return label probabilities from the pipeline with targets, (N, C), one text at a time.

        Its batch_size stays 1: for short texts larger ones are slower.
        """
        count = len(self._tokens)
        found = self._pipeline(list(prompts), targets=self._tokens, top_k=count)
        rows = [found] if len(prompts) == 1 else found
        shares = np.zeros((len(prompts), count))
        column = {token: k for k, token in enumerate(self._ids)}
        for n, guesses in enumerate(rows):
            for guess in guesses:
                shares[n, column[guess["token"]]] = guess["score"]
        labels = np.unique(self._label)
        means = np.stack([shares[:, self._label == label].mean(1) for label in labels], 1)
        return means / means.sum(1, keepdims=True)

    def pipeline_top(self, prompt: str, *, top_k: int = 10) -> list[dict]:
        """Return the pipeline's best tokens for one prompt."""
        return self._pipeline(prompt, top_k=top_k)

    def tutorial(self, prompt: str) -> np.ndarray:
        """Return label probabilities by the tutorial's algorithm, (C,).

        The text is tokenised as it is, all positions go through the head, the whole vocabulary is
        sorted and zipped into a dict, and raw logits are added up by label before a softmax.
        """
        ids = self.tokenizer(prompt, return_tensors="pt").input_ids
        tokens = self.tokenizer.convert_ids_to_tokens(ids[0])
        place = tokens.index(self.tokenizer.mask_token)
        with torch.no_grad():
            logits = self.model(ids).logits  # (1, T, V)
        values, order = torch.sort(logits[0, place], descending=True)
        scores = dict(zip(self.tokenizer.convert_ids_to_tokens(order), values, strict=True))
        sums = [
            sum(scores.get(t, 0) for t, owner in zip(self._tokens, self._label, strict=True) if owner == label)
            for label in np.unique(self._label)
        ]  # fmt: skip
        return torch.softmax(torch.tensor(sums), 0).numpy()

    def forward(self, prompt: str) -> torch.Tensor:
        """Return one plain forward pass, logits (1, T, V)."""
        with torch.no_grad():
            return self.model(**self.tokenizer(prompt, return_tensors="pt")).logits
