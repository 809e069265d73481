"""From texts to a folder with a masked LM: what ``playground pretrain`` does."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import PartialState
from tokenizers.models import WordPiece
from transformers import BertForMaskedLM, PreTrainedTokenizerBase

from playground import resources
from playground.engine.loading import MASKED_LM, read_model, read_tokenizer, resolve
from playground.errors import PlaygroundError, shorten
from playground.settings import Settings
from playground.tasks.pretraining.card import draw_curve, model_card
from playground.tasks.pretraining.checkpoints import FOLDERS as STOPPED
from playground.tasks.pretraining.checkpoints import of_another_run
from playground.tasks.pretraining.corpora import Source, encode
from playground.tasks.pretraining.loop import Pretrained, Texts, masker, pretrain
from playground.tasks.pretraining.probes import check_probes, held_out_loss, too_long
from playground.tasks.pretraining.recipe import Recipe
from playground.tasks.pretraining.timelapse import FILE as TIMELAPSE
from playground.tasks.pretraining.vocabulary import (
    keep_vocabulary,
    kept_vocabulary,
    train_tokenizer,
)
from playground.tasks.training.runs import bfloat16_gains, open_folder, training_device
from playground.tasks.training.saving import add_checksums, staged

Say = Callable[[str], None]

_CORPORA, _VOCABULARY, _NOTE = "corpora", "vocabulary", "run.json"
_FINAL = (128, 400)  # tokens of a held-out block, and blocks of a corpus, at the end


@dataclass(frozen=True)
class Finished:
    """A finished pretraining: its folder and its numbers, as ``training.json`` has them."""

    folder: Path
    report: dict[str, Any]


def pretrain_on(
    sources: Sequence[Source],
    out: str | os.PathLike[str],
    *,
    recipe: Recipe,
    settings: Settings,
    model: str | None = None,
    tokenizer: str | None = None,
    lowercase: bool = True,
    probes: Sequence[str] | None = None,
    device: str | None = None,
    fresh: bool = False,
    say: Say | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Finished:
    """Pretrain a BERT on texts and write it to the folder ``out``.

    model: a BERT to go on from, with its size and tokenizer, instead of starting from scratch.
    tokenizer: of a shipped model, a folder or a hub id; a WordPiece vocabulary of the texts if None.
    probes: sentences with one [MASK] that are asked on the way; the shipped ones if None. A stopped run
    goes on, bit for bit, when the same is asked again. The folder gets the model, the time-lapse
    ``pretraining.json``, ``curve.svg``, ``training.json`` and a model card. Raises PlaygroundError for
    what cannot be read, trained or written.
    """
    tell = say or (lambda sentence: None)
    asked = check_probes(shipped_probes() if probes is None else probes)
    place = training_device(device or settings.device)
    folder = open_folder(out, fresh=fresh)
    start, recipe = _start(model, recipe, settings)
    state = PartialState(cpu=place.type == "cpu")
    with state.main_process_first():
        if fresh and state.is_main_process:
            _clear(folder, (*STOPPED, _VOCABULARY, _NOTE))
        precision = _precision(recipe, place, folder)
        words = _tokenizer(model or tokenizer, sources, recipe, settings, folder, lowercase, tell)
        train, held_out = encode(
            sources, words, folder / _CORPORA, held_out=recipe.held_out, say=tell
        )
    long = too_long(asked, words, recipe.positions)
    if long and probes is not None:
        raise PlaygroundError(
            f"The probe {shorten(long[0])} has more than {recipe.positions} tokens; shorten it, or raise "
            "positions."
        )
    asked = tuple(probe for probe in asked if probe not in long)
    texts = Texts(train, held_out, words, asked, start)
    done = pretrain(
        texts, folder, recipe=recipe, device=place.type, precision=precision, say=tell,
        progress=progress,
    )  # fmt: skip
    named = None if model is None else resolve(model, settings, MASKED_LM).name
    report = {"start": named} | _report(texts, done, recipe, state.num_processes)
    if state.is_main_process:
        _save(folder, texts, done, report, half=recipe.half)
        _clear(folder, (*STOPPED, _CORPORA, _VOCABULARY, _NOTE))
    return Finished(folder, report)


def _start(
    model: str | None, recipe: Recipe, settings: Settings
) -> tuple[BertForMaskedLM | None, Recipe]:
    """Return the model to go on from, and the recipe with its size."""
    if model is None:
        return None, recipe
    network, _ = read_model(resolve(model, settings, MASKED_LM), MASKED_LM)
    if not isinstance(network, BertForMaskedLM):
        raise PlaygroundError(
            f"The model {shorten(model, 80)} is a {network.config.model_type}; pretraining goes on "
            "from a BERT."
        )
    config = network.config
    return network, replace(
        recipe,
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        heads=config.num_attention_heads,
        vocabulary=config.vocab_size,
        vectors=0,
    )


def shipped_probes() -> list[str]:
    """Return the probe sentences that come with the playground."""
    return resources.probes_path().read_text(encoding="utf-8").splitlines()


def _precision(recipe: Recipe, place: torch.device, folder: Path) -> str:
    """Return the recipe's precision; "auto" is measured once for a run and then stays."""
    if recipe.precision != "auto":
        return recipe.precision
    note = folder / _NOTE
    try:
        found = str(json.loads(note.read_text(encoding="utf-8"))["precision"])
        if found in ("float32", "bfloat16"):
            return found
    except (OSError, ValueError, KeyError, TypeError):
        pass
    chosen = "bfloat16" if bfloat16_gains(place) else "float32"
    try:
        note.write_text(json.dumps({"precision": chosen}), encoding="utf-8")
    except OSError as error:
        raise PlaygroundError(
            f"The folder {shorten(folder, 120)} cannot be written ({error.strerror}); make room and run "
            "the same command again."
        ) from None
    return chosen


def _tokenizer(
    name: str | None, sources: Sequence[Source], recipe: Recipe, settings: Settings, folder: Path,
    lowercase: bool, say: Say,
) -> PreTrainedTokenizerBase:  # fmt: skip
    """Return the tokenizer that is asked for, or one of the texts; ready for blocks of any length."""
    if name is None:
        found = _own_tokenizer(sources, recipe, folder, lowercase, say)
    else:
        found = read_tokenizer(resolve(name, settings, MASKED_LM))
    missing = [
        mark for mark in ("cls_token", "sep_token", "mask_token", "pad_token")
        if getattr(found, mark, None) is None
    ]  # fmt: skip
    if missing or not found.is_fast or not isinstance(found.backend_tokenizer.model, WordPiece):
        why = f"has no {missing[0]}" if missing else "is not made of WordPieces"
        raise PlaygroundError(
            f"The tokenizer of {shorten(name or 'the texts', 80)} {why}; take one of a BERT, or leave "
            "--tokenizer out to train one."
        )
    found.model_max_length = recipe.positions
    return found


def _own_tokenizer(
    sources: Sequence[Source], recipe: Recipe, folder: Path, lowercase: bool, say: Say
) -> PreTrainedTokenizerBase:
    """Return a WordPiece tokenizer of the texts, kept for a start after a kill.

    A stopped run goes on with its own even if a file has a new date: whether the texts are the same is
    told by their tokens. Raises PlaygroundError where a stopped run had another.
    """
    place = folder / _VOCABULARY
    asked = {"size": recipe.vocabulary, "lowercase": lowercase}
    note = asked | {"texts": [source.mark for source in sources]}
    stopped = any((folder / name).exists() for name in STOPPED)
    kept = kept_vocabulary(place)
    if kept is not None:
        found, before = kept
        if before == note or (stopped and before | asked == before):
            return found
    if stopped:
        raise of_another_run(folder)
    say(f"A vocabulary of {recipe.vocabulary:,} WordPieces from the texts.")
    found = train_tokenizer(
        lambda: _all_documents(sources),
        recipe.vocabulary,
        lowercase=lowercase,
        longest=recipe.positions,
    )
    keep_vocabulary(found, place, note)
    return found


def _all_documents(sources: Sequence[Source]) -> Iterator[str]:
    for source in sources:
        yield from (text for text in source.documents() if text is not None)


def _report(texts: Texts, done: Pretrained, recipe: Recipe, processes: int) -> dict[str, Any]:
    """Return what is known of a finished run, the held-out loss of each corpus among it."""
    length, blocks = _FINAL
    tokenizer = texts.tokenizer
    losses = {}
    for corpus in texts.held_out:
        loss = held_out_loss(
            done.network, corpus, masker(tokenizer, recipe), length=min(length, recipe.positions),
            blocks=blocks, first=tokenizer.cls_token_id, separator=tokenizer.sep_token_id,
        )  # fmt: skip
        if loss is not None:
            losses[corpus.name] = round(loss, 4)
    shares = [corpus.share for corpus in texts.train]
    return {
        "recipe": asdict(recipe),
        "parameters": sum(weight.numel() for weight in done.network.parameters()),
        "vocabulary": len(tokenizer),
        "corpora": [
            {
                "name": corpus.name, "documents": len(corpus), "tokens": len(corpus.tokens),
                "held_out_tokens": len(held.tokens), "share": round(corpus.share / sum(shares), 4),
                "passes": round(passes, 2), "held_out_loss": losses.get(corpus.name),
            }
            for corpus, held, passes in zip(texts.train, texts.held_out, done.passes, strict=True)
        ],
        "steps": done.progress.step,
        "tokens": done.tokens,
        "seconds": round(done.progress.seconds, 1),
        "precision": done.precision,
        "processes": processes,
        "training_loss": done.progress.curve[-1]["loss"],
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }  # fmt: skip


def _save(
    folder: Path, texts: Texts, done: Pretrained, report: dict[str, Any], *, half: bool
) -> None:
    lapse = done.timelapse(texts.probes)
    with staged(folder) as stage:
        network = done.network.to(torch.float16) if half else done.network
        network.save_pretrained(stage)
        texts.tokenizer.save_pretrained(stage)
        lapse.save(stage / TIMELAPSE)
        draw_curve(lapse, stage / "curve.svg")
        text = json.dumps(report, indent=1, ensure_ascii=False)
        (stage / "training.json").write_text(f"{text}\n", encoding="utf-8")
        (stage / "README.md").write_text(model_card(report, lapse), encoding="utf-8")
        add_checksums(stage)


def _clear(folder: Path, names: Sequence[str]) -> None:
    for place in (folder / name for name in names):
        if place.is_dir():
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)
