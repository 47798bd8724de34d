"""`ingest`: all inputs into a stream, one commit per source, and a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, Unpack

from runtime.catalogue import Catalogue, check_stream
from runtime.errors import IngestError
from runtime.ingest.formats import check_format
from runtime.ingest.inputs.inputs import resolve
from runtime.ingest.inputs.reading import ReadingOptions
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.one_source import SourceRun, StreamTarget
from runtime.ingest.report import IngestReport, Interrupted, SourceReport, SourcesFailed
from runtime.objects import ObjectStore
from runtime.progress import NoProgress, Progress

MEMORY_ROWS = 1 << 20
"""Maximum rows in memory before the fullest days are written."""

Given = str | Path | BinaryIO | Any


def ingest(
    objects: ObjectStore,
    catalogue: Catalogue,
    stream: str,
    inputs: Sequence[Given] | Given,
    *,
    key: str | None = None,
    time: str | None = None,
    unit: Literal["s", "ms", "us", "ns", "iso"] | None = None,
    format: str = "auto",
    duplicates: Literal["keep", "exact", "latest"] | None = None,
    id: str | None = None,
    missing_key: str | None = None,
    progress: Progress | None = None,
    memory_rows: int = MEMORY_ROWS,
    **reading: Unpack[ReadingOptions],
) -> IngestReport:
    """Add points to a stream, which the first ingest creates; each input is a source that counts exactly once.

    ``inputs`` are paths, glob patterns, ``"-"`` (standard input), open binary files (with their own identity:
    ``StreamInput``), Arrow tables, readers or iterators of record batches, pandas or Polars frames, relations of
    DuckDB, or dicts of arrays; files may be gzip or zstd, and JSON, CSV, Parquet or Arrow IPC. ``key`` and ``time``
    name the columns of the key and of the event time (dotted for nested ones); an existing stream knows them. ``unit``
    is that of numeric times; ISO-8601 text needs none. ``duplicates``, ``id`` and ``missing_key`` are properties of the
    stream; None means the stream's. ``reading`` are the options of ``Reading``.

    Single bad records are rejected and counted. ``IngestError`` says why an input could not be ingested; then none of
    it is. With several inputs the others are committed first (``SourcesFailed``). ``Interrupted`` (a KeyboardInterrupt)
    reports what was done so far.
    """
    check_stream(stream)
    check_format(format)
    catalogue.begin()
    settings = Settings.of(
        catalogue.schema(stream),
        stream,
        key=key,
        time=time,
        unit=unit,
        format=format,
        duplicates=duplicates,
        id=id,
        missing_key=missing_key,
        **reading,
    )
    found = resolve(inputs)
    reports: list[SourceReport] = []
    failed: list[IngestError] = []
    target = StreamTarget(objects, catalogue, stream, memory_rows, progress or NoProgress())
    for number, given in enumerate(found):
        run = SourceRun(target, settings, given)
        try:
            reports.append(run.report())
            settings = run.settings_after()
        except IngestError as error:
            failed.append(error)
            reports.append(SourceReport(given.name, "failed", error=str(error)))
            settings = run.settings_after()
        except KeyboardInterrupt as stop:
            if len(reports) == number and run.is_committed():
                reports.append(SourceReport(given.name, "ingested"))
            raise Interrupted(IngestReport(stream, tuple(reports)), [f.name for f in found[len(reports) :]]) from stop
    report = IngestReport(stream, tuple(reports))
    if len(failed) == 1 and len(found) == 1:
        raise failed[0]
    if failed:
        raise SourcesFailed(
            f"{len(failed)} of {len(found)} inputs were not ingested (the others were): {failed[0]}", report
        )
    return report
