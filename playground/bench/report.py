"""What a measurement found: tables of numbers, as text for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playground.errors import PlaygroundError, shorten

Cell = str | float | int | None


@dataclass(frozen=True)
class Table:
    """Rows of one measurement: ``columns`` maps a column to its number format, such as ``".1f"``.

    The first column is text. A row gives one value for each column, None where there is none.
    """

    title: str
    columns: dict[str, str]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def to_text(self) -> str:
        """Return the table with aligned columns, its notes below."""
        cells = [
            ["" if value is None else _shown(value, spec) for value, spec in zip(row, specs, strict=True)]
            for specs in [tuple(self.columns.values())]
            for row in self.rows
        ]  # fmt: skip
        lines = [list(self.columns), *cells]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        body = [
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, *(f"  {line}" for line in [*body, *self.notes])])

    def to_json(self) -> dict[str, Any]:
        """Return title, notes, and each row as an object by column."""
        names = list(self.columns)
        return {
            "title": self.title,
            "rows": [dict(zip(names, row, strict=True)) for row in self.rows],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Report:
    """The tables of one measurement, with what they were measured on."""

    kind: str
    subject: str
    tables: tuple[Table, ...]
    circumstances: dict[str, Any] = field(default_factory=dict)

    def to_text(self) -> str:
        """Return all that a terminal shows."""
        facts = ", ".join(f"{key} {value}" for key, value in self.circumstances.items())
        return "\n\n".join(
            [f"{self.subject}\n{facts}", *(table.to_text() for table in self.tables)]
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the numbers as JSON; PlaygroundError if the file cannot be written."""
        data = {
            "kind": self.kind,
            "subject": self.subject,
            "circumstances": self.circumstances,
            "tables": [table.to_json() for table in self.tables],
        }
        try:
            Path(path).write_text(json.dumps(data, ensure_ascii=False, indent=2) + "\n", "utf-8")
        except OSError as error:
            raise PlaygroundError(
                f"The numbers cannot be written to {shorten(path, 120)} ({error.strerror})."
            ) from None


def circumstances() -> dict[str, Any]:
    """Return what the numbers depend on: processor, cores, and the versions that matter."""
    import torch
    import transformers

    import playground

    return {
        "playground": playground.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count() or 1,
        "processor": _processor(),
    }


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _shown(value: Cell, spec: str) -> str:
    if isinstance(value, str):
        return value
    return format(value, "," if isinstance(value, int) and spec.endswith("f") else spec)
