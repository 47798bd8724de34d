"""The DSL's aggregates of two columns, of the shape of values, and of values picked or listed."""

from __future__ import annotations

from dataflow.expressions.aggregate_calls import Agg
from dataflow.expressions.expr import Operand
from dataflow.language.aggregates import Length, _agg

__all__ = ["collect", "correlation", "covariance", "kurtosis", "max_by", "min_by", "mode", "skewness", "slope"]
"""What ``dataflow`` has of this module."""


def max_by(value: Operand, by: Operand, *, where: Operand | None = None) -> Agg:
    """The value in the row where ``by`` is greatest; rows in which either is null do not count.

    Of several such rows the first by time, then by the hash of its key, then by arrival; in a table, whose rows have no
    time, the first row.
    ``by`` is a number, a time, a duration or a condition.
    """
    return _agg("max_by", value, by, where=where)


def min_by(value: Operand, by: Operand, *, where: Operand | None = None) -> Agg:
    """The value in the row where ``by`` is least; otherwise like ``max_by``."""
    return _agg("min_by", value, by, where=where)


def mode(value: Operand, *, where: Operand | None = None) -> Agg:
    """The most frequent value; null over no values.

    Of several the one that was reported first by time, then by the hash of the key; of those that a key reported first
    at one time, and in a table, whose rows have no time, the least. Its memory grows with the number of distinct
    values.
    """
    return _agg("mode", value, where=where)


def collect(value: Operand, *, first: int, where: Operand | None = None) -> Agg:
    """A list of the ``first`` values, at most 1,000, by time, then by the hash of the key, then by arrival: ``["a"]``.

    In a table, whose rows have no time, in its order. Every group has room for ``first`` values, 24 bytes each.
    """
    return _agg("collect", value, where=where, first=first)


def slope(y: Operand, x: Operand, *, per: Length | None = None, where: Operand | None = None) -> Agg:
    """The slope of the line through the points (x, y) by least squares, like SQL's regr_slope: y per 1 of x.

    Where x is a time or a duration, y per second, or ``per`` that length: ``df.slope("charge", df.time(), per="1h")``.
    y is a number. Exact, rounded once. Points in which either is null do not count; null if all x are equal.
    """
    return _agg("slope", y, x, where=where, per=per)


def correlation(y: Operand, x: Operand, *, where: Operand | None = None) -> Agg:
    """Pearson's coefficient of correlation, from -1 to 1, like SQL's corr: exact, rounded once.

    Rows in which either is null do not count; null if all x, or all y, are equal.
    """
    return _agg("correlation", y, x, where=where)


def covariance(y: Operand, x: Operand, *, ddof: int = 1, where: Operand | None = None) -> Agg:
    """The covariance of a sample (``ddof=1``, as SQL's covar_samp) or of a population (``ddof=0``): exact, rounded
    once. Times and durations count microseconds, as in ``variance``.

    Rows in which either is null do not count; null over ``ddof`` rows or fewer.
    """
    return _agg("covariance", y, x, where=where, ddof=ddof)


def skewness(value: Operand, *, ddof: int = 1, where: Operand | None = None) -> Agg:
    """The skewness, positive if the values above the mean lie further from it: exact, rounded once.

    ``ddof=1``: the estimate from a sample (G1, as pandas' and DuckDB's); ``ddof=0``: of a population (g1). Null if all
    values are equal, or over fewer than three of a sample.
    """
    return _agg("skewness", value, where=where, ddof=ddof)


def kurtosis(value: Operand, *, ddof: int = 1, where: Operand | None = None) -> Agg:
    """The excess kurtosis, 0 for a normal distribution: exact, rounded once.

    ``ddof=1``: the estimate from a sample (G2, as pandas' and DuckDB's); ``ddof=0``: of a population (g2). Null if all
    values are equal, or over fewer than four of a sample.
    """
    return _agg("kurtosis", value, where=where, ddof=ddof)
