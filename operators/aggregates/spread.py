"""variance and stddev, from exact sums of the values and of their squares.

The variance is (n * sum(x * x) - sum(x) ** 2) / (n * (n - ddof)), computed in integers and rounded once: of a sample
for ``ddof`` 1 (the default), like SQL's ``var_samp``, of a population for 0. The standard deviation is the exact square
root, rounded once; for durations to the microsecond, ties to even. Null over ``ddof`` values or fewer, and if it
exceeds the largest float; NaN if infinities or NaN are among the values.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from operators.aggregates.sums import PAIR, WHOLE, settle_low_high, unit_of
from operators.compiler.loops import F64, I64, inline
from operators.contract import Aggregate, Arrays, ExactSum, Field, Finished, Flags, FloatSum, Options, merge_by_adding
from operators.errors import OverflowExceeded
from operators.kernels.sums.float_sums import add_float
from operators.kernels.sums.windowed_sums import add_int, add_integer_square, add_square
from operators.signatures import Option, Signature, integer
from operators.sums import rounding
from operators.sums.double_word import (
    ERROR,
    MANY,
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

_FLAGS = Flags(additive=False)


@inline
def _float_step(
    g: I64, n: NDArray[np.int64],
    rows: NDArray[np.float64], log: NDArray[np.int64], used: NDArray[np.int64],
    square_rows: NDArray[np.int64], square_log: NDArray[np.int64], square_used: NDArray[np.int64],
    value: F64,
) -> None:  # fmt: skip
    add_float(g, rows, log, used, value)
    add_square(g, square_rows, square_log, square_used, value)
    n[g] += 1


@inline
def _int_step(
    g: I64, low: NDArray[np.int64], high: NDArray[np.int64], n: NDArray[np.int64],
    rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64],
    value: I64,
) -> None:  # fmt: skip
    add_int(g, low, high, np.int64(value))
    add_integer_square(g, rows, log, used, np.int64(value))
    n[g] += 1


def _finish(of: Type, ddof: int, rooted: bool) -> Callable[[Arrays], Finished]:
    unit = unit_of(of)
    last = rounding.root if rooted else rounding.ratio
    lasting = rooted and of is Type.DURATION

    def finish(state: Arrays) -> Finished:
        n, squares = state["n"], state["squares"]
        total = state["sum"] if of is Type.FLOAT else rounding.PairSums(state["low"], state["high"])
        out, certain = np.zeros(len(n)), np.zeros(len(n), np.bool_)
        if len(n) >= MANY:
            out, certain = _nearly(n, ddof, float(unit * unit), total.twofold(), squares.twofold(), rooted)
        left = np.flatnonzero(~certain & (n > ddof))
        whole = zip(n[left].tolist(), total.take(left).integers(), squares.take(left).integers(), strict=True)
        for g, (count, a, b) in zip(left.tolist(), whole, strict=True):
            out[g] = last(count * b - a * a, count * (count - ddof) * unit * unit, squares.lowest)
        if lasting:
            return whole_root(out, state), n > ddof
        out, ok = rounding.in_floats(out, np.where(squares.special() == 0, 0.0, np.nan))
        return out, ok & (n > ddof)

    def whole_root(root: NDArray[np.float64], state: Arrays) -> NDArray[np.int64]:
        n = state["n"]
        # The error of so small a root is far below this bound, so the nearest integer is certain.
        certain = (root < 2.0**40) & (np.abs(root - np.floor(root) - 0.5) > 2.0**-12)
        out = np.where(certain, np.rint(root), 0).astype(np.int64)
        left = np.flatnonzero(~certain & (n > ddof))
        sums = rounding.PairSums(state["low"], state["high"]).take(left).integers()
        parts = zip(left.tolist(), n[left].tolist(), sums, state["squares"].take(left).integers(), strict=True)
        for g, count, a, b in parts:
            found = rounding.nearest_root(count * b - a * a, count * (count - ddof))
            if found >= 2**63:
                raise OverflowExceeded("a standard deviation exceeds the 64-bit integer range", g)
            out[g] = found
        return out

    return finish


def _nearly(
    n: NDArray[np.int64], ddof: int, unit: float, total: Twofold, squares: Twofold, rooted: bool
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The results in double-word arithmetic, and which of them are certain to be correctly rounded."""
    count, zero = n.astype(np.float64), np.zeros(len(n))
    with np.errstate(all="ignore"):
        scaled = multiply((count, zero), squares)
        spread = subtract(scaled, multiply(total, total))
        found = divide(spread, multiply(two_product(count, count - ddof), (zero + unit, zero)))
        # The accumulated error, relative to the difference, then to its quotient and root.
        error = ERROR * (scaled[0] / spread[0] + 1)
        found = square_root(found) if rooted else found
        out, certain = rounded(found, np.abs(found[0]) * error)
    certain &= in_range(squares[0]) & (n < 2**53)
    return np.where(certain, out, 0.0), certain


def _spread(name: str, of: Type, ddof: int = 1) -> Aggregate:
    whole = of is not Type.FLOAT

    def configured(options: Options) -> Aggregate:
        return _spread(name, of, int(options["ddof"]))

    return Aggregate(
        name, of, of if name == "stddev" and of is Type.DURATION else Type.FLOAT,
        PAIR if whole else (Field("n"),),
        ("value",),
        _int_step if whole else _float_step,
        merge_by_adding,
        _finish(of, ddof, name == "stddev"),
        settle_low_high if whole else None,
        _FLAGS,
        sums=(ExactSum("squares", 0, 7),) if whole else (FloatSum("sum"), ExactSum("squares", -2148, 9)),
        configured=configured,
    )  # fmt: skip


AGGREGATES = tuple(_spread(name, t) for name in ("variance", "stddev") for t in (Type.FLOAT, *WHOLE))

_DDOF = (Option("ddof", integer(0, 1)),)

SIGNATURES = {"variance": Signature(options=_DDOF), "stddev": Signature(options=_DDOF)}
