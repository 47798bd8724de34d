"""``subpaths`` (``paths`` with a length groups them): the stretches of a key's path of a length, from or to a value.

The state per key is its last ``length`` values, which of them begin a stretch, and the first one's time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dataflow.binding.typing import Expressions, Shape
from dataflow.codegen.emitter import Emitter
from dataflow.codegen.keyed_emitter import FlowEmitter
from dataflow.codegen.memory import word_of
from dataflow.codegen.writer import I8, Codes, PairUse, SourceWriter, both
from dataflow.expressions.aggregate_calls import column_or
from dataflow.expressions.call_text import call, given
from dataflow.expressions.expr import Expr, col
from dataflow.expressions.node import operand
from dataflow.json import fields as json
from dataflow.plan.sink import JoinedValues, Reach, with_held
from dataflow.sinks.flow_sink import Flow
from dataflow.steps.keyed.keyed_step import KeyedRows, KeyedStep
from dataflow.typed.nodes import Typed
from operators.types import Type

PATH = "path"

MAX_PATH, USUAL_PATH = 16, 3
"""The maximum of ``length``, and its default; each value takes state per key."""


class SubpathsEmitter(FlowEmitter):
    """Emits the code of a ``Stretches`` sink.

    ``value0`` is the last value, ``value1`` the one before; ``many`` counts those of the path, up to ``length``; bit j
    of ``starts`` says that ``value{j}`` begins a stretch.
    """

    def __init__(self, w: SourceWriter, sink: Stretches) -> None:
        super().__init__(w, sink.held)
        self.sink = sink
        self.table = w.pairs("sequences", PairUse(sink.length, stops=True))
        self.full = f"on + 1 > cap or sequences_used[0] + {sink.length} > sequences_keys.shape[0]"
        kind = Codes(I8) if sink.of.type is Type.STRING else I8
        for j in range(sink.length):
            self.keep((f"value{j}", kind), (f"time{j}", I8))
        self.keep(("many", I8), ("starts", I8))
        w.arg("o_count", I8, "out", "count")
        w.arg("o_after", I8, "out", "after")
        w.arg("o_node", I8, "out", "$node")

    def constants(self, x: Emitter) -> None:
        """Load the gap into a local, once."""
        if self.sink.gap is not None:
            self.w.put(f"gap = {x.integer(self.sink.gap)}")

    def _write(self, time: str, size: str) -> None:
        """The stretch of the last ``size`` values, at a time."""
        w = self.w
        w.put("node = np.int64(0)\nbegan = np.int64(0)")
        for j in reversed(range(self.sink.length)):
            with w.block(f"if {size} > {j}:"):
                with w.block(f"if {size} == {j + 1}:"):
                    w.put(f"began = time{j}")
                w.put(f"sequences_words[0] = node\nsequences_words[1] = value{j}")
                w.put(f"node = find_group({self.table}) + 1")
        w.put(f"o_time[on] = {time}\no_end[on] = {time}\no_count[on] = {size}\no_after[on] = {time} - began")
        w.put("o_node[on] = node")
        self.write_held()
        w.put("on += 1")

    def _leave(self, now: str, back: str) -> None:
        """End a path that was not continued by ``now``: stretches that have begun are shorter than others."""
        if self.sink.gap is None:
            return
        w = self.w
        with w.block(f"if many != 0 and time0 + gap < {now}:"):
            if self.sink.begins is not None and self.sink.ends is None:
                with w.block("if time0 + gap >= since:"):
                    for j in reversed(range(self.sink.length - 1)):
                        with w.block(f"if starts & {1 << j} != 0:"):
                            self.room(back, self.full)
                            self._write("(time0 + gap)", str(j + 1))
                            w.put(f"starts &= ~np.int64({1 << j})")
            w.put("many = starts = np.int64(0)")

    def advance(self, x: Emitter) -> None:
        """End the previous path, if this row comes too late for it."""
        self._leave("t", "i")

    def row(self, x: Emitter) -> None:
        """One row of the key whose state is loaded."""
        w, sink = self.w, self.sink
        self.remember(x)
        value, k = word_of(x, sink.of)
        begins = None if sink.begins is None else both(*reversed(x.emit(sink.begins)))
        ends = None if sink.ends is None else both(*reversed(x.emit(sink.ends)))
        with w.block(f"if {k}:"):
            for j in reversed(range(1, sink.length)):
                w.put(f"value{j} = value{j - 1}\ntime{j} = time{j - 1}")
            w.put(f"value0 = {value}\ntime0 = t\nmany = min(many + 1, np.int64({sink.length}))")
            if begins is not None:
                w.put(f"starts = (starts << 1) & {(1 << sink.length) - 1}")
            if begins is None:
                with w.block(f"if t >= since and {'many == ' + str(sink.length) if ends is None else ends}:"):
                    self._write("t", "many")
            elif ends is None:
                with w.block(f"if {begins}:"):
                    w.put("starts |= 1")
                with w.block(f"if starts & {1 << (sink.length - 1)} != 0 and t >= since:"):
                    self._write("t", str(sink.length))
            else:
                with w.block(f"if {ends}:"):
                    w.put("size = np.int64(0)")
                    # The earliest start is the last that is looked at.
                    for j in range(1, sink.length):
                        with w.block(f"if starts & {1 << j} != 0:"):
                            w.put(f"size = np.int64({j + 1})")
                    with w.block("if size != 0 and t >= since:"):
                        self._write("t", "size")
                    w.put("starts = np.int64(0)")
                with w.block(f"elif {begins}:"):
                    w.put("starts |= 1")

    def finish(self, x: Emitter) -> None:
        """End the path if it ends within the range."""
        self._leave("until", "number")


@dataclass(frozen=True)
class Stretches(Flow):
    """Subpaths: one row per stretch of a path. Writes the time at which it is complete, ``count``, ``after`` (the time
    since its first value) and, joined to a text after the kernel, ``path``."""

    of: Typed
    length: int
    gap: int | None
    begins: Typed | None
    ends: Typed | None

    has_length = False
    rows_per_second = 20e6

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        yield from (e for e in (self.of, self.begins, self.ends) if e is not None)
        yield from super().expressions()

    @property
    def history(self) -> int | None:
        """The gaps between its values."""
        return None if self.gap is None else self.gap * self.length

    def needs_before(self, needed: Reach, first: bool) -> Reach:
        """See Sink."""
        own = self.history
        return None if needed is None or own is None or (self.held and not first) else needed + own

    def joined(self) -> JoinedValues:
        """See Sink."""
        assert self.of.type is not None
        return JoinedValues(PATH, self.of.type, "sequences", "$node")

    def emitter(self, w: SourceWriter) -> SubpathsEmitter:
        """See Sink."""
        return SubpathsEmitter(w, self)

    def describe(self) -> str:
        """See Sink."""
        apart = "" if self.gap is None else f", apart after {self.gap / 1e6:g} s"
        return with_held(f"paths of {self.length} values{apart}", self.held)


@dataclass(frozen=True, eq=False)
class Subpaths(KeyedStep, op="subpaths"):
    """The stretches of ``length`` values of ``of`` in each key's path, from where ``start`` holds, or to where ``end``
    does."""

    of: Expr = json.expression()
    length: int = json.whole(2, MAX_PATH)
    gap: int | None = json.optional_length()
    start: Expr | None = json.optional_expression()
    end: Expr | None = json.optional_expression()

    has_length = False
    looks_back = True

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
        begins = None if self.start is None else b.condition(self.start, shape, "start")
        ends = None if self.end is None else b.condition(self.end, shape, "end")
        b.fix_all([e for e in (value, begins, ends) if e is not None], shape)
        columns = {PATH: Type.STRING, "count": Type.INT, "after": Type.DURATION}
        length, gap = self.length, self.gap
        return KeyedRows("transitions", columns, lambda held, _: Stretches(held, value, length, gap, begins, ends), {})

    def calls(self) -> list[str]:
        """See Step."""
        edges = [f"{n}={operand(e)}" for n, e in (("start", self.start), ("end", self.end)) if e is not None]
        options = given({"length": (self.length, USUAL_PATH), "gap": (self.gap, None)})
        return [call("subpaths", [column_or(self.of), *options, *edges])]
