"""Steps and functions that look at the other rows of a finished table: ``over``, ``top``, ``pivot``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from runtime.testing.oracle.expressions import evaluate, type_of
from runtime.testing.oracle.oracle_aggregates import PlainAggregate, prepare
from runtime.testing.oracle.rows import Json, Row, Table, Value

RUNNING = {"share": "sum", "cumulative_sum": "sum", "cumulative_max": "max", "cumulative_min": "min"}
"""Functions that are aggregates, or of them."""


def with_columns_beside(part: Any, table: Table, params: dict[str, Value]) -> tuple[Any, Table]:
    """A step, or a part of one, with a column in the place of each function of other rows; the table with these."""
    if isinstance(part, list):
        parts = []
        for inner in part:
            inner, table = with_columns_beside(inner, table, params)
            parts.append(inner)
        return parts, table
    if not isinstance(part, dict) or "lit" in part:
        return part, table
    out = {}
    for name, inner in part.items():
        out[name], table = with_columns_beside(inner, table, params)
    if "over" not in out:
        return out, table
    kind, values = _beside(out, table, params)
    column = f"$over {len(table.types)}"
    rows = [replace(row, values=row.values | {column: v}) for row, v in zip(table.rows, values, strict=True)]
    return {"col": column}, replace(table, rows=rows, types=table.types | {column: kind})


def _beside(node: Json, table: Table, params: dict[str, Value]) -> tuple[str | None, list[Any]]:
    """The type and the values of one function of other rows."""
    of, n, rows = node["over"], int(node.get("n", 1)), node.get("rows")
    order = node.get("order", [])
    down = node.get("descending") or [False] * max(len(order), 1)
    args = [evaluate(arg, table, params) for arg in node.get("args", [])]
    kind = type_of(node["args"][0], table.types) if args else None
    if of in ("rank", "dense_rank", "ntile"):
        order = node["args"]
    keys = [evaluate(expr, table, params) for expr in order]
    if isinstance(of, str) and of in RUNNING:
        total = {"name": "", "agg": {"fn": RUNNING[of], "args": node["args"], "where": None}}
        (aggregate,) = prepare([total], table, params)
    elif not isinstance(of, str):
        (aggregate,) = prepare([{"name": "", "agg": of}], table, params)
        kind = aggregate.type
    out: list[Any] = [None] * len(table.rows)
    for members in _parts(node.get("per", []), table, params):
        in_order = _ordered(members, keys, down)
        if not isinstance(of, str) or of in RUNNING:
            for at, i in enumerate(in_order):
                seen = in_order[: at + 1][-rows:] if rows else in_order[: at + 1]
                out[i] = _over(aggregate, seen if order else in_order)
        elif of in ("previous", "next"):
            for at, i in enumerate(in_order):
                there = at - n if of == "previous" else at + n
                out[i] = args[0][in_order[there]] if 0 <= there < len(in_order) else None
        else:
            known = [i for i in in_order if args[0][i] is not None]
            values = [args[0][i] for i in known]
            for at, i in enumerate(known):
                out[i] = _place(of, at, values, n)
    if of == "share":
        pairs = [Row(None, 0, 0, {"a": a, "b": b}) for a, b in zip(args[0], out, strict=True)]
        both = Table("plain", pairs, {"a": kind, "b": aggregate.type})
        ratio = {"fn": "div", "args": [{"col": "a"}, {"col": "b"}]}
        return type_of(ratio, both.types), evaluate(ratio, both, params)
    return "int64" if of in ("rank", "dense_rank", "ntile", "row_number") else kind, out


def _over(aggregate: PlainAggregate, members: list[int]) -> Any:
    """The aggregate of these rows, in their order."""
    if aggregate.fn not in ("first", "last"):
        return aggregate.over(members)
    values = [
        aggregate.argument[i] for i in members if aggregate.argument and (not aggregate.where or aggregate.where[i])
    ]
    known = [v for v in values if v is not None]
    return known[-(aggregate.fn == "last")] if known else None


def _place(of: Any, at: int, values: list[Any], n: int) -> int:
    """The place of the value at this position among all of them, which are in order."""
    if of == "rank":
        return 1 + values.index(values[at])
    if of == "dense_rank":
        return len(set(values[: at + 1]))
    if of == "ntile":
        sizes = [len(values) // n + (part < len(values) % n) for part in range(n)]
        return next(part + 1 for part in range(n) if at < sum(sizes[: part + 1]))
    return at + 1


def _parts(per: Sequence[Json], table: Table, params: dict[str, Value]) -> list[list[int]]:
    """The indices of the rows with equal values of all expressions."""
    columns = [evaluate(expr, table, params) for expr in per]
    found: dict[Any, list[int]] = {}
    for i in range(len(table.rows)):
        found.setdefault(tuple(column[i] for column in columns), []).append(i)
    return [found[part] for part in sorted(found, key=lambda part: [_rank(v) for v in part])]


def _ordered(members: list[int], keys: list[list[Any]], down: list[bool]) -> list[int]:
    """Indices in an order; equal ones as they were."""
    for values, descending in reversed(list(zip(keys, down, strict=False))):
        members = sorted(members, key=lambda i: _rank(values[i]), reverse=descending)
    return members


def _rank(value: Any) -> tuple[Any, ...]:
    return (0,) if value is None else (1, value)


def top(step: Json, table: Table, params: dict[str, Value]) -> Table:
    """The first rows of each part, part by part."""
    asked, wide = with_columns_beside([step["by"], *step.get("per", [])], table, params)
    values = evaluate(asked[0], wide, params)
    rows = []
    for members in _parts(asked[1:], wide, params):
        known = [i for i in members if values[i] is not None]
        rows += [table.rows[i] for i in _ordered(known, [values], [step.get("descending", True)])[: step["n"]]]
    return Table("plain", rows, table.types)


def grouped_by(steps: Sequence[Json], key: str, time: str) -> list[str]:
    """The columns that tell rows apart after these steps: the key and the time, or those of the last grouping."""
    names = [key, time]
    for i, step in enumerate(steps):
        if step["op"] == "group_by":
            names = [entry["name"] for entry in step["by"]]
        elif step["op"] == "pivot":
            names = [name for name in names if name != step["on"]]
        elif step["op"] == "select" and any(s["op"] == "group_by" for s in steps[:i]):
            names = [entry["name"] for entry in step["columns"] if entry["expr"].get("col") in names]
    return names


def pivot(step: Json, table: Table, params: dict[str, Value], grouped: Sequence[str]) -> Table:
    """One row for each combination of the columns that rows are ``grouped`` by, but for the pivoted one."""
    on, of = step["on"], step.get("of", [])
    per = [name for name in grouped if name in table.types and name != on]
    names = ["$of"] if isinstance(of, dict) else of or [n for n in table.types if n not in (*per, on)]
    said = [value["lit"] for value in step["values"]]
    labels = [("null" if v is None else str(v).lower() if isinstance(v, bool) else str(v), v) for v in said]
    out: dict[Any, dict[str, Value]] = {}
    if isinstance(of, dict):
        (aggregate,) = prepare([{"name": "", "agg": of}], table, params)
    types: dict[str, str | None] = {name: table.types[name] for name in per}
    for label, _ in [*labels, *([(step["other"], None)] if step.get("other") else [])]:
        for name in names:
            column = label if len(names) == 1 else f"{label}_{name}"
            types[column] = aggregate.type if isinstance(of, dict) else table.types[name]
    cells: dict[Any, list[int]] = {}
    for i, row in enumerate(table.rows):
        label = next((label for label, value in labels if value == row.values[on]), step.get("other"))
        if label is None:
            raise ValueError(f"{row.values[on]!r} is not declared")
        part = tuple(row.values[name] for name in per)
        out.setdefault(part, dict.fromkeys(types) | dict(zip(per, part, strict=True)))
        cells.setdefault((part, label), []).append(i)
    for (part, label), members in cells.items():
        if isinstance(of, dict):
            out[part][label] = aggregate.over(members)
            continue
        (i,) = members
        for name in names:
            out[part][label if len(names) == 1 else f"{label}_{name}"] = table.rows[i].values[name]
    in_order = sorted(out, key=lambda part: [_rank(v) for v in part])
    return Table("plain", [Row(None, 0, 0, out[part]) for part in in_order], types)
