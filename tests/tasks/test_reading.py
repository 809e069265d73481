"""Tables in every format: right values, right columns, or one clear sentence."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma

import datasets
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.errors import PlaygroundError
from playground.prompts import Template
from playground.tasks.reading import (
    Record,
    column_map,
    format_of,
    read_dataset,
    read_file,
    read_stream,
)
from playground.tasks.text_rows import free_name, parse_lines

ROWS = [
    {"text": "good, nice; film", "n": "007"},
    {"text": "N/A", "n": ""},
    {"text": "café\nbar", "n": "-1"},
]
CSV = 'text,n\n"good, nice; film",007\nN/A,\n"café\nbar",-1\n'
JSONL = '{"text": "good, nice; film", "n": "007"}\n\n{"text": "N/A", "n": ""}\n{"text": "café\\nbar", "n": "-1"}\n'
TSV = 'text\tn\ngood, nice; film\t007\nN/A\t\n"café\nbar"\t-1\n'


def write(path, data: str | bytes):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return str(path)


def values(table) -> list[dict]:
    return [record.values for record in table.records()]


def errors(table) -> list[str | None]:
    return [record.error for record in table.records()]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", CSV),
        ("bom.csv", "\ufeff" + CSV),
        ("dos.CSV", CSV.replace("\n", "\r\n")),
        ("semicolon.csv", 'text;n\n"good, nice; film";007\nN/A;\n"café\nbar";-1\n'),
        ("tabs.csv", TSV),
        ("a.tsv", TSV),
        ("a.jsonl", JSONL),
        ("bom.ndjson", "\ufeff" + JSONL),
        ("a.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("a.jsonl.bz2", bz2.compress(JSONL.encode())),
        ("a.tsv.xz", lzma.compress(TSV.encode())),
        ("a [1]*?.csv", CSV),
        ("sp ace é#%20.csv", CSV),
    ],
)
def test_a_file_of_each_kind_reads_the_same(tmp_path, name, data):
    table = read_file(write(tmp_path / name, data))
    assert table.columns == ("text", "n")
    assert values(table) == ROWS
    assert values(table) == ROWS, "a file can be read again"


def test_a_parquet_file_keeps_its_types(tmp_path):
    rows = [{"text": "good", "n": 1, "list": [1, 2]}, {"text": None, "n": 2, "list": []}]
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    table = read_file(str(tmp_path / "a.parquet"))
    assert (table.columns, values(table)) == (("text", "n", "list"), rows)


@pytest.mark.parametrize(("format", "data"), [("csv", CSV), ("tsv", TSV), ("jsonl", JSONL)])
def test_standard_input_reads_like_a_file_but_once(format, data):
    table = read_stream(io.BytesIO(data.encode()), format=format)
    assert values(table) == ROWS
    with pytest.raises(PlaygroundError, match=r"^Standard input cannot be read twice; use --fresh"):
        table.records()


@pytest.mark.parametrize("format", [None, "parquet"])
def test_standard_input_needs_a_text_format(format):
    with pytest.raises(
        PlaygroundError, match=r"^Standard input can be csv, tsv or jsonl; say which"
    ):
        read_stream(io.BytesIO(b"text\na\n"), format=format)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_another_encoding_is_read_when_named(tmp_path, encoding):
    path = write(tmp_path / "a.csv", CSV.encode(encoding))
    assert values(read_file(path, encoding=encoding)) == ROWS
    assert (
        values(read_stream(io.BytesIO(CSV.encode(encoding)), format="csv", encoding=encoding))
        == ROWS
    )


def test_a_format_that_is_named_beats_the_suffix(tmp_path):
    assert values(read_file(write(tmp_path / "a.txt", JSONL), format="jsonl")) == ROWS


def test_one_bad_line_of_csv_costs_one_row(tmp_path):
    lines = ["text,n", "a,1", "b, c,2", "d", "", "e,3"]
    table = read_file(write(tmp_path / "a.csv", "\n".join(lines)))
    assert values(table) == [
        {"text": "a", "n": "1"},
        {"text": "b", "n": " c"},
        {"text": "d", "n": ""},
        {"text": "e", "n": "3"},
    ]
    assert errors(table) == [
        None,
        "Line 3 has 3 cells and the header has 2; quote text that holds a delimiter or a quote.",
        "Line 4 has 1 cell and the header has 2; quote text that holds a delimiter or a quote.",
        None,
    ]


def test_a_cell_without_an_end_costs_one_row_and_no_memory(tmp_path):
    path = write(tmp_path / "a.csv", 'text\n"' + "x" * 200_000 + "\ny\n")
    assert errors(read_file(path)) == ["Line 2: a cell has more than 131,072 characters.", None]


def test_one_bad_line_of_json_costs_one_row(tmp_path):
    lines = ['{"text": "a"}', "no json", "[1]", '{"other": 1}', "[" * 100_000]
    table = read_file(write(tmp_path / "a.jsonl", "\n".join(lines)))
    assert values(table) == [{"text": "a"}, {}, {}, {"other": 1}, {}]
    assert errors(table)[:4] == [
        None,
        'Line 2 is not JSON: "no json".',
        'Line 3 is not a JSON object: "[1]".',
        None,
    ]


def test_a_bad_first_line_of_json_costs_one_row(tmp_path):
    table = read_file(write(tmp_path / "a.jsonl", 'oops\n{"text": "a"}\n'))
    assert (table.columns, values(table)) == (("text",), [{}, {"text": "a"}])


def test_columns_of_one_name_are_told_apart(tmp_path):
    table = read_file(write(tmp_path / "a.csv", "text,text, text ,,\na,b,c,d,e\n"))
    assert table.columns == ("text", "text_2", "text_3", "", "_2")
    assert values(table)[0]["text_3"] == "c"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", "", r'^The file ".*a\.csv" is empty; there is nothing to score\.$'),
        ("b.csv", "text,n\n", r'^The file ".*b\.csv" has no rows; there is nothing to score\.$'),
        ("c.csv", "\n\n", r'^The file ".*c\.csv" has no rows; there is nothing to score\.$'),
        ("d.jsonl", "\n", r'^The file ".*d\.jsonl" has no rows; there is nothing to score\.$'),
        ("e.jsonl", "text\na", r'^The file ".*e\.jsonl" cannot be read\. Line 1 is not JSON: "text"\.$'),
        ("f.jsonl", "{}\n", r'^The file ".*f\.jsonl" cannot be read\. It has no columns\.$'),
        ("g.csv", b"text\ncaf\xe9\n", r"is not utf-8 text \(byte 0xe9\); give its encoding, such as --encoding"),
        ("h.csv", CSV.encode("utf-16"), r"is not utf-8 text \(byte 0xff\); give its encoding"),
        ("i.csv.gz", b"text\na\n", r"cannot be read to its end \(it is damaged, cut short, or out of reach\)"),
        ("j.csv.gz", gzip.compress(CSV.encode(), mtime=0)[:-9], r"cannot be read to its end"),
        ("k.parquet", b"text", r"cannot be read: it is damaged, empty, or of another format"),
        ("l.xlsx", b"PK", r"has none of the suffixes \.csv, \.tsv, \.jsonl and \.parquet; say what it is"),
        ("m::n.csv", CSV, r"cannot be opened by datasets; give it a name without colons\.$"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_says_why(tmp_path, name, data, message):
    with pytest.raises(PlaygroundError, match=message):
        read_file(write(tmp_path / name, data))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(
        PlaygroundError, match=r'^The file "no\.csv" is not there; check its name\.$'
    ):
        read_file("no.csv")
    with pytest.raises(PlaygroundError, match=r"is a folder; give a file, or --dataset"):
        read_file(str(tmp_path))


def test_an_unknown_encoding(tmp_path):
    message = r'^The encoding "klingon" is unknown; try utf-8, cp1252 or utf-16\.$'
    with pytest.raises(PlaygroundError, match=message):
        read_file(write(tmp_path / "a.csv", CSV), encoding="klingon")


def test_a_data_set_is_streamed_by_split(tmp_path, monkeypatch):
    (tmp_path / "mini").mkdir()
    for split in ("train", "test"):
        write(tmp_path / "mini" / f"{split}.jsonl", f'{{"text": "{split}"}}\n')
    monkeypatch.chdir(tmp_path)
    assert values(read_dataset("mini", split="test")) == [{"text": "test"}]
    with pytest.raises(
        PlaygroundError, match=r'^The data set "mini" has no split "dev"; choose one'
    ):
        read_dataset("mini", split="dev")
    with pytest.raises(
        PlaygroundError, match=r"has several parts; choose one with --split: train, test"
    ):
        read_dataset("mini")


def test_a_data_set_out_of_reach_is_told_in_one_sentence(monkeypatch):
    message = (
        r'^The data set "stanfordnlp/snli" could not be fetched: there is no network, or no such'
    )
    with pytest.raises(PlaygroundError, match=message):
        read_dataset("stanfordnlp/snli", split="validation")


@given(st.lists(st.lists(st.text(st.characters(exclude_characters="\r")), min_size=3, max_size=3)))
def test_what_the_csv_module_writes_is_read_back(rows):
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows([["a", "b", "c"], *rows])
    found = list(parse_lines(io.StringIO(stream.getvalue(), newline="\n"), "csv"))
    assert found == [Record(dict(zip("abc", row, strict=True))) for row in rows]


@pytest.mark.parametrize(
    ("name", "format"),
    [("a.csv", "csv"), ("a.TSV.gz", "tsv"), ("x.y.jsonl", "jsonl"), ("a.pq", "parquet"), ("a.gz", None), ("a", None)],
)  # fmt: skip
def test_format_of(name, format):
    assert format_of(name) == format


def test_free_name():
    assert free_name("a", []) == "a"
    assert free_name("a", ["a", "a_2"]) == "a_3"


@pytest.mark.parametrize(
    ("template", "given", "found"),
    [
        ("{text} {mask}", {}, {"text": "text"}),
        ("{text} {mask}", {"text_column": "body"}, {"text": "body"}),
        ("{span} {mask}", {"text_column": "body"}, {"span": "body"}),
        ("{text_a} {text_b} {mask}", {"columns": {"text_b": "body"}}, {"text_a": "text_a", "text_b": "body"}),
    ],
)  # fmt: skip
def test_column_map(template, given, found):
    assert column_map(Template(template), ("text", "body", "text_a"), **given) == found


@pytest.mark.parametrize(
    ("template", "given", "message"),
    [
        ("{text} {mask}", {"text_column": "nope"},
         r'^There is no column "nope"; the columns are "a", "b"\. Name the one that fills \{text\} with --text-column COLUMN\.$'),
        ("{premise} {hypothesis} {mask}", {"columns": {"premise": "a"}},
         r'^There is no column "hypothesis"; the columns are "a", "b"\. Name .* with --columns hypothesis=COLUMN\.$'),
        ("{premise} {hypothesis} {mask}", {"text_column": "a"},
         r'^The template takes "premise", "hypothesis"; name their columns with --columns premise=COLUMN hypothesis=COLUMN\.$'),
        ("{text} {mask}", {"columns": {"body": "a"}},
         r'^The template has no slot "body"; it takes "text"\.$'),
        ("It was {mask}.", {}, r'^The template "It was \{mask\}\." takes no text; put \{text\} where'),
    ],
)  # fmt: skip
def test_a_column_that_is_not_there(template, given, message):
    with pytest.raises(PlaygroundError, match=message):
        column_map(Template(template), ("a", "b"), **given)


def test_a_data_set_names_its_classes_and_lists_of_them(tmp_path):
    rows = {"tokens": [["a", "b"]], "ner_tags": [[0, 1]], "label": [1]}
    kinds = {
        "tokens": datasets.List(datasets.Value("string")),
        "ner_tags": datasets.List(datasets.ClassLabel(names=["O", "B-X"])),
        "label": datasets.ClassLabel(names=["no", "yes"]),
    }
    (tmp_path / "mini").mkdir()
    made = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
    made.to_parquet(tmp_path / "mini" / "train.parquet")
    table = read_dataset(str(tmp_path / "mini"), split="train")
    assert table.label_names == {"ner_tags": ["O", "B-X"], "label": ["no", "yes"]}
    assert values(table) == [{"tokens": ["a", "b"], "ner_tags": [0, 1], "label": 1}]
