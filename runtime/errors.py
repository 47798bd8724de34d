"""Errors of storage, ingest and execution."""

from __future__ import annotations

from operators.errors import DataflowError


class StoreError(DataflowError):
    """A store that cannot be opened, read or written."""


class NoStore(StoreError):
    """There is no store at this place, and none may be created; ``near`` names a store that was probably meant."""

    def __init__(self, text: str, near: str | None = None) -> None:
        super().__init__(text)
        self.near = near


class FormatError(DataflowError):
    """Bytes that are not what they claim to be: a damaged or hostile point file or message."""


class IngestError(DataflowError):
    """An input that cannot be ingested as a whole (single bad rows are counted as rejects instead)."""


class SchemaConflict(IngestError):
    """An input whose declaration or column types contradict those of the stream."""


class QueryError(DataflowError):
    """A query that cannot be planned or run."""


class OtherRelease(QueryError):
    """This process would compute a query differently from the one that asks: with other kernels or time zones."""


class OtherVersion(QueryError):
    """A client and a deployment of versions that do not work together; the message says which one to update."""


class NotEnoughMemory(QueryError, MemoryError):
    """The system gave this process no more memory, or no more threads."""


def not_enough_memory(where: str) -> NotEnoughMemory:
    """The error; ``where`` names the step, or what was done."""
    return NotEnoughMemory(
        f"{where}: there is not enough memory for it here; take a shorter range, group by fewer columns, or use fewer "
        "workers (workers=1, --workers 1)"
    )


class SnapshotTooOld(QueryError):
    """A file that was planned has been replaced and collected since: the query can be repeated."""


class IncompleteResult(QueryError):
    """The proof failed: a planned row was not read, or was read twice."""
