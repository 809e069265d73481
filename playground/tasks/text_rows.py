"""Lines of CSV, TSV and JSON Lines to rows; a line that cannot be read costs its own row and no other."""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from playground.errors import PlaygroundError, shorten

_DELIMITERS = (",", ";", "\t")  # on a tie the first wins
_MENDS = 100  # quotes without an end that are mended in one table; each is a second reading


@dataclass(frozen=True)
class Record:
    """One row: its values by column, or what can be saved of them and the reason it is unusable."""

    values: dict[str, Any]
    error: str | None = None


def parse_lines(lines: Iterable[str], format: str) -> Iterator[Record]:
    """Yield the records of CSV, TSV or JSON Lines text, given line by line with line breaks."""
    if format == "jsonl":
        return _parse_jsonl(lines)
    return _parse_csv(lines, "\t" if format == "tsv" else None)


def _parse_jsonl(lines: Iterable[str]) -> Iterator[Record]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            yield Record({}, f"Line {number} is not JSON: {shorten(line)}.")
            continue
        if isinstance(values, dict):
            yield Record(values)
        else:
            yield Record({}, f"Line {number} is not a JSON object: {shorten(line)}.")


def _parse_csv(lines: Iterable[str], delimiter: str | None) -> Iterator[Record]:
    source = _Lines(lines)
    head = next((line for line in source if line.strip()), None)
    if head is None:
        return
    if "\x00" in head:
        raise PlaygroundError(
            "The first line holds zero bytes: this is no text, or text of another encoding such as "
            "UTF-16."
        )
    source.again([head])
    mends = _MENDS
    try:
        reader = csv.reader(source, delimiter=delimiter or _delimiter(head))
        columns = _unique(next(reader))
    except csv.Error:
        raise PlaygroundError(
            f"The header has a name of more than {csv.field_size_limit():,} characters, or a quote that "
            "is never closed."
        ) from None
    while True:
        source.taken.clear()
        problem = None
        cells: list[str] = []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = str(error)
            if "field limit" in problem:
                problem = f"a cell has more than {csv.field_size_limit():,} characters"
        first, torn = source.number - len(source.taken) + 1, problem or source.ended
        if torn and len(source.taken) > 1 and mends:
            # a quote without its end would swallow the rows below: it costs its own line alone
            mends -= 1
            cells = next(csv.reader(source.taken[:1], delimiter=reader.dialect.delimiter))
            source.again(source.taken[1:])
            problem = "a quote is opened and never closed; quotes in a text are doubled"
        elif not cells and not problem:
            continue  # a blank line
        values = dict.fromkeys(columns, "") | dict(zip(columns, cells, strict=False))
        if problem:
            yield Record(values, f"Line {first}: {problem}.")
        elif len(cells) == len(columns):
            yield Record(values)
        else:
            yield Record(
                values,
                f"Line {source.number} has {len(cells)} cell{'s'[: len(cells) != 1]} and the "
                f"header has {len(columns)}; quote text that holds a delimiter or a quote.",
            )


class _Lines:
    """Lines that can be given back: the number of the last one, and those taken since one asked.

    ``ended`` says that more was wanted than there is.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._rest = iter(lines)
        self._returned: deque[str] = deque()
        self.number = 0
        self.taken: list[str] = []
        self.ended = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if not self._returned and (fresh := next(self._rest, None)) is not None:
            self._returned.append(fresh)
        self.ended = not self._returned
        if self.ended:
            raise StopIteration
        self.number += 1
        self.taken.append(self._returned.popleft())
        return self.taken[-1]

    def again(self, lines: Sequence[str]) -> None:
        """Give back the last lines that were taken."""
        self.number -= len(lines)
        self._returned.extendleft(reversed(lines))
        self.ended = False


def _delimiter(head: str) -> str:
    return max(_DELIMITERS, key=lambda mark: len(next(csv.reader([head], delimiter=mark))))


def _unique(names: Iterable[str]) -> list[str]:
    """Return column names with _2, _3 ... added to those that stand there already."""
    result: list[str] = []
    for name in names:
        result.append(free_name(name.strip(), result))
    return result


def free_name(name: str, taken: Iterable[str]) -> str:
    """Return ``name``, or the first of ``name_2``, ``name_3`` ... that is not taken."""
    used = set(taken)
    candidate, number = name, 1
    while candidate in used:
        number += 1
        candidate = f"{name}_{number}"
    return candidate
