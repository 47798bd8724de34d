"""``sequence`` (``variants`` groups it): the values of each key in their order, as one text.

The state of a key is the number of its sequence so far: a table numbers each pair of a sequence and one more value. So
it is constant, and keys that begin alike share what they have in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dataflow.binding.typing import Expressions, Shape
from dataflow.codegen.emitter import Emitter
from dataflow.codegen.keyed_emitter import FlowEmitter
from dataflow.codegen.memory import word_of
from dataflow.codegen.writer import I8, U1, PairUse, SourceWriter, value_array
from dataflow.expressions.aggregate_calls import column_or
from dataflow.expressions.call_text import call, given
from dataflow.expressions.expr import Expr
from dataflow.json import fields as json
from dataflow.plan.sink import JoinedValues, Memory, with_held
from dataflow.sinks.flow_sink import Flow
from dataflow.steps.keyed.keyed_step import KeyedRows, KeyedStep
from dataflow.typed.nodes import Typed
from operators.types import Type

VARIANT = "variant"

MAX_SEQUENCE, USUAL_SEQUENCE = 1000, 100
"""The maximum of ``length``, and its default."""


class SequenceEmitter(FlowEmitter):
    """Emits the code of a ``ValuesInOrder`` sink."""

    advances = False

    def __init__(self, w: SourceWriter, sink: ValuesInOrder) -> None:
        super().__init__(w, sink.held)
        self.sink = sink
        self.keep(("node", I8), ("count", I8), ("first", I8), ("final", I8))
        for j, (_, e) in enumerate(sink.held):
            self.keep((f"sh{j}", value_array(e.type)), (f"shk{j}", U1))
        w.arg("o_count", I8, "out", "count")
        w.arg("o_node", I8, "out", "$node")
        w.arg("o_cut", I8, "out", "$cut")

    def constants(self, x: Emitter) -> None:
        """Load the greatest length into a local, once."""
        self.w.put(f"length = {x.integer(self.sink.length)}")

    def row(self, x: Emitter) -> None:
        """One row of the key whose state is loaded."""
        w = self.w
        self.remember(x)
        with w.block("if t >= since:"), x.scope():
            value, k = word_of(x, self.sink.of)
            table = w.pairs("sequences", PairUse())
            with w.block(f"if {k}:"):
                with w.block("if count == 0:"):
                    w.put("first = t")
                    for j in range(len(self.held)):
                        w.put(f"sh{j} = ch{j}\nshk{j} = chk{j}")
                with w.block("if count < length:"):
                    w.put(f"sequences_words[0] = node\nsequences_words[1] = {value}")
                    w.put(f"node = find_group({table}) + 1")
                w.put("count += 1\nfinal = t")

    def finish(self, x: Emitter) -> None:
        """The row of one key."""
        w = self.w
        with w.block("if count != 0:"):
            w.put("o_time[on] = first\no_end[on] = final\no_count[on] = count")
            w.put("o_node[on] = node\no_cut[on] = np.int64(count > length)")
            self.write_held("sh", "shk")
            w.put("on += 1")


@dataclass(frozen=True)
class ValuesInOrder(Flow):
    """Sequences: one row per key that reported a value in the range. Writes start (as time), end, ``count`` and, joined
    to a text after the kernel, ``variant``."""

    of: Typed
    length: int

    once_a_key = True
    rows_per_second = 40e6

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        yield self.of
        yield from super().expressions()

    def memory(self) -> Memory:
        """See Sink: only points of the range count."""
        return Memory(values=tuple(e for _, e in self.held), rows=False)

    def joined(self) -> JoinedValues:
        """See Sink."""
        assert self.of.type is not None
        return JoinedValues(VARIANT, self.of.type, "sequences", "$node", "$cut")

    def emitter(self, w: SourceWriter) -> SequenceEmitter:
        """See Sink."""
        return SequenceEmitter(w, self)

    def describe(self) -> str:
        """See Sink."""
        return with_held(f"sequences of at most {self.length:,} values", self.held)


@dataclass(frozen=True, eq=False)
class ValueSequence(KeyedStep, op="sequence"):
    """The values of ``of`` of each key in their order; of more than ``length`` the first ones."""

    of: Expr = json.expression()
    length: int = json.whole(1, MAX_SEQUENCE, USUAL_SEQUENCE)

    def rows(self, b: Expressions, shape: Shape, own: Mapping[str, Typed]) -> KeyedRows:
        """See KeyedStep."""
        value = b.typed(self.of, shape)
        if value.type is None:
            raise b.fail("the values are always null, so they have no type")
        b.fix_all([value], shape)
        columns = {VARIANT: Type.STRING, "count": Type.INT}
        return KeyedRows("sequences", columns, lambda held, _: ValuesInOrder(held, value, self.length), {})

    def calls(self) -> list[str]:
        """See Step."""
        return [call("sequence", [column_or(self.of), *given({"length": (self.length, USUAL_SEQUENCE)})])]
