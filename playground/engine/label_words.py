"""Label words as one model reads them: their pieces, collisions, and single-piece suggestions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch

from playground.engine.backbone import Backbone
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt, Template
from playground.settings import settings

_FITTING = 300  # predictions at the mask among which a suggestion is sought


@dataclass(frozen=True)
class WordPieces:
    """A label word and the ids that it has where the template's mask stands."""

    text: str
    ids: tuple[int, ...]

    @property
    def single(self) -> bool:
        return len(self.ids) == 1


def split_pieces(words: Sequence[WordPieces]) -> int:
    """Return how many pieces the words that split have together: each takes a run beside the first."""
    return sum(len(word.ids) for word in words if not word.single)


class Vocabulary:
    """Answers questions about words for one model."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone

    @property
    def device(self) -> torch.device:
        """Where ids of words are looked up."""
        return self._backbone.device

    def encode_words(self, words: Sequence[str], before: str = " ") -> tuple[WordPieces, ...]:
        """Return the pieces of each word after ``before``; PlaygroundError for an unknown word."""
        encoder = self._backbone.encoder
        result = []
        for word in words:
            ids = encoder.pieces(word, before)
            encoder.check_word(word, ids)
            result.append(WordPieces(word, ids))
        return tuple(result)

    def encode_distinct(self, words: Sequence[str], before: str = " ") -> tuple[WordPieces, ...]:
        """Return the pieces of words of one mask; PlaygroundError for two that the model reads alike."""
        found = self.encode_words(words, before)
        seen: dict[tuple[int, ...], str] = {}
        for word in found:
            if word.ids in seen:
                raise PlaygroundError(
                    f"Label words {shorten(seen[word.ids])} and {shorten(word.text)} are the same "
                    "to this model; keep one."
                )
            seen[word.ids] = word.text
        return found

    def encode_prompt(self, prompt: Prompt) -> tuple[WordPieces, ...]:
        """Return the pieces of a prompt's label words, (W,).

        Raises PlaygroundError for a word that is unknown, or that this model cannot tell from
        another (an uncased model reads "Good" and "good" alike), and for soft tokens that it lacks.
        """
        prompt.template.require_one_mask()
        self._backbone.encoder.check_soft(prompt.template.soft_tokens)
        before = text_before_mask(prompt.template)
        words = self.encode_distinct([word.text for word in prompt.verbalizer.words], before)
        split = split_pieces(words)
        if split > (most := settings().max_split_pieces):
            raise PlaygroundError(
                f"The label words that split have {split} pieces together and the most is {most}, "
                "since each takes a run of its own; choose words of one piece."
            )
        if prompt.scoring.aggregation == "logit_sum":
            for word in words:
                if not word.single:
                    raise PlaygroundError(
                        f"Label word {shorten(word.text)} is {len(word.ids)} pieces "
                        f"({' '.join(self.tokens(word.ids))}) and logit_sum adds single logits; "
                        "choose a word of one piece or another aggregation."
                    )
        return words

    def tokens(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Return the vocabulary's own spelling of ``ids``; a row without a token shows its number."""
        spelled = self._backbone.tokenizer.convert_ids_to_tokens(list(ids))
        return tuple(
            f"[no token {number}]"
            if token is None
            else token  # a vocabulary padded to a round size
            for number, token in zip(ids, spelled, strict=True)
        )

    def readable(self, token: int) -> str:
        """Return a token as a person writes it, without marks for spaces."""
        text = str(self._backbone.tokenizer.decode([token])).strip()
        return text or self.tokens([token])[0]

    def single_words(self, before: str = " ") -> tuple[str, ...]:
        """Return the plain words that are one piece after ``before``: letters only, three or more.

        Of words that the model reads alike, the first.
        """
        encoder = self._backbone.encoder
        found: dict[int, str] = {}
        for word in self._whole_words.values():
            ids = encoder.pieces(word, before) if len(word) > 2 else ()
            if len(ids) == 1 and ids[0] not in encoder.special_ids:
                found.setdefault(ids[0], word)
        return tuple(found.values())

    def suggest(
        self,
        word: WordPieces,
        logits: torch.Tensor,
        *,
        own: Sequence[WordPieces] = (),
        others: Sequence[WordPieces] = (),
        count: int = 2,
    ) -> tuple[str, ...]:
        """Return whole words of one piece to take instead of a word that splits.

        Of the words that the model itself expects at the mask (``logits``, (V,)), those whose
        embedding is nearest to the pieces and to the label's ``own`` words, and far from the
        ``others``, so that a suggestion keeps to its side.
        """
        likely = logits.topk(min(_FITTING, len(logits))).indices.tolist()
        fitting = [i for i in likely if i in self._whole_words and i not in word.ids]
        candidates = self._embeddings(fitting)  # (F, H)

        def nearness(ids: Sequence[int]) -> torch.Tensor:
            if not ids:
                return torch.zeros(len(fitting))
            return torch.cosine_similarity(candidates, self._embeddings(ids).mean(0)[None], dim=-1)

        fit = (
            nearness(word.ids)
            + nearness([i for w in own if w != word for i in w.ids])
            - nearness([i for w in others for i in w.ids])
        )
        ordered = [self._whole_words[fitting[k]] for k in fit.argsort(descending=True).tolist()]
        avoid = {w.text.lower() for w in (word, *own, *others)}
        return tuple([w for w in dict.fromkeys(ordered) if w.lower() not in avoid][:count])

    def _embeddings(self, ids: Sequence[int]) -> torch.Tensor:
        table = cast(torch.Tensor, self._backbone.model.get_input_embeddings().weight)  # (V, H)
        return table[torch.tensor(list(ids), dtype=torch.long, device=table.device)].float().cpu()

    @cached_property
    def _whole_words(self) -> dict[int, str]:
        tokens = self._backbone.tokenizer.get_vocab()
        marked = {mark: sum(t.startswith(mark) for t in tokens) for mark in ("Ġ", "▁")}
        mark = max(marked, key=lambda key: marked[key])
        if marked[mark] < len(tokens) * 0.1:
            mark = ""  # WordPiece marks the inside of a word instead
        return {
            index: token.removeprefix(mark)
            for token, index in tokens.items()
            if token.startswith(mark) and token.removeprefix(mark).isalpha() and len(token) > 2
        }


def text_before_mask(template: Template) -> str:
    """Return the character that stands before the first mask: "" at the start, " " after a text."""
    return texts_before_masks(template)[0]


def texts_before_masks(template: Template) -> tuple[str, ...]:
    """Return the character that stands before each mask: "" at the start, " " after a text."""
    before, paired = "", False
    found: list[str] = []
    for part in template.parts:
        if part.kind == "mask":
            found.append(before)
        if part.kind == "literal":  # white space behind {sep} belongs to neither side
            text = part.value.lstrip() if paired and not before else part.value
            before = text[-1:] or before
        else:
            paired = paired or part.kind == "sep"
            before = "" if part.kind == "sep" else " "
    return tuple(found)
