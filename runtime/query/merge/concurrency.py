"""From edges to intervals: how many keys meet a condition at once, or whether at least a number or share do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataflow.plan.stages import Sweep
from dataflow.values.shares import share_of
from operators.types import Type
from runtime.query.stages.query_table import QueryTable, TableColumn

_COUNTS = ("active", "inactive", "unknown")


def swept(step: Sweep, table: QueryTable) -> QueryTable:
    """The intervals between the edges of ``table``, whose rows are in the order of the group, then of time.

    Equal neighbours become one interval; there is none where a group has no keys. Besides the group columns and the
    counts (or ``state``), the columns are ``$start``, ``$end`` and ``$known``.
    """
    moved = np.zeros(table.rows, np.bool_)
    for name in _COUNTS:
        moved |= table.columns[f"${name}"][1] != 0
    table = table.take(np.flatnonzero(moved))
    time = table.columns["$at"][1]
    # Every interval that starts in a group ends there, so running sums are zero at the end of each group.
    counts = {name: np.cumsum(table.columns[f"${name}"][1]) for name in _COUNTS}
    occupied = np.zeros(table.rows, np.bool_)
    for values in counts.values():
        occupied |= values != 0
    says = [*counts.values()]
    known = counts["unknown"] == 0
    columns: dict[str, TableColumn] = {}
    if step.at_least is not None:
        active = _are_enough(counts["active"], step.at_least, counts)
        known = active | ~_are_enough(counts["active"] + counts["unknown"], step.at_least, counts)
        says = [active.astype(np.int64), known.astype(np.int64)]
    says.append(occupied.astype(np.int64))
    first = _changes(says, occupied)
    # A group's last edge leaves it without keys, so the edge after an occupied row belongs to the same group.
    starts = np.flatnonzero(first & occupied)
    following = np.flatnonzero(first)
    ends = following[np.searchsorted(following, starts, side="right")]
    rows = len(starts)
    whole = np.ones(rows, np.uint8)
    for name in step.by:
        kind, values, valid = table.columns[name]
        columns[name] = (kind, values[starts], valid[starts])
    if step.at_least is None:
        columns |= {name: (Type.INT, values[starts], whole) for name, values in counts.items()}
    else:
        columns["state"] = (Type.BOOL, says[0][starts], known[starts].astype(np.uint8))
    columns["$start"] = (Type.TIME, time[starts], whole)
    columns["$end"] = (Type.TIME, time[ends], whole)
    columns["$known"] = (Type.INT, known[starts].astype(np.int64), whole)
    return QueryTable(rows, columns, table.strings)


def _are_enough(keys: NDArray[np.int64], wanted: int | str, counts: dict[str, NDArray[np.int64]]) -> NDArray[np.bool_]:
    """Whether so many keys are ``wanted`` at least, at each time."""
    if isinstance(wanted, int):
        return keys >= wanted
    share = share_of(wanted)
    assert share is not None
    # Exact: a denominator has nine digits at most, and there are fewer keys than 2**31.
    return keys * share.denominator >= sum(counts.values()) * share.numerator


def _changes(says: list[NDArray[np.int64]], occupied: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which rows differ from the row before; the first after an unoccupied one always does."""
    out = np.ones(len(occupied), np.bool_)
    out[1:] = ~occupied[:-1]
    for values in says:
        out[1:] |= values[1:] != values[:-1]
    return out
