"""Hub data sets that a visitor names: which ones may be opened, how long that may take, how much is kept."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from playground.errors import PlaygroundError, shorten
from playground.settings import Settings
from playground.tasks.reading import Record, Table, read_dataset

PATIENCE = 60.0  # seconds; a hub that is out of reach is tried again and again by the libraries
_HUB_ID = re.compile(r"[A-Za-z0-9_.-]{1,96}(/[A-Za-z0-9_.-]{1,96})?")
T = TypeVar("T")


@dataclass(frozen=True)
class HubRows:
    """The first rows of a data set, and how many it has in all (None where the hub does not say)."""

    table: Table
    rows: int
    total: int | None
    cut: bool


def is_hub_id(name: str) -> bool:
    """Return whether a name can only mean something on the hub, and nothing on this machine."""
    return bool(_HUB_ID.fullmatch(name)) and ".." not in name and not Path(name).exists()


def check_allowed(settings: Settings, name: str) -> str:
    """Return the name of a data set that this app may open; raises PlaygroundError for any other.

    Hosted, it must be listed. A folder opens only where nobody but this machine reaches the app.
    """
    wanted = (name or "").strip()
    if not wanted:
        raise PlaygroundError(
            "There is no name of a data set; write one, such as stanfordnlp/sst2."
        )
    if settings.hosted:
        if wanted not in settings.dataset_names:
            offered = ", ".join(settings.dataset_names) or "none"
            raise PlaygroundError(
                f"The data set {shorten(wanted)} is not offered here; choose one of {offered}."
            )
        return wanted
    if not settings.alone and not is_hub_id(wanted):
        raise PlaygroundError(
            f"{shorten(wanted)} is no hub data set, and folders open only where the app is reached "
            "from its own machine alone; write a name such as stanfordnlp/sst2."
        )
    return wanted


def open_dataset(
    settings: Settings, name: str, config: str, split: str, *, patience: float = PATIENCE
) -> HubRows:
    """Return the first rows of a hub data set, up to the app's cap, held in memory.

    Raises PlaygroundError for one that is not allowed, not there, or does not answer in time.
    """
    wanted = check_allowed(settings, name)

    def read() -> HubRows:
        table = read_dataset(
            wanted, split=(split or "").strip() or None, config=(config or "").strip() or None
        )
        return _first_rows(table, *settings.table_caps)

    try:
        return _within(patience, read)
    except TimeoutError:
        raise PlaygroundError(
            f"The data set {shorten(wanted)} did not answer within {patience:.0f} seconds; "
            "try again, or open a file."
        ) from None
    except PlaygroundError as error:
        said = re.sub(r" with --(split|config):", ":", str(error))  # the page has boxes
        raise PlaygroundError(said) from None


def _first_rows(table: Table, most_rows: int, most_bytes: int) -> HubRows:
    kept: list[Record] = []
    room, cut = most_bytes, False
    for record in table.records():
        plain = {k: v for k, v in record.values.items() if _is_plain(v)}
        room -= sum(len(str(value)) for value in plain.values())
        if len(kept) >= most_rows or room < 0:
            cut = True
            break
        kept.append(Record(plain, record.error))
    if not kept:
        raise PlaygroundError(f"{table.name} has rows too large for the page; use playground eval.")
    shown = Table(table.name, lambda: iter(kept), label_names=table.label_names)
    return HubRows(shown, len(kept), table.total, cut)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _within(seconds: float, work: Callable[[], T]) -> T:
    """Return what ``work`` returns or raise what it raises; TimeoutError if it takes too long."""
    found: list[T] = []
    failed: list[Exception] = []

    def run() -> None:
        try:
            found.append(work())
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True, name="hub data set")
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError
    return found[0]
