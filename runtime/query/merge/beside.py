"""Columns beside the rows of a table: aggregates of other rows, places in an order, values of neighbours.

An aggregate up to each row is put together from states of single rows by doubling: states of two rows, of four, and so
on, each merged from two shorter ones that adjoin. Merging is exact, so the bits are those of folding the rows in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.kernels.compile import compile_stage
from dataflow.plan.stages import TableFunction
from dataflow.plan.table_functions import (
    ROW,
    AggregateBeside,
    FirstRows,
    NeighbourBeside,
    PlaceBeside,
    ReportBeside,
    RowOrder,
    Spread,
    ValueNumber,
)
from operators.aggregates import AnyAggregate
from operators.contract import Aggregate
from operators.errors import GroupError
from operators.states.aggregate_states import AggregateStates, State
from operators.states.groups import Groups, GroupState
from operators.states.state_parts import part_of
from operators.states.strings import Words
from operators.types import Type
from runtime.query.merge.spread import numbered, spread
from runtime.query.stages.keys import Keys
from runtime.query.stages.overflow import in_table, located
from runtime.query.stages.query_table import QueryTable
from runtime.query.stages.runner import Runner
from runtime.query.stages.task_context import TaskContext

Index = NDArray[np.intp]

_ALL_TIME = 2**62
_BLOCK, _SMALL_BLOCK = 1 << 16, 1 << 8
"""Rows whose running states are in memory at once; few where each has many values."""


def applied(step: TableFunction, table: QueryTable, by: Sequence[str]) -> tuple[QueryTable, int]:
    """The table after ``step``, and the number of times outside the calendar years; ``by`` identify rows in errors."""
    if isinstance(step, Spread):
        return spread(step, table), 0
    if isinstance(step, FirstRows):
        return table.take(_first_rows(step, table)), 0
    if isinstance(step, AggregateBeside):
        return _with_aggregate(step, table, by)
    assert isinstance(step, PlaceBeside | NeighbourBeside | ReportBeside | ValueNumber)
    if isinstance(step, PlaceBeside):
        column = _places(step, table)
    elif isinstance(step, ReportBeside):
        column = _reports(step, table)
    else:
        column = _neighbours(step, table) if isinstance(step, NeighbourBeside) else numbered(step, table)
    return QueryTable(table.rows, {**table.columns, step.name: column}, table.strings), 0


@dataclass(frozen=True)
class OrderedRows:
    """The rows of a table, part by part, each part in its order.

    ``index`` are their numbers; ``first`` is, for each place in this order, the place at which its part begins;
    ``differs`` is whether a row differs from the one before in its part or in what orders it.
    """

    index: Index
    first: Index
    differs: NDArray[np.bool_]

    @classmethod
    def of(cls, table: QueryTable, among: RowOrder, only: Index | None = None) -> OrderedRows:
        """All rows, or ``only`` these."""
        some = table if only is None else table.take(only)
        parts = some.words([(name, False) for name in among.per])
        values = some.words(among.by)
        index = np.arange(some.rows)
        for ranks, _ in reversed([*parts, *values]):
            index = index[np.argsort(ranks[index], kind="stable")]
        begins = _changes(parts, index)
        first = np.maximum.accumulate(np.where(begins, np.arange(len(index)), 0))
        return cls(index if only is None else only[index], first, begins | _changes(values, index))


def _changes(words: Sequence[tuple[NDArray[np.int64], int]], index: Index) -> NDArray[np.bool_]:
    """Whether each row differs from the one before; the first one does."""
    out = np.zeros(len(index), np.bool_)
    out[:1] = True
    for ranks, _ in words:
        out[1:] |= ranks[index[1:]] != ranks[index[:-1]]
    return out


def _first_rows(step: FirstRows, table: QueryTable) -> Index:
    ordered = OrderedRows.of(table, step.among, _reported(table, step.among.by[0][0]))
    return ordered.index[np.arange(len(ordered.index)) - ordered.first < step.n]


def _reported(table: QueryTable, name: str) -> Index:
    return np.flatnonzero(table.columns[name][2])


def _places(step: PlaceBeside, table: QueryTable) -> tuple[Type, NDArray[np.int64], NDArray[np.uint8]]:
    ordered = OrderedRows.of(table, step.among, _reported(table, step.of))
    at, n = np.arange(len(ordered.index)), len(ordered.index)
    place = at - ordered.first
    if step.fn == "rank":
        place = np.maximum.accumulate(np.where(ordered.differs, at, 0)) - ordered.first
    elif step.fn == "dense_rank":
        distinct = np.cumsum(ordered.differs)
        place = distinct - distinct[ordered.first]
    elif step.fn == "ntile":
        assert step.n is not None
        begins = np.flatnonzero(place == 0)
        size = np.repeat(np.diff(np.append(begins, n)), np.diff(np.append(begins, n)))
        short, longer = size // step.n, size % step.n
        in_longer = longer * (short + 1)
        place = np.where(place < in_longer, place // (short + 1), longer + (place - in_longer) // np.maximum(short, 1))
    values, valid = np.zeros(table.rows, np.int64), np.zeros(table.rows, np.uint8)
    values[ordered.index], valid[ordered.index] = place + 1, 1
    return Type.INT, values, valid


def _neighbours(step: NeighbourBeside, table: QueryTable) -> tuple[Type, NDArray[Any], NDArray[np.uint8]]:
    ordered = OrderedRows.of(table, step.among)
    kind, values, valid = table.columns[step.of]
    there = np.arange(table.rows) + step.away
    inside = (there >= 0) & (there < table.rows)
    there = np.where(inside, there, 0)
    if table.rows:
        inside &= ordered.first[there] == ordered.first
    found = ordered.index[there]
    out, ok = np.zeros_like(values), np.zeros(table.rows, np.uint8)
    out[ordered.index], ok[ordered.index] = values[found], valid[found] * inside
    return kind, out, ok


def _reports(step: ReportBeside, table: QueryTable) -> tuple[Type, NDArray[Any], NDArray[np.uint8]]:
    ordered = OrderedRows.of(table, step.among)
    kind, values, valid = table.columns[step.of]
    at, known = np.arange(table.rows), valid[ordered.index] != 0
    low = ordered.first if step.rows is None else np.maximum(ordered.first, at - step.rows + 1)
    if step.last:
        there = np.maximum.accumulate(np.where(known, at, -1))
    else:
        there = np.minimum.accumulate(np.where(known, at, table.rows)[::-1])[::-1][low]
    ok = (there >= low) & (there <= at)
    out, found = np.zeros_like(values), np.zeros(table.rows, np.uint8)
    out[ordered.index[ok]], found[ordered.index[ok]] = values[ordered.index[there[ok]]], 1
    return kind, out, found


# ---- aggregates


def _with_aggregate(step: AggregateBeside, table: QueryTable, by: Sequence[str]) -> tuple[QueryTable, int]:
    fold = _Fold(step, table, by)
    values, valid = fold.up_to_each_row() if step.among.by else fold.of_parts()
    kind = fold.sink.aggs[0].aggregate.result
    columns = {**fold.table.columns, step.name: (kind, values, valid)}
    return QueryTable(table.rows, columns, fold.words.strings), fold.times_outside


class _Fold:
    """One aggregate over the rows of a table; ``by`` identify rows in errors."""

    def __init__(self, step: AggregateBeside, table: QueryTable, by: Sequence[str]) -> None:
        self.step, self.by, self.words = step, by, Words()
        sink = step.stage.sink.grouping()
        assert sink is not None
        self.sink = sink
        self.table = table.recoded(self.words)
        self.rows = OrderedRows.of(self.table, step.among)
        self.times_outside = 0
        self._kernel = compile_stage(step.stage)
        self._context = TaskContext(self.words, Keys.none(self.words), -_ALL_TIME, _ALL_TIME)

    def of_parts(self) -> _Column:
        """The aggregate of all rows of a row's part."""
        index, first = self.rows.index, self.rows.first
        begins = np.flatnonzero(first == np.arange(len(first)))
        part = np.searchsorted(begins, first)
        groups = self._folded(self.table.take(index), part)
        values, valid = self._finished(groups.cells, np.arange(len(begins)), index[begins])
        return self._in_place(values[part], valid[part])

    def up_to_each_row(self) -> _Column:
        """The aggregate of the rows of a row's part up to this row, or of the last ones of them."""
        n, first = self.table.rows, self.rows.first
        ordered = self.table.take(self.rows.index)
        longest = int((np.arange(n) - first).max(initial=0)) + 1
        # Of more rows than there are it is the same as of all.
        seen = None if self.step.rows is None or self.step.rows >= longest else self.step.rows
        size = _BLOCK if _is_small(self.sink.aggs[0].aggregate) else _SMALL_BLOCK
        carried: list[State] = []
        parts = []
        for start in range(0, n, size):
            end = min(n, start + size)
            low = start if seen is None else max(int(first[start]), start - seen + 1)
            groups = self._folded(ordered.take(np.arange(low, end)), np.arange(end - low))
            if carried and first[start] < start:
                groups.cells.merge(np.zeros(1, np.intp), carried)
            begin = np.maximum(first[low:end] - low, 0)
            cells = _doubled(groups, begin, seen)
            if seen is None and end < n:
                carried = _some(groups, cells, np.array([end - low - 1])).states
            parts.append(self._finished(cells, np.arange(start - low, end - low), self.rows.index[start:end]))
        if not parts:
            return self._finished(self._folded(ordered, first).cells, np.zeros(0, np.intp), first)
        values, valid = (np.concatenate(of) for of in zip(*parts, strict=True))
        return self._in_place(values, valid)

    def _folded(self, table: QueryTable, number: Index) -> Groups:
        """The groups of a table's rows by ``number``, which begins with 0 and never skips one."""
        ones = np.ones(table.rows, np.uint8)
        table = QueryTable(table.rows, {**table.columns, ROW: (Type.INT, number.astype(np.int64), ones)}, table.strings)
        runner = Runner(
            self.step.stage, self._kernel, self._context, row_named=lambda row: in_table(table, row, self.by)
        )
        if table.rows:
            for _ in runner.push(table.chunk()):
                raise AssertionError("a grouping writes no rows")
        self.times_outside += runner.times_outside
        assert runner.groups is not None
        runner.groups.cells.settle()
        return runner.groups

    def _finished(self, cells: AggregateStates, numbers: Index, rows: Index) -> _Column:
        """The results of these groups, which belong to these rows of the table."""
        try:
            ((values, valid),) = cells.finish(numbers, self.words)
        except GroupError as error:
            where = in_table(self.table, int(rows[error.group]), self.by)
            raise located(error, self.step.stage.step, self.sink.aggs, where) from None
        return values, np.ones(len(numbers), np.uint8) if valid is None else valid.astype(np.uint8)

    def _in_place(self, values: NDArray[Any], valid: NDArray[np.uint8]) -> _Column:
        """Results in the order of parts, as a column of the table."""
        out, ok = np.zeros_like(values), np.zeros_like(valid)
        out[self.rows.index], ok[self.rows.index] = values, valid
        return out, ok


_Column = tuple[NDArray[Any], NDArray[np.uint8]]


def _is_small(aggregate: AnyAggregate) -> bool:
    """Whether a state has a fixed size."""
    return isinstance(aggregate, Aggregate) and aggregate.tally is None


def _doubled(groups: Groups, begin: Index, seen: int | None) -> AggregateStates:
    """From the states of single rows, those of all rows up to each, or of the last ``seen``; ``begin`` is the first row
    of each row's part. The states of ``groups`` are used up."""
    n, states = len(begin), groups.cells
    longest = int((np.arange(n) - begin).max(initial=0)) + 1
    if seen is None or seen >= longest:
        width = 1
        while width < longest:
            _merge_before(groups, states, states, begin, width)
            width *= 2
        return states
    out = AggregateStates(states.aggregates, n)
    width = covered = 0
    for bit in range(seen.bit_length()):
        width = 1 << bit
        if seen & width:
            _merge_before(groups, out, states, begin, covered)
            covered += width
        if covered < seen:
            _merge_before(groups, states, states, begin, width)
    return out


def _merge_before(groups: Groups, into: AggregateStates, states: AggregateStates, begin: Index, distance: int) -> None:
    """Merge into the state of each row that of the row ``distance`` before, if that is in the same part."""
    at = np.arange(distance, len(begin))
    at = at[at - distance >= begin[at]]
    into.merge(at, _some(groups, states, at - distance).states)
    into.settle()


def _some(groups: Groups, states: AggregateStates, index: Index) -> GroupState:
    """The states of the groups numbered ``index``."""
    n = len(groups)
    return part_of(states.aggregates, GroupState(groups.keys[:n], states.export(n), []), index)
