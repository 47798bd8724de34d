"""Resolves duplicates among the sorted points of one file, by the stream's policy; queries resolve those across files.

Each rule gives the same answer whether it is applied to a whole cell at once or first within files and then across
them. That does not hold for ``latest`` after an id, so with an id column ``latest`` is left to the query.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.types import Type
from runtime.columns import Column, Points

Ints = NDArray[np.int64]
_DAY = 86_400_000_000


def resolve(points: Points, policy: str, id_column: str | None) -> tuple[Points, int]:
    """The remaining points, and how many were dropped or merged.

    ``points`` are sorted by key, time and input order. With an id column, the first row (by time, then input) of a
    key's id on each UTC day counts. ``exact`` keeps the first of rows that are equal in everything; ``latest`` makes
    one row of those with equal key and time, each column the last value that is not null.
    """
    before = len(points)
    points = _with_ids_once(points, id_column)
    if policy == "exact":
        points = _without_repeats(points)
    elif policy == "latest" and id_column is None:
        points = _latest(points)
    return points, before - len(points)


def repeats(points: Points, policy: str, id_column: str | None, apart: str) -> int:
    """How many of these points, sorted as for ``resolve``, queries drop or merge; column ``apart`` does not count."""
    left = Points(points.key, points.time, {name: c for name, c in points.columns.items() if name != apart})
    left = _with_ids_once(left, id_column)
    return len(points) - len(left) + resolve(left, policy, None)[1]


def _with_ids_once(points: Points, id_column: str | None) -> Points:
    if id_column is None or id_column not in points.columns:
        return points
    return _first_of_each_id(points, points.columns[id_column])


def _same_key(points: Points) -> NDArray[np.bool_]:
    """Whether each row has the key of the row before it."""
    same = np.zeros(len(points), np.bool_)
    same[1:] = points.key.values[1:] == points.key.values[:-1]
    return same


def _tied(points: Points) -> NDArray[np.bool_]:
    """Whether each row has the key and time of the row before it."""
    same = _same_key(points)
    same[1:] &= points.time[1:] == points.time[:-1]
    return same


def _bits(column: Column) -> list[Ints]:
    """Integers that are equal exactly where the values are; null equals null."""
    values = column.values
    bits = values.view(np.int64) if column.type is Type.FLOAT else values.astype(np.int64)
    if column.valid is None:
        return [bits]
    return [np.where(column.valid, bits, 0), column.valid.astype(np.int64)]


def _repeats(words: list[Ints]) -> Ints:
    """Positions of the rows that equal an earlier one in every word."""
    n = len(words[0])
    order = np.lexsort([np.arange(n), *words])
    again = np.zeros(n, np.bool_)
    if n:
        again[1:] = True
        for word in words:
            again[1:] &= word[order[1:]] == word[order[:-1]]
    return order[again]


def _without(points: Points, rows: Ints) -> Points:
    if not len(rows):
        return points
    keep = np.ones(len(points), np.bool_)
    keep[rows] = False
    return points.take(np.flatnonzero(keep))


def _first_of_each_id(points: Points, ids: Column) -> Points:
    rows = np.arange(len(points)) if ids.valid is None else np.flatnonzero(ids.valid)
    same = _same_key(points)
    same[1:] &= points.time[1:] // _DAY == points.time[:-1] // _DAY
    group = np.cumsum(~same, dtype=np.int64)
    return _without(points, rows[_repeats([group[rows], _bits(ids.take(rows))[0]])])


def _without_repeats(points: Points) -> Points:
    tied = _tied(points)
    if not tied.any():
        return points
    # Only ties are compared; equal rows in a tie need not be adjacent.
    rows = np.flatnonzero(tied | np.append(tied[1:], False))
    group = np.cumsum(~tied, dtype=np.int64)[rows]
    words: list[Ints] = [group]
    for column in points.columns.values():
        words += _bits(column.take(rows))
    return _without(points, rows[_repeats(words)])


def _latest(points: Points) -> Points:
    tied = _tied(points)
    if not tied.any():
        return points
    starts = np.flatnonzero(~tied)
    ends = np.append(starts[1:], len(points)) - 1
    columns = {}
    for name, column in points.columns.items():
        if column.valid is None:
            columns[name] = column.take(ends)
            continue
        # The last row up to each with a value; one from before the tie does not count.
        last = np.maximum.accumulate(np.where(column.valid, np.arange(len(points)), -1))[ends]
        valid = last >= starts
        taken = column.take(np.where(valid, last, ends))
        columns[name] = Column(column.type, taken.values, None if valid.all() else valid, column.words)
    return Points(points.key.take(starts), points.time[starts], columns)
