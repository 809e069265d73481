"""Where a model is read from, and reading it: safetensors only, no code of the checkpoint is run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from huggingface_hub import constants as hub_constants
from huggingface_hub.errors import HFValidationError
from transformers import (
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from playground import resources
from playground.errors import PlaygroundError, shorten
from playground.settings import Settings

CHECKSUMS = "SHA256SUMS"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_READING = threading.Lock()  # transformers cannot read two models at once


NewHead = Callable[[PreTrainedConfig], Mapping[str, Any]]


@dataclass(frozen=True)
class Family:
    """A kind of model: how transformers reads it, what shows that it is trained, and what to say.

    ``optional`` names weights that may be missing because the task does not use them.
    """

    auto: Any
    configs: Mapping[Any, Any]
    architecture: str
    head: str
    advice: str
    optional: str | None
    default: Callable[[Settings], str]
    offered: Callable[[Settings], tuple[str, ...]]


MASKED_LM = Family(
    AutoModelForMaskedLM,
    MODEL_FOR_MASKED_LM_MAPPING,
    "ForMaskedLM",
    "masked-LM head",
    "choose one made for fill-mask",
    "pooler",
    lambda settings: settings.model,
    lambda settings: settings.model_names,
)
CLASSIFIER = Family(
    AutoModelForSequenceClassification,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    "ForSequenceClassification",
    "classification head",
    "fine-tune it first with playground nli train",
    None,
    lambda settings: settings.nli_model,
    lambda settings: settings.nli_model_names,
)


@dataclass(frozen=True)
class Source:
    """Where a model is read from: its name, what transformers is given, and whether it is local."""

    name: str
    location: str
    local: bool


def resolve(
    model: str | os.PathLike[str] | None, settings: Settings, family: Family = MASKED_LM
) -> Source:
    """Return where ``model`` is read from; refuses what this process may not load."""
    shipped = resources.shipped_models()
    text = str(model or family.default(settings))
    listed = family.offered(settings)
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
    here = ", ".join(resources.shipped_models(family.architecture)) or "none"
    raise PlaygroundError(
        f"The model {shorten(text, 80)} is neither a folder here nor a hub id such as "
        f"bert-base-uncased; shipped models: {here}."
    )


def read_model(
    source: Source, family: Family, *, new_head: NewHead | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a model of ``family`` in fp32 and its tokenizer.

    new_head: what a config gets for training; the head may then be missing or of another size, and is
    made anew. Raises PlaygroundError, in one sentence, for one that is not there, is damaged, or has no trained
    head. Safe between threads.
    """
    if source.local:
        verify_checksums(Path(source.location))
    with _READING, quietly():
        model, tokenizer, missing = _read(source, family, new_head)
    _check_weights(source, family, model, missing, new_head is not None)
    _check_tokenizer(source, tokenizer, model)
    return model, tokenizer


def read_tokenizer(source: Source) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a model alone; raises PlaygroundError for one that cannot be read."""
    local = source.local or not hub_answers()
    try:
        with _READING, quietly():
            return AutoTokenizer.from_pretrained(
                source.location, trust_remote_code=False, local_files_only=local
            )
    except Exception as error:  # transformers and tokenizers raise any kind
        raise PlaygroundError(
            f"The tokenizer of {shorten(source.name, 80)} cannot be read ({type(error).__name__}); "
            "check the name, or get it again."
        ) from None


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


def revision_of(source: Source, model: PreTrainedModel) -> str:
    """Return a short name of a model's weights, for cache keys and results."""
    commit = getattr(model.config, "_commit_hash", None)
    if commit:
        return commit
    listing = Path(source.location) / CHECKSUMS
    if listing.is_file():
        return hashlib.sha256(listing.read_bytes()).hexdigest()[:12]
    return weights_digest(model.state_dict())[:12]


def weights_digest(weights: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of weights by name: their bytes, so that no rounding tells two runs apart."""
    total = hashlib.sha256()
    for name, weight in weights.items():
        total.update(f"{name}{tuple(weight.shape)}{weight.dtype}".encode())
        total.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


@contextmanager
def quietly() -> Iterator[None]:
    """Keep transformers from printing: what goes wrong is told once, by us."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def _read(
    source: Source, family: Family, new_head: NewHead | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, list[str]]:
    where: dict[str, Any] = {
        "trust_remote_code": False,
        # a model fetched before opens without network
        "local_files_only": source.local or not hub_answers(),
    }
    try:
        config = AutoConfig.from_pretrained(source.location, **where)
        if type(config) not in family.configs:
            raise PlaygroundError(
                f"The model {shorten(source.name, 80)} is a {config.model_type} without a "
                f"{family.head}; choose a BERT-like model such as bert-base-uncased."
            )
        for name, value in (new_head(config) if new_head else {}).items():
            setattr(config, name, value)
        tokenizer = AutoTokenizer.from_pretrained(source.location, **where)
        model, info = family.auto.from_pretrained(
            source.location,
            config=config,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=new_head is not None,
            **where,
        )
    except (OSError, HFValidationError, json.JSONDecodeError) as error:
        raise PlaygroundError(_unreadable(source, family, error)) from None
    except PlaygroundError:
        raise
    except Exception as error:  # a damaged file makes transformers and tokenizers raise any kind
        raise PlaygroundError(
            f"The model {shorten(source.name, 80)} cannot be read; its files are damaged or of a kind "
            f"that transformers does not know ({type(error).__name__}); get it again."
        ) from None
    return model, tokenizer, list(info["missing_keys"])


def _check_weights(
    source: Source, family: Family, model: PreTrainedModel, missing: list[str], new_head: bool
) -> None:
    base = type(model).base_model_prefix
    needed = sorted(key for key in missing if not family.optional or family.optional not in key)
    head = [key for key in needed if not key.startswith(f"{base}.") or "pooler" in key]
    name = shorten(source.name, 80)
    if new_head:
        needed = [key for key in needed if key not in head]
    elif head:
        raise PlaygroundError(
            f"The checkpoint {name} has no trained {family.head} ({len(head)} weights such as "
            f"{head[0]} are missing); {family.advice}."
        )
    if needed:
        raise PlaygroundError(
            f"The checkpoint {name} is incomplete: {len(needed)} weights such as {needed[0]} are "
            "missing; get it again."
        )


def _check_tokenizer(
    source: Source, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel
) -> None:
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # made up where its files are missing
        raise PlaygroundError(
            f"The tokenizer of {shorten(source.name, 80)} has no words; its files are missing or "
            "damaged: get the model again."
        )
    if len(tokenizer) > model.config.vocab_size:
        raise PlaygroundError(
            f"The tokenizer of {shorten(source.name, 80)} has {len(tokenizer):,} tokens and the model "
            f"{model.config.vocab_size:,}; they do not belong together."
        )


def _unreadable(source: Source, family: Family, error: Exception) -> str:
    name = shorten(source.name, 80)
    offered = ", ".join(resources.shipped_models(family.architecture)) or "none"
    if source.local:
        if isinstance(error, json.JSONDecodeError):
            return (
                f"The model {name} is damaged: one of its JSON files cannot be read; get it again."
            )
        return (
            f"The model {name} cannot be read: a file of it is missing or damaged, or it has no "
            "safetensors weights; a model's folder holds config.json, a tokenizer and "
            "model.safetensors."
        )
    if "safetensors" in str(error):
        return f"The model {name} has no safetensors weights, and others are not opened; choose another."
    return (
        f"The model {name} could not be fetched from the hub: there is no network, or no such model; "
        f"models that are here: {offered}."
    )
