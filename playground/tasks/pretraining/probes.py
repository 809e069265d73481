"""What is looked at while a model grows: the loss on held-out texts and the answers to a few sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import nn
from transformers import BertForMaskedLM, PreTrainedTokenizerBase

from playground.errors import PlaygroundError, shorten
from playground.tasks.pretraining.blocks import Corpus, held_out_blocks
from playground.tasks.pretraining.masking import Masker

MASK = "[MASK]"
MOST_PROBES, LONGEST_PROBE, _LONGEST_PIECE = 100, 300, 80  # what a time-lapse may hold
_TOP = 5
_SEED = 20_181  # of the hidden tokens, the same at every look
_ROWS = 16


@torch.no_grad()
def held_out_loss(
    network: nn.Module, corpus: Corpus, masker: Masker, *, first: int, separator: int, length: int,
    blocks: int,
) -> float | None:  # fmt: skip
    """Return the mean loss at hidden tokens of held-out blocks, nats; None for too few texts.

    length: tokens of a block; blocks: at most so many, from the start of the corpus.
    The same tokens are hidden each time. ``e`` to its power is the pseudo-perplexity of a hidden token.
    """
    found = held_out_blocks(corpus, first=first, separator=separator, length=length, most=blocks)
    if not len(found):
        return None
    hidden = masker.hide(found, np.random.default_rng(_SEED))
    if not len(hidden.gold):  # nothing but unknown tokens
        return None
    place = next(network.parameters()).device
    total = 0.0
    for start in range(0, len(found), _ROWS):
        inside = (hidden.places >= start * length) & (hidden.places < (start + _ROWS) * length)
        states = network.bert(torch.from_numpy(hidden.ids[start : start + _ROWS]).to(place))[0]  # type: ignore[operator]
        places = torch.from_numpy(hidden.places[inside] - start * length).to(place)
        logits = network.cls(states.reshape(-1, states.shape[-1])[places]).float()  # type: ignore[operator]
        gold = torch.from_numpy(hidden.gold[inside]).to(place)
        total += float(nn.functional.cross_entropy(logits, gold, reduction="sum"))
    return total / len(hidden.gold)


def check_probes(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the probe sentences, blank ones left out.

    Raises PlaygroundError for one that is not of one mask, is too long to be shown or stands there
    twice, and for too many.
    """
    found = tuple(text.strip() for text in texts if text.strip())
    for text in found:
        many = text.count(MASK)
        if many != 1:
            raise PlaygroundError(
                f"The probe {shorten(text)} has {many} masks; write {MASK} exactly once."
            )
        if len(text) > LONGEST_PROBE:
            raise PlaygroundError(
                f"The probe {shorten(text)} has {len(text)} characters; the most is {LONGEST_PROBE}."
            )
        if found.count(text) > 1:
            raise PlaygroundError(f"The probe {shorten(text)} stands there twice; leave one out.")
    if len(found) > MOST_PROBES:
        raise PlaygroundError(f"There are {len(found)} probes; the most is {MOST_PROBES}.")
    return found


def too_long(
    probes: Iterable[str], tokenizer: PreTrainedTokenizerBase, positions: int
) -> tuple[str, ...]:
    """Return the probes of more tokens than the model reads."""
    return tuple(text for text in probes if len(_encoded(text, tokenizer)) > positions)


def _encoded(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    asked = text.replace(MASK, str(tokenizer.mask_token))
    return tokenizer.backend_tokenizer.encode(asked).ids


@torch.no_grad()
def answers(
    network: BertForMaskedLM, tokenizer: PreTrainedTokenizerBase, probes: Sequence[str]
) -> Iterator[list[list]]:
    """Yield for each probe the five likeliest pieces at its mask, with their probabilities."""
    place = next(network.parameters()).device
    for text in probes:
        ids = torch.tensor([_encoded(text, tokenizer)], device=place)
        at = ids[0].tolist().index(tokenizer.mask_token_id)
        states = network.bert(ids).last_hidden_state[0, at]
        shares = network.cls(states[None])[0].float().softmax(-1)
        best = shares.topk(min(_TOP, len(shares)))
        pieces = tokenizer.convert_ids_to_tokens(best.indices.tolist())
        yield [
            [p[:_LONGEST_PIECE], round(float(v), 5)]
            for p, v in zip(pieces, best.values.tolist(), strict=True)
        ]
