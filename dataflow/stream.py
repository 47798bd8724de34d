"""The DSL: streams of rows, and what is done to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from dataflow import graph as g
from dataflow.aggregates import hold_of, over_intervals
from dataflow.durations import parse_duration, parse_every
from dataflow.expr import Expr, Operand, col, expr
from operators.errors import DataflowError

Length = str | timedelta


def _named(columns: tuple[str | Expr, ...], named: dict[str, Operand], where: str) -> g.Named:
    out: list[tuple[str, Expr]] = []
    for c in columns:
        if isinstance(c, str):
            out.append((c, col(c)))
        elif isinstance(c, Expr) and c.fn == "col":
            out.append((str(c.option("name")), c))
        else:
            raise DataflowError(f"{where}: give an expression a name, e.g. {where}(day=df.time().truncate('1d'))")
    out.extend((n, expr(e)) for n, e in named.items())
    names = [n for n, _ in out]
    for n in names:
        if names.count(n) > 1:
            raise DataflowError(f"{where}: the column {n!r} is given twice")
    return tuple(out)


def _aggs(aggs: dict[str, g.Agg], where: str) -> g.NamedAggs:
    for name, a in aggs.items():
        if not isinstance(a, g.Agg):
            raise DataflowError(f"{where}: {name} must be an aggregate such as df.mean('temp'), got {a!r}")
        if where != "agg" and hold_of(a) is not None:
            raise DataflowError(f"{where}: {a.fn} with hold= stands in agg(...) alone, or goes over intervals")
    return tuple(aggs.items())


class Explains(Protocol):
    """Whatever can plan a metric: a ``runtime.Store``."""

    def explain(self, metric: Stream, **options: Any) -> str:
        """The plan of ``metric`` in words."""


@dataclass(frozen=True, eq=False)
class Stream:
    """A metric: a chain of steps. Every method returns a new one; nothing runs until a store is asked."""

    steps: tuple[g.Step, ...]

    def _then(self, step: g.Step) -> Stream:
        return Stream((*self.steps, step))

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
        return "\n".join(f"{i + 1}. {g.OPS[type(s)]}" for i, s in enumerate(self.steps))

    def __repr__(self) -> str:
        return " . ".join(g.OPS[type(s)] for s in self.steps)


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
        steps, named = over_intervals(self.stream.steps, named)
        return Stream((*steps, g.GroupBy(self.by, named)))


def stream(name: str) -> Stream:
    """All points of the stream ``name``."""
    if not isinstance(name, str) or not name:
        raise DataflowError(f"stream takes a name, got {name!r}")
    return Stream((g.Source(name),))
