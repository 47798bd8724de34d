"""`Catalogue`: the interface of the catalogue for the rest of the program."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, TypeVar

from operators.errors import DataflowError
from runtime.aws.access import Access
from runtime.catalogue.aliases import alias_steps, put_alias_steps
from runtime.catalogue.items.changes import Erasure, Gone, Left, TakenBack
from runtime.catalogue.items.commit_order import Order
from runtime.catalogue.items.entries import AlreadyIngested, Committed, FileEntry, Record, SourceEntry
from runtime.catalogue.items.schema import StreamSchema
from runtime.catalogue.items.stream_names import count_puts, counted, stream_names
from runtime.catalogue.key_value import ConditionFailed, KeyValueTable, run, transact
from runtime.catalogue.protocol import StreamSteps
from runtime.catalogue.recent import Recent
from runtime.catalogue.repair.audit import audit_steps, records_steps, sources_steps
from runtime.catalogue.repair.sealing import seal_steps
from runtime.catalogue.snapshot import ReadSteps, Snapshot, unknown_stream
from runtime.catalogue.store_notes import change_note_steps, note_steps
from runtime.catalogue.stores import KINDS, CataloguePlace, check_kind
from runtime.catalogue.stores.dynamodb import DynamoTable
from runtime.catalogue.stores.sqlite import SqliteTable
from runtime.errors import StoreError

T = TypeVar("T")

_RECENT = 20_000
"""Files of the snapshots that are kept: some 1.5 kB each, once their entries were read."""


class Catalogue(Protocol):
    """The files of each stream and the sources they came from; safe for concurrent processes."""

    def begin(self) -> None:
        """Make sure that a catalogue exists before files are written; StoreError if one existed and is lost."""
        ...

    def streams(self) -> list[str]:
        """The names of all streams, sorted."""
        ...

    def schema(self, stream: str) -> StreamSchema | None:
        """The stream's schema as of its last commit; None when there is no such stream."""
        ...

    def is_ingested(self, stream: str, source_id: str) -> SourceEntry | None:
        """The entry of a source that was ingested or quarantined; None when it was not."""
        ...

    def source(self, stream: str, source_id: str) -> tuple[SourceEntry, int] | None:
        """The entry of a source, as ``is_ingested``, and the commit that added it.

        To take it back, read it after the snapshot: a later commit is none of the snapshot's.
        """
        ...

    def alias(self, stream: str, alias: str) -> str | None:
        """The id of the source with this alias, a SHA-256 of where it lies; None if none was noted."""
        ...

    def put_alias(self, stream: str, alias: str, source_id: str) -> None:
        """Note an alias of a source that was committed. It may be lost, and it counts for nothing."""
        ...

    def note(self, name: str) -> Mapping[str, Any] | None:
        """The content of a small item of the store as a whole; None if there is none."""
        ...

    def change_note(self, name: str, change: Callable[[Mapping[str, Any] | None], Mapping[str, Any]]) -> None:
        """Replace a note by what ``change`` makes of it, which may be called several times; durable on return."""
        ...

    def order(self, stream: str) -> Order:
        """The last commits of the stream, for the files of an attempt that begins now."""
        ...

    def commit(
        self,
        stream: str,
        schema: StreamSchema,
        source: SourceEntry,
        files: Sequence[FileEntry],
        attempt: str,
        *,
        again: bool = False,
        replacing: TakenBack | None = None,
        erased: int | None = None,
    ) -> Committed | AlreadyIngested:
        """Add a source's files to the stream, all or none, and at most once per source; durable on return.

        The files must be in the object store already, each at ``entries.file_path`` of this attempt. Raises
        ``SchemaConflict``, ``IngestError`` (too many files for one commit; swept) or ``OutcomeUnknown``: after
        that one the files must stay, and ingesting the same source again is safe.

        A source that was taken back is already ingested, unless it is to be added ``again``. ``replacing`` are sources
        that the same commit takes back, this one among them if it is live. ``erased`` is the number of erased keys
        (``Snapshot.erased``; of those of ``erased`` the sum of ``times``) that the files respect. ``Superseded`` if
        another commit has replaced a file that this one would, or (``KeysErased``) erased a key: nothing was written,
        the attempt's files are orphans, and it can be planned again.
        """
        ...

    def replace(
        self, stream: str, dels: Sequence[FileEntry], adds: Sequence[FileEntry], attempt: str
    ) -> Committed | None:
        """Replace live files by others with the same rows, all or none; any number of them.

        None if another commit has replaced one of them: nothing was written, the attempt's files are orphans, which
        may be deleted at once, and it can be planned again. So do the methods below. ``OutcomeUnknown`` as for
        ``commit``.
        """
        ...

    def undo(
        self,
        stream: str,
        sources: Sequence[str],
        dels: Sequence[FileEntry],
        adds: Sequence[FileEntry],
        attempt: str,
        left: Left,
    ) -> Committed | None:
        """Take sources back, by id, at most ``changes.MAX_NAMED``; see ``TakenBack``.

        They stay known, with ``SourceEntry.undone``. StoreError if one was never ingested; None, too, if one was taken
        back meanwhile.
        """
        ...

    def dismiss(self, stream: str, sources: Sequence[str], attempt: str) -> Committed | None:
        """Dismiss sources in quarantine, by id, at most ``changes.MAX_NAMED``: they stay in quarantine and are counted
        there, with ``SourceEntry.dismissed``. None, too, if one of them was taken or dismissed meanwhile."""
        ...

    def retry(self, stream: str, sources: Sequence[str], attempt: str) -> Committed | None:
        """Note that sources in quarantine are to be taken again, dismissed or not: if that fails, it is a commit, also
        for the same reason as before. None if one of them was taken meanwhile."""
        ...

    def raise_floor(
        self,
        stream: str,
        day: int,
        dels: Sequence[FileEntry],
        adds: Sequence[FileEntry],
        attempt: str,
        left: Left,
    ) -> Committed | None:
        """Retention: keep the points from the UTC day ``day`` on, and replace ``dels``, all files that begin before it.

        Of ``adds``, some have their points from that day on; the others end before it, and hold the rows that are
        carried in. StoreError if the floor is above it.
        """
        ...

    def erase(
        self,
        stream: str,
        digests: Sequence[str],
        dels: Sequence[FileEntry],
        adds: Sequence[FileEntry],
        attempt: str,
        left: Left,
    ) -> Committed | None:
        """Replace all files with points of keys by files without them, and note the keys' SHA-256.

        None, too, if points were added meanwhile. In a stream that is busy, use ``note_erased`` first; then replace
        the files, as of a later snapshot, without digests.
        """
        ...

    def note_erased(self, stream: str, digests: Sequence[str], attempt: str) -> Committed | None:
        """Note the SHA-256 of keys that are being erased: later commits leave them out (``commit(erased=)``)."""
        ...

    def erase_all(self, stream: str, dels: Sequence[FileEntry], attempt: str, seq: int) -> Committed | None:
        """Remove all points of a stream, whose files are ``dels`` as of commit ``seq``, and forget its sources and its
        floor: the next commit begins a stream of this name anew."""
        ...

    def erased(self, stream: str) -> dict[str, Erasure]:
        """The keys that were erased, by their SHA-256."""
        ...

    def gone(self, stream: str, after: int = 0) -> Iterator[Gone]:
        """The files that commits beyond ``after`` replaced or removed, in the order of these commits."""
        ...

    def replaced(self, stream: str, path: str) -> int | None:
        """The commit that replaced or removed the file at this path; None if none did."""
        ...

    def snapshot(self, stream: str, since: int | None = None, until: int | None = None) -> Snapshot:
        """The stream as of its last commit, with the files of the UTC days of [since, until) (microseconds UTC).

        Raises ``QueryError`` for an unknown stream, ``IncompleteResult`` when the catalogue is inconsistent.
        """
        ...

    def sources(self, stream: str) -> list[SourceEntry]:
        """All sources of a stream, in the order of their ids."""
        ...

    def records(self, stream: str, after: int = 0) -> Iterator[Record]:
        """The stream's log beyond commit ``after``."""
        ...

    def record(self, stream: str, seq: int) -> Record:
        """Commit ``seq`` of the stream."""
        ...

    def claim_for_sweep(self, stream: str, attempt: str) -> bool:
        """Claim the files of an attempt as orphans; only when True may they be deleted."""
        ...

    def audit(self, stream: str) -> list[str]:
        """Check the log, and the day index against it; each problem found is one sentence."""
        ...

    def problems(self) -> list[str]:
        """Check the storage below the streams, and the list of streams; each problem found is one sentence."""
        ...

    def close(self) -> None:
        """Release open resources."""
        ...


class TableCatalogue:
    """The catalogue's protocol over a ``KeyValueTable``; ``in_use`` says whether there are points, if the table
    cannot."""

    def __init__(
        self, table: KeyValueTable, clock: Callable[[], int] | None = None, in_use: Callable[[], bool] = lambda: False
    ) -> None:
        self.table = table
        self._clock = clock
        self._in_use = in_use
        self._recent = Recent[Snapshot](_RECENT)

    def begin(self) -> None:
        """Create the stream count (zero) if there is none; see ``Catalogue.begin``."""
        if run(self.table, counted()) is not None:
            return
        # Who adds points has begun first: if there are points, the count is asked for again, or it was lost.
        if not self.streams() and self._in_use() and run(self.table, counted()) is None:
            raise StoreError(
                "the catalogue has nothing of this store, but there are points below data/: its table was lost, or is "
                "another one. Name the right one with ?table=, restore it, or run `dataflow recover` on the store."
            )
        with suppress(ConditionFailed):  # another process was faster
            run(self.table, transact(count_puts(None, [])))

    def streams(self) -> list[str]:
        """The names of all streams, sorted."""
        return run(self.table, stream_names())

    def schema(self, stream: str) -> StreamSchema | None:
        """The stream's schema as of its last commit."""
        steps = self._steps(stream)
        last, _ = run(self.table, steps.last_record())
        return None if last is None else run(self.table, steps.schema_at(last))

    def is_ingested(self, stream: str, source_id: str) -> SourceEntry | None:
        """The entry of a source that was ingested or quarantined."""
        known = self.source(stream, source_id)
        return None if known is None else known[0]

    def source(self, stream: str, source_id: str) -> tuple[SourceEntry, int] | None:
        """The entry of a source, and the commit that added it."""
        known = run(self.table, self._steps(stream).source(source_id))
        return None if known is None else known[:2]

    def alias(self, stream: str, alias: str) -> str | None:
        """The id of the source with this alias."""
        return run(self.table, alias_steps(self._steps(stream), alias))

    def put_alias(self, stream: str, alias: str, source_id: str) -> None:
        """Note an alias of a source."""
        run(self.table, put_alias_steps(self._steps(stream), alias, source_id))

    def note(self, name: str) -> Mapping[str, Any] | None:
        """The content of a note."""
        found = run(self.table, note_steps(name))
        return None if found is None else found[1]

    def change_note(self, name: str, change: Callable[[Mapping[str, Any] | None], Mapping[str, Any]]) -> None:
        """Replace a note by what ``change`` makes of it."""
        run(self.table, change_note_steps(name, change))

    def order(self, stream: str) -> Order:
        """The last commits of the stream."""
        return run(self.table, self._steps(stream).order())

    def commit(
        self,
        stream: str,
        schema: StreamSchema,
        source: SourceEntry,
        files: Sequence[FileEntry],
        attempt: str,
        *,
        again: bool = False,
        replacing: TakenBack | None = None,
        erased: int | None = None,
    ) -> Committed | AlreadyIngested:
        """Add a source's files to the stream; see ``Catalogue.commit``."""
        steps = self._steps(stream)
        commit = steps.commit(schema, source, files, attempt, again=again, replacing=replacing, erased=erased)
        return self._caught_up(steps, run(self.table, commit))

    def replace(
        self, stream: str, dels: Sequence[FileEntry], adds: Sequence[FileEntry], attempt: str
    ) -> Committed | None:
        """Replace live files by others with the same rows; see ``Catalogue.replace``."""
        steps = self._steps(stream)
        return self._caught_up(steps, run(self.table, steps.replace(dels, adds, attempt)))

    def undo(
        self,
        stream: str,
        sources: Sequence[str],
        dels: Sequence[FileEntry],
        adds: Sequence[FileEntry],
        attempt: str,
        left: Left,
    ) -> Committed | None:
        """Take sources back; see ``Catalogue.undo``."""
        steps = self._steps(stream)
        return self._caught_up(steps, run(self.table, steps.undo(sources, dels, adds, attempt, left)))

    def dismiss(self, stream: str, sources: Sequence[str], attempt: str) -> Committed | None:
        """Dismiss sources in quarantine; see ``Catalogue.dismiss``."""
        steps = self._steps(stream)
        return self._caught_up(steps, run(self.table, steps.dismiss(sources, attempt)))

    def retry(self, stream: str, sources: Sequence[str], attempt: str) -> Committed | None:
        """Ask for sources to be taken again; see ``Catalogue.retry``."""
        steps = self._steps(stream)
        return self._caught_up(steps, run(self.table, steps.retry(sources, attempt)))

    def raise_floor(
        self,
        stream: str,
        day: int,
        dels: Sequence[FileEntry],
        adds: Sequence[FileEntry],
        attempt: str,
        left: Left,
    ) -> Committed | None:
        """Keep the points from a day on; see ``Catalogue.raise_floor``."""
        steps = self._steps(stream)
        return self._caught_up(steps, run(self.table, steps.raise_floor(day, dels, adds, attempt, left)))

    def erase(
        self,
        stream: str,
        digests: Sequence[str],
        dels: Sequence[FileEntry],
        adds: Sequence[FileEntry],
        attempt: str,
        left: Left,
    ) -> Committed | None:
        """Erase keys; see ``Catalogue.erase``."""
        steps = self._steps(stream)
        return self._caught_up(steps, run(self.table, steps.erase(digests, dels, adds, attempt, left)))

    def note_erased(self, stream: str, digests: Sequence[str], attempt: str) -> Committed | None:
        """Note keys that are being erased; see ``Catalogue.note_erased``."""
        steps = self._steps(stream)
        return self._caught_up(steps, run(self.table, steps.note_erased(digests, attempt)))

    def erase_all(self, stream: str, dels: Sequence[FileEntry], attempt: str, seq: int) -> Committed | None:
        """Erase the points of a stream; see ``Catalogue.erase_all``."""
        steps = self._steps(stream)
        return self._caught_up(steps, run(self.table, steps.erase_all(dels, attempt, seq)))

    def erased(self, stream: str) -> dict[str, Erasure]:
        """The keys that were erased, by their SHA-256."""
        return run(self.table, self._steps(stream).erased())

    def gone(self, stream: str, after: int = 0) -> Iterator[Gone]:
        """The files that commits beyond ``after`` replaced or removed."""
        for record in run(self.table, records_steps(self._steps(stream), after)):
            for gone in record.dels:
                yield Gone(gone.path, record.seq, record.at, gone.bytes)

    def replaced(self, stream: str, path: str) -> int | None:
        """The commit that replaced or removed the file at this path."""
        return run(self.table, self._steps(stream).replaced(path))

    def snapshot(self, stream: str, since: int | None = None, until: int | None = None) -> Snapshot:
        """The stream as of its last commit; see ``Catalogue.snapshot``."""
        found = run(self.table, ReadSteps(self._steps(stream), self._recent).snapshot(since, until))
        if found is None:
            raise unknown_stream(stream, self.streams())
        return found

    def sources(self, stream: str) -> list[SourceEntry]:
        """All sources of a stream, in the order of their ids."""
        return run(self.table, sources_steps(self._steps(stream)))

    def records(self, stream: str, after: int = 0) -> Iterator[Record]:
        """The stream's log beyond commit ``after``."""
        yield from run(self.table, records_steps(self._steps(stream), after))

    def record(self, stream: str, seq: int) -> Record:
        """Commit ``seq`` of the stream."""
        return run(self.table, self._steps(stream).record(seq))

    def claim_for_sweep(self, stream: str, attempt: str) -> bool:
        """Claim the files of an attempt as orphans; only when True may they be deleted."""
        return run(self.table, self._steps(stream).claim_for_sweep(attempt))

    def audit(self, stream: str) -> list[str]:
        """Check the log, and the day index against it."""
        return run(self.table, audit_steps(self._steps(stream)))

    def problems(self) -> list[str]:
        """Check the table itself and the list of streams."""
        problems: list[str] = []
        for check in (self.table.problems, lambda: self.streams() and []):
            try:
                problems += check()
            except DataflowError as error:
                problems.append(str(error))
        return list(dict.fromkeys(problems))

    def close(self) -> None:
        """Close the table."""
        self.table.close()

    def __enter__(self) -> TableCatalogue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _steps(self, stream: str) -> StreamSteps:
        return StreamSteps(stream, self.table.most, self._clock)

    def _caught_up(self, steps: StreamSteps, done: T) -> T:
        if isinstance(done, Committed):
            self._catch_up(steps)
        return done

    def _catch_up(self, steps: StreamSteps) -> None:
        """Write the head beside the table, bring the day index up to date, seal a stream of an earlier version.

        The commit is durable: when one of these fails, the next commit does it.
        """
        for step in (steps.note_head, steps.catch_up, lambda: seal_steps(steps, audit_steps(steps))):
            for _ in range(2):
                try:
                    run(self.table, step())
                    break
                except (StoreError, ConditionFailed):
                    continue


class SqliteCatalogue(TableCatalogue):
    """The catalogue in one SQLite file; see ``SqliteTable``."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        patience: float = 60.0,
        clock: Callable[[], int] | None = None,
        in_use: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(SqliteTable(path, patience, in_use), clock)


class DynamoCatalogue(TableCatalogue):
    """The catalogue of the store ``owner`` in the DynamoDB table ``name``; see ``DynamoTable``."""

    def __init__(
        self,
        name: str,
        owner: str,
        access: Access | None = None,
        create: Callable[[], bool] = lambda: False,
        clock: Callable[[], int] | None = None,
        in_use: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(DynamoTable(name, owner, access, create), clock, in_use)


def open_catalogue(kind: str, place: CataloguePlace, in_use: Callable[[], bool] = lambda: False) -> TableCatalogue:
    """The catalogue in a table of this kind (``runtime.catalogue.stores``); StoreError for a kind that is not known."""
    check_kind(kind)
    return TableCatalogue(KINDS[kind](place), in_use=in_use)
