"""Broken and hostile tables: good rows are still read, bad ones are told with their row, none crashes."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc

import pandas as pd
import pytest

from playground import Prompt
from playground.app.opened_files import MOST_BYTES, open_table
from playground.errors import PlaygroundError
from playground.tasks.evaluation import LabelledRows, read_labelled
from playground.tasks.reading import read_file

GOOD = "text,label\nI love it.,positive\nI hate it.,negative\n"
MOST = 5_000


@pytest.fixture(scope="module")
def prompt() -> Prompt:
    return Prompt.load("sentiment")


def by_command(prompt, tmp_path, name: str, data: bytes, **options) -> LabelledRows:
    path = tmp_path / name
    path.write_bytes(data)
    return read_labelled(read_file(str(path), **options), prompt)


def by_page(prompt, data: bytes) -> LabelledRows:
    """Read it as the page does: the browser has decoded it, with U+FFFD for what is not UTF-8."""
    table, rows = open_table(data.decode("utf-8", "replace"), MOST, "playground eval")
    found = read_labelled(table, prompt)
    assert rows == len(found) + found.faulty
    return found


def texts(found: LabelledRows) -> list[str]:
    return [row["text"] for row in found.rows]


def csv(*lines: str) -> bytes:
    return "\n".join(["text,label", *lines, ""]).encode()


def jsonl(*lines: object) -> bytes:
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


NEVER = "The label {} is none of the prompt's (positive, negative); say which of them it is, as in {}=positive, or take a prompt for it."


@pytest.mark.parametrize(
    ("name", "data", "good", "faulty", "problems"),
    [
        ("bom.csv", b"\xef\xbb\xbf" + GOOD.encode(), ["I love it.", "I hate it."], 0, []),
        ("bom.jsonl", b"\xef\xbb\xbf" + jsonl({"text": "a", "label": "positive"}), ["a"], 0, []),
        ("old-mac.csv", GOOD.replace("\n", "\r").encode(), ["I love it.", "I hate it."], 0, []),
        (
            "semicolon.csv",
            b'text;label\n"I, love; it";positive\nI, love; it;positive\n',
            ["I, love; it"], 1,
            ["row 2: Line 3 has 3 cells and the header has 2; quote text that holds a delimiter or a quote."],
        ),
        (
            "ragged.csv",
            csv("a", "b,positive,x,y", "c,positive"),
            ["c"], 2,
            [
                "row 1: Line 2 has 1 cell and the header has 2; quote text that holds a delimiter or a quote.",
                "row 2: Line 3 has 4 cells and the header has 2; quote text that holds a delimiter or a quote.",
            ],
        ),
        (
            "never-seen.csv",
            csv("a,positive", *["b,neutral"] * 1000, "c,other", "d,negative"),
            ["a", "d"], 1001,
            [
                f"row 2: {NEVER.format(chr(34) + 'neutral' + chr(34), 'neutral')}",
                f"row 1002: {NEVER.format(chr(34) + 'other' + chr(34), 'other')}",
            ],
        ),
        ("blank-rows.csv", csv("", "a,positive", "", "b,", "c,  "), ["a"], 2, ["row 2: The row has no label."]),
        (
            "no-end-of-quote.csv",
            csv("a,positive", '"b,positive', "c,negative", "d,negative"),
            ["a", "c", "d"], 1,
            ["row 2: Line 3: a quote is opened and never closed; quotes in a text are doubled."],
        ),
        (
            "two-lines.csv",
            csv('"a\nb",positive', '"c,positive', "d,negative"),
            ["a\nb", "d"], 1,
            ["row 2: Line 4: a quote is opened and never closed; quotes in a text are doubled."],
        ),
        (
            "large-cell.csv",
            csv("x" * (1 << 20) + ",positive", "b,positive"),
            ["b"], 1,
            ["row 1: Line 2: a cell has more than 131,072 characters."],
        ),
        ("large-cell.jsonl", jsonl({"text": "x" * (1 << 20), "label": "positive"}), ["x" * (1 << 20)], 0, []),
        (
            "nested.jsonl",
            jsonl(
                {"text": ["a"], "label": "positive"}, {"text": "b", "label": ["positive"]}, [1], "x",
                {"text": "c", "label": "positive", "more": {"a": [1]}},
            ),
            ["c"], 4,
            [
                "row 1: text is \"['a']\" (list); it must be text.",
                "row 2: The label \"['positive']\" is a list; it must be a text or a number.",
                'row 3: Line 3 is not a JSON object: "[1]".',
                'row 4: Line 4 is not a JSON object: ""x"".',
            ],
        ),
        (
            "numbers.jsonl",
            b'{"text": "a", "label": 1.0}\n{"text": "b", "label": NaN}\n{"text": "c", "label": true}\n'
            b'{"text": "d"}\n{"text": "e", "label": "POSITIVE "}\n',
            ["e"], 4,
            [
                f"row 1: {NEVER.format(chr(34) + '1' + chr(34), '1')}",
                "row 2: The row has no label.",
                f"row 3: {NEVER.format(chr(34) + 'True' + chr(34), 'True')}",
            ],
        ),
        ("zero-byte.jsonl", jsonl({"text": "a\0b", "label": "positive"}), ["a\0b"], 0, []),
    ],
)  # fmt: skip
def test_good_rows_are_read_and_bad_ones_are_told(
    prompt, tmp_path, name, data, good, faulty, problems
):
    for found in (by_command(prompt, tmp_path, name, data), by_page(prompt, data)):
        assert (texts(found), found.faulty, list(found.problems)) == (good, faulty, problems)


@pytest.mark.parametrize(
    ("name", "data", "told", "told_by_page"),
    [
        (
            "utf16.csv", GOOD.encode("utf-16"),
            r"is not utf-8 text \(byte 0xff\); give its encoding, such as --encoding cp1252 or utf-16\.$",
            r"^The file is not text; save the table as CSV in UTF-8\.$",
        ),
        (
            "utf16-without-a-mark.csv", GOOD.encode("utf-16-le"),
            r"^The first line holds zero bytes: this is no text, or text of another encoding such as UTF-16",
            r"^The file is not text; save",
        ),
        (
            "latin.csv", GOOD.replace("love", "aimé").encode("latin-1"),
            r"is not utf-8 text \(byte 0xe9\); give its encoding",
            r"^The file is not UTF-8 text; save the table as CSV in UTF-8\.$",
        ),
        ("compressed.csv", gzip.compress(GOOD.encode(), mtime=0), r"is not utf-8 text \(byte 0x8b\)", r"^The file is not text"),
        (
            "no-text.csv", b"body,label\na,positive\n",
            r'^There is no column "text"; the columns are "body", "label"\.',
            r'^There is no column "text"; the columns are "body", "label"\.',
        ),
        (
            "no-label.csv", b"text,stars\na,5\n",
            r'^There is no column "label" for the label; the columns are "text", "stars"\.$',
            r'^There is no column "label" for the label; the columns are "text", "stars"\.$',
        ),
        ("empty.csv", b"", r"is empty; there is nothing to score\.$", r"^The file has no rows"),
        ("blank.csv", b" \n\n", r"has no rows; there is nothing to score\.$", r"^The file has no rows"),
        ("header.csv", b"text,label\n", r"has no rows; there is nothing to score\.$", r"^The file has no rows"),
        (
            "unlabelled.csv", csv("a,", "b,"),
            r"has no row that can be used\. row 1: The row has no label\.$",
            r"^The file has no row that can be used\. row 1: The row has no label\.$",
        ),
        ("objects.jsonl", b"{}\n{}\n", r"cannot be read\. It has no columns\.$", r"It has no columns\.$"),
        (
            "list.jsonl", b'[{"text": "a", "label": "positive"}]\n',
            r"cannot be read\. Line 1 is not a JSON object",
            r"^The file cannot be read\. Line 1 is not a JSON object",
        ),
        (
            "endless-header.csv", b'"text,label\n' + b"a,positive\n" * 20_000,
            r"^The header has a name of more than 131,072 characters, or a quote that is never closed\.$",
            r"^The header has a name of more than 131,072 characters",
        ),
        ("long-header.csv", b"x" * 200_000 + b"\na\n", r"^The header has a name of more", r"^The header has a"),
        (
            "many-columns.csv", ",".join(map(str, range(5000))).encode() + b"\n1\n",
            r'^There is no column "text"; .* and 4980 more\. Name the one',
            r'^There is no column "text"; .* and 4980 more\. Name the one',
        ),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_used_says_why(prompt, tmp_path, name, data, told, told_by_page):
    with pytest.raises(PlaygroundError, match=told):
        by_command(prompt, tmp_path, name, data)
    with pytest.raises(PlaygroundError, match=told_by_page):
        by_page(prompt, data)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp1252"])
def test_another_encoding_is_read_when_it_is_named(prompt, tmp_path, encoding):
    found = by_command(prompt, tmp_path, "a.csv", GOOD.encode(encoding), encoding=encoding)
    assert texts(found) == ["I love it.", "I hate it."]


def test_the_first_of_two_columns_of_one_name_counts_and_the_other_can_be_named(prompt, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,text,label,label\na,b,positive,negative\n")
    table = read_file(str(path))
    assert table.columns == ("text", "text_2", "label", "label_2")
    first = read_labelled(table, prompt)
    other = read_labelled(table, prompt, columns={"text": "text_2"}, label_column="label_2")
    assert (texts(first), first.gold.tolist()) == (["a"], [0])
    assert (texts(other), other.gold.tolist()) == (["b"], [1])


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (
            {"text": [b"abc", b"\xff"], "label": ["positive", "negative"]},
            r"row 1: text is \"b'abc'\" \(bytes\); it must be text\.$",
        ),
        (
            {"text": ["abc", "d"], "label": [b"positive", b"negative"]},
            r"row 1: The label \"b'positive'\" is a bytes; it must be a text or a number\.$",
        ),
    ],
)
def test_binary_columns_of_parquet_are_told(prompt, tmp_path, columns, told):
    pd.DataFrame(columns).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(PlaygroundError, match=told):
        read_labelled(read_file(str(tmp_path / "a.parquet")), prompt)


def test_numbers_with_gaps_in_parquet_are_labels_still(prompt, tmp_path):
    pd.DataFrame({"text": ["a", "b", "c"], "label": [1, None, 0]}).to_parquet(
        tmp_path / "a.parquet"
    )
    names = {"1": "positive", "0": "negative"}
    found = read_labelled(read_file(str(tmp_path / "a.parquet")), prompt, label_names=names)
    assert (texts(found), found.gold.tolist(), found.faulty) == (["a", "c"], [0, 1], 1)


@pytest.mark.parametrize("damage", ["half", "text"])
def test_a_damaged_parquet_file_is_one_sentence(prompt, tmp_path, damage):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"text": ["a"], "label": ["positive"]}).to_parquet(path)
    path.write_bytes(path.read_bytes()[:-30] if damage == "half" else GOOD.encode())
    with pytest.raises(
        PlaygroundError, match=r"cannot be read: it is damaged, empty, or of another"
    ):
        read_labelled(read_file(str(path)), prompt)


# ---- large ones -----------------------------------------------------------------------------------


def test_a_quote_without_an_end_loses_one_row_of_many(prompt, tmp_path):
    data = csv("a,positive", '"b,positive', *["c,negative"] * 50_000)
    found = by_command(prompt, tmp_path, "a.csv", data)
    assert (len(found), found.faulty) == (50_001, 1)


def test_quotes_without_an_end_cost_no_more_than_a_hundred_readings(tmp_path):
    """Each line opens a quote that the next one closes: all is read, and soon."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label\n" + (b'"a' + b"x" * 1000 + b'""\n') * 3_000)
    start = time.process_time()
    records = list(read_file(str(path)).records())
    assert time.process_time() - start < 10
    assert all(record.error for record in records)


def test_time_is_linear_and_memory_flat(tmp_path):
    seconds, peaks = [], []
    for rows in (20_000, 80_000):
        path = tmp_path / f"{rows}.csv"
        path.write_bytes(csv(*["I love this one.,positive"] * rows))
        sum(1 for _ in read_file(str(path)).records())  # imports are no part of it
        start = time.process_time()
        assert sum(1 for _ in read_file(str(path)).records()) == rows
        seconds.append(time.process_time() - start)
        tracemalloc.start()
        assert sum(1 for _ in read_file(str(path)).records()) == rows
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert seconds[1] < 4 * seconds[0] * 1.5
    assert peaks[1] < peaks[0] + (32 << 20)  # datasets reads in blocks of 10 MB


def test_a_compressed_bomb_is_streamed_and_bounded_by_the_limit(prompt, tmp_path):
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"text,label\n")
        for _ in range(100):
            file.write(b"I love it.,positive\n" * 100_000)  # 200 MB in all
    read_labelled(read_file(str(path)), prompt, limit=10)
    tracemalloc.start()
    start = time.process_time()
    found = read_labelled(read_file(str(path)), prompt, limit=10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 10
    assert time.process_time() - start < 10
    assert peak < 180 << 20
    with pytest.raises(PlaygroundError, match=r"^The file is not text"):
        by_page(prompt, path.read_bytes()[:MOST_BYTES])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("text\n" + "x" * MOST_BYTES, r"^The file is larger than 4 MiB; use playground eval on a"),
        (
            "text\n" + "x\n" * (MOST + 1),
            r"^The file has more than 5,000 rows; use playground eval,",
        ),
        ("{}\n" * (MOST + 1), r"^The file cannot be read\. It has no columns\.$"),
        ('text\n"' + "x\n" * 2_000_000, r"^The file has more than 5,000 rows"),
    ],
)
def test_the_caps_of_the_page_bite_soon(content, told):
    start = time.process_time()
    with pytest.raises(PlaygroundError, match=told):
        open_table(content, MOST, "playground eval")
    assert time.process_time() - start < 2
