"""What plain transformers says: the tokenizer called as it is, the full model, no saving of ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)


@dataclass(frozen=True)
class Plain:
    """A masked LM and its tokenizer as transformers loads them."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @classmethod
    def load(cls, folder: Path) -> Plain:
        model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32)
        return cls(model.eval(), AutoTokenizer.from_pretrained(folder))

    @property
    def mask(self) -> str:
        return self.tokenizer.mask_token

    def ids(self, *texts: str) -> list[int]:
        """Return the ids of one text or a pair; special tokens in them count as such."""
        return self.tokenizer(*texts).input_ids

    def logits(self, *texts: str) -> torch.Tensor:
        """Return the logits at every mask of one text or a pair, (M, V)."""
        inputs = self.tokenizer(*texts, return_tensors="pt")
        with torch.no_grad():
            rows = self.model(**inputs).logits[0]  # (T, V)
        return rows[inputs["input_ids"][0] == self.tokenizer.mask_token_id]

    def logits_of_ids(self, ids: list[int]) -> torch.Tensor:
        """Return the logits at every place of one prompt, (T,) -> (T, V)."""
        inputs = torch.tensor([ids])
        with torch.no_grad():
            return self.model(input_ids=inputs, attention_mask=torch.ones_like(inputs)).logits[0]

    def log_probs(self, *texts: str) -> torch.Tensor:
        """Return log p over the vocabulary at the first mask, (V,)."""
        return self.logits(*texts)[0].double().log_softmax(-1)

    def word_id(self, word: str) -> int:
        """Return the one id of a word that follows a space."""
        (token,) = self.tokenizer(f" {word}", add_special_tokens=False).input_ids
        return token

    def word_log_probs(self, words: list[str], *texts: str) -> torch.Tensor:
        """Return log p of single-piece words at the first mask, (W,)."""
        return self.log_probs(*texts)[[self.word_id(word) for word in words]]
