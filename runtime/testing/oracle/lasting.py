"""Rows with a duration: intervals of a state or of life, sessions, windows; and their held columns."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from runtime.testing.oracle.buckets import bucket
from runtime.testing.oracle.expressions import evaluate, type_of
from runtime.testing.oracle.oracle_aggregates import PlainAggregate, prepare
from runtime.testing.oracle.rows import Json, Row, Table, Value


@dataclass(frozen=True)
class Scope:
    """What a step needs besides its rows: the names of key and time, the range, parameters, columns to hold."""

    key: str
    time: str
    since: int
    until: int
    params: dict[str, Value]
    held: list[str]
    beginning: int = -(2**62)
    """The time of the stream's first point."""

    is_whole: bool = False
    """Whether the range is that of all points."""

    grouped_by: list[str] = field(default_factory=list)
    """The columns that tell the rows of a table apart."""
    streams: Mapping[str, Table] = field(default_factory=dict)
    """The points of all streams, by name."""


def last_reported(values: list[Value]) -> list[Value]:
    """Each value, or where it is null the one before it that is not."""
    result: list[Value] = []
    for value in values:
        result.append(result[-1] if value is None and result else value)
    return result


# --- intervals ---------------------------------------------------------------------------------------------------


def state_duration(step: Json, table: Table, scope: Scope) -> Table:
    """Each reported state holds until the next report of one, at most ``hold``."""
    kind = type_of(step["state"], table.types)
    states = dict(zip(map(id, table.rows), evaluate(step["state"], table, scope.params), strict=True))
    hold = step.get("hold")

    def make(points: list[Row]) -> tuple[list[int], Callable[[int], Value]]:
        reports = [(point.time, states[id(point)]) for point in points if states[id(point)] is not None]
        times = [time for time, _ in reports]

        def state_at(t: int) -> Value:
            i = bisect_right(times, t) - 1  # of reports at one time the last one
            if i < 0 or (hold is not None and t >= times[i] + hold):
                return None
            return reports[i][1]

        return times + [time + hold for time in times if hold is not None], state_at

    return intervals(step["name"], kind, make, table, scope)


def heartbeat(step: Json, table: Table, scope: Scope) -> Table:
    """Alive from each point for ``timeout``; not alive otherwise."""
    timeout = step["timeout"]

    def make(points: list[Row]) -> tuple[list[int], Callable[[int], Value]]:
        times = [point.time for point in points]

        def alive_at(t: int) -> Value:
            i = bisect_right(times, t) - 1
            return i >= 0 and t < times[i] + timeout

        return times + [time + timeout for time in times], alive_at

    return intervals("alive", "bool", make, table, scope)


def intervals(
    name: str,
    kind: str | None,
    make: Callable[[list[Row]], tuple[list[int], Callable[[int], Value]]],
    table: Table,
    scope: Scope,
) -> Table:
    """Cut the range wherever anything may change, look at each piece's start, and join pieces that are alike."""
    rows = []
    for points in table.by_key():
        times = [point.time for point in points]
        held = {column: last_reported([point.values[column] for point in points]) for column in scope.held}
        edges, state_at = make(points)
        inside = {t for t in (*times, *edges) if scope.since < t < scope.until}
        cuts = sorted({scope.since, *inside, scope.until})
        pieces: list[Row] = []
        for start, end in pairwise(cuts):
            i = bisect_right(times, start) - 1
            ghost = i < 0
            values = {name: None if ghost else state_at(start)}
            values |= {column: None if ghost else held[column][i] for column in scope.held}
            known = values[name] is not None
            if pieces and pieces[-1].values == values and pieces[-1].ghost == ghost:
                pieces[-1] = replace(pieces[-1], end=end)
            else:
                pieces.append(Row(points[0].key, start, 0, values, end, known, ghost))
        rows += [with_extent(piece, scope.key) for piece in pieces]
    return Table("intervals", rows, _extent_types(table, scope) | {name: kind} | _held_types(table, scope))


def row_intervals(step: Json, table: Table, scope: Scope) -> Table:
    """Each point from its time to the end that it has, or for so long, at most ``longest``."""
    ends = evaluate(step["end"], table, scope.params)
    of_time, longest = type_of(step["end"], table.types) == "time", step.get("longest", 2**62)
    rows: list[Row] = []
    for point, given in zip(table.rows, ends, strict=True):
        end: Any = scope.until if given is None else given if of_time else point.time + given  # type: ignore[operator]
        end = min(end, scope.until, point.time + longest)
        start = max(point.time, scope.since)
        if start < end:
            values = {column: point.values[column] for column in scope.held}
            rows.append(with_extent(Row(point.key, start, len(rows), values, end), scope.key))
    return Table("intervals", rows, _extent_types(table, scope) | _held_types(table, scope))


def with_extent(row: Row, key: str) -> Row:
    """The row with the columns of its interval."""
    extent: dict[str, Value] = {key: row.key, "start": row.time, "end": row.end, "duration": row.length}
    return replace(row, values=extent | row.values)


def _extent_types(table: Table, scope: Scope) -> dict[str, str | None]:
    return {scope.key: table.types[scope.key], "start": "time", "end": "time", "duration": "duration"}


def _held_types(table: Table, scope: Scope) -> dict[str, str | None]:
    return {column: table.types[column] for column in scope.held}


# --- sessions and windows ----------------------------------------------------------------------------------------


def sessionize(step: Json, table: Table, scope: Scope) -> Table:
    """Events of the range in one session while no step is longer than ``gap``."""
    gap, longest = step["gap"], step.get("max_length")
    split = dict.fromkeys(map(id, table.rows), False)
    if "split_when" in step:
        found = evaluate(step["split_when"], table, scope.params)
        split = {id(row): value is True for row, value in zip(table.rows, found, strict=True)}

    def parts(events: list[Row], before: list[Row]) -> Iterator[tuple[int, int, list[Row], dict[str, Value]]]:
        runs: list[list[Row]] = []
        for event in [*before, *events]:
            if runs and event.time - runs[-1][-1].time <= gap and not split[id(event)]:
                runs[-1].append(event)
            else:
                runs.append([event])
        sessions: list[list[Row]] = []
        for run in runs:
            by_piece: dict[int, list[Row]] = {}
            for event in run:
                piece = 0 if longest is None else (event.time - run[0].time) // longest
                by_piece.setdefault(piece, []).append(event)
            sessions += by_piece.values()
        inside = [[event for event in session if event.time >= scope.since] for session in sessions]
        sessions = [session for session in inside if session]
        for session in sessions:
            first, final = session[0].time, session[-1].time
            reached = bool(before) and first - before[-1].time <= gap and not split[id(session[0])]
            flags: dict[str, Value] = {
                "open_left": session is sessions[0] and reached,
                "open_right": session is sessions[-1] and scope.until - final <= gap,
            }
            yield first, final, session, flags

    return _summaries(step, parts, {"open_left": "bool", "open_right": "bool"}, table, scope)


def window(step: Json, table: Table, scope: Scope) -> Table:
    """Events of the range by windows of ``size`` calendar buckets; one without an event makes a row only if asked."""
    size, empty, zone = step.get("size", 1), step.get("empty", False), step.get("zone") or "UTC"
    beginning = scope.beginning if scope.is_whole or size > 1 else max(scope.since, scope.beginning)

    def parts(events: list[Row], before: list[Row]) -> Iterator[tuple[int, int, list[Row], dict[str, Value]]]:
        found = [*before, *events]
        if not found or scope.since >= scope.until:
            return
        counted = events if size == 1 else found
        # The buckets that a window may begin with, from the earliest window over the first event on.
        first = max(scope.since, found[0].time)
        last = scope.until if empty else max([event.time + 1 for event in counted], default=first)
        edges = [bucket(first, step["every"], zone)[0]]
        for _ in range(size - 1):
            edges.insert(0, bucket(edges[0] - 1, step["every"], zone)[0])
        while edges[-1] < last:
            edges.append(bucket(edges[-1], step["every"], zone)[1])
        beginnings = [edge for edge in edges if edge < last]
        for _ in range(size):
            edges.append(bucket(edges[-1], step["every"], zone)[1])
        for i, start in enumerate(beginnings):
            end = edges[i + size]
            inside = [event for event in counted if start <= event.time < end]
            if inside or empty:
                yield start, end, inside, {"partial": start < beginning or end > scope.until}

    return _summaries(step, parts, {"partial": "bool"}, table, scope)


def _summaries(
    step: Json,
    parts: Callable[[list[Row], list[Row]], Iterator[tuple[int, int, list[Row], dict[str, Value]]]],
    flag_types: dict[str, str | None],
    table: Table,
    scope: Scope,
) -> Table:
    aggregates: list[PlainAggregate] = prepare(step.get("aggs", []), table, scope.params)
    index = {id(row): i for i, row in enumerate(table.rows)}
    rows: list[Row] = []
    for points in table.by_key():
        held = {
            column: dict(zip(map(id, points), last_reported([p.values[column] for p in points]), strict=True))
            for column in scope.held
        }
        before = [point for point in points if point.time < scope.since]
        events = [point for point in points if scope.since <= point.time < scope.until]
        for start, end, members, flags in parts(events, before):
            values: dict[str, Value] = {"count": len(members)}
            values |= {a.name: a.over([index[id(member)] for member in members]) for a in aggregates}
            values |= flags
            # Of a window without an event, what was reported by its end.
            witness = members[0] if members else [point for point in points if point.time < end][-1]
            values |= {column: held[column][id(witness)] for column in scope.held}
            rows.append(with_extent(Row(points[0].key, start, len(rows), values, end), scope.key))
    types = _extent_types(table, scope) | {"count": "int64"} | {a.name: a.type for a in aggregates}
    return Table("sessions", rows, types | flag_types | _held_types(table, scope))
