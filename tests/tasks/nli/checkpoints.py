"""Tiny classifiers of five architectures, and pairs whose label one word of the hypothesis tells."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertTokenizerFast,
    PreTrainedModel,
)

from playground.tasks.nli import LABELS, Pairs
from tests.engine import tiny

CLASSIFIERS = ("bert", "roberta", "distilbert", "electra", "deberta-v2")
CUES = dict(zip(LABELS, ("great", "slow", "awful"), strict=True))
_THINGS = ("film", "food", "service", "music", "story", "house", "book", "room", "train", "team")
_PREMISES = ("The {} was here today.", "We stopped to see the {}.", "It is a {} in the park.")


def save(kind: str, folder: Path, *, names: tuple[str, ...] = LABELS, **config: object) -> Path:
    """Write a tiny random classifier of ``kind`` whose outputs are called ``names``."""
    tiny.save(kind, folder)  # for its tokenizer and its sizes
    given = AutoConfig.from_pretrained(folder)
    given.id2label = dict(enumerate(names))
    given.label2id = {name: k for k, name in enumerate(names)}
    for key, value in config.items():
        setattr(given, key, value)
    torch.manual_seed(21)
    model = AutoModelForSequenceClassification.from_config(given, dtype=torch.float32)
    with torch.no_grad():  # biases and norms of a new model are 0 and 1, which would hide an error
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.2 * torch.randn_like(parameter)
    model.eval().save_pretrained(folder)
    return folder


def save_learner(folder: Path) -> Path:
    """Write a tiny masked LM that learns: small weights, as real ones have, and whole words."""
    words = sorted(set(re.findall(r"[a-z]+|[.,;?!]", " ".join(tiny.SENTENCES).lower())))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = BertTokenizerFast(vocab={word: k for k, word in enumerate([*special, *words])})
    config = BertConfig(
        vocab_size=len(tokenizer), num_hidden_layers=2, num_attention_heads=2, hidden_size=32,
        intermediate_size=64, initializer_range=0.05, max_position_embeddings=tiny.MAX_TOKENS,
    )  # fmt: skip
    torch.manual_seed(22)
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def edit(file: Path, **changes: object) -> None:
    """Change keys of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


class Plain:
    """Plain transformers on a classifier, one pair at a time: the oracle."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32
        ).eval()

    def logits(self, premise: str, hypothesis: str) -> np.ndarray:
        """Return the logits (C,) in the order of the head."""
        inputs = self.tokenizer(
            premise,
            hypothesis,
            truncation="longest_first",
            max_length=tiny.MAX_TOKENS,
            split_special_tokens=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            return self.model(**inputs).logits[0].double().numpy()


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return softmax over the last axis, written as in a textbook."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def lessons(count: int, *, seed: int = 0, cues: dict[str, str] = CUES) -> Pairs:
    """Return ``count`` different pairs; a word of the hypothesis gives the label away."""
    draw = random.Random(seed)
    rows: dict[tuple[str, str], int] = {}
    while len(rows) < count:
        label = len(rows) % len(LABELS)
        thing, other = draw.choice(_THINGS), draw.choice(_THINGS)
        premise = draw.choice(_PREMISES).format(thing)
        rows[(premise, f"The {other} was {cues[LABELS[label]]}.")] = label
    premises, hypotheses = zip(*rows, strict=True)
    return Pairs(list(premises), list(hypotheses), np.array(list(rows.values())))


def write(pairs: Pairs, file: Path) -> Path:
    """Write pairs as JSON Lines."""
    rows = zip(pairs.premises, pairs.hypotheses, pairs.labels.tolist(), strict=True)
    lines = [
        json.dumps({"premise": premise, "hypothesis": hypothesis, "label": LABELS[k]})
        for premise, hypothesis, k in rows
    ]
    file.write_text("\n".join(lines) + "\n")
    return file
