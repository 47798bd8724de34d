"""The sink of ``sessionize`` and ``window``: consecutive rows of a key, folded into one row each.

An open segment has a row ``gid`` in the arrays of its aggregates. When it closes, that row's number is written out; the
caller finishes the aggregates in that row and returns the number to the stack ``free``.

Windows that slide or may be empty are numbered by their first bucket. Each is ``lanes`` buckets long, so a key has at
most ``lanes`` open windows at a time, ``low`` to ``high``; window k is in lane k modulo ``lanes``. They end in the
order in which they start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dataflow.binding.typing import Expressions, Shape
from dataflow.codegen.emitter import Emitter
from dataflow.codegen.keyed_emitter import FlowEmitter, KeyedEmitter
from dataflow.codegen.writer import I8, U1, SourceWriter, both, value_array
from dataflow.expressions.aggregate_calls import NamedAggs
from dataflow.plan.sink import Memory, Reach, Sink, columns_in
from dataflow.sinks.folding import fold, least, rooms
from dataflow.times.calendar_tables import longest_bucket
from dataflow.typed.aggregates_bound import BoundAgg
from dataflow.typed.nodes import Typed
from operators.kernels.times.calendar import END, FIRST
from operators.types import Type

_DAY = 86_400_000_000


class SegmentsEmitter(KeyedEmitter):
    """Emits the code of a ``Segments`` sink for sessions and windows of one bucket."""

    def __init__(self, w: SourceWriter, sink: Segments) -> None:
        super().__init__(w, sink.held)
        self.sink = sink
        self.session = sink.bucket is None
        room = ["cap - on"]
        self.keep(("open", U1), ("first", I8), ("final", I8), ("rows", I8))
        w.arg("o_count", I8, "out", "count")
        if self.session:
            self.keep(("gap0", I8), ("before", I8), ("past", U1), ("left", U1))
            w.arg("o_left", I8, "out", "open_left")
            w.arg("o_right", I8, "out", "open_right")
        if sink.aggs:
            self.keep(("gid", I8))
            w.arg("free", I8, "free")
            w.arg("free_count", I8, "free_count")
            w.arg("o_gid", I8, "out_gid")
            room += ["free_count[0]", *rooms(sink.aggs, w)]
        self.full, self.places = "", least(*room)
        for j, (_, e) in enumerate(sink.held):
            array = value_array(e.type)
            self.keep((f"sh{j}", array), (f"ch{j}", array), (f"shk{j}", U1), (f"chk{j}", U1))

    def constants(self, x: Emitter) -> None:
        """Load the gap and the maximum length into locals, once."""
        if self.session:
            self.w.put(f"gap = {x.integer(self.sink.gap or 0)}")
            if self.sink.max_length is not None:
                self.w.put(f"longest = {x.integer(self.sink.max_length)}")

    def _close(self, right: str) -> None:
        w = self.w
        w.put("o_time[on] = first\no_end[on] = final\no_count[on] = rows")
        if self.session:
            w.put(f"o_left[on] = left\no_right[on] = {right}")
        if self.sink.aggs:
            w.put("o_gid[on] = gid")
        for j in range(len(self.sink.held)):
            w.put(f"oh{j}_v[on] = sh{j}\noh{j}_k[on] = shk{j}")
        w.put("on += 1\nopen = np.uint8(0)")

    def row(self, x: Emitter) -> None:
        """One row of the key whose state is loaded."""
        w, sink = self.w, self.sink
        for j, (_, e) in enumerate(sink.held):
            v, k = x.emit(e)
            v = f"np.int64({v})" if e.type is not Type.FLOAT else v
            with w.block(f"if {k}:"):
                w.put(f"ch{j} = {v}\nchk{j} = np.uint8(1)")
        if self.session:
            begins = self._begins_session(x, "past == 0 or t - before > gap") if sink.max_length is not None else ""
            with w.block("if t < since:"):
                if begins:
                    # The session's own grid, wherever the range begins.
                    with w.block(f"if {begins}:"):
                        w.put("gap0 = t")
                w.put("before = t\npast = np.uint8(1)")
        w.put("if t >= since:")
        w.depth += 1
        if self.session:
            apart, reached = "t - final > gap", "rows == 0 and past != 0 and t - before <= gap"
            if sink.split is not None:
                split = x.name(both(*x.emit(sink.split)), "True")[0]
                apart, reached = f"({apart} or {split})", f"{reached} and not {split}"
            cut = ""
            if sink.max_length is not None:
                cut = " or (t - gap0) // longest != (first - gap0) // longest"
            with w.block(f"if open != 0 and ({apart}{cut}):"):
                self._close("0")
            with w.block("if open == 0:"):
                # A cut by length continues on the grid of the session that it cuts.
                with w.block(f"if rows == 0 or {apart}:"):
                    w.put(f"left = np.uint8({reached})")
                    with w.block("if left == 0:"):
                        w.put("gap0 = t")
                with w.block("else:"):
                    w.put("left = np.uint8(0)")
                self._start("t")
            w.put("final = t\nrows += 1")
        else:
            assert sink.bucket is not None
            call = x.bucket(sink.bucket.option("every"), sink.bucket.option("zone"))
            with w.block("if open != 0 and t >= final:"):
                self._close("0")
            with w.block("if open == 0:"):
                self._start(f"bucket_start(t, {call})")
                w.put(f"final = bucket_end(t, {call})")
            w.put("rows += 1")
        for j, a in enumerate(sink.aggs):
            fold(w, x, j, a, "gid")
        w.depth -= 1

    def _begins_session(self, x: Emitter, apart: str) -> str:
        """The condition that the row starts a session; ``apart``: it is too far from the previous row."""
        if self.sink.split is None:
            return apart
        return f"{apart} or {x.name(both(*x.emit(self.sink.split)), 'True')[0]}"

    def _start(self, start: str) -> None:
        w = self.w
        w.put(f"open = np.uint8(1)\nfirst = {start}\nrows = np.int64(0)")
        if self.sink.aggs:
            w.put("free_count[0] -= 1\ngid = free[free_count[0]]")
        for j in range(len(self.sink.held)):
            w.put(f"sh{j} = ch{j}\nshk{j} = chk{j}")

    def finish(self, x: Emitter) -> None:
        """Close the key's open segment at the end of the range."""
        with self.w.block("if open != 0:"):
            self._close("np.int64(until - final <= gap)" if self.session else "0")


class WindowsEmitter(FlowEmitter):
    """Emits the code of a ``Segments`` sink for windows that slide or may be empty."""

    def __init__(self, w: SourceWriter, sink: Segments) -> None:
        super().__init__(w, sink.held)
        self.sink = sink
        self.keep(("live", U1), ("low", I8), ("high", I8))
        self._lane("rows", I8)
        for j, (_, e) in enumerate(sink.held):
            self._lane(f"sh{j}", value_array(e.type))
            self._lane(f"shk{j}", U1)
        w.arg("o_count", I8, "out", "count")
        if sink.aggs:
            self._lane("gid", I8)
            w.arg("free", I8, "free")
            w.arg("free_count", I8, "free_count")
            w.arg("o_gid", I8, "out_gid")
            self.full = " or ".join(
                ["on + 1 > cap", "free_count[0] < lanes", *(f"{r} < lanes" for r in rooms(sink.aggs, w))]
            )

    def _lane(self, name: str, array: str) -> None:
        """Declare state per key and lane."""
        self.w.arg(f"lane_{name}", array, "slot", f"lane_{name}", self.sink.size)

    def constants(self, x: Emitter) -> None:
        """Load the number of lanes, and the number of the first window that overlaps the range, into locals, once."""
        self.w.put(f"lanes = {x.integer(self.sink.size)}\nulanes = np.uint64(lanes)")
        begin = f"min(max(since, np.int64({FIRST})), np.int64({END - 1}))"
        self.w.put(f"lowest = bucket_number({begin}, {self._bucket(x)}) - lanes + 1")

    def _bucket(self, x: Emitter) -> str:
        assert self.sink.bucket is not None
        return x.bucket(self.sink.bucket.option("every"), self.sink.bucket.option("zone"), self.sink.size)

    def _find(self, window: str) -> None:
        """The index of a window's lane."""
        self.w.put(f"at = slot * ulanes + np.uint64({window} - {window} // lanes * lanes)")

    def _begin(self) -> None:
        """The key's first window: the earliest one that contains the bucket and overlaps the range. No window has a row
        yet."""
        with self.w.block("if live == 0:"):
            self.w.put("live = np.uint8(1)\nlow = max(bucket - lanes + 1, lowest)\nhigh = low - 1")

    def _close(self, x: Emitter, back: str) -> None:
        """Write the window ``low`` and go to the next."""
        w, held = self.w, range(len(self.held))
        takes_state = self.sink.empty and self.sink.aggs
        self.room(back, "on + 1 > cap" + (" or free_count[0] < 1" if takes_state else ""))
        w.put(f"o_time[on] = bucket_edge(low, {self._bucket(x)})")
        w.put(f"o_end[on] = bucket_edge(low + lanes, {self._bucket(x)})")
        with w.block("if low <= high:"):
            self._find("low")
            w.put("o_count[on] = lane_rows[at]")
            if self.sink.aggs:
                w.put("o_gid[on] = lane_gid[at]")
            w.put("\n".join(f"oh{j}_v[on] = lane_sh{j}[at]\noh{j}_k[on] = lane_shk{j}[at]" for j in held))
        if self.sink.empty:
            with w.block("else:"):
                w.put("o_count[on] = 0")
                if self.sink.aggs:
                    w.put("free_count[0] -= 1\no_gid[on] = free[free_count[0]]")
                self.write_held()
        w.put("on += 1\nlow += 1")

    def advance(self, x: Emitter) -> None:
        """Write the windows that have ended."""
        w = self.w
        w.put(f"bucket = bucket_number(t, {self._bucket(x)})")
        with w.block("if live != 0:"), w.block("while low <= bucket - lanes:"):
            if not self.sink.empty:
                with w.block("if low > high:"):
                    w.put("low = bucket - lanes + 1\nbreak")
            self._close(x, "i")

    def row(self, x: Emitter) -> None:
        """One row of the key whose state is loaded."""
        w, sink = self.w, self.sink
        self.remember(x)
        if sink.empty:
            with w.block("if t < since and since < until:"):
                self._begin()
        # The range cuts a window of one bucket; a sliding one also contains earlier points.
        inside = "t >= since" if sink.size == 1 else "bucket >= lowest and since < until"
        with w.block(f"if {inside}:"):
            self._begin()
            with w.block("for window in range(max(high + 1, low), bucket + 1):"):
                self._find("window")
                w.put("lane_rows[at] = 0")
                if sink.aggs:
                    w.put("free_count[0] -= 1\nlane_gid[at] = free[free_count[0]]")
                for j in range(len(self.held)):
                    w.put(f"lane_sh{j}[at] = ch{j}\nlane_shk{j}[at] = chk{j}")
            w.put("high = bucket")
            with w.block("for window in range(low, bucket + 1):"):
                self._find("window")
                w.put("lane_rows[at] += 1")
                if sink.aggs:
                    w.put("gid = lane_gid[at]")
                for j, a in enumerate(sink.aggs):
                    fold(w, x, j, a, "gid")

    def finish(self, x: Emitter) -> None:
        """The windows that begin before the end of the range."""
        last = f"bucket_number(until - 1, {self._bucket(x)})" if self.sink.empty else "high"
        with self.w.block(f"while live != 0 and low <= {last}:"):
            self._close(x, "number")


@dataclass(frozen=True)
class Segments(Sink):
    """Sink: sessions (``gap``) or calendar windows (``bucket``), with aggregates.

    A row where ``split`` is true starts a session. A window is ``size`` buckets long, and one starts at every bucket;
    ``empty`` adds windows without a row, from the key's first row on.

    Writes start (as time), end, count, open_left and open_right (sessions), the aggregates and the held columns; for
    windows, if needed, ``partial``: whether since, until or the stream's beginning cuts the window.
    """

    gap: int | None
    max_length: int | None
    bucket: Typed | None
    aggs: tuple[BoundAgg, ...]
    held: tuple[tuple[str, Typed], ...]
    split: Typed | None = None
    size: int = 1
    empty: bool = False
    partial: bool = False

    follows_keys = True
    rows_per_second = 130e6

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        yield from (e for e in (self.bucket, self.split) if e is not None)
        yield from (e for _, e in self.held)
        for a in self.aggs:
            yield from a.expressions()

    def emitter(self, w: SourceWriter) -> SegmentsEmitter | WindowsEmitter:
        """See Sink."""
        return WindowsEmitter(w, self) if self.size > 1 or self.empty else SegmentsEmitter(w, self)

    @property
    def aggregates(self) -> tuple[BoundAgg, ...]:
        """See Sink."""
        return self.aggs

    @property
    def held_columns(self) -> tuple[str, ...]:
        """See Sink."""
        return columns_in(self.held)

    def segmenting(self) -> Segments:
        """See Sink."""
        return self

    def looks_back(self, first: bool) -> Reach:
        """See Sink: everything, if the key's first point or the session's start decides."""
        if self.empty or self.max_length is not None or (self.held and not first):
            return None
        return self.gap or (extent_of(self.bucket, self.size) if self.bucket is not None and self.size > 1 else 0)

    def needs_before(self, needed: Reach, first: bool) -> Reach:
        """See Sink."""
        if needed is None or self.empty or self.bucket is None or (self.held and not first):
            return None
        return needed + extent_of(self.bucket, self.size)

    def memory(self) -> Memory | None:
        """See Sink: sessions cut by length depend on when theirs began, windows that slide on all points in them."""
        if self.max_length is not None or self.size > 1:
            return None
        return Memory(values=tuple(e for _, e in self.held))

    def describe(self) -> str:
        """See Sink."""
        what = "sessions" if self.gap is not None else f"windows of {self.size} buckets" if self.size > 1 else "windows"
        return f"{what}{', empty ones too,' if self.empty else ''} with {len(self.aggs)} aggregates"


def extent_of(bucket: Typed, size: int) -> int:
    """An upper bound of the length of a window of ``size`` buckets."""
    shown = size * (longest_bucket(str(bucket.option("every"))) - _DAY)
    # Clocks other than UTC may change within the window, by up to a day at either end.
    return shown if bucket.option("zone") == "UTC" else shown + 2 * _DAY


def segment_columns(
    b: Expressions, shape: Shape, aggs: NamedAggs, own: Mapping[str, Typed], flags: tuple[str, ...]
) -> tuple[tuple[BoundAgg, ...], dict[str, Type]]:
    """The aggregates of sessions or windows, and their columns: the aggregates, ``count`` and the ``flags``."""
    bound = b.aggregates(aggs, shape)
    columns: dict[str, Type] = {}
    for a in bound:
        if {"duration", "known"} & set(getattr(a.aggregate, "inputs", ())):
            raise b.fail(
                f"{a.name}: {a.aggregate.name} measures how long rows last, and windows and sessions take whole rows; "
                "group by a bucket, which cuts intervals: group_by(hour=df.time().truncate('1h'))"
            )
        if a.name in own or a.name in columns or a.name in ("count", *flags):
            raise b.fail(f"an aggregate cannot be named {a.name!r}, which this step uses for its own column")
        columns[a.name] = a.aggregate.result
    return bound, {**columns, "count": Type.INT, **dict.fromkeys(flags, Type.BOOL)}
