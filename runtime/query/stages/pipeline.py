"""The stages of a plan, each feeding the next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.codegen.writer import value_array
from dataflow.kernels.compile import Kernel
from dataflow.plan.sink import Sink
from dataflow.plan.stages import Plan, Stage
from dataflow.typed.hidden_columns import EARLY
from operators.states.groups import GroupState
from operators.types import Type
from runtime.query.merge.finish import finished_groups
from runtime.query.merge.spilling import Spill
from runtime.query.merge.state_form import check_column, with_prefix
from runtime.query.stages.overflow import memory_of
from runtime.query.stages.past import Past, marked
from runtime.query.stages.query_table import QueryTable, TableColumn
from runtime.query.stages.row_batch import RowBatch, Values
from runtime.query.stages.task_context import TaskContext
from runtime.query.stages.trailing_rows import runner_of
from runtime.released_memory import freed


class Pipeline:
    """Runs the stages of a plan over chunks of points.

    The first ``plan.whole`` stages run twice if rows before the range were read: see ``past.py``. The output of their
    second runs (``whole``) is passed on before the first runs' output for the same rows.
    """

    def __init__(self, plan: Plan, kernels: Sequence[Kernel], context: TaskContext) -> None:
        self.plan, self.context = plan, context
        stages = list(zip(plan.stages, kernels, strict=True))

        def of_stage(n: int, context: TaskContext) -> TaskContext:
            return context.endless() if n < plan.ahead else context

        self.runners = [runner_of(stage, kernel, of_stage(n, context), n) for n, (stage, kernel) in enumerate(stages)]
        first = context.since if context.first is None else context.first
        everything = replace(context, since=first, whole=True)
        count = plan.whole if first < context.since < context.until else 0
        self.whole = [
            runner_of(s, k, of_stage(n, everything), len(stages) + n, n) for n, (s, k) in enumerate(stages[:count])
        ]
        self._sees = [EARLY in dict(s.inputs) for s in plan.stages]
        self.pasts = {
            n: Past(_maker(plan.stages[:n]), context.since) for n, sees in enumerate(self._sees) if sees and n <= count
        }
        """The ``Past`` of each stage that sees rows before the range, by its number."""
        self._counted_before = np.zeros(2 * len(plan.sparse), np.int64)
        columns = plan.stages[-1].sink.written()
        self.rows = None if columns is None else RowCollector(columns)

    @property
    def times_outside(self) -> int:
        """Number of times in all stages that are outside the calendar years and became null."""
        return sum(runner.times_outside for runner in self.runners)

    @property
    def tally(self) -> tuple[int, ...]:
        """Rows and nulls of each of the plan's ``sparse`` columns, as seen by the first stage."""
        first = self.runners[0]
        out = self._counted()
        out[: len(first.tally)] += first.tally  # each column is counted by one of them only
        return tuple(out.tolist())

    def _counted(self) -> NDArray[np.int64]:
        """Of those that the groups count: also in the groups that were spilled."""
        first, out = self.runners[0], self._counted_before.copy()
        for n, column in enumerate(self.plan.sparse):
            if column.counted is not None:
                by, count = column.counted
                assert first.groups is not None
                size = len(first.groups)
                rows = first.groups.cells.argument(count, "field", "n")[:size]
                is_null = (first.groups.keys[:size, -1] >> by) & 1 != 0
                out[2 * n : 2 * n + 2] += rows.sum(), rows[is_null].sum()
        return out

    def spill(self, to: Spill) -> None:
        """Write the groups to disk if they have become too large for memory."""
        last = self.runners[-1]
        if last.groups is not None and last.groups.nbytes > to.most:
            self._counted_before = self._counted()
            group = self.plan.stages[-1].sink.grouping()
            assert group is not None
            with memory_of(self.plan.stages[-1].step):
                to.add(group, last.taken_groups())

    def push(self, chunk: RowBatch) -> None:
        """Send points through all stages."""
        if self.whole:
            self._push_whole(chunk, 0)
        self._push(chunk, 0)

    def _push(self, chunk: RowBatch, at: int) -> None:
        with memory_of(self.plan.stages[at].step):
            for written in self.runners[at].push(chunk):
                self._write(written, at)

    def _write(self, chunk: RowBatch, at: int) -> None:
        """Pass on the output of stage ``at``."""
        if at + 1 == len(self.runners):
            assert self.rows is not None
            self.rows.add(chunk)
            return
        if at < len(self.whole):
            for written in self.whole[at].flush():
                self._write_whole(written, at)
        if self._sees[at + 1]:
            chunk = self.pasts[at + 1].of_range(chunk) if at + 1 in self.pasts else marked(chunk)
        self._push(chunk, at + 1)

    def _push_whole(self, chunk: RowBatch, at: int) -> None:
        for written in self.whole[at].push(chunk):
            self._write_whole(written, at)

    def _write_whole(self, chunk: RowBatch, at: int) -> None:
        """Pass on the output of stage ``at`` from its run without regard to the range."""
        if at + 1 < len(self.whole):
            # The next stage's second run comes first, so that its output precedes that of its first run.
            self._push_whole(marked(chunk) if self._sees[at + 1] else chunk, at + 1)
        if at + 1 in self.pasts:
            before = self.pasts[at + 1].before(chunk)
            if before is not None:
                self._push(before, at + 1)

    def flush(self) -> None:
        """Pass on the output of all stages."""
        for at in range(len(self.runners)):
            if at < len(self.whole):
                self._pass_whole(self.whole[at].flush(), at)
            self._pass(self.runners[at].flush(), at)

    def finish(self) -> tuple[GroupState | None, QueryTable | None]:
        """Close open rows at the end of the range, stage by stage; returns the partial state."""
        for at in range(len(self.runners)):
            if at < len(self.whole):
                self._pass_whole(self.whole[at].finish(), at)
            self._pass(self.runners[at].finish(), at)
        with memory_of(self.plan.stages[-1].step):
            return self._state()

    def _state(self) -> tuple[GroupState | None, QueryTable | None]:
        strings = self.context.words.strings
        if self.rows is not None:
            table = self.rows.table(strings, spent=True).compact(spent=True)
            # The parts that it was made of.
            freed(table.nbytes)
            return None, table
        groups = self.runners[-1].groups
        assert groups is not None
        group = self.plan.stages[-1].sink.grouping()
        if self.plan.whole_keys and group is not None:
            return None, finished_groups(group, groups, self.context.words, self.plan.stages[-1].step).compact()
        return groups.export(strings), None

    def _pass(self, chunks: Iterator[RowBatch], at: int) -> None:
        for chunk in chunks:
            self._write(chunk, at)

    def _pass_whole(self, chunks: Iterator[RowBatch], at: int) -> None:
        for chunk in chunks:
            self._write_whole(chunk, at)

    # ---- checkpoints

    def saved(self) -> dict[str, NDArray[Any]]:
        """The state of all runs of the stages, as arrays; a grouping's is exported separately."""
        out: dict[str, NDArray[Any]] = {}
        for name, runs in (("stage", self.runners), ("whole", self.whole)):
            for i, runner in enumerate(runs):
                out |= {f"{name}.{i}.{part}": values for part, values in runner.saved().items()}
        for i, past in self.pasts.items():
            out |= {f"past.{i}.{part}": values for part, values in past.saved().items()}
        return out

    def restore(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Continue from the ``saved`` state, before any row is pushed."""
        for name, runs in (("stage", self.runners), ("whole", self.whole)):
            for i, runner in enumerate(runs):
                runner.restore(with_prefix(saved, f"{name}.{i}."))
        for i, past in self.pasts.items():
            past.restore(with_prefix(saved, f"past.{i}."))

    def grids(self) -> list[list[list[int]]]:
        """The origins of calendar bucket numbers in each stage: states with equal grids are compatible."""
        return [runner.grid() for runner in (*self.runners, *self.whole)]


def _maker(stages: Sequence[Stage]) -> Sink:
    """The sink that made the rows of the last of these stages."""
    return next((s.sink for s in reversed(stages) if not s.sink.keeps_rows), stages[-1].sink)


class RowCollector:
    """Gathers the rows that a ``Rows`` sink writes."""

    def __init__(self, columns: Sequence[tuple[str, Any]]) -> None:
        self._columns: list[tuple[str, Type]] = [(n, e.type) for n, e in columns]
        self._chunks: list[dict[str, Values]] = []
        self._rows = 0

    def add(self, chunk: RowBatch) -> None:
        """Keep a copy of the chunk's columns."""
        self._chunks.append({n: (v.copy(), k.copy()) for n, (v, k) in chunk.columns.items()})
        self._rows += chunk.rows

    def check(self, rows: int, columns: Mapping[str, Values], strings: int) -> None:
        """ValueError or KeyError if these cannot be rows of this sink."""
        if columns.keys() != {name for name, _ in self._columns}:
            raise ValueError("the columns differ")
        for name, kind in self._columns:
            check_column(name, kind, *columns[name], rows, strings)

    def table(self, strings: list[str], spent: bool = False) -> QueryTable:
        """All rows so far; ``spent``: no more are added, and memory is released column by column."""
        columns: dict[str, TableColumn] = {}
        for name, kind in self._columns:
            parts = [c.pop(name) if spent else c[name] for c in self._chunks]
            empty = np.zeros(0, np.float64 if value_array(kind).startswith("f8") else np.int64)
            values = np.concatenate([empty, *(v for v, _ in parts)])
            valid = np.concatenate([np.zeros(0, np.uint8), *(k for _, k in parts)])
            columns[name] = (kind, values, valid)
        return QueryTable(self._rows, columns, strings)
