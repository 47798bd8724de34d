"""From a metric and a range to a plan: everything decided before points are read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Protocol

from dataflow.metrics.inner_answers import task_graph
from dataflow.metrics.json_form import to_dict
from dataflow.metrics.settled import asks_range
from dataflow.plan.stages import Plan
from dataflow.steps.base import Step
from dataflow.times.calendar_tables import bucket_table, known_time
from dataflow.typed.nodes import Typed
from operators.kernels.times.calendar import bucket_edge, bucket_number
from operators.types import Type
from runtime.catalogue import FileEntry, Snapshot, StreamSchema
from runtime.catalogue.items.entries import DAY, day_name
from runtime.catalogue.snapshot import unknown_stream
from runtime.errors import QueryError
from runtime.progress import count_of
from runtime.query.plan.absent_columns import bound
from runtime.query.task.task import Compiled, Schemas, id_of
from runtime.result.proof import digest


@dataclass(frozen=True)
class Request:
    """A metric with range and parameters. Times are microseconds UTC; None means the stream's extent."""

    steps: tuple[Step, ...]
    params: Mapping[str, object]
    since: int | None
    until: int | None
    below_floor: bool = False
    """Also if points that it needs are retired: from those that are left."""

    span: tuple[int, int, bool] | None = None
    """The range, and whether it was clipped, where several streams decide (``range_of``)."""


class Snapshots(Protocol):
    """What a plan needs of a catalogue; see ``runtime.catalogue.Catalogue``."""

    def streams(self) -> list[str]:
        """The names of all streams."""

    def schema(self, stream: str) -> StreamSchema | None:
        """The schema of a stream; None if there is no such stream."""

    def snapshot(self, stream: str, since: int | None = None, until: int | None = None) -> Snapshot:
        """A stream as of its last commit, with the files of a range."""


@dataclass(frozen=True)
class CarriedIn:
    """What is read instead of the rows before ``day`` (counted from 1970-01-01): ``rows`` in so many ``files`` instead
    of those in the files ``saved``. See ``runtime.query.carry``. ``parts``: that of each stream, if there are several.
    """

    day: int
    rows: int
    files: int
    saved: tuple[FileEntry, ...]
    parts: tuple[tuple[str, CarriedIn], ...] = ()

    def __str__(self) -> str:
        if self.parts:
            return "; ".join(f"of {stream}, {part}" for stream, part in self.parts)
        return (
            f"{self.rows:,} points in {count_of(self.files, 'file')} of a snapshot stand for the "
            f"{sum(f.rows for f in self.saved):,} in {count_of(len(self.saved), 'file')} before {day_name(self.day)}"
        )


@dataclass(frozen=True)
class StreamRead:
    """One of the streams that a query reads: its snapshot, its schema with absent columns that the metric names, and
    how much before the range matters (None: everything)."""

    snapshot: Snapshot
    schema: StreamSchema
    history: int | None


@dataclass(frozen=True)
class Prepared:
    """A planned query: everything decided before points are read."""

    graph: dict[str, Any]
    params: dict[str, Any]
    compiled: Compiled
    snapshot: Snapshot
    schema: StreamSchema
    files: tuple[FileEntry, ...]
    since: int
    until: int
    clipped: bool
    history: int | None
    plan_digest: str
    beginning: int
    """The time before which the stream has no points (or no longer has any)."""
    below_floor: bool = False

    carried: CarriedIn | None = None
    """The snapshot that comes first in ``files``, and what it stands for."""

    several: tuple[StreamRead, ...] = ()
    """The streams, if there are several: ``snapshot`` and ``schema`` are the first's, ``history`` the longest."""

    @cached_property
    def task_graph(self) -> dict[str, Any]:
        """The metric as tasks need it."""
        return task_graph(self.graph)

    @property
    def streams(self) -> tuple[StreamRead, ...]:
        """The streams that are read."""
        return self.several or (StreamRead(self.snapshot, self.schema, self.history),)

    @property
    def schemas(self) -> Schemas:
        """Their schemas by name."""
        return {s.snapshot.stream: s.schema for s in self.streams}

    @property
    def names(self) -> str:
        """Their names as text."""
        return ", ".join(self.schemas)

    @property
    def id_column(self) -> str | None:
        """An id column of one of them, if there is one: files of a UTC day then belong together."""
        return id_of(self.schemas)

    @property
    def unordered(self) -> bool:
        """Whether the commit order of some files was unknown once."""
        return any(s.unordered > 0 for s in self.schemas.values())

    @property
    def point_files(self) -> tuple[FileEntry, ...]:
        """The files of points, also those that a snapshot stands for."""
        if self.carried is None:
            return self.files
        return (*self.carried.saved, *self.files[self.carried.files :])

    @property
    def plan(self) -> Plan:
        """The metric bound to the stream."""
        return self.compiled.plan


def now_micros() -> int:
    """The present, in microseconds UTC."""
    return int(datetime.now(UTC).timestamp() * 1_000_000)


def prepare(catalogue: Snapshots, request: Request) -> Prepared:
    """Validate the metric, take a snapshot and choose the files."""
    schemas = _schemas(catalogue, request.steps)
    graph, params = to_dict(request.steps), dict(request.params)
    ranged = asks_range(request.steps)
    if ranged:
        # The range is known only from a snapshot; what is read does not depend on these.
        params |= {"$since": 0, "$until": 0}
    named, compiled = bound(schemas, graph, params)
    snapshots = {}
    for name in schemas:
        # The files of the range suffice only if rows do not depend on earlier rows.
        alone = _history(compiled.plan, name) == 0 and not compiled.plan.held_columns
        until = None if compiled.plan.ahead else request.until
        snapshots[name] = catalogue.snapshot(name, request.since if alone else None, until)
    if any(snapshots[name].schema != schema for name, schema in schemas.items()):
        named, compiled = bound({name: s.schema for name, s in snapshots.items()}, graph, params)
    for name, t in (("since", request.since), ("until", request.until)):
        if t is not None:
            known_time(t, name)
    span = request.span or range_of(list(snapshots.values()), request)
    if request.since is None:
        span = (_on_edges(compiled.plan, span[0]), *span[1:])
    if ranged:
        params |= {"$since": span[0], "$until": span[1]}
        named, compiled = bound({name: s.schema for name, s in snapshots.items()}, graph, params)
    prepared = _prepared(graph, params, compiled, snapshots, named, span, request.below_floor)
    if not request.below_floor:
        for read in prepared.streams:
            if read.snapshot.floor is not None:
                _check_floor(prepared, read, read.snapshot.floor, request.until)
    return prepared


def _schemas(catalogue: Snapshots, steps: tuple[Step, ...]) -> dict[str, StreamSchema]:
    """The schemas of the metric's streams; QueryError for one that does not exist."""
    out: dict[str, StreamSchema] = {}
    for i, step in enumerate(steps):
        for name in step.streams():
            schema = out.get(name) or catalogue.schema(name)
            if schema is None:
                unknown = unknown_stream(name, catalogue.streams())
                raise QueryError(f"step {i + 1} ({step.method}): {unknown}")
            out[name] = schema
    return out


def _history(plan: Plan, stream: str) -> int | None:
    """How much before the range matters of the points of a stream."""
    if not plan.inputs:
        return plan.history
    found = [i.history for i in plan.inputs if i.stream == stream]
    return None if None in found else max(h for h in found if h is not None)


def prepare_again(asked: Prepared, steps: tuple[Step, ...], params: Mapping[str, object]) -> Prepared:
    """Plan another metric over the same files and range; it must not need more history than the first."""
    graph, given = to_dict(steps), dict(params)
    if asks_range(steps):
        given |= {"$since": asked.since, "$until": asked.until}
    span = (asked.since, asked.until, asked.clipped)
    named, compiled = bound(asked.schemas, graph, given)
    snapshots = {s.snapshot.stream: s.snapshot for s in asked.streams}
    return _prepared(graph, given, compiled, snapshots, named, span, asked.below_floor)


def _prepared(
    graph: dict[str, Any],
    params: dict[str, Any],
    compiled: Compiled,
    snapshots: Mapping[str, Snapshot],
    schemas: Schemas,
    span: tuple[int, int, bool],
    below_floor: bool,
) -> Prepared:
    since, until, clipped = span
    plan, files, reads = compiled.plan, list[FileEntry](), list[StreamRead]()
    for name, snapshot in snapshots.items():
        found, history = _files(plan, _history(plan, name), snapshot, schemas[name], since, until)
        takes = _takes_carried(plan, snapshot, schemas[name], since)
        files += (f for f in found if takes or not snapshot.is_carried(f))
        reads.append(StreamRead(snapshot, schemas[name], history))
    histories = [read.history for read in reads]
    text = json.dumps([graph, params, since, until], sort_keys=True, separators=(",", ":"), default=str)
    plan_digest, beginning = digest(text.encode()), _beginning(list(snapshots.values()))
    return Prepared(
        graph,
        params,
        compiled,
        reads[0].snapshot,
        reads[0].schema,
        tuple(files),
        since,
        until,
        clipped,
        None if None in histories else max(h for h in histories if h is not None),
        plan_digest,
        beginning,
        below_floor,
        several=tuple(reads) if plan.inputs else (),
    )


def carried_columns(plan: Plan, stream: str) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The columns of a stream whose last values suffice of the rows before the range (``Plan.carried``), and those of
    them of which a row's own value matters (``Input.as_is``); None if more is needed."""
    if not plan.inputs:
        return None if plan.carried is None else (plan.carried, ())
    looking = [i for i in plan.inputs if i.stream == stream and i.history != 0]
    columns, as_is = set[str](), set[str]()
    for i in looking:
        if i.carried is None:
            return None
        columns |= {*i.carried}
        as_is |= {*i.as_is}
    return (tuple(sorted(columns)), tuple(sorted(as_is))) if looking else None


def _takes_carried(plan: Plan, snapshot: Snapshot, schema: StreamSchema, since: int) -> bool:
    """Whether the rows that are carried in at the floor are all that the plan needs of those before it."""
    found = carried_columns(plan, snapshot.stream)
    if found is None or snapshot.floor is None or since < snapshot.floor * DAY:
        return False
    columns, as_is = found
    # Of rows of one time, the last value of each column is kept: whether they were one row is not known.
    if as_is and schema.duplicates != "latest":
        return False
    # A stored time may be null to a query: ``dataflow.times.calendar_tables.YEARS``. Whether all values were plain that
    # are retired is not known.
    return not plan.plain and all(schema.columns[c] is not Type.TIME for c in columns)


def _check_floor(p: Prepared, read: StreamRead, floor: int, until: int | None) -> None:
    """QueryError if the query needs rows of a stream that are retired, and that nothing stands for."""
    retired = f"the points of {read.snapshot.stream} before {day_name(floor)} are retired"
    if p.since < floor * DAY or (until is not None and until < floor * DAY):
        raise QueryError(f"{retired}: ask from that day on, or take what is left (--below-floor)")
    if _takes_carried(p.plan, read.snapshot, read.schema, p.since):
        return
    needs = "looks back at all points before the range"
    if read.history is not None:
        first = p.since - read.history
        if (first // DAY if read.schema.id is not None else first / DAY) >= floor:
            return
        needs = f"looks back {read.history / 1e6:,g} s before the range"
    raise QueryError(
        f"{retired}, and this metric {needs}: each key's last values, which are kept, are not enough for it. Begin the "
        "range later if that helps, or take what is left (--below-floor)"
    )


def _beginning(snapshots: Sequence[Snapshot]) -> int:
    """The time before which there are no points, or no longer any."""
    begun = [s for s in snapshots if s.first_time is not None] or snapshots
    return min(_begins(s) for s in begun)


def _begins(snapshot: Snapshot) -> int:
    first = 0 if snapshot.first_time is None else snapshot.first_time
    return first if snapshot.floor is None else max(first, snapshot.floor * DAY)


def _iso(micros: int) -> str:
    return datetime.fromtimestamp(micros // 1_000_000, UTC).isoformat()


def _on_edges(plan: Plan, since: int) -> int:
    """A beginning of the range that no one has chosen, at the start of its bucket if steps follow the keys' buckets:
    such a step takes a bucket that begins before the range for one of the time before."""
    for j, stage in enumerate(plan.stages):
        bucket = getattr(stage.sink, "bucket", None)
        after = plan.stages[j + 1 :]
        if isinstance(bucket, Typed) and any(s.sink.follows_keys and s.sink.lasting() is None for s in after):
            windows = stage.sink.segmenting()
            size = 1 if windows is None else windows.size
            table = bucket_table(str(bucket.option("every")), str(bucket.option("zone")), size)
            since = int(bucket_edge(bucket_number(since, *table) - size + 1, *table))
    return since


def range_of(snapshots: Sequence[Snapshot], request: Request) -> tuple[int, int, bool]:
    """The range of a request, and whether its end was moved to the present; what it does not say is the extent of the
    streams together."""
    # Of several streams, from where all that is there of each is kept.
    first = max([_beginning(snapshots), *(s.floor * DAY for s in snapshots if s.floor is not None)])
    last = max([first, *(s.last_time + 1 for s in snapshots if s.last_time is not None)])
    since = first if request.since is None else request.since
    until = last if request.until is None else request.until
    if request.since is not None and request.until is not None and since > until:
        raise QueryError(f"since {_iso(since)} is after until {_iso(until)}")
    # A silent fleet was not up, so a given end is honoured; but never beyond the present.
    present = now_micros()
    clipped = request.until is not None and until > max(present, last)
    if clipped:
        until = max(present, last)
    return since, max(since, until), clipped


def _files(
    plan: Plan, history: int | None, snapshot: Snapshot, schema: StreamSchema, since: int, until: int
) -> tuple[tuple[FileEntry, ...], int | None]:
    """The files to read of a stream, and how far before ``since`` its rows matter (None: from the start)."""
    candidates = [f for f in snapshot.files if plan.ahead or f.t_min < until]
    if history is None:
        return tuple(candidates), None
    first = since - history
    if schema.id is not None:
        # Which of the rows with one id counts depends on the whole day.
        first = first // DAY * DAY
    near = [f for f in candidates if f.t_max >= first]
    # A stored time may be null to a query: ``dataflow.times.calendar_tables.YEARS``.
    times = any(schema.columns[c] is Type.TIME for c in plan.held_columns)
    if not times and all(f.nulls.get(c, 1) == 0 for f in near for c in plan.held_columns):
        # Every first row reports all held columns itself, so nothing earlier matters.
        return tuple(near), history
    return tuple(candidates), None
