"""Time on intervals: ``time()`` is the clock at every instant, and cuts the interval where its values change.

Brute force: nothing is derived. An expression is evaluated at every instant at which any expression of the tests might
change (every quarter of an hour, as clocks of all zones show them, and its parts at which buckets begin; every
constant, and every time or duration of the row; if there is arithmetic, all of these shifted by sums of durations).
Equal neighbours are merged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from math import gcd

from runtime.testing.oracle.expressions import EVALUATED, STATEFUL, evaluate, type_of
from runtime.testing.oracle.rows import Json, Row, Table, Value

MINUTE = 60_000_000
QUARTER = 15 * MINUTE
ARITHMETIC = ("add", "sub", "mul", "div", "floordiv", "mod", "neg", "abs")


def asks_clock(expr: Json | None) -> bool:
    """Whether ``time()`` is part of it."""
    return expr is not None and (expr.get("fn") == "time" or any(asks_clock(arg) for arg in expr.get("args", [])))


def cut(table: Table, exprs: Sequence[Json], params: dict[str, Value], conditions: int = 0) -> Table:
    """The pieces of intervals in which each of ``exprs`` has one value, those being under ``$0``, ``$1`` ...

    Of the first ``conditions`` only whether they are true matters, and where they are not all, nothing else does.
    """
    table, exprs = remembered(table, exprs, params)
    rows = []
    for row in table.rows:
        at = sorted({row.time, *(t for t in instants(exprs, table, row, params) if row.time < t < row.end)})
        moments = replace(table, rows=[replace(row, clock=t) for t in at])
        says = list(zip(*(evaluate(expr, moments, params) for expr in exprs), strict=True))
        begin = row.time if row.begin is None else row.begin
        pieces: list[tuple[int, int, tuple[Value, ...]]] = []
        for (start, end), values in zip(pairwise([*at, row.end]), says, strict=True):
            if pieces and _alike(pieces[-1][2], values, conditions):
                pieces[-1] = (pieces[-1][0], end, pieces[-1][2])
            else:
                pieces.append((start, end, values))
        for start, end, values in pieces:
            extent: dict[str, Value] = {"start": start, "end": end, "duration": end - start}
            new = row.values | {name: value for name, value in extent.items() if name in row.values}
            new |= {f"${i}": value for i, value in enumerate(values)}
            rows.append(replace(row, time=start, end=end, begin=begin, values=new))
    return replace(table, rows=rows)


def _alike(before: tuple[Value, ...], now: tuple[Value, ...], conditions: int) -> bool:
    kept = [all(value is True for value in values[:conditions]) for values in (before, now)]
    return kept[0] == kept[1] and (not kept[0] or before[conditions:] == now[conditions:])


def remembered(table: Table, exprs: Sequence[Json], params: dict[str, Value]) -> tuple[Table, list[Json]]:
    """What looks at other rows, as columns of the rows that are not cut yet; and the expressions, made of these."""
    columns: dict[str, list[Value]] = {}

    def replaced(expr: Json) -> Json:
        if expr.get("fn") in (*STATEFUL, *EVALUATED):
            name = f"$before{len(columns)}"
            columns[name] = evaluate(expr, table, params)
            types[name] = type_of(expr, table.types)
            return {"col": name}
        return expr | {"args": [replaced(arg) for arg in expr["args"]]} if "args" in expr else expr

    types: dict[str, str | None] = dict(table.types)
    out = [replaced(expr) for expr in exprs]
    rows = [
        replace(row, values=row.values | {name: column[i] for name, column in columns.items()})
        for i, row in enumerate(table.rows)
    ]
    return replace(table, rows=rows, types=types), out


def instants(exprs: Sequence[Json], table: Table, row: Row, params: dict[str, Value]) -> set[int]:
    """When any of the expressions might change, within the row."""
    times = {row.time, row.end}
    nodes = [n for expr in exprs for n in _nodes(expr)]
    lengths = {row.length} if any(n.get("fn") in ARITHMETIC for n in nodes) else set()
    minutes = [int(n["every"][:-1]) * MINUTE for n in nodes if n.get("every", "").endswith("m")]
    step = gcd(QUARTER, *minutes)
    for node in nodes:
        values: list[Value] = []
        kind = node.get("type")
        if "col" in node:
            values, kind = [row.values.get(node["col"])], table.types.get(node["col"])
        elif "lit" in node:
            values = [node["lit"]]
        elif "param" in node:
            values = [params.get(node["param"], node.get("default"))]
        elif node.get("fn") == "is_in":
            values = node["values"]
        numbers = [int(v) for v in values if v is not None and kind in ("time", "duration")]
        (times if kind == "time" else lengths).update(numbers)
    shifts = {0} | {s * n for n in lengths for s in (1, -1)}
    shifts |= {a + b for a in shifts for b in shifts}
    found = set()
    for shift in shifts:
        first = (row.time - shift) // step * step + shift
        found |= set(range(first, row.end, step)) if shift % step or not shift else set()
        found |= {t + shift + more for t in times for more in (-1, 0, 1)}
    # Whole numbers of half hours since the row began, and its middle.
    found |= {t + more for t in range(row.time, row.end, 2 * QUARTER) for more in (0, 1)}
    found |= {row.time + row.length // 2 + more for more in (0, 1, 2)}
    return found


def _nodes(expr: Json) -> Iterator[Json]:
    yield expr
    for arg in expr.get("args", []):
        yield from _nodes(arg)
