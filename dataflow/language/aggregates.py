"""The DSL's aggregates. They skip nulls; every aggregate takes ``where=``, a condition that selects rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, cast

from dataflow.expressions.aggregate_calls import Agg, NamedAggs
from dataflow.expressions.aggregate_signatures import option_written, options_of, signature_of
from dataflow.expressions.expr import Expr, Operand, col, condition_of, expr
from dataflow.steps import Heartbeat, StateDuration
from dataflow.steps.base import Step, content_of
from dataflow.values.mistaken import listed_values, shown
from dataflow.values.settings import Setting
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
    known = {} if form is None else {o.name: o for o in form.options}
    written = {n: option_written(fn, known[n], v) for n, v in options.items()}
    given = () if form is None else options_of(fn, form, written, fn)
    return Agg(fn, values, None if where is None else condition_of(where, f"{fn}: where="), given)


def count(value: Operand | None = None, *, where: Operand | None = None) -> Agg:
    """The number of rows, or of rows in which ``value`` is not null: those in which a condition holds are
    ``count(where=condition)``."""
    return _agg("count", where=where) if value is None else _agg("count", value, where=where)


def sum(value: Operand, *, where: Operand | None = None) -> Agg:
    """The exact sum, rounded once; null over no values. Integers that do not fit in 64 bits are an error."""
    return _agg("sum", value, where=where)


def mean(value: Operand, *, where: Operand | None = None) -> Agg:
    """The mean: the exact sum divided by the number of values, rounded once. A mean of durations is a duration, rounded
    to the microsecond, ties to even."""
    return _agg("mean", value, where=where)


def min(value: Operand, *, where: Operand | None = None) -> Agg:
    """The least value."""
    return _agg("min", value, where=where)


def max(value: Operand, *, where: Operand | None = None) -> Agg:
    """The greatest value."""
    return _agg("max", value, where=where)


def first(value: Operand, *, where: Operand | None = None) -> Agg:
    """The earliest non-null value; within one time, by the hash of the key; within one key, the first to arrive."""
    return _agg("first", value, where=where)


def last(value: Operand, *, where: Operand | None = None) -> Agg:
    """The latest non-null value; within one time, by the hash of the key; within one key, the last to arrive."""
    return _agg("last", value, where=where)


def any_true(condition: Operand, *, where: Operand | None = None) -> Agg:
    """Whether the condition is true in any row; null if it is null in all rows."""
    return _agg("any_true", condition, where=where)


def all_true(condition: Operand, *, where: Operand | None = None) -> Agg:
    """Whether the condition is true in all rows where it is not null; null if there is none."""
    return _agg("all_true", condition, where=where)


def count_distinct(value: Operand, *, where: Operand | None = None) -> Agg:
    """The exact number of distinct non-null values."""
    return _agg("count_distinct", value, where=where)


def share_of_time(condition: Operand, *, where: Operand | None = None) -> Agg:
    """The share of time in which ``condition`` is true, of the time in which the state and ``condition`` are known (not
    null); null if there is no such time."""
    return _agg("share_of_time", condition, where=where)


def duration(condition: Operand | None = None, *, where: Operand | None = None) -> Agg:
    """The total duration of the rows, or of those where ``condition`` is true."""
    return _agg("duration", where=where) if condition is None else _agg("duration", condition, where=where)


def known_time(condition: Operand | None = None, *, where: Operand | None = None) -> Agg:
    """The total time in which the state is known; with a ``condition``, in which the condition is also known, that is,
    not null."""
    return _agg("known_time", *(() if condition is None else (condition,)), where=where)


def unknown_time(condition: Operand | None = None, *, where: Operand | None = None) -> Agg:
    """The total time in which the state is unknown, including the time before a key's first point; with a
    ``condition``, also the time in which the condition is null. The complement of ``known_time``."""
    return _agg("unknown_time", *(() if condition is None else (condition,)), where=where)


def variance(value: Operand, *, ddof: int = 1, where: Operand | None = None) -> Agg:
    """The variance of a sample (``ddof=1``, as SQL's var_samp) or of a population (``ddof=0``), computed exactly and
    rounded once; null over ``ddof`` values or fewer."""
    return _agg("variance", value, where=where, ddof=ddof)


def stddev(value: Operand, *, ddof: int = 1, where: Operand | None = None) -> Agg:
    """The standard deviation: the square root of ``variance``, rounded once; a duration for durations."""
    return _agg("stddev", value, where=where, ddof=ddof)


def quantile(
    value: Operand,
    q: float,
    *,
    exact: bool = False,
    interpolation: Literal["lower", "linear"] = "lower",
    where: Operand | None = None,
) -> Agg:
    """The ``q``-quantile, like SQL's percentile_disc: of n values in ascending order number ``max(1, ceil(q * n))``.

    Exact for groups of up to 1,024 distinct values. For larger groups within 0.5 % of the exact value, and never
    outside of the group's least and greatest value, which q = 0 and 1 return. ``exact=True``: always exact, with memory
    for every distinct value.

    ``interpolation="linear"``: like SQL's percentile_cont, ``x[i] + f * (x[i + 1] - x[i])`` of the ascending values
    x[0], x[1], ..., where i and f are the integer and fractional parts of ``q * (n - 1)``. Computed exactly and rounded
    once: to a float, or for durations to the microsecond, ties to even. For larger groups it lies between estimates of
    the two values, each within 0.5 %.
    """
    return _agg("quantile", value, where=where, q=q, exact=exact, interpolation=interpolation)


def median(
    value: Operand,
    *,
    exact: bool = False,
    interpolation: Literal["lower", "linear"] = "lower",
    where: Operand | None = None,
) -> Agg:
    """The middle value, the lower of two: ``quantile(value, 0.5)``, with the same accuracy.

    ``interpolation="linear"``: the mean of two middle values.
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

    ``width`` (of durations a length like ``"5m"``, else a number): bins between consecutive multiples of it, those that
    hold a value.
    For floats the edges are multiples of the decimal as written, and a value is read as the shortest decimal that gives
    it: with bins 0.1 wide, 0.3 is in the bin that starts at 0.3.
    ``edges``, ascending: all bins between them, and one beyond each end, whose outer edge is None.
    """
    listed = None if edges is None else listed_values(edges, "histogram: edges are a list of numbers")
    if (width is None) == (listed is None):
        raise DataflowError("histogram takes either width= or edges=")
    return _agg("histogram", value, where=where, width=width, edges=listed)


def approx_distinct(value: Operand, *, where: Operand | None = None) -> Agg:
    """An estimate of the number of distinct non-null values: HyperLogLog, with a relative standard error of 1.63 %."""
    return _agg("approx_distinct", value, where=where)


def top_k(value: Operand, k: int = 10, *, cap: int = 10_000, where: Operand | None = None) -> Agg:
    """The ``k`` most frequent values and their exact counts: ``[{"value": "a", "count": 3}, ...]``.

    Ordered by descending count, then by ascending value. A group with more than ``cap`` distinct values is an error
    (CardinalityExceeded).
    """
    return _agg("top_k", value, where=where, k=k, cap=cap)


def transitions(value: Operand, *, where: Operand | None = None) -> Agg:
    """How often a key went from one value to another: ``[{"from": "up", "to": "down", "count": 2}, ...]``.

    Between a key's consecutive reports, including the one before the range; a change counts where the later report is.
    """
    return _agg("transitions", value, where=where)


def increase(counter: Operand, *, where: Operand | None = None) -> Agg:
    """The increase of counters: the sum of the increments between a key's consecutive samples.

    A sample below the previous one means that the counter was reset; the whole sample is then the increment. An
    increment counts at its later sample, whose row ``where`` chooses; the earlier one may lie before the range. Nothing
    is extrapolated. Null if there is no increment.
    """
    return _agg("increase", counter, where=where)


def rate(counter: Operand, *, where: Operand | None = None) -> Agg:
    """``increase`` per second of the time between its samples; null if there is none. Of several keys the sum of steps
    by the sum of times, not the sum of rates."""
    return _agg("rate", counter, where=where)


def candlestick(value: Operand, *, where: Operand | None = None) -> Agg:
    """The first, greatest, least and last value: ``{"open": 1.0, "high": 2.5, "low": 0.5, "close": 2.0}``."""
    return _agg("candlestick", value, where=where)


def mtbf(condition: Operand, *, where: Operand | None = None) -> Agg:
    """Mean time between failures: the time in which ``condition`` was true per change of a key from true to false.

    For intervals. Rounded to the nearest microsecond; null without a failure.
    """
    return _agg("mtbf", condition, where=where)


def mttr(condition: Operand, *, where: Operand | None = None) -> Agg:
    """Mean time to repair: the time in which ``condition`` was false per change of a key from false to true."""
    return _agg("mttr", condition, where=where)


def time_weighted_mean(
    value: Operand,
    hold: Length | None = None,
    *,
    between: Literal["steps", "linear"] = "steps",
    where: Operand | None = None,
) -> Agg:
    """The mean of values, weighted by the time for which each lasts, over the time in which the value is known.

    For intervals, a value lasts for the interval's duration. For points, give ``hold``: each value lasts until the
    key's next one, at most ``hold``, and until the end of the range, the same as ``state_duration(value, hold)`` before
    ``group_by``. All aggregates of that ``agg`` must then have the same value and hold.

    ``between="linear"``, for points: along the straight lines between a key's reports. Each line counts where its later
    report is, as an increment of ``increase`` does; the earlier one may lie before the range. Nothing is known before a
    key's first report, after its last, or between two that are more than ``hold`` apart. Null if there is no line.
    """
    return _over_time("time_weighted_mean", value, hold, between, where)


def integral(
    value: Operand,
    hold: Length | None = None,
    *,
    between: Literal["steps", "linear"] = "steps",
    where: Operand | None = None,
) -> Agg:
    """The sum of the values times the seconds for which each lasts; otherwise like ``time_weighted_mean``."""
    return _over_time("integral", value, hold, between, where)


def aggregate(name: str, *values: Operand, where: Operand | None = None) -> Agg:
    """The registered aggregate ``name`` of ``values``."""
    form = signature_of(name)
    if form is None or not isinstance(name, str) or name in SIGNATURES:
        hint = (
            f"df.{name} is built in"
            if isinstance(name, str) and name in SIGNATURES
            else f"{meant(name, SIGNATURES, 'register')} it first: df.register(...)"
        )
        raise DataflowError(f"there is no custom aggregate {shown(name)}; {hint}")
    if len(values) not in form.arity:
        raise DataflowError(f"{name} takes {form.arity[0]} values, got {len(values)}")
    return _agg(name, *values, where=where)


def register(op: Aggregate) -> Callable[..., Agg]:
    """Register a custom aggregate under its name; returns the function that uses it in metrics.

    operators/AGGREGATES.md shows how to write one; ``check_laws`` tests it. Raises RegistrationError for a wrong
    declaration.
    """
    from operators import registry

    registry.register(op)

    def use(*values: Operand, where: Operand | None = None) -> Agg:
        return aggregate(op.name, *values, where=where)

    use.__name__ = use.__qualname__ = op.name
    use.__doc__ = f"The registered aggregate {op.name!r}."
    return use


_HOLD = "hold"


def _over_time(fn: str, value: Operand, hold: Length | None, between: str, where: Operand | None) -> Agg:
    if isinstance(between, Setting):
        raise DataflowError(f"{fn}: between= is 'steps' or 'linear', and no parameter: the rows depend on it")
    given = {} if hold is None else {_HOLD: hold}
    return _agg(fn, value, where=where, between=between, **given)


def hold_of(a: Agg) -> int | None:
    """The ``hold`` of an aggregate that makes its own intervals, or its parameter; None for others."""
    found = None if ("between", "linear") in a.options else dict(a.options).get(_HOLD)
    return cast(int | None, found)


def over_intervals(steps: tuple[Step, ...], aggs: NamedAggs) -> tuple[tuple[Step, ...], NamedAggs]:
    """Replace aggregates that have a ``hold`` by intervals and aggregates of these; leave others unchanged."""
    holds = {(content_of(a.args[0]), repr(hold_of(a))) for _, a in aggs if hold_of(a) is not None}
    if not holds:
        return steps, aggs
    if len(holds) > 1 or any(hold_of(a) is None for _, a in aggs):
        raise DataflowError(
            "agg: all aggregates next to one with hold= must have the same value and hold; "
            "otherwise use state_duration(value, hold) before group_by"
        )
    if any(isinstance(s, StateDuration | Heartbeat) for s in steps):
        raise DataflowError("agg: the rows are intervals already; leave out hold=")
    value, hold = aggs[0][1].args[0], hold_of(aggs[0][1])
    name = str(value.option("name")) if value.fn == "col" else "value"
    column: tuple[Expr, ...] = (col(name),)
    plain = tuple((n, replace(a, args=column, options=())) for n, a in aggs)
    return (*steps, StateDuration(value, name, hold)), plain
