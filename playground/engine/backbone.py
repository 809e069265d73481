"""A masked LM made ready: on which device, in which precision, fused and packed, and whether it is sane."""

from __future__ import annotations

import copy
import os
import time
from dataclasses import dataclass
from typing import cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from playground.engine.device import choose_device
from playground.engine.encoding import Batch, Encoded, Encoder, collate
from playground.engine.forward import MaskForward
from playground.engine.loading import (
    MASKED_LM,
    Source,
    longest_input,
    read_model,
    resolve,
    revision_of,
)
from playground.engine.packing import pack_linears
from playground.engine.tuning.delta import Delta
from playground.errors import PlaygroundError, shorten
from playground.prompts import Template
from playground.settings import Settings

_FACT = Template("Paris is the capital of {mask}.")
_PROBES = (
    _FACT,
    Template("I really like the film a lot. Because it was {mask}."),
    Template("The man is playing a {mask} in the park, and a few of us stopped to listen to him."),
)


@dataclass(frozen=True)
class Backbone:
    """A loaded, frozen masked LM with its encoder and its mask-only forward pass."""

    source: Source
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    encoder: Encoder
    forward: MaskForward
    device: torch.device
    dtype: torch.dtype
    revision: str
    packed: int
    warnings: tuple[str, ...]
    delta: Delta | None = None  # what tuning changed in this copy

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def vocabulary_size(self) -> int:
        return int(self.model.config.vocab_size)

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())

    @property
    def mark(self) -> list[str]:
        """What tells apart models whose numbers differ: name, revision, precision, kind of device."""
        return [self.name, self.revision, str(self.dtype), self.device.type]

    def describe(self) -> str:
        """Return one line for a status bar: size, device, precision and longest input."""
        kind = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[self.dtype]
        return (
            f"{self.name} · {self.parameters / 1e6:.1f} M parameters · {self.device.type} {kind} · "
            f"{self.encoder.max_tokens} tokens"
        )


def load_backbone(
    model: str | os.PathLike[str] | None = None,
    *,
    settings: Settings,
    device: str | None = None,
    dtype: str | None = None,
) -> Backbone:
    """Load a masked LM by shipped name, hub id or folder.

    Weights are read from safetensors only and no code of the checkpoint is run. Raises
    PlaygroundError, in one sentence, for a model that is not there, is damaged, or has no trained
    masked-LM head.
    """
    return open_backbone(
        resolve(model, settings), device=device or settings.device, dtype=dtype or settings.dtype
    )


def open_backbone(
    source: Source, *, device: str, dtype: str, delta: Delta | None = None
) -> Backbone:
    """Read a masked LM from where it is, and apply what tuning changed, if given, to this copy of it.

    Raises PlaygroundError as :func:`load_backbone` does, and for a delta that was tuned on another
    model or is damaged.
    """
    place, wanted = choose_device(device), dtype
    if wanted not in ("float32", "bfloat16", "auto"):
        raise PlaygroundError(
            f"The dtype is {shorten(wanted)}; it must be float32, bfloat16 or auto."
        )
    network, tokenizer = read_model(source, MASKED_LM)
    revision, soft = revision_of(source, network), (0, 0)
    if delta is not None:
        delta.check_base(source.name, revision)
        table = cast(torch.Tensor, network.get_input_embeddings().weight)  # (V, H)
        soft = (len(table), delta.soft_tokens)
        delta.apply(network)
        revision = f"{revision}+{delta.digest[:12]}"
    encoder = Encoder(tokenizer, longest_input(network, tokenizer), soft=soft)
    network.to(place)  # type: ignore[arg-type]
    if wanted == "bfloat16":
        network.to(torch.bfloat16)  # type: ignore[arg-type]
    elif wanted == "auto" and place.type != "mps":
        network = _faster_dtype(network, encoder, place)
    choice = network.dtype
    probe = probe_batch(encoder, place)
    tolerance = 1e-4 if choice == torch.float32 else 0.25
    forward = MaskForward(network, probe, tolerance=tolerance)
    packed = pack_linears(network) if place.type == "cpu" else 0
    # a tuned model need not know facts any more
    junk = _sanity(forward, encoder, tokenizer, place) if delta is None else None
    warnings = (junk,) if junk else ()
    return Backbone(
        source,
        network,
        tokenizer,
        encoder,
        forward,
        place,
        choice,
        revision,
        packed,
        warnings,
        delta,
    )


def probe_batch(encoder: Encoder, device: torch.device) -> Batch:
    """Return the prompts on which a way to run the model is checked against the plain one."""
    encoded = [e for e in encoder.encode([t.render("") for t in _PROBES]) if isinstance(e, Encoded)]
    if not encoded:
        raise PlaygroundError(
            f"The model reads only {encoder.max_tokens} tokens; that is too few for a prompt."
        )
    return collate(encoded, range(len(encoded)), encoder.pad_id, encoder.uses_type_ids, device)


def _sanity(
    forward: MaskForward, encoder: Encoder, tokenizer: PreTrainedTokenizerBase, device: torch.device
) -> str | None:
    """Return a warning if the model finds nothing likely for a plain fact, as an untrained head does."""
    encoded = encoder.encode_one(_FACT.render(""))
    batch = collate([encoded], [0], encoder.pad_id, encoder.uses_type_ids, device)
    best = forward(batch)[0, 0].softmax(-1).max(-1)
    if torch.isfinite(best.values) and best.values >= 0.005:
        return None
    token = tokenizer.convert_ids_to_tokens(int(best.indices))
    return (
        f'Its head looks untrained: the best guess for "{_FACT.fill("")}" is {shorten(token)} '
        f"at {float(best.values):.2%}; scores may mean nothing."
    )


def _faster_dtype(
    model: PreTrainedModel, encoder: Encoder, device: torch.device
) -> PreTrainedModel:
    """Return a bf16 copy if it runs at least 1.2 times faster here and the best tokens agree."""
    probe = probe_batch(encoder, device)
    rounded = copy.deepcopy(model)
    rounded.to(torch.bfloat16)  # type: ignore[arg-type]
    exact, fast = MaskForward(model), MaskForward(rounded)
    agree = bool((exact(probe).argmax(-1) == fast(probe).argmax(-1)).all())
    return rounded if agree and _seconds(fast, probe) * 1.2 <= _seconds(exact, probe) else model


def _seconds(forward: MaskForward, batch: Batch) -> float:
    times = []
    for _ in range(4):
        start = time.perf_counter()
        forward(batch)[0, 0, 0].item()  # waits for the device
        times.append(time.perf_counter() - start)
    return min(times[1:])
