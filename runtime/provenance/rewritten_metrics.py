"""Rewrites a metric into drill-down metrics for one row of its result: steps in, steps out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from decimal import Decimal

from dataflow.expressions.aggregate_calls import Agg, Named, NamedAggs
from dataflow.expressions.expr import Expr, col, expr, when
from dataflow.expressions.functions import LOOKING, STATEFUL
from dataflow.steps import (
    Filter,
    GroupBy,
    Select,
    WithColumns,
)
from dataflow.steps.base import INTERVALS, TABLE, Step
from dataflow.times.calendar_tables import longest_bucket
from dataflow.typed.clock import asks_clock
from operators.aggregates import SIGNATURES, counts_before_first
from operators.types import Type

Value = tuple[Type, object]
"""A value of a result, and its type."""

Span = tuple[int, int]
"""The first and last time, microseconds UTC."""

DAY, FIRST, LAST, ROWS, UNKNOWN = "$day", "$first", "$last", "$rows", "$unknown"
"""Columns of ``reach``."""

_SEEN = "$seen"
_now = Expr("time")
_OWN_TIME = ("start", "end", "duration")


@dataclass(frozen=True)
class MetricGrouping:
    """A grouping of a metric: the steps ``before`` it, the group columns ``by``, and the aggregates ``aggs``."""

    before: tuple[Step, ...]
    by: Named
    aggs: NamedAggs
    at_once: bool = False
    """Whether it counts concurrent keys, over intervals of constant counts."""

    counted_from: tuple[str, Expr] | None = None
    """See ``StepGroups``."""
    spans: bool = False
    """Whether each of its rows has the points of the group from its ``start`` to its ``end``."""

    @property
    def made_by(self) -> Step:
        """The step that produced the grouped rows."""
        return next(s for s in reversed(self.before) if s.makes is not None)

    @property
    def intervals(self) -> bool:
        """Whether the rows are intervals, which time buckets cut."""
        return self.made_by.makes == INTERVALS

    @property
    def table(self) -> bool:
        """Whether the rows come from a table: another grouping, or sorted rows."""
        return self.made_by.makes == TABLE


def groupings(steps: Sequence[Step]) -> list[tuple[int, MetricGrouping]]:
    """The groupings of a metric, first to last, each with its place among the steps."""
    found = ((i, tuple(steps[:i]), step.groups()) for i, step in enumerate(steps))
    return [
        (i, MetricGrouping(before, g.by, g.aggs, g.at_once, g.counted_from, g.spans))
        for i, before, g in found
        if g is not None
    ]


def narrowed(grouping: MetricGrouping, values: Mapping[str, Value]) -> MetricGrouping:
    """The grouping of only those rows that a row of the result, with these ``values``, is about."""
    if grouping.counted_from is None or grouping.counted_from[0] not in values:
        return grouping
    column, counted = grouping.counted_from
    kind, value = values[column]
    return replace(grouping, before=(*grouping.before, Filter(counted >= _lit(value, kind))))


def shown_as(grouping: MetricGrouping, after: Sequence[Step]) -> dict[str, str]:
    """The result column, after all steps ``after`` a grouping, that shows each of its group columns."""
    shown = {name: name for name, _ in grouping.by}
    for step in after:
        if step.drops_others or step.new_columns():
            columns = step.new_columns()
            new = {name: shown.get(str(e.option("name"))) if e.fn == "col" else None for name, e in columns}
            kept = {} if step.drops_others else shown
            shown = {name: of for name, of in {**kept, **new}.items() if of is not None}
        elif step.spreads is not None:
            # Of a group column that two columns show, a pivot keeps the one with its name.
            shown = {n: of for n, of in shown.items() if n != step.spreads and (n == of or of not in shown)}
    return {of: name for name, of in shown.items()}


def spread_columns(grouping: MetricGrouping, after: Sequence[Step]) -> set[str]:
    """The group columns of a grouping whose values became columns in the steps ``after`` it: rows have any of them."""
    pivots = ((step.spreads, shown_as(grouping, after[:i])) for i, step in enumerate(after) if step.spreads is not None)
    return {of for spread, shown in pivots for of, name in shown.items() if name == spread}


def expressions(part: object) -> Iterator[Expr]:
    """Every node of every expression in a step, or in a part of one."""
    return (found for found in _parts(part) if isinstance(found, Expr))


def _parts(part: object) -> Iterator[object]:
    """A step, or a part of one, and all parts of it: expressions, aggregates, steps."""
    if isinstance(part, tuple):
        for inner in part:
            yield from _parts(inner)
    elif is_dataclass(part):
        yield part
        for f in fields(part):
            yield from _parts(getattr(part, f.name))


def names_in(part: object) -> list[str]:
    """The columns that a step, or a part of one, refers to, each once."""
    return list(dict.fromkeys(str(e.option("name")) for e in expressions(part) if e.fn == "col"))


def equal(e: Expr, value: Value) -> Expr:
    """Whether ``e`` is in the group of a value, with the equality of groupings: null equals null, NaN equals NaN."""
    kind, of = value
    if of is None:
        return e.is_null()
    if isinstance(of, bool):
        return e if of else ~e
    if isinstance(of, Decimal):
        # As units: a float would be another number where the decimal has more than 15 digits.
        return e == _lit(int(of.scaleb(kind.places or 0)), kind)
    if isinstance(of, float):
        if of != of:
            return e != e
        if abs(of) > sys.float_info.max:
            return e > sys.float_info.max if of > 0 else e < -sys.float_info.max
    if kind in (Type.TIME, Type.DURATION):
        return e == _lit(of, kind)
    assert isinstance(of, int | float | str)
    return e == of


def all_of(conditions: Sequence[Expr]) -> Expr:
    """Whether all conditions hold."""
    return _joined("and", conditions)


def any_of(conditions: Sequence[Expr]) -> Expr:
    """Whether any condition holds."""
    return _joined("or", conditions)


def _joined(fn: str, parts: Sequence[Expr]) -> Expr:
    """The parts in a balanced tree, because depth is bounded."""
    if len(parts) < 2:
        return parts[0] if parts else expr(fn == "and")
    half = len(parts) // 2
    return Expr(fn, (_joined(fn, parts[:half]), _joined(fn, parts[half:])))


def _lit(value: object, kind: Type) -> Expr:
    return Expr("lit", (), (("type", kind.value), ("value", value)))


_INSTANT = _lit(1, Type.DURATION)


def _time(micros: int) -> Expr:
    return _lit(micros, Type.TIME)


class Behind:
    """The rows behind some groups of one grouping.

    ``key`` is the stream's key, ``columns`` are its other columns. ``groups`` are the groups, each as values by group
    column (a missing name: any value); None for all. ``span``: only rows, or parts of intervals, in it.
    """

    def __init__(
        self,
        grouping: MetricGrouping,
        key: str,
        columns: Sequence[str],
        groups: Sequence[Mapping[str, Value]] | None,
        span: Span | None = None,
    ) -> None:
        self._columns = set(columns)
        self._taken = {*columns, key, *_OWN_TIME, *names_in(grouping.before), *names_in((grouping.by, grouping.aggs))}
        self.grouping, self.key, self.groups, self.span = self._with_pieces(grouping, groups), key, groups, span
        grouping = self.grouping
        self.start = col("start") if grouping.intervals else _now
        self.by = [(self._label(name, e), e) for name, e in grouping.by]
        self.arguments = [(self._label(name, e), e) for name, e in self._argument_parts()]
        self._labels = {name: label for (name, _), (label, _) in zip(grouping.by, self.by, strict=True)}

    def _with_pieces(self, grouping: MetricGrouping, groups: Sequence[Mapping[str, Value]] | None) -> MetricGrouping:
        """The grouping, with the intervals that it cuts at buckets already cut, by columns."""
        moving = {name: self._label(name, e) for name, e in grouping.by if asks_clock(e)} if grouping.intervals else {}
        if not moving:
            return grouping
        near = [] if _is_stateful((grouping.by, grouping.aggs)) else _near(grouping.by, groups)
        columns = tuple((moving[n], e) for n, e in grouping.by if n in moving)
        steps: list[Step] = [Filter(all_of(near))] if near else []
        by = tuple((n, col(moving[n]) if n in moving else e) for n, e in grouping.by)
        return replace(grouping, before=(*grouping.before, *steps, WithColumns(columns)), by=by)

    @property
    def _cuts(self) -> bool:
        """Whether aggregates cut the intervals, each separately."""
        return self.grouping.intervals and any(asks_clock(e) for _, e in self.arguments)

    @property
    def asks_unknown(self) -> bool:
        """Whether the time before a key's first point counts, too."""
        return any(counts_before_first(agg.fn) for _, agg in self.grouping.aggs)

    def _label(self, name: str, e: Expr) -> str:
        """The column that shows ``e``: itself if it is a column, else one with a fresh name."""
        if e.fn == "col" and (e.option("name") == name or name in self._taken):
            return str(e.option("name"))
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def _argument_parts(self) -> Iterator[tuple[str, Expr]]:
        for name, agg in self.grouping.aggs:
            for i, e in enumerate(agg.args):
                yield (str(e.option("name")) if e.fn == "col" else name if i == 0 else f"{name}_{i + 1}"), e
            if agg.where is not None:
                yield f"{name}_where", agg.where

    def _condition(self) -> Expr | None:
        """Whether a row is in one of the groups."""
        if self.groups is None:
            return None
        groups = [[equal(col(self._labels[n]), v) for n, v in group.items()] for group in self.groups]
        return any_of([all_of(parts) for parts in groups]) if all(groups) else None

    def _chosen(self, before: Sequence[Step], ending: bool = False) -> tuple[Step, ...]:
        """The chosen rows with the values that identify them; with ``ending`` also those that begin exactly where the
        span ends, because they may have ended it."""
        stateful = [(n, e) for n, e in self.arguments if _is_stateful(e) and not asks_clock(e)]
        # Expressions that look at earlier rows must run before rows are dropped.
        new = [*self.by, *(stateful if self.grouping.intervals else self.arguments)]
        added = tuple({n: (n, e) for n, e in new if e.fn != "col" or e.option("name") != n}.values())
        steps = [*before] + ([WithColumns(added)] if added else [])
        conditions = [c for c in (self._condition(),) if c is not None]
        if self.span is not None and not self.grouping.table:
            lo, hi = _time(self.span[0]), _time(self.span[1])
            if self.grouping.intervals and self.span[0] < self.span[1]:
                conditions += [col("end") > lo, self.start <= hi if ending else self.start < hi]
            elif self.grouping.at_once and not self.grouping.intervals:
                # Sessions, to which the instant of their last point belongs.
                conditions += [col("end") >= lo, self.start < hi]
            else:
                conditions += [(col("end") if self.grouping.intervals else _now) >= lo, self.start <= hi]
        return (*steps, Filter(all_of(conditions))) if conditions else tuple(steps)

    def rows(self) -> tuple[Step, ...]:
        """The metric whose result is the rows. Intervals are cut as the grouping and its aggregates cut them; ``count``
        is the number of identical ones (empty intervals may coincide), and ``unknown`` the unknown duration, if
        requested."""
        grouping = self.grouping
        if not grouping.intervals:
            return self._chosen(_with_ends(grouping.before) if grouping.at_once else grouping.before)
        made = grouping.made_by
        shown: dict[str, Expr] = {self.key: col(self.key)} if made.of_keys else {}
        start, end = self.start, col("end")
        if self.span is not None:
            lo, hi = _time(self.span[0]), _time(self.span[1])
            start, end = when(start < lo).then(lo).otherwise(start), when(end > hi).then(hi).otherwise(end)
        shown |= {"start": start, "end": end, "duration": end - start}
        own = [*made.own_columns, *(n for n in names_in((grouping.by, grouping.aggs)) if n not in shown)]
        shown |= {n: col(n) for n in own if n in _visible(grouping.before, own)}
        shown |= {name: col(name) for name, _ in self.by if name not in shown}
        for name, e in self.arguments:
            shown.setdefault(name, e if asks_clock(e) or not _is_stateful(e) else col(name))
        unknown = [(self._label("unknown", _now), Agg("unknown_time"))] if self.asks_unknown else []
        steps, began = self._chosen(_with_ends(grouping.before)), None
        if self._cuts:
            begin = self._label("began", _now)
            steps, began = (*steps, WithColumns(((begin, self.start),))), self.start == col(begin)
        aggs = ((self._label("count", _now), Agg("count", (), began)), *unknown)
        return (*steps, GroupBy(tuple(shown.items()), aggs))

    def first_keys(self, last: Value) -> tuple[Step, ...]:
        """The rows of the keys up to ``last``, in key order."""
        limit = str(last[1]) if last[0] is Type.STRING else last[1]
        return (*self.rows(), Filter(col(self.key) <= limit))  # type: ignore[operator]

    def _cutting(self) -> list[Step]:
        """The steps before the grouping that cut intervals at buckets."""
        before = self.grouping.before
        after = before[_rows_at(before) + 1 :] if self.grouping.intervals else ()
        return [s for s in after if asks_clock(s) or s.cuts_by_table]

    def _buckets(self) -> list[Expr] | None:
        """The time buckets that cut the intervals, if nothing else does."""
        cutting = self._cutting()
        found = [e for _, e in cutting[0].new_columns()] if len(cutting) == 1 else []
        return found if found and all(map(_is_bucket, found)) else None

    @property
    def comes_again(self) -> bool:
        """Whether pieces of the groups may recur at any time, like those of an hour of the day: an interval outside all
        groups would be in one if it were longer, so each point of the keys matters."""
        return bool(self._cutting()) and self._buckets() is None

    def reach(self) -> tuple[Step, ...]:
        """The metric that gives, per key and day, the number of rows and the span of the key's points that matter for
        them: from the report of the oldest value that a row holds to the last row."""
        before = _with_ends(self.grouping.before)
        before, seen = _with_seen(before, (self.grouping.by, self.grouping.aggs), self._columns)
        made = self.grouping.made_by
        first: list[Expr] = [self.start, *made.earliest()]
        last = col("end") if made.has_length else _now
        for e in made.latest():
            last = when(e > last).then(e).otherwise(last)
        for bucket in self._buckets() or ():
            # The end of a bucket ends its piece. Points in the bucket before its first piece exclude others from it.
            first.append(replace(bucket, args=(self.start,)))
            last = when(replace(bucket, args=(col("end"),)) == col("end")).then(col("end") - _INSTANT).otherwise(last)
        aggs = [(ROWS, Agg("count")), (LAST, Agg("max", (last,)))]
        aggs += [(f"{FIRST}{i}", Agg("min", (e,))) for i, e in enumerate([*first, *map(col, seen)])]
        if self.asks_unknown:
            aggs.append((UNKNOWN, Agg("unknown_time")))
        day = Expr("truncate", (self.start,), (("every", "1d"), ("zone", "UTC")))
        by = {self.key: col(self.key), DAY: day}
        return (*self._chosen(before, ending=True), GroupBy(tuple(by.items()), tuple(aggs)))


def looks_back(steps: object) -> bool:
    """Whether rows depend on earlier points in ways that the steps alone do not show."""
    return _is_stateful(steps) or (isinstance(steps, tuple) and any(s.looks_back or s.has_parts for s in steps))


def _is_stateful(part: object) -> bool:
    if any(isinstance(found, Agg) and _remembers(found) for found in _parts(part)):
        return True
    return any(n.fn in (*STATEFUL, *LOOKING) for n in expressions(part))


def _remembers(agg: Agg) -> bool:
    """Whether what it counts in a row depends on the row before: as its signature says, or with straight lines."""
    signature = SIGNATURES.get(agg.fn)
    return signature is not None and (signature.remembers or signature.of_points in agg.options)


def _is_bucket(e: Expr) -> bool:
    return e.fn == "truncate" and e.args[0].fn == "time"


def _near(by: Named, groups: Sequence[Mapping[str, Value]] | None) -> list[Expr]:
    """Only intervals that can overlap the requested bucket: the others need not be cut."""
    out: list[Expr] = []
    for name, e in by if groups is not None and len(groups) == 1 else ():
        _, at = groups[0].get(name, (None, None)) if groups else (None, None)
        if _is_bucket(e) and isinstance(at, int):
            past = at + longest_bucket(str(e.option("every")))
            out += [col("end") >= _time(at), col("start") <= _time(past)]
    return out


def _visible(before: Sequence[Step], names: Sequence[str]) -> set[str]:
    """The names that no ``select`` dropped."""
    out = set(names)
    for step in before:
        if step.drops_others:
            out &= {n for n, _ in step.new_columns()}
    return out


def _rows_at(steps: Sequence[Step]) -> int:
    """The index of the step that produces rows with a duration."""
    return max((i for i, s in enumerate(steps) if s.follows_keys), default=-1)


def _kept(steps: Sequence[Step], names: Sequence[str]) -> tuple[Step, ...]:
    """The steps, with these columns added to every ``select``."""
    out: list[Step] = []
    for step in steps:
        if step.drops_others:
            has = {n for n, _ in step.new_columns()}
            step = Select((*step.new_columns(), *((n, col(n)) for n in names if n not in has)))
        out.append(step)
    return tuple(out)


def _with_ends(before: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps, with the start and end of rows kept to the end."""
    at = _rows_at(before)
    if at < 0:
        return before
    return (*before[: at + 1], *_kept(before[at + 1 :], before[at].drill_columns))


def _with_seen(before: tuple[Step, ...], after: object, columns: set[str]) -> tuple[tuple[Step, ...], list[str]]:
    """The steps with, for every held column, another held column with the report time of its value; and the names of
    these."""
    at = _rows_at(before)
    if at < 0 or before[at].looks_back or looks_back(before):
        return before, []
    made = before[at]
    known = set(columns)
    for step in before[:at]:
        new = {n for n, _ in step.new_columns()}
        known = new if step.drops_others else known | new
    now = col("start") if any(s.makes == INTERVALS for s in before[:at]) else _now
    # Even where nothing was reported yet, some point shows that the key exists.
    reported: dict[str, Expr] = {f"{_SEEN}0": now}
    if (state := made.state_reported) is not None:
        reported[f"{_SEEN}1"] = when(state.is_not_null()).then(now).otherwise(None)
    for name in names_in((before[at + 1 :], after)):
        if name in known:
            reported[f"{_SEEN}{len(reported) + 1}"] = when(col(name).is_not_null()).then(now).otherwise(None)
    names = list(reported)
    return (*before[:at], WithColumns(tuple(reported.items())), made, *_kept(before[at + 1 :], names)), names
