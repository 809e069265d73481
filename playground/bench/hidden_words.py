"""How well a masked LM predicts hidden words of plain texts: part of ``bench quality``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from playground.bench.report import Cell, Table
from playground.engine.loading import MASKED_LM, read_model, resolve
from playground.settings import Settings
from playground.tasks.pretraining.blocks import Corpus, held_out_blocks
from playground.tasks.pretraining.corpora import Source, open_source
from playground.tasks.pretraining.masking import Masker

LENGTH, BLOCKS, RATE, SEED = 128, 400, 0.15, 0
_ROWS = 16  # blocks at once


def hidden_words(
    model: str | None, texts: Sequence[str], settings: Settings, say: Callable[[str], None]
) -> Table:
    """Return the loss at hidden tokens of each file of ``texts``, nats, and its exponential.

    The first texts of a file are joined to at most ``BLOCKS`` blocks of ``LENGTH`` tokens; 15 % of these
    are hidden, all by the mask token, the same in each run. Two models compare only if they share a
    vocabulary.
    """
    network, tokenizer = read_model(resolve(model, settings, MASKED_LM), MASKED_LM)
    network.eval()
    lines: list[tuple[Cell, ...]] = []
    for spec in texts:
        source = open_source(spec)
        say(f"hidden words of {source.name}")
        blocks = _blocks(source, tokenizer)
        losses = _losses(network, tokenizer, blocks)
        mean = float(losses.mean()) if len(losses) else None
        error = float(losses.std() / math.sqrt(len(losses))) if len(losses) else None
        perplexity = None if mean is None else math.exp(mean)
        lines.append((source.name, len(blocks), len(losses), mean, error, perplexity))
    columns = {
        "": "", "blocks": ",d", "hidden": ",d", "loss": ".3f", "standard error": ".3f",
        "perplexity": ".1f",
    }  # fmt: skip
    return Table("Hidden tokens of plain texts", columns, tuple(lines), ("Loss in nats a token.",))


def _blocks(source: Source, tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """Return the first texts of a source as blocks of ids, (N, LENGTH)."""
    ids: list[int] = []
    ends: list[int] = []
    for text in source.documents():
        ids += tokenizer(text, add_special_tokens=False, truncation=False)["input_ids"]
        ends.append(len(ids))
        if len(ids) > BLOCKS * LENGTH:
            break
    corpus = Corpus(source.name, np.array(ids, np.int64), np.array(ends, np.int64))
    first, separator = tokenizer.cls_token_id, tokenizer.sep_token_id
    return held_out_blocks(corpus, first=first, separator=separator, length=LENGTH, most=BLOCKS)


@torch.no_grad()
def _losses(
    network: nn.Module, tokenizer: PreTrainedTokenizerBase, blocks: np.ndarray
) -> np.ndarray:
    """Return the loss of each hidden token, (M,)."""
    special = frozenset(tokenizer.all_special_ids)
    masker = Masker(tokenizer.mask_token_id, special, np.zeros(1, np.int64), RATE, 1.0, 0.0)
    rng = np.random.default_rng(SEED)
    found = [np.zeros(0, np.float32)]
    for start in range(0, len(blocks), _ROWS):
        hidden = masker.hide(blocks[start : start + _ROWS], rng)
        ids = torch.from_numpy(hidden.ids)
        logits = network(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        chosen = logits.reshape(-1, logits.shape[-1])[torch.from_numpy(hidden.places)].float()
        gold = torch.from_numpy(hidden.gold)
        found.append(nn.functional.cross_entropy(chosen, gold, reduction="none").numpy())
    return np.concatenate(found)
