"""A table of pairs that a visitor opens in the browser: read, classified part by part, drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from playground import resources
from playground.app.markup import esc, percent
from playground.app.opened_files import MOST_BYTES, open_table
from playground.errors import PlaygroundError
from playground.tasks.nli import NliClassifier, NliScorer
from playground.tasks.nli.pairs import label_place, usual_columns
from playground.tasks.reading import Record, Table
from playground.tasks.score import score_parts

_SHOWN = 8


@dataclass(frozen=True)
class Progress:
    """How far a table is: rows done, of how many, failed, with a gold label and right; first rows."""

    done: int
    total: int
    failed: int
    gold: int
    right: int
    first: tuple[dict[str, Any], ...]
    csv: bytes


def open_pairs(content: str, most_rows: int, most_bytes: int = MOST_BYTES) -> tuple[Table, int]:
    """Return the table in the text of a CSV, TSV or JSON Lines file, and its number of rows.

    Raises PlaygroundError for one that is too large, is no text or lacks the columns.
    """
    table, rows = open_table(content, most_rows, "playground nli predict", most_bytes)
    missing = [
        side for side in ("premise", "hypothesis") if side not in usual_columns(table.columns)
    ]
    if missing:
        shown = ", ".join(table.columns[:10])
        raise PlaygroundError(
            f"The file has no column {missing[0]}; its columns are {shown[:200]}. Name two of them "
            "premise and hypothesis, or sentence1 and sentence2."
        )
    return table, rows


def sample_pairs() -> tuple[Table, int]:
    """Return our own labelled pairs as a table."""
    rows = resources.load_examples("nli")
    return Table("The sample set", lambda: iter([Record(dict(row)) for row in rows])), len(rows)


def classify_table(classifier: NliClassifier, table: Table, total: int) -> Iterator[Progress]:
    """Yield how far the table is after each part; the last one holds all."""
    columns = usual_columns(table.columns)
    label = next((name for name in ("label", "gold_label") if name in table.columns), None)
    first: list[dict[str, Any]] = []
    gold = right = 0
    whole = bytearray()
    parts = score_parts(NliScorer(classifier), table, columns=columns)
    for part in parts:
        whole += part.data
        for row, found in zip(part.given, part.found, strict=True):
            place = _gold(row.get(label)) if label else None
            gold += place is not None
            right += place is not None and found["prediction"] == classifier.labels[place]
            if len(first) < _SHOWN:
                sides = {side: row.get(column) for side, column in columns.items()}
                share = found.get(f"p_{found['prediction']}")
                first.append({**sides, **found, "share": share})
        yield Progress(part.done, total, part.failed, gold, right, tuple(first), bytes(whole))


def progress_html(found: Progress, *, stopped: bool = False) -> str:
    """Return the state of a run: a bar, counts, accuracy where there are gold labels, first rows."""
    share = found.done / found.total if found.total else 1.0
    state = "Done:" if share >= 1 else ("Stopped after" if stopped else "Running:")
    facts = [f"{state} {found.done:,} of {found.total:,} pairs"]
    if found.failed:
        facts.append(f"{found.failed:,} with an error")
    if found.gold:
        facts.append(
            f"<b>{percent(found.right / found.gold)}</b> of {found.gold:,} labelled pairs right"
        )
    rows = "".join(_row(row) for row in found.first)
    more = (
        f"<p class='pp-legend'>The first {len(found.first)} rows; the download has all.</p>"
        if rows
        else ""
    )
    return (
        '<div class="pp-run"><progress max="100" '
        f'value="{share * 100:.0f}" aria-label="rows done"></progress><p class="pp-legend" role="status">'
        f"{', '.join(facts)}.</p>"
        '<div class="pp-scroll" tabindex="0"><table class="pp-table"><thead><tr><th>Premise</th>'
        f"<th>Hypothesis</th><th>Says</th></tr></thead><tbody>{rows}</tbody></table></div>{more}</div>"
    )


def _row(row: dict[str, Any]) -> str:
    said = (
        f"<b>{esc(row['prediction'])}</b> {percent(row['share'])}"
        if row["prediction"]
        else f'<span class="pp-warn">{esc(row["error"])}</span>'
    )
    cells = (esc(_short(row["premise"])), esc(_short(row["hypothesis"])), said)
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 120 else f"{text[:119]}…"


def _gold(value: Any) -> int | None:
    try:
        return label_place(value)
    except PlaygroundError:
        return None
