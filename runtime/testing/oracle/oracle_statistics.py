"""Aggregates of two columns, of the shape of values, and of values picked or listed."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from runtime.testing.oracle import oracle_decimals as decimals
from runtime.testing.oracle.many_values import root

PICKED = {"max_by", "min_by"}
PAIRED = {"slope", "correlation", "covariance"}
MOMENTS = {"skewness", "kurtosis"}

Moment = tuple[int, Any]
"""The time of a row and its value."""


def picked(fn: str, rows: Sequence[tuple[Any, Any]]) -> Any:
    """Of rows in order, the value of the first one whose second value is greatest, or least."""
    bys = [by for _, by in rows]
    best = max(bys) if fn == "max_by" else min(bys)
    return next(value for value, by in rows if by == best)


def mode(rows: Sequence[Moment]) -> Any:
    """The most frequent value of rows of one key in order; then the one first reported, then the least."""
    values = [0.0 if v == 0 and isinstance(v, float) else v for _, v in rows]
    firsts = {v: time for (time, _), v in reversed(list(zip(rows, values, strict=True)))}
    return min(firsts, key=lambda v: (-values.count(v), firsts[v], v))


def listed(values: Sequence[Any], first: int) -> list[Any]:
    """The first values as JSON has them."""
    shown = []
    for value in values[:first]:
        big = isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53
        shown.append(decimals.shown(value) if isinstance(value, Decimal) else str(value) if big else value)
    return shown


def paired(fn: str, pairs: Sequence[tuple[Any, Any]], kinds: tuple[str, str], agg: dict[str, Any]) -> Fraction | None:
    """The exact slope or covariance of (y, x), or the correlation's square with its sign."""
    n = len(pairs)
    if n == 0:
        return None
    y, x = (_from_mean([_number(pair[i], kinds, i) for pair in pairs]) for i in (0, 1))
    both = sum((a * b for a, b in zip(y, x, strict=True)), Fraction())
    squares_y, squares_x = (sum((v * v for v in part), Fraction()) for part in (y, x))
    if fn == "covariance":
        return both / (n - agg["ddof"]) if n > agg["ddof"] else None
    if squares_x == 0 or (fn == "correlation" and squares_y == 0):
        return None
    if fn == "slope":
        return both / squares_x * (1 if kinds[1] not in ("time", "duration") else agg["per"] or 1_000_000)
    return both * abs(both) / (squares_x * squares_y)


def _from_mean(values: list[Fraction]) -> list[Fraction]:
    mean = sum(values, Fraction()) / len(values)
    return [v - mean for v in values]


def signed_root(square: Fraction) -> float:
    """The root of a number's size, with its sign."""
    size = root(abs(square))
    assert size is not None
    return -size if square < 0 else size


def _number(value: Any, kinds: tuple[str, str], i: int) -> Fraction:
    """The value; beside a float a number is the nearest float."""
    if kinds[1 - i] == "float64" and kinds[i] not in ("time", "duration"):
        return Fraction(float(value))
    return Fraction(value)


def moment(fn: str, values: Sequence[Any], ddof: int) -> float | None:
    """The skewness or the excess kurtosis, of a sample if ``ddof`` is 1."""
    n, parts = len(values), _from_mean([Fraction(v) for v in values])
    m2 = sum((v * v for v in parts), Fraction()) / n
    m3 = sum((v * v * v for v in parts), Fraction()) / n
    m4 = sum((v * v * v * v for v in parts), Fraction()) / n
    if m2 == 0 or (ddof == 1 and n < (3 if fn == "skewness" else 4)):
        return None
    if fn == "skewness":
        square = m3 * abs(m3) / (m2 * m2 * m2)
        return signed_root(square * Fraction(n * (n - 1), (n - 2) * (n - 2)) if ddof else square)
    excess = m4 / (m2 * m2) - 3
    return float(Fraction(n - 1, (n - 2) * (n - 3)) * ((n + 1) * excess + 6) if ddof else excess)
