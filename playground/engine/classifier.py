"""A fine-tuned classifier of sentence pairs: [CLS] through its head, labels by name, calibrated."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from playground.engine.device import choose_device
from playground.engine.encoding import Batch, Encoded, Encoder, batches, collate
from playground.engine.fused import FUSED_TYPES, FusedEncoder
from playground.engine.loading import CLASSIFIER, longest_input, read_model, resolve, revision_of
from playground.engine.packing import pack_linears
from playground.engine.results import Scores
from playground.errors import PlaygroundError, shorten
from playground.prompts import Template
from playground.settings import Settings
from playground.settings import settings as current_settings

Pair = Sequence[str] | Mapping[str, str]
Progress = Callable[[int, int], None]
Cancel = Callable[[], bool]

PAIR = Template("{premise} {sep} {hypothesis}")
TEMPERATURE = "calibration_temperature"  # a key of config.json, which transformers keeps
_PROBES = (
    ("A man is playing a guitar on a stage.", "A man plays music."),
    ("Two dogs run through the snow.", "The cats are asleep."),
    ("A woman reads.", "She waits for her friend in front of a large station near the river."),
)
_GPU_BATCH_FACTOR = 32  # a GPU takes this many times the CPU's batch_tokens


class PairClassifier:
    """A sequence classifier of transformers over (premise, hypothesis), frozen and shared by threads.

    model: a shipped name, a hub id or a folder; the setting ``nli_model`` if None. labels: the names
    that its head must have, in any order and case; scores come in the order given here. The logits
    are divided by the temperature that training stored in config.json (Guo et al. 2017), 1 without.
    max_tokens: pairs that are longer are cut, all that the model reads if None; cut: from the
    "longest" side, or "ratio", the same share of both.
    Raises PlaygroundError for a model that is not there, is damaged, or has no such head.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        labels: Sequence[str],
        settings: Settings | None = None,
        device: str | None = None,
        max_tokens: int | None = None,
        cut: str = "longest",
    ) -> None:
        self.settings = settings or current_settings()
        self.labels = tuple(labels)
        self.source = resolve(model, self.settings, CLASSIFIER)
        self.device = choose_device(device or self.settings.device)
        network, tokenizer = read_model(self.source, CLASSIFIER)
        self._columns = head_columns(network, self.labels, self.source.name)
        self.temperature = _temperature(network, self.source.name)
        most = longest_input(network, tokenizer)
        self.encoder = Encoder(tokenizer, min(most, max_tokens or most), cut=cut)
        self.revision = revision_of(self.source, network)
        self.model: PreTrainedModel = network.to(self.device).eval().requires_grad_(False)  # type: ignore[arg-type]
        self.fused = _fuse(self._logits, self.model, self._batch_of(_PROBES))
        self.packed = pack_linears(self.model) if self.device.type == "cpu" else 0

    @property
    def name(self) -> str:
        return self.source.name

    def describe(self) -> str:
        """Return one line: size, device, longest input."""
        size = sum(p.numel() for p in self.model.parameters()) / 1e6
        return (
            f"{self.name} · {size:.1f} M parameters · {self.device.type} fp32 · "
            f"{self.encoder.max_tokens} tokens"
        )

    def classify(
        self,
        pairs: Sequence[Pair],
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Scores:
        """Return P(label | pair) for each pair, one row per pair, independent of batch mates.

        pairs: (premise, hypothesis), or mappings with these keys. An empty side, one that is no text
        or one that is too long is that row's error. ``progress`` is told (rows done, rows in all);
        rows that a ``cancel`` leaves out have an error that says so.
        """
        total, count = len(pairs), len(self.labels)
        errors: dict[int, str] = {}
        encoded = self._encode(pairs, errors)
        places = list(encoded)
        logits = np.full((total, count), np.nan)
        tokens, dropped = np.zeros(total, dtype=int), np.zeros(total, dtype=int)
        for i, prompt in encoded.items():
            tokens[i], dropped[i] = len(prompt), prompt.dropped
        done = len(errors)
        for batch in self._batches([encoded[i] for i in places]):
            if cancel is not None and cancel():
                break
            rows = [places[k] for k in batch.rows]
            logits[rows] = self._logits(batch)[:, self._columns].cpu().numpy()
            done += len(rows)
            if progress is not None:
                progress(done, total)
        for i in places:
            if np.isnan(logits[i, 0]):
                errors[i] = "Stopped before this row."
        log_probs = log_softmax(logits / self.temperature)
        return Scores(
            labels=self.labels, words=(), probabilities=np.exp(log_probs), label_scores=logits,
            word_log_probs=None, mass=None, log_prior=None, tokens=tokens, dropped=dropped,
            errors=errors,
        )  # fmt: skip

    def _encode(self, pairs: Sequence[Pair], errors: dict[int, str]) -> dict[int, Encoded]:
        rendered: dict[int, Any] = {}
        for i, pair in enumerate(pairs):
            try:
                check_pair(pair, self.settings.max_text_chars)
                rendered[i] = PAIR.render(pair)
            except PlaygroundError as error:
                errors[i] = str(error)
        encoded: dict[int, Encoded] = {}
        for i, result in zip(rendered, self.encoder.encode(list(rendered.values())), strict=True):
            if isinstance(result, Encoded):
                encoded[i] = result
            else:
                errors[i] = str(result)
        return encoded

    def _batches(self, prompts: Sequence[Encoded]) -> Iterator[Batch]:
        factor = 1 if self.device.type == "cpu" else _GPU_BATCH_FACTOR
        return batches(
            prompts,
            budget=self.settings.batch_tokens * factor,
            pad_id=self.encoder.pad_id,
            type_ids=self.encoder.uses_type_ids,
            device=self.device,
        )

    def _batch_of(self, pairs: Sequence[Pair]) -> Batch:
        encoded = [self.encoder.encode_one(PAIR.render(pair)) for pair in pairs]
        encoder = self.encoder
        return collate(
            encoded, range(len(encoded)), encoder.pad_id, encoder.uses_type_ids, self.device
        )

    def _logits(self, batch: Batch) -> torch.Tensor:
        with torch.inference_mode():
            return self.model(**batch.inputs).logits.float()  # (N, C)


def _temperature(model: PreTrainedModel, name: str) -> float:
    value = getattr(model.config, TEMPERATURE, None)
    if value is None:
        return 1.0
    if isinstance(value, int | float) and math.isfinite(value) and value > 0:
        return float(value)
    raise PlaygroundError(
        f"The classifier {shorten(name, 80)} has the {TEMPERATURE} {shorten(value)} in its config.json; "
        "it must be a number above 0."
    )


def check_pair(pair: Pair, limit: int) -> None:
    """Raise PlaygroundError for a pair with a side that is empty, no text, or over ``limit`` characters."""
    if isinstance(pair, str) or (isinstance(pair, Sequence) and len(pair) != 2):
        raise PlaygroundError(f"A pair is a premise and a hypothesis, not {shorten(pair)}.")
    for name, text in PAIR.bind(pair).items():
        if not text.strip():
            raise PlaygroundError(f"The {name} is empty; write a sentence.")
        if len(text) > limit:
            raise PlaygroundError(
                f"The {name} has {len(text):,} characters; the most is {limit:,}."
            )


def head_columns(model: PreTrainedModel, labels: Sequence[str], name: str) -> list[int]:
    """Return the head's column of each label, found by name (``id2label``), never by order."""
    names = {
        str(label).strip().lower(): int(k) for k, label in (model.config.id2label or {}).items()
    }
    columns = [names.get(label) for label in labels]
    if None in columns or len(names) != len(labels):
        shown = ", ".join(shorten(label) for label in list(names)[:6])
        raise PlaygroundError(
            f"The classifier {shorten(name, 80)} has the labels {shown}; it needs "
            f"{', '.join(labels)}."
        )
    return [column for column in columns if column is not None]


def _fuse(run: Callable[[Batch], torch.Tensor], model: PreTrainedModel, probe: Batch) -> bool:
    """Give a BERT-like model its fused encoder, if that gives the same logits; return whether."""
    base = model.base_model
    encoder = getattr(base, "encoder", None)
    if not isinstance(encoder, nn.Module) or model.config.model_type not in FUSED_TYPES:
        return False
    plain = run(probe)

    def first_token(hidden: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(hidden), 1, dtype=torch.long, device=hidden.device)

    try:
        base.encoder = FusedEncoder(encoder, first_token)
        if bool((run(probe) - plain).abs().max() <= 1e-4):
            return True
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError):
        pass  # layers of another kind
    base.encoder = encoder
    return False


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Return log-softmax over the last axis, (N, C) -> (N, C); NaN rows stay NaN."""
    shifted = scores - scores.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
