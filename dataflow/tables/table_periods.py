"""Reference tables and calendars in steps: periods, their JSON form and their text."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

from dataflow.expressions.aggregate_calls import column_or
from dataflow.expressions.call_text import given
from dataflow.expressions.expr import Expr
from dataflow.expressions.node import quoted, value_text
from dataflow.json.errors import JsonFormError, short
from dataflow.json.reading import Reader
from dataflow.tables.calendars import DAY_SECONDS, MAX_EXCEPT, MAX_SPANS, Calendar, Span
from dataflow.tables.reference_tables import MAX_COLUMNS, MAX_ROWS, ReferenceTable, indexed
from dataflow.tables.table_sources import Cell, Column
from dataflow.times.calendar_tables import known_time
from dataflow.times.zones import check_zone
from operators.aggregates.json_values import decimal_text
from operators.types import Type

_PERIODS = ["table", "key", "valid_from", "valid_to"]
_ROWS = 12
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, eq=False)
class TablePeriods:
    """A reference table as periods per key."""

    table: ReferenceTable
    key: str
    valid_from: str | None
    valid_to: str | None


# ---- JSON


def table_periods_out(w: TablePeriods) -> dict[str, Any]:
    """Periods as JSON."""
    return {"table": w.table.to_dict(), "key": w.key, "valid_from": w.valid_from, "valid_to": w.valid_to}


def calendar_out(c: Calendar) -> dict[str, Any]:
    """A calendar as JSON."""
    return {"weekly": [list(w) for w in c.weekly], "zone": c.zone, "except": [list(s) for s in c.except_]}


def table_periods_in(reader: Reader, value: object, where: str, *, merge: bool) -> TablePeriods:
    """Periods from JSON; ``merge`` merges overlapping periods of a key."""
    d = reader.fields(value, where, _PERIODS)
    names = [None if d[n] is None else reader.text(d[n], f"{where}.{n}") for n in ("valid_from", "valid_to")]
    if merge and names == [None, None]:
        raise JsonFormError(f"{where}: expected valid_from or valid_to")
    table, key = table_in(reader, d["table"], f"{where}.table"), reader.text(d["key"], f"{where}.key")
    indexed(table, key, names[0], names[1], where, merge)
    return TablePeriods(table, key, names[0], names[1])


def table_in(reader: Reader, value: object, where: str) -> ReferenceTable:
    """A reference table from JSON."""
    listed = reader.rows(reader.fields(value, where, ["columns"])["columns"], f"{where}.columns")
    if not 0 < len(listed) <= MAX_COLUMNS:
        raise JsonFormError(f"{where}: expected 1 to {MAX_COLUMNS} columns, got {len(listed)}")
    columns: list[Column] = []
    for i, item in enumerate(listed):
        here = f"{where}.columns[{i}]"
        d = reader.fields(item, here, ["name", "type", "values"])
        values = reader.rows(d["values"], f"{here}.values")
        if len(values) > MAX_ROWS:
            raise JsonFormError(f"{here}: more than {MAX_ROWS} values")
        if d["type"] not in [t.value for t in Type]:
            raise JsonFormError(f"{here}.type: unknown type {short(d['type'])}")
        cells = [
            None if v is None else _cell(reader, v, d["type"], f"{here}.values[{j}]") for j, v in enumerate(values)
        ]
        name = reader.text(d["name"], f"{here}.name")
        if any(name == n for n, _, _ in columns):
            raise JsonFormError(f"{here}: the name {name!r} is given twice")
        columns.append((name, Type(d["type"]), tuple(cells)))
    return ReferenceTable.of(columns)


def _cell(reader: Reader, value: object, kind: str, where: str) -> Cell:
    cell = reader.constant(value, kind, where)
    assert isinstance(cell, bool | int | float | str)
    return cell


def calendar_in(reader: Reader, value: object, where: str) -> Calendar:
    """A calendar from JSON."""
    d = reader.fields(value, where, ["weekly", "zone", "except"])
    zone = reader.text(d["zone"], f"{where}.zone")
    check_zone(zone, where)
    weekly = [_integers(v, 3, f"{where}.weekly[{i}]") for i, v in enumerate(reader.rows(d["weekly"], where))]
    spans = [_integers(v, 2, f"{where}.except[{i}]") for i, v in enumerate(reader.rows(d["except"], where))]
    hours: list[Span] = []
    for day, a, b in weekly:
        if not (0 <= day < 7 and 0 <= a < b <= DAY_SECONDS):
            raise JsonFormError(f"{where}.weekly: {[day, a, b]} are not hours of a day, [weekday, from, to] in seconds")
        hours.append((day * DAY_SECONDS + a, day * DAY_SECONDS + b))
    for name, found in (("weekly", hours), ("except", [(a, b) for a, b in spans])):
        if any(a >= b for a, b in found) or any(x[1] > y[0] for x, y in pairwise(found)):
            raise JsonFormError(f"{where}.{name}: expected spans in ascending order that do not overlap")
    if len(spans) > MAX_EXCEPT or len(weekly) > MAX_SPANS:
        raise JsonFormError(f"{where}: more than {MAX_EXCEPT} exceptions, or {MAX_SPANS} spans of hours in a week")
    for t in chain.from_iterable(spans):
        known_time(t, f"{where}.except")
    return Calendar(tuple((d, a, b) for d, a, b in weekly), zone, tuple((a, b) for a, b in spans))


def _integers(value: object, count: int, where: str) -> list[int]:
    found = value if isinstance(value, list) else []
    if len(found) != count or any(isinstance(v, bool) or not isinstance(v, int) or abs(v) >= 2**62 for v in found):
        raise JsonFormError(f"{where}: expected {count} integers, got {short(value)}")
    return found


# ---- text


def table_text(table: ReferenceTable) -> str:
    """A reference table, abbreviated if it has many rows."""
    if table.rows > _ROWS:
        return f"df.table(<{table.rows:,} rows of {', '.join(n for n, _, _ in table.columns)}, {table.digest[:12]}>)"
    cells = (f"{quoted(n)}: [{', '.join(_cell_text(kind, v) for v in values)}]" for n, kind, values in table.columns)
    return f"df.table({{{', '.join(cells)}}})"


def _cell_text(kind: Type, value: Cell) -> str:
    if kind.places is not None and isinstance(value, int):
        return f'Decimal("{decimal_text(value, kind.places)}")'
    return value_text(str(kind), value)


def periods_text(w: TablePeriods, on: Expr | None) -> list[str]:
    """The arguments of a step that looks up the periods of a table."""
    same = on is not None and on.fn == "col" and on.option("name") == w.key
    options = [] if on is None else [f"on={column_or(on)}"]
    if not same:
        options.append(f"key={quoted(w.key)}")
    return [table_text(w.table), *options, *given({"valid_from": (w.valid_from, None), "valid_to": (w.valid_to, None)})]


def calendar_text(c: Calendar) -> str:
    """A calendar."""
    hours: dict[str, list[str]] = {}
    for day, a, b in c.weekly:
        hours.setdefault(_DAYS[day], []).append(f"{_clock(a)}-{_clock(b)}")
    weekly = ", ".join(
        f"{quoted(d)}: {quoted(h[0]) if len(h) == 1 else '[' + ', '.join(map(quoted, h)) + ']'}"
        for d, h in hours.items()
    )
    options = given({"zone": (c.zone, "UTC")})
    if c.except_:
        spans = (f"({value_text('time', a)}, {value_text('time', b)})" for a, b in c.except_)
        options.append(f"except_=[{', '.join(spans)}]")
    return f"df.calendar({', '.join([f'{{{weekly}}}', *options])})"


def _clock(seconds: int) -> str:
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}"
    return text if seconds % 60 == 0 else f"{text}:{seconds % 60:02}"
