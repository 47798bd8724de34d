"""Values in their order: sequences of keys, stretches of paths, activity by bucket, rows that repeat a value."""

from __future__ import annotations

from runtime.testing.oracle.buckets import bucket
from runtime.testing.oracle.expressions import evaluate
from runtime.testing.oracle.lasting import Scope, last_reported
from runtime.testing.oracle.rows import Json, Row, Table, Value
from runtime.testing.oracle.rows_before import looking_back


def as_text(value: Value) -> str:
    """A value in a joined text; -0.0 is 0.0."""
    return str(value).lower() if isinstance(value, bool) else str(value + 0.0 if isinstance(value, float) else value)


def _held(points: list[Row], scope: Scope, i: int) -> dict[str, Value]:
    return {column: last_reported([point.values[column] for point in points])[i] for column in scope.held}


def _types(table: Table, scope: Scope, **own: str) -> dict[str, str | None]:
    return {scope.key: table.types[scope.key], **own, **{column: table.types[column] for column in scope.held}}


def _reports(step: Json, table: Table, scope: Scope) -> dict[int, Value]:
    return dict(zip(map(id, table.rows), evaluate(step["of"], table, scope.params), strict=True))


def sequence(step: Json, table: Table, scope: Scope) -> Table:
    """All values of a key in the range, of which the first ``length`` are written."""
    found, length = _reports(step, table, scope), step.get("length", 100)
    rows = []
    for points in table.by_key():
        at = [i for i, p in enumerate(points) if p.time >= scope.since and found[id(p)] is not None]
        if not at:
            continue
        texts = [as_text(found[id(points[i])]) for i in at]
        start, end = points[at[0]].time, points[at[-1]].time
        values: dict[str, Value] = {scope.key: points[0].key, "start": start, "end": end, "duration": end - start}
        values["variant"] = " > ".join(texts[:length] + (["..."] if len(texts) > length else []))
        values["count"] = len(texts)
        rows.append(Row(points[0].key, start, 0, values | _held(points, scope, at[0]), end))
    own = {"start": "time", "end": "time", "duration": "duration", "variant": "string", "count": "int64"}
    return Table("sessions", rows, _types(table, scope, **own))


def subpaths(step: Json, table: Table, scope: Scope) -> Table:
    """Every run of values in a path of a key that begins, ends and is as long as it must."""
    found, length, gap = _reports(step, table, scope), step["length"], step["gap"]
    edges: dict[str, dict[int, Value]] = {
        n: dict(zip(map(id, table.rows), evaluate(step[n], table, scope.params), strict=True))
        for n in ("start", "end")
        if n in step
    }
    rows: list[Row] = []
    for points in table.by_key():
        at = [i for i, p in enumerate(points) if found[id(p)] is not None]
        for path in _paths([(i, points[i].time) for i in at], gap):
            met = {n: [edges[n][id(points[i])] is True for i in path] for n in edges}
            until = scope.until if path[-1] == at[-1] else points[at[at.index(path[-1]) + 1]].time
            leaves = gap is not None and until > points[path[-1]].time + gap
            for first, last, waits in _stretches(len(path), met, length, leaves):
                time = points[path[last]].time + (gap if waits else 0)
                if not scope.since <= time < scope.until:
                    continue
                chosen = [points[i] for i in path[first : last + 1]]
                values: dict[str, Value] = {scope.key: points[0].key, "start": time}
                values["path"] = " > ".join(as_text(found[id(p)]) for p in chosen)
                values |= {"count": len(chosen), "after": time - chosen[0].time}
                # A stretch that waited stands between rows.
                seen = path[last] if not waits else max(i for i, p in enumerate(points) if p.time <= time)
                rows.append(Row(points[0].key, time, len(rows), values | _held(points, scope, seen), time))
    own = {"start": "time", "path": "string", "count": "int64", "after": "duration"}
    return Table("moves", rows, _types(table, scope, **own))


def _paths(reports: list[tuple[int, int]], gap: int | None) -> list[list[int]]:
    """The numbers of a key's reports, apart where more than ``gap`` passes."""
    paths: list[list[int]] = []
    before = None
    for i, time in reports:
        if before is None or (gap is not None and time - before > gap):
            paths.append([])
        paths[-1].append(i)
        before = time
    return paths


def _stretches(n: int, met: dict[str, list[bool]], length: int, leaves: bool) -> list[tuple[int, int, bool]]:
    """The first and last value of each stretch of a path of ``n`` values, and whether the path's end completes it."""
    begins, ends = met.get("start"), met.get("end")
    whole = [(i, i + length - 1, False) for i in range(n - length + 1)]
    if begins is None and ends is None:
        return whole
    if ends is None:
        assert begins is not None
        cut = [(i, n - 1, True) for i in range(max(0, n - length + 1), n) if begins[i]] if leaves else []
        return [(i, j, waits) for i, j, waits in whole if begins[i]] + cut
    if begins is None:
        return [(max(0, j - length + 1), j, False) for j in range(n) if ends[j]]
    out = []
    for j in (j for j in range(n) if ends[j]):
        after = max((i + 1 for i in range(j) if ends[i]), default=0)
        starts = [i for i in range(max(after, j - length + 1), j) if begins[i]]
        out += [(starts[0], j, False)] if starts else []
    return out


def activity(step: Json, table: Table, scope: Scope) -> Table:
    """The buckets with a row of the key, and each after one of them that has none."""
    rows = []
    for points in table.by_key():
        seen: dict[int, list[int]] = {}
        for i, point in enumerate(points):
            seen.setdefault(bucket(point.time, step["every"], step["zone"])[0], []).append(i)
        for start, at in seen.items():
            end = bucket(start, step["every"], step["zone"])[1]
            earlier = [s for s in seen if s < start]
            came = any(bucket(s, step["every"], step["zone"])[1] == start for s in earlier)
            status = "new" if not earlier else "returning" if came else "resurrecting"
            here = [(start, end, status, at[0])]
            if end not in seen:
                here.append((end, bucket(end, step["every"], step["zone"])[1], "dormant", at[-1]))
            for first, final, word, i in here:
                if final > scope.since and first < scope.until:
                    values: dict[str, Value] = {scope.key: points[0].key, "start": first, "end": final}
                    values |= {"duration": final - first, "status": word}
                    rows.append(Row(points[0].key, first, 0, values | _held(points, scope, i), final))
    own = {"start": "time", "end": "time", "duration": "duration", "status": "string"}
    return Table("sessions", rows, _types(table, scope, **own))


def dedupe(step: Json, table: Table, params: dict[str, Value]) -> Table:
    """The rows that repeat no value of a kept row of their key."""

    def kept(values: list[Value], rows: list[Row]) -> list[Value]:
        out: list[Value] = []
        for i, (value, row) in enumerate(zip(values, rows, strict=True)):
            same = [j for j in range(i) if rows[j].key == row.key and values[j] == value and out[j]]
            out.append(value is None or all(row.time - rows[j].time > step["within"] for j in same))
        return out

    past = table.past
    found = looking_back(
        kept, evaluate(step["of"], table, params), table.rows, evaluate(step["of"], past, params), past.rows
    )
    return Table(
        table.kind, [row for row, keep in zip(table.rows, found, strict=True) if keep], table.types, table.whole
    )
