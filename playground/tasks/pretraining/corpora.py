"""Texts to pretrain on: read line by line, encoded once, kept on disk as plain arrays of token ids."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from playground.errors import PlaygroundError, shorten
from playground.tasks.pretraining.blocks import Corpus
from playground.tasks.reading import Table, format_of, read_dataset, read_file, read_text

Say = Callable[[str], None]

_AT_ONCE = (2_000, 1_000_000)  # documents and characters that the tokenizer gets
_PARTS = ("train", "held_out")
_BUCKETS = 100_000
_LONGEST_NAME = 40
_FILES = (".txt", ".gz", ".bz2", ".xz")  # suffixes by which a file that is not there is told


@dataclass(frozen=True)
class Source:
    """A corpus to read: its name, its share of the training, and how its documents are opened.

    documents: opens them from the first; a row that cannot be read comes as None. mark: tells whether
    what was encoded before is still the same.
    """

    name: str
    share: float
    documents: Callable[[], Iterator[str | None]]
    mark: str


def open_source(
    spec: str,
    *,
    column: str | None = None,
    split: str | None = None,
    config: str | None = None,
    encoding: str = "utf-8",
) -> Source:
    """Return the corpus of ``PLACE`` or ``PLACE=SHARE``: a file of texts or tables, or a data set.

    A text file has a document a line (.txt, or any suffix that is no table's; .gz, .bz2 and .xz open). A
    data set is one of the hub, or a folder that ``datasets`` opens. Of a table the column "text" is read
    unless ``column`` says otherwise. Raises PlaygroundError for what cannot be read.
    """
    place, share = _split_share(spec)
    path = Path(place).expanduser()
    name = _name(path.name)
    if path.is_dir() or _is_hub_id(place, path):
        table = read_dataset(str(path), split=split, config=config)
        mark = json.dumps([place, split, config, column, _folder_mark(path)])
        return Source(name, share, _texts_of(table, column), mark)
    if path.is_file() and format_of(path) is None:
        documents = read_text(place, encoding=encoding)
        return Source(name, share, documents, json.dumps([_file_mark(path), encoding]))
    table = read_file(place, encoding=encoding)
    mark = json.dumps([_file_mark(path), encoding, column])
    return Source(name, share, _texts_of(table, column), mark)


def _vocabulary_mark(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a digest of a tokenizer's pieces and of how it splits and cleans texts."""
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()


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
        raise PlaygroundError(
            f"Two corpora are named {shorten(twice)}; rename one of the files or folders."
        )
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    vocabulary = _vocabulary_mark(tokenizer)
    for source in sources:
        place = folder / source.name
        mark = f"{source.mark} {vocabulary} {held_out}"
        try:
            if not _is_done(place, mark):
                _encode(source, tokenizer, place, mark, held_out, say)
        except OSError as error:
            shutil.rmtree(place, ignore_errors=True)  # half a corpus is of no use
            raise PlaygroundError(
                f"The encoded texts cannot be written to {shorten(folder, 120)} "
                f"({error.strerror or 'the disk may be full'}); make room and run the same command "
                "again."
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
    kind = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
    backend = tokenizer.backend_tokenizer
    ends = {part: array("q") for part in _PARTS}
    sizes = dict.fromkeys(_PARTS, 0)
    digests = {part: hashlib.sha256() for part in _PARTS}
    lost, unknown = 0, 0
    files = {part: (place / f"{part}.bin").open("wb") for part in _PARTS}
    try:
        for batch in _batches(source.documents(), share):
            found = backend.encode_batch_fast([one.text for one in batch], add_special_tokens=False)
            for one, row in zip(batch, found, strict=True):
                lost += one.lost
                ids = np.array(row.ids, kind)
                unknown += int((ids == tokenizer.unk_token_id).sum())
                files[one.part].write(ids.tobytes())
                digests[one.part].update(ids)
                sizes[one.part] += len(ids)
                if one.last and sizes[one.part] > (ends[one.part][-1] if ends[one.part] else 0):
                    ends[one.part].append(sizes[one.part])
    finally:
        for file in files.values():
            file.close()
    for part in _PARTS:
        np.save(place / f"{part}.ends.npy", np.array(ends[part], np.int64))
    told = {part: digest.hexdigest() for part, digest in digests.items()}
    note = {"mark": mark, "dtype": kind.__name__, "tokens": sizes, "sha256": told}
    (place / "note.json").write_text(json.dumps(note), encoding="utf-8")
    total = sum(sizes.values())
    say(
        f"{source.name}: {len(ends['train']):,} documents, {sizes['train']:,} tokens; "
        f"{sizes['held_out']:,} tokens held out."
        + (f" {lost:,} rows cannot be read and are left out." if lost else "")
        + (f" {unknown / total:.0%} of the tokens are unknown." if unknown > 0.02 * total else "")
    )


class _Passage(NamedTuple):
    """What the tokenizer gets: a document, or a part of a long one, and which part is its last."""

    text: str
    part: str
    last: bool
    lost: bool = False


def _batches(documents: Iterable[str | None], share: float) -> Iterator[list[_Passage]]:
    """Yield passages, so many at once that memory holds them."""
    most, longest = _AT_ONCE
    batch: list[_Passage] = []
    room = longest
    for text in documents:
        for passage in _passages(text, share, longest):
            batch.append(passage)
            room -= len(passage.text)
            if len(batch) == most or room <= 0:
                yield batch
                batch, room = [], longest
    yield batch


def _passages(text: str | None, share: float, longest: int) -> Iterator[_Passage]:
    """Yield a document cut at spaces into passages of at most ``longest`` characters."""
    part = _PARTS[_bucket(text or "") < share * _BUCKETS]
    if text is None:
        yield _Passage("", part, True, True)
        return
    start = 0
    while len(text) - start > longest:
        space = text.rfind(" ", start + 1, start + longest)
        stop = space if space > 0 else start + longest
        yield _Passage(text[start:stop], part, False)
        start = stop
    yield _Passage(text[start:], part, True)


def _load(place: Path, part: str, source: Source) -> Corpus:
    note = _note(place)
    kind = np.dtype(note["dtype"])
    file = place / f"{part}.bin"
    tokens = np.memmap(file, kind, "r") if file.stat().st_size else np.zeros(0, kind)
    ends = np.load(place / f"{part}.ends.npy", allow_pickle=False)
    return Corpus(source.name, tokens, ends, source.share, note["sha256"][part])


def _is_done(place: Path, mark: str) -> bool:
    """Return whether ``place`` holds the whole corpus of that mark, and tells its tokens' digest."""
    note = _note(place)
    if note.get("mark") != mark or note.get("sha256", {}).keys() != set(_PARTS):
        return False
    width = np.dtype(note["dtype"]).itemsize
    try:
        for part, many in note["tokens"].items():
            ends = np.load(place / f"{part}.ends.npy", allow_pickle=False)
            last = ends[-1] if len(ends) else 0
            if not last == many == (place / f"{part}.bin").stat().st_size / width:
                return False
    except (OSError, ValueError):
        return False
    return True


def _note(place: Path) -> dict:
    try:
        found = json.loads((place / "note.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _bucket(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "replace")) % _BUCKETS


def _texts_of(table: Table, column: str | None) -> Callable[[], Iterator[str | None]]:
    """Return what opens the texts of a column; raises PlaygroundError for one that is not there."""
    wanted = column or "text"
    if wanted not in table.columns:
        raise PlaygroundError(
            f"{table.name} has no column {shorten(wanted)}; name the one with the texts "
            f"with --text-column: {', '.join(shorten(c) for c in table.columns[:20])}."
        )

    def texts() -> Iterator[str | None]:
        for record in table.records():
            cell = record.values.get(wanted)
            if record.error is not None or isinstance(cell, list | dict):
                yield None
            elif cell is not None and (text := " ".join(str(cell).split())):
                yield text.encode("utf-8", "replace").decode(
                    "utf-8"
                )  # JSON may hold half a character

    return texts


def _split_share(spec: str) -> tuple[str, float]:
    """Return place and share; a file whose own name ends like a share is a file."""
    place, sign, share = spec.rpartition("=")
    if not sign or Path(spec).expanduser().exists():
        return spec, 1.0
    try:
        value = float(share)
    except ValueError:
        return spec, 1.0
    if not 0 < value < float("inf"):
        raise PlaygroundError(
            f"The share of {shorten(place)} is {shorten(share)}; it must be a number above 0."
        )
    return place, value


def _is_hub_id(place: str, path: Path) -> bool:
    return (
        not path.exists()
        and place.count("/") == 1
        and not path.parent.is_dir()
        and format_of(path) is None
        and path.suffix.lower() not in _FILES
    )


def _name(file: str) -> str:
    """Return a name for folders, tables and charts: letters, digits, - and _ of a file's name."""
    stem = file[: file.index(".", 1)] if "." in file[1:] else file
    return "".join(c if c.isalnum() or c in "_-" else "_" for c in stem)[:_LONGEST_NAME] or "texts"


def _folder_mark(path: Path) -> list[str]:
    """Return the state of the files of a local data set; nothing for one of the hub."""
    return sorted(_file_mark(file) for file in path.rglob("*") if file.is_file())


def _file_mark(path: Path) -> str:
    state = os.stat(path)
    return f"{path.name} {state.st_size} {state.st_mtime_ns}"
