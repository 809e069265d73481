"""Loading a masked LM: where it comes from, on which device, in which precision, and whether it is sane."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import socket
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import torch
from huggingface_hub import constants as hub_constants
from huggingface_hub.errors import HFValidationError
from transformers import (
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    AutoModelForMaskedLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from playground import resources
from playground.engine.encoding import Batch, Encoded, Encoder, collate
from playground.engine.forward import MaskForward
from playground.engine.packing import pack_linears
from playground.errors import PlaygroundError, shorten
from playground.prompts import Template
from playground.settings import Settings

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_FACT = Template("Paris is the capital of {mask}.")
_PROBES = (
    _FACT,
    Template("I really like the film a lot. Because it was {mask}."),
    Template("The man is playing a {mask} in the park, and a few of us stopped to listen to him."),
)
CHECKSUMS = "SHA256SUMS"
_READING = threading.Lock()  # transformers cannot read two models at once


@dataclass(frozen=True)
class Source:
    """Where a model is read from: its name, what transformers is given, and whether it is local."""

    name: str
    location: str
    local: bool


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

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def vocabulary_size(self) -> int:
        return int(self.model.config.vocab_size)

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())

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
    source = resolve(model, settings)
    place = choose_device(device or settings.device)
    wanted = dtype or settings.dtype
    if wanted not in ("float32", "bfloat16", "auto"):
        raise PlaygroundError(
            f"The dtype is {shorten(wanted)}; it must be float32, bfloat16 or auto."
        )
    if source.local:
        verify_checksums(Path(source.location))
    with _READING:
        network, tokenizer = _read(source)
    encoder = Encoder(tokenizer, longest_input(network, tokenizer))
    network.to(place)  # type: ignore[arg-type]
    revision = getattr(network.config, "_commit_hash", None) or _fingerprint(source, network)
    if wanted == "bfloat16":
        network.to(torch.bfloat16)  # type: ignore[arg-type]
    elif wanted == "auto" and place.type != "mps":
        network = _faster_dtype(network, encoder, place)
    choice = network.dtype
    probe = _probe(encoder, place)
    tolerance = 1e-4 if choice == torch.float32 else 0.25
    forward = MaskForward(network, probe, tolerance=tolerance)
    packed = pack_linears(network) if place.type == "cpu" else 0
    junk = _sanity(forward, encoder, tokenizer, place)
    warnings = (junk,) if junk else ()
    return Backbone(
        source, network, tokenizer, encoder, forward, place, choice, revision, packed, warnings
    )


def resolve(model: str | os.PathLike[str] | None, settings: Settings) -> Source:
    """Return where ``model`` is read from; refuses what this process may not load."""
    shipped = resources.shipped_models()
    text = str(model or settings.model)
    listed = settings.model_names
    if settings.hosted and text not in listed:
        raise PlaygroundError(
            f"The model {shorten(text, 80)} is not offered here; choose one of {', '.join(listed)}."
        )
    if text in shipped:
        return Source(text, str(shipped[text]), True)
    if not settings.hosted or text in listed:
        folder = Path(os.path.expanduser(text))
        if os.path.isdir(folder):  # False, too, for what cannot be a path
            if not (folder / "config.json").is_file():
                raise PlaygroundError(
                    f"The folder {shorten(text, 120)} has no config.json; "
                    "give a folder written by save_pretrained."
                )
            return Source(folder.resolve().name, str(folder), True)
        if _HUB_ID.fullmatch(text) and ".." not in text:
            return Source(text, text, False)
    raise PlaygroundError(
        f"The model {shorten(text, 80)} is neither a folder here nor a hub id such as "
        f"bert-base-uncased; shipped models: {', '.join(shipped) or 'none'}."
    )


def choose_device(wanted: str) -> torch.device:
    """Return the device for "auto" (CUDA, then MPS, then CPU) or for a name; checks that it is there."""
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device).item()  # "meta" has no numbers
    except (RuntimeError, AssertionError, NotImplementedError):
        raise PlaygroundError(
            f"The device {shorten(wanted)} is not there; use auto, cpu, cuda or mps."
        ) from None
    return device


def choose_threads(settings: Settings) -> int:
    """Set torch's CPU threads for this process as the settings say, and return their number.

    By default one core is left free: torch threads that wait for a busy core wait for each other.
    """
    count = settings.threads or max(1, (os.cpu_count() or 2) - 1)
    torch.set_num_threads(count)
    return count


def hub_answers(seconds: float = 3.0) -> bool:
    """Return whether the hub can be reached now; behind a proxy it is taken to be.

    Asked first because the hub's client tries again for half a minute when there is no network.
    """
    if hub_constants.HF_HUB_OFFLINE:
        return False
    if urllib.request.getproxies().keys() & {"https", "all"}:
        return True
    hub = urlsplit(hub_constants.ENDPOINT)
    port = hub.port or (80 if hub.scheme == "http" else 443)
    try:
        with socket.create_connection((hub.hostname or "", port), timeout=seconds):
            return True
    except OSError:
        return False


def verify_checksums(folder: Path) -> None:
    """Compare the files that ``SHA256SUMS`` in ``folder`` lists; without the list, do nothing."""
    listing = folder / CHECKSUMS
    if not listing.is_file():
        return
    for line in listing.read_text(encoding="utf-8", errors="replace").split("\n"):
        if not line.strip():
            continue
        digest, _, name = line.partition("  ")
        if not Path(name).name:
            raise PlaygroundError(
                f"The model {folder.name} is damaged: its list {CHECKSUMS} cannot be read; "
                "get the project again."
            )
        file = folder / Path(name).name
        if not file.is_file():
            raise PlaygroundError(
                f"The model {folder.name} lacks its file {name}; get the project again."
            )
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != digest:
            raise PlaygroundError(
                f"The model {folder.name} is damaged: {name} is not the file that was shipped "
                "(its SHA-256 differs); get the project again."
            )


def longest_input(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return how many tokens the model reads, special tokens included."""
    limit = int(getattr(model.config, "max_position_embeddings", 0) or 512)
    for name, module in model.base_model.named_modules():
        if (
            name.endswith("position_embeddings")
            and getattr(module, "padding_idx", None) is not None
        ):
            limit = module.num_embeddings - module.padding_idx - 1  # RoBERTa starts behind padding
    return min(limit, tokenizer.model_max_length)


def _read(source: Source) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    cached_only = source.local or not hub_answers()  # a model fetched before opens without network
    quiet = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(
            source.location, trust_remote_code=False, local_files_only=cached_only
        )
        if type(config) not in MODEL_FOR_MASKED_LM_MAPPING:
            raise PlaygroundError(
                f"The model {shorten(source.name, 80)} is a {config.model_type} without a masked-LM "
                "head; choose a BERT-like model such as bert-base-uncased."
            )
        tokenizer = AutoTokenizer.from_pretrained(
            source.location, trust_remote_code=False, local_files_only=cached_only
        )
        model, info = AutoModelForMaskedLM.from_pretrained(
            source.location,
            config=config,
            trust_remote_code=False,
            local_files_only=cached_only,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, HFValidationError, json.JSONDecodeError) as error:
        raise PlaygroundError(_unreadable(source, error)) from None
    except PlaygroundError:
        raise
    except Exception as error:  # a damaged file makes transformers and tokenizers raise any kind
        raise PlaygroundError(
            f"The model {shorten(source.name, 80)} cannot be read; its files are damaged or of a kind "
            f"that transformers does not know ({type(error).__name__}); get it again."
        ) from None
    finally:
        transformers_logging.set_verbosity(quiet)
        if bars:
            transformers_logging.enable_progress_bar()
    base = type(model).base_model_prefix
    head = sorted(key for key in info["missing_keys"] if not key.startswith(f"{base}."))
    if head:
        raise PlaygroundError(
            f"The checkpoint {shorten(source.name, 80)} has no trained masked-LM head "
            f"({len(head)} weights such as {head[0]} are missing); choose one made for fill-mask."
        )
    missing = [key for key in info["missing_keys"] if "pooler" not in key]
    if missing:
        raise PlaygroundError(
            f"The checkpoint {shorten(source.name, 80)} is incomplete: {len(missing)} weights such "
            f"as {missing[0]} are missing; get it again."
        )
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # made up where its files are missing
        raise PlaygroundError(
            f"The tokenizer of {shorten(source.name, 80)} has no words; its files are missing or "
            "damaged: get the model again."
        )
    if len(tokenizer) > config.vocab_size:
        raise PlaygroundError(
            f"The tokenizer of {shorten(source.name, 80)} has {len(tokenizer):,} tokens and the model "
            f"{config.vocab_size:,}; they do not belong together."
        )
    return model, tokenizer


def _unreadable(source: Source, error: Exception) -> str:
    name = shorten(source.name, 80)
    offered = ", ".join(resources.shipped_models()) or "none"
    if source.local:
        if isinstance(error, json.JSONDecodeError):
            return (
                f"The model {name} is damaged: one of its JSON files cannot be read; get it again."
            )
        return (
            f"The model {name} cannot be read: a file of it is missing or damaged, or it has no "
            "safetensors weights; a masked-LM folder holds config.json, a tokenizer and "
            "model.safetensors."
        )
    if "safetensors" in str(error):
        return f"The model {name} has no safetensors weights, and others are not opened; choose another."
    return (
        f"The model {name} could not be fetched from the hub: there is no network, or no such model; "
        f"models that are here: {offered}."
    )


def _probe(encoder: Encoder, device: torch.device) -> Batch:
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
    probe = _probe(encoder, device)
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


def _fingerprint(source: Source, model: PreTrainedModel) -> str:
    """Return a short name of a local model's weights, for cache keys and results."""
    listing = Path(source.location) / CHECKSUMS
    if listing.is_file():
        return hashlib.sha256(listing.read_bytes()).hexdigest()[:12]
    total = hashlib.sha256()
    for name, weight in model.state_dict().items():
        total.update(f"{name}{tuple(weight.shape)}{float(weight.float().sum()):.6e}".encode())
    return total.hexdigest()[:12]
