"""`ingest`: all inputs into a stream, one commit per source, and a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, Unpack

from runtime.catalogue import Catalogue, check_stream
from runtime.errors import IngestError
from runtime.ingest.formats import check_format
from runtime.ingest.inputs.identity import declared_identity
from runtime.ingest.inputs.inputs import Input, StreamInput, resolve
from runtime.ingest.inputs.packed.archive_members import MemberInput
from runtime.ingest.inputs.packed.archives import each_source
from runtime.ingest.inputs.quarantine import archive_done
from runtime.ingest.inputs.reading import ReadingOptions
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.one_source import Replacing, SourceRun, StreamTarget
from runtime.ingest.report import IngestReport, Interrupted, SourceReport, SourcesFailed
from runtime.ingest.resume import known_source
from runtime.ingest.text.rejects import KnownRows
from runtime.objects import ObjectStore
from runtime.progress import NoProgress, Progress
from runtime.released_memory import TRIMMER

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
    preset: str | None = None,
    source: str | None = None,
    progress: Progress | None = None,
    memory_rows: int = MEMORY_ROWS,
    again: bool = True,
    replacing: Replacing | None = None,
    position: Mapping[str, Any] | None = None,
    rows: KnownRows | None = None,
    **reading: Unpack[ReadingOptions],
) -> IngestReport:
    """Add points to a stream, which the first ingest creates; each input is a source that counts exactly once.

    ``inputs`` are paths, glob patterns, ``"-"`` (standard input), open binary files (with their own identity:
    ``StreamInput``), Arrow tables, readers or iterators of record batches, pandas or Polars frames, relations of
    DuckDB, dicts of arrays, or lists of these; files may be gzip, zstd, bzip2 or xz, and of any format that ``dataflow
    formats`` lists;
    each file in a zip archive is an input. ``key`` and ``time`` name the columns of the key and of the event time
    (dotted for nested ones); an existing stream knows them. ``unit`` is that of numeric times; ISO-8601 text needs
    none. ``duplicates``, ``id`` and ``missing_key`` are properties of the stream; None means the stream's. ``reading``
    are the options of ``Reading``. ``preset`` names a set of these options for a well-known source (``dataflow
    formats``); those that are given win.

    A source is known by its bytes and by what its name gives its rows (``key_value``). ``source`` is another name for
    the one input, which it is known by instead: a position or an idempotency key, under which equal bytes count each
    time, and other bytes do not.

    A source that was taken back (``undo``) is ingested anew if ``again``. ``replacing`` says what each source takes
    back in its own commit.

    ``position`` is where the feed goes on whose part the one input is: see ``StreamTarget``. ``rows`` says how it is
    read if it is rows of CSV whose header was elsewhere.

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
        preset=preset,
        **reading,
    )
    if rows is not None:
        settings = replace(settings, rows=rows, format="csv")
    found = resolve(inputs)
    if source is not None:
        found = [_called(found, source)]
    only_one = replacing is not None and replacing.only_one
    reports: list[SourceReport] = []
    failed: list[IngestError] = []
    target = StreamTarget(objects, catalogue, stream, memory_rows, progress or NoProgress(), again, replacing, position)
    run: SourceRun | None = None
    number = 0

    def is_known(identity: str) -> bool:
        return known_source(catalogue, stream, identity, again) is not None

    def finished(archive: StreamInput, size: int) -> None:
        """An archive of which a file failed, or has rows that wait, is read again when it is offered again."""
        if not failed and not any(report.waiting for report in reports):
            archive_done(catalogue, stream, settings, archive, size)

    try:
        for given in each_source(found, is_known, finished):
            if only_one and len(found) > 1:  # also the files of an archive
                raise IngestError(
                    f"one input takes the place of a source, not {len(found):,}: nothing was done. Give the first "
                    "alone, then the others without a source to replace."
                )
            if source is not None and isinstance(given, MemberInput):
                raise IngestError(
                    f"an archive has a source per file, which cannot all be {source!r}: nothing was done. Unpack it, "
                    "and name its files one by one."
                )
            run, number = SourceRun(target, settings, given), len(reports)
            try:
                reports.append(run.report())
            except IngestError as error:
                failed.append(error)
                reports.append(SourceReport(given.name, "failed", error=str(error)))
            settings = run.settings_after()
    except KeyboardInterrupt as stop:
        if run is not None and len(reports) == number and run.is_committed():
            reports.append(SourceReport(found[number].name, "ingested"))
        raise Interrupted(IngestReport(stream, tuple(reports)), [f.name for f in found[len(reports) :]]) from stop
    report = IngestReport(stream, tuple(reports))
    TRIMMER.worked()
    if len(failed) == 1 and len(found) == 1:
        raise failed[0]
    if failed:
        some = f"{len(failed)} of {len(found)} inputs were not ingested (the others were)"
        what = some if len(failed) < len(found) else f"none of the {len(found)} inputs was ingested"
        raise SourcesFailed(f"{what}: {failed[0]}", report)
    return report


def _called(found: Sequence[Input], source: str) -> Input:
    """The one input, as the source that is called so."""
    identity = declared_identity(source)
    if len(found) > 1:
        raise IngestError(
            f"{source!r} names one source, not {len(found):,} inputs: nothing was done. Give one input, or leave "
            "source out."
        )
    return replace(found[0], identity=identity)
