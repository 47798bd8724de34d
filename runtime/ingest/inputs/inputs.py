"""Resolves inputs: paths, patterns, standard input, open files and tables, checked before anything is read."""

from __future__ import annotations

import glob
import hashlib
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from operators.files import reader
from runtime.errors import IngestError
from runtime.ingest.inputs.byte_stream import Readable

STDIN = "standard input"


Version = tuple[int, int, int, int]
"""Device, inode, size and time of change (nanoseconds) of a file: other content has another version."""


def version(file: Any) -> Version:
    """The version of an open file, or of one in an archive."""
    own: Version | None = getattr(file, "version", None)
    if own is not None:
        return own
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@dataclass(frozen=True)
class FileInput:
    """A local file; ``notes`` are sentences for its report, and ``identity`` is as for ``StreamInput``."""

    path: Path
    name: str
    notes: tuple[str, ...] = ()
    identity: str | None = field(default=None, kw_only=True)

    def digest(self) -> tuple[str, Version]:
        """SHA-256 of its bytes, in hexadecimal, and the version of the file."""
        try:
            with reader(self.path) as file:
                before = version(file)
                return hashlib.file_digest(file, "sha256").hexdigest(), before
        except OSError as error:
            raise IngestError(f"{self.name} cannot be read: {error.strerror or error}.") from error

    @contextmanager
    def open(self) -> Iterator[Readable]:
        """It as an open binary file."""
        try:
            file = reader(self.path)
        except OSError as error:
            raise IngestError(f"{self.name} cannot be read: {error.strerror or error}.") from error
        with file:
            yield file


@dataclass(frozen=True)
class BytesInput(FileInput):
    """Bytes in memory, in place of a file: they can be read again."""

    data: bytes = field(default=b"", kw_only=True)

    def digest(self) -> tuple[str, Version]:
        """See ``FileInput``."""
        return hashlib.sha256(self.data).hexdigest(), self._version

    @property
    def _version(self) -> Version:
        return (0, 0, len(self.data), 0)

    @contextmanager
    def open(self) -> Iterator[Readable]:
        """See ``FileInput``."""
        file = io.BytesIO(self.data)
        file.version = self._version  # type: ignore[attr-defined]
        yield file


@dataclass(frozen=True)
class StreamInput:
    """An open binary file, or standard input: it can be read only once.

    ``identity`` (a SHA-256 in hexadecimal) identifies the source, if it is known before it is read, or is not that of
    its content (``identity.py``).
    """

    file: Readable
    name: str
    owned: bool = False  # opened here, and closed once it is read
    identity: str | None = None


@dataclass(frozen=True)
class TableInput:
    """A table in memory: an Arrow table, a data frame, a dict of arrays, or what gives the rows of one.

    ``once``: it can be read only once, as a reader of record batches. ``identity`` is as for ``StreamInput``.
    """

    table: Any
    name: str
    once: bool = False
    identity: str | None = None


Input = FileInput | StreamInput | TableInput

_SCALARS = (str, bytes, bool, int, float, Decimal, date, type(None))


def resolve(inputs: Sequence[Any] | Any) -> list[Input]:
    """Every input, in order, also those in lists; ``IngestError`` for the first that is missing, unreadable or of no
    known kind."""
    if isinstance(inputs, (str, os.PathLike, Mapping)) or not isinstance(inputs, Sequence):
        inputs = [inputs]
    inputs = [one for given in inputs for one in (given if isinstance(given, (list, tuple)) else [given])]
    found: list[Input] = []
    for number, given in enumerate(inputs, 1):
        if isinstance(given, (str, os.PathLike)):
            found += _paths(os.fspath(given))
        elif isinstance(given, StreamInput | FileInput):
            found.append(given)
        elif isinstance(given, Mapping) and given and all(isinstance(v, _SCALARS) for v in given.values()):
            raise IngestError(
                f"input {number} is one record, not a table: make one table of all records, for example with "
                "pyarrow.Table.from_pylist(records) or polars.DataFrame(records)."
            )
        elif is_table(given):
            title = f"table {number}" if len(inputs) > 1 else "table"
            found.append(TableInput(given, title, once=not _is_lasting(given)))
        elif callable(getattr(given, "read", None)):
            name = getattr(given, "name", None)
            found.append(StreamInput(given, name if isinstance(name, str) else f"input {number}"))
        else:
            raise IngestError(
                f"input {number} is of type {type(given).__name__}: give paths, patterns, '-', open binary files, "
                "Arrow tables or readers, data frames, relations of DuckDB, or dicts of arrays."
            )
    if not found:
        raise IngestError("there is nothing to ingest: give at least one input.")
    return found


def is_table(given: object) -> bool:
    """Whether it gives rows with typed columns: Arrow data, a data frame, a dict, or an iterator of such tables. Open
    files are iterators, too, but of lines."""
    if isinstance(given, Mapping) or hasattr(given, "__arrow_c_stream__") or hasattr(given, "__arrow_c_array__"):
        return True
    home = type(given).__module__.partition(".")[0]
    if home in ("pandas", "polars", "duckdb"):
        return True
    return (home == "pyarrow" or hasattr(given, "__next__")) and not callable(getattr(given, "read", None))


def _is_lasting(given: object) -> bool:
    """Whether a table can be read again."""
    kind = type(given)
    is_once = hasattr(given, "__next__") or kind.__name__ in ("RecordBatchReader", "Scanner")
    return isinstance(given, Mapping) or (
        kind.__module__.partition(".")[0] in ("pyarrow", "pandas", "polars", "duckdb") and not is_once
    )


def _paths(given: str | bytes) -> Iterator[Input]:
    text = os.fsdecode(given)
    if text == "-":
        # Unbuffered: an interrupted ingest must not wait for the lock of a buffer that waits for input.
        yield StreamInput(getattr(sys.stdin.buffer, "raw", sys.stdin.buffer), STDIN)
        return
    names = [text]
    if not os.path.lexists(text) and glob.has_magic(text):
        names = sorted(n for n in glob.glob(text, recursive=True) if not os.path.isdir(n))
        if not names:
            raise IngestError(f"no file matches {text!r}: check the pattern.")
    for name in names:
        path = Path(name)
        if path.is_dir():
            pattern = os.path.join(name, "*")
            raise IngestError(f"{name} is a folder: name its files with a pattern, for example {pattern!r}.")
        try:
            # A pipe that is named explicitly (`<(...)`, /dev/stdin) is read, once; one matched by a pattern is skipped.
            if name == text and path.exists() and not path.is_file():
                yield StreamInput(path.open("rb", buffering=0), name, owned=True)
                continue
            reader(path).close()
        except OSError as error:
            raise IngestError(f"{name} cannot be read: {error.strerror or error}. Nothing was ingested.") from error
        yield FileInput(path, name)


@contextmanager
def opened(given: FileInput | StreamInput) -> Iterator[Readable]:
    """The input as an open binary file; closed afterwards only if it was opened here."""
    if isinstance(given, FileInput):
        with given.open() as file:
            yield file
        return
    try:
        yield given.file
    finally:
        if given.owned:
            given.file.close()  # type: ignore[attr-defined]
