"""Rows before the range, for steps that look back.

The oracle makes rows twice: those of the range, and the *whole*, as if the range began with the first point. In the
whole, rows that begin before the range are marked ``before``, and ``cut`` if ``since`` lies within them; the rest of
such a row in the range is marked ``part``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from runtime.testing.oracle.rows import Json, Row, Table, Value

Made = Callable[[Table, int], Table]
"""A step over a table, for a range that begins at a time."""


def rows_of_both(make: Made, step: Json, table: Table, since: int, until: int, first: int) -> Table:
    """The rows that ``make`` makes of ``table``, of the range and of the whole, which begins with the first point."""
    points = table.kind == "points"
    before = [] if points else [row for row in table.whole if row.early]
    seen = [row for row in table.rows if points or not (row.early == "part" and row.time < since)]
    now = make(replace(table, rows=[*before, *seen], whole=[]), since)
    past = table.rows if points else table.whole
    if step["op"] in ("funnel", "cohorts", "match", "sequence", "activity", "intervals") or not first < since < until:
        return replace(now, whole=[])
    whole = make(replace(table, rows=past, whole=[]), first)
    return paired(replace(now, whole=[row for row in whole.rows if not row.ghost]), step, since)


def paired(table: Table, step: Json, since: int) -> Table:
    """The table with its rows marked."""
    slides, closed = step.get("size", 1) > 1, step["op"] == "sessionize"
    marked: list[Row] = []
    ends: dict[Any, int] = {}
    for row in table.whole:
        early = ""
        if row.end <= since if slides else row.time < since:
            early = "before"
            if step["op"] not in ("transitions", "subpaths") and (row.end >= since if closed else row.end > since):
                early, ends[row.key] = "cut", row.end
        marked.append(replace(row, early=early))
    rows: list[Row] = []
    for row in table.rows:
        end = ends.pop(row.key, None)
        is_part = end is not None and (row.time <= end if closed else row.time < end)
        rows.append(replace(row, early="part" if is_part else ""))
    return replace(table, rows=rows, whole=marked)


def looking_back(
    function: Callable[[list[Value], list[Row]], list[Value]],
    values: list[Value],
    rows: list[Row],
    before: list[Value],
    past: list[Row],
) -> list[Value]:
    """What a function of the rows of a key gives for ``rows``, which also sees the rows of the ``past``.

    For a part it gives what it gives for the whole row, if that is there.
    """
    whole_rows = [*past, *rows]
    whole_values = [*before, *values]
    cut = {row.key: i for i, row in enumerate(whole_rows) if row.early == "cut"}
    once = [i for i, row in enumerate(whole_rows) if row.early != "part" or row.key not in cut]
    given = function([whole_values[i] for i in once], [whole_rows[i] for i in once])
    results = dict(zip(once, given, strict=True))
    found = [results[i] if i in results else results[cut[row.key]] for i, row in enumerate(whole_rows)]
    return found[len(past) :]
