"""Several streams: their union, and rows as of the time of others."""

from __future__ import annotations

from dataclasses import replace

from runtime.testing.oracle.rows import Json, Row, Table, Value


def united(tables: list[Table]) -> Table:
    """The rows of all tables by key and time, at equal times table by table; null where a table lacks a column."""
    names = dict.fromkeys(name for table in tables for name in table.types)
    types = {name: next((t.types[name] for t in tables if t.types.get(name)), None) for name in names}
    listed = [(row, number) for number, table in enumerate(tables) for row in table.rows]
    listed.sort(key=lambda pair: (pair[0].key, pair[0].time, pair[1], pair[0].seq))
    rows = [
        replace(row, seq=seq, values={name: row.values.get(name) for name in names})
        for seq, (row, _) in enumerate(listed)
    ]
    return Table("points", rows, types)


def as_of(step: Json, table: Table, other: Table, hidden: tuple[str, str]) -> Table:
    """Each row with the columns of the other table's last row of its key that is not later, nor too old."""
    columns = [name for name in other.types if name not in hidden]
    suffix = step.get("suffix") or ""
    shown = {name: name + suffix if name in table.types or name in hidden else name for name in columns}
    tolerance = step.get("tolerance")

    def found(row: Row) -> dict[str, Value]:
        before = [o for o in other.rows if o.key == row.key and o.time <= row.time]
        if not before:
            return dict.fromkeys(columns)
        last = max(before, key=lambda o: (o.time, o.seq))
        if tolerance is not None and row.time - last.time > tolerance:
            return dict.fromkeys(columns)
        return {name: last.values[name] for name in columns}

    rows = [replace(row, values=row.values | {shown[n]: v for n, v in found(row).items()}) for row in table.rows]
    return Table(table.kind, rows, table.types | {shown[name]: other.types[name] for name in columns})
