"""A pivot: the values of a column become columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dataflow.plan.table_functions import Spread, SpreadColumn, ValueNumber
from operators.errors import DataflowError
from operators.types import Type
from runtime.query.stages.overflow import in_table
from runtime.query.stages.query_table import QueryTable, TableColumn


def numbered(step: ValueNumber, table: QueryTable) -> TableColumn:
    """The number of each row's value."""
    kind, found, valid = table.columns[step.on]
    out = np.full(table.rows, len(step.values), np.int64)
    for i, value in enumerate(step.values):
        if value is None:
            out[valid == 0] = i
        elif kind.is_text:
            codes = [c for c, text in enumerate(table.strings) if text == value]
            out[(valid != 0) & np.isin(found, codes)] = i
        else:
            out[(valid != 0) & (found == value)] = i
    if not step.others and (wrong := np.flatnonzero(out == len(step.values))).size:
        raise DataflowError(
            f"{step.step}: a row{in_table(table, int(wrong[0]), [step.on])} has none of the declared values; declare "
            "it, filter such rows out, or name a column for all others with other="
        )
    return Type.INT, out, np.ones(table.rows, np.uint8)


def spread(step: Spread, table: QueryTable) -> QueryTable:
    """One row for each combination of ``step.per``, in their order."""
    first, row = _combinations(table, step.per)
    columns = {}
    for name in step.per:
        kind, values, valid = table.columns[name]
        columns[name] = (kind, values[first], valid[first])
    numbers = table.columns[step.numbers][1]
    for c in step.columns:
        columns[c.name] = _column(step, table, c, np.flatnonzero(numbers == c.number), row, len(first))
    return QueryTable(len(first), columns, table.strings)


def _combinations(table: QueryTable, per: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first row of each combination of values, in their order, and each row's combination."""
    number = np.zeros(table.rows, np.int64)
    for ranks, _ in table.words([(name, False) for name in per]):
        ranks = np.unique(ranks, return_inverse=True)[1]
        number = np.unique(number * (ranks.max(initial=0) + 1) + ranks, return_inverse=True)[1]
    return np.unique(number, return_index=True, return_inverse=True)[1:]


def _column(
    step: Spread, table: QueryTable, c: SpreadColumn, at: NDArray[np.intp], row: NDArray[np.intp], n: int
) -> TableColumn:
    """The values of the rows ``at``, at most one of which belongs to each of ``n`` rows."""
    kind, values, valid = table.columns[c.of]
    to = row[at]
    if (several := np.flatnonzero(np.bincount(to, minlength=n) > 1)).size:
        found = at[to == several[0]]
        raise DataflowError(
            f"{step.step}: {len(found)} rows{in_table(table, int(found[0]), step.per)} belong into the column "
            f"{c.name!r}; say how to put them together, for example of=df.sum({c.of!r})"
        )
    out, ok = np.zeros(n, values.dtype), np.zeros(n, np.uint8)
    out[to], ok[to] = values[at], valid[at]
    return kind, out, ok
