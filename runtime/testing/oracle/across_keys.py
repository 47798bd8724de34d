"""Windows across keys, and nulls of series filled from the values around them."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from runtime.testing.oracle.buckets import bucket
from runtime.testing.oracle.lasting import Scope
from runtime.testing.oracle.oracle_aggregates import prepare
from runtime.testing.oracle.rows import Json, Row, Table, Value


def window_across(step: Json, table: Table, scope: Scope) -> list[Row]:
    """For each window that overlaps the range, and each group, the points in it."""
    size, by = step.get("size", 1), step["by"]
    aggregates = prepare(step["aggs"], table, scope.params)
    found: list[tuple[int, int, tuple[Value, ...], list[int]]] = []
    seen: dict[tuple[Value, ...], None] = {}
    for start, end in _windows(step["every"], step["zone"], size, scope):
        inside: dict[tuple[Value, ...], list[int]] = {}
        for i, row in enumerate(table.rows):
            if start <= row.time < end and (size > 1 or row.time >= scope.since):
                inside.setdefault(tuple(row.values[name] for name in by), []).append(i)
        seen |= dict.fromkeys(inside)
        found += [(start, end, group, inside.get(group, [])) for group in (seen if step.get("empty") else inside)]
    rows = []
    for start, end, group, members in found:
        values: dict[str, Value] = dict(zip(by, group, strict=True))
        values |= {"start": start, "end": end, "duration": end - start}
        values |= {a.name: a.over(members) for a in aggregates}
        first = scope.beginning if size > 1 else max(scope.since, scope.beginning)
        values |= {"count": len(members), "partial": start < first or end > scope.until}
        rows.append(Row(None, 0, 0, values))
    return rows


def _windows(every: str, zone: str, size: int, scope: Scope) -> list[tuple[int, int]]:
    """The windows that overlap the range, in order."""
    if scope.since >= scope.until:
        return []
    start = bucket(scope.since, every, zone)[0]
    for _ in range(size - 1):
        start = bucket(start - 1, every, zone)[0]
    edges = [start]
    while edges[-1] < scope.until or len(edges) <= size or edges[-size - 1] < scope.until:
        edges.append(bucket(edges[-1], every, zone)[1])
    return [(a, b) for a, b in zip(edges, edges[size:], strict=False) if a < scope.until]


def types_of_windows(step: Json, table: Table, scope: Scope) -> dict[str, str | None]:
    """The types of their columns."""
    types: dict[str, str | None] = {name: table.types[name] for name in step["by"]}
    types |= {"start": "time", "end": "time", "duration": "duration"}
    types |= {a.name: a.type for a in prepare(step["aggs"], table, scope.params)}
    return types | {"count": "int64", "partial": "bool"}


def fill(step: Json, rows: list[Row], types: dict[str, str | None], keyed: bool) -> Table:
    """The rows with nulls filled. Rows of keys have the last value up to them, and its time, in hidden columns."""
    method, by, within = step["fill_method"], step["by"] or [], step.get("within", math.inf)
    linear = method == "linear"
    of: Callable[[Row], Any] = (lambda r: r.key) if keyed else (lambda r: tuple(r.values[n] for n in by))
    at: Callable[[Row], Any] = (lambda r: r.time) if keyed else (lambda r: r.values["start"])
    new: list[dict[str, Value]] = [{n: v for n, v in row.values.items() if n[0] != "$"} for row in rows]
    kinds = {n: t for n, t in types.items() if n[0] != "$"}
    for name in step["columns"]:
        kind = kinds[name]
        kinds[name] = "float64" if linear and kind != "duration" else kind
        for i, row in enumerate(rows):
            value: Any = row.values[name]
            mine = [(at(r), j, r.values[name]) for j, r in enumerate(rows) if of(r) == of(row)]
            series = sorted((t, j, v) for t, j, v in mine if v is not None)
            before = [(t, v) for t, j, v in series if (t, j) <= (at(row), i)]
            if keyed:
                known = row.values[f"$left {name}"] is not None
                last: Any = (row.values[f"$when {name}"], row.values[f"$left {name}"])
                before = [last] if known else []
            after = [(t, v) for t, j, v in series if (t, j) > (at(row), i)]
            if value is None and method == "last" and before and at(row) - before[-1][0] <= within:
                value = before[-1][1]
            elif value is None and method == "next" and after and after[0][0] - at(row) <= within:
                value = after[0][1]
            elif value is None and linear and before and after and after[0][0] - before[-1][0] <= within:
                (begin, low), (end, high) = before[-1], after[0]
                share = Fraction(at(row) - begin, end - begin) if end > begin else Fraction(0)
                exact = Fraction(low) + share * (Fraction(high) - Fraction(low))
                value = round(exact) if kind == "duration" else float(exact)
            new[i][name] = float(value) if value is not None and kinds[name] == "float64" else value
    return Table("plain", [Row(None, 0, 0, values) for values in new], kinds)
