"""``window(by=)``: the points of all keys of a group in calendar buckets, or in windows that slide over them.

The tasks fold points into one state per group and bucket. States merge exactly, so after the merge those of the
buckets of a window are merged into its own (``runtime/query/merge/sliding_windows.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dataflow.binding.typing import Expressions, Shape
from dataflow.codegen.emitter import Emitter
from dataflow.codegen.writer import SourceWriter, both
from dataflow.expressions.aggregate_calls import NamedAggs
from dataflow.expressions.call_text import aggs_text, call, given
from dataflow.expressions.expr import col
from dataflow.expressions.node import quoted
from dataflow.json import fields as json
from dataflow.json.reading import Reader, check_distinct
from dataflow.plan.properties import stage_of_inputs
from dataflow.plan.row_times import RowEnd, RowTimes
from dataflow.plan.sink import Memory, Reach, Slide
from dataflow.sinks.group_sink import Group, GroupEmitter
from dataflow.steps.base import TABLE, Bound, Step, StepGroups
from dataflow.steps.keyed.segments import extent_of
from dataflow.steps.keyed.windows import MAX_WINDOW, buckets_of, check_length, window_text
from dataflow.times.calendar_tables import longest_bucket
from dataflow.times.zones import check_zone
from dataflow.typed.aggregates_bound import BoundAgg
from dataflow.typed.nodes import Typed, column
from operators.aggregates import REGISTRY
from operators.kernels.times.calendar import END, FIRST
from operators.types import Type

_OWN = {"start": Type.TIME, "end": Type.TIME, "duration": Type.DURATION, "count": Type.INT, "partial": Type.BOOL}
"""Columns that every window has."""


class AcrossEmitter(GroupEmitter):
    """Folds the points of the buckets of windows that overlap the range."""

    def __init__(self, w: SourceWriter, sink: Across) -> None:
        super().__init__(w, sink)
        self._sink = sink

    def constants(self, x: Emitter) -> None:
        """Load the start of the first such window into a local, once."""
        super().constants(x)
        slide = self._sink.windows
        if slide.size > 1:
            bucket = x.bucket(slide.every, slide.zone, slide.size)
            begin = f"min(max(since, np.int64({FIRST})), np.int64({END - 1}))"
            first = f"bucket_number({begin}, {bucket}) - {x.integer(slide.size)} + 1"
            self.w.put(f"lowest = bucket_edge({first}, {bucket})")

    def in_range(self, x: Emitter) -> str:
        """See GroupEmitter. Times outside of the calendar years are in no window."""
        assert self._sink.bucket is not None
        start, known = x.emit(self._sink.bucket)
        return both(known, "t >= since" if self._sink.windows.size == 1 else f"{start} >= lowest and since < until")


@dataclass(frozen=True)
class Across(Group):
    """Sink: fold points into groups and calendar buckets, of which windows are made after the merge."""

    slide: Slide = field(kw_only=True)

    @property
    def windows(self) -> Slide:
        """See Grouping."""
        return self.slide

    def emitter(self, w: SourceWriter) -> AcrossEmitter:
        """See Sink."""
        return AcrossEmitter(w, self)

    def looks_back(self, first: bool) -> Reach:
        """See Sink: windows that slide over the start of the range are whole."""
        assert self.bucket is not None
        return extent_of(self.bucket, self.windows.size) if self.windows.size > 1 else 0

    def memory(self) -> Memory | None:
        """See Sink: windows that slide depend on all points in them."""
        return None if self.windows.size > 1 else super().memory()

    def describe(self) -> str:
        """See Sink."""
        by = ", ".join(n for n, _ in self.by[:-1]) or "nothing"
        what = f"windows of {self.windows.size} buckets" if self.windows.size > 1 else "windows"
        empty = ", empty ones too," if self.windows.empty else ""
        return f"{what} across keys{empty} by {by}, {len(self.aggs) - 1} aggregates"


def _names_in(reader: Reader, value: Any, where: str) -> tuple[str, ...]:
    names = tuple(reader.text(n, f"{where}[{i}]") for i, n in enumerate(reader.rows(value, where)))
    check_distinct(names, where)
    return names


@dataclass(frozen=True, eq=False)
class WindowAcross(Step, op="window_across"):
    """The points of all keys with equal values of ``by`` per window of ``size`` calendar buckets."""

    every: str = json.every()
    zone: str = json.text()
    by: tuple[str, ...] = json.field_of(list, _names_in)
    aggs: NamedAggs = json.aggregates()
    size: int = json.whole(2, MAX_WINDOW, 1, value=lambda size, where, others: buckets_of(size, others["every"]))
    empty: bool = json.flag()

    makes = TABLE

    @property
    def method(self) -> str:
        """See Step."""
        return "window"

    @property
    def row_times(self) -> RowTimes:
        """See Step."""
        return RowTimes((RowEnd("end"),), lasts=self.size * longest_bucket(self.every))

    def groups(self) -> StepGroups:
        """See Step."""
        return StepGroups(tuple((n, col(n)) for n in self.by), self.aggs, spans=True)

    def calls(self) -> list[str]:
        """See Step."""
        by = quoted(self.by[0]) if len(self.by) == 1 else f"[{', '.join(map(quoted, self.by))}]"
        options = given({"zone": (self.zone, "UTC"), "size": window_text(self.every, self.size)})
        options += [f"by={by}", *given({"empty": (self.empty, False)})]
        return [call("window", [quoted(self.every), *options, *aggs_text(self.aggs)])]

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        if shape.kind != "points":
            raise b.fail("with by= it takes points; group other rows by a bucket of their start or time")
        check_zone(self.zone, b.where)
        check_length(b, self.every, self.size)
        bucket = Typed("truncate", Type.TIME, (Typed("time", Type.TIME),), (("every", self.every), ("zone", self.zone)))
        by = [(name, b.typed(col(name), shape)) for name in self.by]
        out: dict[str, Type] = {}
        for name, e in by:
            if e.type is None:
                raise b.fail(f"the column {name!r} is always null")
            out[name] = e.type
        b.fix_all([e for _, e in by], shape)
        aggs = b.aggregates(self.aggs, shape)
        for name in (*self.by, *(a.name for a in aggs)):
            if name in _OWN:
                raise b.fail(f"a column cannot be named {name!r}, which this step uses for its own")
        if taken := next((a.name for a in aggs if a.name in out), None):
            raise b.fail(f"there is already a column named {taken!r} in by=")
        b.tally_groups([e for _, e in by], aggs, shape)
        count = BoundAgg("count", REGISTRY["count", None], None, ())
        slide = Slide(self.every, self.zone, self.size, self.empty)
        keys = (*by, ("start", bucket))
        sink = Across(keys, (*aggs, count), False, True, len(by), bucket, slide=slide)
        own = dict(_OWN)
        out |= {n: own.pop(n) for n in ("start", "end", "duration")} | {a.name: a.aggregate.result for a in aggs} | own
        stage = stage_of_inputs(shape.inputs, shape.ops, sink, b.where)
        table = Shape("table", {n: column(n, t) for n, t in out.items()}, dict(out), marked=True)
        return Bound(table, [], stage, order=tuple(n for n, _ in keys))
