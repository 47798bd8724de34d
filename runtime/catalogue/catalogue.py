"""The catalogue as the rest of the program sees it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Protocol

from runtime.aws import Access
from runtime.catalogue.audit import audit_steps
from runtime.catalogue.dynamodb import DynamoTable
from runtime.catalogue.entries import AlreadyIngested, Committed, FileEntry, Record, SourceEntry, check_stream
from runtime.catalogue.schema import StreamSchema
from runtime.catalogue.snapshot import ReadSteps, Snapshot, unknown_stream
from runtime.catalogue.sqlite import SqliteTable
from runtime.catalogue.steps import STREAMS, StreamSteps
from runtime.catalogue.table import ConditionFailed, Query, Table, run
from runtime.catalogue.wire import load
from runtime.errors import StoreError


class Catalogue(Protocol):
    """Which files make up each stream, and which sources they came from; safe for many processes at once."""

    def streams(self) -> list[str]:
        """The names of all streams, sorted."""
        ...

    def schema(self, stream: str) -> StreamSchema | None:
        """The stream's schema as of its last commit; None when there is no such stream."""
        ...

    def is_ingested(self, stream: str, source_id: str) -> SourceEntry | None:
        """The entry of a source that was ingested or quarantined; None when it was not."""
        ...

    def commit(
        self, stream: str, schema: StreamSchema, source: SourceEntry, files: Sequence[FileEntry], attempt: str
    ) -> Committed | AlreadyIngested:
        """Add a source's files to the stream, all or none, and at most once per source; durable on return.

        The files must be in the object store already, each at ``entries.file_path`` of this attempt. Raises
        ``SchemaConflict``, ``IngestError`` (too many files for one commit; swept) or ``OutcomeUnknown``: after
        that one the files must stay, and ingesting the same source again is safe.
        """
        ...

    def snapshot(self, stream: str, since: int | None = None, until: int | None = None) -> Snapshot:
        """The stream as of its last commit, with the files of the UTC days of [since, until) (microseconds UTC).

        Raises ``QueryError`` for an unknown stream, ``IncompleteResult`` when the catalogue does not add up.
        """
        ...

    def sources(self, stream: str) -> list[SourceEntry]:
        """All sources of a stream, in the order of their ids."""
        ...

    def records(self, stream: str) -> Iterator[Record]:
        """The stream's log from its start."""
        ...

    def claim_for_sweep(self, stream: str, attempt: str) -> bool:
        """Claim the files of an attempt as orphans; only when True may they be deleted."""
        ...

    def audit(self, stream: str) -> list[str]:
        """Check the log, and the day index against it; each problem found is one sentence."""
        ...

    def close(self) -> None:
        """Give back what the catalogue holds open."""
        ...


class TableCatalogue:
    """The catalogue's protocol over a ``Table``."""

    def __init__(self, table: Table, clock: Callable[[], int] | None = None) -> None:
        self.table = table
        self._clock = clock

    def streams(self) -> list[str]:
        """The names of all streams, sorted."""
        return [str(load(body, "list of streams")["stream"]) for _, body in self.table.query(Query(STREAMS))]

    def schema(self, stream: str) -> StreamSchema | None:
        """The stream's schema as of its last commit."""
        steps = self._steps(stream)
        last = run(self.table, steps.last_record())
        return None if last is None else run(self.table, steps.schema_at(last))

    def is_ingested(self, stream: str, source_id: str) -> SourceEntry | None:
        """The entry of a source that was ingested or quarantined."""
        known = run(self.table, self._steps(stream).source(source_id))
        return None if known is None else known[0]

    def commit(
        self, stream: str, schema: StreamSchema, source: SourceEntry, files: Sequence[FileEntry], attempt: str
    ) -> Committed | AlreadyIngested:
        """Add a source's files to the stream; see ``Catalogue.commit``."""
        steps = self._steps(stream)
        done = run(self.table, steps.commit(schema, source, files, attempt))
        if isinstance(done, Committed):
            self._catch_up(steps)
        return done

    def snapshot(self, stream: str, since: int | None = None, until: int | None = None) -> Snapshot:
        """The stream as of its last commit; see ``Catalogue.snapshot``."""
        found = run(self.table, ReadSteps(self._steps(stream)).snapshot(since, until))
        if found is None:
            raise unknown_stream(stream, self.streams())
        return found

    def sources(self, stream: str) -> list[SourceEntry]:
        """All sources of a stream, in the order of their ids."""
        found = self.table.query(Query(f"{check_stream(stream)}/SRC"))
        return [SourceEntry.from_dict(load(body, f"source {sort}")) for sort, body in found]

    def records(self, stream: str) -> Iterator[Record]:
        """The stream's log from its start."""
        yield from run(self.table, self._steps(stream).records_after(0))

    def claim_for_sweep(self, stream: str, attempt: str) -> bool:
        """Claim the files of an attempt as orphans; only when True may they be deleted."""
        return run(self.table, self._steps(stream).claim_for_sweep(attempt))

    def audit(self, stream: str) -> list[str]:
        """Check the log, and the day index against it."""
        return run(self.table, audit_steps(self._steps(stream)))

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

    def _catch_up(self, steps: StreamSteps) -> None:
        """Bring the day index up to date. The commit is durable: when this fails, the next commit does it."""
        for _ in range(2):
            try:
                run(self.table, steps.catch_up())
                return
            except (StoreError, ConditionFailed):
                continue


class SqliteCatalogue(TableCatalogue):
    """The catalogue in one SQLite file; see ``SqliteTable``."""

    def __init__(
        self, path: str | os.PathLike[str], patience: float = 60.0, clock: Callable[[], int] | None = None
    ) -> None:
        super().__init__(SqliteTable(path, patience), clock)


class DynamoCatalogue(TableCatalogue):
    """The catalogue of the store ``owner`` in the DynamoDB table ``name``; see ``DynamoTable``."""

    def __init__(
        self,
        name: str,
        owner: str,
        access: Access | None = None,
        create: Callable[[], bool] = lambda: False,
        clock: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(DynamoTable(name, owner, access, create), clock)
