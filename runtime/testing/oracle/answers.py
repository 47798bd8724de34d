"""The steps of a graph in turn; duplicates, groups and their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from runtime.testing.oracle.across_keys import fill, types_of_windows, window_across
from runtime.testing.oracle.buckets import bucket
from runtime.testing.oracle.clock import asks_clock, cut
from runtime.testing.oracle.combined_timelines import concurrent, during, join, timeline
from runtime.testing.oracle.expressions import EVALUATED, evaluate, literal_type, type_of
from runtime.testing.oracle.flows import cohorts, transitions
from runtime.testing.oracle.funnel_attempts import funnel, funnel_table, own_types
from runtime.testing.oracle.lasting import Scope, heartbeat, row_intervals, sessionize, state_duration, window
from runtime.testing.oracle.later_rows import beside_later, last_that_asks, later, later_type, until
from runtime.testing.oracle.matches import match
from runtime.testing.oracle.oracle_aggregates import prepare
from runtime.testing.oracle.other_metrics import (
    beside_rows,
    columns_of_metric,
    join_metric,
    side_by_side,
    table_of,
    with_periods,
    without_hidden,
)
from runtime.testing.oracle.other_rows import grouped_by, pivot, top, with_columns_beside
from runtime.testing.oracle.rows import Json, Row, Table, Value
from runtime.testing.oracle.rows_before import paired, rows_of_both
from runtime.testing.oracle.sequences_of_values import activity, dedupe, sequence, subpaths
from runtime.testing.oracle.several_streams import as_of, united
from runtime.testing.oracle.trailing_windows import trailing, trailing_type

DAY = 86_400_000_000
LASTING = {
    "state_duration": state_duration,
    "heartbeat": heartbeat,
    "intervals": row_intervals,
    "sessionize": sessionize,
    "window": window,
    "funnel": funnel,
    "cohorts": cohorts,
    "transitions": transitions,
    "match": match,
    "sequence": sequence,
    "subpaths": subpaths,
    "activity": activity,
}
ROW_BY_ROW = ("filter", "with_columns", "held", "select", "join", "during", "dedupe")
NO_PARAMS: Mapping[str, Value] = {}
EVALUATED |= dict.fromkeys(("trailing", "leading"), (trailing, trailing_type))
EVALUATED["next"] = later, later_type


def answer(
    graph: Json,
    points: Sequence[Mapping[str, Any]],
    *,
    key: str,
    time: str,
    since: int,
    until: int,
    params: Mapping[str, Value] = NO_PARAMS,
    duplicates: str = "keep",
    id: str | None = None,
    types: Mapping[str, str] | None = None,
) -> list[dict[str, Value]]:
    """What a metric says about these points, over ``since <= time < until``.

    Points come in the order of arrival; each maps ``key`` to a string or an integer, ``time`` to microseconds UTC and
    other columns to values (missing or None: not reported). ``types`` names the columns' types; those it leaves out
    are taken from the values. The answer's rows are in order; times and durations are integer microseconds.
    """
    table = _points(points, key, time, dict(types or {}))
    table = replace(table, rows=_without_duplicates(table.rows, duplicates, id))
    name = next((step["name"] for step in graph["steps"] if step["op"] == "stream"), "")
    return _answer(graph["steps"], {name: table}, Scope(key, time, since, until, dict(params), []))


def answer_of_streams(
    graph: Json,
    streams: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    key: str,
    time: str,
    since: int,
    until: int,
    types: Mapping[str, str],
    params: Mapping[str, Value] = NO_PARAMS,
    duplicates: Mapping[str, str] | None = None,
) -> list[dict[str, Value]]:
    """The same for a metric over several streams, by name, with the same types of columns and names of key and time;
    ``duplicates`` are the policies of those that do not keep them."""
    tables = {}
    for name, points in streams.items():
        table = _points(points, key, time, dict(types))
        policy = (duplicates or {}).get(name, "keep")
        tables[name] = replace(table, rows=_without_duplicates(table.rows, policy, None))
    return _answer(graph["steps"], tables, Scope(key, time, since, until, dict(params), []))


def _answer(steps: Sequence[Json], tables: Mapping[str, Table], scope: Scope) -> list[dict[str, Value]]:
    key, since, params = scope.key, scope.since, scope.params
    beginning = min((row.time for table in tables.values() for row in table.rows), default=since)
    of_range = replace(scope, streams={n: until(t, scope.until) for n, t in tables.items()}, beginning=beginning)
    of_all = replace(of_range, streams=tables)

    def asked(steps: Sequence[Json]) -> Table:
        """The rows of a metric over these points that may be shown."""
        ahead = last_that_asks(steps)
        table = _start(steps[0], of_range if ahead < 0 else of_all)
        for i, step in enumerate(steps[1:], start=1):
            scope = of_all if i < ahead else of_range
            if i <= ahead:
                step, table = beside_later(step, table, params)
            if i == ahead:
                table = until(table, scope.until)
            held: list[str] = []
            if step["op"] in LASTING or step["op"] == "timeline":
                held = _held_columns(step, [*steps[i + 1 :]], key)
            if step["op"] == "with_columns" and table.kind == "intervals":
                step = step | {"columns": [c for c in step["columns"] if _is_read(c, [*steps[i + 1 :]])]}
            if table.kind != "plain":
                step, table = beside_rows(step, steps[:i], table, params, asked)
            own = replace(scope, held=held, grouped_by=grouped_by(list(steps[:i]), key, scope.time))
            if step["op"] == "join_metric":
                table = join_metric(step, table, params, asked)
            elif step["op"] == "join_periods":
                table = _apply(with_periods(step, asked), table, own)
            elif step["op"] == "beside_table":
                rows = Table("plain", _visible(table, since), table.types)
                table = side_by_side(step | {"metric": [step["table"]]}, rows, lambda given: table_of(given[0]))
            elif step["op"] == "side_by_side":
                table = side_by_side(step, Table("plain", _visible(table, since), table.types), asked)
            else:
                table = _apply(step, table, own)
            table = without_hidden(table)
        return Table("plain", _visible(table, since), table.types)

    table = asked(steps)
    return [{name: row.values[name] for name in table.types} for row in table.rows]


def _start(step: Json, scope: Scope) -> Table:
    """The points of a stream, or of several."""
    if step["op"] == "stream":
        # Points that were given without a name are those of every stream.
        return scope.streams.get(step["name"]) or next(iter(scope.streams.values()))
    if step["op"] == "streams":
        return united([scope.streams[name] for name in step["names"]])
    return united([_rows_of(part, scope) for part in step["parts"]])


def _rows_of(steps: list[Json], scope: Scope) -> Table:
    """The points of a stream after the steps of a part."""
    return _all_steps(steps[1:], _start(steps[0], scope), scope)


def _points(points: Sequence[Mapping[str, Any]], key: str, time: str, types: dict[str, str]) -> Table:
    names = dict.fromkeys([key, time, *types, *(name for point in points for name in point)])
    found: dict[str, str | None] = {}
    for name in names:
        seen = [point[name] for point in points if point.get(name) is not None]
        found[name] = "time" if name == time else types.get(name) or (literal_type(seen[0]) if seen else None)
    floats = {name for name in names if found[name] == "float64"}
    rows = []
    for seq, point in enumerate(points):
        values = {name: point.get(name) for name in names}
        values |= {name: float(value) for name, value in values.items() if name in floats and value is not None}
        rows.append(Row(point[key], point[time], seq, values))
    rows.sort(key=lambda row: (row.key, row.time, row.seq))
    return Table("points", rows, found)


def _without_duplicates(rows: list[Row], policy: str, id: str | None) -> list[Row]:
    """Rows, ordered by (key, time, seq), with what the stream's policy calls a duplicate dropped or merged."""
    if id is not None:
        first: dict[Any, Row] = {}
        for i, row in enumerate(rows):
            event = row.values[id]
            first.setdefault((row.key, row.time // DAY, event) if event is not None else i, row)
        rows = list(first.values())
    if policy == "exact":
        seen: dict[Any, Row] = {}
        for row in rows:
            seen.setdefault(tuple(row.values.items()), row)
        rows = list(seen.values())
    elif policy == "latest":
        merged: dict[Any, Row] = {}
        for row in rows:
            old = merged.get((row.key, row.time))
            values = (old.values if old else {}) | {n: v for n, v in row.values.items() if v is not None or not old}
            merged[row.key, row.time] = replace(row, values=values)
        rows = list(merged.values())
    return rows


def _visible(table: Table, since: int) -> list[Row]:
    """The rows that may be shown or counted: no points before the range, no time before a first point."""
    return [row for row in table.rows if not row.ghost and not (table.kind == "points" and row.time < since)]


def _apply(step: Json, table: Table, scope: Scope) -> Table:
    op = step["op"]
    if op in ROW_BY_ROW:
        now = _row_by_row(step, table, scope)
        if not table.whole:
            return now
        now = replace(now, whole=_row_by_row(step, replace(table, rows=table.whole, whole=[]), scope).rows)
        # Where intervals are cut, parts of them begin before the range.
        return paired(now, step, scope.since) if table.kind == "intervals" else now
    if op in LASTING:
        if table.kind == "plain":
            raise ValueError(f"{op} needs the rows of a key in their order")
        table = replace(table, rows=[row for row in table.rows if not row.ghost])
        return rows_of_both(
            lambda rows, since: LASTING[op](step, rows, replace(scope, since=since, is_whole=since != scope.since)),
            step, table, scope.since, scope.until, scope.beginning,
        )  # fmt: skip
    if op == "timeline":
        tracks = {
            t["name"]: (t["steps"][-1], _all_steps(t["steps"][:-1], scope.streams.get(t.get("stream"), table), scope))
            for t in step["tracks"]
        }
        return rows_of_both(
            lambda rows, since: timeline(step, tracks, rows, replace(scope, since=since)),
            step, table, scope.since, scope.until, scope.beginning,
        )  # fmt: skip
    if op == "join_asof":
        return as_of(step, table, _rows_of(step["other"], scope), (scope.key, scope.time))
    if op == "concurrent":
        return concurrent(step, table, scope)
    if op == "funnel_table":
        return funnel_table(step, table, scope)
    if op == "group_by":
        return _group_by(step, table, scope)
    if op == "sort":
        rows = _visible(table, scope.since)
        for entry in reversed(step["by"]):
            rows = _sorted_by(rows, [entry["column"]], descending=entry.get("descending", False))
        return Table("plain", rows, table.types)
    if op == "window_across":
        types = types_of_windows(step, table, scope)
        return Table("plain", _sorted_by(window_across(step, table, scope), [*step["by"], "start"]), types)
    if op == "fill":
        keyed = table.kind != "plain"
        if keyed:
            table = _apply({"op": "with_columns", "columns": _last_values(step["columns"])}, table, scope)
        return fill(step, _visible(table, scope.since), table.types, keyed)
    if op == "limit":
        return Table("plain", _visible(table, scope.since)[: step["n"]], table.types)
    if op == "top":
        return top(step, Table("plain", _visible(table, scope.since), table.types), scope.params)
    if op == "pivot":
        return pivot(step, Table("plain", _visible(table, scope.since), table.types), scope.params, scope.grouped_by)
    raise ValueError(f"unknown step {op!r}")


def _row_by_row(step: Json, table: Table, scope: Scope) -> Table:
    """Steps that take rows one by one, each with its key's rows before it."""
    op, params = step["op"], scope.params
    if op == "join":
        return join(step, table, scope)
    if op == "during":
        return during(step, table, scope)
    if table.kind == "plain" and op in ("filter", "with_columns", "select"):
        step, wide = with_columns_beside(step, table, params)
        if op == "filter":
            kept = evaluate(step["where"], wide, params)
            return replace(table, rows=[row for row, keep in zip(table.rows, kept, strict=True) if keep is True])
        return _columns(step["columns"], wide, params, keep=list(table.types) if op == "with_columns" else [])
    if op == "filter" and table.kind == "intervals" and asks_clock(step["where"]):
        pieces = cut(table, [step["where"]], params, conditions=1)
        return replace(pieces, rows=[row for row in pieces.rows if row.values["$0"] is True], types=table.types)
    if op == "dedupe":
        return dedupe(step, table, params)
    if op == "filter":
        kept = evaluate(step["where"], table, params)
        return replace(table, rows=[row for row, keep in zip(table.rows, kept, strict=True) if keep is True])
    if op == "with_columns":
        return _columns(step["columns"], table, params, keep=list(table.types))
    if op == "held":
        columns = [
            {"name": n, "expr": {"fn": "last", "args": [{"col": n}], "hold": step["hold"]}} for n in step["columns"]
        ]
        return _columns(columns, table, params, keep=list(table.types))
    if op == "select":
        return _columns(step["columns"], table, params, keep=_always_kept(step["columns"], table, scope))
    raise ValueError(f"unknown step {op!r}")


def _all_steps(steps: list[Json], table: Table, scope: Scope) -> Table:
    for step in steps:
        table = _apply(step, table, scope)
    return table


def _always_kept(columns: list[Json], table: Table, scope: Scope) -> list[str]:
    """What ``select`` keeps unasked of rows that have it: the key, and the time unless a column is the time."""
    if table.kind == "plain":
        return []
    time = scope.time if table.kind == "points" else "start"
    asked = any(entry["expr"] in ({"col": time}, {"fn": "time", "args": []}) for entry in columns)
    return [scope.key] if asked else [scope.key, time]


def _columns(columns: list[Json], table: Table, params: dict[str, Value], *, keep: list[str]) -> Table:
    """New columns, all computed from the old ones, beside those to keep or in their place. Of intervals they are those
    of the whole interval, but for its start, end and length, which may be those of a piece."""
    types = {name: table.types[name] for name in keep}
    types |= {entry["name"]: type_of(entry["expr"], table.types) for entry in columns}
    if table.kind == "intervals" and any(asks_clock(entry["expr"]) for entry in columns):
        still = [entry for entry in columns if not asks_clock(entry["expr"])]
        moving = [entry for entry in columns if asks_clock(entry["expr"])]
        first = {f"${entry['name']}": evaluate(entry["expr"], table, params) for entry in still}
        rows = [
            replace(row, values=row.values | {name: values[i] for name, values in first.items()})
            for i, row in enumerate(table.rows)
        ]
        table = cut(replace(table, rows=rows), [entry["expr"] for entry in moving], params)
        held_in = {entry["name"]: f"${entry['name']}" for entry in still}
        held_in |= {entry["name"]: f"${i}" for i, entry in enumerate(moving)}
        held_in |= {n: n for n in ("start", "end", "duration") if {"name": n, "expr": {"col": n}} in columns}
        computed = {name: [row.values[held] for row in table.rows] for name, held in held_in.items()}
    else:
        computed = {entry["name"]: evaluate(entry["expr"], table, params) for entry in columns}
    rows = []
    for i, row in enumerate(table.rows):
        values = {name: row.values[name] for name in keep}
        rows.append(replace(row, values=values | {name: column[i] for name, column in computed.items()}))
    return Table(table.kind, rows, types)


def _group_by(step: Json, table: Table, scope: Scope) -> Table:
    by, aggs = step.get("by", []), step["aggs"]
    moving = [entry for entry in by if table.kind == "intervals" and asks_clock(entry["expr"])]
    types = {entry["name"]: type_of(entry["expr"], table.types) for entry in by}
    if moving:
        asked = [entry["expr"] for entry in moving]
        whole = cut(replace(table, rows=table.whole, whole=[]), asked, scope.params).rows
        table = replace(cut(table, asked, scope.params), types=table.types, whole=whole)
        table = paired(table, step, scope.since)
    group_values = [
        [row.values[f"${moving.index(entry)}"] for row in table.rows]
        if entry in moving
        else evaluate(entry["expr"], table, scope.params)
        for entry in by
    ]
    aggregates = prepare(aggs, table, scope.params)
    ghosts_count = any(aggregate.fn == "unknown_time" for aggregate in aggregates)
    groups: dict[tuple[Value, ...], list[int]] = {} if by else {(): []}
    for i, row in enumerate(table.rows):
        if table.kind == "points" and row.time < scope.since:
            continue
        if row.ghost and not ghosts_count:
            continue
        groups.setdefault(tuple(values[i] for values in group_values), []).append(i)
    names = [entry["name"] for entry in by]
    if step.get("empty"):
        _fill(groups, [entry["expr"] for entry in by], scope.until)
    rows = [
        Row(None, 0, 0, dict(zip(names, group, strict=True)) | {a.name: a.over(members) for a in aggregates})
        for group, members in groups.items()
    ]
    types |= {a.name: a.type for a in aggregates}
    return Table("plain", _sorted_by(rows, names), types)


def _last_values(names: list[str]) -> list[Json]:
    """Hidden columns: the last value of each of these, and its time."""
    found = []
    for name in names:
        known = {"fn": "is_not_null", "args": [{"col": name}]}
        when = {"fn": "when", "args": [known, {"fn": "time", "args": []}, {"lit": None, "type": "null"}]}
        for hidden, expr in ((f"$left {name}", {"col": name}), (f"$when {name}", when)):
            found.append({"name": hidden, "expr": {"fn": "last", "args": [expr], "hold": None}})
    return found


def _fill(groups: dict[tuple[Value, ...], list[int]], by: list[Json], until: int) -> None:
    """Every bucket of time from the first of each tuple of the other columns' values to the end of the range."""
    (j,) = (j for j, expr in enumerate(by) if expr.get("fn") == "truncate" and expr["args"][0].get("fn") == "time")
    first: dict[tuple[Value, ...], Any] = {}
    for group in groups:
        others = (*group[:j], *group[j + 1 :])
        begun: Any = group[j]
        first[others] = min(first.get(others, begun), begun)
    for others, start in first.items():
        while start < until:
            groups.setdefault((*others[:j], start, *others[j:]), [])
            start = bucket(start, by[j]["every"], by[j].get("zone") or "UTC")[1]


def _sorted_by(rows: list[Row], names: list[str], *, descending: bool = False) -> list[Row]:
    """Rows by these columns, ties as they were; null is less than everything."""

    def rank(row: Row) -> list[Any]:
        return [(0,) if row.values[name] is None else (1, row.values[name]) for name in names]

    return sorted(rows, key=rank, reverse=descending)


def _held_columns(step: Json, later: list[Json], key: str) -> list[str]:
    """The stream's columns that later steps refer to, up to the first step that makes new rows or drops columns."""
    own = _own_columns(step, key)
    held: dict[str, None] = {}
    conditions: set[str] = set()
    for after in later:
        found = [name for name in _references(after) if name.partition(".")[0] not in conditions]
        held |= dict.fromkeys(name for name in found if name not in own)
        if after["op"] in ("group_by", "select", "concurrent", "funnel_table", "fill"):
            break
        if "metric" in after:
            own |= columns_of_metric(after["metric"])
        if after["op"] == "join":
            own |= {column["name"] for column in after["windows"]["table"]["columns"]}
        if after["op"] == "match":
            # It makes columns like A.x, of its condition A.
            conditions |= {entry["name"] for entry in after["conditions"]}
        if after["op"] in LASTING:
            own |= _own_columns(after, key)
        elif after["op"] != "held":
            own |= {c["name"] for c in after.get("columns", [])}
    return list(held)


def _own_columns(step: Json, key: str) -> set[str]:
    """The columns that a step which makes rows that last gives them."""
    own = {key, "start", "end", "duration"}
    if step["op"] in ("state_duration", "timeline"):
        return own | {step["name"]}
    if step["op"] == "heartbeat":
        return own | {"alive"}
    if step["op"] == "funnel":
        return own | set(own_types(step, None, key))
    if step["op"] == "cohorts":
        return own | {"cohort", "period", "returned"}
    if step["op"] == "match":
        measures = (f"{c['name']}_{what}" for c in step["conditions"] for what in ("first", "last", "count"))
        return own | {"count", *measures}
    if step["op"] == "sequence":
        return own | {"variant", "count"}
    if step["op"] == "activity":
        return own | {"status"}
    if step["op"] == "subpaths":
        return {key, "start", "path", "count", "after"}
    if step["op"] == "transitions":
        return {key, "start", "from", "to", "after"}
    flags = {"open_left", "open_right"} if step["op"] == "sessionize" else {"partial"}
    return own | flags | {"count", *(entry["name"] for entry in step.get("aggs", []))}


def _is_read(column: Json, later: list[Json]) -> bool:
    """Whether anything after a step looks at a column that the step made of the clock; all others count as read."""
    if not asks_clock(column["expr"]):
        return True
    name = column["name"]
    for i, step in enumerate(later):
        if step["op"] in ("with_columns", "select"):
            using = [c for c in step["columns"] if name in _references(c["expr"])]
            if any(_is_used(c["name"], later[i + 1 :]) for c in using):
                return True
            if step["op"] == "select" or name in [c["name"] for c in step["columns"]]:
                return False
        elif name in _references(step):
            return True
        elif step["op"] in ("group_by", "concurrent", "funnel_table"):
            return False
        elif step["op"] in ("sort", "limit"):
            return True
    return True


def _is_used(name: str, later: list[Json]) -> bool:
    return _is_read({"name": name, "expr": {"fn": "time", "args": []}}, later)


def _references(part: Any) -> Iterable[str]:
    """The names of all columns in a step or a part of one."""
    if isinstance(part, dict):
        if "col" in part:
            yield part["col"]
        elif "column" in part:  # of a sort
            yield part["column"]
        elif part.get("op") == "held":
            yield from part["columns"]
        elif "over" in part:  # its aggregate is of another metric
            yield from _references(part.get("per", []))
        elif "lit" not in part:
            for name, inner in part.items():
                yield from _references([] if name == "metric" else inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _references(inner)
