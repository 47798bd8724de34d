"""``intervals``: points that say themselves how long they last, as intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dataflow.binding.typing import Expressions, Shape
from dataflow.codegen.emitter import Emitter
from dataflow.codegen.keyed_emitter import KeyedEmitter
from dataflow.codegen.writer import I8, SourceWriter
from dataflow.expressions.aggregate_calls import column_or
from dataflow.expressions.call_text import call, given, length_text
from dataflow.expressions.expr import Expr
from dataflow.json import fields as json
from dataflow.plan.sink import NamedTyped, Reach, Sink
from dataflow.steps.base import INTERVALS
from dataflow.steps.keyed.keyed_step import KeyedRows, KeyedStep
from dataflow.typed.hidden_columns import KNOWN
from dataflow.typed.nodes import Typed
from operators.types import Type


class RowIntervalsEmitter(KeyedEmitter):
    """Emits the code of a ``RowIntervals`` sink."""

    at_end = 0

    def __init__(self, w: SourceWriter, sink: RowIntervals) -> None:
        super().__init__(w, sink.columns)
        self.sink = sink
        w.arg("o_known", I8, "out", "$known")

    def constants(self, x: Emitter) -> None:
        """Load the greatest length into a local, once."""
        if self.sink.longest is not None:
            self.w.put(f"longest = {x.integer(self.sink.longest)}")

    def row(self, x: Emitter) -> None:
        """One point, from its time to its end, cut to the range; nothing if it is empty."""
        w, sink = self.w, self.sink
        v, k = x.emit(sink.end)
        # A length may reach beyond all times.
        end = v if sink.end.type is Type.TIME else f"(until if {v} >= until - t else t + {v})"
        w.put(f"hi = min({end}, until) if {k} else until")
        if sink.longest is not None:
            w.put("hi = min(hi, t + longest)")
        w.put("lo = max(t, since)")
        with w.block("if lo < hi:"):
            w.put("o_time[on] = lo\no_end[on] = hi\no_known[on] = 1")
            for j, (_, e) in enumerate(sink.columns):
                value, valid = x.emit(e)
                w.put(f"oh{j}_v[on] = {value}\noh{j}_k[on] = {valid}")
            w.put("on += 1")


@dataclass(frozen=True)
class RowIntervals(Sink):
    """Sink: an interval of each point, from its time to ``end`` (a time, or a length), at most ``longest`` microseconds
    long; without an end it goes on. The intervals of a key may overlap."""

    columns: NamedTyped
    end: Typed
    longest: int | None

    follows_keys = True
    gathers = False
    writes_every_row = True
    closes = False
    cuts_at_end = True
    overlaps = True
    rows_per_second = 80e6

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        yield self.end
        yield from (e for _, e in self.columns)

    def emitter(self, w: SourceWriter) -> RowIntervalsEmitter:
        """See Sink."""
        return RowIntervalsEmitter(w, self)

    def looks_back(self, first: bool) -> Reach:
        """See Sink."""
        return self.longest

    def needs_before(self, needed: Reach, first: bool) -> Reach:
        """See Sink."""
        return None if needed is None or self.longest is None else needed + self.longest

    def describe(self) -> str:
        """See Sink."""
        return "intervals of points, to the end that each has"


@dataclass(frozen=True, eq=False)
class Intervals(KeyedStep, op="intervals"):
    """Each point as an interval from its time to ``end``, a time or a length; at most ``longest`` microseconds long."""

    end: Expr = json.expression()
    longest: int | None = json.length_if_given()

    makes = INTERVALS
    looks_back = True

    def rows(self, b: Expressions, shape: Shape, own: Mapping[str, Typed]) -> KeyedRows:
        """See KeyedStep."""
        if shape.kind != "points":
            raise b.fail(f"it takes points that have an end, and here the rows are {shape.kind}, which last already")
        end = b.typed(self.end, shape)
        if end.type not in (Type.TIME, Type.DURATION):
            hint = "; a number of seconds is df.col('n') * '1s'" if end.type in (Type.INT, Type.FLOAT) else ""
            raise b.fail(f"it takes the time at which each point ends, or how long it lasts, got {end.type}{hint}")
        b.fix_all([end], shape)
        return KeyedRows("intervals", {}, lambda held, _: RowIntervals(held, end, self.longest), {KNOWN: Type.INT})

    def calls(self) -> list[str]:
        """See Step."""
        return [call("intervals", [column_or(self.end), *given({"longest": (length_text(self.longest), None)})])]
