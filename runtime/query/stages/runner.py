"""Runs one stage's kernel over chunks: supplies arguments, grows arrays, passes on its output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.codegen.writer import (  # fmt: skip
    BEGIN,
    BRIDGE_MASK,
    FIXED,
    I4,
    NO_PIECE,
    OUT_CAPACITY,
    OUT_ROWS,
    OUT_RUNS,
    PIECE,
    RUNS,
    SINCE,
    TIME_MASK,
    UNTIL,
    Arg,
    Tables,
    column_array,
)
from dataflow.kernels.compile import Kernel
from dataflow.kernels.generate import KernelFunction
from dataflow.plan.sink import Segmenting
from dataflow.plan.stages import Stage, all_ops
from dataflow.times.calendar_tables import YEARS, bucket_table, offset_table
from dataflow.typed.hidden_columns import END as ROW_END
from dataflow.typed.hidden_columns import ORDER
from dataflow.typed.row_operations import NullTally
from operators.compiler.cache import caller
from operators.errors import DataflowError, GroupError
from operators.kernels.times.calendar import END, FIRST
from operators.states.aggregate_states import AggregateStates
from operators.states.groups import Groups, GroupState
from operators.states.pairs import Pairs
from operators.types import Type
from runtime.query.merge.state_form import with_prefix
from runtime.query.stages.joined_values import ValueJoiner
from runtime.query.stages.key_state import KeyState, dtype_of
from runtime.query.stages.lookup_arrays import Lut, lookup_of
from runtime.query.stages.open_cells import OpenCells
from runtime.query.stages.overflow import at_row, located, misfit, of_group, place_of
from runtime.query.stages.row_batch import NULL, RowBatch, Values
from runtime.query.stages.task_context import TaskContext
from runtime.query.stages.word_tables import JoinedTexts, TextValues, cover

_OUT_ROWS = 65_536

_FRESH = frozenset({
    "column", "valid", "run_slot", "run_len", "time", "bridged", "lut", "lookup", "slot_key", "slot_hash", "word_hash",
    "word", "word_valid", "joined", "joined_valid",
})  # fmt: skip
"""Roles of arguments that differ from chunk to chunk."""


class Runner:
    """One stage of a task. ``push``, ``flush`` and ``finish`` yield the chunks that the stage writes (groups: none)."""

    def __init__(
        self,
        stage: Stage,
        kernel: Kernel,
        context: TaskContext,
        number: int = 0,
        row_named: Callable[[int], str] | None = None,
        place: int | None = None,
    ) -> None:
        self.stage, self.kernel, self.context, self._number = stage, kernel, context, number
        self._row_named = row_named
        self._step = caller(kernel.step)
        self._finish = None if kernel.finish is None else caller(kernel.finish)
        sink = stage.sink
        # Few input rows produce output, so it is passed on when the buffer is full, or at the end.
        self._gathers = sink.gathers
        self.groups: Groups | None = None
        self._open: OpenCells | None = None
        self._segmenting = sink.segmenting()
        aggregates = [a.aggregate for a in sink.aggregates]
        if (group := sink.grouping()) is not None:
            self.groups = Groups([e.type for _, e in group.by if e.type is not None], aggregates)
        elif aggregates:
            self._open = OpenCells(aggregates)
        tables = kernel.generated.tables
        self._tables = tables
        self._luts = [Lut(p, o) for p, o in tables.luts]
        texts = TextValues(context.words, number if place is None else place)
        self._words = [texts.table(t) for t in tables.words]
        self._joined = [JoinedTexts(texts, tree) for tree in tables.joined]
        self._lookups = [lookup_of(t, context.words) for t in tables.lookups]
        self._dtypes = {n: dtype_of(I4 if n == ORDER else column_array(kind)) for n, kind in stage.inputs}
        self._out: dict[Arg, NDArray[Any]] = {}
        self._out_capacity = 0
        self._pairs = {name: Pairs() for name in tables.pairs}
        joined = sink.joined()
        self._joiner = None if joined is None else ValueJoiner(joined, self._pairs[joined.pairs], context.words)
        self._flags = np.zeros(3, np.int64)
        """Overflow flags of the two kinds of numbers, and the group's number plus one."""
        tallies = [op.number for op in all_ops(stage) if isinstance(op, NullTally)]
        self.tally = np.zeros(2 * (max(tallies, default=-1) + 1), np.int64)
        """Rows and nulls of each ``NullTally``, by number."""
        self.lost_times = np.zeros(1, np.int64)
        self._needs_years = bool(tables.buckets or tables.zones or any(t.timed for t in tables.lookups))
        self._floats = np.array(tables.floats, np.float64)
        self._kept: dict[str, list[NDArray[Any]]] = {}
        self._scalars = self._constants(tables)
        self._fixed = self._fixed_arguments(tables)
        functions = [kernel.generated.step, *([kernel.generated.finish] if kernel.generated.finish else [])]
        self._fresh = {fn.name: [(i, a) for i, a in enumerate(fn.args) if a.role in _FRESH] for fn in functions}
        self._reads_keys = any(a.role == "slot_key" for fn in functions for a in fn.args)
        self.key_state = KeyState(a for fn in functions for a in fn.args if a.role == "slot")
        self._out_args = {a for fn in functions for a in fn.args if a.role.startswith("out")}

    def _constants(self, tables: Tables) -> NDArray[np.int64]:
        words = self.context.words
        values: list[int] = [0] * (FIXED + len(tables.masks))
        values += [words.code(v) if isinstance(v, str) else v for v in tables.ints]
        for bucket in tables.buckets:
            values += bucket_table(*bucket)[1:]
        s = np.array(values, np.int64)
        s[SINCE], s[UNTIL], s[PIECE] = self.context.since, self.context.until, NO_PIECE
        return s

    def _fixed_arguments(self, tables: Tables) -> dict[tuple[str, object], NDArray[Any]]:
        out: dict[tuple[str, object], NDArray[Any]] = {}
        for j, bucket in enumerate(tables.buckets):
            out["edges", j] = bucket_table(*bucket)[0]
        for j, zone in enumerate(tables.zones):
            out["changes", j], out["offsets", j] = offset_table(zone)
        for j, values in enumerate(tables.listed):
            kind = np.float64 if any(isinstance(v, float) for v in values) else np.int64
            out["listed", j] = np.array(values, kind)
        for j, (lookup, column) in enumerate(tables.picks):
            out["pick", j], out["pick_valid", j] = self._lookups[lookup].column(column)
        return out

    # ---- arguments

    def _argument(self, a: Arg, chunk: RowBatch | None) -> NDArray[Any]:
        role, subject = a.role, a.subject
        # First the arguments that change with every chunk.
        if role in ("column", "valid"):
            assert chunk is not None
            values, valid = chunk.columns[str(subject[0])]
            return valid if role == "valid" else values
        if role in ("run_slot", "run_len", "time"):
            part: NDArray[Any] = getattr(chunk, role)
            return part
        if role == "slot":
            return self.key_state.arrays[str(subject[0])]
        if role.startswith("out"):
            return self._out[a]
        if role in ("edges", "changes", "offsets", "listed", "pick", "pick_valid"):
            return self._fixed[role, subject[0]]
        if role in ("word", "word_valid"):
            table = self._words[int(str(subject[0]))]
            return table.values if role == "word" else table.valid
        if role in ("joined", "joined_valid"):
            joined = self._joined[int(str(subject[0]))]
            return joined.codes if role == "joined" else joined.valid
        if role == "lut":
            return self._luts[int(str(subject[0]))].upto(self.context.words)
        if role == "lookup":
            return self._lookups[int(str(subject[0]))].part(str(subject[1]))
        if role == "state":
            return self._states().argument(int(str(subject[0])), str(subject[1]), str(subject[2]))
        if role == "pairs":
            entries: NDArray[Any] = getattr(self._pairs[str(subject[0])], str(subject[1]))
            return entries
        if role == "word_hash":
            return self.context.words.hashes()
        if role.startswith("group_"):
            found: NDArray[Any] = getattr(self.groups, role.removeprefix("group_"))
            return found
        simple: dict[str, NDArray[Any]] = {
            "scalars": self._scalars,
            "floats": self._floats,
            "flags": self._flags,
            "tally": self.tally,
            "lost_times": self.lost_times,
        }
        if role in simple:
            return simple[role]
        if role in ("free", "free_count"):
            assert self._open is not None
            return self._open.free if role == "free" else self._open.count
        if role in ("slot_key", "slot_hash"):
            # Computed only for kernels that use them.
            return self.context.keys.values if role == "slot_key" else self.context.keys.hashes
        assert role == "bridged"
        assert chunk is not None
        return _own(chunk.bridged)

    def _states(self) -> AggregateStates:
        """The states of the groups, or of the rows that are not written yet."""
        if self.groups is not None:
            return self.groups.cells
        assert self._open is not None
        return self._open.states

    def _arguments(self, function: KernelFunction, chunk: RowBatch | None) -> list[NDArray[Any]]:
        """The arguments of a call; those that persist between chunks are refreshed only after an array grew."""
        kept = self._kept.get(function.name)
        if kept is None:
            kept = self._kept[function.name] = [self._argument(a, chunk) for a in function.args]
            return kept
        for i, a in self._fresh[function.name]:
            kept[i] = self._argument(a, chunk)
        return kept

    def _reserve_pairs(self, rows: int) -> None:
        """Make room for the pairs of so many rows; first those are left out that are of no more use."""
        for name, use in self._tables.pairs.items():
            pairs, more = self._pairs[name], use.most * (1 if use.stops else rows)
            if pairs.has_room(more):
                continue
            if use.last_times:
                last = self.key_state.arrays[use.last_times][pairs.keys[: len(pairs), 0]]
                pairs.keep(pairs.numbers[: len(pairs)] >= last)
            # Room for as many again: they are gone through only now and then.
            pairs.make_room(more + len(pairs))
            self._kept.clear()

    def _reserve_out(self, rows: int) -> None:
        if rows > self._out_capacity:
            self._out = {a: self._output(a, rows) for a in self._out_args}
            self._out_capacity = rows
            self._scalars[OUT_CAPACITY] = rows
            self._kept.clear()

    def _output(self, a: Arg, rows: int) -> NDArray[Any]:
        buffers = self.context.buffers
        if buffers is None:
            return np.zeros(rows, dtype_of(a.kind))
        return buffers.array(f"stage {self._number} {a.name}", a.kind[:2], rows)

    # ---- running

    def push(self, chunk: RowBatch) -> Iterator[RowBatch]:
        """Run the kernel over ``chunk``."""
        if self._needs_years and len(chunk.time) and not in_all_years(chunk.time):
            raise DataflowError(f"{self.stage.step}: a row is at a time outside of {YEARS}, which has no calendar")
        s = self._scalars
        self.reserve_keys()
        self._reserve_pairs(chunk.rows)
        self._reserve_out(max(chunk.rows, 1) if self.stage.sink.writes_every_row else _OUT_ROWS)
        typed = {n: self._as_input(chunk.columns[n], dtype) for n, dtype in self._dtypes.items()}
        chunk = RowBatch(chunk.run_slot, chunk.run_len, chunk.time, typed, chunk.size, chunk.bridged)
        s[TIME_MASK] = -1 if len(chunk.time) > 1 else 0
        s[BRIDGE_MASK] = -1 if len(chunk.bridged) > 1 else 0
        for j, (name, part) in enumerate(self._tables.masks):
            s[FIXED + j] = -1 if len(typed[name][1 if part == "valid" else 0]) > 1 else 0
        for joined in self._joined:
            joined.of(chunk, self.context.keys)
        self._cover_words()
        s[BEGIN], s[RUNS] = 0, len(chunk.run_slot)
        done = 0
        while True:
            done = self._step(*self._arguments(self.kernel.generated.step, chunk))
            self._check(chunk)
            if done < chunk.rows or not self._gathers:
                yield from self.flush()
            if done >= chunk.rows:
                break
            s[BEGIN] = done
            self._make_room()
        if self.groups is not None and self.groups.counted(chunk.rows):
            self._kept.clear()

    def taken_groups(self) -> GroupState:
        """The settled state of all groups, which begin anew."""
        assert self.groups is not None
        state = self.groups.export(self.context.words.strings)
        self.groups = Groups(self.groups.key_types, self.groups.cells.aggregates)
        self._kept.clear()
        return state

    def flush(self) -> Iterator[RowBatch]:
        """Output that is not passed on yet."""
        yield from self._written()
        self._scalars[OUT_ROWS] = self._scalars[OUT_RUNS] = 0

    def finish(self) -> Iterator[RowBatch]:
        """Write what is still open for each key."""
        yield from self.flush()
        function = self.kernel.generated.finish
        if function is None or self._finish is None:
            return
        s = self._scalars
        self.reserve_keys()
        self._reserve_pairs(0)
        self._reserve_out(_OUT_ROWS)
        self._cover_words()
        n = len(self.context.keys)
        s[BEGIN], s[RUNS] = 0, n
        while s[BEGIN] < n:
            done = self._finish(*self._arguments(function, None))
            self._check(None)
            yield from self.flush()
            s[BEGIN] = done
            if done < n:
                self._make_room()

    def _cover_words(self) -> None:
        """Bring the tables of functions of texts up to date."""
        if self._words:
            if self._reads_keys:
                _ = self.context.keys.values  # texts of new keys are added to the dictionary here
            cover(self._words)

    @property
    def times_outside(self) -> int:
        """Number of times so far that are outside the calendar years and became null."""
        return int(self.lost_times[0])

    # ---- standing runs (``runtime.query.task.standing_task``)

    @property
    def is_by_key(self) -> bool:
        """Whether all that it remembers is of single keys, an array entry each."""
        return type(self) is Runner and self._open is None and self._joiner is None and not self._pairs

    def move_end(self, until: int) -> None:
        """The range ends at ``until`` from now on."""
        self.context = replace(self.context, until=until)
        self._scalars[UNTIL] = until

    def reserve_keys(self) -> None:
        """Make room for the state of all keys."""
        if self.key_state.reserve(len(self.context.keys)):
            self._kept.clear()

    def refresh(self) -> None:
        """Some arrays may be others now."""
        self._kept.clear()

    # ---- checkpoints

    def saved(self) -> dict[str, NDArray[Any]]:
        """The state of every key and of all segments, as arrays; a grouping's is exported separately."""
        out = {"tally": self.tally} if len(self.tally) else {}
        out |= {f"slot.{name}": array for name, array in self.key_state.saved(len(self.context.keys)).items()}
        for name, pairs in self._pairs.items():
            out |= {f"pairs.{name}.{part}": values for part, values in pairs.saved().items()}
        if self._open is not None:
            out |= self._open.saved()
        return out

    def restore(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Continue from the ``saved`` state of a runner of the same stage, before any row is pushed.

        ValueError or LookupError if it is malformed: kernels check no bounds.
        """
        self.reserve_keys()
        tally = saved.get("tally", np.zeros(0, np.int64))
        if tally.dtype != self.tally.dtype or tally.shape != self.tally.shape:
            raise ValueError("the tally is malformed")
        self.tally[:] = tally
        if self._open is not None:
            lanes = getattr(self.stage.sink, "size", 1)
            self._open.restore(saved, (len(self.context.keys) + 1) * lanes, self.context.words)
        cells = 0 if self._open is None else self._open.states.capacity
        # There are none before the first row.
        if any(name.startswith("slot.") for name in saved):
            self.key_state.restore(with_prefix(saved, "slot."), len(self.context.keys), len(self.context.words), cells)
        for name, pairs in self._pairs.items():
            pairs.restore(with_prefix(saved, f"pairs.{name}."))
        if self._joiner is not None:
            self._joiner.check(self.key_state.arrays)
        self._kept.clear()

    def grid(self) -> list[list[int]]:
        """The origins of the calendar bucket numbers in the state: compatible states have equal ones."""
        tables = (bucket_table(*b) for b in self._tables.buckets)
        return [[width, origin, *edges[:1].tolist()] for edges, width, origin in tables]

    def _make_room(self) -> None:
        self._kept.clear()
        self._reserve_pairs(0)
        if self.groups is not None:
            self.groups.make_room()
        elif self._open is not None and self._segmenting is not None:
            # A row is in as many windows as a window has buckets.
            self._open.make_room(self._segmenting.size)

    def check_input(self, name: str, values: NDArray[Any], valid: NDArray[Any], sizes: tuple[int, ...]) -> None:
        """ValueError if saved values cannot be those of the input ``name``; ``sizes``: how many there may be."""
        if values.dtype.kind not in "iufb" or valid.dtype != np.uint8 or values.ndim != 1 or valid.ndim != 1:
            raise ValueError(f"the column {name} is malformed")
        if len(values) not in sizes or len(valid) not in (1, *sizes):
            raise ValueError(f"the column {name} is malformed")
        is_code = dict(self.stage.inputs)[name] in (Type.STRING, Type.JSON)
        if is_code and len(values) and not 0 <= values.min() <= values.max() < max(1, len(self.context.words)):
            raise ValueError(f"the column {name} has codes out of range")

    def _check(self, chunk: RowBatch | None) -> None:
        for number, flag in enumerate(self._flags[:2].tolist()):
            if not flag:
                continue
            site, row = place_of(flag, self._tables.sites)
            where = ""
            if row >= 0 and chunk is not None:
                where = at_row(chunk, row, self.context.keys) if self._row_named is None else self._row_named(row)
            grouping = self.stage.sink.grouping()
            if self._flags[2] and self.groups is not None and grouping is not None:
                group = of_group(grouping, self.groups, int(self._flags[2]) - 1, self.context.words)
                where += group.replace(" for ", " in the group ", 1)
            raise misfit(number, self.stage.step, site, where)

    def _as_input(self, values: Values, dtype: np.dtype[Any]) -> Values:
        """The column in the kernels' dtype for its type; integers of a widened column become floats."""
        array, valid = values
        if array.dtype != dtype:
            array = array.astype(dtype)
        # Kernels are compiled for writable arrays; shared constants are read-only.
        return _own(array), _own(valid)

    def _written(self) -> Iterator[RowBatch]:
        n, runs = int(self._scalars[OUT_ROWS]), int(self._scalars[OUT_RUNS])
        if n == 0:
            return
        columns: dict[str, Values] = {}
        valid: dict[str, NDArray[np.uint8]] = {}
        time = slots = lengths = gids = None
        for a, array in self._out.items():
            part = array[:n]
            if a.role == "out":
                columns[str(a.subject[0])] = (part, np.ones(1, np.uint8))
            elif a.role == "out_valid":
                valid[str(a.subject[0])] = part
            elif a.role == "out_time":
                time = part
            elif a.role == "out_slot":
                slots = array[:runs].astype(np.int32)
            elif a.role == "out_len":
                lengths = array[:runs]
            elif a.role == "out_gid":
                gids = part
        for name, ok in valid.items():
            columns[name] = (columns[name][0], ok)
        if gids is not None and self._open is not None:
            try:
                finished = self._open.states.finish(gids, self.context.words)
            except GroupError as error:
                assert slots is not None
                assert lengths is not None
                assert time is not None
                where = at_row(RowBatch(slots, lengths, time, {}), error.group, self.context.keys)
                raise located(error, self.stage.step, self.stage.sink.aggregates, where) from None
            for agg, (values, ok_mask) in zip(self.stage.sink.aggregates, finished, strict=True):
                columns[agg.name] = (values, np.ones(1, np.uint8) if ok_mask is None else ok_mask.astype(np.uint8))
            self._open.take_back(gids)
        if self._joiner is not None:
            columns[self._joiner.name] = self._joiner.texts(columns)
        if self._segmenting is not None and self._segmenting.partial:
            assert time is not None
            columns["partial"] = (self._is_cut(self._segmenting, time, columns[ROW_END][0]), np.ones(1, np.uint8))
        if time is None:
            time = np.zeros(n, np.int64)
        if slots is None or lengths is None:
            slots, lengths = np.zeros(1, np.int32), np.array([n], np.int64)
        yield RowBatch(slots, lengths, time, columns)

    def _is_cut(self, sink: Segmenting, start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Whether part of a window's time was not read."""
        c = self.context
        # A sliding window includes rows before the range.
        first = c.beginning if c.whole or sink.size > 1 else max(c.since, c.beginning)
        return ((start < first) | (end > c.until)).astype(np.uint8)


def in_all_years(times: NDArray[np.int64]) -> bool:
    """Whether all of ``times`` (at least one) lie in the calendar years."""
    return bool(times.min() >= FIRST and times.max() < END)


def _own(array: NDArray[Any]) -> NDArray[Any]:
    return array if array.flags.writeable else array.copy()


def missing_column(kind: Type) -> Values:
    """A column that a file does not have: null in every row."""
    return np.zeros(1, dtype_of(column_array(kind))), NULL
