"""Runs a stage of trailing windows: gathers rows until a batch is worth it, and keeps those that are still in a window.

The kernel works out each run of a batch from its own rows (``dataflow.sinks.trailing_sink``), so the rows of a key that
a later row may have in its window are passed to it again, before the key's next ones. They are few compared to the rows
of a batch: a batch has at least as many new rows as there are kept ones, so each row is passed on twice on average at
most, however long the windows are. Rows at a key's last time wait: others may come at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.codegen.writer import Arg
from dataflow.kernels.compile import Kernel
from dataflow.plan.stages import Stage
from dataflow.sinks.window_folds import STATE
from dataflow.typed.hidden_columns import CUT, EARLY, KNOWN, ROW_FLAGS, WHOLE
from operators.contract import Aggregate
from operators.errors import GroupError
from operators.kernels.sums.running_sums import WIDTH
from runtime.query.stages.overflow import at_row, located
from runtime.query.stages.past import LEAD
from runtime.query.stages.row_batch import VALID, RowBatch, Values
from runtime.query.stages.runner import Runner, TaskContext

_BATCH = 1 << 16
"""The fewest new rows of a batch, while rows come."""

WRITE, APART, OF_BEFORE = 1, 2, 4
"""Bits of ``ROW_FLAGS``."""


class WindowsRunner(Runner):
    """Runs the kernel over whole batches."""

    def __init__(self, stage: Stage, kernel: Kernel, context: TaskContext, number: int) -> None:
        super().__init__(stage, kernel, context, number)
        self._scratch: dict[str, NDArray[Any]] = {}
        self._longest = 1
        if self.cells is not None:
            self._free = np.arange(self.cells.capacity, dtype=np.int64)
            self._free_count[0] = self.cells.capacity

    def push(self, chunk: RowBatch) -> Iterator[RowBatch]:
        """See Runner."""
        longest = int(chunk.run_len.max(initial=1))
        if longest > self._longest:
            self._longest = max(longest, 2 * self._longest)
            self._scratch.clear()
            self._kept.clear()
        yield from super().push(chunk)

    def _argument(self, a: Arg, chunk: RowBatch | None) -> NDArray[Any]:
        if a.role != "scratch":
            return super()._argument(a, chunk)
        size = a.subject[0]
        if a.name not in self._scratch:
            shape = (1, WIDTH) if size == "digits" else self._longest if size == "rows" else int(str(size))
            self._scratch[a.name] = np.zeros(shape, np.int64)
        return self._scratch[a.name]

    def _make_room(self) -> None:
        self._kept.clear()
        assert self.cells is not None
        self.cells.make_room(self._longest * max(1, len(self.stage.sink.aggregates)) + 1)
        if self._free_count[0] < 1:
            self._more_slots()

    def _written(self) -> Iterator[RowBatch]:
        for chunk in super()._written():
            yield self._finished(chunk)

    def _finished(self, chunk: RowBatch) -> RowBatch:
        """The rows with the results of the aggregates of which the kernel wrote the state."""
        columns = {name: values for name, values in chunk.columns.items() if not name.startswith(STATE)}
        windows = self.stage.sink.trailing()
        assert windows is not None
        aggs = windows.aggs_of_windows
        for j, agg in enumerate(aggs):
            prefix = f"{STATE}.{j}."
            fields = {n.removeprefix(prefix): v for n, (v, _) in chunk.columns.items() if n.startswith(prefix)}
            if not fields:
                continue
            assert isinstance(agg.aggregate, Aggregate)
            if agg.aggregate.settle is not None:
                agg.aggregate.settle(fields)
            try:
                values, valid = agg.aggregate.finish(fields)
            except GroupError as error:
                error.aggregate = j
                where = at_row(chunk, error.group, self.context.keys)
                raise located(error, self.stage.step, aggs, where) from None
            columns[agg.name] = (values, VALID if valid is None else valid.astype(np.uint8))
        return replace(chunk, columns=columns)


class TrailingRunner:
    """One stage of trailing windows in a task; see ``Runner``, whose place it takes."""

    groups = None

    def __init__(self, stage: Stage, kernel: Kernel, context: TaskContext, number: int = 0) -> None:
        self.stage, self.kernel, self.context = stage, kernel, context
        self._inner = WindowsRunner(stage, kernel, context, number)
        windows = stage.sink.trailing()
        assert windows is not None
        each = windows.different_windows()
        self._length = max((length or 0 for length, _ in each), default=0)
        # Of each key two rows may be in no window, and the part of a row looks at the whole row before it.
        self._rows = max((rows for _, rows in each if rows is not None), default=0) + 2
        self._waits = self._length > 0
        self._names = [n for n, _ in stage.inputs if n != ROW_FLAGS]
        self._chunks: list[RowBatch] = []
        self._new = self._old = 0

    # ---- running

    def push(self, chunk: RowBatch) -> Iterator[RowBatch]:
        """Take rows; passes on what is known by now, if there is enough of it."""
        if chunk.rows:
            self._chunks.append(_owned(chunk, self._names))
            self._new += chunk.rows
        if self._new >= max(_BATCH, self._old):
            yield from self._run(False)

    def flush(self) -> Iterator[RowBatch]:
        """What the run without regard to the range has is needed before the other's rows; other rows can wait."""
        if self.context.whole and self._new:
            yield from self._run(False)

    def finish(self) -> Iterator[RowBatch]:
        """Pass on the rest: no more rows come."""
        if self._chunks:
            yield from self._run(True)

    def _run(self, last: bool) -> Iterator[RowBatch]:
        batch = _joined(self._chunks, self._names)
        ends = np.cumsum(batch.run_len)
        latest = np.repeat(batch.time[ends - 1], batch.run_len)
        flags = batch.columns[ROW_FLAGS][0].copy()
        self._mark(batch, flags)
        now = flags.copy()
        if self._waits and not last:
            now[batch.time == latest] &= ~np.uint8(WRITE)
        yield from self._inner.push(replace(batch, columns={**batch.columns, ROW_FLAGS: (now, VALID)}))
        yield from self._inner.flush()
        self._chunks, self._new, self._old = [], 0, 0
        if last:
            return
        from_end = np.repeat(ends, batch.run_len) - np.arange(batch.rows)
        kept = from_end <= self._rows
        if self._waits:
            kept |= batch.time > latest - self._length
        flags[(now & WRITE) != 0] &= ~np.uint8(WRITE)
        rest = replace(batch, columns={**batch.columns, ROW_FLAGS: (flags, VALID)})
        self._chunks = [_rows_where(rest, kept)]
        self._old = self._chunks[0].rows

    def _mark(self, batch: RowBatch, flags: NDArray[np.uint8]) -> None:
        """Mark the rows that are in no window."""
        if KNOWN in batch.columns:
            flags[batch.columns[KNOWN][0] == LEAD] |= APART
        if EARLY in batch.columns:
            early = batch.columns[EARLY][0]
            begins = np.zeros(batch.rows, np.bool_)
            begins[np.cumsum(batch.run_len) - batch.run_len] = True
            part = (early == CUT) & ~begins
            part[1:] &= early[:-1] == WHOLE
            flags[part] |= APART | OF_BEFORE

    # ---- the rest of a Runner

    @property
    def tally(self) -> NDArray[np.int64]:
        """See Runner."""
        return self._inner.tally

    @property
    def times_outside(self) -> int:
        """See Runner."""
        return self._inner.times_outside

    def grid(self) -> list[list[int]]:
        """See Runner."""
        return self._inner.grid()

    def saved(self) -> dict[str, NDArray[Any]]:
        """The rows that are kept, as arrays."""
        out = {"counts": np.array([self._old, self._new])}
        if self._chunks:
            batch = _joined(self._chunks, self._names)
            out |= {"run_slot": batch.run_slot, "run_len": batch.run_len, "time": batch.time}
            for name, (values, valid) in batch.columns.items():
                out |= {f"column.{name}.values": values, f"column.{name}.valid": valid}
        return out

    def restore(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """See Runner; ValueError or LookupError if the rows are malformed."""
        old, new = saved["counts"].tolist()
        if (old or new) == 0:
            return
        columns: dict[str, Values] = {}
        slots, lengths, time = (saved[n] for n in ("run_slot", "run_len", "time"))
        kinds = (slots.dtype, lengths.dtype, time.dtype)
        if kinds != (np.int32, np.int64, np.int64) or slots.ndim != 1 or lengths.shape != slots.shape:
            raise ValueError("the kept rows are malformed")
        if (slots < 0).any() or (slots >= len(self.context.keys)).any() or (lengths < 1).any():
            raise ValueError("the kept rows have keys out of range")
        if time.shape != (int(lengths.sum()),) or old < 0 or new < 0 or old + new != len(time):
            raise ValueError("the kept rows are malformed")
        for name in (*self._names, ROW_FLAGS):
            values, valid = saved[f"column.{name}.values"], saved[f"column.{name}.valid"]
            self._inner.check_input(name, values, valid, len(time))
            columns[name] = values, valid
        self._chunks, self._old, self._new = [RowBatch(slots, lengths, time, columns)], old, new


def runner_of(stage: Stage, kernel: Kernel, context: TaskContext, number: int) -> Runner | TrailingRunner:
    """The runner of a stage."""
    kind = Runner if stage.sink.trailing() is None else TrailingRunner
    return kind(stage, kernel, context, number)


def _owned(chunk: RowBatch, names: list[str]) -> RowBatch:
    """A copy with only these columns, each with an entry per row, in which all rows are to be written."""
    n = chunk.rows
    columns: dict[str, Values] = {}
    for name in names:
        values, valid = chunk.columns[name]
        columns[name] = (_full(values, n), _full(valid, n))
    columns[ROW_FLAGS] = (np.full(n, WRITE, np.uint8), VALID)
    return RowBatch(chunk.run_slot.copy(), chunk.run_len.copy(), _full(chunk.time, n), columns)


def _full(values: NDArray[Any], n: int) -> NDArray[Any]:
    return values.copy() if len(values) == n else np.full(n, values[0])


def _joined(chunks: list[RowBatch], names: list[str]) -> RowBatch:
    """The rows of all chunks in one, with one run per key: a key's rows are in the order of the chunks."""
    slots = np.concatenate([c.run_slot for c in chunks])
    lengths = np.concatenate([c.run_len for c in chunks])
    order = np.argsort(slots, kind="stable")
    sorted_ = slots[order]
    first = np.flatnonzero(np.concatenate([[True], sorted_[1:] != sorted_[:-1]]))
    if (order == np.arange(len(order))).all():
        rows = None
    else:
        starts = (np.cumsum(lengths) - lengths)[order]
        moved = lengths[order]
        ends = np.cumsum(moved)
        rows = np.arange(ends[-1]) + np.repeat(starts - (ends - moved), moved)

    def whole(parts: list[NDArray[Any]]) -> NDArray[Any]:
        joined = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return joined if rows is None else joined[rows]

    columns = {
        n: (whole([c.columns[n][0] for c in chunks]), whole([c.columns[n][1] for c in chunks])) for n in names
    }
    columns[ROW_FLAGS] = (whole([c.columns[ROW_FLAGS][0] for c in chunks]), VALID)
    return RowBatch(sorted_[first], np.add.reduceat(lengths[order], first), whole([c.time for c in chunks]), columns)


def _rows_where(batch: RowBatch, chosen: NDArray[np.bool_]) -> RowBatch:
    """The chosen rows, of which each run has some."""
    starts = np.cumsum(batch.run_len) - batch.run_len
    lengths = np.add.reduceat(chosen, starts, dtype=np.int64)
    columns = {
        name: (v[chosen], k if len(k) == 1 and name == ROW_FLAGS else k[chosen])
        for name, (v, k) in batch.columns.items()
    }
    some = lengths > 0
    return RowBatch(batch.run_slot[some], lengths[some], batch.time[chosen], columns)
