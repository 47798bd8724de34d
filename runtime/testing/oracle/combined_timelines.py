"""Reference tables, calendars, and combined timelines: per key, or over the keys of a group."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

from runtime.testing.oracle.buckets import local
from runtime.testing.oracle.clock import asks_clock, cut
from runtime.testing.oracle.expressions import evaluate, type_of
from runtime.testing.oracle.lasting import Scope, intervals
from runtime.testing.oracle.rows import Json, Row, Table, Value

QUARTER = 15 * 60_000_000
"""All calendars of the tests change at quarters of an hour."""


# --- reference tables and calendars ------------------------------------------------------------------------------


def reference_rows(windows: Json) -> list[tuple[Value, int | None, int | None, dict[str, Value]]]:
    """(key, from, to, attributes) of every row of a reference table; None is ever."""
    columns = {c["name"]: c["values"] for c in windows["table"]["columns"]}
    key, begin, end = windows["key"], windows["valid_from"], windows["valid_to"]
    names = [n for n in columns if n not in (key, begin, end)]
    rows = []
    for i, value in enumerate(columns[key]):
        start = columns[begin][i] if begin else None
        stop = columns[end][i] if end else None
        if begin and not end:
            later = [s for k, s in zip(columns[key], columns[begin], strict=True) if k == value and s is not None]
            stop = min((s for s in later if start is None or s > start), default=None)
        rows.append((value, start, stop, {n: columns[n][i] for n in names}))
    return rows


def holds(start: int | None, stop: int | None, t: int) -> bool:
    """Whether ``t`` is in [start, stop)."""
    return (start is None or start <= t) and (stop is None or t < stop)


def join(step: Json, table: Table, scope: Scope) -> Table:
    """The attributes of the one row of the reference table that holds for each row."""
    table, on = _by_clock(step["on"], table, scope)
    reference = reference_rows(step["windows"])
    names = [c["name"] for c in step["windows"]["table"]["columns"]]
    names = [n for n in names if n not in {step["windows"][part] for part in ("key", "valid_from", "valid_to")}]
    types = {c["name"]: c["type"] for c in step["windows"]["table"]["columns"] if c["name"] in names}

    def found(key: Value, t: int) -> dict[str, Value] | None:
        matches = [values for k, start, stop, values in reference if k == key and holds(start, stop, t)]
        assert len(matches) < 2
        return matches[0] if matches and key is not None else None

    def edges(key: Value) -> set[int]:
        return {t for k, start, stop, _ in reference if k == key for t in (start, stop) if t is not None}

    rows = []
    for row, attributes in _cut(table, evaluate(on, table, scope.params), edges, found):
        if attributes is not None or step["how"] == "left":
            rows.append(replace(row, values=row.values | (attributes or dict.fromkeys(names))))
    return Table(table.kind, rows, table.types | types)


def during(step: Json, table: Table, scope: Scope) -> Table:
    """The rows, or the parts of intervals, inside or outside the periods."""
    if step["calendar"] is not None:
        calendar = step["calendar"]
        weekly = tuple(tuple(w) for w in calendar["weekly"])
        breaks = [t for span in calendar["except"] for t in span]
        keys: list[Value] = [None] * len(table.rows)

        def found(key: Value, t: int) -> bool:
            excepted = any(a <= t < b for a, b in calendar["except"])
            return not excepted and clock_within(weekly, calendar["zone"], t // QUARTER)

        def edges(key: Value) -> set[int]:
            last = max((row.end for row in table.rows), default=0)
            first = min((row.time for row in table.rows), default=0)
            return {*breaks, *(q * QUARTER for q in range(first // QUARTER, last // QUARTER + 1))}

    else:
        reference = reference_rows(step["windows"])
        table, on = _by_clock(step["on"], table, scope)
        keys = evaluate(on, table, scope.params)

        def found(key: Value, t: int) -> bool:
            return any(k == key and holds(start, stop, t) for k, start, stop, _ in reference)

        def edges(key: Value) -> set[int]:
            return {t for k, start, stop, _ in reference if k == key for t in (start, stop) if t is not None}

    rows = [row for row, inside in _cut(table, keys, edges, found) if inside is step["inside"]]
    return Table(table.kind, rows, table.types)


def _by_clock(expr: Json, table: Table, scope: Scope) -> tuple[Table, Json]:
    """Intervals in pieces in which the expression stays the same, and what gives its value in each."""
    if table.kind != "intervals" or not asks_clock(expr):
        return table, expr
    kind = type_of(expr, table.types)
    table = cut(table, [expr], scope.params)
    rows = [replace(row, values=row.values | {"$by": row.values["$0"]}) for row in table.rows]
    return replace(table, rows=rows, types=table.types | {"$by": kind}), {"col": "$by"}


@cache
def clock_within(weekly: tuple[tuple[int, int, int], ...], zone: str, quarter: int) -> bool:
    """Whether the wall clock shows a time within the hours of its weekday."""
    now = local(quarter * QUARTER, zone)
    second = now.hour * 3600 + now.minute * 60 + now.second
    return any(day == now.weekday() and a <= second < b for day, a, b in weekly)


def _cut(
    table: Table, keys: list[Value], edges: Callable[[Value], set[int]], found: Callable[[Value, int], Any]
) -> list[tuple[Row, Any]]:
    """Every row with what is found for its key and time; intervals in as few pieces as have one thing found each."""
    out: list[tuple[Row, Any]] = []
    for row, key in zip(table.rows, keys, strict=True):
        cuts = [row.time, row.end]
        if table.kind == "intervals":
            cuts = sorted({row.time, row.end, *(t for t in edges(key) if row.time < t < row.end)})
        pieces: list[tuple[int, int, Any]] = []
        for start, end in pairwise(cuts):
            what = found(key, start)
            if pieces and pieces[-1][2] == what:
                pieces[-1] = (pieces[-1][0], end, what)
            else:
                pieces.append((start, end, what))
        for start, end, what in pieces:
            extent: dict[str, Value] = {"start": start, "end": end, "duration": end - start}
            values = row.values | {n: v for n, v in extent.items() if n in row.values and table.kind == "intervals"}
            out.append((replace(row, time=start, end=end, values=values), what))
    return out


# --- timelines of one key ----------------------------------------------------------------------------------------


def timeline(step: Json, tracks: dict[str, tuple[Json, Table]], table: Table, scope: Scope) -> Table:
    """Intervals of an expression of the tracks' states; each track has its step and the points that it sees."""
    types: dict[str, str | None] = {}
    reports: dict[str, dict[Any, list[tuple[int, Value]]]] = {}
    for name, (track, seen) in tracks.items():
        alive = track["op"] == "heartbeat"
        types[name] = "bool" if alive else type_of(track["state"], seen.types)
        values: list[Value] = [True] * len(seen.rows) if alive else evaluate(track["state"], seen, scope.params)
        found: dict[Any, list[tuple[int, Value]]] = {}
        for row, value in zip(seen.rows, values, strict=True):
            if value is not None:
                found.setdefault(row.key, []).append((row.time, value))
        reports[name] = found

    def make(points: list[Row]) -> tuple[list[int], Callable[[int], Value]]:
        mine = {name: found.get(points[0].key, []) for name, found in reports.items()}
        edges = []
        for name, listed in mine.items():
            hold = _hold(tracks[name][0])
            edges += [t for t, _ in listed] + [t + hold for t, _ in listed if hold is not None]

        def state_at(t: int) -> Value:
            values = {name: _track_at(tracks[name][0], listed, t) for name, listed in mine.items()}
            return evaluate(step["state"], Table("plain", [Row(None, t, 0, values)], types), scope.params)[0]

        return edges, state_at

    return intervals(step["name"], type_of(step["state"], types), make, table, scope)


def _hold(track: Json) -> int | None:
    hold: int | None = track["timeout"] if track["op"] == "heartbeat" else track["hold"]
    return hold


def _track_at(track: Json, reports: list[tuple[int, Value]], t: int) -> Value:
    i = bisect_right([time for time, _ in reports], t) - 1
    if i < 0:
        return None
    hold = _hold(track)
    if hold is not None and t >= reports[i][0] + hold:
        return False if track["op"] == "heartbeat" else None
    return reports[i][1]


# --- the keys of one group ---------------------------------------------------------------------------------------


def concurrent(step: Json, table: Table, scope: Scope) -> Table:
    """For how many keys the condition holds at each time, or whether for ``at_least`` so many."""
    table, condition = _by_clock(step["condition"], table, scope)
    conditions = evaluate(condition, table, scope.params)
    by = [evaluate(entry["expr"], table, scope.params) for entry in step["by"]]
    groups: dict[tuple[Value, ...], list[tuple[Row, Value]]] = {}
    for i, (row, holds) in enumerate(zip(table.rows, conditions, strict=True)):
        if not row.ghost:
            # A session has the instant of its last point in it.
            lasting = replace(row, end=row.end + 1) if table.kind == "sessions" else row
            groups.setdefault(tuple(values[i] for values in by), []).append((lasting, holds))
    names = [entry["name"] for entry in step["by"]]
    k = step["at_least"]
    rows: list[Row] = []
    for group in sorted(groups, key=lambda g: [(v is not None, v) for v in g]):
        members = groups[group]
        cuts = sorted({t for row, _ in members for t in (row.time, row.end)})
        pieces: list[Row] = []
        for start, end in pairwise(cuts):
            now = [condition for row, condition in members if row.time <= start < row.end]
            if not now:
                continue
            active, unknown = now.count(True), now.count(None)
            says: dict[str, Value] = {"active": active, "inactive": now.count(False), "unknown": unknown}
            known = unknown == 0
            if k is not None:
                wanted = math.ceil(Fraction(k[:-1]) / 100 * len(now)) if isinstance(k, str) else k
                says = {"state": True if active >= wanted else False if active + unknown < wanted else None}
                known = says["state"] is not None
            if pieces and pieces[-1].end == start and says.items() <= pieces[-1].values.items():
                start = pieces.pop().time
            extent: dict[str, Value] = {"start": start, "end": end, "duration": end - start}
            values = dict(zip(names, group, strict=True)) | says | extent
            pieces.append(Row(None, start, len(rows) + len(pieces), values, end, known))
        rows += pieces
    counts = dict.fromkeys(("active", "inactive", "unknown"), "int64") if k is None else {"state": "bool"}
    types = {entry["name"]: type_of(entry["expr"], table.types) for entry in step["by"]}
    return Table("intervals", rows, types | counts | {"start": "time", "end": "time", "duration": "duration"})
