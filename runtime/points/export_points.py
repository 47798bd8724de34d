"""Writes the points of a stream to a file: Parquet, CSV or NDJSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from operators.errors import DataflowError
from operators.files import whole_file
from operators.nearest import meant
from runtime.display.table_files import FORMS, form_of, table_file
from runtime.points.point_scan import PointRange, PointScan
from runtime.progress import Progress, human_bytes
from runtime.storage.open_store import OpenStore


@dataclass(frozen=True)
class ExportReport:
    """What was exported: ``rows`` points with ``columns`` columns, key and time included, as of commit ``snapshot``.

    ``bytes`` is the size of the file, None for a file object. ``merged`` rows were repeats that the stream's policy
    leaves out or merges, as in queries.
    """

    stream: str
    snapshot: int
    rows: int
    columns: int
    merged: int
    path: str | None = None
    bytes: int | None = None

    def to_dict(self) -> dict[str, object]:
        """The JSON form."""
        return asdict(self)

    def __str__(self) -> str:
        merged = f", {self.merged:,} duplicates left out" if self.merged else ""
        where = "" if self.path is None else f" to {self.path} ({human_bytes(self.bytes or 0)})"
        return f"{self.stream}: {self.rows:,} points with {self.columns:,} columns written{where}{merged}"


def export(
    store: OpenStore,
    stream: str,
    target: str | Path | BinaryIO,
    wanted: PointRange,
    form: str | None,
    replace: bool,
    progress: Progress,
) -> ExportReport:
    """See ``Store.export``; DataflowError if the file exists, or cannot be written."""
    path = Path(target) if isinstance(target, (str, Path)) else None
    if form is None and path is None:
        raise DataflowError(f"a file object needs a format: {', '.join(FORMS)}")
    form = form or form_of(path or Path())
    if form not in FORMS:
        raise DataflowError(f"there is no format {form!r}; {meant(form, FORMS, 'there')} are {', '.join(FORMS)}")
    scan = PointScan(store, stream, wanted)
    with _opened(target, replace) as out:
        table = table_file(form, out, scan.types, "" if path is None else path.name)
        task = progress.start(f"export {stream}", sum(file.rows for file in scan.files), "rows")
        try:
            for batch in scan.batches():
                table.write(batch)
                rows = len(next(iter(batch.values())))
                task.advance(rows, rows)
            table.finish()
        finally:
            task.finish()
    size = None if path is None else path.stat().st_size
    counts = scan.counts
    where = None if path is None else str(path)
    return ExportReport(stream, scan.snapshot.seq, counts.rows, len(scan.types), counts.merged, where, size)


@contextmanager
def _opened(target: str | Path | BinaryIO, replace: bool) -> Iterator[BinaryIO]:
    if not isinstance(target, (str, Path)):
        yield target
        return
    try:
        with whole_file(Path(target), replace) as out:
            yield out
    except FileExistsError as error:
        raise DataflowError(
            f"{target} exists already: name another file, or replace it (--force, force=True)"
        ) from error
    except OSError as error:
        raise DataflowError(f"cannot write {target}: {error.strerror or error}; choose another file") from error
