"""An output file that grows window by window and survives a kill at any moment.

Rows go to ``OUT.partial``; after each window the file is synced, and then ``OUT.partial.json``, the
journal, is replaced whole. What the journal does not vouch for is cut off by the next run. A finished
file takes the place of ``OUT`` in one step, so ``OUT`` is never half of a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from playground.errors import PlaygroundError, shorten

try:
    import fcntl
except ImportError:  # Windows has no advisory locks; there the two runs are not told apart
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Journal:
    """What is safe in the partial file: of which run, how many rows and bytes, and of which input.

    ``digest`` is the SHA-256 of the input rows done; ``failed`` counts those with an error.
    """

    fingerprint: str
    rows: int = 0
    bytes: int = 0
    digest: str = ""
    failed: int = 0


class PartialFile:
    """``OUT.partial`` and its journal, held by one run at a time.

    Raises PlaygroundError, in one sentence, for a place that cannot be written or a full disk.
    """

    def __init__(self, out: str | Path) -> None:
        self.shown = shorten(out, 120)
        self.out = Path(os.path.realpath(Path(out).expanduser()))  # a link stays a link
        self.path = self.out.with_name(f"{self.out.name}.partial")
        self._journal_path = self.out.with_name(f"{self.out.name}.partial.json")
        self._rows = 0
        self._begun = False
        if self.out.is_dir():
            raise PlaygroundError(f"The output {self.shown} is a folder; give a file name.")
        with self._told():
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            self._file = os.fdopen(handle, "r+b")
        if fcntl is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._file.close()
                raise PlaygroundError(
                    f"The output {self.shown} is being written by another run; wait for it, or "
                    "choose another name."
                ) from None

    def left_over(self) -> Journal | None:
        """Return the journal of a stopped run, or None if nothing of it can be used."""
        try:
            journal = Journal(**json.loads(self._journal_path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        size = os.fstat(self._file.fileno()).st_size
        return journal if size >= journal.bytes and journal.rows > 0 else None

    def begin(self, journal: Journal) -> None:
        """Cut the file to what ``journal`` vouches for, and go on behind it."""
        self._rows, self._begun = journal.rows, True
        with self._told():
            self._file.truncate(journal.bytes)
            self._file.seek(journal.bytes)
            self._note(journal)

    def append(self, data: bytes, journal: Journal) -> None:
        """Write one window and vouch for it; ``journal`` counts it already, but for its bytes."""
        with self._told():
            self._file.write(data)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._note(journal)
        self._rows = journal.rows

    def finish(self) -> None:
        """Put the file in the place of the output and drop the journal."""
        with self._told():
            self._file.close()
            os.replace(self.path, self.out)
            self._journal_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file; one without a row is taken away, one of a stopped run is kept."""
        if self._file.closed:
            return
        empty = os.fstat(self._file.fileno()).st_size == 0
        with suppress(OSError):  # what a full disk did not take is not vouched for either
            self._file.close()
        if self._rows == 0 and (self._begun or empty):
            self.path.unlink(missing_ok=True)
            self._journal_path.unlink(missing_ok=True)

    def _note(self, journal: Journal) -> None:
        text = json.dumps(asdict(journal) | {"bytes": self._file.tell()})
        fresh = self._journal_path.with_name(f"{self._journal_path.name}.new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self._journal_path)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kept = (
                f"{self._rows:,} rows are safe in {self.path.name}; make room and run the same "
                "command again"
                if self._rows
                else "choose another place"
            )
            raise PlaygroundError(
                f"The output {self.shown} cannot be written ({error.strerror}); {kept}."
            ) from None
