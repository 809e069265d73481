"""Premise and hypothesis pairs with gold labels: from the hub, the original SNLI folder, or files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from playground.engine.classifier import check_pair
from playground.errors import PlaygroundError, shorten
from playground.tasks.reading import Table, format_of, read_dataset, read_file

LABELS = ("entailment", "neutral", "contradiction")
_COLUMNS = {
    "premise": ("premise", "sentence1"),
    "hypothesis": ("hypothesis", "sentence2"),
    "label": ("label", "gold_label"),
}
_NO_GOLD = frozenset(
    {"", "-", "-1", "none", "nan"}
)  # how data sets write that annotators disagreed
_SPLITS = {"validation": "dev", "val": "dev"}  # the original folder's names
_SHOWN = 5
_MOST_CHARS = 20_000
_MOST_DIGITS = 9  # of a label's number; Python refuses to read thousands


@dataclass(frozen=True)
class Pairs:
    """N labelled pairs: labels (N,) are places in ``LABELS``.

    unlabelled: pairs without a gold label, which were dropped. faulty: rows that could not be read,
    and ``problems`` what was wrong with the first of them. sources: where they came from.
    """

    premises: list[str]
    hypotheses: list[str]
    labels: np.ndarray
    unlabelled: int = 0
    faulty: int = 0
    problems: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def columns(self) -> tuple[list, list, list]:
        """Return the premises, the hypotheses and the labels, (N,) each."""
        return self.premises, self.hypotheses, self.labels.tolist()

    def counts(self) -> dict[str, int]:
        """Return the number of pairs of each label."""
        found = np.bincount(self.labels, minlength=len(LABELS)).tolist()
        return dict(zip(LABELS, found, strict=True))

    def describe(self) -> str:
        """Return what was read and what was left out, as one sentence."""
        parts = [f"{len(self):,} pairs"]
        if self.unlabelled:
            parts.append(f"{self.unlabelled:,} without a gold label dropped")
        if self.faulty:
            parts.append(f"{self.faulty:,} faulty rows left out ({'; '.join(self.problems)})")
        return f"{', '.join(parts)}."


def read_pairs(
    sources: Sequence[str],
    *,
    split: str = "train",
    config: str | None = None,
    columns: Mapping[str, str] | None = None,
    label_names: Sequence[str] | None = None,
    limit: int | None = None,
    drop_repeated: bool = True,
) -> Pairs:
    """Return the pairs of all ``sources``, in order.

    A source is a CSV, TSV, JSON Lines or parquet file, the folder of the original ``snli_1.0``
    (its ``snli_1.0_<split>.jsonl``), or a hub data set such as ``stanfordnlp/snli``. columns:
    premise, hypothesis and label to the input's own names. Labels are read by name; numbers need the
    names that a hub data set carries, or ``label_names`` in their order. Pairs without a gold label
    ("-" or -1) and, if asked, pairs seen before are dropped. limit: at most that many of each source.

    Raises PlaygroundError for a source that cannot be read, lacks a column or has no usable pair.
    """
    reader = _Reader(tuple(label_names or ()), drop_repeated)
    for source in sources:
        table = _open(source, split, config)
        reader.read(table, _column_map(table, columns or {}), limit)
    return reader.pairs(tuple(sources))


class _Reader:
    def __init__(self, label_names: tuple[str, ...], drop_repeated: bool) -> None:
        unknown = [name for name in label_names if name.lower() not in LABELS]
        if unknown:
            raise PlaygroundError(
                f"The label name {shorten(unknown[0])} is unknown; the names are {', '.join(LABELS)}."
            )
        self.label_names = label_names
        self.rows: dict[Any, tuple[str, str, int]] = {}
        self.unlabelled = self.faulty = 0
        self.problems: list[str] = []
        self.drop_repeated = drop_repeated

    def read(self, table: Table, columns: Mapping[str, str], limit: int | None) -> None:
        names = self.label_names or tuple(table.label_names.get(columns["label"], ()))
        usable, unlabelled = 0, self.unlabelled
        fault = ""
        for number, record in enumerate(table.records(), start=1):
            if limit is not None and usable >= limit:
                break
            try:
                if record.error is not None:
                    raise PlaygroundError(record.error)
                premise, hypothesis, raw = (record.values.get(columns[k]) for k in _COLUMNS)
                label = label_place(raw, names)
                if label is None:
                    self.unlabelled += 1
                    continue
                check_pair({"premise": premise, "hypothesis": hypothesis}, _MOST_CHARS)  # type: ignore[dict-item]
            except PlaygroundError as error:
                self.faulty += 1
                fault = fault or str(error)
                if len(self.problems) < _SHOWN:
                    self.problems.append(f"{table.name}, row {number}: {error}")
                continue
            usable += 1
            key = (premise, hypothesis) if self.drop_repeated else len(self.rows)
            self.rows.setdefault(key, (str(premise), str(hypothesis), label))
        if not usable and fault:
            raise PlaygroundError(f"{table.name} has no pair that can be used. {fault}")
        if not usable and self.unlabelled > unlabelled:
            raise PlaygroundError(
                f"{table.name} has no pair with a gold label; give labelled pairs."
            )

    def pairs(self, sources: tuple[str, ...]) -> Pairs:
        rows = list(self.rows.values())
        if not rows:
            raise PlaygroundError(
                "There is no pair; name a file or a data set with labelled pairs."
            )
        return Pairs(
            [row[0] for row in rows],
            [row[1] for row in rows],
            np.array([row[2] for row in rows]),
            self.unlabelled,
            self.faulty,
            tuple(self.problems),
            sources,
        )


def label_place(value: Any, names: Sequence[str] = ()) -> int | None:
    """Return the place of a label in ``LABELS``, or None for a pair without a gold label.

    value: a name, or a number whose name stands at that place of ``names``. Raises PlaygroundError
    for any other.
    """
    text = "" if value is None else str(value).strip().lower()
    if text in _NO_GOLD:
        return None
    if text in LABELS:
        return LABELS.index(text)
    if text.isascii() and text.isdigit():
        place = int(text) if len(text) <= _MOST_DIGITS else len(names)
        if place < len(names) and names[place].lower() in LABELS:
            return LABELS.index(names[place].lower())
        if not names:
            raise PlaygroundError(
                f"The label {shorten(text)} is a number without a name; give the names in their order, as in "
                f"--label-names {' '.join(LABELS)}."
            )
    raise PlaygroundError(
        f"The label {shorten(value)} is unknown; labels are {', '.join(LABELS)}, and - for none."
    )


def _open(source: str, split: str, config: str | None) -> Table:
    path = Path(source).expanduser()
    if path.is_dir():
        wanted = [f"snli_1.0_{name}.jsonl" for name in dict.fromkeys([split, _SPLITS.get(split)])]
        for name in wanted:
            if (path / name).is_file():
                return read_file(str(path / name))
    elif path.is_file() or format_of(source) is not None:
        return read_file(source)
    return read_dataset(source, split=split, config=config)


def _column_map(table: Table, columns: Mapping[str, str]) -> dict[str, str]:
    unknown = [name for name in columns if name not in _COLUMNS]
    if unknown:
        raise PlaygroundError(f"A pair has no {shorten(unknown[0])}; it has {', '.join(_COLUMNS)}.")
    found: dict[str, str] = {}
    for name, usual in _COLUMNS.items():
        known = [c for c in ([columns[name]] if name in columns else usual) if c in table.columns]
        if not known:
            wanted = columns.get(name, " or ".join(usual))
            raise PlaygroundError(
                f"{table.name} has no column {shorten(wanted)}; its columns are "
                f"{', '.join(shorten(c) for c in table.columns[:20])}. Name the one that holds the "
                f"{name} with --columns {name}=COLUMN."
            )
        found[name] = known[0]
    return found


def usual_columns(available: Iterable[str]) -> dict[str, str]:
    """Return the columns among ``available`` that usually hold the two sides of a pair."""
    have = set(available)
    return {
        side: name
        for side in ("premise", "hypothesis")
        for name in reversed(_COLUMNS[side])
        if name in have
    }
