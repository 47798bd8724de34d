"""``transitions``: each key's changes from one value to the next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dataflow.binding.typing import Expressions, Shape
from dataflow.codegen.emitter import Emitter
from dataflow.codegen.keyed_emitter import FlowEmitter
from dataflow.codegen.writer import I8, U1, SourceWriter, value_array
from dataflow.expressions.aggregate_calls import column_or
from dataflow.expressions.call_text import call, given
from dataflow.expressions.expr import Expr, col
from dataflow.json import fields as json
from dataflow.plan.sink import Memory, Reach, with_held
from dataflow.sinks.flow_sink import Flow
from dataflow.steps.keyed.keyed_step import KeyedRows, KeyedStep
from dataflow.typed.nodes import Typed
from operators.types import Type


class TransitionsEmitter(FlowEmitter):
    """Emits the code of a ``Moves`` sink."""

    def __init__(self, w: SourceWriter, sink: Moves) -> None:
        super().__init__(w, sink.held)
        self.sink = sink
        array = value_array(sink.of.type)
        self.keep(("on_path", U1), ("at", array), ("since_when", I8))
        for name in ("from", "to"):
            w.arg(f"o_{name}_v", array, "out", name)
            w.arg(f"o_{name}_k", U1, "out_valid", name)
        w.arg("o_after_v", I8, "out", "after")
        w.arg("o_after_k", U1, "out_valid", "after")

    def constants(self, x: Emitter) -> None:
        """Load the gap into a local, once."""
        if self.sink.gap is not None:
            self.w.put(f"gap = {x.integer(self.sink.gap)}")

    def _write(self, time: str, to: str, arrives: int) -> None:
        w = self.w
        w.put(f"o_time[on] = {time}\no_end[on] = {time}")
        w.put("o_from_v[on] = at if on_path != 0 else 0\no_from_k[on] = on_path")
        w.put(f"o_to_v[on] = {to}\no_to_k[on] = {arrives}")
        w.put(f"o_after_v[on] = {time} - since_when if on_path != 0 else 0\no_after_k[on] = on_path")
        self.write_held()
        w.put("on += 1")

    def _leave(self, now: str, back: str) -> None:
        """End a path that was not continued by ``now``."""
        if self.sink.gap is None:
            return
        w = self.w
        with w.block(f"if on_path != 0 and since_when + gap < {now}:"):
            with w.block("if since_when + gap >= since:"):
                self.room(back)
                self._write("(since_when + gap)", "0", 0)
            w.put("on_path = np.uint8(0)")

    def advance(self, x: Emitter) -> None:
        """End the previous path, if this row comes too late for it."""
        self._leave("t", "i")

    def row(self, x: Emitter) -> None:
        """One row of the key whose state is loaded."""
        w = self.w
        self.remember(x)
        v, k = x.emit(self.sink.of)
        v = f"np.int64({v})" if self.sink.of.type is not Type.FLOAT else v
        with w.block(f"if {k}:"):
            with w.block("if t >= since:"):
                self._write("t", v, 1)
            w.put(f"at = {v}\nsince_when = t\non_path = np.uint8(1)")

    def finish(self, x: Emitter) -> None:
        """End the path if it ends within the range."""
        self._leave("until", "number")


@dataclass(frozen=True)
class Moves(Flow):
    """Transitions: one row per pair of consecutive values of a key. Writes ``from``, ``to`` and ``after``."""

    of: Typed
    gap: int | None

    has_length = False
    rows_per_second = 40e6

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        yield self.of
        yield from super().expressions()

    def memory(self) -> Memory:
        """See Sink."""
        return Memory((self.of,), tuple(e for _, e in self.held))

    @property
    def history(self) -> int | None:
        """The gap: the last value before the range, if it is recent enough."""
        return self.gap

    def emitter(self, w: SourceWriter) -> TransitionsEmitter:
        """See Sink."""
        return TransitionsEmitter(w, self)

    def describe(self) -> str:
        """See Sink."""
        what = "transitions" if self.gap is None else f"transitions, apart after {self.gap / 1e6:g} s"
        return with_held(what, self.held)

    def needs_before(self, needed: Reach, first: bool) -> Reach:
        """See Sink."""
        return None if needed is None or self.gap is None or (self.held and not first) else needed + self.gap


@dataclass(frozen=True, eq=False)
class Transitions(KeyedStep, op="transitions"):
    """From each value of a key to its next, at most ``gap`` microseconds later."""

    of: Expr = json.expression()
    gap: int | None = json.optional_length()

    has_length = False

    @property
    def drill_columns(self) -> tuple[str, ...]:
        """See Step."""
        return ("after",)

    def earliest(self) -> list[Expr]:
        """See Step."""
        return [Expr("time") - col("after")]

    def rows(self, b: Expressions, shape: Shape, own: Mapping[str, Typed]) -> KeyedRows:
        """See KeyedStep."""
        value = b.typed(self.of, shape)
        if value.type is None:
            raise b.fail("the values are always null, so they have no type")
        b.fix_all([value], shape)
        columns = {"from": value.type, "to": value.type, "after": Type.DURATION}
        return KeyedRows("transitions", columns, lambda held, _: Moves(held, value, self.gap), {})

    def calls(self) -> list[str]:
        """See Step."""
        return [call("transitions", [column_or(self.of), *given({"gap": (self.gap, None)})])]
