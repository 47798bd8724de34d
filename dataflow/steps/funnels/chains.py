"""Funnels whose steps are met in their order.

For every step there is one *chain*: the attempt that started last of those that met the step, and the times at which it
met the steps so far. A later start leaves more time and excludes nothing that an earlier one could still reach: it met
every step at the same time or later, so it has at least as long for the next, and a row that ends it also ends the
earlier one, or came before it met the step. So no other attempt needs to be stored: K (K + 1) / 2 times for K steps,
the highest step met, whether an excluded row has ended the chain, and, in the modes in which rows of one time (or
second) have no order, what this moment has met. Where they have one, attempts may start at one time, and a bit for each
chain says whether its attempt started later than that of the next chain.
"""

from __future__ import annotations

from contextlib import nullcontext

from dataflow.codegen.writer import I8, U1, SourceWriter, value_array
from dataflow.steps.funnels.attempts import Attempts
from dataflow.steps.funnels.attempts_emitter import AttemptsEmitter


class ChainsEmitter(AttemptsEmitter):
    """Emits the code of a ``Climb`` sink with steps in order."""

    def __init__(self, w: SourceWriter, sink: Attempts) -> None:
        super().__init__(w, sink)
        self.ends = sorted({j for e in sink.excluded for j in range(e.after, e.before)})
        """The steps after which an excluded row may end an attempt."""

        self.chains: list[str] = []
        self._chain("top", U1)
        if self.at_once:
            self._chain("later", I8)
        for j in range(1, self.steps + 1):
            for i in self._times(j):
                self._chain(f"c{j}_{i}", I8)
            if j in self.ends:
                self._chain(f"ended{j}", U1)
            for n, (_, e) in enumerate(sink.held):
                self._chain(f"sh{j}_{n}", value_array(e.type))
                self._chain(f"shk{j}_{n}", U1)

    def _chain(self, name: str, array: str) -> None:
        """Declare a local variable of the chains."""
        self.chains.append(name)
        if self.by_bucket:
            self.w.arg(f"lane_{name}", array, "slot", f"lane_{name}", self.sink.lanes)
        else:
            self.keep((name, array))

    def _times(self, j: int) -> list[int]:
        """The steps whose times chain ``j`` stores: the first, the last, those in the output, and, where several steps
        may be met in one moment, those after which rows are excluded."""
        more = {e.after for e in self.sink.excluded} if self.sink.mode == "any" else set()
        return [i for i in range(1, j + 1) if i in (1, j) or i in self.sink.times or i in more]

    def settle_attempts(self) -> None:
        """See AttemptsEmitter."""
        upwards = self.sink.mode == "any"
        first, further = [1], list(range(2, self.steps + 1))
        # Downwards from the last step a chain grows by one step at most; upwards by all steps of the moment.
        for j in first + further if upwards else further[::-1] + first:
            if not upwards:
                # Now the chain is still what it was before this moment, so the excluded row comes after its last step.
                self._end(j, [x for x, e in enumerate(self.sink.excluded) if e.after == j])
            with self.w.block(f"if met & {1 << (j - 1)} != 0{self.enters if j == 1 else ''}:"):
                if j == 1:
                    self._begin()
                else:
                    self._extend(j)
            if not upwards:
                self._end(j, [x for x, e in enumerate(self.sink.excluded) if e.after < j < e.before])
        for j in self.ends if upwards else ():
            for x, e in enumerate(self.sink.excluded):
                if e.after <= j < e.before:
                    self._end(j, [x], f" and c{j}_{e.after} < moment")

    def _end(self, j: int, excluded: list[int], later: str = "") -> None:
        """End chain ``j`` if this moment has a row of one of these exclusions."""
        if excluded:
            with self.w.block(f"if met & {sum(1 << (self.steps + x) for x in excluded)} != 0{later}:"):
                self.w.put(f"ended{j} = np.uint8(1)")

    def _begin(self) -> None:
        w = self.w
        # A row of its own always starts later than those before it, also at the same time.
        with nullcontext() if self.at_once else w.block("if top == 0 or moment > c1_1:"):
            if self.at_once:
                w.put("later |= 1")
            w.put("c1_1 = moment\ntop = max(top, np.uint8(1))")
            if 1 in self.ends:
                w.put("ended1 = np.uint8(0)")
            for n in range(len(self.held)):
                w.put(f"sh1_{n} = ch{n}\nshk1_{n} = chk{n}")

    def _extend(self, j: int) -> None:
        w, i = self.w, j - 1
        later = f"later & {1 << (i - 1)} != 0" if self.at_once else f"c{i}_1 > c{j}_1"
        whole = isinstance(self.sink.within, int)
        near = f"moment - c{i}_1 <= within" if whole else f"moment - c{i}_{i} <= within_{i}"
        goes_on = f" and ended{i} == 0" if i in self.ends else ""
        with w.block(f"if top >= {i} and {near}{goes_on} and (top < {j} or {later}):"):
            for step in self._times(j)[:-1]:
                w.put(f"c{j}_{step} = c{i}_{step}")
            if self.at_once:
                w.put(f"later = later & ~np.int64({1 << (i - 1)}) | {1 << (j - 1)}")
            w.put(f"c{j}_{j} = moment\ntop = max(top, np.uint8({j}))")
            if j in self.ends:
                w.put(f"ended{j} = np.uint8(0)")
            for n in range(len(self.held)):
                w.put(f"sh{j}_{n} = sh{i}_{n}\nshk{j}_{n} = shk{i}_{n}")

    def write_attempt(self) -> None:
        """See AttemptsEmitter."""
        w = self.w
        for j in [self.steps] if self.sink.all_completed else range(1, self.steps + 1):
            with w.block(f"if top == {j}:"):
                w.put(f"o_time[on] = c{j}_1\no_end[on] = c{j}_{j}")
                for i in self.sink.times:
                    w.put(f"o_s{i}_v[on] = {f'c{j}_{i}' if i <= j else 0}\no_s{i}_k[on] = {int(i <= j)}")
                self.write_held(f"sh{j}_", f"shk{j}_")

    def forget(self) -> None:
        """See AttemptsEmitter."""
        self.w.put("top = np.uint8(0)")

    def load_lane(self) -> None:
        """See AttemptsEmitter."""
        self.w.put("\n".join(f"{name} = lane_{name}[at]" for name in self.chains))

    def store_lane(self) -> None:
        """See AttemptsEmitter."""
        self.w.put("\n".join(f"lane_{name}[at] = {name}" for name in self.chains))

    def clear_lane(self) -> None:
        """See AttemptsEmitter."""
        self.w.put("lane_top[at] = np.uint8(0)")
