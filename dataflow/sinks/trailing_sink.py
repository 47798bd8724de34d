"""The sink of windows that move with the rows: each row with aggregates of its key's rows up to its time, or from
then on.

The rows of a batch are runs of one key each, of which the first ones may be rows that were written before and are still
in a window (``runtime.query.stages.trailing_rows``). A run is worked out from its own rows alone, so a kernel that
stops for lack of room begins the run anew and goes on at the row where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dataflow.codegen.emitter import Emitter
from dataflow.codegen.writer import I8, U1, SourceWriter
from dataflow.plan.sink import MovingWindow, NamedTyped, Reach, Sink
from dataflow.sinks.folding import rooms
from dataflow.sinks.passed_rows import RunsEmitter
from dataflow.sinks.window_folds import AnewFold, WindowFold, fold_of, row_of_batch
from dataflow.times.durations import written_duration
from dataflow.typed.aggregates_bound import BoundAgg
from dataflow.typed.hidden_columns import ADDED, COMPLETE, DONE, KNOWN, ROW_FLAGS
from dataflow.typed.nodes import Typed


@dataclass(frozen=True)
class WindowAgg:
    """An aggregate over the rows of a window."""

    agg: BoundAgg
    window: MovingWindow

    def describe(self) -> str:
        """In words."""
        length, rows, ahead, offset = self.window
        over = f"{rows} rows" if length is None else written_duration(length)
        away = f", {written_duration(offset)} {'later' if ahead else 'before'}" if offset else ""
        return f"{self.agg.aggregate.name} of the {'next' if ahead else 'last'} {over}{away}"


class TrailingEmitter(RunsEmitter):
    """Emits the code of a ``Trailing`` sink."""

    def __init__(self, w: SourceWriter, sink: Trailing) -> None:
        super().__init__(w)
        self.sink = sink
        self.windows = sink.different_windows()
        self.folds: list[WindowFold] = []
        cell = 0
        w.arg("run_done", I8, "column", DONE)
        w.arg("run_complete", I8, "column", COMPLETE)
        for j, a in enumerate(sink.windows):
            number, kind = self.windows.index(a.window), fold_of(a.agg)
            if kind is AnewFold:
                self.folds.append(AnewFold(w, j, number, a.agg, cell))
                cell += 1
            else:
                self.folds.append(kind(w, j, number, a.agg))
        for f in self.folds:
            f.declare()
        if sink.aggregates:
            w.arg("free", I8, "free")
            w.arg("free_count", I8, "free_count")
            w.arg("o_gid", I8, "out_gid")
        self.rooms = rooms(sink.aggregates, w)

    def constants(self, x: Emitter) -> None:
        """Load the lengths of the windows into locals, once."""
        for n, window in enumerate(self.windows):
            self.w.put(f"size{n} = {x.integer(window.length or window.rows or 0)}")
            if window.offset:
                self.w.put(f"away{n} = {x.integer(window.offset)}")

    def load(self) -> None:
        """Begin the run with empty windows."""
        super().load()
        self.w.put("first = row + run_done[r]\nfull = row + run_complete[r]")
        for n in range(len(self.windows)):
            self.w.put(f"lo{n} = row\nhi{n} = row\nin{n} = np.int64(0)")
        for f in self.folds:
            f.reset()

    def row(self, x: Emitter) -> None:
        """One row; those that were written before only enter and leave."""
        w, sink = self.w, self.sink
        marked = x.has_early or KNOWN in sink.own
        for f in self.folds:
            f.marked = marked
        with w.block("if i < first:"):
            w.put("following = first\ncontinue")
        with w.block("if i >= full:"):
            w.put("following = stop\ncontinue")
        with w.block(f"if {self.in_range(x, sink.points)}:"):
            w.put("at = i\nuntil_now = t")
            if marked:
                # What is left of a row in the range has the windows of the whole row, which is the row before.
                w.arg("row_flags", U1, "column", ROW_FLAGS)
                with w.block("if row_flags[u] & 2 != 0:"):
                    w.put("at = i - 1\nuntil_now = time[at]")
            for n, window in enumerate(self.windows):
                self._move(x, n, window)
            self._stop_without_room()
            for f in self.folds:
                if not isinstance(f, AnewFold):
                    f.result(x)
            if sink.aggregates:
                w.put("free_count[0] -= 1\ngid = free[free_count[0]]\no_gid[on] = gid")
                for f in self.folds:
                    if isinstance(f, AnewFold):
                        f.result(x)
            w.put("u = np.uint64(i)")
            with x.scope():
                self.write(x, sink.columns)
            w.put("on += 1")

    def _move(self, x: Emitter, n: int, window: MovingWindow) -> None:
        """Move window ``n`` to the row ``at``."""
        w, folds = self.w, [f for f in self.folds if f.window == n]
        of_time, away = window.length is not None, f" {'+' if window.ahead else '-'} away{n}" if window.offset else ""
        if window.ahead:
            enters = f"time[hi{n}] < until_now{away} + size{n}" if of_time else f"hi{n} < at + size{n}"
            leaves = f"time[lo{n}] < until_now{away}" if of_time else f"lo{n} < at"
        else:
            enters = f"time[hi{n}] <= until_now{away}" if of_time else f"hi{n} <= at"
            leaves = f"time[lo{n}] <= until_now{away} - size{n}" if of_time else f"in{n} > size{n}"
        with w.block(f"while hi{n} < stop and {enters}:"):
            with self._counted(x, f"hi{n}"):
                w.put(f"in{n} += 1")
                for f in folds:
                    f.enter(x)
            w.put(f"hi{n} += 1")
        with w.block(f"while lo{n} < hi{n} and {leaves}:"):
            with self._counted(x, f"lo{n}"):
                w.put(f"in{n} -= 1")
                for f in folds:
                    f.leave(x)
            w.put(f"lo{n} += 1")

    @contextmanager
    def _counted(self, x: Emitter, row: str) -> Iterator[None]:
        """Code for a row that is in windows, as ``u``."""
        with row_of_batch(self.w, x, row):
            depth = self.w.depth
            if x.has_early or KNOWN in self.sink.own:
                self.w.put("if row_flags[u] & 1 == 0:")
                self.w.depth += 1
            yield
            self.w.depth = depth

    def _stop_without_room(self) -> None:
        """Stop before this row if states computed anew may not fit."""
        if not self.sink.aggregates:
            return
        windows = {f.window for f in self.folds if isinstance(f, AnewFold)}
        most = " + ".join(f"hi{n} - lo{n}" for n in sorted(windows))
        full = " or ".join(["free_count[0] < 1", *(f"{r} < {most} + 1" for r in self.rooms)])
        with self.w.block(f"if {full}:"):
            self.store()
            self.w.put("return i")


@dataclass(frozen=True)
class Trailing(Sink):
    """Sink: rows with ``columns`` and with the aggregates ``windows`` of the rows of their key before or after them.

    ``points``: whether the rows are points, as they are if a window looks ahead; ``own``: hidden columns that the
    runner reads. In a window of a length are the rows of all times up to the row's own, or from there on, also those of
    the same time that come after it or before it; in one of a number of rows, those up to it, or from it on.
    """

    columns: NamedTyped
    windows: tuple[WindowAgg, ...]
    points: bool
    own: tuple[str, ...] = ()

    follows_keys = True
    keeps_rows = True
    has_length = False
    closes = False
    gathers = False
    writes_every_row = True
    passes_lead = True
    rows_per_second = 20e6

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        yield from (e for _, e in self.columns)
        for a in self.windows:
            yield from a.agg.expressions()

    def emitter(self, w: SourceWriter) -> TrailingEmitter:
        """See Sink."""
        return TrailingEmitter(w, self)

    def different_windows(self) -> list[MovingWindow]:
        """The windows, each once."""
        return list(dict.fromkeys(a.window for a in self.windows))

    @property
    def aggregates(self) -> tuple[BoundAgg, ...]:
        """The aggregates that are computed anew for every row."""
        return tuple(a.agg for a in self.windows if fold_of(a.agg) is AnewFold)

    @property
    def aggs_of_windows(self) -> tuple[BoundAgg, ...]:
        """See MovingWindows."""
        return tuple(a.agg for a in self.windows)

    def trailing(self) -> Trailing:
        """See Sink."""
        return self

    def hidden(self) -> set[str]:
        """See Sink."""
        return {*self.own, *ADDED}

    def looks_back(self, first: bool) -> Reach:
        """See Sink: everything, where rows are counted."""
        back = [a.window for a in self.windows if not a.window.ahead]
        if any(window.length is None for window in back):
            return None
        return max((window.reach for window in back), default=0)

    @property
    def looks_ahead(self) -> bool:
        """See Sink."""
        return any(a.window.ahead for a in self.windows)

    def needs_before(self, needed: Reach, first: bool) -> Reach:
        """See Sink."""
        own = self.looks_back(first)
        return None if needed is None or own is None else needed + own

    def describe(self) -> str:
        """See Sink."""
        return f"rows with {', '.join(a.describe() for a in self.windows)}"
