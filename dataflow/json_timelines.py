"""The JSON form of reference tables, calendars and the steps that use them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

from dataflow import graph as g
from dataflow.calendars import known_time
from dataflow.expr import Expr
from dataflow.json_errors import JsonFormError, short
from dataflow.reference import MAX_COLUMNS, MAX_ROWS, MAX_TABLE_BYTES, Cell, Column, ReferenceTable, indexed
from dataflow.service import DAY_SECONDS, MAX_EXCEPT, MAX_SPANS, Calendar, Span
from dataflow.zones import check_zone
from operators.types import Type

if TYPE_CHECKING:
    from dataflow.json_form import _Reader

FIELDS = {
    "timeline": ["tracks", "state", "name"],
    "join": ["windows", "on", "how"],
    "during": ["calendar", "windows", "on", "inside"],
    "concurrent": ["condition", "by", "at_least"],
}
"""The fields of each step."""

_WINDOWS = ["table", "key", "valid_from", "valid_to"]

ExprOut = Callable[[Expr], dict[str, Any]]


def tables_of(steps: Sequence[g.Step]) -> list[ReferenceTable]:
    """The reference tables of a graph."""
    out = []
    for s in steps:
        if isinstance(s, g.Timeline):
            out += [t for track in s.tracks for t in tables_of(track.steps)]
        elif isinstance(s, g.Join):
            out.append(s.windows.table)
        elif isinstance(s, g.During) and isinstance(s.periods, g.Windows):
            out.append(s.periods.table)
    return out


def check_tables(steps: Sequence[g.Step]) -> int:
    """The bytes of all reference tables of a graph; JsonFormError where they are too many."""
    size = sum(t.bytes for t in tables_of(steps))
    if size > MAX_TABLE_BYTES:
        raise JsonFormError(f"the metric's reference tables are over {MAX_TABLE_BYTES} bytes; leave out columns")
    return size


def _windows_out(w: g.Windows) -> dict[str, Any]:
    return {"table": w.table.to_dict(), "key": w.key, "valid_from": w.valid_from, "valid_to": w.valid_to}


def step_out(step: g.TimelineStep, expr_out: ExprOut, any_step_out: Callable[[g.Step], Any]) -> dict[str, Any]:
    """The fields of a step."""
    match step:
        case g.Timeline(tracks, state, name):
            listed = [{"name": t.name, "steps": [any_step_out(s) for s in (*t.steps, t.interval)]} for t in tracks]
            return {"tracks": listed, "state": expr_out(state), "name": name}
        case g.Join(windows, on, how):
            return {"windows": _windows_out(windows), "on": expr_out(on), "how": how}
        case g.During(periods, looked_up, inside):
            return {
                "calendar": _calendar_out(periods) if isinstance(periods, Calendar) else None,
                "windows": _windows_out(periods) if isinstance(periods, g.Windows) else None,
                "on": None if looked_up is None else expr_out(looked_up),
                "inside": inside,
            }
        case g.Concurrent(condition, by, at_least):
            named = [{"name": n, "expr": expr_out(e)} for n, e in by]
            return {"condition": expr_out(condition), "by": named, "at_least": at_least}


def _calendar_out(c: Calendar) -> dict[str, Any]:
    return {"weekly": [list(w) for w in c.weekly], "zone": c.zone, "except": [list(s) for s in c.except_]}


def step_in(reader: _Reader, op: str, d: Mapping[str, Any], where: str) -> g.Step:
    """The step ``op`` from its fields."""
    match op:
        case "timeline":
            return _timeline_in(reader, d, where)
        case "join":
            if d["how"] not in ("left", "inner"):
                raise JsonFormError(f"{where}.how: expected 'left' or 'inner', got {short(d['how'])}")
            on = reader.expr(d["on"], f"{where}.on")
            return g.Join(_windows_in(reader, d["windows"], f"{where}.windows", merge=False), on, d["how"])
        case "during":
            return _during_in(reader, d, where)
    k = d["at_least"]
    if k is not None and (isinstance(k, bool) or not isinstance(k, int) or not 1 <= k < 2**31):
        raise JsonFormError(f"{where}.at_least: expected a number from 1 up or null, got {short(k)}")
    condition = reader.expr(d["condition"], f"{where}.condition")
    return g.Concurrent(condition, reader.named(d["by"], f"{where}.by"), k)


def _timeline_in(reader: _Reader, d: Mapping[str, Any], where: str) -> g.Timeline:
    tracks: list[g.Track] = []
    items = reader.rows(d["tracks"], f"{where}.tracks")
    if not 0 < len(items) <= g.MAX_TRACKS:
        raise JsonFormError(f"{where}.tracks: expected 1 to {g.MAX_TRACKS} timelines, got {len(items)}")
    for i, item in enumerate(items):
        here = f"{where}.tracks[{i}]"
        t = reader.fields(item, here, ["name", "steps"])
        steps = [reader.step(s, f"{here}.steps[{j}]") for j, s in enumerate(reader.rows(t["steps"], f"{here}.steps"))]
        rows = [s for s in steps[:-1] if isinstance(s, g.RowStep | g.Join | g.During)]
        if not steps or not isinstance(steps[-1], g.StateDuration | g.Heartbeat) or len(rows) != len(steps) - 1:
            raise JsonFormError(f"{here}.steps: a timeline is made of row steps, then state_duration or heartbeat")
        if any(t["name"] == known.name for known in tracks):
            raise JsonFormError(f"{here}: the name {t['name']!r} is given twice")
        tracks.append(g.Track(reader.text(t["name"], f"{here}.name"), tuple(rows), steps[-1]))
    state = reader.expr(d["state"], f"{where}.state")
    return g.Timeline(tuple(tracks), state, reader.text(d["name"], f"{where}.name"))


def _during_in(reader: _Reader, d: Mapping[str, Any], where: str) -> g.During:
    if not isinstance(d["inside"], bool):
        raise JsonFormError(f"{where}.inside: expected true or false")
    if (d["calendar"] is None) == (d["windows"] is None) or (d["on"] is None) != (d["windows"] is None):
        raise JsonFormError(f"{where}: expected either a calendar, or windows and on")
    if d["calendar"] is not None:
        return g.During(_calendar_in(reader, d["calendar"], f"{where}.calendar"), None, d["inside"])
    windows = _windows_in(reader, d["windows"], f"{where}.windows", merge=True)
    return g.During(windows, reader.expr(d["on"], f"{where}.on"), d["inside"])


def _windows_in(reader: _Reader, value: object, where: str, *, merge: bool) -> g.Windows:
    d = reader.fields(value, where, _WINDOWS)
    names = [None if d[n] is None else reader.text(d[n], f"{where}.{n}") for n in ("valid_from", "valid_to")]
    if merge and names == [None, None]:
        raise JsonFormError(f"{where}: expected valid_from or valid_to")
    table, key = _table_in(reader, d["table"], f"{where}.table"), reader.text(d["key"], f"{where}.key")
    indexed(table, key, names[0], names[1], where, merge)
    return g.Windows(table, key, names[0], names[1])


def _table_in(reader: _Reader, value: object, where: str) -> ReferenceTable:
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


def _cell(reader: _Reader, value: object, kind: str, where: str) -> Cell:
    cell = reader.constant(value, kind, where)
    assert isinstance(cell, bool | int | float | str)
    return cell


def _calendar_in(reader: _Reader, value: object, where: str) -> Calendar:
    d = reader.fields(value, where, ["weekly", "zone", "except"])
    zone = reader.text(d["zone"], f"{where}.zone")
    check_zone(zone, where)
    weekly = [_integers(v, 3, f"{where}.weekly[{i}]") for i, v in enumerate(reader.rows(d["weekly"], where))]
    spans = [_integers(v, 2, f"{where}.except[{i}]") for i, v in enumerate(reader.rows(d["except"], where))]
    hours: list[Span] = []
    for day, a, b in weekly:
        if not (0 <= day < 7 and 0 <= a < b <= DAY_SECONDS):
            raise JsonFormError(f"{where}.weekly: {[day, a, b]} are no hours of a day, [weekday, from, to] in seconds")
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
