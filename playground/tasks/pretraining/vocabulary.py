"""A WordPiece vocabulary of one's own texts (Schuster and Nakajima 2012; Wu et al. 2016, § 4.1)."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from playground.engine.loading import Source, quietly, read_tokenizer
from playground.errors import PlaygroundError, shorten
from playground.tasks.training.saving import why_unwritten

_NOTE = "note.json"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def train_tokenizer(
    read: Callable[[], Iterable[str]], size: int, *, lowercase: bool = True, longest: int = 512
) -> PreTrainedTokenizerBase:
    """Return BERT's tokenizer with ``size`` pieces of texts; ``longest`` is the model's input.

    read: opens the texts from the first; they are read twice. A piece is found where it occurs twice, and
    the same texts give the same pieces under the same ids. Raises PlaygroundError where the texts do not
    hold so many pieces, or more characters than fit.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    inner = sorted(f"##{sign}" for sign in _inner_characters(read(), tokenizer))
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=[
            *SPECIAL,
            *inner,
        ],  # the trainer numbers others as they fall out of a hash map
        show_progress=False,
        min_frequency=2,
    )
    tokenizer.train_from_iterator(read(), trainer)
    found = tokenizer.get_vocab_size()
    if found == len(SPECIAL):
        raise PlaygroundError("The texts hold no word to make a vocabulary of; give more text.")
    if found > size:
        raise PlaygroundError(
            f"The characters of the texts alone are {found:,} pieces, more than the vocabulary of "
            f"{size:,}; give --vocabulary {found} or more."
        )
    if found < size:
        raise PlaygroundError(
            f"The texts hold {found:,} pieces, fewer than the vocabulary of {size:,}; "
            f"give more text, or --vocabulary {found} or less."
        )
    vocabulary = tokenizer.get_vocab()
    tokenizer = _with_pieces(tokenizer, sorted(vocabulary, key=lambda piece: vocabulary[piece]))
    marks = {mark: tokenizer.token_to_id(mark) for mark in ("[CLS]", "[SEP]")}
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=list(marks.items()),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=longest,
        pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip


def _inner_characters(texts: Iterable[str], tokenizer: Tokenizer) -> set[str]:
    """Return the characters that stand within a word, after its first one, as the tokenizer cleans it."""
    clean, split = tokenizer.normalizer.normalize_str, tokenizer.pre_tokenizer.pre_tokenize_str
    found: set[str] = set()
    known: set[str] = set()  # what need not be looked at again
    for text in texts:
        for word in set(text.split()):
            if known.issuperset(word[1:]):
                continue
            for piece, _ in split(clean(word)):
                found.update(piece[1:])
            for sign in set(word[1:]) - known:
                cleaned = clean(f"a{sign}")
                alone = [piece for piece, _ in split(cleaned)] != [cleaned]  # such as a comma
                if alone or found.issuperset(cleaned[1:]):
                    known.add(sign)
    return found


def _with_pieces(trained: Tokenizer, pieces: Sequence[str]) -> Tokenizer:
    """Return a tokenizer that cleans and splits like ``trained``, with BERT's special tokens alone."""
    made = Tokenizer(
        models.WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]")
    )
    made.normalizer, made.pre_tokenizer = trained.normalizer, trained.pre_tokenizer
    made.decoder = trained.decoder
    made.add_special_tokens(list(SPECIAL))
    return made


def keep_vocabulary(tokenizer: PreTrainedTokenizerBase, place: Path, note: dict[str, Any]) -> None:
    """Write a tokenizer to the folder ``place`` in one step, with a note of what it was made of.

    Raises PlaygroundError where it cannot be written.
    """
    new = place.with_name(f".{place.name}")
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        with quietly():
            tokenizer.save_pretrained(new)
        (new / _NOTE).write_text(json.dumps(note), encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)
        os.replace(new, place)
    except Exception as error:
        reason = why_unwritten(error)
        if reason is None:
            raise
        shutil.rmtree(new, ignore_errors=True)
        raise PlaygroundError(
            f"The vocabulary cannot be written to {shorten(place.parent, 120)} ({reason}); make room and "
            "run the same command again."
        ) from None


def kept_vocabulary(place: Path) -> tuple[PreTrainedTokenizerBase, dict[str, Any]] | None:
    """Return the tokenizer that :func:`keep_vocabulary` wrote to ``place`` and its note, or None."""
    try:
        note = json.loads((place / _NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read_tokenizer(Source(place.name, str(place), True)), note
