"""Texts of every kind become the same tokens, once; what is no text is told in one sentence."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from playground.errors import PlaygroundError
from playground.tasks.pretraining.corpora import encode, open_source
from tests.engine.tiny import SENTENCES, wordpiece
from tests.tasks.pretraining.toys import sentences

ROOT = Path(__file__).resolve().parents[3]
TEXTS = [*SENTENCES, *sentences(40)]


@pytest.fixture(scope="module")
def tokenizer():
    return wordpiece()


def write(path: Path, texts=TEXTS) -> str:
    """Write texts in the format of the file's name."""
    lines = "".join(f"{text}\n" for text in texts).encode()
    opened = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}.get(path.suffix, open)
    if ".jsonl" in path.suffixes:
        lines = "".join(json.dumps({"id": 1, "text": text}) + "\n" for text in texts).encode()
    elif ".parquet" in path.suffixes:
        pd.DataFrame({"text": texts}).to_parquet(path)
        return str(path)
    elif ".csv" in path.suffixes:
        lines = pd.DataFrame({"id": 1, "text": texts}).to_csv(index=False).encode()
    with opened(path, "wb") as file:
        file.write(lines)
    return str(path)


def documents(spec, **options) -> list[str | None]:
    return list(open_source(str(spec), **options).documents())


def encoded(specs, tokenizer, folder, held_out=0.2, **options):
    """Return what encode returns, and what it said."""
    said: list[str] = []
    sources = [open_source(str(spec), **options) for spec in specs]
    train, held = encode(sources, tokenizer, folder, held_out=held_out, say=said.append)
    return train, held, said


def tokens_of(corpus) -> list[tuple[int, ...]]:
    return [tuple(corpus.document(k).tolist()) for k in range(len(corpus))]


@pytest.mark.parametrize(
    "name",
    ["a.txt", "a.txt.gz", "a.txt.bz2", "a.txt.xz", "a", "a.log", "a.jsonl", "a.jsonl.gz", "a.csv", "a.parquet"],
)  # fmt: skip
def test_texts_of_every_format_are_the_same_documents(name, tmp_path):
    found = open_source(write(tmp_path / name))
    assert (found.name, found.share) == ("a", 1.0)
    assert list(found.documents()) == TEXTS
    assert list(found.documents()) == TEXTS  # again, from the first


def test_a_folder_that_datasets_opens_is_a_data_set(tmp_path):
    folder = tmp_path / "own.set"
    (folder / "data").mkdir(parents=True)
    write(folder / "data" / "train.jsonl", TEXTS[:30])
    write(folder / "data" / "test.jsonl", TEXTS[30:])
    found = open_source(f"{folder}=0.5", split="test")
    assert (found.name, found.share) == ("own", 0.5)
    assert list(found.documents()) == TEXTS[30:]
    assert documents(folder, split="train") == TEXTS[:30]
    with pytest.raises(PlaygroundError) as told:
        open_source(str(folder))
    assert str(told.value).endswith("has several parts; choose one with --split: train, test.")
    before = open_source(str(folder), split="train").mark
    assert before != open_source(str(folder), split="test").mark
    write(folder / "data" / "train.jsonl", TEXTS[:31])
    assert open_source(str(folder), split="train").mark != before


def test_the_column_of_a_table_is_asked_for(tmp_path):
    file = tmp_path / "a.csv"
    pd.DataFrame({"id": [1, 2], "body": ["one  text", "two"]}).to_csv(file, index=False)
    assert documents(file, column="body") == ["one text", "two"]
    with pytest.raises(PlaygroundError) as told:
        open_source(str(file))
    assert str(told.value) == (
        f'The file "{file}" has no column "text"; name the one with the texts with --text-column: '
        '"id", "body".'
    )


def test_cells_that_are_no_text(tmp_path, tokenizer):
    rows = [
        '{"text": "good"}', '{"text": ["a", "list"]}', "no JSON", '{"text": null}', '{"text": " "}',
        '{"text": 7}', '{"text": "half \\ud800 a sign"}', '{"other": "column"}', "[1]",
    ]  # fmt: skip
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    assert documents(tmp_path / "a.jsonl") == ["good", None, None, "7", "half ? a sign", None]
    train, _, said = encoded([tmp_path / "a.jsonl"], tokenizer, tmp_path / "out", held_out=0)
    assert len(train[0]) == 3
    assert said[0].startswith("a: 3 documents, ")
    assert "0 tokens held out. 3 rows cannot be read and are left out." in said[0]


@pytest.mark.parametrize(
    ("name", "share", "place"),
    [("a.txt=0.25", 0.25, "a.txt"), ("a.txt=3", 3.0, "a.txt"), ("b=2", 1.0, "b=2"),
     ("b=2=0.5", 0.5, "b=2"), ("c=x.txt", 1.0, "c=x.txt"), ("a.txt", 1.0, "a.txt")],
)  # fmt: skip
def test_shares_are_told_from_names(name, share, place, tmp_path):
    write(tmp_path / place, [f"I am {place}"])
    found = open_source(str(tmp_path / name))
    assert found.share == share
    assert list(found.documents()) == [f"I am {place}"]


@pytest.mark.parametrize("share", ["0", "-1", "nan", "inf"])
def test_a_share_that_is_none_is_told(share, tmp_path):
    file = write(tmp_path / "a.txt")
    with pytest.raises(PlaygroundError) as told:
        open_source(f"{file}={share}")
    shown = file if len(file) <= 40 else f"{file[:39]}…"
    assert str(told.value) == (f'The share of "{shown}" is "{share}"; it must be a number above 0.')


@pytest.mark.parametrize("name", ["no.txt", "folder/no.txt", "no.jsonl", "no", "no.txt=0.5"])
def test_what_is_not_there_is_told(name, tmp_path):
    with pytest.raises(PlaygroundError) as told:
        open_source(str(tmp_path / name))
    shown = str(tmp_path / name.removesuffix("=0.5"))
    assert str(told.value) == f'The file "{shown}" is not there; check its name.'


def test_a_hub_id_is_taken_for_one():
    with pytest.raises(PlaygroundError) as told:
        open_source("someone/their.set-1.0=0.5")
    assert str(told.value) == (
        'The data set "someone/their.set-1.0" could not be fetched: there is no network, or no such '
        "data set."
    )


@pytest.mark.parametrize(
    ("content", "byte"),
    [(b"caf\xe9\n", "0xe9"), (b"\x89PNG\r\n\x1a\n\x00", "0x89"), ("text".encode("utf-16"), "0xff")],
)
def test_a_file_that_is_no_utf8_is_told(content, byte, tmp_path, tokenizer):
    file = tmp_path / "a.txt"
    file.write_bytes(content)
    with pytest.raises(PlaygroundError) as told:
        encoded([file], tokenizer, tmp_path / "out")
    assert str(told.value) == (
        f'The file "{file}" is not utf-8 text (byte {byte}); give its encoding, such as --encoding '
        "cp1252 or utf-16."
    )


def test_other_encodings_are_read(tmp_path):
    (tmp_path / "a.txt").write_bytes("café\nnaïve\n".encode("latin-1"))
    assert documents(tmp_path / "a.txt", encoding="latin-1") == ["café", "naïve"]
    (tmp_path / "b.txt").write_bytes("﻿first\r\nsecond\r\n".encode())
    assert documents(tmp_path / "b.txt") == ["first", "second"]


def test_a_damaged_archive_is_told(tmp_path, tokenizer):
    file = tmp_path / "a.txt.gz"
    file.write_bytes(gzip.compress(b"text\n" * 10_000)[:60])
    with pytest.raises(PlaygroundError, match="cannot be read to its end"):
        encoded([file], tokenizer, tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"\n \n\t\n\n", b"\x00\x00\n"])
def test_a_corpus_without_text_is_told(content, tmp_path, tokenizer):
    file = tmp_path / "a.txt"
    file.write_bytes(content)
    with pytest.raises(PlaygroundError, match=r'^The corpus "a" has no text to train on\.$'):
        encoded([file], tokenizer, tmp_path / "out")


def test_two_of_one_name_are_told(tmp_path, tokenizer):
    (tmp_path / "x").mkdir()
    both = [write(tmp_path / "a.txt"), write(tmp_path / "x" / "a.jsonl")]
    with pytest.raises(PlaygroundError) as told:
        encoded(both, tokenizer, tmp_path / "out")
    assert str(told.value) == 'Two corpora are named "a"; rename one of the files or folders.'


@pytest.mark.parametrize(
    ("file", "name"),
    [("my texts (1).txt", "my_texts__1_"), ("..a.txt", "_"), ("ünï.txt.gz", "ünï"), ("x" * 60, "x" * 40)],
)  # fmt: skip
def test_a_name_fits_folders_tables_and_charts(file, name, tmp_path):
    assert open_source(write(tmp_path / file)).name == name


def test_every_document_is_encoded_on_one_side(tmp_path, tokenizer):
    texts = list(dict.fromkeys(TEXTS))
    train, held, said = encoded([write(tmp_path / "a.txt", texts)], tokenizer, tmp_path / "out")
    both = [*tokens_of(train[0]), *tokens_of(held[0])]
    wanted = [tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    assert sorted(both) == sorted(wanted)
    assert 0 < len(held[0]) < len(texts) / 2
    assert train[0].tokens.dtype == np.uint16
    assert said == [
        f"a: {len(train[0])} documents, {len(train[0].tokens)} tokens; {len(held[0].tokens)} tokens "
        "held out."
    ]


def test_a_document_that_is_there_twice_is_never_on_both_sides(tmp_path, tokenizer):
    files = [write(tmp_path / "a.txt", TEXTS * 3), write(tmp_path / "b.jsonl", TEXTS[::-1])]
    train, held, _ = encoded(files, tokenizer, tmp_path / "out", held_out=0.3)
    trained = {text for corpus in train for text in tokens_of(corpus)}
    kept = {text for corpus in held for text in tokens_of(corpus)}
    assert trained
    assert kept
    assert not trained & kept


def test_the_share_held_out_is_that_asked_for(tmp_path, tokenizer):
    texts = [f"the film number {number}" for number in range(3_000)]
    _, held, _ = encoded([write(tmp_path / "a.txt", texts)], tokenizer, tmp_path / "out", 0.1)
    assert abs(len(held[0]) / 3_000 - 0.1) < 4 * (0.1 * 0.9 / 3_000) ** 0.5
    _, none, _ = encoded([tmp_path / "a.txt"], tokenizer, tmp_path / "out", 0)
    assert len(none[0]) == len(none[0].tokens) == 0


def test_what_is_encoded_is_used_again_until_something_changes(tmp_path, tokenizer):
    file = Path(write(tmp_path / "a.jsonl"))
    rows = [json.dumps({"text": text, "title": text[:9]}) for text in TEXTS]
    file.write_text("\n".join(rows))
    first, _, said = encoded([file], tokenizer, tmp_path / "out")
    assert len(said) == 1
    again, _, said = encoded([file], tokenizer, tmp_path / "out")
    assert said == []
    assert tokens_of(again[0]) == tokens_of(first[0])
    for options in ({"column": "title"}, {"encoding": "latin-1"}, {"held_out": 0.4}, {}):
        assert encoded([file], tokenizer, tmp_path / "out", **options)[2] != []
    file.write_text("\n".join(rows[:-1]))
    changed, held, said = encoded([file], tokenizer, tmp_path / "out")
    assert len(said) == 1
    assert len(changed[0]) + len(held[0]) == len(TEXTS) - 1
    cased = wordpiece()
    cased.backend_tokenizer.normalizer = None
    assert encoded([file], cased, tmp_path / "out")[2] != []


@pytest.mark.parametrize("part", ["train.bin", "held_out.bin", "note.json", "train.ends.npy"])
def test_half_a_corpus_is_encoded_again(part, tmp_path, tokenizer):
    file = write(tmp_path / "a.txt")
    first, _, _ = encoded([file], tokenizer, tmp_path / "out")
    wanted = tokens_of(first[0])
    place = tmp_path / "out" / "a" / part
    place.write_bytes(place.read_bytes()[:-2])
    again, _, said = encoded([file], tokenizer, tmp_path / "out")
    assert len(said) == 1
    assert tokens_of(again[0]) == wanted


def test_the_digest_of_the_tokens_is_noted_and_part_of_the_mark(tmp_path, tokenizer):
    file = Path(write(tmp_path / "a.txt"))
    train, held, _ = encoded([file], tokenizer, tmp_path / "out")
    note = json.loads((tmp_path / "out" / "a" / "note.json").read_text())
    for part, (corpus,) in (("train", train), ("held_out", held)):
        data = (tmp_path / "out" / "a" / f"{part}.bin").read_bytes()
        assert corpus.digest == note["sha256"][part] == hashlib.sha256(data).hexdigest()
        assert corpus.mark() == replace(corpus, digest=None).mark()
        assert corpus.mark() != replace(corpus, digest="0" * 64).mark()


def test_what_an_older_version_encoded_is_encoded_again(tmp_path, tokenizer):
    file = write(tmp_path / "a.txt")
    first, _, _ = encoded([file], tokenizer, tmp_path / "out")
    place = tmp_path / "out" / "a" / "note.json"
    note = json.loads(place.read_text())
    del note["sha256"]
    place.write_text(json.dumps(note))
    again, _, said = encoded([file], tokenizer, tmp_path / "out")
    assert len(said) == 1
    assert again[0].digest == first[0].digest


def test_a_huge_line_is_one_document(tmp_path, tokenizer):
    rng = np.random.default_rng(0)
    words = [word for text in SENTENCES for word in text.split()]
    line = " ".join(words[k] for k in rng.integers(0, len(words), 260_000))
    assert len(line) > 1_100_000
    train, _, _ = encoded([write(tmp_path / "a.txt", [line])], tokenizer, tmp_path / "out", 0)
    assert len(train[0]) == 1
    wanted = tokenizer.backend_tokenizer.encode(line, add_special_tokens=False).ids
    np.testing.assert_array_equal(train[0].tokens, wanted)


def test_a_huge_line_without_a_space_is_cut_where_it_must_be(tmp_path, tokenizer):
    train, _, _ = encoded(
        [write(tmp_path / "a.txt", ["." * 1_050_000])], tokenizer, tmp_path / "o", 0
    )
    assert len(train[0]) == 1
    dot = tokenizer.convert_tokens_to_ids(".")
    assert (train[0].tokens == dot).all()
    assert len(train[0].tokens) == 1_050_000


def test_texts_of_another_script_are_told(tmp_path, tokenizer):
    texts = [*SENTENCES, *["漢字 仮名 交じり"] * 20]
    _, _, said = encoded([write(tmp_path / "a.txt", texts)], tokenizer, tmp_path / "out", 0)
    assert said[0].endswith("% of the tokens are unknown.")


FULL = """
import resource, sys
from playground.tasks.pretraining.corpora import encode, open_source
from tests.engine.tiny import wordpiece
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from playground.errors import PlaygroundError
from pathlib import Path
try:
    encode([open_source(sys.argv[1])], wordpiece(), Path(sys.argv[2]), held_out=0.1, say=print)
except PlaygroundError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_disk_that_takes_no_more_is_told_and_half_a_corpus_removed(tmp_path, tokenizer):
    file = write(tmp_path / "a.txt", TEXTS * 100)
    (tmp_path / "out" / "other").mkdir(parents=True)
    (tmp_path / "out" / "other" / "kept").write_text("kept")
    run = subprocess.run(
        [sys.executable, "-c", FULL, file, str(tmp_path / "out")],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert run.stderr == ""
    assert run.stdout.lstrip("\n") == (
        f'The encoded texts cannot be written to "{tmp_path / "out"}" (File too large); make room and '
        "run the same command again.\n"
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["other"]
    train, _, said = encoded([file], tokenizer, tmp_path / "out")
    assert len(said) == 1
    assert len(train[0])


def test_what_lies_on_disk_is_plain(tmp_path, tokenizer):
    train, _, _ = encoded([write(tmp_path / "a.txt")], tokenizer, tmp_path / "out")
    place = tmp_path / "out" / "a"
    assert sorted(path.name for path in place.iterdir()) == [
        "held_out.bin", "held_out.ends.npy", "note.json", "train.bin", "train.ends.npy",
    ]  # fmt: skip
    raw = np.fromfile(place / "train.bin", np.uint16)
    np.testing.assert_array_equal(raw, train[0].tokens)
    ends = np.load(place / "train.ends.npy", allow_pickle=False)
    np.testing.assert_array_equal(ends, train[0].ends)
    assert ends[-1] == len(raw)
