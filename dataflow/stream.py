"""The DSL: streams, and the aggregates that end them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from dataflow import graph as g
from dataflow.durations import parse_duration, parse_every
from dataflow.expr import Expr, Operand, col, expr
from dataflow.graph import named_columns as _named
from dataflow.timelines import Chain
from operators.errors import DataflowError

Length = str | timedelta


def _agg(fn: str, *args: Operand, where: Operand | None = None) -> g.Agg:
    values = tuple(col(a) if isinstance(a, str) else expr(a) for a in args)
    return g.Agg(fn, values, None if where is None else expr(where))


def count(value: Operand | None = None, *, where: Operand | None = None) -> g.Agg:
    """Rows, or the rows in which ``value`` is not null."""
    return _agg("count", where=where) if value is None else _agg("count", value, where=where)


def sum(value: Operand, *, where: Operand | None = None) -> g.Agg:
    """The exact sum, rounded once; null over no values. Integers that do not fit in 64 bits are an error."""
    return _agg("sum", value, where=where)


def mean(value: Operand, *, where: Operand | None = None) -> g.Agg:
    """The mean: the exact sum divided by the number of values."""
    return _agg("mean", value, where=where)


def min(value: Operand, *, where: Operand | None = None) -> g.Agg:
    """The least value."""
    return _agg("min", value, where=where)


def max(value: Operand, *, where: Operand | None = None) -> g.Agg:
    """The greatest value."""
    return _agg("max", value, where=where)


def first(value: Operand, *, where: Operand | None = None) -> g.Agg:
    """The earliest value that is not null; at one time and key, in order of arrival."""
    return _agg("first", value, where=where)


def last(value: Operand, *, where: Operand | None = None) -> g.Agg:
    """The latest value that is not null; at one time and key, in order of arrival."""
    return _agg("last", value, where=where)


def any_true(condition: Operand, *, where: Operand | None = None) -> g.Agg:
    """Whether the condition was true in any row; null where it never had a value."""
    return _agg("any_true", condition, where=where)


def all_true(condition: Operand, *, where: Operand | None = None) -> g.Agg:
    """Whether the condition was true in all rows that have a value; null where none has."""
    return _agg("all_true", condition, where=where)


def count_distinct(value: Operand, *, where: Operand | None = None) -> g.Agg:
    """The exact number of distinct values, nulls apart."""
    return _agg("count_distinct", value, where=where)


def share_of_time(condition: Operand, *, where: Operand | None = None) -> g.Agg:
    """Of the time in which the state was known, the share in which ``condition`` is true; null if none was."""
    return _agg("share_of_time", condition, where=where)


def duration(condition: Operand | None = None, *, where: Operand | None = None) -> g.Agg:
    """The total duration of the rows, or of those where ``condition`` is true."""
    return _agg("duration", where=where) if condition is None else _agg("duration", condition, where=where)


def known_time(*, where: Operand | None = None) -> g.Agg:
    """The total time in which the state was known."""
    return _agg("known_time", where=where)


def unknown_time(*, where: Operand | None = None) -> g.Agg:
    """The total time in which the state was not known, including that before a key's first point."""
    return _agg("unknown_time", where=where)


def _aggs(aggs: dict[str, g.Agg], where: str) -> g.NamedAggs:
    for name, a in aggs.items():
        if not isinstance(a, g.Agg):
            raise DataflowError(f"{where}: {name} must be an aggregate such as df.mean('temp'), got {a!r}")
    return tuple(aggs.items())


class Explains(Protocol):
    """Whatever can plan a metric: a ``runtime.Store``."""

    def explain(self, metric: Stream, **options: Any) -> str:
        """The plan of ``metric`` in words."""


@dataclass(frozen=True, eq=False)
class Stream(Chain):
    """A metric: a chain of steps. Every method returns a new one; nothing runs until a store is asked."""

    def filter(self, where: Operand) -> Stream:
        """Keep the rows where the condition is true (not those where it is null)."""
        return self._then(g.Filter(expr(where)))

    def with_columns(self, **columns: Operand) -> Stream:
        """Add or replace columns."""
        return self._then(g.WithColumns(_named((), columns, "with_columns")))

    def select(self, *columns: str | Expr, **named: Operand) -> Stream:
        """Keep just these columns; the key and the time stay with the rows."""
        return self._then(g.Select(_named(columns, named, "select")))

    def state_duration(self, state: str | Expr, hold: Length | None = None, name: str | None = None) -> Stream:
        """Intervals during which each key held each value of ``state``.

        A value holds from its report to the next, at most ``hold``; what is left is unknown: a row with a null
        state. Rows: the key, start, end, duration, the state (under its column's name, ``name``, or ``state``), and
        the other columns as last reported at the interval's start; a change of one of those that is used cuts it.
        """
        if isinstance(state, str):
            state = col(state)
        label = name or (str(state.option("name")) if state.fn == "col" else "state")
        micros = None if hold is None else parse_duration(hold, "state_duration(hold)")
        return self._then(g.StateDuration(state, label, micros))

    def heartbeat(self, timeout: Length) -> Stream:
        """Intervals with a boolean ``alive``: a point of the key at most ``timeout`` ago (exclusive)."""
        return self._then(g.Heartbeat(parse_duration(timeout, "heartbeat(timeout)")))

    def sessionize(self, gap: Length, max_length: Length | None = None, **aggs: g.Agg) -> Stream:
        """Sessions: runs of a key's points with steps of at most ``gap``, cut every ``max_length`` from their start.

        Rows: the key, start, end (of the last point), duration, count, open_left and open_right (the range may cut
        the session), the named aggregates, and the other columns as last reported at the first point.
        """
        limit = None if max_length is None else parse_duration(max_length, "sessionize(max_length)")
        return self._then(g.Sessionize(parse_duration(gap, "sessionize(gap)"), limit, _aggs(aggs, "sessionize")))

    def window(self, every: str, zone: str = "UTC", **aggs: g.Agg) -> Stream:
        """Calendar buckets of each key that hold a point: ``"10m"``, ``"1d"``, ``"1mo"`` in a time zone.

        Rows: the key, start, end, duration, count, the named aggregates, and the other columns as last reported at
        the bucket's first point.
        """
        parse_every(every, "window")
        return self._then(g.Window(every, zone, _aggs(aggs, "window")))

    def group_by(self, *columns: str | Expr, **named: Operand) -> Grouped:
        """Group rows by columns and named expressions; follow with ``agg``."""
        return Grouped(self, _named(columns, named, "group_by"))

    def agg(self, **aggs: g.Agg) -> Stream:
        """Aggregate all rows into one; the same as ``group_by().agg(...)``."""
        return self.group_by().agg(**aggs)

    def sort(self, *by: str, descending: bool | tuple[bool, ...] = False) -> Stream:
        """Order the rows by columns; stable, nulls first (last when descending)."""
        flags = (descending,) * len(by) if isinstance(descending, bool) else tuple(descending)
        if not by or len(flags) != len(by):
            raise DataflowError("sort takes at least one column and as many descending flags as columns")
        return self._then(g.Sort(tuple(zip(by, flags, strict=True))))

    def limit(self, n: int) -> Stream:
        """The first ``n`` rows."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise DataflowError(f"limit takes a number of rows, got {n!r}")
        return self._then(g.Limit(n))

    def to_json(self) -> str:
        """The canonical JSON form."""
        from dataflow.json_form import to_json

        return to_json(self.steps)

    def explain(self, store: Explains | None = None, **options: Any) -> str:
        """The plan in words. With a ``store`` (and the range, params and workers of its ``query``): the columns and
        files read, tasks, kernels, laws used and the estimated time; without one: the steps."""
        if store is not None:
            return store.explain(self, **options)
        return "\n".join(f"{i + 1}. {g.name_of(s)}" for i, s in enumerate(self.steps))

    def __repr__(self) -> str:
        return " . ".join(g.name_of(s) for s in self.steps)


@dataclass(frozen=True, eq=False)
class Grouped:
    """Rows in groups, waiting for ``agg``."""

    stream: Stream
    by: g.Named

    def agg(self, **aggs: g.Agg) -> Stream:
        """One row per group: the group columns and the named aggregates."""
        named = _aggs(aggs, "agg")
        for name, _ in named:
            if name in dict(self.by):
                raise DataflowError(f"agg: the name {name!r} is already that of a group column")
        return self.stream._then(g.GroupBy(self.by, named))


def stream(name: str) -> Stream:
    """All points of the stream ``name``."""
    if not isinstance(name, str) or not name:
        raise DataflowError(f"stream takes a name, got {name!r}")
    return Stream((g.Source(name),))
