"""The DSL's streams: chains of steps over rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from dataflow.expressions.aggregate_calls import Agg, Named, NamedAggs, check_named, column_name
from dataflow.expressions.aggregate_calls import named_columns as _named
from dataflow.expressions.call_text import chained
from dataflow.expressions.expr import Expr, Operand, col, condition_of, expr, one_column
from dataflow.language.aggregates import count, hold_of, over_intervals
from dataflow.language.filled_series import FilledSeries, column_list
from dataflow.language.finished_tables import FinishedTables
from dataflow.language.funnels import Funnels
from dataflow.language.line_numbers import note_line
from dataflow.language.sequences import Sequences
from dataflow.language.several_streams import StreamJoins
from dataflow.metrics.json_form import to_json
from dataflow.steps import (
    Filter,
    GroupBy,
    Heartbeat,
    Held,
    Intervals,
    Select,
    Sessionize,
    Source,
    StateDuration,
    Window,
    WindowAcross,
    WithColumns,
)
from dataflow.steps.base import Step
from dataflow.steps.groups import grouping_calls
from dataflow.steps.keyed.activity import ACTIVITIES
from dataflow.steps.keyed.sequence import USUAL_SEQUENCE
from dataflow.steps.keyed.subpaths import USUAL_PATH
from dataflow.steps.keyed.windows import buckets_of
from dataflow.times.durations import parse_duration, placed_every
from dataflow.values import elsewhere
from dataflow.values.mistaken import not_aggregate, shown, text_of, without_call
from dataflow.values.settings import Setting
from operators.aggregates import SIGNATURES
from operators.errors import DataflowError
from operators.nearest import no_attribute

Length = str | timedelta


def _aggs(aggs: dict[str, Agg], where: str) -> NamedAggs:
    check_named(aggs, where)
    for name, a in aggs.items():
        if not isinstance(a, Agg):
            raise DataflowError(f"{where}: {not_aggregate(name, a, SIGNATURES)}")
        if where != "agg" and hold_of(a) is not None:
            raise DataflowError(f"{where}: {a.fn} with hold= is only for agg(...); without hold= it needs intervals")
    return tuple(aggs.items())


def metric_text(steps: Sequence[Step], end: Sequence[str] = ()) -> str:
    """The Python text of a chain of steps, on as many lines as needed."""
    parts: list[str] = []
    for step in steps:
        parts = step.after(parts)
    return chained([*parts, *end])


class Explains(Protocol):
    """Anything that can explain a metric, like ``runtime.Store``."""

    def explain(self, metric: Stream, **options: Any) -> str:
        """The plan of ``metric`` as text."""


@dataclass(frozen=True, eq=False, repr=False)
class Stream(Sequences, Funnels, FinishedTables, FilledSeries, StreamJoins):
    """A metric: a chain of steps. Every method returns a new one; nothing runs until a store is asked."""

    _no_expression = "a stream is not an expression: {text}; columns are df.col('name')"

    if not TYPE_CHECKING:  # for type checkers an unknown attribute is an error already

        def __getattr__(self, name: str) -> NoReturn:
            if name in SIGNATURES:
                write = f"on a stream write .agg(...), like .agg(n=df.{name}(...))"
                raise AttributeError(write, name=name, obj=None)
            raise no_attribute("a stream", name, dir(type(self)), elsewhere.STREAM)

    def filter(self, where: Operand) -> Stream:
        """Keep the rows where the condition is true (not those where it is null)."""
        return self._then(Filter(condition_of(where, "filter")))

    def with_columns(self, **columns: Operand) -> Stream:
        """Add or replace columns."""
        return self._then(WithColumns(_named((), columns, "with_columns")))

    def held(self, *columns: str | Expr, hold: Length | None = None) -> Stream:
        """From here on, fill these columns with the value that each key last reported.

        For columns that few rows report, like a firmware version reported at boot. Use it before a filter, which could
        drop the reports, or before grouping by such a column. A value is held from its report on, at most for ``hold``;
        reports before the range count. A column is null until its first report.
        """
        given = _named(columns, {}, "held")
        if any(isinstance(e.option("name"), Setting) for _, e in given):
            raise DataflowError("held takes the names of columns, and no parameter")
        names = [n for n, _ in given]
        if not names:
            raise DataflowError("held takes the columns to hold, e.g. held('firmware', 'site')")
        return self._then(Held(tuple(names), None if hold is None else parse_duration(hold, "held(hold)")))

    def select(self, *columns: str | Expr, **named: Operand) -> Stream:
        """Keep only these columns; rows keep their key and time."""
        return self._then(Select(_named(columns, named, "select")))

    def state_duration(self, state: str | Expr, hold: Length | None = None, name: str | None = None) -> Stream:
        """Intervals during which each key held each value of ``state``.

        A value lasts from its report to the next one, at most for ``hold``; the remaining time is unknown and has rows
        with a null state. Rows: the key, start, end, duration, the state (named like its column, else ``name`` or
        ``state``), and the other columns as last reported at the interval's start. A change in one of those columns
        cuts the interval if the metric uses the column.
        """
        state = one_column(state, "state_duration")
        if name is not None:
            text_of(name, "state_duration(name)")
        label = name or (column_name(state) if state.fn == "col" else "state")
        micros = None if hold is None else parse_duration(hold, "state_duration(hold)")
        return self._then(StateDuration(state, label, micros))

    def intervals(self, end: str | Expr, *, longest: Length | None = None) -> Stream:
        """Points that say how long they last, such as a call, a batch or a booking, as intervals.

        ``end`` is a column or an expression: the time at which a point ends, or the duration for which it lasts. Null:
        it goes on. A point that ends at or before its time lasts no time and has no row. Rows: the key, start, end,
        duration, and the other columns as they are; those of a key may overlap, so no step or function after them can
        look at the row before. A query reads all points before ``since``, since any may still go on then; with
        ``longest`` intervals last at most that long, and it reads only as far back.
        """
        length = None if longest is None else parse_duration(longest, "intervals(longest)")
        return self._then(Intervals(one_column(end, "intervals"), length))

    def heartbeat(self, timeout: Length) -> Stream:
        """Intervals with a boolean ``alive``: a point of the key at most ``timeout`` ago (exclusive)."""
        return self._then(Heartbeat(parse_duration(timeout, "heartbeat(timeout)")))

    def sessionize(
        self, gap: Length, max_length: Length | None = None, split_when: Operand | None = None, **aggs: Agg
    ) -> Stream:
        """Sessions: runs of a key's points at most ``gap`` apart, cut every ``max_length`` from their start, which may
        lie before the range.

        A point where ``split_when`` is true always starts a new session.

        Rows: the key, start, end (of the last point), duration, count, open_left and open_right (the range may cut
        the session), the named aggregates, and the other columns as last reported at the first point.
        """
        limit = None if max_length is None else parse_duration(max_length, "sessionize(max_length)")
        split = None if split_when is None else expr(split_when)
        pause = parse_duration(gap, "sessionize(gap)")
        return self._then(Sessionize(pause, limit, _aggs(aggs, "sessionize"), split))

    def window(
        self,
        every: str,
        zone: str = "UTC",
        size: Length | None = None,
        empty: bool = False,
        week_start: str | None = None,
        offset: Length | None = None,
        by: str | Sequence[str] | None = None,
        fill: object = None,
        **aggs: Agg,
    ) -> Stream:
        """Calendar buckets of each key that hold a point: ``"10m"``, ``"1d"``, ``"1mo"`` in a time zone; ``week_start``
        and ``offset`` are those of ``truncate``.

        With a ``size`` the windows slide: one starts at every bucket and lasts for ``size``, for example ``"1h"`` every
        ``"10m"``, or ``"1w"`` every ``"1d"``; a point belongs to every window that contains it. ``empty`` adds windows
        without a point (count 0), from the key's first point, which may lie before the range, to the end of the range.

        A window of one bucket contains only points of the range; a sliding window also contains those before it.

        Rows: the key, start, end, duration, count, ``partial`` (the range or the stream's beginning cuts the window),
        the named aggregates, and the other columns as last reported at the window's first point (at the window's end,
        if it has none).

        ``by``, one or more columns (``[]``: none): windows across keys. The points of all keys with equal values in
        them are aggregated into one row, and the rows are a table: the columns of ``by``, start, end, duration, the
        aggregates, count and ``partial``. ``empty`` then adds windows from the first one of the range that has a point.

        ``fill``, for windows in which a named aggregate is null, empty ones included: a value, ``"last"``, the value of
        the window before, or ``"linear"``, along the straight line from the window before to the window after, between
        their starts. Short for ``empty=True`` and ``fill_null``, ``last`` or ``fill``; see there.
        """
        every = placed_every(every, week_start, offset, "window")
        n = 1 if size is None else buckets_of(size, every)
        clock, named, also_empty = text_of(zone, "window(zone)"), _aggs(aggs, "window"), bool(empty) or fill is not None
        if by is None:
            return self._then(Window(every, clock, named, n, also_empty))._filled(fill, list(aggs), None)
        across = column_list(by, "window(by)")
        made = self._then(WindowAcross(every, clock, across, named, n, also_empty))
        return made._filled(fill, list(aggs), across)

    def retention(
        self,
        start: Operand,
        returns: Operand,
        every: str,
        zone: str = "UTC",
        week_start: str | None = None,
        offset: Length | None = None,
    ) -> Stream:
        """Of the keys that first met ``start`` in one calendar bucket, how many met ``returns`` in each later one.

        Rows: ``cohort`` (the start of the bucket), ``period`` (0, 1, ...), ``keys`` (the number of keys that returned
        in the period), ``size`` (of the cohort), ``share`` (keys / size). Short for ``cohorts`` and a grouping; to
        compare countries or versions, group ``cohorts`` by more columns.
        """
        every = placed_every(every, week_start, offset, "retention")
        grouped = self.cohorts(start, returns, every, zone).group_by("cohort", "period")
        counted = grouped.agg(keys=count(where=col("returned")), size=count())
        return counted.with_columns(share=col("keys") / col("size"))

    def paths(
        self,
        of: str | Expr,
        gap: Length | None = None,
        length: int | None = None,
        start: Operand | None = None,
        end: Operand | None = None,
    ) -> Stream:
        """How often each value of ``of`` was followed by another (or itself) in the rows of one key.

        Rows: ``from``, ``to``, ``count``; ``from`` null counts paths that began with a value, ``to`` null paths that
        ended with it. Short for ``transitions`` and a grouping.

        With a ``length``, a ``start`` or an ``end``: how often each stretch of so many values (3) occurred, anywhere,
        from a start or to an end. Rows: ``path`` (the values, joined by ``" > "``), ``count``. Short for ``subpaths``
        and a grouping.
        """
        if length is None and start is None and end is None:
            return self.transitions(of, gap).group_by("from", "to").agg(count=count())
        found = self.subpaths(of, USUAL_PATH if length is None else length, gap, start, end)
        return found.group_by("path").agg(count=count())

    def variants(self, of: str | Expr, length: int = USUAL_SEQUENCE) -> Stream:
        """How many keys went through the same values of ``of`` in the same order.

        Rows: ``variant`` (the values, joined by ``" > "``; beyond ``length`` values ``...``), ``keys``. Short for
        ``sequence`` and a grouping.
        """
        return self.sequence(of, length).group_by("variant").agg(keys=count())

    def lifecycle(self, every: str, zone: str = "UTC") -> Stream:
        """How many keys were new, returning, resurrecting and dormant in each calendar bucket.

        Rows: ``start`` of the bucket, ``new``, ``returning`` (active in the bucket before, too), ``resurrecting``
        (active again) and ``dormant`` (active in the bucket before, but not in this one). Short for ``activity`` and a
        grouping; to compare countries or versions, group ``activity`` by more columns.
        """
        counts = {word: count(where=col("status") == word) for word in ACTIVITIES}
        return self.activity(every, zone).group_by("start").agg(**counts)

    def group_by(self, *columns: str | Expr, **named: Operand) -> Grouped:
        """Group rows by columns and named expressions; follow with ``agg``."""
        return Grouped(self, _named(columns, named, "group_by"))

    def agg(self, *unnamed: object, **aggs: Agg) -> Stream:
        """Aggregate all rows into one; the same as ``group_by().agg(...)``."""
        return self.group_by().agg(*unnamed, **aggs)

    def to_json(self) -> str:
        """The canonical JSON form."""
        return to_json(self.steps)

    def explain(self, store: Explains | None = None, **options: Any) -> str:
        """The plan as text. With a ``store`` (and the range, params and workers of its ``query``): the columns and
        files read, tasks, kernels, laws used and the estimated time; without one: the steps."""
        if store is not None:
            return store.explain(self, **options)
        return "\n".join(f"{i + 1}. {s.method}" for i, s in enumerate(self.steps))

    def __repr__(self) -> str:
        return metric_text(self.steps)


@dataclass(frozen=True, eq=False, repr=False)
class Grouped:
    """Rows in groups, waiting for ``agg``."""

    stream: Stream
    by: Named
    empty: bool = False

    _no_expression = Stream._no_expression

    def __post_init__(self) -> None:
        note_line(self)

    def with_empty_buckets(self) -> Grouped:
        """Add groups for calendar buckets without rows, with the result of no rows: count 0, mean null.

        One of the columns must be a ``df.time().truncate(...)``. For each combination of the others, all buckets from
        its first one to the end of the range are added.
        """
        return replace(self, empty=True)

    def __repr__(self) -> str:
        return metric_text(self.stream.steps, grouping_calls(self.by, self.empty))

    if not TYPE_CHECKING:  # for type checkers an unknown attribute is an error already

        def __getattr__(self, name: str) -> NoReturn:
            if name in SIGNATURES:
                write = f"after group_by write .agg(...), like .agg(n=df.{name}(...))"
                raise AttributeError(write, name=name, obj=None)
            raise no_attribute("group_by(...)", name, dir(type(self)), elsewhere.GROUPS)

    def agg(self, *unnamed: object, **aggs: Agg) -> Stream:
        """One row per group: the group columns and the named aggregates."""
        if unnamed:
            given = without_call(unnamed[0]) or f"give every aggregate a name, like agg(n={shown(unnamed[0])})"
            raise DataflowError(f"agg: {given}")
        named = _aggs(aggs, "agg")
        for name, _ in named:
            if name in dict(self.by):
                raise DataflowError(f"agg: there is already a group column named {name!r}")
        steps, named = over_intervals(self.stream.steps, named)
        step = GroupBy(self.by, named, self.empty)
        # In a chain over several lines, a message about group_by refers to the line of group_by.
        note_line(step, like=self if self.by else None)
        return Stream((*steps, step))


def stream(name: str) -> Stream:
    """All points of the stream ``name``."""
    if not isinstance(name, str) or not name:
        raise DataflowError(without_call(name) or f"stream takes a name, got {shown(name)}")
    return Stream((Source(str.__str__(name)),))
