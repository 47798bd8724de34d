"""Sink for windows that slide, or that are there without a row, too.

Windows are numbered by the bucket that they start with; each is ``lanes`` buckets long, so at any time a key has at
most ``lanes`` open ones, ``low`` to ``high``, and the one numbered k is in lane k modulo ``lanes``. All of them end
in the order in which they began.
"""

from __future__ import annotations

from dataflow.codegen.emitter import Emitter
from dataflow.codegen.keyed import FlowSink
from dataflow.codegen.sinks import fold, rooms
from dataflow.codegen.source import I8, U1, Writer, value_array
from dataflow.plan import Segments
from operators.kernels.calendar import END, FIRST


class WindowsSink(FlowSink):
    """Emits the per-row and the final code of a ``Segments`` sink of such windows."""

    def __init__(self, w: Writer, sink: Segments) -> None:
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
        """Declare state that a key has for every lane."""
        self.w.arg(f"lane_{name}", array, "slot", f"lane_{name}", self.sink.size)

    def constants(self, x: Emitter) -> None:
        """Load the number of lanes, and of the first window that overlaps the range, into locals, once."""
        self.w.put(f"lanes = {x.integer(self.sink.size)}\nulanes = np.uint64(lanes)")
        begin = f"min(max(since, np.int64({FIRST})), np.int64({END - 1}))"
        self.w.put(f"lowest = bucket_number({begin}, {self._bucket(x)}) - lanes + 1")

    def _bucket(self, x: Emitter) -> str:
        assert self.sink.bucket is not None
        return x.bucket(self.sink.bucket.option("every"), self.sink.bucket.option("zone"), self.sink.size)

    def _find(self, window: str) -> None:
        """The place of a window's lane."""
        self.w.put(f"at = slot * ulanes + np.uint64({window} - {window} // lanes * lanes)")

    def _begin(self) -> None:
        """The key's first window: of those that hold the bucket and overlap the range, the earliest. None has a row
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
        """Write the windows that end by now."""
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
        # A window of one bucket is cut by the range; one that slides holds what lies before it, too.
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
