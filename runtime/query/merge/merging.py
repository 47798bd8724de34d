"""From partial states to one table: merge, finish, then the steps of the metric that follow the grouping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from dataflow.kernels.compile import compile_stage
from dataflow.plan.sink import Grouping
from dataflow.plan.stages import (
    FillGaps,
    JoinedAnswer,
    Plan,
    SortBy,
    Stage,
    StepRows,
    Sweep,
    TableFunction,
    TableStep,
    Take,
)
from dataflow.typed.hidden_columns import END, KNOWN
from dataflow.typed.nodes import column
from operators.states.groups import Groups, GroupState
from operators.states.state_parts import nbytes
from operators.states.strings import Words
from operators.types import Type
from runtime.query.merge.beside import applied
from runtime.query.merge.concurrency import swept
from runtime.query.merge.empty_buckets import bucket_keys
from runtime.query.merge.filled_gaps import filled
from runtime.query.merge.finish import finished_groups
from runtime.query.merge.funnel_steps import step_rows
from runtime.query.merge.joined_answers import beside
from runtime.query.merge.sliding_windows import Range, windows_table
from runtime.query.merge.spilling import Spill, in_parts, parts_of
from runtime.query.stages.keys import Keys
from runtime.query.stages.overflow import in_table
from runtime.query.stages.pipeline import RowCollector
from runtime.query.stages.query_table import QueryTable, joined
from runtime.query.stages.runner import Runner
from runtime.query.stages.task_context import TaskContext
from runtime.query.task.partial import Partial
from runtime.released_memory import freed

FAN_IN = 8
"""States per node of the merge tree."""

_LARGE = 64 << 20
"""Bytes of states that are merged a part at a time: merging them takes several times as many."""

_ALL_TIME = 2**62


def groups_for(sink: Grouping) -> Groups:
    """An empty state of the grouping."""
    return Groups([e.type for _, e in sink.by if e.type is not None], [a.aggregate for a in sink.aggs])


def merge_states(sink: Grouping, states: Sequence[GroupState]) -> GroupState:
    """One state from many."""
    groups, words = _gathered(sink, states)
    return groups.export(words.strings)


def _gathered(sink: Grouping, states: Sequence[GroupState]) -> tuple[Groups, Words]:
    """All groups of the states, merged in a tree. The shape of the tree does not change a bit."""
    while len(states) > FAN_IN:
        states = [merge_states(sink, states[i : i + FAN_IN]) for i in range(0, len(states), FAN_IN)]
    groups, words = groups_for(sink), Words()
    for state in states:
        groups.merge(state, words.codes)
    return groups, words


def finished_table(sink: Grouping, states: Sequence[GroupState], of: Range, step: str) -> QueryTable:
    """The results of all states together, one row per group, in the order of the group columns."""
    groups, words = _gathered(sink, states)
    if sink.windows is not None:
        return windows_table(sink, groups, words, of, merge_states, step)
    groups.ensure_one()
    if sink.filled is not None:
        groups.ensure(bucket_keys(sink, groups.keys[: len(groups)], of.until))
    return finished_groups(sink, groups, words, step)


def _finished_in_parts(sink: Grouping, states: Sequence[GroupState], spill: Spill | None, step: str) -> QueryTable:
    """``finished_table``, for a part of the groups at a time."""
    tables = []
    for part in parts_of(sink, states, spill):
        groups, words = _gathered(sink, part)
        tables.append(finished_groups(sink, groups, words, step).compact())
    return joined(tables, spent=True).sorted_by([(name, False) for name, _ in sink.by], spent=True)


@dataclass
class Merging:
    """Counters while states are merged and finished."""

    times_outside: int = 0
    """Number of times outside the calendar years, which became null."""


_START = "$start"
_EXTENT = ((_START, Type.TIME), (END, Type.TIME), (KNOWN, Type.INT))
"""Columns of intervals in a table."""


def merged(
    plan: Plan,
    partials: Sequence[Partial],
    of: Range,
    merging: Merging | None = None,
    spent: bool = False,
    spill: Spill | None = None,
) -> QueryTable:
    """The plan's table from the partial states of all its tasks, ``of`` this range. ``spent``: the
    partial states are not used afterwards, so the memory of their rows is reused."""
    merging = Merging() if merging is None else merging
    last = plan.stages[-1].sink.grouping()
    if last is not None and not plan.whole_keys:
        states = [p.groups for p in partials if p.groups is not None]
        is_spilled = spill is not None and spill.is_used
        if is_spilled or (in_parts(last) and sum(map(nbytes, states)) > _LARGE):
            table = _finished_in_parts(last, states, spill, plan.stages[-1].step)
        else:
            table = finished_table(last, states, of, plan.stages[-1].step)
    else:
        tables = [p.table for p in partials if p.table is not None]
        table = joined(tables, spent) if tables else _no_rows(plan)
        if spent:
            freed(table.nbytes)
        table = table.sorted_by([(name, False) for name in plan.order], spent=True)
    by = [name for name, _ in last.by] if last is not None else list(plan.order)
    for step in plan.after:
        table = _apply(step, table, merging, [name for name in by if name in table.columns], of)
        if isinstance(step, Stage) and (group := step.sink.grouping()) is not None:
            by = [name for name, _ in group.by]
    return table


def _no_rows(plan: Plan) -> QueryTable:
    sink = plan.stages[-1].sink
    if (group := sink.grouping()) is not None:
        return finished_groups(group, groups_for(group), Words(), plan.stages[-1].step)
    return RowCollector(sink.written() or ()).table([])


def _apply(step: TableStep, table: QueryTable, merging: Merging, by: Sequence[str], of: Range) -> QueryTable:
    """The table after one more step; ``by`` are the columns that identify rows in errors."""
    if isinstance(step, SortBy):
        return table.sorted_by(step.by)
    if isinstance(step, Take):
        return table.take(np.arange(min(step.n, table.rows)))
    if isinstance(step, Sweep):
        return swept(step, table)
    if isinstance(step, FillGaps):
        return filled(step, table)
    if isinstance(step, StepRows):
        return step_rows(step, table)
    if isinstance(step, JoinedAnswer):
        return beside(step, table)
    if isinstance(step, TableFunction):
        table, times_outside = applied(step, table, by)
        merging.times_outside += times_outside
        return table
    words = Words()
    table = table.recoded(words)
    keys = Keys.none(words)
    context = TaskContext(words, keys, -_ALL_TIME, _ALL_TIME)
    runner = Runner(step, compile_stage(step), context, row_named=lambda row: in_table(table, row, by))
    columns = step.sink.written()
    if columns is not None:
        extent = _EXTENT if END in step.sink.hidden() else ()
        rows = RowCollector((*((n, column(n, kind)) for n, kind in extent), *columns))
        if table.rows:
            # One after the other: a chunk's arrays are those of the next one, too.
            for chunk in chain(runner.push(table.chunk()), runner.flush() if step.sink.gathers else ()):
                hidden = {n: chunk.time if n == _START else chunk.columns[n][0] for n, _ in extent}
                whole = np.ones(chunk.rows, np.uint8)
                columns_now = {**chunk.columns, **{n: (values, whole) for n, values in hidden.items()}}
                rows.add(replace(chunk, columns=columns_now))
        merging.times_outside += runner.times_outside
        return rows.table(words.strings)
    group = step.sink.grouping()
    assert group is not None
    assert runner.groups is not None
    if table.rows:
        for _ in runner.push(table.chunk()):
            raise AssertionError("a grouping writes no rows")
    merging.times_outside += runner.times_outside
    runner.groups.ensure_one()
    if group.filled is not None:  # of intervals of numbers of keys
        runner.groups.ensure(bucket_keys(group, runner.groups.keys[: len(runner.groups)], of.until))
    runner.groups.cells.settle()
    return finished_groups(group, runner.groups, words, step.step)
