"""The base of the emitters of funnels: moments, sessions, calendar buckets of entry, and when rows are written.

A *moment* is what has no order: a row in mode ``ordered``, the rows of one second in ``any``, else the rows of one
time. Its rows collect the steps and exclusions ``met``; when it has passed, they are settled all at once. What is known
of a key's attempts lies in local variables, or, with buckets of entry, in *lanes*: one for each bucket in which an
attempt that is still open may have started. Bucket number n is in lane n modulo the number of lanes.
"""

from __future__ import annotations

from abc import abstractmethod

from dataflow.codegen.emitter import Emitter
from dataflow.codegen.keyed_emitter import FlowEmitter
from dataflow.codegen.writer import I8, U1, SourceWriter, both
from dataflow.steps.funnels.attempts import Attempts

SECOND = 1_000_000


class AttemptsEmitter(FlowEmitter):
    """Emits the code of a ``Climb`` sink, but for what is known of attempts."""

    def __init__(self, w: SourceWriter, sink: Attempts) -> None:
        super().__init__(w, sink.held)
        self.sink = sink
        self.steps = len(sink.conditions)
        self.at_once = sink.mode == "ordered"
        self.by_bucket = sink.bucket is not None
        if not self.at_once:
            self.keep(("moment", I8), ("met", I8))
        if sink.gap is not None:
            self.keep(("going", U1), ("before", I8))
        if self.by_bucket:
            self.keep(("live", U1), ("low", I8), ("high", I8))
            w.arg("o_entry", I8, "out", "entry")
        w.arg("o_steps", I8, "out", "steps")
        for i in sink.times:
            w.arg(f"o_s{i}_v", I8, "out", f"step_{i}")
            w.arg(f"o_s{i}_k", U1, "out_valid", f"step_{i}")

    # ---- what is known of attempts

    @abstractmethod
    def settle_attempts(self) -> None:
        """Add the steps and exclusions ``met`` in this moment to the attempts; new ones start only if ``enters``."""

    @abstractmethod
    def write_attempt(self) -> None:
        """Write the attempt that got furthest as the row ``on``, but for the columns ``steps`` and ``entry``."""

    @abstractmethod
    def forget(self) -> None:
        """Forget all attempts."""

    def load_lane(self) -> None:
        """Load the state of the lane ``at``."""

    def store_lane(self) -> None:
        """Store the state of the lane ``at``."""

    @abstractmethod
    def clear_lane(self) -> None:
        """Make the lane ``at`` one without attempts."""

    @property
    def enters(self) -> str:
        """The condition that an attempt may start in what is being settled, as the end of a condition."""
        return " and lane == entered" if self.by_bucket else ""

    # ---- settling moments

    def constants(self, x: Emitter) -> None:
        """Load the lengths of windows into locals, once."""
        w, sink = self.w, self.sink
        if isinstance(sink.within, int):
            w.put(f"within = {x.integer(sink.within)}")
        else:
            for j, length in enumerate(sink.within, 1):
                w.put(f"within_{j} = {x.integer(length)}")
        if sink.gap is not None:
            w.put(f"gap = {x.integer(sink.gap)}")
        if self.by_bucket:
            w.put(f"longest = {x.integer(sink.longest)}\nlanes = {x.integer(sink.lanes)}\nulanes = np.uint64(lanes)")

    def _bucket(self, x: Emitter) -> str:
        assert self.sink.bucket is not None
        return x.bucket(self.sink.bucket.option("every"), self.sink.bucket.option("zone"), 1)

    def _settle(self, x: Emitter, back: str) -> None:
        """Settle this moment; where there is no room for a completed attempt, go ``back`` before it."""
        w = self.w
        with w.block("if met != 0:"):
            if self.sink.all_completed and back:
                self.room(back)
            if self.by_bucket:
                self._settle_lanes(x)
            else:
                self.settle_attempts()
            if self.sink.all_completed:
                with w.block(f"if top == {self.steps}:"):
                    # Its rows, and those before it, are used up.
                    self._write()
                    self.forget()
            w.put("met = np.int64(0)")

    def _find(self, lane: str) -> None:
        self.w.put(f"at = slot * ulanes + np.uint64({lane} - {lane} // lanes * lanes)")

    def _settle_lanes(self, x: Emitter) -> None:
        w = self.w
        # Only the calendar of times that may be the start of an attempt matters.
        w.put("entered = np.int64(0)")
        starts = f"met & {(1 << self.steps) - 1 if self.sink.mode == 'any_order' else 1} != 0"
        with w.block(f"if {starts}:"):
            w.put(f"entered = bucket_number(moment, {self._bucket(x)})")
            with w.block("if live == 0:"):
                w.put("live = np.uint8(1)\nlow = entered\nhigh = entered - 1")
            with w.block("for lane in range(high + 1, entered + 1):"):
                self._find("lane")
                self.clear_lane()
            w.put("high = entered")
        with w.block("if live != 0:"), w.block("for lane in range(low, high + 1):"):
            self._find("lane")
            self.load_lane()
            self.settle_attempts()
            self.store_lane()

    # ---- rows

    def _write(self) -> None:
        self.write_attempt()
        self.w.put("o_steps[on] = top\non += 1")

    def _write_best(self) -> None:
        with self.w.block("if top != 0:"):
            self._write()

    def _write_bucket(self, x: Emitter, back: str) -> None:
        """Write what the attempts that started in the bucket ``low`` came to, and go to the next."""
        w = self.w
        self.room(back)
        self._find("low")
        self.load_lane()
        with w.block("if top != 0:"):
            w.put(f"o_entry[on] = bucket_edge(low, {self._bucket(x)})")
            self._write()
        w.put("low += 1")

    def advance(self, x: Emitter) -> None:
        """Settle the previous moment, and write what ended before this row."""
        w, sink = self.w, self.sink
        now = "t"
        if not self.at_once:
            now = "now"
            w.put(f"now = t // {SECOND} * {SECOND}" if sink.mode == "any" else "now = t")
        apart = ""
        if sink.gap is not None:
            w.put("apart = going != 0 and t - before > gap")
            apart = " or apart"
        if not self.at_once:
            with w.block(f"if now != moment{apart}:"):
                self._settle(x, "i")
        if sink.gap is not None:
            with w.block("if apart:"):
                if not sink.all_completed:
                    self.room("i")
                    self._write_best()
                self.forget()
                w.put("going = np.uint8(0)")
        if self.by_bucket:
            with w.block("if live != 0:"):
                # Of a bucket, the last instant at which an attempt could start was too long ago.
                with w.block(f"while low <= high and {now} - bucket_edge(low + 1, {self._bucket(x)}) + 1 > longest:"):
                    self._write_bucket(x, "i")
                with w.block("if low > high:"):
                    w.put("live = np.uint8(0)")

    def row(self, x: Emitter) -> None:
        """One row of the key whose state is loaded."""
        w = self.w
        self.remember(x)
        with w.block("if t >= since:"), x.scope():
            w.put("moment = t\nmet = np.int64(0)" if self.at_once else "moment = now")
            for j, condition in enumerate((*self.sink.conditions, *(e.condition for e in self.sink.excluded))):
                v, k = x.emit(condition)
                with w.block(f"if {both(k, v)}:"):
                    w.put(f"met |= {1 << j}")
            if self.sink.gap is not None:
                w.put("going = np.uint8(1)\nbefore = t")
            if self.at_once:
                # Nothing else was written since there was room for a row.
                self._settle(x, "")

    def finish(self, x: Emitter) -> None:
        """The rows of one key."""
        w = self.w
        if not self.at_once:
            self._settle(x, "number")
        if self.by_bucket:
            with w.block("while live != 0 and low <= high:"):
                self._write_bucket(x, "number")
        elif not self.sink.all_completed:
            self._write_best()
