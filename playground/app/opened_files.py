"""Tables that a visitor opens in the browser: their text is checked here before anything reads it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import islice

from playground.errors import PlaygroundError
from playground.tasks.reading import Table
from playground.tasks.text_rows import parse_lines

MOST_BYTES = 4 << 20
_JSON = re.compile(
    r"\s*(\{|\[\s*[{\]\[\"])"
)  # a list of rows too, to be told what is wrong with it


def open_table(
    content: str, most_rows: int, command: str, most_bytes: int = MOST_BYTES
) -> tuple[Table, int]:
    """Return the table in the text of a CSV, TSV or JSON Lines file, and its number of rows.

    Raises PlaygroundError for one that is too large, too long or no text; ``command`` takes those.
    """
    if len(content) > most_bytes:
        raise PlaygroundError(
            f"The file is larger than {most_bytes >> 20} MiB; use {command} on a machine of your own."
        )
    if "\x00" in content:
        raise PlaygroundError("The file is not text; save the table as CSV in UTF-8.")
    if "\ufffd" in content:
        raise PlaygroundError("The file is not UTF-8 text; save the table as CSV in UTF-8.")
    content = content.removeprefix("\ufeff")
    format = "jsonl" if _JSON.match(content) else "csv"
    table = Table("The file", lambda: parse_lines(_lines(content), format))
    rows = sum(1 for _ in islice(parse_lines(_lines(content), format), most_rows + 1))
    if rows > most_rows:
        raise PlaygroundError(
            f"The file has more than {most_rows:,} rows; use {command}, or cut it."
        )
    return table, rows


def _lines(content: str) -> Iterator[str]:
    return iter(io.StringIO(content, newline=""))
