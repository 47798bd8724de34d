"""``cohorts``: the calendar buckets of each key, from the one in which it first met the start condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dataflow.binding.typing import Expressions, Shape
from dataflow.codegen.emitter import Emitter
from dataflow.codegen.keyed_emitter import FlowEmitter
from dataflow.codegen.writer import I8, U1, SourceWriter, both, value_array
from dataflow.expressions.call_text import call, given
from dataflow.expressions.expr import Expr, col
from dataflow.expressions.node import operand, quoted
from dataflow.json import fields as json
from dataflow.plan.sink import with_held
from dataflow.sinks.flow_sink import Flow
from dataflow.steps.keyed.keyed_step import KeyedRows, KeyedStep
from dataflow.times.zones import check_zone
from dataflow.typed.nodes import Typed
from operators.types import Type

_WAITS, _IS_EARLIER, _COUNTS = 0, 1, 2
"""Stages of a key: its first start was not seen yet, lay before the range, or lies in it."""


class CohortsEmitter(FlowEmitter):
    """Emits the code of a ``CohortPeriods`` sink."""

    def __init__(self, w: SourceWriter, sink: CohortPeriods) -> None:
        super().__init__(w, sink.held)
        self.sink = sink
        self.keep(("stage", U1), ("came", U1), ("period", I8), ("cohort", I8), ("first", I8), ("final", I8))
        for j, (_, e) in enumerate(sink.held):
            self.keep((f"sh{j}", value_array(e.type)), (f"shk{j}", U1))
        for name in ("cohort", "period", "returned"):
            w.arg(f"o_{name}", I8, "out", name)

    def _bucket(self, x: Emitter) -> str:
        return x.bucket(self.sink.bucket.option("every"), self.sink.bucket.option("zone"))

    def _close(self, x: Emitter) -> None:
        """Write the current bucket and go to the next."""
        w = self.w
        w.put("o_time[on] = first\no_end[on] = final")
        w.put("o_cohort[on] = cohort\no_period[on] = period\no_returned[on] = came")
        self.write_held("sh", "shk")
        w.put("on += 1\nfirst = final\nperiod += 1\ncame = np.uint8(0)")
        w.put(f"final = bucket_end(first, {self._bucket(x)})")

    def advance(self, x: Emitter) -> None:
        """Write the buckets that have ended."""
        with self.w.block(f"while stage == {_COUNTS} and t >= final:"):
            self.room("i")
            self._close(x)

    def row(self, x: Emitter) -> None:
        """One row of the key whose state is loaded."""
        w = self.w
        self.remember(x)
        begins, comes = (both(*reversed(x.emit(e))) for e in (self.sink.begins, self.sink.returns))
        with w.block(f"if stage == {_WAITS} and {begins}:"):
            with w.block("if t < since:"):
                w.put(f"stage = np.uint8({_IS_EARLIER})")
            with w.block("else:"):
                w.put(f"stage = np.uint8({_COUNTS})\ncohort = bucket_start(t, {self._bucket(x)})")
                w.put(f"first = cohort\nfinal = bucket_end(t, {self._bucket(x)})")
                for j in range(len(self.held)):
                    w.put(f"sh{j} = ch{j}\nshk{j} = chk{j}")
        with w.block(f"if stage == {_COUNTS} and {comes}:"):
            w.put("came = np.uint8(1)")

    def finish(self, x: Emitter) -> None:
        """The buckets that begin before the end of the range."""
        with self.w.block(f"while stage == {_COUNTS} and first < until:"):
            self.room("number")
            self._close(x)


@dataclass(frozen=True)
class CohortPeriods(Flow):
    """Cohorts: one row per key and calendar bucket from the key's first ``begins`` on, to the end of the range.

    Writes start (as time), end, ``cohort``, ``period`` and ``returned``.
    """

    begins: Typed
    returns: Typed
    bucket: Typed

    once_a_key = True

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        yield from (self.begins, self.returns, self.bucket)
        yield from super().expressions()

    @property
    def history(self) -> int | None:
        """Everything: a key that started before the range is in none of its cohorts."""
        return None

    def emitter(self, w: SourceWriter) -> CohortsEmitter:
        """See Sink."""
        return CohortsEmitter(w, self)

    def describe(self) -> str:
        """See Sink."""
        return with_held(f"cohorts by {self.bucket.option('every')} in {self.bucket.option('zone')}", self.held)


@dataclass(frozen=True, eq=False)
class Cohorts(KeyedStep, op="cohorts"):
    """The calendar buckets of each key from its first ``start`` on, and whether it ``returns`` in them."""

    start: Expr = json.expression()
    returns: Expr = json.expression()
    every: str = json.every()
    zone: str = json.text()

    @property
    def drill_columns(self) -> tuple[str, ...]:
        """See Step."""
        return ("end", "cohort")

    def earliest(self) -> list[Expr]:
        """See Step."""
        return [col("cohort")]

    def rows(self, b: Expressions, shape: Shape, own: Mapping[str, Typed]) -> KeyedRows:
        """See KeyedStep."""
        check_zone(self.zone, b.where)
        begins, comes = b.condition(self.start, shape, "start"), b.condition(self.returns, shape, "returns")
        b.fix_all((begins, comes), shape)
        bucket = Typed("truncate", Type.TIME, (Typed("time", Type.TIME),), (("every", self.every), ("zone", self.zone)))
        columns = {"cohort": Type.TIME, "period": Type.INT, "returned": Type.BOOL}
        return KeyedRows("cohorts", columns, lambda held, _: CohortPeriods(held, begins, comes, bucket), {})

    def calls(self) -> list[str]:
        """See Step."""
        options = given({"zone": (self.zone, "UTC")})
        return [call("cohorts", [operand(self.start), operand(self.returns), quoted(self.every), *options])]
