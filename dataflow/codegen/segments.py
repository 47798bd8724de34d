"""Sink for ``sessionize`` and ``window``: consecutive rows of a key, folded into one row each.

An open segment has a row ``gid`` in the arrays of its aggregates; when it closes, that row's number is written out,
and the caller finishes the aggregates there and gives the number back to the stack ``free``.
"""

from __future__ import annotations

from dataflow.codegen.expressions import Expressions
from dataflow.codegen.sinks import fold, room_check
from dataflow.codegen.source import I8, OUT_ROWS, OUT_RUNS, U1, Writer, value_array
from dataflow.plan import Segments
from operators.types import Type


class SegmentsSink:
    """Emits the per-row and the final code of a ``Segments`` sink."""

    def __init__(self, w: Writer, sink: Segments) -> None:
        self.w, self.sink = w, sink
        self.session = sink.bucket is None
        full = ["on + 1 > cap"]
        self.locals: list[tuple[str, str]] = [("open", U1), ("first", I8), ("final", I8), ("rows", I8)]
        if self.session:
            self.locals += [("gap0", I8), ("before", I8), ("past", U1), ("left", U1)]
        if sink.aggs:
            self.locals.append(("gid", I8))
            w.arg("free", I8, "free")
            w.arg("free_count", I8, "free_count")
            w.arg("o_gid", I8, "out_gid")
            full += ["free_count[0] < 1", *room_check(sink.aggs, w)]
        self.full = " or ".join(full)
        for j, (_, e) in enumerate(sink.held):
            self.locals += [
                (f"sh{j}", value_array(e.type)),
                (f"ch{j}", value_array(e.type)),
                (f"shk{j}", U1),
                (f"chk{j}", U1),
            ]
        for name, array in self.locals:
            w.arg(f"z_{name}", array, "slot", f"z_{name}")
        w.arg("o_time", I8, "out_time")
        w.arg("o_end", I8, "out", "$end")
        w.arg("o_count", I8, "out", "count")
        if self.session:
            w.arg("o_left", I8, "out", "open_left")
            w.arg("o_right", I8, "out", "open_right")
        for j, (name, e) in enumerate(sink.held):
            w.arg(f"oh{j}_v", value_array(e.type), "out", name)
            w.arg(f"oh{j}_k", U1, "out_valid", name)
        w.arg("o_slot", "i8[::1]", "out_slot")
        w.arg("o_len", I8, "out_len")

    def constants(self, x: Expressions) -> None:
        """Load gap and longest length into locals, once."""
        if self.session:
            self.w.put(f"gap = {x.integer(self.sink.gap or 0)}")
            if self.sink.max_length is not None:
                self.w.put(f"longest = {x.integer(self.sink.max_length)}")

    def load(self) -> None:
        """Per-key state into locals."""
        for name, _ in self.locals:
            self.w.put(f"{name} = z_{name}[slot]")
        self.w.put("base = on")

    def store(self) -> None:
        """Locals back, and the run of output rows closed."""
        for name, _ in self.locals:
            self.w.put(f"z_{name}[slot] = {name}")
        self.close_run()

    def close_run(self) -> None:
        """End the run of output rows of this key."""
        w = self.w
        with w.block("if on > base:"):
            w.put("o_slot[orun] = slot\no_len[orun] = on - base\norun += 1")
        w.put(f"s[{OUT_ROWS}] = on\ns[{OUT_RUNS}] = orun")

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

    def row(self, x: Expressions) -> None:
        """One row of the key whose state is loaded."""
        w, sink = self.w, self.sink
        for j, (_, e) in enumerate(sink.held):
            v, k = x.emit(e)
            v = f"np.int64({v})" if e.type is not Type.FLOAT else v
            with w.block(f"if {k}:"):
                w.put(f"ch{j} = {v}\nchk{j} = np.uint8(1)")
        if self.session:
            with w.block("if t < since:"):
                w.put("before = t\npast = np.uint8(1)")
        w.put("if t >= since:")
        w.depth += 1
        if self.session:
            cut = ""
            if sink.max_length is not None:
                cut = " or (t - gap0) // longest != (first - gap0) // longest"
            with w.block(f"if open != 0 and (t - final > gap{cut}):"):
                self._close("0")
            with w.block("if open == 0:"):
                # A cut by length goes on with the grid of the session that it cuts.
                with w.block("if rows == 0 or t - final > gap:"):
                    w.put("gap0 = t\nleft = np.uint8(rows == 0 and past != 0 and t - before <= gap)")
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

    def _start(self, start: str) -> None:
        w = self.w
        w.put(f"open = np.uint8(1)\nfirst = {start}\nrows = np.int64(0)")
        if self.sink.aggs:
            w.put("free_count[0] -= 1\ngid = free[free_count[0]]")
        for j in range(len(self.sink.held)):
            w.put(f"sh{j} = ch{j}\nshk{j} = chk{j}")

    def finish(self) -> None:
        """Close the key's open segment at the end of the range."""
        with self.w.block("if open != 0:"):
            self._close("np.int64(until - final <= gap)" if self.session else "0")
