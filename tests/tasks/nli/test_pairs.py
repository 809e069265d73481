"""Labelled pairs from every kind of source: right labels, what is left out counted, faults told."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import datasets
import numpy as np
import pytest

from playground.errors import PlaygroundError
from playground.tasks.nli import LABELS, Pairs, read_pairs
from playground.tasks.nli.pairs import label_place

ROWS = [
    {"premise": "A man sleeps.", "hypothesis": "A man is awake.", "label": "contradiction"},
    {"premise": "Two dogs run.", "hypothesis": "Animals, running", "label": "entailment"},
    {"premise": 'He said "no".', "hypothesis": "He is old.", "label": "neutral"},
    {"premise": "Ünï 你好", "hypothesis": "x\ty", "label": "Entailment "},
]
GOLD = [2, 0, 1, 0]


def jsonl(path: Path, rows) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def delimited(path: Path, rows, delimiter: str) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def parquet(path: Path, rows, labels: list[str] | None = None) -> str:
    made = datasets.Dataset.from_list(rows)
    if labels:
        made = made.cast_column("label", datasets.ClassLabel(names=labels))
    made.to_parquet(str(path))
    return str(path)


def numbered(*numbers: object) -> list[dict]:
    """Return a row for each label, all different."""
    return [{"premise": f"p {i}", "hypothesis": "h", "label": k} for i, k in enumerate(numbers)]


def check_rows(pairs: Pairs) -> None:
    """Compare with ``ROWS``."""
    assert pairs.premises == [row["premise"] for row in ROWS]
    assert pairs.hypotheses == [row["hypothesis"] for row in ROWS]
    assert pairs.labels.tolist() == GOLD
    assert (pairs.unlabelled, pairs.faulty, pairs.problems) == (0, 0, ())


# ---- kinds of source ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.csv", "a.tsv", "a.parquet", "a.jsonl.gz", "a.csv.gz", "a.tsv.gz"]
)
def test_a_file_is_read(name, tmp_path):
    path = tmp_path / name
    make = {".jsonl": jsonl, ".parquet": parquet}.get(path.suffixes[0])
    if make:
        make(path, ROWS)
    else:
        delimited(path, ROWS, "," if path.suffixes[0] == ".csv" else "\t")
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(path.read_bytes()))
    pairs = read_pairs([str(path)])
    check_rows(pairs)
    assert pairs.sources == (str(path),)
    assert pairs.describe() == "4 pairs."
    assert pairs.counts() == {"entailment": 2, "neutral": 1, "contradiction": 1}


@pytest.fixture
def snli(tmp_path) -> str:
    """The layout of the original snli_1.0, with columns that nobody asked for."""
    folder = tmp_path / "snli_1.0"
    folder.mkdir()
    for split, extra in (("train", "- first"), ("dev", "dev"), ("test", "test")):
        rows = [
            {"annotator_labels": ["neutral"], "captionID": "1#0", "gold_label": label,
             "sentence1": f"{extra} {i}", "sentence1_parse": "(ROOT)", "sentence2": "It is so."}
            for i, label in enumerate(["neutral", "-", "contradiction", "entailment", "-"])
        ]  # fmt: skip
        jsonl(folder / f"snli_1.0_{split}.jsonl", rows)
        (folder / f"snli_1.0_{split}.txt").write_text("gold_label\n-\n")
    (folder / "README.txt").write_text("SNLI")
    return str(folder)


@pytest.mark.parametrize(
    ("split", "first"), [("train", "- first 0"), ("validation", "dev 0"), ("dev", "dev 0"), ("val", "dev 0"), ("test", "test 0")]
)  # fmt: skip
def test_the_folder_of_the_original_snli_is_read(split, first, snli):
    pairs = read_pairs([snli], split=split)
    assert pairs.premises[0] == first
    assert pairs.labels.tolist() == [1, 2, 0]
    assert (pairs.unlabelled, pairs.faulty) == (2, 0)
    assert pairs.describe() == "3 pairs, 2 without a gold label dropped."


@pytest.mark.parametrize("names", [LABELS, ("contradiction", "entailment", "neutral")])
def test_a_data_set_folder_carries_the_names_of_its_labels(names, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    rows = numbered(0, 1, -1, 2)
    for split in ("train", "validation"):
        parquet(folder / f"{split}-00000-of-00001.parquet", rows, list(names))
    pairs = read_pairs([str(folder)], split="validation")
    assert [LABELS[k] for k in pairs.labels] == list(names)
    assert (pairs.premises, pairs.unlabelled) == (["p 0", "p 1", "p 3"], 1)


def test_a_split_that_is_not_there_is_told(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    jsonl(folder / "train.jsonl", ROWS)
    with pytest.raises(
        PlaygroundError, match=r'has no split "test"; choose one with --split: train'
    ):
        read_pairs([str(folder)], split="test")


def test_several_sources_are_read_in_order(tmp_path):
    first = jsonl(tmp_path / "a.jsonl", ROWS[:2])
    second = delimited(tmp_path / "b.tsv", ROWS[2:], "\t")
    pairs = read_pairs([first, second])
    check_rows(pairs)
    assert pairs.sources == (first, second)


@pytest.mark.parametrize("drop_repeated", [True, False])
@pytest.mark.parametrize("sizes", [(1, 1), (5, 3), (6, 3), (10, 10, 10), (2, 9)])
def test_no_pair_of_several_sources_is_lost(sizes, drop_repeated, tmp_path):
    sources, expected = [], []
    for number, size in enumerate(sizes):
        rows = [
            {"premise": f"p {number} {i}", "hypothesis": "h", "label": "neutral"}
            for i in range(size)
        ]
        sources.append(jsonl(tmp_path / f"{number}.jsonl", rows))
        expected += [row["premise"] for row in rows]
    assert read_pairs(sources, drop_repeated=drop_repeated).premises == expected


# ---- labels -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "names", "place"),
    [
        ("entailment", (), 0),
        (" Neutral\n", (), 1),
        ("CONTRADICTION", (), 2),
        (0, LABELS, 0),
        ("2", LABELS, 2),
        (1, ("Contradiction", "Entailment", "Neutral"), 0),
        (0, ("neutral",), 1),
        *((value, LABELS, None) for value in (None, "", " ", "-", -1, "-1", "none", float("nan"))),
    ],
    ids=str,
)
def test_a_label_has_its_place(value, names, place):
    assert label_place(value, names) == place


UNKNOWN = (
    r'^The label "{}" is unknown; labels are entailment, neutral, contradiction, and - for none'
)


@pytest.mark.parametrize(
    ("value", "names", "message"),
    [
        ("maybe", LABELS, UNKNOWN.format("maybe")),
        ("entail", (), UNKNOWN.format("entail")),
        (3, LABELS, UNKNOWN.format("3")),
        (-2, LABELS, UNKNOWN.format("-2")),
        ("²", LABELS, UNKNOWN.format("²")),
        (1, ("entailment", "not_entailment"), UNKNOWN.format("1")),
        ("1" * 5_000, LABELS, UNKNOWN.format("1" * 39 + "…")),
        ("1" * 5_000, (), rf'^The label "{"1" * 39}…" is a number without a name; '),
        (1, (), r'^The label "1" is a number without a name; give the names in their order, as in --label'),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_label_that_is_none_is_told(value, names, message):
    with pytest.raises(PlaygroundError, match=message):
        label_place(value, names)


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_row_whose_label_has_thousands_of_digits_is_left_out(suffix, tmp_path):
    rows = "\n".join(
        f'{{"premise": "p", "hypothesis": "{k}", "label": {k}}}' for k in ("0", "1" * 5_000)
    )
    if suffix == "csv":
        rows = f"premise,hypothesis,label\np,h,0\np,i,{'1' * 5_000}\n"
    (tmp_path / f"a.{suffix}").write_text(rows)
    pairs = read_pairs([str(tmp_path / f"a.{suffix}")], label_names=LABELS)
    assert (len(pairs), pairs.faulty) == (1, 1)


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_numbers_are_named_by_the_caller(suffix, tmp_path):
    rows = numbered(0, 1, 2, -1)
    path = tmp_path / f"a.{suffix}"
    source = jsonl(path, rows) if suffix == "jsonl" else delimited(path, rows, ",")
    pairs = read_pairs([source], label_names=["contradiction", "Entailment", "neutral"])
    assert (pairs.labels.tolist(), pairs.unlabelled) == ([2, 0, 1], 1)


def test_numbers_without_names_are_refused(tmp_path):
    message = (
        r'^The file ".*a\.jsonl" has no pair that can be used\. The label "1" is a number without a name; '
        r"give the names in their order, as in --label-names entailment neutral contradiction\.$"
    )
    with pytest.raises(PlaygroundError, match=message):
        read_pairs([jsonl(tmp_path / "a.jsonl", numbered(1, 0))])


def test_an_unknown_label_name_is_refused(tmp_path):
    source = jsonl(tmp_path / "a.jsonl", numbered(1, 0))
    message = (
        r'^The label name "yes" is unknown; the names are entailment, neutral, contradiction\.$'
    )
    with pytest.raises(PlaygroundError, match=message):
        read_pairs([source], label_names=["yes", "no"])


# ---- what is left out ---------------------------------------------------------------------------


def test_faulty_rows_are_counted_and_the_first_of_them_told(tmp_path):
    lines = [json.dumps(row) for row in ROWS]
    bad = [
        "oops",
        json.dumps(ROWS[0] | {"label": "maybe"}),
        json.dumps(ROWS[0] | {"premise": " "}),
        json.dumps(ROWS[0] | {"hypothesis": 5}),
        json.dumps({"premise": "x", "label": "neutral"}),
        json.dumps(ROWS[0] | {"premise": "a" * 20_001}),
        json.dumps(ROWS[0] | {"label": "-"}),
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([lines[0], *bad, *lines[1:]]))
    pairs = read_pairs([str(path)])
    assert pairs.labels.tolist() == GOLD
    assert (pairs.unlabelled, pairs.faulty) == (1, 6)
    assert pairs.problems == (
        f'The file "{path}", row 2: Line 2 is not JSON: "oops".',
        f'The file "{path}", row 3: The label "maybe" is unknown; labels are entailment, neutral, contradiction, and - for none.',
        f'The file "{path}", row 4: The premise is empty; write a sentence.',
        f'The file "{path}", row 5: hypothesis is "5" (int); it must be text.',
        f'The file "{path}", row 6: hypothesis is "None" (NoneType); it must be text.',
    )  # fmt: skip
    assert pairs.describe() == (
        f"4 pairs, 1 without a gold label dropped, 6 faulty rows left out ({'; '.join(pairs.problems)})."
    )


@pytest.mark.parametrize("drop_repeated", [True, False])
def test_repeated_pairs_are_dropped_if_asked(drop_repeated, tmp_path):
    source = jsonl(tmp_path / "a.jsonl", [*ROWS, ROWS[0], ROWS[1] | {"label": "neutral"}])
    pairs = read_pairs([source, source], drop_repeated=drop_repeated)
    once = [*GOLD, 2, 1]
    assert pairs.labels.tolist() == (GOLD if drop_repeated else once * 2)  # the first label counts


def test_the_limit_counts_pairs_of_each_source(tmp_path):
    rows = numbered("-", "neutral", "maybe", "neutral", "neutral", "entailment")
    first = jsonl(tmp_path / "a.jsonl", rows)
    second = jsonl(tmp_path / "b.jsonl", ROWS)
    pairs = read_pairs([first, second], limit=2)
    assert pairs.premises == ["p 1", "p 3", *(row["premise"] for row in ROWS[:2])]
    assert (pairs.unlabelled, pairs.faulty) == (1, 1)
    assert len(read_pairs([first], limit=100)) == 4


def test_counts_are_in_the_order_of_the_labels():
    pairs = Pairs(["a"] * 3, ["b"] * 3, np.array([2, 2, 0]))
    assert list(pairs.counts().items()) == [("entailment", 1), ("neutral", 0), ("contradiction", 2)]


# ---- sources that are refused -------------------------------------------------------------------


def test_columns_are_named_by_the_caller(tmp_path):
    rows = [{"a": row["premise"], "b": row["hypothesis"], "label": "x", "c": row["label"]} for row in ROWS]  # fmt: skip
    source = jsonl(tmp_path / "a.jsonl", rows)
    check_rows(read_pairs([source], columns={"premise": "a", "hypothesis": "b", "label": "c"}))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, r'^The file ".*" has no column "label or gold_label"; its columns are "premise", "hypothesis", "answer"\. Name the one that holds the label with --columns label=COLUMN\.$'),
        ({"label": "gold"}, r'has no column "gold"; its columns are .* with --columns label=COLUMN\.$'),
        ({"label": "answer", "premise": "sentence1"}, r'has no column "sentence1"; .* --columns premise='),
        ({"text": "premise"}, r'^A pair has no "text"; it has premise, hypothesis, label\.$'),
    ],
)  # fmt: skip
def test_a_missing_column_is_named(columns, message, tmp_path):
    rows = [{"premise": "a", "hypothesis": "b", "answer": "neutral"}]
    with pytest.raises(PlaygroundError, match=message):
        read_pairs([jsonl(tmp_path / "a.jsonl", rows)], columns=columns)


def test_a_source_without_a_usable_pair_is_refused(tmp_path):
    good = jsonl(tmp_path / "good.jsonl", ROWS)
    unlabelled = jsonl(tmp_path / "unlabelled.jsonl", numbered("-", -1, None))
    message = (
        r'^The file ".*unlabelled\.jsonl" has no pair with a gold label; give labelled pairs\.$'
    )
    with pytest.raises(PlaygroundError, match=message):
        read_pairs([good, unlabelled])
    faulty = jsonl(tmp_path / "faulty.jsonl", numbered("-", "maybe"))
    with pytest.raises(
        PlaygroundError, match=r"^The file .* has no pair that can be used\. The label"
    ):
        read_pairs([good, faulty])


def test_a_source_that_only_repeats_another_is_no_error(tmp_path):
    source = jsonl(tmp_path / "a.jsonl", ROWS)
    again = jsonl(tmp_path / "b.jsonl", [*ROWS[:1], *numbered("-")])
    assert len(read_pairs([source, again])) == len(ROWS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", r"^The file .* is empty; there is nothing to score\.$"),
        ("a.csv", b"premise,hypothesis,label\n", r"^The file .* has no rows; there is nothing to score"),
        ("a.jsonl", b"oops\n", r'^The file .* cannot be read\. Line 1 is not JSON: "oops"\.$'),
        ("a.parquet", b"oops", r"^The file .* cannot be read: it is damaged, empty, or of another form"),
        ("a.jsonl.gz", b"oops", r"^The file .* cannot be read"),
        ("a.csv", b"premise,hypothesis,label\n\xff,x,neutral\n", r"^The file .* is not utf-8 text"),
        ("a.txt", b"premise\n", r"^The file .* has none of the suffixes \.csv, \.tsv, \.jsonl and \.parq"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_refused(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PlaygroundError, match=message):
        read_pairs([str(tmp_path / name)])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no.jsonl", r'^The file "no\.jsonl" is not there; check its name\.$'),
        (
            "someone/pairs",
            r'^The data set "someone/pairs" could not be fetched: there is no network, or',
        ),
    ],
)
def test_a_source_that_is_not_there_is_refused(source, message):
    with pytest.raises(PlaygroundError, match=message):
        read_pairs([source])


def test_no_source_is_refused():
    with pytest.raises(
        PlaygroundError, match=r"^There is no pair; name a file or a data set with l"
    ):
        read_pairs([])
