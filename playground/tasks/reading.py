"""Tables read row by row: CSV, TSV, JSON Lines and parquet files, standard input, hub data sets.

Files and hub data sets are streamed with ``datasets``, so memory does not grow with them and
compressed files open. Text formats arrive as lines and are parsed here, the same for a file and for
standard input: every cell of a CSV stays the text that it was ("N/A" and "007" too), and a line that
cannot be read costs its own row and no other.
"""

from __future__ import annotations

import glob
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from lzma import LZMAError
from pathlib import Path
from typing import Any, BinaryIO

from playground.errors import PlaygroundError, shorten
from playground.prompts import Template
from playground.tasks.text_rows import Record, parse_lines

FORMATS = ("csv", "tsv", "jsonl", "parquet")
_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_SUFFIXES |= {".parquet": "parquet", ".pq": "parquet"}
_COMPRESSED = {".gz", ".bz2", ".xz"}
_PEEK = 100  # rows without a value before a table counts as unreadable


class Table:
    """A table that is read row by row: its name for messages, its columns, and its rows.

    ``total`` is the number of rows where the source tells it, and ``label_names`` the names behind the
    numbers of a column whose values are classes, or lists of classes. A file or data set can be read again
    from its start, standard input cannot.
    """

    def __init__(
        self,
        name: str,
        open_records: Callable[[], Iterator[Record]],
        *,
        repeatable: bool = True,
        total: int | None = None,
        label_names: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.name = name
        self.total = total
        self.label_names = dict(label_names or {})
        self._open = open_records
        self._repeatable = repeatable
        records = open_records()
        seen: list[Record] = []
        for record in islice(records, _PEEK):
            seen.append(record)
            if record.values:
                break
        if not seen:
            raise PlaygroundError(f"{name} has no rows; there is nothing to score.")
        if not seen[-1].values:
            raise PlaygroundError(f"{name} cannot be read. {seen[0].error or 'It has no columns.'}")
        self.columns = tuple(seen[-1].values)
        self._opened: Iterator[Record] | None = chain(seen, records)

    @property
    def repeatable(self) -> bool:
        """Whether the table can be read again from its start."""
        return self._repeatable

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs to read the table from its start."""
        return self.__dict__ | {"_opened": None}

    def records(self) -> Iterator[Record]:
        """Return the rows from the first; PlaygroundError for a second reading of standard input."""
        opened, self._opened = self._opened, None
        if opened is not None:
            return opened
        if not self._repeatable:
            raise PlaygroundError(
                f"{self.name} cannot be read twice; use --fresh to drop the stopped run, or a file."
            )
        return self._open()


def column_map(
    template: Template,
    available: Sequence[str],
    *,
    text_column: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return which column fills each slot of ``template``: its namesake, unless told otherwise.

    Raises PlaygroundError, with the columns that are there, for one that is not.
    """
    if not template.fields:
        raise PlaygroundError(
            f"The template {shorten(template.source)} takes no text; "
            "put {text} where a row's text should stand."
        )
    chosen = dict(columns or {})
    if text_column is not None:
        if len(template.fields) > 1:
            raise PlaygroundError(
                f"The template takes {_listed(template.fields)}; name their columns with --columns "
                f"{' '.join(f'{name}=COLUMN' for name in template.fields)}."
            )
        chosen.setdefault(template.fields[0], text_column)
    unknown = [name for name in chosen if name not in template.fields]
    if unknown:
        raise PlaygroundError(
            f"The template has no slot {shorten(unknown[0])}; it takes {_listed(template.fields)}."
        )
    mapping = {name: chosen.get(name, name) for name in template.fields}
    for name, column in mapping.items():
        if column not in available:
            how = (
                "--text-column COLUMN" if len(template.fields) == 1 else f"--columns {name}=COLUMN"
            )
            raise PlaygroundError(
                f"There is no column {shorten(column)}; the columns are {_listed(available)}. "
                f"Name the one that fills {{{name}}} with {how}."
            )
    return mapping


def format_of(path: str | Path) -> str | None:
    """Return the format that a file name stands for, ``"csv"`` for ``reviews.csv.gz``, or None."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return _SUFFIXES.get(suffixes[-1]) if suffixes else None


def read_file(path: str, *, format: str | None = None, encoding: str = "utf-8") -> Table:
    """Return the table of a local file, its format told by its suffix unless given."""
    name = f"The file {shorten(path, 120)}"
    file = Path(path).expanduser().absolute()  # another process may stand in another folder
    if file.is_dir():
        raise PlaygroundError(f"{name} is a folder; give a file, or --dataset for a data set.")
    if not file.is_file():
        raise PlaygroundError(f"{name} is not there; check its name.")
    kind = format or format_of(file)
    if kind is None:
        raise PlaygroundError(
            f"{name} has none of the suffixes .csv, .tsv, .jsonl and .parquet; "
            f"say what it is with --format {'|'.join(FORMATS)}."
        )
    if file.stat().st_size == 0:
        raise PlaygroundError(f"{name} is empty; there is nothing to score.")

    def open_records() -> Iterator[Record]:
        if kind == "parquet":
            rows = _guarded(name, lambda: _stream("parquet", file), encoding)
            return (Record(row) for row in rows)
        rows = _guarded(
            name,
            lambda: _stream("text", file, encoding=_codec(encoding), keep_linebreaks=True),
            encoding,
        )
        return parse_lines((row["text"] for row in rows), kind)

    return Table(name, open_records)


def read_stream(stream: BinaryIO, *, format: str | None, encoding: str = "utf-8") -> Table:
    """Return the table that arrives on a binary stream such as standard input."""
    name = "Standard input"
    if format not in ("csv", "tsv", "jsonl"):
        raise PlaygroundError(
            f"{name} can be csv, tsv or jsonl; say which with --format csv|tsv|jsonl."
        )
    lines = io.TextIOWrapper(stream, encoding=_codec(encoding))
    records = parse_lines(_guarded(name, lambda: lines, encoding), format)
    return Table(name, lambda: records, repeatable=False)


def read_text(path: str, *, encoding: str = "utf-8") -> Callable[[], Iterator[str]]:
    """Return what reads the lines of a text file, compressed or not, from the first; blank ones are left out."""
    name = f"The file {shorten(path, 120)}"
    file = Path(path).expanduser().absolute()
    if not file.is_file():
        raise PlaygroundError(f"{name} is not there; check its name.")
    codec = _codec(encoding)

    def lines() -> Iterator[str]:
        rows = _guarded(name, lambda: _stream("text", file, encoding=codec), encoding)
        return (line for row in rows if (line := row["text"].strip()))

    return lines


def read_dataset(name: str, *, split: str | None = None, config: str | None = None) -> Table:
    """Return one split of a hub data set, or of a local folder that ``datasets`` opens."""
    import datasets

    shown = f"The data set {shorten(name, 120)}"
    _quiet()
    try:
        splits = datasets.load_dataset(name, config, streaming=True)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise PlaygroundError(_no_dataset(shown, name, config, error)) from None
    if split not in splits:
        wanted = f"no split {shorten(split)}" if split else "several parts"
        if split or len(splits) > 1:
            raise PlaygroundError(
                f"{shown} has {wanted}; choose one with --split: {', '.join(splits)}."
            )
        split = next(iter(splits))
    rows = splits[split]
    known = (rows.info.splits or {}).get(split)
    return Table(
        shown,
        lambda: (Record(row) for row in _guarded(shown, lambda: rows, "utf-8")),
        total=known.num_examples if known else None,
        label_names=_class_names(rows.features),
    )


def _class_names(features: Any) -> dict[str, Sequence[str]]:
    import datasets

    kinds = {name: getattr(kind, "feature", kind) for name, kind in (features or {}).items()}
    return {k: kind.names for k, kind in kinds.items() if isinstance(kind, datasets.ClassLabel)}


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(shorten(name) for name in names[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"


# ---- datasets -------------------------------------------------------------------------------------


def _stream(builder: str, file: Path, **options: Any) -> Iterable[dict[str, Any]]:
    import datasets

    _quiet()
    escaped = glob.escape(str(file.resolve()))  # datasets reads [, * and ? as patterns
    return datasets.load_dataset(
        builder, data_files=[escaped], split="train", streaming=True, **options
    )


def _quiet() -> None:
    """Keep progress bars, retries and tracebacks of the libraries away: errors are told once, by us."""
    import datasets
    import huggingface_hub.utils

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    huggingface_hub.utils.logging.set_verbosity_error()


def _codec(encoding: str) -> str:
    """Return the codec for a user's encoding: UTF-8 swallows a byte order mark."""
    try:
        known = "".encode(encoding) is not None
    except LookupError:
        known = False
    if not known:
        raise PlaygroundError(
            f"The encoding {shorten(encoding)} is unknown; try utf-8, cp1252 or utf-16."
        )
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


def _guarded(name: str, open_rows: Callable[[], Iterable[Any]], encoding: str) -> Iterator[Any]:
    """Yield the rows, each failure of reading told as one sentence."""
    try:
        yield from open_rows()
    except UnicodeError as error:
        bad = getattr(error, "object", b"")[getattr(error, "start", 0) :][:1]
        seen = f" (byte 0x{bad.hex()})" if isinstance(bad, bytes) and bad else ""
        raise PlaygroundError(
            f"{name} is not {encoding} text{seen}; "
            "give its encoding, such as --encoding cp1252 or utf-16."
        ) from None
    except FileNotFoundError:
        raise PlaygroundError(
            f"{name} cannot be opened by datasets; give it a name without colons."
        ) from None
    except (OSError, EOFError, zlib.error, LZMAError) as error:
        why = getattr(error, "strerror", None) or "it is damaged, cut short, or out of reach"
        raise PlaygroundError(f"{name} cannot be read to its end ({why}).") from None
    except ValueError as error:  # what pyarrow raises; its text may hold a path
        raise PlaygroundError(
            f"{name} cannot be read: it is damaged, empty, or of another format "
            f"({type(error).__name__})."
        ) from None


def _no_dataset(shown: str, name: str, config: str | None, error: Exception) -> str:
    import datasets

    if isinstance(error, ConnectionError):
        return f"{shown} could not be fetched: there is no network, or no such data set."
    if isinstance(error, datasets.exceptions.DatasetNotFoundError):
        return f"{shown} is not there, or needs a login; check its name."
    if "onfig" in str(error):
        configs = datasets.get_dataset_config_names(name)
        wanted = f"has no configuration {shorten(config)}" if config else "has several parts"
        return f"{shown} {wanted}; choose one with --config: {', '.join(configs[:20])}."
    return f"{shown} cannot be opened by datasets ({type(error).__name__}); check its name."
