"""The DSL: aggregates. Nulls are left out; every aggregate takes ``where=``, which leaves out rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from dataflow.expressions.aggregate_calls import Agg, NamedAggs
from dataflow.expressions.aggregate_signatures import options_of, signature_of
from dataflow.expressions.expr import Expr, Operand, col, expr
from dataflow.steps import Heartbeat, StateDuration
from dataflow.steps.base import Step, content_of
from dataflow.times.durations import parse_duration
from dataflow.values.mistaken import listed_values, shown
from operators.aggregates import SIGNATURES
from operators.errors import DataflowError
from operators.nearest import meant

if TYPE_CHECKING:
    from operators.contract import Aggregate

__all__ = [
    "aggregate", "all_true", "any_true", "approx_distinct", "candlestick", "count", "count_distinct",
    "duration", "first", "histogram", "increase", "integral", "known_time", "last", "max", "mean", "median",
    "min", "mtbf", "mttr", "quantile", "rate", "register", "share_of_time", "stddev", "sum",
    "time_weighted_mean", "top_k", "transitions", "unknown_time", "variance",
]  # fmt: skip
"""What ``dataflow`` has of this module: the aggregates, and how to make others."""

Length = str | timedelta


def _agg(fn: str, *args: Operand, where: Operand | None = None, **options: object) -> Agg:
    values = tuple(col(a) if isinstance(a, str) else expr(a) for a in args)
    form = SIGNATURES.get(fn)
    given = () if form is None else options_of(fn, form, options, fn)
    return Agg(fn, values, None if where is None else expr(where), given)


def count(value: Operand | None = None, *, where: Operand | None = None) -> Agg:
    """Rows, or the rows in which ``value`` is not null."""
    return _agg("count", where=where) if value is None else _agg("count", value, where=where)


def sum(value: Operand, *, where: Operand | None = None) -> Agg:
    """The exact sum, rounded once; null over no values. Integers that do not fit in 64 bits are an error."""
    return _agg("sum", value, where=where)


def mean(value: Operand, *, where: Operand | None = None) -> Agg:
    """The mean: the exact sum divided by the number of values, rounded once; of durations a duration, to the
    microsecond, ties to even."""
    return _agg("mean", value, where=where)


def min(value: Operand, *, where: Operand | None = None) -> Agg:
    """The least value."""
    return _agg("min", value, where=where)


def max(value: Operand, *, where: Operand | None = None) -> Agg:
    """The greatest value."""
    return _agg("max", value, where=where)


def first(value: Operand, *, where: Operand | None = None) -> Agg:
    """The earliest value that is not null; at one time and key, in order of arrival."""
    return _agg("first", value, where=where)


def last(value: Operand, *, where: Operand | None = None) -> Agg:
    """The latest value that is not null; at one time and key, in order of arrival."""
    return _agg("last", value, where=where)


def any_true(condition: Operand, *, where: Operand | None = None) -> Agg:
    """Whether the condition was true in any row; null where it never had a value."""
    return _agg("any_true", condition, where=where)


def all_true(condition: Operand, *, where: Operand | None = None) -> Agg:
    """Whether the condition was true in all rows that have a value; null where none has."""
    return _agg("all_true", condition, where=where)


def count_distinct(value: Operand, *, where: Operand | None = None) -> Agg:
    """The exact number of distinct values, nulls apart."""
    return _agg("count_distinct", value, where=where)


def share_of_time(condition: Operand, *, where: Operand | None = None) -> Agg:
    """Of the time in which the state and ``condition`` were known, the share in which ``condition`` is true; null if
    there was none. A condition that is null is not known."""
    return _agg("share_of_time", condition, where=where)


def duration(condition: Operand | None = None, *, where: Operand | None = None) -> Agg:
    """The total duration of the rows, or of those where ``condition`` is true."""
    return _agg("duration", where=where) if condition is None else _agg("duration", condition, where=where)


def known_time(condition: Operand | None = None, *, where: Operand | None = None) -> Agg:
    """The total time in which the state was known; with a ``condition``, in which that was, too: neither true nor
    false is what is null."""
    return _agg("known_time", *(() if condition is None else (condition,)), where=where)


def unknown_time(condition: Operand | None = None, *, where: Operand | None = None) -> Agg:
    """The total time in which the state was not known, including that before a key's first point; with a
    ``condition``, also that in which the condition was not: all that ``known_time`` leaves."""
    return _agg("unknown_time", *(() if condition is None else (condition,)), where=where)


def variance(value: Operand, *, ddof: int = 1, where: Operand | None = None) -> Agg:
    """The variance of a sample (``ddof=1``, as SQL's var_samp) or of a population (``ddof=0``), computed exactly and
    rounded once; null over ``ddof`` values or fewer."""
    return _agg("variance", value, where=where, ddof=ddof)


def stddev(value: Operand, *, ddof: int = 1, where: Operand | None = None) -> Agg:
    """The standard deviation: the root of ``variance``, rounded once; of durations a duration."""
    return _agg("stddev", value, where=where, ddof=ddof)


def quantile(
    value: Operand,
    q: float,
    *,
    exact: bool = False,
    interpolation: Literal["lower", "linear"] = "lower",
    where: Operand | None = None,
) -> Agg:
    """The least of the values that at least a share ``q`` of them does not exceed, as SQL's percentile_disc: of n
    values in order number ``max(1, ceil(q * n))``.

    Exact for groups of up to 1,024 different values; for others within 0.5 % of it, never outside of the group's least
    and greatest value, which 0 and 1 give. ``exact=True``: exact for all, with as much memory as there are different
    values.

    ``interpolation="linear"``: SQL's percentile_cont, which lies between two values: of x[0], x[1], ... in order
    ``x[i] + f * (x[i + 1] - x[i])``, where i and f are the whole part and the rest of ``q * (n - 1)``. It is exact,
    then rounded once: of durations a duration, to the microsecond, ties to even, else a float. Of larger groups it
    lies between estimates of the two values, each within 0.5 %.
    """
    return _agg("quantile", value, where=where, q=q, exact=exact, interpolation=interpolation)


def median(
    value: Operand,
    *,
    exact: bool = False,
    interpolation: Literal["lower", "linear"] = "lower",
    where: Operand | None = None,
) -> Agg:
    """The value in the middle, the lower of two: ``quantile(value, 0.5)``, as exact as that.

    ``interpolation="linear"``: of two values in the middle their mean.
    """
    return _agg("median", value, where=where, exact=exact, interpolation=interpolation)


def histogram(
    value: Operand,
    *,
    width: float | Length | None = None,
    edges: Sequence[float | Length] | None = None,
    where: Operand | None = None,
) -> Agg:
    """Counts by bin: ``[{"from": 0.0, "to": 10.0, "count": 3}, ...]``; a bin holds ``from <= x < to``.

    ``width`` (for durations such as ``"5m"``): bins from a multiple of it to the next, those that hold a value. Of
    floats the edges are multiples of the decimal that was written, and a value is the shortest decimal that gives it:
    0.3 is in the bin from 0.3 of bins 0.1 wide.
    ``edges``, rising: the bins between them, all of them, and the two beyond, whose outer ends are None.
    """
    size = None if width is None else _micros(width)
    listed = None if edges is None else listed_values(edges, "histogram: edges are a list of numbers")
    ends = None if listed is None else tuple(_micros(e) for e in listed)
    if (size is None) == (ends is None):
        raise DataflowError("histogram takes either width= or edges=")
    return _agg("histogram", value, where=where, width=size, edges=ends)


def _micros(value: float | Length) -> float:
    return parse_duration(value, "histogram") if isinstance(value, str | timedelta) else value


def approx_distinct(value: Operand, *, where: Operand | None = None) -> Agg:
    """About how many distinct values there are, nulls apart: HyperLogLog, with a relative standard error of 1.63 %."""
    return _agg("approx_distinct", value, where=where)


def top_k(value: Operand, k: int = 10, *, cap: int = 10_000, where: Operand | None = None) -> Agg:
    """The ``k`` most frequent values and their exact counts: ``[{"value": "a", "count": 3}, ...]``.

    By falling count, then by rising value. A group with more than ``cap`` distinct values is an error
    (CardinalityExceeded).
    """
    return _agg("top_k", value, where=where, k=k, cap=cap)


def transitions(value: Operand, *, where: Operand | None = None) -> Agg:
    """How often a key went from one value to another: ``[{"from": "up", "to": "down", "count": 2}, ...]``.

    Between a key's consecutive reports, the one before the range included; it counts where the later one is.
    """
    return _agg("transitions", value, where=where)


def increase(counter: Operand, *, where: Operand | None = None) -> Agg:
    """By how much counters grew: the sum of the steps between a key's consecutive samples.

    A sample below the one before means that the counter was reset, and counts whole. A step counts where the later
    sample is, the sample before the range included; nothing is extrapolated. Null where there was no step.
    """
    return _agg("increase", counter, where=where)


def rate(counter: Operand, *, where: Operand | None = None) -> Agg:
    """``increase`` per second of the time between the samples that it is counted from; null where there was none."""
    return _agg("rate", counter, where=where)


def candlestick(value: Operand, *, where: Operand | None = None) -> Agg:
    """The first, greatest, least and last value: ``{"open": 1.0, "high": 2.5, "low": 0.5, "close": 2.0}``."""
    return _agg("candlestick", value, where=where)


def mtbf(condition: Operand, *, where: Operand | None = None) -> Agg:
    """Mean time between failures: the time in which ``condition`` was true per change of a key from true to false.

    Over intervals. To the nearest microsecond; null without a failure.
    """
    return _agg("mtbf", condition, where=where)


def mttr(condition: Operand, *, where: Operand | None = None) -> Agg:
    """Mean time to repair: the time in which ``condition`` was false per change of a key from false to true."""
    return _agg("mttr", condition, where=where)


def time_weighted_mean(value: Operand, hold: Length | None = None, *, where: Operand | None = None) -> Agg:
    """The mean of values weighed by the time for which each held, over the time in which one was known.

    Over intervals: the value of the interval by its duration. With ``hold`` over points: each value holds until the
    key's next, at most ``hold``, and up to the end of the range; the same as ``state_duration(value, hold)`` before
    the ``group_by``. All aggregates of that ``agg`` must then be of this kind, of one value and hold.
    """
    return _with_hold(_agg("time_weighted_mean", value, where=where), hold)


def integral(value: Operand, hold: Length | None = None, *, where: Operand | None = None) -> Agg:
    """The values times the seconds for which each held, summed up; otherwise as ``time_weighted_mean``."""
    return _with_hold(_agg("integral", value, where=where), hold)


def aggregate(name: str, *values: Operand, where: Operand | None = None) -> Agg:
    """The registered aggregate ``name`` of ``values``."""
    form = signature_of(name)
    if form is None or not isinstance(name, str) or name in SIGNATURES:
        hint = (
            f"df.{name} is one of ours"
            if isinstance(name, str) and name in SIGNATURES
            else f"{meant(name, SIGNATURES, 'register')} it before: df.register(...)"
        )
        raise DataflowError(f"there is no aggregate {shown(name)} of your own; {hint}")
    if len(values) not in form.arity:
        raise DataflowError(f"{name} takes {form.arity[0]} values, got {len(values)}")
    return _agg(name, *values, where=where)


def register(op: Aggregate) -> Callable[..., Agg]:
    """Make an aggregate of your own known under its name; returns the function that uses it in metrics.

    operators/README.md shows how to write one, and ``check_laws`` what it must keep. RegistrationError says what is
    wrong with the declaration.
    """
    from operators import registry

    registry.register(op)

    def use(*values: Operand, where: Operand | None = None) -> Agg:
        return aggregate(op.name, *values, where=where)

    use.__name__ = use.__qualname__ = op.name
    use.__doc__ = f"The registered aggregate {op.name!r}."
    return use


_HOLD = "hold"


def _with_hold(a: Agg, hold: Length | None) -> Agg:
    return a if hold is None else replace(a, options=((_HOLD, parse_duration(hold, f"{a.fn}(hold)")),))


def hold_of(a: Agg) -> int | None:
    """The ``hold`` of an aggregate that makes its own intervals; None for all others."""
    found = dict(a.options).get(_HOLD)
    return found if isinstance(found, int) else None


def over_intervals(steps: tuple[Step, ...], aggs: NamedAggs) -> tuple[tuple[Step, ...], NamedAggs]:
    """Aggregates with a ``hold``, as intervals and aggregates of them; all others as they are."""
    holds = {(content_of(a.args[0]), hold_of(a)) for _, a in aggs if hold_of(a) is not None}
    if not holds:
        return steps, aggs
    if len(holds) > 1 or any(hold_of(a) is None for _, a in aggs):
        raise DataflowError(
            "agg: aggregates with hold= go over intervals of one value, and not beside others; "
            "use state_duration(value, hold) before group_by"
        )
    if any(isinstance(s, StateDuration | Heartbeat) for s in steps):
        raise DataflowError("agg: the rows are intervals already; leave out hold=")
    value, hold = aggs[0][1].args[0], hold_of(aggs[0][1])
    name = str(value.option("name")) if value.fn == "col" else "value"
    column: tuple[Expr, ...] = (col(name),)
    plain = tuple((n, replace(a, args=column, options=())) for n, a in aggs)
    return (*steps, StateDuration(value, name, hold)), plain
