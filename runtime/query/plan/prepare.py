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
from dataflow.steps import Source
from dataflow.steps.base import Step
from dataflow.times.calendar_tables import known_time
from operators.types import Type
from runtime.catalogue import FileEntry, Snapshot, StreamSchema
from runtime.catalogue.items.entries import DAY, day_name
from runtime.catalogue.snapshot import unknown_stream
from runtime.errors import QueryError
from runtime.progress import count_of
from runtime.query.plan.absent_columns import bound
from runtime.query.task.task import Compiled
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
    of those in the files ``saved``. See ``runtime.query.carry``."""

    day: int
    rows: int
    files: int
    saved: tuple[FileEntry, ...]

    def __str__(self) -> str:
        return (
            f"{self.rows:,} points in {count_of(self.files, 'file')} of a snapshot stand for the "
            f"{sum(f.rows for f in self.saved):,} in {count_of(len(self.saved), 'file')} before {day_name(self.day)}"
        )


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

    @cached_property
    def task_graph(self) -> dict[str, Any]:
        """The metric as tasks need it."""
        return task_graph(self.graph)

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
    source = request.steps[0]
    assert isinstance(source, Source)
    schema = catalogue.schema(source.name)
    if schema is None:
        raise QueryError(f"step 1 (stream): {unknown_stream(source.name, catalogue.streams())}")
    graph, params = to_dict(request.steps), dict(request.params)
    ranged = asks_range(request.steps)
    if ranged:
        # The range is known only from a snapshot; what is read does not depend on these.
        params |= {"$since": 0, "$until": 0}
    named, compiled = bound(schema, graph, params)
    plan = compiled.plan
    # The files of the range suffice only if rows do not depend on earlier rows.
    alone = plan.history == 0 and not plan.held_columns
    snapshot = catalogue.snapshot(source.name, request.since if alone else None, request.until)
    if snapshot.schema != schema:
        named, compiled = bound(snapshot.schema, graph, params)
        plan = compiled.plan
    for name, t in (("since", request.since), ("until", request.until)):
        if t is not None:
            known_time(t, name)
    since, until, clipped = request.span or range_of([snapshot], request)
    if ranged:
        params |= {"$since": since, "$until": until}
        named, compiled = bound(snapshot.schema, graph, params)
    prepared = _prepared(graph, params, compiled, snapshot, named, (since, until, clipped), request.below_floor)
    if snapshot.floor is not None and not request.below_floor:
        _check_floor(prepared, snapshot.floor, request.until)
    return prepared


def prepare_again(asked: Prepared, steps: tuple[Step, ...], params: Mapping[str, object]) -> Prepared:
    """Plan another metric over the same files and range; it must not need more history than the first."""
    graph, given = to_dict(steps), dict(params)
    if asks_range(steps):
        given |= {"$since": asked.since, "$until": asked.until}
    span = (asked.since, asked.until, asked.clipped)
    named, compiled = bound(asked.schema, graph, given)
    return _prepared(graph, given, compiled, asked.snapshot, named, span, asked.below_floor)


def _prepared(
    graph: dict[str, Any],
    params: dict[str, Any],
    compiled: Compiled,
    snapshot: Snapshot,
    schema: StreamSchema,
    span: tuple[int, int, bool],
    below_floor: bool,
) -> Prepared:
    since, until, clipped = span
    files, history = _files(compiled.plan, snapshot, schema, since, until)
    if not _takes_carried(compiled.plan, snapshot, schema, since):
        files = tuple(f for f in files if not snapshot.is_carried(f))
    text = json.dumps([graph, params, since, until], sort_keys=True, separators=(",", ":"), default=str)
    plan_digest, beginning = digest(text.encode()), _beginning(snapshot)
    return Prepared(
        graph,
        params,
        compiled,
        snapshot,
        schema,
        files,
        since,
        until,
        clipped,
        history,
        plan_digest,
        beginning,
        below_floor,
    )


def _takes_carried(plan: Plan, snapshot: Snapshot, schema: StreamSchema, since: int) -> bool:
    """Whether the rows that are carried in at the floor are all that the plan needs of those before it."""
    columns = plan.carried
    if columns is None or snapshot.floor is None or since < snapshot.floor * DAY:
        return False
    # A stored time may be null to a query: ``dataflow.times.calendar_tables.YEARS``. Whether all values were plain that
    # are retired is not known.
    return not plan.plain and all(schema.columns[c] is not Type.TIME for c in columns)


def _check_floor(p: Prepared, floor: int, until: int | None) -> None:
    """QueryError if the query needs rows that are retired, and that nothing stands for."""
    retired = f"the points of {p.plan.stream} before {day_name(floor)} are retired"
    if p.since < floor * DAY or (until is not None and until < floor * DAY):
        raise QueryError(f"{retired}: ask from that day on, or take what is left (--below-floor)")
    if _takes_carried(p.plan, p.snapshot, p.schema, p.since):
        return
    needs = "looks back at all points before the range"
    if p.history is not None:
        first = p.since - p.history
        if (first // DAY if p.schema.id is not None else first / DAY) >= floor:
            return
        needs = f"looks back {p.history / 1e6:,g} s before the range"
    raise QueryError(
        f"{retired}, and this metric {needs}: each key's last values, which are kept, are not enough for it. Begin the "
        "range later if that helps, or take what is left (--below-floor)"
    )


def _beginning(snapshot: Snapshot) -> int:
    first = 0 if snapshot.first_time is None else snapshot.first_time
    return first if snapshot.floor is None else max(first, snapshot.floor * DAY)


def _iso(micros: int) -> str:
    return datetime.fromtimestamp(micros // 1_000_000, UTC).isoformat()


def range_of(snapshots: Sequence[Snapshot], request: Request) -> tuple[int, int, bool]:
    """The range of a request, and whether its end was moved to the present; what it does not say is the extent of the
    streams together."""
    some = [s for s in snapshots if s.last_time is not None]
    first = min(map(_beginning, some or snapshots))
    last = max((s.last_time + 1 for s in some if s.last_time is not None), default=first)
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
    plan: Plan, snapshot: Snapshot, schema: StreamSchema, since: int, until: int
) -> tuple[tuple[FileEntry, ...], int | None]:
    """The files to read, and how far before ``since`` rows matter (None: from the start)."""
    candidates = [f for f in snapshot.files if f.t_min < until]
    if plan.history is None:
        return tuple(candidates), None
    first = since - plan.history
    if schema.id is not None:
        # Which of the rows with one id counts depends on the whole day.
        first = first // DAY * DAY
    near = [f for f in candidates if f.t_max >= first]
    # A stored time may be null to a query: ``dataflow.times.calendar_tables.YEARS``.
    times = any(schema.columns[c] is Type.TIME for c in plan.held_columns)
    if not times and all(f.nulls.get(c, 1) == 0 for f in near for c in plan.held_columns):
        # Every first row reports all held columns itself, so nothing earlier matters.
        return tuple(near), plan.history
    return tuple(candidates), None
