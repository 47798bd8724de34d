"""The DSL of reference tables, calendars and combined timelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeVar, cast

from dataflow.expressions.aggregate_calls import Named, distinct_names, named_columns
from dataflow.expressions.expr import Expr, Operand, col, expr, one_column, when
from dataflow.language.line_numbers import note_line
from dataflow.steps import (
    BesideTable,
    Concurrent,
    During,
    Heartbeat,
    Join,
    JoinMetric,
    JoinPeriods,
    KeyBy,
    SideBySide,
    Source,
    StateDuration,
    Streams,
    Timeline,
    Track,
)
from dataflow.steps.answers.key_by import ALONE
from dataflow.steps.base import Step, content_of
from dataflow.steps.keyed.timeline import MAX_TRACKS
from dataflow.steps.union import MAX_STREAMS
from dataflow.tables.calendars import Calendar
from dataflow.tables.reference_tables import ReferenceTable, indexed
from dataflow.tables.table_periods import TablePeriods
from dataflow.values.constants import plain
from dataflow.values.mistaken import listed_values, shown, text_of, without_call
from dataflow.values.settings import Setting, checked_setting
from dataflow.values.shares import share_of
from operators.errors import DataflowError


@dataclass(frozen=True, eq=False)
class Chain:
    """A chain of steps, with the methods that relate rows to tables, calendars and each other."""

    steps: tuple[Step, ...]

    _no_aggregate = "{name}={text} is a stream, not an aggregate; write {name}=df.count() to count its rows"

    def __post_init__(self) -> None:
        if self.steps:
            note_line(self.steps[-1])

    def _then(self, step: Step) -> Self:
        return replace(self, steps=(*self.steps, step))

    def join(
        self,
        table: ReferenceTable | Chain,
        on: str | Expr | Sequence[str | Expr],
        how: str = "left",
        key: str | Sequence[str] | None = None,
        valid_from: str | None = None,
        valid_to: str | None = None,
        suffix: str | None = None,
    ) -> Self:
        """Add the columns of the table's row whose ``key`` (by default the column named like ``on``) equals ``on``.

        ``how``: ``"left"`` (null if there is no such row) or ``"inner"`` (only rows that have one). With ``valid_from``
        or ``valid_to``, columns of times, a row of the table is valid in [from, to). The time of a point or the start
        of a session or window decides; intervals are cut where the valid row changes. A null bound is open; without
        ``valid_to`` a row is valid until its key's next one. Two rows that are valid at the same time are an error.

        ``table`` may be another metric: its answer over the same range and parameters is the table. Then ``on`` may be
        several columns, ``["site", "day"]``; a null equals nothing. Columns of the answer that rows have already are an
        error, unless there is a ``suffix`` for them, and so are two rows of it with the same values in ``on``. With
        ``valid_from`` or ``valid_to`` its rows are periods, as of a reference table: ``on`` is one column then, and a
        ``duration`` of the answer is left out. Rows before the range, at which later steps may look back, find none.
        """
        if how not in ("left", "inner"):
            raise DataflowError(f"join: how is 'left' or 'inner', got {shown(how)}")
        if isinstance(table, Chain):
            if valid_from is not None or valid_to is not None:
                return self._then(_periods_of(table, on, key, how, valid_from, valid_to, suffix))
            return self._then(JoinMetric(metric_steps("join", table), _compared(on, key), how, _suffix("join", suffix)))
        if suffix is not None:
            raise DataflowError("join: suffix is for metrics; rename the column of a reference table")
        if not isinstance(on, str | Expr) or not isinstance(key, str | None):
            raise DataflowError(
                f"join: a reference table is joined on one column, got on={shown(on)}; metrics are joined on several"
            )
        windows = _windows("join", table, on, key, valid_from, valid_to)
        indexed(windows.table, windows.key, valid_from, valid_to, "join")
        return self._then(Join(windows, one_column(on, "join"), how))

    def during(
        self,
        periods: Calendar | ReferenceTable,
        on: str | Expr | None = None,
        key: str | None = None,
        valid_from: str | None = "from",
        valid_to: str | None = "to",
    ) -> Self:
        """Keep what lies in a calendar, or in the periods of a table whose column ``key`` equals ``on``.

        Intervals are cut at the edges of periods; for points, sessions and windows the time or start decides. Periods
        of a table may overlap.
        """
        return self._then(_during("during", periods, on, key, valid_from, valid_to, True))

    def outside(
        self,
        periods: Calendar | ReferenceTable,
        on: str | Expr | None = None,
        key: str | None = None,
        valid_from: str | None = "from",
        valid_to: str | None = "to",
    ) -> Self:
        """Keep what ``during`` drops, for example everything outside of maintenance."""
        return self._then(_during("outside", periods, on, key, valid_from, valid_to, False))

    def concurrent(self, condition: Operand, /, *by: str | Expr, **named: Operand) -> Self:
        """The number of keys of each group for which the condition holds at once; after state_duration, heartbeat etc.,
        or the number of sessions, after sessionize.

        Rows: the group columns, start, end, duration, and the numbers of keys for which the condition is true
        (``active``), false (``inactive``) and null (``unknown``): intervals in which these numbers stay the same. A key
        counts from its first point on. Conditions are three-valued: false and unknown is false. The time of a row is
        known if ``unknown`` is 0.

        A session counts from its first point to its last, both included: as times are whole microseconds, up to one
        microsecond after the last, so that a session of one point is a row of one microsecond. ``concurrent(True)``
        counts all of them. There are no rows where no session is open.
        """
        return self._then(Concurrent(expr(condition), named_columns(by, named, "concurrent"), None))

    def at_least(self, k: int | str, condition: Operand, /, *by: str | Expr, **named: Operand) -> Self:
        """When the condition holds for at least ``k`` keys of each group, or ``k`` sessions (see ``concurrent``), or
        for a share of them, ``"50%"``: of all that there are at that time, unknown ones included.

        Rows: the group columns, start, end, duration and the boolean ``state``, which is null (unknown time) where the
        keys whose condition is unknown could decide.
        """
        return self._then(Concurrent(expr(condition), named_columns(by, named, "at_least"), _count_or_share(k)))

    def __and__(self, other: Self) -> Self:
        return _assembled({"a": self, "b": other}, col("a") & col("b"), "state")

    def __or__(self, other: Self) -> Self:
        return _assembled({"a": self, "b": other}, col("a") | col("b"), "state")

    def __invert__(self) -> Self:
        return _assembled({"a": self}, ~col("a"), "state")


C = TypeVar("C", bound=Chain)


def combine(condition: Operand, /, *, name: str = "state", **timelines: C) -> C:
    """One timeline from several, also of different streams: an expression of their states.

    ``df.combine(df.col("alive") & (df.col("status") == "up"), alive=..., status=...)``: each timeline is a stream with
    row steps and ``state_duration`` or ``heartbeat``, or is itself combined; the condition refers to its state by the
    argument's name. Unknown is null, and ``& | ~`` are three-valued: false and unknown is false, true and unknown is
    unknown. Rows: the key, start, end, duration, the state under ``name``, and the other columns as last reported by
    any point of the key. ``a & b``, ``a | b`` and ``~a`` of timelines are short for this.
    """
    if not timelines:
        raise DataflowError(
            "combine takes timelines by name, e.g. combine(df.col('alive'), alive=points.heartbeat('5m'))"
        )
    return _assembled(timelines, expr(condition), name)


def at_least(k: int, of: Sequence[C], name: str = "state") -> C:
    """When at least ``k`` of several boolean timelines of a key hold; null where the unknown ones could decide.

    To count the keys of a group instead of the timelines of a key, use the method ``at_least``.
    """
    listed: list[C] = list(of) if isinstance(of, list | tuple) else []
    if not listed:
        raise DataflowError(
            "at_least takes a list of timelines; to count keys use timeline.at_least(k, condition, ...)"
        )
    states = [col(f"t{i + 1}") for i in range(len(listed))]
    true = _sum([when(e).then(1).otherwise(0) for e in states])
    possible = _sum([when(~e).then(0).otherwise(1) for e in states])
    state = when(true >= _count(k)).then(True).when(possible < k).then(False).otherwise(None)
    return _assembled({f"t{i + 1}": t for i, t in enumerate(listed)}, state, name)


def _count_or_share(k: int | str) -> int | str:
    if isinstance(k, str) and not isinstance(k, Setting) and share_of(k) is not None:
        return str.__str__(k)
    if isinstance(k, Setting):
        checked_setting(k, _count_or_share)
        return cast(int, k)
    try:
        return _count(cast(int, k))
    except DataflowError as error:
        raise DataflowError(f"{error}; for a share of the keys write '50%'") from None


def _count(k: int) -> int:
    if isinstance(k, Setting):
        checked_setting(k, _count)
        return cast(int, k)
    k = plain(k)
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise DataflowError(f"at_least takes a positive integer, got {shown(k)}")
    return k


def _sum(terms: Sequence[Expr]) -> Expr:
    """The sum as a balanced tree."""
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return _sum(terms[:half]) + _sum(terms[half:])


def metric_steps(where: str, metric: object) -> tuple[Step, ...]:
    """The steps of a metric that is given as an argument."""
    if not isinstance(metric, Chain):
        raise DataflowError(
            without_call(metric)
            or f"{where} takes metrics, like df.stream('s').group_by('k').agg(...), got {shown(metric)}"
        )
    return metric.steps


def _compared(on: str | Expr | Sequence[str | Expr], key: str | Sequence[str] | None) -> Named:
    """The columns of an answer, and the expressions that they equal."""
    exprs = [on] if isinstance(on, str | Expr) else listed_values(on, "join: on takes a column or a list of columns")
    names = [key] if isinstance(key, str) else exprs if key is None else listed_values(key, "join: key takes names")
    if key is not None and len(names) != len(exprs):
        raise DataflowError(f"join: on has {len(exprs)} columns and key {len(names)}; name one for each")
    out: list[tuple[str, Expr]] = []
    for name, e in zip(names, exprs, strict=True):
        if isinstance(name, Expr) and name.fn == "col":
            name = str(name.option("name"))
        if not isinstance(name, str) or not name:
            raise DataflowError("join: name the answer's column that the expression is looked up in (key=)")
        out.append((str.__str__(name), col(e) if isinstance(e, str) else expr(e)))
    if not out:
        raise DataflowError("join: on takes at least one column")
    if (twice := distinct_names([name for name, _ in out])) is not None:
        raise DataflowError(f"join: the column {twice!r} is given twice")
    return tuple(out)


def _suffix(where: str, suffix: str | None) -> str | None:
    if suffix is not None and not text_of(suffix, f"{where}(suffix)"):
        raise DataflowError(f"{where}: the suffix is empty")
    return suffix


def join(
    first: C,
    *others: Chain | ReferenceTable,
    on: str | Sequence[str],
    how: str = "full",
    suffix: str | None = None,
) -> C:
    """The answers of several metrics side by side, over the same range and parameters: one row for each combination of
    values in the columns ``on``, in their order.

    ``how``: ``"full"`` (the rows of all; what one of them lacks is null), ``"left"`` (the rows of the first) or
    ``"inner"`` (only what all have). A null in ``on`` equals a null, as in a grouping. The first answer may have
    several rows with the same values in ``on``, the others may not. The other columns follow each other; equal names
    are an error, unless there is a ``suffix`` for the later ones. The metrics may be of different streams, and all but
    the first may be reference tables: with a table of all devices, ``df.join(metric, df.table("devices.csv"),
    on="device")`` also has those that never reported. ``sort``,
    ``limit``, ``filter``, ``with_columns``, ``select`` and a further grouping may follow. Without a range, it is from
    the first point of all their streams to the last.
    """
    if how not in ("full", "left", "inner"):
        raise DataflowError(f"df.join: how is 'full', 'left' or 'inner', got {shown(how)}")
    listed = [on] if isinstance(on, str) else listed_values(on, "df.join: on takes a column or a list of columns")
    if wrong := [n for n in listed if not isinstance(n, str) or not n]:
        raise DataflowError(f"df.join: on takes names of columns that all answers have, got {shown(wrong[0])}")
    if not listed or (twice := distinct_names(listed)) is not None:
        raise DataflowError(
            "df.join: on takes at least one column" if not listed else f"df.join: on has {twice!r} twice"
        )
    if isinstance(first, ReferenceTable):
        raise DataflowError("df.join: a metric comes first, then the table: df.join(metric, table, on=...)")
    metric_steps("df.join", first)
    if not others:
        raise DataflowError("df.join takes at least two metrics, or a metric and a table")
    out, columns, later = first, tuple(listed), _suffix("df.join", suffix)
    for other in others:
        if isinstance(other, ReferenceTable):
            for name in columns:
                other.column(name, "df.join")
            out = out._then(BesideTable(other, columns, how, later))
        else:
            out = out._then(SideBySide(metric_steps("df.join", other), columns, how, later))
    return out


def _periods_of(
    metric: Chain,
    on: str | Expr | Sequence[str | Expr],
    key: str | Sequence[str] | None,
    how: str,
    valid_from: str | None,
    valid_to: str | None,
    suffix: str | None,
) -> JoinPeriods:
    """The step that joins the answer of ``metric`` by its periods."""
    if suffix is not None:
        raise DataflowError(
            "join: suffix is for metrics without valid_from and valid_to; rename the column in the metric"
        )
    if not isinstance(on, str | Expr) or not isinstance(key, str | None):
        raise DataflowError(f"join: with valid_from or valid_to it is on one column, got on={shown(on)}")
    for option, name in (("key", key), ("valid_from", valid_from), ("valid_to", valid_to)):
        if name is not None:
            text_of(name, f"join({option})")
    if key is None:
        if not isinstance(on, str):
            raise DataflowError("join: name the answer's column that the expression is looked up in (key=)")
        key = on
    return JoinPeriods(metric_steps("join", metric), one_column(on, "join"), key, how, valid_from, valid_to)


def _windows(
    where: str,
    table: ReferenceTable,
    on: str | Expr,
    key: str | None,
    valid_from: str | None,
    valid_to: str | None,
) -> TablePeriods:
    if not isinstance(table, ReferenceTable):
        raise DataflowError(
            without_call(table)
            or f"{where} takes a reference table, df.table({{...}}) or df.table(path), got {shown(table)}"
        )
    for option, given in (("key", key), ("valid_from", valid_from), ("valid_to", valid_to)):
        if given is not None:
            text_of(given, f"{where}({option})")
    if key is None:
        if not isinstance(on, str):
            raise DataflowError(f"{where}: name the table's column that the expression is looked up in (key=)")
        key = on
    return TablePeriods(table, key, valid_from, valid_to)


def _during(
    where: str,
    periods: Calendar | ReferenceTable,
    on: str | Expr | None,
    key: str | None,
    valid_from: str | None,
    valid_to: str | None,
    inside: bool,
) -> During:
    if isinstance(periods, Calendar):
        if on is not None or key is not None:
            raise DataflowError(f"{where}: a calendar applies to all keys; on= and key= are for tables")
        return During(periods, None, inside)
    if not isinstance(periods, ReferenceTable):
        raise DataflowError(
            without_call(periods)
            or f"{where} takes df.calendar({{...}}) or a reference table, df.table({{...}}), got {shown(periods)}"
        )
    if on is None:
        raise DataflowError(f"{where}: name the column by which rows find their periods in the table (on=)")
    windows = _windows(where, periods, on, key, valid_from, valid_to)
    if valid_from is None and valid_to is None:
        raise DataflowError(f"{where}: periods need a start or end; name the table's columns (valid_from=, valid_to=)")
    indexed(windows.table, windows.key, valid_from, valid_to, where, merge=True)
    return During(windows, one_column(on, where), inside)


# ---- combined timelines


def _assembled(timelines: Mapping[str, C], state: Expr, name: str) -> C:
    """The ``Timeline`` step of these timelines; equal tracks occur once."""
    text_of(name, "the name= of combined timelines")
    tracks: dict[str, Track] = {}
    known: dict[object, str] = {}
    states: dict[str, Expr] = {}
    for label, timeline in timelines.items():
        inner, inner_state = _taken_apart(timeline)
        renamed: dict[str, Expr] = {}
        for track in inner:
            content = content_of((track.steps, track.interval, track.stream or ""))
            if content not in known:
                known[content] = label if len(inner) == 1 and label not in tracks else _fresh(label, tracks)
                tracks[known[content]] = replace(track, name=known[content])
            renamed[track.name] = col(known[content])
        states[label] = _with_columns(inner_state, renamed)
    if len(tracks) > MAX_TRACKS:
        raise DataflowError(f"more than {MAX_TRACKS} timelines cannot be combined in one step")
    first_timeline = next(iter(timelines.values()))
    found = tuple(tracks.values())
    streams = tuple(dict.fromkeys(str(track.stream) for track in found))
    if len(streams) > MAX_STREAMS:
        raise DataflowError(f"timelines of more than {MAX_STREAMS} streams cannot be combined")
    start: Step = Streams(streams)
    if len(streams) == 1:
        start, found = Source(streams[0]), tuple(replace(track, stream=None) for track in found)
    return replace(first_timeline, steps=(start, Timeline(found, _with_columns(state, states), name)))


def _fresh(label: str, taken: dict[str, Track]) -> str:
    n = 1
    while f"{label}{n}" in taken:
        n += 1
    return f"{label}{n}"


def _taken_apart(timeline: Chain) -> tuple[Sequence[Track], Expr]:
    """The tracks of a timeline, each with its stream, and the state."""
    steps = timeline.steps if isinstance(timeline, Chain) else ()
    if len(steps) >= 2 and isinstance(steps[0], Source | Streams):
        body, last = steps[1:-1], steps[-1]
        name = next(steps[0].streams())
        if isinstance(last, Timeline) and not body:
            return [replace(track, stream=track.stream or name) for track in last.tracks], last.state
        rows = [s for s in body if s.in_timelines]
        if isinstance(last, StateDuration | Heartbeat) and len(rows) == len(body):
            return (Track("t", tuple(rows), last, name),), col("t")
    if (call := without_call(timeline)) is not None:
        raise DataflowError(call)
    if any(isinstance(s, KeyBy) for s in steps):
        raise DataflowError(f"{shown(timeline)} cannot be combined with other timelines: {ALONE}")
    if any(list(s.streams()) and not isinstance(s, Source) for s in steps):
        raise DataflowError(
            f"{shown(timeline)} has rows of several streams, of which no timeline can be combined with others; make a "
            "timeline of each stream and combine those"
        )
    raise DataflowError(
        f"{shown(timeline)} is not a timeline; take a stream, filter or extend its points, and end with "
        "state_duration or heartbeat"
    )


def _with_columns(e: Expr, columns: dict[str, Expr]) -> Expr:
    """``e`` with columns replaced; unknown ones stay, so that validation reports them."""
    if e.fn == "col":
        return columns.get(str(e.option("name")), e)
    return replace(e, args=tuple(_with_columns(a, columns) for a in e.args)) if e.args else e
