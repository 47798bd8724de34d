"""slope, correlation and covariance of two columns, from exact sums of their values, products and squares.

With n pairs, ``cross(a, b)`` is n * sum(a * b) - sum(a) * sum(b), an integer in the units of the values. Covariance is
cross(y, x) / (n * (n - ddof)), slope cross(y, x) / cross(x, x), the correlation cross(y, x) divided by the square root
of cross(x, x) * cross(y, y): each is computed in integers and rounded once. Pairs in which either value is null do not
count. NaN if infinities or NaN are among the values.

Two columns of whole numbers (integers, decimals, times, durations, booleans) are added as counts of their units. Beside
a float the other column becomes the nearest floats; times are counted from ``MIDDLE``, which no result depends on, so
that those of all calendar years are exact.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from operators.aggregates.sums import unit_of
from operators.compiler.loops import F64, I64, inline
from operators.contract import Aggregate, Arrays, ExactSum, Field, Finished, Flags, FloatSum, Options, merge_by_adding
from operators.kernels.sums.float_sums import add_float
from operators.kernels.sums.windowed_sums import add_int, add_integer_square, add_square
from operators.kernels.sums.word_products import add_float_product, add_integer_product
from operators.signatures import Arguments, Arranged, Option, Signature, integer
from operators.sums import rounding
from operators.sums.double_word import (
    ERROR,
    MANY,
    Floats,
    Twofold,
    divide,
    in_range,
    multiply,
    rounded,
    square_root,
    subtract,
    two_product,
)
from operators.types import Type

_PAIRS = (Field("y_low"), Field("y_high"), Field("x_low"), Field("x_high"), Field("n"))

SECOND = 1_000_000


# ---- steps: ``value`` is y, ``other`` is x


@inline
def _float_covariance(
    g: I64, n: NDArray[np.int64],
    y_rows: NDArray[np.float64], y_log: NDArray[np.int64], y_used: NDArray[np.int64],
    x_rows: NDArray[np.float64], x_log: NDArray[np.int64], x_used: NDArray[np.int64],
    rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64],
    value: F64, other: F64,
) -> None:  # fmt: skip
    n[g] += 1
    add_float(g, y_rows, y_log, y_used, value)
    add_float(g, x_rows, x_log, x_used, other)
    add_float_product(g, rows, log, used, value, other)


@inline
def _float_slope(
    g: I64, n: NDArray[np.int64],
    y_rows: NDArray[np.float64], y_log: NDArray[np.int64], y_used: NDArray[np.int64],
    x_rows: NDArray[np.float64], x_log: NDArray[np.int64], x_used: NDArray[np.int64],
    rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64],
    xx_rows: NDArray[np.int64], xx_log: NDArray[np.int64], xx_used: NDArray[np.int64],
    value: F64, other: F64,
) -> None:  # fmt: skip
    _float_covariance(g, n, y_rows, y_log, y_used, x_rows, x_log, x_used, rows, log, used, value, other)
    add_square(g, xx_rows, xx_log, xx_used, other)


@inline
def _float_correlation(
    g: I64, n: NDArray[np.int64],
    y_rows: NDArray[np.float64], y_log: NDArray[np.int64], y_used: NDArray[np.int64],
    x_rows: NDArray[np.float64], x_log: NDArray[np.int64], x_used: NDArray[np.int64],
    rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64],
    xx_rows: NDArray[np.int64], xx_log: NDArray[np.int64], xx_used: NDArray[np.int64],
    yy_rows: NDArray[np.int64], yy_log: NDArray[np.int64], yy_used: NDArray[np.int64],
    value: F64, other: F64,
) -> None:  # fmt: skip
    _float_covariance(g, n, y_rows, y_log, y_used, x_rows, x_log, x_used, rows, log, used, value, other)
    add_square(g, xx_rows, xx_log, xx_used, other)
    add_square(g, yy_rows, yy_log, yy_used, value)


@inline
def _int_covariance(
    g: I64, y_low: NDArray[np.int64], y_high: NDArray[np.int64], x_low: NDArray[np.int64], x_high: NDArray[np.int64],
    n: NDArray[np.int64],
    rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64],
    value: I64, other: I64,
) -> None:  # fmt: skip
    n[g] += 1
    add_int(g, y_low, y_high, value)
    add_int(g, x_low, x_high, other)
    add_integer_product(g, rows, log, used, value, other)


@inline
def _int_slope(
    g: I64, y_low: NDArray[np.int64], y_high: NDArray[np.int64], x_low: NDArray[np.int64], x_high: NDArray[np.int64],
    n: NDArray[np.int64],
    rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64],
    xx_rows: NDArray[np.int64], xx_log: NDArray[np.int64], xx_used: NDArray[np.int64],
    value: I64, other: I64,
) -> None:  # fmt: skip
    _int_covariance(g, y_low, y_high, x_low, x_high, n, rows, log, used, value, other)
    add_integer_square(g, xx_rows, xx_log, xx_used, other)


@inline
def _int_correlation(
    g: I64, y_low: NDArray[np.int64], y_high: NDArray[np.int64], x_low: NDArray[np.int64], x_high: NDArray[np.int64],
    n: NDArray[np.int64],
    rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64],
    xx_rows: NDArray[np.int64], xx_log: NDArray[np.int64], xx_used: NDArray[np.int64],
    yy_rows: NDArray[np.int64], yy_log: NDArray[np.int64], yy_used: NDArray[np.int64],
    value: I64, other: I64,
) -> None:  # fmt: skip
    _int_covariance(g, y_low, y_high, x_low, x_high, n, rows, log, used, value, other)
    add_integer_square(g, xx_rows, xx_log, xx_used, other)
    add_integer_square(g, yy_rows, yy_log, yy_used, value)


def _settle(state: Arrays) -> None:
    rounding.settle_pair(state["y_low"], state["y_high"])
    rounding.settle_pair(state["x_low"], state["x_high"])


# ---- results


class _PairTotals:
    """The sums of some groups of pairs: of y, x, y * x, x * x and y * y."""

    def __init__(self, state: Arrays) -> None:
        self.n: NDArray[np.int64] = state["n"]
        self.floats = "y_low" not in state
        self.sums: dict[str, rounding.Sums] = {name: state[name] for name in ("yx", "xx", "yy") if name in state}
        for name in ("y", "x"):
            pair = None if self.floats else rounding.PairSums(state[f"{name}_low"], state[f"{name}_high"])
            self.sums[name] = state[name] if pair is None else pair
        self.lowest = -2148 if self.floats else 0

    def special(self) -> Floats:
        """NaN where infinities or NaN are among the values, else 0."""
        if not self.floats:
            return np.zeros(len(self.n))
        found = [self.sums[name].special() for name in ("y", "x")]  # type: ignore[attr-defined]
        return np.where((found[0] == 0) & (found[1] == 0), 0.0, np.nan)

    def nearly(self, a: str, b: str) -> tuple[Twofold, Floats]:
        """``cross(a, b)`` of each group in double-word arithmetic, and its relative error; infinite if that is not
        known."""
        count, zero = self.n.astype(np.float64), np.zeros(len(self.n))
        scaled = multiply((count, zero), self.sums[a + b].twofold())
        product = multiply(self.sums[a].twofold(), self.sums[b].twofold())
        found = subtract(scaled, product)
        error = ERROR * ((np.abs(scaled[0]) + np.abs(product[0])) / np.abs(found[0]) + 1)
        known = in_range(scaled[0]) & in_range(product[0]) & in_range(found[0]) & (self.n < 2**53)
        return found, np.where(known, error, np.inf)

    def exactly(self, at: NDArray[np.intp], *crossed: str) -> list[tuple[int, ...]]:
        """For each of the groups ``at`` its number of pairs and each ``cross``."""
        n = self.n[at].tolist()
        sums = {name: found.take(at).integers() for name, found in self.sums.items()}
        columns = [
            [c * ab - a * b for c, ab, a, b in zip(n, sums[pair], sums[pair[0]], sums[pair[1]], strict=True)]
            for pair in crossed
        ]
        return list(zip(n, *columns, strict=True))


Nearly = Callable[[_PairTotals], tuple[Twofold, Floats]]
Exactly = Callable[..., float | None]


def _results(state: Arrays, crossed: tuple[str, ...], nearly: Nearly, exactly: Exactly, least: int = 1) -> Finished:
    """``exactly(unit, n, *cross)`` of each group, None if there is none, as over fewer than ``least`` pairs; ``nearly``
    where that decides it."""
    sums = _PairTotals(state)
    groups = len(sums.n)
    out, certain = np.zeros(groups), np.zeros(groups, np.bool_)
    if groups >= MANY:
        with np.errstate(all="ignore"):
            found, error = nearly(sums)
            out, certain = rounded(found, np.abs(found[0]) * error)
        certain &= (error < 1) & in_range(out)
        out = np.where(certain, out, 0.0)
    valid = certain.copy()
    left = np.flatnonzero(~certain)
    for g, parts in zip(left.tolist(), sums.exactly(left, *crossed), strict=True):
        one = exactly(sums.lowest, *parts)
        out[g], valid[g] = 0.0 if one is None else one, one is not None
    special = sums.special()
    out, ok = rounding.in_floats(out, special)
    return out, ok & (valid | ((special != 0) & (sums.n >= least)))


def _finish_covariance(ddof: int, up: int, down: int) -> Callable[[Arrays], Finished]:
    def nearly(sums: _PairTotals) -> tuple[Twofold, Floats]:
        found, error = sums.nearly("y", "x")
        count = sums.n.astype(np.float64)
        below = multiply(two_product(count, count - ddof), (np.full_like(count, float(down)), np.zeros(len(count))))
        return divide(found, below), np.where(sums.n > ddof, error + ERROR, np.inf)

    def exactly(lowest: int, n: int, yx: int) -> float | None:
        return rounding.ratio(yx * up, n * (n - ddof) * down, lowest) if n > ddof else None

    return lambda state: _results(state, ("yx",), nearly, exactly, ddof + 1)


def _finish_slope(ddof: int, up: int, down: int) -> Callable[[Arrays], Finished]:
    def nearly(sums: _PairTotals) -> tuple[Twofold, Floats]:
        (above, error), (below, other) = sums.nearly("y", "x"), sums.nearly("x", "x")
        one = np.ones(len(sums.n))
        scale = divide((one * up, 0 * one), (one * down, 0 * one))
        return multiply(divide(above, below), scale), error + other + 2 * ERROR

    def exactly(lowest: int, n: int, yx: int, xx: int) -> float | None:
        return rounding.ratio(yx * up, xx * down) if xx else None

    return lambda state: _results(state, ("yx", "xx"), nearly, exactly)


def _finish_correlation(ddof: int, up: int, down: int) -> Callable[[Arrays], Finished]:
    def nearly(sums: _PairTotals) -> tuple[Twofold, Floats]:
        (above, error), (x, of_x), (y, of_y) = sums.nearly("y", "x"), sums.nearly("x", "x"), sums.nearly("y", "y")
        known = in_range(multiply(x, y)[0])
        found = divide(above, square_root(multiply(x, y)))
        return found, np.where(known, error + of_x + of_y + 2 * ERROR, np.inf)

    def exactly(lowest: int, n: int, yx: int, xx: int, yy: int) -> float | None:
        if xx == 0 or yy == 0:
            return None
        size = rounding.root(yx * yx, xx * yy)
        return -size if yx < 0 else size

    return lambda state: _results(state, ("yx", "xx", "yy"), nearly, exactly)


_KINDS: dict[
    str, tuple[tuple[str, ...], tuple[Callable[..., None], ...], Callable[..., Callable[[Arrays], Finished]]]
] = {
    "covariance": (("yx",), (_float_covariance, _int_covariance), _finish_covariance),
    "slope": (("yx", "xx"), (_float_slope, _int_slope), _finish_slope),
    "correlation": (("yx", "xx", "yy"), (_float_correlation, _int_correlation), _finish_correlation),
}
"""The sums of products of each, its steps over floats and integers, and its results."""


def _of_pairs(name: str, of: Type, ddof: int = 1, up: int = 1, down: int = 1) -> Aggregate:
    products, steps, finish = _KINDS[name]
    whole = of is not Type.FLOAT

    def configured(options: Options) -> Aggregate:
        return _of_pairs(name, of, options.get("ddof", 1), options.get("up", 1), options.get("down", 1))

    sums: tuple[ExactSum | FloatSum, ...] = tuple(ExactSum(p, *((0, 7) if whole else (-2148, 9))) for p in products)
    return Aggregate(
        name, of, Type.FLOAT, _PAIRS if whole else (Field("n"),), ("value", "other"), steps[whole],
        merge_by_adding, finish(ddof, up, down), _settle if whole else None, Flags(additive=False),
        sums=sums if whole else (FloatSum("y"), FloatSum("x"), *sums), other=of, configured=configured,
    )  # fmt: skip


AGGREGATES = tuple(_of_pairs(name, of) for name in _KINDS for of in (Type.INT, Type.FLOAT))


# ---- arguments


def _is_number(kind: Type) -> bool:
    return kind in (Type.BOOL, Type.INT, Type.FLOAT) or kind.places is not None


def _measures(kind: Type) -> bool:
    """Whether values of this type are numbers, or count microseconds."""
    return _is_number(kind) or kind in (Type.TIME, Type.DURATION)


def _paired(a: Arguments, name: str, **scale: int) -> Arranged:
    """Both columns as floats if one is, else as counts of their units."""
    kind = Type.FLOAT if Type.FLOAT in (a.first.type, a.second.type) else Type.INT
    fn = "nearest_float" if kind is Type.FLOAT else "in_order"
    y, x = (e if e.type is kind else a.call(fn, kind, e) for e in (a.first, a.second))
    return Arranged(name, kind, y, x, options=scale)


def _scales(a: Arguments) -> list[int]:
    """The units in 1 of either column, if they are added as counts of them."""
    kinds = (a.first.type, a.second.type)
    return [1 if Type.FLOAT in kinds else unit_of(kind) for kind in kinds]


def _arranged(name: str) -> Callable[[Arguments], Arranged]:
    def arrange(a: Arguments) -> Arranged:
        for e in (a.first, a.second):
            if not _measures(e.type):
                raise a.fail(f"{name} cannot take {e.type}; it takes two columns of numbers, times or durations")
        y, x = _scales(a)
        return _paired(a, name, down=y * x)

    return arrange


def _arranged_slope(a: Arguments) -> Arranged:
    per = a.options.get("per")
    if not _is_number(a.first.type):
        raise a.fail(
            f"slope(y, x) cannot take {a.first.type} as y, which is a number; divide a duration by a length, like "
            "df.col('lasted') / '1s'"
        )
    if not _measures(a.second.type):
        raise a.fail(f"slope(y, x) cannot take {a.second.type} as x, which is a number, a time or a duration")
    if _is_number(a.second.type) and per is not None:
        raise a.fail(f"slope(y, x, per=) is for an x that is a time or a duration; here x is {a.second.type}")
    y, x = _scales(a)
    return _paired(a, "slope", up=x if _is_number(a.second.type) else int(str(per or SECOND)), down=y)


def _length(value: object) -> object:
    """A positive number of microseconds, or None."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**53):
        raise ValueError("a positive length, or null")
    return value


SIGNATURES = {
    "slope": Signature((2,), (Option("per", _length, length="only"),), arrange=_arranged_slope),
    "correlation": Signature((2,), arrange=_arranged("correlation")),
    "covariance": Signature((2,), (Option("ddof", integer(0, 1)),), arrange=_arranged("covariance")),
}
