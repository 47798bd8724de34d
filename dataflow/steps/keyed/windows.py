"""``window``: the points of each key in calendar buckets, or in windows that slide over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.aggregate_calls import NamedAggs
from dataflow.expressions.call_text import aggs_text, call, given
from dataflow.expressions.node import quoted
from dataflow.json import fields as json
from dataflow.plan.row_times import RowEnd, RowTimes
from dataflow.plan.sink import NamedTyped
from dataflow.steps.keyed.keyed_step import KeyedRows, KeyedStep
from dataflow.steps.keyed.segments import Segments, segment_columns
from dataflow.times.calendar_tables import longest_bucket
from dataflow.times.durations import buckets_in, parse_every
from dataflow.times.zones import check_zone
from dataflow.typed.nodes import Typed
from dataflow.values.settings import Setting
from operators.errors import DataflowError
from operators.types import Type

MAX_WINDOW = 1000
"""The maximum number of buckets in a window; each takes state per key."""

_LONGEST = 366 * 100 * 86_400_000_000


def buckets_of(size: str | timedelta, every: str) -> int:
    """The number of buckets ``every`` in a window of this ``size``; DataflowError unless it is a whole number, at most
    ``MAX_WINDOW``."""
    if isinstance(size, Setting):
        return cast(int, size)
    if isinstance(every, Setting):
        raise DataflowError("window: where every is a parameter, size is one, too: only together do they fit")
    n = buckets_in(size, parse_every(every, "window"), "window(size)")
    if n > MAX_WINDOW:
        raise DataflowError(f"window(size): {size!r} is {n:,} buckets of {every!r}; at most {MAX_WINDOW:,}")
    return n


@dataclass(frozen=True, eq=False)
class Window(KeyedStep, op="window"):
    """A key's points per window of ``size`` calendar buckets; a window starts at every bucket."""

    every: str = json.every()
    zone: str = json.text()
    aggs: NamedAggs = json.aggregates()
    size: int = json.whole(2, MAX_WINDOW, 1, value=lambda size, where, others: buckets_of(size, others["every"]))
    empty: bool = json.flag()

    @property
    def row_times(self) -> RowTimes:
        """See Step."""
        return RowTimes((RowEnd("end"),), lasts=self.size * longest_bucket(self.every))

    def rows(self, b: Expressions, shape: Shape, own: Mapping[str, Typed]) -> KeyedRows:
        """See KeyedStep."""
        aggs, columns = segment_columns(b, shape, self.aggs, own, ("partial",))
        check_zone(self.zone, b.where)
        check_length(b, self.every, self.size)
        bucket = Typed("truncate", Type.TIME, (Typed("time", Type.TIME),), (("every", self.every), ("zone", self.zone)))

        def sink(held: NamedTyped, needed: set[str]) -> Segments:
            wanted = tuple(a for a in aggs if a.name in needed)
            marked = "partial" in needed
            return Segments(None, None, bucket, wanted, held, size=self.size, empty=self.empty, partial=marked)

        return KeyedRows("windows", columns, sink, {})

    def calls(self) -> list[str]:
        """See Step."""
        size = window_text(self.every, self.size)
        options = given({"zone": (self.zone, "UTC"), "size": size, "empty": (self.empty, False)})
        return [call("window", [quoted(self.every), *options, *aggs_text(self.aggs)])]


def check_length(b: Expressions, every: str, size: int) -> None:
    """GraphError if a window of ``size`` buckets is too long."""
    if size > 1 and size * longest_bucket(every) > _LONGEST:
        raise b.fail("the window is longer than a century; use a shorter one")


def window_text(every: str, size: int) -> tuple[object, None]:
    """The length of a window of ``size`` buckets as text, None for one, or the parameter; and the usual one."""
    if isinstance(size, Setting):
        return size, None
    if size == 1:
        return None, None
    bucket = parse_every(every, "window")
    return f"{size * bucket.count}{bucket.unit}", None
