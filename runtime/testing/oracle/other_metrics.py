"""Metrics inside a metric: each is answered from the same points, and rows look its answer up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from runtime.testing.oracle.expressions import evaluate
from runtime.testing.oracle.rows import Json, Row, Table, Value

Ask = Callable[[Sequence[Json]], Table]
"""The finished table of the steps of another metric."""


def join_metric(step: Json, table: Table, params: Mapping[str, Value], ask: Ask) -> Table:
    """The columns of the answer's one row with these values; null equals nothing."""
    answer = ask(step["metric"])
    on = [entry["name"] for entry in step["on"]]
    names = _names(answer, on, table, step.get("suffix"))
    found: dict[tuple[Value, ...], Row] = {}
    for row in answer.rows:
        values = tuple(row.values[name] for name in on)
        assert values not in found
        if None not in values:
            found[values] = row
    exprs = [entry["expr"] for entry in step["on"]]

    def joined(rows: list[Row]) -> list[Row]:
        keys = zip(*(evaluate(e, replace(table, rows=rows, whole=[]), dict(params)) for e in exprs), strict=True)
        both = [(row, found.get(values)) for row, values in zip(rows, keys, strict=True)]
        return [_with(row, other, names) for row, other in both if other is not None or step["how"] == "left"]

    return Table(table.kind, joined(table.rows), table.types | _types(answer, names), joined(table.whole))


def with_periods(step: Json, ask: Ask) -> Json:
    """The join with a reference table that a join by the periods of an answer is: of rows that have a key."""
    answer, parts = ask(step["metric"]), {name: step.get(name) for name in ("key", "valid_from", "valid_to")}
    rows = [row.values for row in answer.rows if row.values[step["key"]] is not None]
    names = [n for n in answer.types if n != "duration" or n in parts.values()]
    columns = [{"name": n, "type": answer.types[n], "values": [row[n] for row in rows]} for n in names]
    return {"op": "join", "windows": {"table": {"columns": columns}, **parts}, "on": step["on"], "how": step["how"]}


def table_of(reference: Json) -> Table:
    """The rows of a reference table."""
    values = {c["name"]: c["values"] for c in reference["columns"]}
    rows = [Row(None, 0, 0, dict(zip(values, cells, strict=True))) for cells in zip(*values.values(), strict=True)]
    return Table("plain", rows, {c["name"]: c["type"] for c in reference["columns"]})


def side_by_side(step: Json, table: Table, ask: Ask) -> Table:
    """Two finished tables: the rows of the first, each with the second's, then what only the second has."""
    answer, on = ask(step["metric"]), step["on"]
    names = _names(answer, on, table, step.get("suffix"))
    pairs: list[tuple[Row | None, Row | None]] = []
    for row in table.rows:
        same = [other for other in answer.rows if all(other.values[n] == row.values[n] for n in on)]
        assert len(same) < 2
        if same or step["how"] != "inner":
            pairs.append((row, same[0] if same else None))
    if step["how"] == "full":
        pairs += [(None, other) for other in answer.rows if not any(o is other for _, o in pairs)]
    rows = []
    for mine, other in pairs:
        values: dict[str, Value] = dict.fromkeys(table.types) if mine is None else dict(mine.values)
        if mine is None and other is not None:
            values |= {n: other.values[n] for n in on}
        rows.append(_with(Row(None, 0, 0, values), other, names))

    def rank(row: Row) -> list[Any]:
        return [(0,) if row.values[n] is None else (1, row.values[n]) for n in on]

    return Table("plain", sorted(rows, key=rank), table.types | _types(answer, names))


def beside_rows(
    step: Json, before: Sequence[Json], table: Table, params: Mapping[str, Value], ask: Ask
) -> tuple[Json, Table]:
    """The step with columns in place of aggregates of the range beside rows, and the rows with these columns."""
    hidden: list[str] = []

    def replaced(part: Any) -> Any:
        nonlocal table
        if isinstance(part, list):
            return [replaced(item) for item in part]
        if not isinstance(part, dict) or step["op"] == part.get("op") == "join_metric":
            return part
        if "over" not in part:
            return {name: value if name == "metric" else replaced(value) for name, value in part.items()}
        name = f"$range{len(hidden)}"
        hidden.append(name)
        by = [{"name": f"${i}", "expr": e} for i, e in enumerate(part.get("per", []))]
        aggs = [{"name": "value", "agg": part["over"]}]
        answer = ask([*before, {"op": "group_by", "by": by, "aggs": aggs}])
        found = {tuple(row.values[c["name"]] for c in by): row.values["value"] for row in answer.rows}

        def looked_up(rows: list[Row]) -> list[Row]:
            given = replace(table, rows=rows, whole=[])
            columns = [evaluate(c["expr"], given, dict(params)) for c in by]
            keys = zip(*columns, strict=True) if by else [()] * len(rows)
            return [
                replace(row, values=row.values | {name: found.get(tuple(values))})
                for row, values in zip(rows, keys, strict=True)
            ]

        types = table.types | {name: answer.types["value"]}
        table = Table(table.kind, looked_up(table.rows), types, looked_up(table.whole))
        return {"col": name}

    return replaced(step), table


def without_hidden(table: Table) -> Table:
    """The table without the columns of ``beside_rows``."""
    return replace(table, types={n: t for n, t in table.types.items() if not n.startswith("$range")})


def columns_of_metric(step: Json) -> set[str]:
    """The names that a metric inside a step may add."""
    if isinstance(step, list):
        return {name for part in step for name in columns_of_metric(part)}
    if not isinstance(step, dict):
        return set()
    own = {step["name"]} if isinstance(step.get("name"), str) else set()
    return own | {name for part in step.values() for name in columns_of_metric(part)}


def _names(answer: Table, on: Sequence[str], table: Table, suffix: str | None) -> dict[str, str]:
    """The new name of each column of the answer that is added."""
    return {n: n + suffix if suffix and n in table.types else n for n in answer.types if n not in on}


def _types(answer: Table, names: Mapping[str, str]) -> dict[str, str | None]:
    return {new: answer.types[name] for name, new in names.items()}


def _with(row: Row, other: Row | None, names: Mapping[str, str]) -> Row:
    return replace(
        row, values=row.values | {new: None if other is None else other.values[name] for name, new in names.items()}
    )
