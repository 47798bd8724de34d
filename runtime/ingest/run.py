"""The way of a source into a stream: read, type, write, and one commit that makes all of it visible at once."""

from __future__ import annotations

import re
import time as clock
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, Literal

from operators.nearest import nearest
from operators.types import Type
from runtime.catalogue import AlreadyIngested, Catalogue, SourceEntry, StreamSchema, check_stream, new_attempt
from runtime.errors import IngestError, StoreError
from runtime.ingest.assemble import Assembler
from runtime.ingest.batch import Batch
from runtime.ingest.bytestream import Hashed, Prefetched, decompressed
from runtime.ingest.formats import batches_of
from runtime.ingest.inputs import FileInput, Input, StreamInput, TableInput, Version, opened, resolve, version
from runtime.ingest.rejects import Rejects
from runtime.ingest.report import IngestReport, SourceReport, SourcesFailed
from runtime.ingest.settings import Settings
from runtime.ingest.tables import read_table, table_size
from runtime.ingest.times import TimeReader
from runtime.ingest.writer import Target, Writer
from runtime.objects import FileMissing, ObjectStore
from runtime.progress import NoProgress, Progress, Task

MEMORY_ROWS = 1 << 20
"""How many rows wait in memory at most before the fullest days are written."""

_TABLE = 8
"""A table is in memory as it is: so many times the rows may wait, for fewer and larger files."""

Given = str | Path | BinaryIO | Any


def ingest(
    objects: ObjectStore,
    catalogue: Catalogue,
    stream: str,
    inputs: Sequence[Given] | Given,
    *,
    key: str,
    time: str,
    unit: Literal["s", "ms", "us", "ns", "iso"] | None = None,
    format: Literal["auto", "ndjson", "json", "csv", "parquet"] = "auto",
    duplicates: Literal["keep", "exact", "latest"] | None = None,
    id: str | None = None,
    missing_key: str | None = None,
    progress: Progress | None = None,
    memory_rows: int = MEMORY_ROWS,
) -> IngestReport:
    """Add points to a stream, which the first ingest makes; each input is a source that counts exactly once.

    ``inputs`` are paths, glob patterns, ``"-"`` (standard input), open binary files (with an identity of their own:
    ``StreamInput``), Arrow tables, pandas or Polars frames, or dicts of arrays; files may be gzip or zstd, and JSON,
    CSV or Parquet. ``key`` and ``time`` name the columns of the key and of the event time (dotted for nested ones).
    ``unit`` is that of numeric times; ISO-8601 text needs none. ``duplicates``, ``id`` and ``missing_key`` are
    properties of the stream; None means the stream's.

    Single bad records are rejected and counted. ``IngestError`` says why an input as a whole was not ingested, and
    nothing of it then is; with several inputs the others are committed first (``SourcesFailed``).
    """
    check_stream(stream)
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
    )
    found = resolve(inputs)
    reports: list[SourceReport] = []
    failed: list[IngestError] = []
    for given in found:
        run = _Run(objects, catalogue, stream, settings, given, progress or NoProgress(), memory_rows)
        try:
            reports.append(run.report())
        except IngestError as error:
            failed.append(error)
            reports.append(SourceReport(given.name, "failed", error=str(error)))
        settings = run.settings_after()
    report = IngestReport(stream, tuple(reports))
    if len(failed) == 1 and len(found) == 1:
        raise failed[0]
    if failed:
        raise SourcesFailed(
            f"{len(failed)} of {len(found)} inputs were not ingested (the others were): {failed[0]}", report
        )
    return report


class _Run:
    """One source's ingest."""

    def __init__(
        self,
        objects: ObjectStore,
        catalogue: Catalogue,
        stream: str,
        settings: Settings,
        given: Input,
        progress: Progress,
        memory_rows: int,
    ) -> None:
        self._objects, self._catalogue, self._stream = objects, catalogue, stream
        self._settings, self._given, self._progress = settings, given, progress
        self._memory_rows = memory_rows
        self._attempt = new_attempt()

    def settings_after(self) -> Settings:
        """The settings for the next source, which must fit what this one committed."""
        known = self._catalogue.schema(self._stream)
        s = self._settings
        return Settings(s.key, s.time, s.unit, s.format, s.duplicates, s.id, s.missing_key, known)

    def report(self) -> SourceReport:
        """Ingest the source, or find that it was before."""
        begun = clock.monotonic()
        given = self._given
        if isinstance(given, TableInput):
            task = self._progress.start(given.name, table_size(given.table), "rows")
            try:
                return self._from_table(given, task, begun)
            finally:
                task.finish()
        known = size = None
        if isinstance(given, FileInput):
            known = given.digest()
            size = known[1][2]
        identity = known[0] if known else given.identity if isinstance(given, StreamInput) else None
        if identity is not None and self._known(identity):
            return SourceReport(given.name, "already ingested", seconds=clock.monotonic() - begun)
        task = self._progress.start(given.name, size, "bytes")
        try:
            return self._from_bytes(given, identity, None if known is None else known[1], task, begun)
        finally:
            task.finish()

    def _known(self, digest: str) -> bool:
        entry = self._catalogue.is_ingested(self._stream, digest)
        return entry is not None and entry.quarantined is None

    def _is_empty(self, known: StreamSchema) -> bool:
        """Whether no point was ever committed: the type of the keys is not settled then."""
        return not known.columns and self._catalogue.snapshot(self._stream, 0, 0).first_time is None

    def _assembler(self) -> Assembler:
        s = self._settings
        known = s.known
        return Assembler(
            s.key,
            TimeReader(s.time, s.unit, self._given.name),
            None if known is None or self._is_empty(known) else known.key_type,
            {} if known is None else known.columns,
            s.missing_key,
            self._given.name,
        )

    def _writer(self, times: int = 1) -> Writer:
        """A writer for ``times`` the rows that a stream of bytes may keep waiting."""
        s = self._settings
        target = Target(self._objects, self._stream, self._attempt, s.key, s.time, s.duplicates, s.id)
        return Writer(target, times * self._memory_rows, times)

    def _from_bytes(
        self, given: FileInput | StreamInput, identity: str | None, seen: Version | None, task: Task, begun: float
    ) -> SourceReport:
        assembler = self._assembler()
        with opened(given) as file:
            source = Hashed(file, given.name, identity)
            with self._writer() as writer, closing(Prefetched(decompressed(source, given.name))) as pieces:
                done = rows = 0
                content = iter(pieces)
                for batch in batches_of(content, self._settings, assembler, given.name):
                    writer.add(batch, assembler.words, assembler.reset_words)
                    task.advance(source.bytes - done, assembler.rows_read - rows)
                    done, rows = source.bytes, assembler.rows_read
                for _ in content:  # what a reader left, so that damage at the end is seen
                    pass
                source.drain()
                if seen is not None and version(file) != seen:
                    raise IngestError(
                        f"{given.name} was changed while it was read: ingest it again when it is complete."
                    )
                writer.finish(assembler.words)
        return self._commit(source.digest, source.bytes, assembler, writer, begun)

    def _from_table(self, given: TableInput, task: Task, begun: float) -> SourceReport:
        assembler = self._assembler()
        with self._writer(_TABLE) as writer:
            table = read_table(given.table, self._settings, assembler, given.name)
            for batch in _counted(table.batches(), assembler, task):
                writer.add(batch, assembler.words, assembler.reset_words)
            writer.finish(assembler.words)
        return self._commit(table.digest, table.nbytes, assembler, writer, begun)

    def _commit(self, digest: str, size: int, assembler: Assembler, writer: Writer, begun: float) -> SourceReport:
        name, rejects = self._given.name, assembler.rejects
        committed = sum(file.rows for file in writer.files)
        if rejects.count and not writer.files:
            first = rejects.kept[0]
            raise IngestError(
                f"nothing could be read from {name}: all {rejects.count:,} records were rejected, the first at line "
                f"{first.line}, byte {first.byte}: {first.reason}{self._meant(first.text)}. Nothing was ingested."
            )
        rejects_path = self._put_rejects(digest, rejects)
        source = SourceEntry(
            id=digest,
            name=name,
            bytes=size,
            rows_read=assembler.rows_read,
            rows_committed=committed,
            rejected=rejects.count,
            reject_reasons=rejects.reasons,
            dropped=writer.dropped,
            rejects_path=rejects_path,
        )
        schema = self._settings.schema(assembler.key_type or Type.STRING, writer.types)
        done = self._catalogue.commit(self._stream, schema, source, writer.files, self._attempt)
        seconds = clock.monotonic() - begun
        if isinstance(done, AlreadyIngested):
            return SourceReport(name, "already ingested", seconds=seconds)
        return SourceReport(
            name=name,
            status="ingested",
            rows_read=assembler.rows_read,
            committed=committed,
            rejected=rejects.count,
            dropped=writer.dropped,
            reasons=dict(rejects.reasons),
            examples=rejects.examples,
            rejects_path=rejects_path,
            files=len(writer.files),
            bytes_in=size,
            bytes_out=sum(file.bytes for file in writer.files),
            seconds=seconds,
        )

    def _meant(self, record: str) -> str:
        """The field that was meant, in brackets, where a record has none of the key's or the time's name."""
        fields = re.findall(r'"([^"\\]{1,100})"\s*:', record)
        for option, name in (("--key", self._settings.key), ("--time", self._settings.time)):
            if fields and name not in fields and nearest(name, fields):
                return f" ({option}: did you mean {nearest(name, fields)!r}?)"
        return ""

    def _put_rejects(self, digest: str, rejects: Rejects) -> str | None:
        if not rejects.count:
            return None
        path = f"rejects/{self._stream}/{digest}.ndjson"
        data = rejects.to_ndjson()
        try:
            self._objects.put(path, data)
        except StoreError:
            # An attempt that was never committed may have rejected other rows (a time in its future, a schema since).
            try:
                self._objects.size(path)
            except FileMissing:
                pass
            else:
                path = f"rejects/{self._stream}/{digest}-{self._attempt}.ndjson"
                self._objects.put(path, data)
                return path
            raise
        return path


def _counted(batches: Iterator[Batch], assembler: Assembler, task: Task) -> Iterator[Batch]:
    rows = 0
    for batch in batches:
        yield batch
        task.advance(assembler.rows_read - rows, assembler.rows_read - rows)
        rows = assembler.rows_read
