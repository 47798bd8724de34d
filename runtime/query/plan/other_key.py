"""Plans for a stream whose points are read by another key (``key_by``): its snapshots and the metric as if it had been
ingested so."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dataflow.binding.typing import GraphError
from dataflow.metrics.bind import streams_of
from dataflow.steps import KeyBy, Source
from dataflow.steps.answers.key_by import ALONE
from dataflow.steps.base import Step
from operators.nearest import listed, meant
from operators.types import Type
from runtime.catalogue import Snapshot, StreamSchema
from runtime.query.plan.prepare import Request, Snapshots


def other_key(steps: tuple[Step, ...]) -> KeyBy | None:
    """The step that gives a metric's points another key than that of the stream."""
    at = next((i for i, step in enumerate(steps) if isinstance(step, KeyBy)), None)
    if at is None:
        return None
    key = steps[at]
    assert isinstance(key, KeyBy)
    if at != 1 or not isinstance(steps[0], Source) or len(streams_of(steps)) > 1:
        raise GraphError(f"step {at + 1} (key_by): {ALONE}")
    return key


@dataclass(frozen=True)
class KeyedSnapshots:
    """The snapshots of streams, one of them as if its points had the key ``key``."""

    of: Snapshots
    stream: str
    key: KeyBy

    def streams(self) -> list[str]:
        """See Snapshots."""
        return self.of.streams()

    def schema(self, stream: str) -> StreamSchema | None:
        """See Snapshots."""
        found = self.of.schema(stream)
        return found if found is None or stream != self.stream else keyed_schema(found, self.key)

    def snapshot(self, stream: str, since: int | None = None, until: int | None = None) -> Snapshot:
        """See Snapshots."""
        found = self.of.snapshot(stream, since, until)
        return found if stream != self.stream else replace(found, schema=keyed_schema(found.schema, self.key))


def with_other_key(snapshots: Snapshots, request: Request) -> tuple[Snapshots, Request]:
    """The snapshots and the request for planning; those of a metric by the stream's own key unchanged."""
    key = other_key(request.steps)
    if key is None:
        return snapshots, request
    source = request.steps[0]
    assert isinstance(source, Source)
    return KeyedSnapshots(snapshots, source.name, key), request


def keyed_schema(schema: StreamSchema, by: KeyBy) -> StreamSchema:
    """The stream's schema with another key. Duplicates are resolved already; the stream's key is a column like others.
    GraphError for a column that cannot be a key."""
    where = "step 2 (key_by)"
    if by.columns == (schema.key,):
        raise GraphError(f"{where}: {schema.key!r} is the stream's key already; leave key_by out")
    every = {schema.key: schema.key_type, **schema.columns}
    several = len(by.columns) > 1
    for column in by.columns:
        kind = every.get(column)
        if kind not in (Type.STRING, Type.INT):
            possible = every if several else schema.columns
            there = sorted(n for n, t in possible.items() if t in (Type.STRING, Type.INT))
            what = "there is no column" if kind is None else f"a key is text or an integer, and {kind} is the column"
            raise GraphError(f"{where}: {what} {column!r}; {meant(column, there, 'possible')} keys: {listed(there)}")
    if several and by.key in every:
        raise GraphError(
            f"{where}: the key of {listed(by.columns)} would be the column {by.key!r}, and the stream has one of that "
            "name; rename it at ingest, or use key_by with it alone"
        )
    key_type = Type.STRING if several else every[by.key]
    columns = {n: t for n, t in every.items() if n != by.key}
    return replace(schema, key=by.key, key_type=key_type, columns=columns, duplicates="keep", id=None, missing_key=None)
