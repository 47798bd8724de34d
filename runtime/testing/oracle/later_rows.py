"""Values of later points of a key, by looking them up; and which rows after the range a metric takes for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from runtime.testing.oracle.expressions import evaluate, type_of
from runtime.testing.oracle.rows import Json, Table, Value

_LATER = ("next", "leading")


def later(expr: Json, table: Table, params: dict[str, Value]) -> list[Value]:
    """The value so many rows later, null where that is another key's row, or ``within`` has changed up to there."""
    if table.kind != "points":
        raise ValueError("next needs points")
    rows, away = table.rows, expr.get("rows", 1)
    values = evaluate(expr["args"][0], table, params)
    runs = evaluate(expr["args"][1], table, params) if len(expr["args"]) > 1 else [None] * len(rows)
    out: list[Value] = []
    for i in range(len(rows)):
        between = range(i, i + away + 1)
        there = between[-1] < len(rows) and all(rows[j].key == rows[i].key and runs[j] == runs[i] for j in between)
        out.append(values[between[-1]] if there else None)
    return out


def later_type(expr: Json, types: dict[str, str | None]) -> str | None:
    """The type of the value."""
    return type_of(expr["args"][0], types)


def asks_later(part: Any) -> bool:
    """Whether later rows are asked for in a step, or in a part of one; not in a metric inside it."""
    if isinstance(part, list):
        return any(map(asks_later, part))
    if not isinstance(part, dict):
        return False
    return part.get("fn") in _LATER or any(asks_later(of) for name, of in part.items() if name != "metric")


def last_that_asks(steps: Sequence[Json]) -> int:
    """The number of the last step that asks for later rows; -1 if none does."""
    return max((i for i, step in enumerate(steps) if asks_later(step)), default=-1)


def beside_later(step: Json, table: Table, params: Mapping[str, Value]) -> tuple[Json, Table]:
    """The step with columns in place of what it asks of later rows, and the rows with these columns."""
    found: list[Json] = []

    def replaced(part: Any) -> Any:
        if isinstance(part, list):
            return [replaced(item) for item in part]
        if not isinstance(part, dict):
            return part
        if part.get("fn") not in _LATER:
            return {name: of if name == "metric" else replaced(of) for name, of in part.items()}
        found.append(part)
        return {"col": f"$range later {len(found) - 1}"}

    step = replaced(step)
    columns = [evaluate(expr, table, dict(params)) for expr in found]
    types = table.types | {f"$range later {i}": type_of(expr, table.types) for i, expr in enumerate(found)}
    rows = [
        replace(row, values=row.values | {f"$range later {i}": values[n] for i, values in enumerate(columns)})
        for n, row in enumerate(table.rows)
    ]
    return step, replace(table, rows=rows, types=types)


def until(table: Table, end: int) -> Table:
    """The points before ``end``."""
    return replace(table, rows=[row for row in table.rows if row.time < end])
