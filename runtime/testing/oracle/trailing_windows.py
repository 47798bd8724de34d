"""Aggregates over trailing and leading windows, by brute force: of every row, the rows of its key that are in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runtime.testing.oracle.expressions import type_of
from runtime.testing.oracle.oracle_aggregates import PlainAggregate, prepare
from runtime.testing.oracle.rows import Json, Row, Table, Value


def trailing(expr: Json, table: Table, params: dict[str, Value]) -> list[Value]:
    """The aggregate over the rows in (t - length, t], t being the row's time; or over the last rows up to it.
    A leading one is over those in [t, t + length), or the next rows from it on.

    Rows before the range are in windows, too. Of a row that ``since`` cuts the whole is, and its part has the same
    window.
    """
    if table.kind == "plain":
        raise ValueError("a window needs the rows of a key in their order")
    entry = {"name": "", "agg": expr["agg"]}
    past = table.past
    (then,), (now,) = prepare([entry], past, params), prepare([entry], table, params)
    rows = [*past.rows, *table.rows]
    over = replace(
        now,
        rows=rows,
        argument=None if now.argument is None or then.argument is None else [*then.argument, *now.argument],
        where=None if now.where is None or then.where is None else [*then.where, *now.where],
        before=[*then.before, *now.before],
    )
    cut = {row.key: i for i, row in enumerate(rows) if row.early == "cut"}
    whole = {i: cut[row.key] for i, row in enumerate(rows) if row.early == "part" and row.key in cut}
    counted = [i for i, row in enumerate(rows) if not row.ghost and i not in whole]
    out: list[Any] = []
    for i in range(len(past.rows), len(rows)):
        at = whole.get(i, i)
        mine = [j for j in counted if rows[j].key == rows[at].key]
        out.append(over.over(_members(expr, rows, at, mine)))
    return out


def _members(expr: Json, rows: list[Row], at: int, mine: list[int]) -> list[int]:
    """Of the rows ``mine`` of a key, those in the window of row ``at``."""
    now, away = rows[at].time, expr.get("offset", 0)
    if expr["fn"] == "leading":
        if expr["rows"] is not None:
            return [j for j in mine if j >= at][: expr["rows"]]
        return [j for j in mine if now <= rows[j].time - away < now + expr["length"]]
    if expr["rows"] is not None:
        return [j for j in mine if j <= at][-expr["rows"] :]
    return [j for j in mine if now - expr["length"] < rows[j].time + away <= now]


def trailing_type(expr: Json, types: dict[str, str | None]) -> str | None:
    """The type of the aggregate."""
    args = expr["agg"]["args"]
    kind = type_of(args[0], types) if args else None
    return PlainAggregate("", expr["agg"]["fn"], [], None, kind, None, expr["agg"], []).type
