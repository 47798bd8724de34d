"""Steps over a key's events: cohorts, transitions."""

from __future__ import annotations

from runtime.testing.oracle.buckets import bucket
from runtime.testing.oracle.expressions import evaluate, type_of
from runtime.testing.oracle.lasting import Scope, last_reported
from runtime.testing.oracle.rows import Json, Row, Table, Value


def _held(points: list[Row], columns: list[str]) -> dict[str, list[Value]]:
    return {column: last_reported([point.values[column] for point in points]) for column in columns}


def _table(kind: str, rows: list[Row], own: dict[str, str | None], table: Table, scope: Scope) -> Table:
    types = {scope.key: table.types[scope.key]} | own | {column: table.types[column] for column in scope.held}
    return Table(kind, rows, types)


def _lasting(key: str, name: str, start: int, end: int) -> dict[str, Value]:
    return {name: key, "start": start, "end": end, "duration": end - start}


LASTING_TYPES: dict[str, str | None] = {"start": "time", "end": "time", "duration": "duration"}


def cohorts(step: Json, table: Table, scope: Scope) -> Table:
    """A row for each bucket from a key's first start on, if that lies in the range."""
    starts = evaluate(step["start"], table, scope.params)
    returns = evaluate(step["returns"], table, scope.params)
    index = {id(row): i for i, row in enumerate(table.rows)}
    rows = []
    for points in table.by_key():
        begun = [i for i, point in enumerate(points) if starts[index[id(point)]] is True]
        if not begun or points[begun[0]].time < scope.since:
            continue
        came = [point.time for point in points[begun[0] :] if returns[index[id(point)]] is True]
        held = {column: values[begun[0]] for column, values in _held(points, scope.held).items()}
        cohort, end = bucket(points[begun[0]].time, step["every"], step["zone"])
        start, period = cohort, 0
        while start < scope.until:
            values = _lasting(points[0].key, scope.key, start, end)  # type: ignore[arg-type]
            values |= {"cohort": cohort, "period": period, "returned": any(start <= t < end for t in came)} | held
            rows.append(Row(points[0].key, start, period, values, end))
            start, end = bucket(end, step["every"], step["zone"])
            period += 1
    own: dict[str, str | None] = {"cohort": "time", "period": "int64", "returned": "bool"}
    return _table("sessions", rows, LASTING_TYPES | own, table, scope)


def transitions(step: Json, table: Table, scope: Scope) -> Table:
    """From each reported value to the next, and out of a path where ``gap`` passes without one."""
    kind, gap = type_of(step["of"], table.types), step["gap"]
    found = dict(zip(map(id, table.rows), evaluate(step["of"], table, scope.params), strict=True))
    rows = []
    for points in table.by_key():
        held = _held(points, scope.held)
        reports = [(i, point.time, found[id(point)]) for i, point in enumerate(points) if found[id(point)] is not None]
        moves: list[tuple[int, int, Value, Value, Value]] = []
        for n, (i, time, value) in enumerate(reports):
            before = reports[n - 1] if n > 0 and (gap is None or time - reports[n - 1][1] <= gap) else None
            after = None if before is None else time - before[1]
            moves.append((time, i, None if before is None else before[2], value, after))
            following = reports[n + 1][1] if n + 1 < len(reports) else scope.until
            # An event exactly ``gap`` later would go on, so the end of the range must lie beyond that, too.
            if gap is not None and following > time + gap:
                left = max(j for j, point in enumerate(points) if point.time <= time + gap)
                moves.append((time + gap, left, value, None, gap))
        for n, (time, i, origin, to, passed) in enumerate(moves):
            if scope.since <= time < scope.until:
                values: dict[str, Value] = {scope.key: points[0].key, "start": time}
                values |= {"from": origin, "to": to, "after": passed} | {name: held[name][i] for name in scope.held}
                rows.append(Row(points[0].key, time, n, values, time))
    own = {"start": "time", "from": kind, "to": kind, "after": "duration"}
    return _table("moves", rows, own, table, scope)
