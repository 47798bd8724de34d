"""Resolves duplicates among the rows of a cell, by the stream's policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.catalogue.items.entries import DAY
from runtime.query.stages.row_batch import Values


@dataclass(frozen=True)
class CellRows:
    """Rows of one cell, sorted by (slot, time, seq); every column has one entry per row."""

    slot: NDArray[np.int32]
    time: NDArray[np.int64]
    columns: dict[str, Values]

    def take(self, index: NDArray[Any]) -> CellRows:
        """The rows at ``index``, in that order."""
        columns = {n: (v[index], k[index]) for n, (v, k) in self.columns.items()}
        return CellRows(self.slot[index], self.time[index], columns)


def _same_as_before(rows: CellRows) -> NDArray[np.bool_]:
    """Whether each row has the key and time of the row before it."""
    same = np.zeros(len(rows.time), np.bool_)
    same[1:] = (rows.slot[1:] == rows.slot[:-1]) & (rows.time[1:] == rows.time[:-1])
    return same


def resolve(rows: CellRows, policy: str, id_column: str | None) -> tuple[CellRows, int]:
    """The rows that remain under ``policy`` (keep, exact, latest) and the event id, and how many were dropped."""
    before = len(rows.time)
    if id_column is not None:
        rows = _first_of_each_id(rows, id_column)
    if policy == "exact":
        rows = _without_repeats(rows)
    elif policy == "latest":
        rows = _latest(rows)
    return rows, before - len(rows.time)


def _words(rows: CellRows, names: list[str]) -> list[NDArray[np.int64]]:
    """Each column as integers that are equal exactly where the values are (null equals null)."""
    out = []
    for name in names:
        values, valid = rows.columns[name]
        bits = values.view(np.int64) if values.dtype == np.float64 else values.astype(np.int64)
        out += [np.where(valid != 0, bits, 0), valid.astype(np.int64)]
    return out


def _without_repeats(rows: CellRows) -> CellRows:
    same = _same_as_before(rows)
    if not same.any():
        return rows
    # Only ties are compared; a tie's rows need not be neighbours once there are three of them.
    tied = np.flatnonzero(same | np.append(same[1:], False))
    part = rows.take(tied)
    words = [part.slot.astype(np.int64), part.time, *_words(part, sorted(part.columns))]
    order = np.lexsort([np.arange(len(tied)), *reversed(words)])
    again = np.ones(len(tied), np.bool_)
    again[0] = False
    for w in words:
        again[1:] &= w[order][1:] == w[order][:-1]
    keep = np.ones(len(rows.time), np.bool_)
    keep[tied[order[again]]] = False
    if keep.all():
        return rows
    return rows.take(np.flatnonzero(keep))


def _latest(rows: CellRows) -> CellRows:
    same = _same_as_before(rows)
    if not same.any():
        return rows
    starts = np.flatnonzero(~same)
    n = np.arange(len(rows.time))
    columns: dict[str, Values] = {}
    for name, (values, valid) in rows.columns.items():
        # The last row of each tie in which the column was reported.
        at = np.maximum.reduceat(np.where(valid != 0, n, -1), starts)
        columns[name] = (values[np.maximum(at, 0)], (at >= 0).astype(np.uint8))
    return CellRows(rows.slot[starts], rows.time[starts], columns)


def _first_of_each_id(rows: CellRows, name: str) -> CellRows:
    bits, valid = _words(rows, [name])
    # Repeats count per key and UTC day; both are in ascending order.
    day = rows.time // DAY
    cell = np.zeros(len(bits), np.int64)
    np.cumsum((rows.slot[1:] != rows.slot[:-1]) | (day[1:] != day[:-1]), out=cell[1:])
    order = np.lexsort([np.arange(len(bits)), valid, bits, cell])
    again = np.zeros(len(bits), np.bool_)
    again[1:] = True
    for w in (cell, bits, valid):
        again[1:] &= w[order][1:] == w[order][:-1]
    # Rows without an id are all different events.
    again &= valid[order] != 0
    if not again.any():
        return rows
    keep = np.ones(len(bits), np.bool_)
    keep[order[again]] = False
    return rows.take(np.flatnonzero(keep))
