"""Drill-down into one row of a result: the rows behind it, their keys, and the point files that contain them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import numpy as np
from numpy.typing import NDArray

from dataflow.expressions.expr import col
from dataflow.steps import GroupBy
from dataflow.steps.base import TABLE, Step
from dataflow.times.durations import moment, parse_duration
from dataflow.typed.clock import asks_clock
from operators.errors import DataflowError
from operators.types import Type
from runtime.catalogue import Catalogue, Snapshot
from runtime.columns import Column
from runtime.display.text_tables import format_column
from runtime.errors import QueryError
from runtime.progress import NoProgress, count_of
from runtime.provenance.files_of_keys import files_with
from runtime.provenance.rewritten_metrics import (
    FIRST,
    LAST,
    ROWS,
    Behind,
    MetricGrouping,
    Value,
    expressions,
    groupings,
    looks_back,
    narrowed,
    shown_as,
    spread_columns,
)
from runtime.query.execute import execute
from runtime.query.plan.make_tasks import default_workers, make_tasks
from runtime.query.plan.prepare import Prepared, prepare_again
from runtime.result.result import Explanation, Result
from runtime.storage.open_store import OpenStore

Row = int | Mapping[str, object]

_EVER = 2**62

_FEW = 32
"""Up to this many rows of a first grouping, its groups are looked up one by one to find the keys and files behind
them."""

_LISTED = 10
"""Values of a column that an error lists."""


@dataclass(frozen=True, eq=False)
class Asked:
    """The query behind a result; see ``result.Question``."""

    store: OpenStore
    steps: tuple[Step, ...]
    prepared: Prepared

    def run(self, steps: tuple[Step, ...]) -> Result:
        """The result of another metric over the same files and range."""
        used = {str(e.option("name")) for e in expressions(steps) if e.fn == "param"}
        params = {name: value for name, value in self.prepared.params.items() if name in used}
        prepared = prepare_again(self.prepared, steps, params)
        workers = default_workers()
        with self.store.opened.ahead(prepared.files):
            result = execute(
                prepared,
                make_tasks(prepared, self.store.url, workers),
                self.store.open_file,
                workers=workers,
                progress=NoProgress(),
                allow_partial=False,
            )
        result.asked = Asked(self.store, steps, prepared)
        return result

    @property
    def snapshot(self) -> Snapshot:
        """The commit that was read."""
        return self.prepared.snapshot

    @property
    def catalogue(self) -> Catalogue:
        """The store's catalogue."""
        return self.store.catalogue

    def explain(self, result: Result, row: Row, limit: int) -> Explanation:
        """Explain one row of ``result``; see ``Result.explain``."""
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise QueryError(f"explain: limit is a number of rows from 1 up, got {limit!r}")
        index = _row_number(result, row)
        values = {n: (c.type, c.take(np.array([index], np.intp)).to_list()[0]) for n, c in result.columns.items()}
        try:
            return _explained(self, result, index, values, limit)
        except DataflowError as error:
            _raise_if_moved(self, error)
            raise


def _raise_if_moved(asked: Asked, error: DataflowError) -> None:
    """Raise if files of the result are no longer in the store."""
    stream = asked.prepared.names
    there = {f.path for name in asked.prepared.schemas for f in asked.store.files(name)}
    gone = [f.path for f in asked.prepared.files if f.path not in there]
    if gone:
        raise QueryError(
            f"the store has changed since the query: {len(gone)} files of stream {stream!r} are no longer part of it "
            f"({gone[0]} among them), so the number cannot be explained exactly; run the query again"
        ) from error


def _explained(asked: Asked, result: Result, index: int, values: Mapping[str, Value], limit: int) -> Explanation:
    row = _first(result, index, 1)
    if several := next((s for s in asked.steps if s.mixes_answers), None):
        raise QueryError(
            f"explain: the rows are made of several answers ({several.method}): query each of these metrics alone, and "
            "explain the row of its answer"
        )
    found = groupings(asked.steps)
    if not found:
        _, keys, files = _reached(asked, _own(asked, values), None)
        return Explanation(row, row, 1, keys, files)
    at, grouping = found[-1]
    shown = shown_as(grouping, asked.steps[at + 1 :])
    spread = spread_columns(grouping, asked.steps[at + 1 :])
    by = [name for name, _ in grouping.by if name not in spread]
    if missing := [name for name in by if shown.get(name) not in values]:
        raise QueryError(
            f"explain: the result's rows lack {missing[0]!r}, which they are grouped by; "
            "keep that column in what follows the grouping"
        )
    group = {name: values[shown[name]] for name in by}
    span = None
    if grouping.at_once or grouping.spans:
        span = _span_of(values)
        if span is None:
            raise QueryError("explain: the result's rows lack their start and end; keep these columns")
    if grouping.spans and span is not None:
        if span[0] < asked.prepared.since and asked.prepared.history:
            raise QueryError(
                "explain: the window begins before the range, as may points in it; query a range that begins earlier"
            )
        # The end is exclusive.
        span = (span[0], span[1] - 1)
    grouping = narrowed(grouping, values)
    behind = _behind(asked, grouping, [group], span)
    if grouping.table or grouping.intervals:
        rows = asked.run(behind.rows())
        _, keys, files = _reached(asked, *_bottom(asked, behind, rows))
        if grouping.intervals and behind.key in rows.columns:
            # Keys that begin where the row ends caused its end, but are not in it.
            keys = len(set(rows[behind.key]))
        return Explanation(row, _first(rows, 0, limit), len(rows), keys, files)
    reach, keys, files = _reached(asked, behind, None)
    counts = np.array(reach[ROWS], np.int64)
    total = int(counts.sum())
    # Rows are ordered by key: the first rows are those of the first keys, and no others need be gathered.
    last = int(np.searchsorted(np.cumsum(counts), min(limit, total))) if total else 0
    steps = behind.rows()
    if total > limit:
        column = reach.columns[behind.key]
        steps = behind.first_keys((column.type, column.take(np.array([last], np.intp)).to_list()[0]))
    return Explanation(row, _first(asked.run(steps), 0, limit), total, keys, files)


def _first(result: Result, start: int, n: int) -> Result:
    """``n`` rows of a result, from number ``start`` on."""
    if start == 0 and len(result) <= n:
        return result
    index = np.arange(start, min(start + n, len(result)), dtype=np.intp)
    out = Result({name: c.take(index) for name, c in result.columns.items()}, result.proof)
    out.asked = result.asked
    return out


def _behind(
    asked: Asked,
    grouping: MetricGrouping,
    groups: Sequence[Mapping[str, Value]] | None,
    span: tuple[int, int] | None = None,
) -> Behind:
    key = asked.prepared.schema.key
    columns = [n for s in asked.prepared.schemas.values() for n in (*s.columns, s.time, s.key) if n != key]
    return Behind(grouping, key, list(dict.fromkeys(columns)), groups, span)


def _moment_of(values: Mapping[str, Value], name: str) -> int | None:
    """The time in a column of a row, if it is a time."""
    kind, value = values.get(name, (None, None))
    return value if kind is Type.TIME and isinstance(value, int) else None


def _span_of(values: Mapping[str, Value]) -> tuple[int, int] | None:
    """The start and end of a row with a duration."""
    start, end = _moment_of(values, "start"), _moment_of(values, "end")
    return None if start is None or end is None else (start, end)


# ---- which keys and times are behind rows of each kind


def _own(asked: Asked, values: Mapping[str, Value] | None) -> Behind:
    """The rows of keys (not of groups) of a metric: one of them, or all."""
    key = asked.prepared.schema.key
    at = next((i for i, s in enumerate(asked.steps) if s.makes == TABLE), len(asked.steps))
    grouping = MetricGrouping(asked.steps[:at], ((key, col(key)),), ())
    if values is None:
        return _behind(asked, grouping, None)
    shown = shown_as(grouping, asked.steps[at:]).get(key)
    if shown is None:
        raise QueryError(f"explain: the result's rows lack their key; keep the column {key!r}")
    span = _span_of(values)
    if span is None:
        # Points, transitions, or intervals whose end has another name: use the time that orders the rows.
        name = asked.prepared.plan.order[1]
        start = _moment_of(values, name)
        if start is None:
            raise QueryError(f"explain: the result's rows lack their time; keep the column {name!r}")
        lasts = grouping.made_by.has_length
        span = (start, asked.prepared.until if lasts else start)
    return _behind(asked, grouping, [{key: values[shown]}], span)


def _bottom(asked: Asked, behind: Behind, rows: Result) -> tuple[Behind, set[object] | None]:
    """The rows of keys behind ``rows``, which come from ``behind``, and their possible keys (None: any)."""
    before = behind.grouping.before
    key = asked.prepared.schema.key
    found = groupings(before)
    if not found:
        if not behind.grouping.table:
            return behind, None
        return _own(asked, None), set(rows[key]) if key in rows.columns else None
    at, first = found[0]
    lower = Asked(asked.store, asked.steps[:at], asked.prepared)
    if first.table:
        return _own(lower, None), None
    if len(found) > 1:
        return _behind(asked, first, None), None
    shown = {n: c for n, c in shown_as(first, before[at + 1 :]).items() if c in rows.columns}
    span = None
    if first.at_once and len(rows):
        span = (int(rows.columns["start"].values.min()), int(rows.columns["end"].values.max()))
    if len(rows) <= _FEW:
        columns = {n: (rows.columns[c].type, rows[c]) for n, c in shown.items()}
        groups = [{n: (kind, of[i]) for n, (kind, of) in columns.items()} for i in range(len(rows))]
        return _behind(asked, first, groups, span), None
    keyed = next((shown[n] for n, e in first.by if e.fn == "col" and e.option("name") == key and n in shown), None)
    return _behind(asked, first, None, span), None if keyed is None else set(rows[keyed])


# ---- which files contain them


def _reached(asked: Asked, behind: Behind, only: set[object] | None) -> tuple[Result, int, tuple[str, ...]]:
    """The reach of the rows by key and day, the number of keys, and the files that contain their points."""
    reach = asked.run(behind.reach())
    key = reach.columns[behind.key]
    if only is not None:
        chosen = np.array([i for i, k in enumerate(key.to_list()) if k in only], np.intp)
        reach = Result({n: c.take(chosen) for n, c in reach.columns.items()}, reach.proof)
        key = reach.columns[behind.key]
    first, last = _times(reach, FIRST, np.minimum, _EVER), _times(reach, LAST, np.maximum, -_EVER)
    grouping = behind.grouping
    if behind.asks_unknown:
        # Time before a key's first point ends with that.
        last = np.where(np.array(reach[ROWS]) == 0, _EVER, last)
    asks_later = any(step.asks_later for step in (*grouping.before, GroupBy(grouping.by, grouping.aggs)))
    if behind.comes_again or asks_later:
        last = np.full(len(reach), _EVER)
    looking = looks_back((*grouping.before, GroupBy(grouping.by, grouping.aggs)))
    if behind.comes_again or behind.asks_unknown or looking:
        first = np.full(len(reach), -_EVER)
    elif asked.prepared.history:
        first = first - asked.prepared.history
    if grouping.intervals and behind.span is not None:
        last = np.minimum(last, behind.span[1])
    distinct, number = np.unique(key.values, return_inverse=True)
    keys = Column(key.type, distinct, None, key.words)
    if not asks_later:
        last = np.minimum(last, asked.prepared.until - 1)
    files = asked.prepared.files
    with asked.store.opened.ahead(files):
        held = files_with(asked.store.open_file, files, keys, number, (first, last))
    if grouping.at_once and behind.span is not None:
        # Any key may be the reason that such a row does not begin earlier, even a key without known points.
        begin = behind.span[0] - (_EVER if asked.prepared.history is None else asked.prepared.history)
        upto = behind.span[0]
        if asks_clock(asked.steps[next(i for i, g in groupings(asked.steps) if g.at_once) :]):
            # Recurring pieces, for example of an hour of the day: another key may change one in which none counts.
            upto = asked.prepared.until
        before = {f.path for f in files if f.t_min <= upto and f.t_max >= begin}
        held = tuple(f.path for f in files if f.path in before or f.path in held)
    return reach, len(distinct), held


def _times(reach: Result, prefix: str, best: np.ufunc, none: int) -> NDArray[np.int64]:
    """The least or greatest over the columns with this prefix, ignoring null."""
    out = np.full(len(reach), none, np.int64)
    for name, c in reach.columns.items():
        if name.startswith(prefix):
            valid = np.ones(len(c), np.bool_) if c.valid is None else c.valid
            out = best(out, np.where(valid, c.values.astype(np.int64), none))
    return out


# ---- which row is meant


def _row_number(result: Result, row: Row) -> int:
    """The index of the row that ``row`` identifies; QueryError if there is none, or if there are several."""
    if isinstance(row, bool) or not isinstance(row, int | Mapping):
        raise QueryError(f"explain: a row is its number, or values by column like {{'firmware': '1.0'}}, got {row!r}")
    if isinstance(row, int):
        if not 0 <= row < len(result):
            raise QueryError(
                f"explain: there is no row {row}; the result has {count_of(len(result), 'row')}, from 0 on"
            )
        return row
    fits = np.ones(len(result), np.bool_)
    for name, value in row.items():
        found = result[name]
        wanted = _read(result.columns[name].type, value, name)
        fits &= np.array([f == wanted for f in found], np.bool_)
    said = ", ".join(f"{name} = {value!r}" for name, value in row.items()) or "any values"
    if not fits.any() and not row:
        raise QueryError("explain: the result has no row")
    if not fits.any():
        name = next(iter(row))
        known = list(dict.fromkeys(format_column(result.columns[name])))
        listed = ", ".join(known[:_LISTED]) + (", ..." if len(known) > _LISTED else "")
        raise QueryError(f"explain: no row of the result has {said}; {name} is one of {listed or 'none'}")
    if (n := int(fits.sum())) > 1:
        raise QueryError(f"explain: {n:,} rows of the result have {said}; name more columns, or give a row's number")
    return int(np.flatnonzero(fits)[0])


def _read(kind: Type, value: object, name: str) -> object:
    """A given value in the column's representation; text is parsed as the column's type."""
    if isinstance(value, float) and kind.places is not None:
        value = str(value)
    if not isinstance(value, str) or kind is Type.STRING:
        return value
    if value == "null":
        return None
    try:
        match kind:
            case Type.BOOL:
                return {"true": True, "false": False}[value.lower()]
            case Type.INT:
                return int(value)
            case Type.FLOAT:
                return float(value)
            case Type.TIME:
                return moment(value)
            case Type.DURATION:
                return int(value) if value.isdigit() else parse_duration(value, f"explain: {name}")
        return Decimal(value) if kind.places is not None else value
    except (ValueError, KeyError, InvalidOperation):
        raise QueryError(f"explain: {value!r} is not a value of the column {name!r}, which is of type {kind}") from None
