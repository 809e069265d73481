"""Texts to pretrain on: read line by line, encoded once, kept on disk as plain arrays of token ids."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from playground.errors import PlaygroundError, shorten
from playground.tasks.pretraining.blocks import Corpus
from playground.tasks.reading import format_of, read_dataset, read_file, read_text

Say = Callable[[str], None]

ENCODED = "corpora"
_BATCH = 2_000  # documents that the tokenizer gets at once
_PARTS = ("train", "held_out")
_BUCKETS = 100_000


@dataclass(frozen=True)
class Source:
    """A corpus to read: its name, its share of the training, and how its documents are opened."""

    name: str
    share: float
    documents: Callable[[], Iterator[str]]
    mark: str


def open_source(
    spec: str,
    *,
    column: str | None = None,
    split: str | None = None,
    config: str | None = None,
    encoding: str = "utf-8",
) -> Source:
    """Return the corpus of ``PLACE`` or ``PLACE=SHARE``: a file of texts or tables, or a hub data set.

    A text file has a document a line (.txt, or any suffix that is no table's; .gz, .bz2 and .xz open).
    Of a table the column "text" is read unless ``column`` says otherwise. Raises PlaygroundError for
    what cannot be read.
    """
    place, share = _split_share(spec)
    path = Path(place).expanduser()
    if not path.exists() and not path.suffix and "/" in place:
        table = read_dataset(place, split=split, config=config)
        return Source(_name(place), share, lambda: _cells(table, column), place)
    if path.is_file() and format_of(path) is None:
        documents = read_text(place, encoding=encoding)
        return Source(_name(path.name), share, documents, _file_mark(path))
    table = read_file(place, encoding=encoding)
    if (column or "text") not in table.columns:
        raise PlaygroundError(
            f"{table.name} has no column {shorten(column or 'text')}; name the one with the texts "
            f"with --text-column: {', '.join(shorten(c) for c in table.columns[:20])}."
        )
    return Source(_name(path.name), share, lambda: _cells(table, column), _file_mark(path))


def encode(
    sources: Sequence[Source],
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    held_out: float,
    say: Say,
) -> tuple[list[Corpus], list[Corpus]]:
    """Return the corpora as token ids, (training, held out), written to ``folder`` the first time.

    Which documents are held out is told by their text alone, so that a document that is there twice
    does not stand on both sides. Raises PlaygroundError for a corpus without text, two of one name, or
    a full disk.
    """
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise PlaygroundError(f"Two corpora are named {shorten(twice)}; rename one of the files.")
    vocabulary = hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode())
    try:
        for source in sources:
            place = folder / source.name
            mark = f"{source.mark} {vocabulary.hexdigest()} {held_out}"
            if not _is_done(place, mark):
                _encode(source, tokenizer, place, mark, held_out, say)
    except OSError as error:
        raise PlaygroundError(
            f"The encoded texts cannot be written to {shorten(folder, 120)} "
            f"({error.strerror or 'the disk may be full'}); make room and run the same command again."
        ) from None
    found = [[_load(folder / source.name, part, source) for source in sources] for part in _PARTS]
    for corpus in found[0]:
        if not len(corpus.tokens):
            raise PlaygroundError(f"The corpus {shorten(corpus.name)} has no text to train on.")
    return found[0], found[1]


def _encode(
    source: Source,
    tokenizer: PreTrainedTokenizerBase,
    place: Path,
    mark: str,
    share: float,
    say: Say,
) -> None:
    """Write a corpus; the note comes last, so half a corpus is never read."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    kind = _kind(len(tokenizer))
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    ends: dict[str, list[int]] = {part: [] for part in _PARTS}
    sizes = dict.fromkeys(_PARTS, 0)
    documents = source.documents()
    files = {part: (place / f"{part}.bin").open("wb") for part in _PARTS}
    try:
        while batch := list(islice(documents, _BATCH)):
            found = backend.encode_batch_fast(batch, add_special_tokens=False)
            for text, row in zip(batch, found, strict=True):
                if not row.ids:
                    continue
                part = _PARTS[_bucket(text) < share * _BUCKETS]
                files[part].write(np.array(row.ids, kind).tobytes())
                sizes[part] += len(row.ids)
                ends[part].append(sizes[part])
    finally:
        for file in files.values():
            file.close()
    for part in _PARTS:
        np.save(place / f"{part}.ends.npy", np.array(ends[part], np.int64))
    note = {"mark": mark, "dtype": kind.__name__, "tokens": sizes}
    (place / "note.json").write_text(json.dumps(note), encoding="utf-8")
    say(
        f"{source.name}: {len(ends['train']):,} documents, {sizes['train']:,} tokens; "
        f"{sizes['held_out']:,} tokens held out."
    )


def _load(place: Path, part: str, source: Source) -> Corpus:
    kind = np.dtype(_note(place)["dtype"])
    file = place / f"{part}.bin"
    tokens = np.memmap(file, kind, "r") if file.stat().st_size else np.zeros(0, kind)
    ends = np.load(place / f"{part}.ends.npy", allow_pickle=False)
    return Corpus(source.name, tokens, ends, source.share)


def _is_done(place: Path, mark: str) -> bool:
    return _note(place).get("mark") == mark


def _note(place: Path) -> dict:
    try:
        found = json.loads((place / "note.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _kind(size: int) -> type:
    return np.uint16 if size <= 2**16 else np.uint32


def _bucket(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "replace")) % _BUCKETS


def _cells(table: object, column: str | None) -> Iterator[str]:
    for record in table.records():  # type: ignore[attr-defined]
        text = str(record.values.get(column or "text") or "").strip() if record.values else ""
        if text:
            yield " ".join(text.split())


def _split_share(spec: str) -> tuple[str, float]:
    place, sign, share = spec.rpartition("=")
    if not sign:
        return spec, 1.0
    try:
        value = float(share)
    except ValueError:
        return spec, 1.0
    if not 0 < value < float("inf"):
        raise PlaygroundError(f"The share of {shorten(place)} is {share}; it must be above 0.")
    return place, value


def _name(place: str) -> str:
    stem = place.rpartition("/")[2]
    stem = stem[: stem.index(".")] if "." in stem[1:] else stem
    return "".join(c if c.isalnum() or c in "_-" else "_" for c in stem) or "texts"


def _file_mark(path: Path) -> str:
    state = os.stat(path)
    return f"{path.name} {state.st_size} {state.st_mtime_ns}"
