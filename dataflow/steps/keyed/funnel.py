"""``funnel``: how many steps each key met, in the window that starts last.

For every step there is one *chain*: the latest-started window that has met the step, and the times at which it met the
steps so far. A later start leaves more time and excludes nothing that an earlier one could still reach, so no other
window needs to be stored: K (K + 1) / 2 times for K steps, the highest step met, and, in the modes in which rows of one
time (or second) have no order, the steps that this *moment* has met.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dataflow.binding.typing import Expressions, Shape
from dataflow.codegen.emitter import Emitter
from dataflow.codegen.keyed_emitter import FlowEmitter
from dataflow.codegen.writer import I8, U1, SourceWriter, both, value_array
from dataflow.expressions.call_text import call, given
from dataflow.expressions.expr import Expr
from dataflow.expressions.node import operand, quoted
from dataflow.json import fields as json
from dataflow.plan.sink import Memory, NamedTyped, with_held
from dataflow.sinks.flow_sink import Flow
from dataflow.steps.keyed.keyed_step import KeyedRows, KeyedStep
from dataflow.times.durations import written_duration
from dataflow.typed.nodes import Typed
from operators.types import Type

SECOND = 1_000_000

FUNNEL_MODES = ("strict", "ordered", "any")

MAX_FUNNEL = 16
"""The maximum number of steps; each takes state per key."""


class FunnelEmitter(FlowEmitter):
    """Emits the code of a ``Climb`` sink."""

    def __init__(self, w: SourceWriter, sink: Climb) -> None:
        super().__init__(w, sink.held)
        self.sink = sink
        self.steps = len(sink.conditions)
        self.at_once = sink.mode == "ordered"
        self.keep(("top", U1))
        if not self.at_once:
            self.keep(("moment", I8), ("met", I8))
        for j in range(1, self.steps + 1):
            self.keep(*((f"c{j}_{i}", I8) for i in self._times(j)))
            for n, (_, e) in enumerate(sink.held):
                self.keep((f"sh{j}_{n}", value_array(e.type)), (f"shk{j}_{n}", U1))
        w.arg("o_steps", I8, "out", "steps")
        for i in sink.times:
            w.arg(f"o_s{i}_v", I8, "out", f"step_{i}")
            w.arg(f"o_s{i}_k", U1, "out_valid", f"step_{i}")

    def _times(self, j: int) -> list[int]:
        """The steps whose times chain ``j`` stores: the first, the last, and those in the output."""
        return [i for i in range(1, j + 1) if i in (1, j) or i in self.sink.times]

    def constants(self, x: Emitter) -> None:
        """Load the window's length into a local, once."""
        self.w.put(f"within = {x.integer(self.sink.within)}")

    def _settle(self) -> None:
        """Add the steps ``met`` in this moment to the chains."""
        w, first, further = self.w, [1], list(range(2, self.steps + 1))
        # Downwards from the last step a chain grows by one step at most; upwards by all steps of the moment.
        order = first + further if self.sink.mode == "any" else further[::-1] + first
        with w.block("if met != 0:"):
            for j in order:
                with w.block(f"if met & {1 << (j - 1)} != 0:"):
                    if j == 1:
                        self._begin()
                    else:
                        self._extend(j)
            w.put("met = np.int64(0)")

    def _begin(self) -> None:
        w = self.w
        with w.block("if top == 0 or moment > c1_1:"):
            w.put("c1_1 = moment\ntop = max(top, np.uint8(1))")
            for n in range(len(self.held)):
                w.put(f"sh1_{n} = ch{n}\nshk1_{n} = chk{n}")

    def _extend(self, j: int) -> None:
        w, i = self.w, j - 1
        better = f"top < {j} or c{i}_1 > c{j}_1"
        with w.block(f"if top >= {i} and moment - c{i}_1 <= within and ({better}):"):
            for step in self._times(j)[:-1]:
                w.put(f"c{j}_{step} = c{i}_{step}")
            w.put(f"c{j}_{j} = moment\ntop = max(top, np.uint8({j}))")
            for n in range(len(self.held)):
                w.put(f"sh{j}_{n} = sh{i}_{n}\nshk{j}_{n} = shk{i}_{n}")

    def advance(self, x: Emitter) -> None:
        """Settle the previous moment."""
        if not self.at_once:
            self.w.put(f"now = t // {SECOND} * {SECOND}" if self.sink.mode == "any" else "now = t")
            with self.w.block("if now != moment:"):
                self._settle()

    def row(self, x: Emitter) -> None:
        """One row of the key whose state is loaded."""
        w = self.w
        self.remember(x)
        with w.block("if t >= since:"), x.scope():
            w.put("moment = t\nmet = np.int64(0)" if self.at_once else "moment = now")
            for j, condition in enumerate(self.sink.conditions):
                v, k = x.emit(condition)
                with w.block(f"if {both(k, v)}:"):
                    w.put(f"met |= {1 << j}")
            if self.at_once:
                self._settle()

    def finish(self, x: Emitter) -> None:
        """The row of one key."""
        w = self.w
        if not self.at_once:
            self._settle()
        with w.block("if top != 0:"):
            for j in range(1, self.steps + 1):
                with w.block(f"if top == {j}:"):
                    w.put(f"o_time[on] = c{j}_1\no_end[on] = c{j}_{j}")
                    for i in self.sink.times:
                        w.put(f"o_s{i}_v[on] = {f'c{j}_{i}' if i <= j else 0}\no_s{i}_k[on] = {int(i <= j)}")
                    self.write_held(f"sh{j}_", f"shk{j}_")
            w.put("o_steps[on] = top\non += 1")


@dataclass(frozen=True)
class Climb(Flow):
    """Funnels: one row per key that met the first of ``conditions``.

    Writes start (as time), end, ``steps`` and, for the steps in ``times``, when each was met (``step_i``).
    """

    conditions: tuple[Typed, ...]
    within: int
    mode: str
    times: tuple[int, ...]

    once_a_key = True

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        yield from self.conditions
        yield from super().expressions()

    def memory(self) -> Memory:
        """See Sink: only points of the range count."""
        return Memory(values=tuple(e for _, e in self.held), rows=False)

    def emitter(self, w: SourceWriter) -> FunnelEmitter:
        """See Sink."""
        return FunnelEmitter(w, self)

    def describe(self) -> str:
        """See Sink."""
        n = len(self.conditions)
        return with_held(f"a funnel of {n} steps, {self.mode}, within {self.within / 1e6:g} s", self.held)


@dataclass(frozen=True, eq=False)
class Funnel(KeyedStep, op="funnel"):
    """How many of ``steps`` each key met, within ``within`` microseconds of the first."""

    steps: tuple[Expr, ...] = json.expressions(2, MAX_FUNNEL)
    within: int = json.length()
    mode: str = json.choice(*FUNNEL_MODES)

    def rows(self, b: Expressions, shape: Shape, own: Mapping[str, Typed]) -> KeyedRows:
        """See KeyedStep."""
        conditions = tuple(b.condition(e, shape, f"step {i + 1} of the funnel") for i, e in enumerate(self.steps))
        b.fix_all(conditions, shape)
        later = range(2, len(conditions) + 1)

        def sink(held: NamedTyped, needed: set[str]) -> Climb:
            return Climb(held, conditions, self.within, self.mode, tuple(i for i in later if f"step_{i}" in needed))

        return KeyedRows("funnels", {"steps": Type.INT} | {f"step_{i}": Type.TIME for i in later}, sink, {})

    def calls(self) -> list[str]:
        """See Step."""
        steps = f"[{', '.join(map(operand, self.steps))}]"
        options = given({"mode": (self.mode, "strict")})
        return [call("funnel", [steps, quoted(written_duration(self.within)), *options])]
