"""When the rows of an answer end in event time, and for how long after that points can still change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from dataflow.expressions.aggregate_calls import Named
from dataflow.expressions.expr import Expr

Bucket = tuple[str, str]
"""A calendar bucket as ``truncate`` takes it: its length and its zone."""


@dataclass(frozen=True)
class RowEnd:
    """The end of a row, by one of its columns: the end of the calendar ``bucket`` that begins at it, or if that is
    None ``later`` microseconds after it."""

    column: str
    bucket: Bucket | None = None
    later: int = 0


@dataclass(frozen=True)
class RowTimes:
    """What is known of the times of rows.

    A row ends at the latest of its ``ends``; without any, nothing is known of it. Points that are later than its end by
    ``ahead`` microseconds or more do not change it; None: any later point may. ``lasts`` is how long a row may last
    from its start until nothing changes it, None without limit. ``buckets`` are the columns that hold the start of a
    calendar bucket. ``cut``: rows are cut where what is asked of the clock changes; ``whole``: they have something that
    depends on the end of a row before it is cut. ``unknown``: there are rows of the time in which nothing is known of a
    key yet, from the start of the range on, also of keys that report for the first time later; in these the columns
    ``states`` are null.
    """

    ends: tuple[RowEnd, ...] = ()
    ahead: int | None = 0
    lasts: int | None = 0
    buckets: Mapping[str, Bucket] = field(default_factory=dict)
    cut: bool = False
    whole: bool = False
    unknown: bool = False
    states: tuple[str, ...] = ()


class TimedStep(Protocol):
    """What a step says of the times of its rows."""

    @property
    def row_times(self) -> RowTimes | None:
        """The times of the rows that it makes; None if it passes rows on."""

    @property
    def grouped_by(self) -> Named | None:
        """The columns by which it groups rows; None if it does not."""

    @property
    def drops_others(self) -> bool:
        """Whether only the columns that it names remain."""

    @property
    def may_cut(self) -> bool:
        """Whether it may cut rows."""

    @property
    def asks_end(self) -> bool:
        """Whether what it makes of a row depends on when that ends."""

    @property
    def asks_later(self) -> bool:
        """Whether what it makes of a row depends on later rows."""

    @property
    def needed_columns(self) -> frozenset[str]:
        """The columns without which it keeps no row."""

    @property
    def mixes_rows(self) -> bool:
        """Whether a row after it depends on more than one row before it."""

    def new_columns(self) -> Named:
        """The columns that it computes."""


def row_times(steps: Sequence[TimedStep]) -> RowTimes:
    """The times of the rows that these steps make."""
    times = RowTimes()
    for step in steps:
        made, by = step.row_times, step.grouped_by
        if step.asks_later:
            times = replace(times, ahead=None)
        if made is not None:
            # Of a row that goes on, what is made at its start is not known yet.
            before = _sum(
                times.ahead, 0 if times.cut and made.cut and not (times.whole or times.unknown) else times.lasts
            )
            times = replace(made, ahead=_sum(before, made.ahead))
        elif by is not None:
            times = _grouped(by, times)
        else:
            times = _passed(step, times)
    return times


def _grouped(by: Named, times: RowTimes) -> RowTimes:
    buckets = {name: bucket for name, e in by if (bucket := _bucket_of(e, times.buckets)) is not None}
    # A bucket of when rows begin holds rows that go on beyond it, unless they are cut at its end.
    cut = times.cut and not (times.whole or times.unknown) and any(_is_cutting(e) for _, e in by)
    ahead = _sum(times.ahead, 0 if cut else times.lasts)
    return RowTimes(tuple(RowEnd(name, bucket) for name, bucket in buckets.items()), ahead, None, buckets)


def _passed(step: TimedStep, times: RowTimes) -> RowTimes:
    new = dict(step.new_columns())
    same = {str(e.option("name")): name for name, e in new.items() if e.fn == "col"}
    buckets = {name: bucket for name, e in new.items() if (bucket := _bucket_of(e, times.buckets)) is not None}
    if step.drops_others:
        ends = [replace(end, column=same[end.column]) for end in times.ends if end.column in same]
    else:
        ends = [end for end in times.ends if end.column not in new or same.get(end.column) == end.column]
        buckets = {**{name: b for name, b in times.buckets.items() if name not in new}, **buckets}
    whole = times.whole or (times.cut and step.asks_end)
    unknown = times.unknown and not step.needed_columns & {*times.states}
    ahead = None if step.mixes_rows or ((whole or unknown) and step.may_cut) else times.ahead
    states = tuple(name for name in times.states if name not in new)
    return replace(times, ends=tuple(ends), ahead=ahead, buckets=buckets, whole=whole, unknown=unknown, states=states)


def _bucket_of(e: Expr, known: Mapping[str, Bucket]) -> Bucket | None:
    if e.fn == "col":
        return known.get(str(e.option("name")))
    is_start = e.fn == "truncate" and (e.args[0].fn == "time" or e.args[0].option("name") == "start")
    every, zone = (e.option("every"), e.option("zone")) if is_start else (None, None)
    return (every, zone) if isinstance(every, str) and isinstance(zone, str) else None


def _is_cutting(e: Expr) -> bool:
    return e.fn == "truncate" and e.args[0].fn == "time"


def _sum(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b
