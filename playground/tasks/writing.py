"""Rows to bytes: CSV and TSV that no spreadsheet runs, and JSON Lines."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from playground.errors import PlaygroundError, shorten

_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def output_format(path: str | Path) -> str:
    """Return the format that an output name stands for; PlaygroundError for any other name."""
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise PlaygroundError(
            f"The output {shorten(path, 120)} ends in {shorten(suffix)}; "
            "end it in .csv, .tsv or .jsonl."
        )
    return _SUFFIXES[suffix]


def formula_safe(text: str) -> str:
    """Return ``text`` with a ' in front if a spreadsheet would run it: = + - @ tab CR, not numbers.

    A text with ' before such a sign gets one more, so that :func:`formula_read` gives every text back.
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def formula_read(cell: str) -> str:
    """Return the text that :func:`formula_safe` wrote as ``cell``."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def header(columns: Sequence[str], format: str) -> bytes:
    """Return the first line of a file, empty for JSON Lines."""
    return (
        b""
        if format == "jsonl"
        else encode([dict(zip(columns, columns, strict=True))], columns, format)
    )


def encode(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], format: str) -> bytes:
    """Return rows as UTF-8 lines: their values in ``columns``, or all of them in JSON Lines.

    In JSON Lines a number that is NaN or infinite becomes null. Lone surrogates, which UTF-8 does not
    have, are escaped in JSON Lines and become ? in CSV and TSV.
    """
    if format == "jsonl":
        lines = (
            json.dumps(
                {key: _finite(value) for key, value in row.items()},
                ensure_ascii=False,
                default=str,
            )
            for row in rows
        )
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
    buffer = io.StringIO()
    # Python 3.11 quotes a carriage return only if it belongs to the line terminator
    writer = csv.writer(buffer, delimiter="\t" if format == "tsv" else ",", lineterminator="\r\n")
    parts: list[str] = []
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
        parts += [buffer.getvalue()[:-2], "\n"]
        buffer.seek(0)
        buffer.truncate()
    return "".join(parts).encode("utf-8", "replace")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return formula_safe(json.dumps(value, ensure_ascii=False, default=str))
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else ""
    return formula_safe(str(value))
