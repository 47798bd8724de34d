"""Values for nulls of a series, from the values around them: exact, rounded once."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.plan.stages import FillGaps
from operators.sums.interpolation import Shares, between_floats, between_integers, between_lengths
from operators.types import Type
from runtime.query.stages.query_table import QueryTable, TableColumn

Index = NDArray[np.intp]

_ROW = "$row"


def filled(step: FillGaps, table: QueryTable) -> QueryTable:
    """The table with the nulls of each series filled, without the columns that this took."""
    whole = np.ones(table.rows, np.uint8)
    numbered = replace(table, columns={**table.columns, _ROW: (Type.INT, np.arange(table.rows), whole)})
    ordered = numbered.sorted_by([(name, False) for name in (*step.by, step.at)])
    first = _firsts(step, ordered)
    columns = dict(ordered.columns)
    for name, kind in step.columns:
        columns[name] = _one(step, ordered, first, name, kind)
        columns.pop(f"$left {name}", None)
        columns.pop(f"$when {name}", None)
    if step.at.startswith("$"):
        del columns[step.at]
    back = np.argsort(columns.pop(_ROW)[1], kind="stable")
    return replace(ordered, columns=columns).take(back)


def _firsts(step: FillGaps, table: QueryTable) -> Index:
    """For each row the number of the first one of its series."""
    new = np.zeros(table.rows, np.bool_)
    new[:1] = True
    for name in step.by:
        _, values, valid = table.columns[name]
        ok = valid != 0
        new[1:] |= (ok[1:] != ok[:-1]) | (ok[1:] & ok[:-1] & (values[1:] != values[:-1]))
    return np.maximum.accumulate(np.where(new, np.arange(table.rows), 0))


def _one(step: FillGaps, table: QueryTable, first: Index, name: str, kind: Type) -> TableColumn:
    of, values, valid = table.columns[name]
    rows, ok = np.arange(table.rows), valid != 0
    time = table.columns[step.at][1]
    left = np.maximum.accumulate(np.where(ok, rows, -1)) if table.rows else rows
    has_left, at = left >= first, np.maximum(left, 0)
    low, begin = values[at], time[at]
    if (hidden := table.columns.get(f"$left {name}")) is not None:
        # Of rows of a key, also a value before the range.
        low, has_left, begin = hidden[1], hidden[2] != 0, table.columns[f"$when {name}"][1]
    within = np.iinfo(np.int64).max if step.within is None else step.within
    if step.method == "last":
        return of, np.where(ok, values, low), (ok | (has_left & (time - begin <= within))).astype(np.uint8)
    right = np.minimum.accumulate(np.where(ok, rows, table.rows)[::-1])[::-1] if table.rows else rows
    at = np.minimum(right, max(table.rows - 1, 0))
    has_right = (right < table.rows) & (first[at] == first)
    if step.method == "next":
        return of, np.where(ok, values, values[at]), (ok | (has_right & (time[at] - time <= within))).astype(np.uint8)
    gaps = np.flatnonzero(~ok & has_left & has_right & (time[at] - begin <= within))
    known = np.flatnonzero(ok)
    shares = _shares(begin[gaps], time[gaps], time[at][gaps])
    out: NDArray[Any] = np.zeros(table.rows, np.float64 if kind is Type.FLOAT else np.int64)
    if of is Type.FLOAT:
        out[known], out[gaps] = values[known], between_floats(low[gaps], values[at][gaps], shares)
    elif of is Type.DURATION:
        out[known], out[gaps] = values[known], between_lengths(low[gaps], values[at][gaps], shares)
    else:
        unit, none = 10 ** (of.places or 0), Shares([Fraction(0)], np.zeros(len(known), np.intp))
        out[known] = between_integers(values[known], values[known], unit, none)
        out[gaps] = between_integers(low[gaps], values[at][gaps], unit, shares)
    found = ok.copy()
    found[gaps] = True
    return kind, out, found.astype(np.uint8)


def _shares(begin: NDArray[np.int64], time: NDArray[np.int64], end: NDArray[np.int64]) -> Shares:
    """How far each time lies between two others."""
    parts: dict[Fraction, int] = {}
    which = [
        parts.setdefault(Fraction(t - a, b - a) if b > a else Fraction(0), len(parts))
        for a, t, b in zip(begin.tolist(), time.tolist(), end.tolist(), strict=True)
    ]
    return Shares(list(parts) or [Fraction(0)], np.array(which, np.intp))
