"""Ingests one source: read, type, write, and one commit that makes all of it visible at once."""

from __future__ import annotations

import re
import time as clock
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from operators.errors import DataflowError
from operators.nearest import nearest
from operators.types import Type
from runtime.catalogue import (
    AlreadyIngested,
    Catalogue,
    Committed,
    FileEntry,
    SourceEntry,
    StreamSchema,
    Waiting,
    new_attempt,
)
from runtime.catalogue.deletions import ReadAgain, Superseded
from runtime.catalogue.items.changes import TakenBack
from runtime.catalogue.items.entries import DAY
from runtime.errors import IngestError, QueryError, SchemaConflict
from runtime.ingest.columns.assemble import Assembler
from runtime.ingest.columns.batch import Batch
from runtime.ingest.columns.column_types import MAX_COLUMNS
from runtime.ingest.columns.erased_keys import ErasedKeys
from runtime.ingest.columns.event_times import RETIRED
from runtime.ingest.formats import batches_of
from runtime.ingest.inputs.byte_stream import Hashed, Prefetched
from runtime.ingest.inputs.identity import source_identity
from runtime.ingest.inputs.inputs import FileInput, Input, StreamInput, TableInput, Version, opened, version
from runtime.ingest.inputs.packed.packings import decompressed
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.new_assembler import new_assembler
from runtime.ingest.report import ColumnReport, SourceReport, utc
from runtime.ingest.resume import Known, known_source
from runtime.ingest.stored_columns import holds_wide
from runtime.ingest.tabular.tables import read_table, table_size
from runtime.ingest.text.rejects import Rejects
from runtime.ingest.writer import Writer, WriteTarget
from runtime.objects import ObjectStore
from runtime.progress import Progress, ProgressTask

_TABLE = 8
"""Tables are in memory already: this many times the rows are buffered, for fewer and larger files."""


@dataclass(frozen=True)
class Replacement:
    """What a source takes back in its commit: the live sources of these ``names``, and ``rows`` of them."""

    taken: TakenBack
    names: tuple[str, ...]
    rows: int


class Replacing(Protocol):
    """Finds what sources take back."""

    @property
    def only_one(self) -> bool:
        """Whether it is one source, whatever replaces it: then there is one input."""
        ...

    def found(self, name: str, source_id: str) -> list[SourceEntry]:
        """The live sources that the source of this name and id takes back; ``QueryError`` if they are not clear."""
        ...

    def replacement(self, found: Sequence[SourceEntry], attempt: str, number: int) -> Replacement:
        """Their removal in the commit of ``attempt``; ``number`` is that of the try."""
        ...


_TRIES = 20
"""How often the sources to take back are looked up again because their files were replaced meanwhile."""


@dataclass(frozen=True)
class StreamTarget:
    """The target of sources, and the limit of buffered rows.

    ``again``: sources that were taken back are ingested anew. ``replacing`` gives what a source takes back in the same
    commit.
    """

    objects: ObjectStore
    catalogue: Catalogue
    name: str
    memory_rows: int
    progress: Progress
    again: bool = False
    replacing: Replacing | None = None
    position: Mapping[str, Any] | None = None
    """Where the feed goes on after the source; such a source is committed even if all its records are rejected."""


class SourceRun:
    """One source's ingest."""

    def __init__(self, stream: StreamTarget, settings: Settings, given: Input) -> None:
        self._stream, self._settings, self._given = stream, replace(settings, met=set()), given
        self._committing: str | None = None
        self._seen: Version | None = None

    def settings_after(self) -> Settings:
        """The settings for the next source, which must fit what this one committed."""
        return replace(self._settings, known=self._schema())

    def is_committed(self) -> bool:
        """Whether the catalogue has the source as ingested."""
        try:
            return self._committing is not None and self._ingested(self._committing)
        except DataflowError:
            return False

    def report(self) -> SourceReport:
        """Ingest the source, unless it was ingested before.

        If another ingest committed conflicting types in the meantime, an input that can be read again is read with the
        new types, and rows that do not fit are rejected. If keys were erased, or the floor was raised, it is read again
        without them.
        """
        for _ in range(_TRIES):
            try:
                return self._fitting()
            except ReadAgain:
                if isinstance(self._given, StreamInput) or self._is_used_up:
                    raise
        raise IngestError(
            f"points are erased from stream {self._stream.name!r} all the time: ingest {self._given.name} later"
        )

    def _fitting(self) -> SourceReport:
        while True:
            try:
                return self._report()
            except SchemaConflict:
                fresh = self._schema()
                if fresh == self._settings.known or isinstance(self._given, StreamInput) or self._is_used_up:
                    raise
                self._settings = replace(self._settings, known=fresh)

    @property
    def _is_used_up(self) -> bool:
        """Whether the input is a table that could be read only once."""
        return isinstance(self._given, TableInput) and self._given.once

    def _schema(self) -> StreamSchema | None:
        return self._stream.catalogue.schema(self._stream.name)

    def _ingested(self, source_id: str) -> bool:
        return self._stream.catalogue.is_ingested(self._stream.name, source_id) is not None

    def _identity(self, digest: str) -> str:
        """The source's id, by the SHA-256 of its bytes."""
        return source_identity(self._stream.catalogue, self._stream.name, digest, self._given.name, self._settings)

    def _known(self, source_id: str) -> Known | None:
        if self._replaces(source_id):
            return None
        return known_source(self._stream.catalogue, self._stream.name, source_id, self._stream.again)

    def _replaces(self, source_id: str) -> bool:
        """Whether the source takes itself back, to be read anew."""
        return any(entry.id == source_id for entry in self._found(source_id))

    def _found(self, source_id: str) -> list[SourceEntry]:
        """What the source takes back."""
        if self._stream.replacing is None:
            return []
        try:
            return self._stream.replacing.found(self._given.name, source_id)
        except QueryError as error:
            raise IngestError(f"{self._given.name} replaces nothing, and was not ingested: {error}") from None

    def _report(self) -> SourceReport:
        begun = clock.monotonic()
        given = self._given
        if isinstance(given, TableInput):
            if given.identity is not None and self._known(given.identity) is not None:
                return self._again(given.identity, begun)
            done = self._from_table(given, None, begun)
            if isinstance(done, AlreadyIngested):  # its identity is known only now
                return self._again(done.source.id, begun)
            return done
        identity: str | None
        if isinstance(given, FileInput):
            digest, self._seen = given.digest()
            identity = given.identity or self._identity(digest)
        else:
            identity = given.identity
        known = None if identity is None else self._known(identity)
        if identity is not None and known is not None:
            return self._again(identity, begun)
        done = self._from_bytes(given, identity, None, begun)
        return (
            self._already(self._known(done.source.id), begun, done.source.id)
            if isinstance(done, AlreadyIngested)
            else done
        )

    def _again(self, identity: str, begun: float) -> SourceReport:
        """A source that was ingested before: its rows that were in the future then, if they no longer are."""
        known, given = self._known(identity), self._given
        if known is None or not known.acceptable or self._is_used_up:
            return self._already(known, begun, identity)
        if isinstance(given, TableInput):
            done = self._from_table(given, known, begun)
        else:
            done = self._from_bytes(given, known.next_id, known, begun)
        return self._already(self._known(identity), begun, identity) if isinstance(done, AlreadyIngested) else done

    def _already(self, known: Known | None, begun: float, identity: str | None = None) -> SourceReport:
        waiting = None if known is None else known.waiting
        entry = None if identity is None else self._stream.catalogue.is_ingested(self._stream.name, identity)
        now = self._settings.options()
        before = None if entry is None or entry.options == now else dict(entry.options)
        if not before and not self._settings.reading.to_dict():
            before = None  # of a time in which options were not kept
        return SourceReport(
            self._given.name,
            "already ingested",
            seconds=clock.monotonic() - begun,
            waiting=0 if waiting is None else waiting.rows,
            waiting_from=None if waiting is None else waiting.earliest,
            options_before=before,
            rejected_before=0 if entry is None else entry.rejected,
            replaced=None if self._stream.replacing is None else (),
        )

    # ---- reading and writing

    def _read_as(self, known: Known | None) -> Settings:
        """The settings to read with: waiting rows are read with the first ones."""
        return self._settings if known is None or known.waiting is None else self._settings.as_before(known.waiting)

    def _assembler(self, settings: Settings, known: Known | None) -> Assembler:
        stream, schema = self._stream, settings.known
        after = None if known is None or known.waiting is None else known.waiting.latest
        stored_wide = partial(holds_wide, stream.objects, stream.catalogue, stream.name)
        is_empty = schema is not None and self._is_empty(schema)
        made = new_assembler(Assembler, settings, self._given.name, after, is_empty, stored_wide)
        made.erased = ErasedKeys.of(stream.catalogue, stream.name)
        if schema is not None:
            floor = stream.catalogue.snapshot(stream.name, 0, 0).floor
            made.time.floor = None if floor is None else floor * DAY
        return made

    def _is_empty(self, known: StreamSchema) -> bool:
        """Whether no point was ever committed, so the type of the keys is not settled."""
        return not known.columns and self._stream.catalogue.snapshot(self._stream.name, 0, 0).first_time is None

    def _writer(self, attempt: str, times: int = 1, source: str | None = None) -> Writer:
        """A writer that buffers ``times`` as many rows as for a byte stream; ``source`` is its id, if known."""
        s, stream = self._settings, self._stream
        order = stream.catalogue.order(stream.name)
        target = WriteTarget(stream.objects, stream.name, attempt, s.key, s.time, s.duplicates, s.id, source, order)
        return Writer(target, times * stream.memory_rows, times)

    def _from_bytes(
        self, given: FileInput | StreamInput, identity: str | None, known: Known | None, begun: float
    ) -> SourceReport | AlreadyIngested:
        settings, attempt = self._read_as(known), new_attempt()
        assembler = self._assembler(settings, known)
        seen = self._seen
        task = self._stream.progress.start(given.name, None if seen is None else seen[2], "bytes")
        with _finishing(task), opened(given) as file, self._writer(attempt, source=identity) as writer:
            source = Hashed(file, given.name, identity)
            with closing(Prefetched(decompressed(source, given.name))) as pieces:
                done = rows = 0
                content = iter(pieces)
                for batch in batches_of(content, settings, assembler, given.name):
                    writer.add(batch, assembler.words, assembler.reset_words)
                    task.advance(source.bytes - done, assembler.rows_read - rows)
                    done, rows = source.bytes, assembler.rows_read
                for _ in content:  # read the rest, so that damage at the end is detected
                    pass
                source.drain()
                if seen is not None and version(file) != seen:
                    raise IngestError(
                        f"{given.name} was changed while it was read: ingest it again when it is complete."
                    )
                writer.finish(assembler.words)
        digest = source.digest if identity is not None else self._identity(source.digest)
        return self._commit(digest, source.bytes, assembler, writer, attempt, known, begun)

    def _from_table(self, given: TableInput, known: Known | None, begun: float) -> SourceReport | AlreadyIngested:
        settings, attempt = self._read_as(known), new_attempt()
        assembler = self._assembler(settings, known)
        task = self._stream.progress.start(given.name, table_size(given.table), "rows")
        with _finishing(task), self._writer(attempt, 1 if given.once else _TABLE) as writer:
            table = read_table(given.table, settings, assembler, given.name)
            for batch in _counted(table.batches(), assembler, task):
                writer.add(batch, assembler.words, assembler.reset_words)
            writer.finish(assembler.words)
        own = given.identity or table.digest
        digest = own if known is None or known.next_id is None else known.next_id
        return self._commit(digest, table.nbytes, assembler, writer, attempt, known, begun)

    # ---- the commit

    def _commit(
        self,
        digest: str,
        size: int,
        assembler: Assembler,
        writer: Writer,
        attempt: str,
        known: Known | None,
        begun: float,
    ) -> SourceReport | AlreadyIngested:
        name, rejects, times = self._given.name, assembler.rejects, assembler.time
        times.finish()
        committed = sum(file.rows for file in writer.files)
        is_retired = any(RETIRED in reason for reason in rejects.reasons)
        is_wrong = known is None and not assembler.left_out and not is_retired and self._stream.position is None
        if rejects.count and not writer.files and is_wrong:
            first = rejects.examples[0]
            hint = f" (is this machine's clock right? It is {utc(clock.time_ns() // 1000)})" if times.early else ""
            reason = first.reason + (hint or self._meant(first.text))
            raise IngestError(
                f"nothing could be read from {name}: all {rejects.count:,} records were rejected, the first at line "
                f"{first.line}, byte {first.byte}: {reason}. Nothing was ingested."
            )
        if known is not None and not assembler.rows_read:  # no waiting row is as early as recorded
            return SourceReport(name, "already ingested", seconds=clock.monotonic() - begun)
        waiting = None
        if times.early:
            s = self._read_as(known)
            waiting = Waiting(
                times.early, times.latest, times.earliest, s.unit, s.format, s.missing_key, s.reading.to_dict()
            )
        if rejects.as_text:
            rejects.types |= {name: of for name, of in assembler.types.items() if of is Type.STRING}
        rejects_path = self._put_rejects(digest, rejects, attempt)
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
            waiting=waiting,
            resumed=0 if known is None else assembler.rows_read,
            options=self._read_as(known).options(),
            position=self._stream.position,
        )
        types = assembler.columns
        # Of some columns, all values are words for missing ones, or in twins.
        null = {**{name: types.types.get(name) for name in assembler.notes.columns}, **assembler.empty}
        empty = {name: type_ for name, type_ in [*null.items()][:MAX_COLUMNS] if name not in writer.types}
        schema = self._settings.schema(types.key_type or Type.STRING, writer.types, types.wide, empty)
        self._committing = digest
        known_keys = 0 if assembler.erased is None else assembler.erased.number
        try:
            done, replaced = self._committed(schema, source, writer.files, attempt, known_keys, known is None)
        except ReadAgain:
            self._discard(source, writer.files, attempt)
            raise
        if isinstance(done, AlreadyIngested):
            return done
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
            seconds=clock.monotonic() - begun,
            waiting=times.early,
            waiting_from=times.earliest if times.early else None,
            resumed=known is not None,
            times=_times(writer),
            replaced=None if self._stream.replacing is None else () if replaced is None else replaced.names,
            replaced_rows=0 if replaced is None else replaced.rows,
            position=self._stream.position,
            columns=self._columns(assembler, writer),
            left_out=dict(assembler.notes.left_out),
            zone=self._settings.reading.time_zone,
            without_zone=times.without_zone,
            twice=times.twice,
            notes=(*getattr(self._given, "notes", ()), *assembler.notes.sentences, *self._unmet(assembler, writer)),
        )

    def _committed(
        self,
        schema: StreamSchema,
        source: SourceEntry,
        files: Sequence[FileEntry],
        attempt: str,
        erased: int,
        replaces: bool,
    ) -> tuple[Committed | AlreadyIngested, Replacement | None]:
        """The commit, and what it took back (``replaces``: not if only rows that waited are read)."""
        stream = self._stream
        for number in range(_TRIES):
            replaced = None
            if stream.replacing is not None and replaces and (found := self._found(source.id)):
                replaced = stream.replacing.replacement(found, attempt, number)
            try:
                done = stream.catalogue.commit(
                    stream.name, schema, source, files, attempt,
                    again=stream.again, replacing=None if replaced is None else replaced.taken,
                    erased=erased,
                )  # fmt: skip
            except ReadAgain:
                raise
            except Superseded:
                if replaced is None:
                    raise
            else:
                return done, replaced
        raise IngestError(
            f"the files of what {source.name} replaces change all the time: repeat it when fewer others write"
        )

    def _discard(self, source: SourceEntry, files: Sequence[FileEntry], attempt: str) -> None:
        """Remove what was written of a source that has erased keys, and is not committed."""
        stream = self._stream
        if not stream.catalogue.claim_for_sweep(stream.name, attempt):
            return
        for file in files:
            stream.objects.delete(file.path, versions=True)
        if source.rejects_path is not None:
            stream.objects.delete(source.rejects_path, versions=True)

    def _unmet(self, assembler: Assembler, writer: Writer) -> Iterator[str]:
        """What the options name that no record had."""
        there = {*writer.types, *assembler.empty, *assembler.notes.columns, self._settings.key, self._settings.time}
        return self._settings.unmet(there) if assembler.rows_read else iter(())

    def _columns(self, assembler: Assembler, writer: Writer) -> dict[str, ColumnReport]:
        """The columns with values or notes: those of the source in its order, with what became of their values."""
        names = [*writer.types, *(name for name in assembler.notes.columns if name not in writer.types)]
        counts = {name: sum(f.rows - f.nulls[name] for f in writer.files if name in f.nulls) for name in names}
        types = assembler.columns.types
        return {name: assembler.notes.report(name, str(types.get(name, "null")), counts[name]) for name in names}

    def _meant(self, record: str) -> str:
        """A suggestion, in brackets, if a record has no field with the name of the key or time."""
        fields = re.findall(r'"([^"\\]{1,100})"\s*:', record)
        for option, name in (("--key", self._settings.key), ("--time", self._settings.time)):
            if fields and name not in fields and nearest(name, fields):
                return f" ({option}: did you mean {nearest(name, fields)!r}?)"
        return ""

    def _put_rejects(self, digest: str, rejects: Rejects, attempt: str) -> str | None:
        if not rejects.count:
            return None
        path = f"rejects/{self._stream.name}/{digest}-{attempt}.ndjson"
        self._stream.objects.put(path, rejects.to_ndjson())
        return path


def _times(writer: Writer) -> tuple[int, int] | None:
    """The first and last event time of what was written."""
    files = writer.files
    return (min(f.t_min for f in files), max(f.t_max for f in files)) if files else None


@contextmanager
def _finishing(task: ProgressTask) -> Iterator[None]:
    try:
        yield
    finally:
        task.finish()


def _counted(batches: Iterator[Batch], assembler: Assembler, task: ProgressTask) -> Iterator[Batch]:
    rows = 0
    for batch in batches:
        yield batch
        task.advance(assembler.rows_read - rows, assembler.rows_read - rows)
        rows = assembler.rows_read
