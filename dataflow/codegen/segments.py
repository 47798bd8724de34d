"""Sink for ``sessionize`` and ``window``: consecutive rows of a key, folded into one row each.

An open segment has a row ``gid`` in the arrays of its aggregates; when it closes, that row's number is written out,
and the caller finishes the aggregates there and gives the number back to the stack ``free``.
"""

from __future__ import annotations

from dataflow.codegen.emitter import Emitter, both
from dataflow.codegen.keyed import KeyedSink
from dataflow.codegen.sinks import fold, least, rooms
from dataflow.codegen.source import I8, U1, Writer, value_array
from dataflow.plan import Segments
from operators.types import Type


class SegmentsSink(KeyedSink):
    """Emits the per-row and the final code of a ``Segments`` sink."""

    def __init__(self, w: Writer, sink: Segments) -> None:
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
        """Load gap and longest length into locals, once."""
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
                    # The grid is that of the session, wherever the range begins.
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
                # A cut by length goes on with the grid of the session that it cuts.
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
        """The condition that the row starts a session, being ``apart`` from the one before or not."""
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
