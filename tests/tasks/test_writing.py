"""Rows to bytes: nothing a spreadsheet would run, and every value comes back."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.errors import PlaygroundError
from playground.tasks.writing import encode, formula_read, formula_safe, header, output_format

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
FORMULAS = st.builds(lambda sign, rest: sign + rest, st.sampled_from("=+-@\t\r"), TEXTS)


def is_number(text: str) -> bool:
    return text.isascii() and text.strip() == text and "_" not in text and parses(text)


def parses(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text[-1:].isdigit() or text.endswith(".")


@given(TEXTS | FORMULAS)
def test_every_text_comes_back_from_its_safe_form(text):
    assert formula_read(formula_safe(text)) == text


@given(FORMULAS)
def test_no_safe_form_but_a_number_starts_like_a_formula(text):
    assert formula_safe(text)[0] == "'" or is_number(text)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r", "'\r"),
        ("'=1", "''=1"),
        ("'quoted'", "'quoted'"),
        ("-1", "-1"),
        ("+3.5e-2", "+3.5e-2"),
        ("-١", "'-١"),
        ("", ""),
        ("a=1", "a=1"),
    ],
)
def test_formula_safe(text, safe):
    assert formula_safe(text) == safe


@pytest.mark.parametrize("format", ["csv", "tsv"])
@given(st.lists(st.tuples(TEXTS | FORMULAS, TEXTS, TEXTS), max_size=5))
def test_csv_cells_come_back_through_the_csv_module(format, rows):
    columns = ["a", "=b", "c"]
    data = header(columns, format) + encode(
        [dict(zip(columns, row, strict=True)) for row in rows], columns, format
    )
    delimiter = "\t" if format == "tsv" else ","
    read = list(csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter))
    assert [[formula_read(cell) for cell in row] for row in read] == [columns, *map(list, rows)]


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text() | st.integers() | st.none())))
def test_json_lines_come_back_with_lone_surrogates(rows):
    data = encode(rows, ["unused"], "jsonl")
    assert [json.loads(line) for line in data.decode().split("\n")[:-1]] == rows


def test_values_of_every_kind_have_a_cell():
    row = {"a": None, "b": float("nan"), "c": [1, "é"], "d": {"k": 1}, "e": 0.1, "f": True, "g": -3}
    cells = encode([row], list(row), "csv").decode()
    assert cells == ',,"[1, ""é""]","{""k"": 1}",0.1,True,-3\n'


def test_json_lines_have_no_nan():
    assert (
        encode([{"a": float("nan"), "b": float("inf")}], [], "jsonl") == b'{"a": null, "b": null}\n'
    )


def test_json_lines_have_no_header():
    assert header(["a"], "jsonl") == b""


@pytest.mark.parametrize(
    ("name", "format"), [("a.csv", "csv"), ("b.c.TSV", "tsv"), ("x.jsonl", "jsonl"), ("x.ndjson", "jsonl")]
)  # fmt: skip
def test_output_format(name, format):
    assert output_format(name) == format


@pytest.mark.parametrize(("name", "suffix"), [("a.xlsx", ".xlsx"), ("a", ""), ("a.csv.gz", ".gz")])
def test_an_output_of_another_kind_is_refused(name, suffix):
    message = rf'^The output "{name}" ends in "{suffix}"; end it in \.csv, \.tsv or \.jsonl\.$'
    with pytest.raises(PlaygroundError, match=message):
        output_format(name)
