"""Runs a stage of moving windows: gathers rows until a batch is worth it, and keeps those that are still in a window.

The kernel works out each run of a batch from its own rows (``dataflow.sinks.trailing_sink``), so the rows of a key that
a later row may have in its window are passed to it again, before the key's next ones. They are few compared to the rows
of a batch: a batch has at least as many new rows as there are kept ones, so each row is passed on twice on average at
most, however long the windows are. Rows at a
key's last time wait: others may come at the same time; and so do rows whose windows look ahead of the last one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.codegen.writer import Arg
from dataflow.kernels.compile import Kernel
from dataflow.plan.stages import Stage
from dataflow.sinks.window_folds import STATE
from dataflow.typed.hidden_columns import ADDED, COMPLETE, CUT, DONE, EARLY, END, KNOWN, ROW_FLAGS, WHOLE
from operators.contract import Aggregate
from operators.distinct_values import distinct
from operators.errors import GroupError
from operators.kernels.sums.running_sums import WIDTH
from operators.kernels.window_rows import bounds_of_runs, copy_runs
from runtime.query.stages.overflow import at_row, located
from runtime.query.stages.past import LEAD
from runtime.query.stages.row_batch import VALID, RowBatch, Values
from runtime.query.stages.runner import Runner
from runtime.query.stages.task_context import TaskContext

_BATCH = 1 << 16
"""The fewest new rows of a batch, while rows come."""

_FULL = (EARLY, END, KNOWN)
"""Columns that kernels read in every row: they have an entry per row."""

APART, OF_BEFORE = 1, 2
"""Bits of ``ROW_FLAGS``."""


class WindowsRunner(Runner):
    """Runs the kernel over whole batches."""

    def __init__(
        self, stage: Stage, kernel: Kernel, context: TaskContext, number: int, place: int | None = None
    ) -> None:
        super().__init__(stage, kernel, context, number, place=place)
        self._scratch: dict[str, NDArray[Any]] = {}
        self._longest = 1

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
        assert self._open is not None
        self._open.make_room(self._longest * max(1, len(self.stage.sink.aggregates)) + 1, 1)

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


@dataclass(frozen=True)
class Runs:
    """Rows in one run per key; ``done``: how many rows of each run were written before."""

    batch: RowBatch
    done: NDArray[np.int64]


class TrailingRunner:
    """One stage of moving windows in a task; see ``Runner``, whose place it takes."""

    groups = None

    def __init__(
        self, stage: Stage, kernel: Kernel, context: TaskContext, number: int = 0, place: int | None = None
    ) -> None:
        self.stage, self.kernel, self.context = stage, kernel, context
        self._inner = WindowsRunner(stage, kernel, context, number, place=place)
        windows = stage.sink.trailing()
        assert windows is not None
        back = [window for window in windows.different_windows() if not window.ahead]
        ahead = [window for window in windows.different_windows() if window.ahead]
        self._length = max((window.reach for window in back), default=0)
        # Of each key two rows may be in no window, and the part of a row looks at the whole row before it.
        self._rows = max((window.rows or 0 for window in back), default=0) + 2
        # Of the rows of a time all are in one another's windows.
        self._ahead = max([min(self._length, 1), *(window.reach for window in ahead)])
        self._rows_ahead = max([0, *((window.rows or 1) - 1 for window in ahead)])
        self._names = [n for n, _ in stage.inputs if n not in ADDED]
        self._kept: Runs | None = None
        self._chunks: list[RowBatch] = []
        self._new = 0

    # ---- running

    def push(self, chunk: RowBatch) -> Iterator[RowBatch]:
        """Take rows; passes on what is known by now, if there is enough of it."""
        if not chunk.rows:
            return
        self._new += chunk.rows
        enough = self._new >= max(_BATCH, 0 if self._kept is None else self._kept.batch.rows)
        # Its arrays are used again once this returns.
        self._chunks.append(_with(chunk, self._names, own=not enough))
        if enough:
            yield from self._run(False)

    def flush(self) -> Iterator[RowBatch]:
        """What the run without regard to the range has is needed before the other's rows; other rows can wait."""
        if self.context.whole and self._chunks:
            yield from self._run(False)

    def finish(self) -> Iterator[RowBatch]:
        """Pass on the rest: no more rows come."""
        if self._chunks or self._kept is not None:
            yield from self._run(True)

    def _run(self, last: bool) -> Iterator[RowBatch]:
        rows = _joined(self._kept, self._chunks, self._names)
        self._chunks, self._new = [], 0
        batch, runs = rows.batch, len(rows.batch.run_len)
        complete, kept = np.empty(runs, np.int64), np.empty(runs, np.int64)
        sizes = self._length, self._rows, self._ahead, self._rows_ahead
        bounds_of_runs(batch.time, batch.run_len, *sizes, not last, complete, kept)
        columns = {**batch.columns, DONE: (rows.done, VALID), COMPLETE: (complete, VALID)}
        flags = self._flags(batch)
        yield from self._inner.push(replace(batch, columns={**columns, ROW_FLAGS: (flags, VALID)}))
        yield from self._inner.flush()
        ends = np.cumsum(batch.run_len)
        done = np.maximum(complete - (batch.run_len - kept), 0)
        self._kept = None if last else Runs(_rows_from(batch, ends - kept, kept, flags), done)

    def _flags(self, batch: RowBatch) -> NDArray[np.uint8]:
        """The rows that are in no window, and those that have the windows of the row before."""
        if ROW_FLAGS not in batch.columns:
            return np.zeros(1, np.uint8)
        flags = batch.columns[ROW_FLAGS][0]
        if KNOWN in batch.columns:
            flags[batch.columns[KNOWN][0] == LEAD] |= APART
        if EARLY in batch.columns:
            early = batch.columns[EARLY][0]
            part = early == CUT
            part[np.cumsum(batch.run_len) - batch.run_len] = False
            part[1:] &= early[:-1] == WHOLE
            flags[part] |= APART | OF_BEFORE
        return flags

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
        if self._kept is None and not self._chunks:
            return {}
        self._kept, self._chunks = _joined(self._kept, self._chunks, self._names), []
        batch = self._kept.batch
        out: dict[str, NDArray[Any]] = {
            "run_slot": batch.run_slot,
            "run_len": batch.run_len,
            "time": batch.time,
            "done": self._kept.done,
        }
        for name, (values, valid) in batch.columns.items():
            out |= {f"column.{name}.values": values, f"column.{name}.valid": valid}
        return out

    def restore(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """See Runner; ValueError or LookupError if the rows are malformed."""
        if not saved:
            return
        slots, lengths, time, done = (saved[n] for n in ("run_slot", "run_len", "time", "done"))
        whole = all(a.dtype == np.int64 for a in (lengths, time, done))
        if slots.dtype != np.int32 or not whole or not slots.shape == lengths.shape == done.shape:
            raise ValueError("the kept rows are malformed")
        if (slots < 0).any() or (slots >= len(self.context.keys)).any() or len(distinct(slots)) < len(slots):
            raise ValueError("the kept rows have keys out of range")
        if (lengths < 1).any() or (done < 0).any() or (done > lengths).any() or time.shape != (int(lengths.sum()),):
            raise ValueError("the kept rows are malformed")
        columns: dict[str, Values] = {}
        for name in (*self._names, *([ROW_FLAGS] if self._marks else [])):
            columns[name] = saved[f"column.{name}.values"], saved[f"column.{name}.valid"]
            sizes = (len(time),) if name in (*_FULL, ROW_FLAGS) else (1, len(time))
            self._inner.check_input(name, *columns[name], sizes)
        self._kept = Runs(RowBatch(slots, lengths, time, columns), done)

    @property
    def _marks(self) -> bool:
        """Whether some rows may be in no window."""
        return EARLY in self._names or KNOWN in self._names


def runner_of(
    stage: Stage, kernel: Kernel, context: TaskContext, number: int, place: int | None = None
) -> Runner | TrailingRunner:
    """The runner of a stage; see ``Runner``."""
    kind = Runner if stage.sink.trailing() is None else TrailingRunner
    return kind(stage, kernel, context, number, place=place)


def _with(chunk: RowBatch, names: list[str], own: bool) -> RowBatch:
    """The chunk with only these columns, as a copy if ``own``."""
    columns = {n: chunk.columns[n] for n in names}
    if EARLY in columns or KNOWN in columns:
        columns[ROW_FLAGS] = (np.zeros(chunk.rows, np.uint8), VALID)
    time = np.full(chunk.rows, chunk.time[0]) if len(chunk.time) < chunk.rows else chunk.time
    if own:
        columns = {n: (v.copy(), k.copy()) for n, (v, k) in columns.items()}
        return RowBatch(chunk.run_slot.copy(), chunk.run_len.copy(), time.copy(), columns)
    return RowBatch(chunk.run_slot, chunk.run_len, time, columns)


def _joined(kept: Runs | None, chunks: list[RowBatch], names: list[str]) -> Runs:
    """The kept rows and those of all chunks, with one run per key: a key's rows are in this order."""
    parts = ([] if kept is None else [kept.batch]) + chunks
    slots = np.concatenate([c.run_slot for c in parts])
    lengths = np.concatenate([c.run_len for c in parts])
    done = np.zeros(len(slots), np.int64)
    if kept is not None:
        done[: len(kept.done)] = kept.done
    order = np.argsort(slots, kind="stable")
    sorted_ = slots[order]
    first = np.flatnonzero(np.concatenate([[True], sorted_[1:] != sorted_[:-1]]))
    if len(first) == len(order):
        # Each key has one run: they need no other order.
        first = order = np.arange(len(order))
        sorted_ = slots
    moves = len(first) < len(order)
    starts, moved = (np.cumsum(lengths) - lengths)[order], lengths[order]
    rows = sum(c.rows for c in parts)

    def whole(arrays: list[NDArray[Any]]) -> NDArray[Any]:
        """The arrays in one, with an entry per row, or a single one for all."""
        if all(len(a) == 1 for a in arrays) and len({a[0].item() for a in arrays}) == 1 and rows > 1:
            return arrays[0]
        full = [a if len(a) == c.rows else np.full(c.rows, a[0]) for a, c in zip(arrays, parts, strict=True)]
        joined = full[0] if len(full) == 1 else np.concatenate(full)
        if not moves:
            return joined
        out = np.empty_like(joined)
        copy_runs(joined.view(np.uint8), out.view(np.uint8), starts, moved, joined.itemsize)
        return out

    columns = {n: (whole([c.columns[n][0] for c in parts]), whole([c.columns[n][1] for c in parts])) for n in names}
    for name in (n for n in (*_FULL, ROW_FLAGS) if n in parts[0].columns):
        columns[name] = (_per_row(whole([c.columns[name][0] for c in parts]), rows), VALID)
    time = whole([c.time for c in parts])
    return Runs(
        RowBatch(sorted_[first], np.add.reduceat(moved, first), _per_row(time, rows), columns),
        np.add.reduceat(done[order], first),
    )


def _per_row(values: NDArray[Any], rows: int) -> NDArray[Any]:
    return values if len(values) == rows else np.full(rows, values[0])


def _rows_from(
    batch: RowBatch, starts: NDArray[np.int64], lengths: NDArray[np.int64], flags: NDArray[np.uint8]
) -> RowBatch:
    """A copy of the last rows of every run."""
    ends = np.cumsum(lengths)
    at = np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)

    def chosen(values: NDArray[Any]) -> NDArray[Any]:
        return values[at] if len(values) == batch.rows else values.copy()

    columns = {name: (chosen(v), chosen(k)) for name, (v, k) in batch.columns.items()}
    if ROW_FLAGS in columns:
        columns[ROW_FLAGS] = (flags[at], VALID)
    return RowBatch(batch.run_slot.copy(), lengths, batch.time[at], columns)
