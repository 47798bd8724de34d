"""variance and stddev, from exact sums of the values and of their squares.

The variance is (n * sum(x * x) - sum(x) ** 2) / (n * (n - ddof)), computed in integers and rounded once; with ``ddof``
1 (unless told) that of a sample, as SQL's ``var_samp``, with 0 that of a population. The standard deviation is the
exact root, rounded once. Null over ``ddof`` values or fewer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from operators import exact
from operators.aggregates.sums import PAIR, WHOLE, settle_low_high, unit_of
from operators.contract import Aggregate, Arrays, ExactSum, Field, Finished, Flags, FloatSum, Options, merge_by_adding
from operators.kernels.exact import add_int, add_integer_square, add_square
from operators.kernels.floats import add_float
from operators.kernels.jit import F64, I64, inline
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


def _finish(of: Type, ddof: int, last: Callable[[int, int, int], float]) -> Callable[[Arrays], Finished]:
    unit = unit_of(of)

    def finish(state: Arrays) -> Finished:
        n = state["n"]
        out = np.zeros(len(n))
        squares = state["squares"]
        sums = state["sum"].integers() if of is Type.FLOAT else exact.exact_ints(state["low"], state["high"])
        for g, (count, a, b) in enumerate(zip(n.tolist(), sums, squares.integers(), strict=True)):
            if count > ddof:
                out[g] = last(count * b - a * a, count * (count - ddof) * unit * unit, squares.lowest)
        return np.where(squares.special() == 0, out, np.nan), n > ddof

    return finish


def _spread(name: str, of: Type, ddof: int = 1) -> Aggregate:
    last = exact.ratio if name == "variance" else exact.root
    whole = of is not Type.FLOAT

    def configured(options: Options) -> Aggregate:
        return _spread(name, of, int(options["ddof"]))

    return Aggregate(
        name, of, Type.FLOAT,
        PAIR if whole else (Field("n"),),
        ("value",),
        _int_step if whole else _float_step,
        merge_by_adding,
        _finish(of, ddof, last),
        settle_low_high if whole else None,
        _FLAGS,
        sums=(ExactSum("squares", 0, 7),) if whole else (FloatSum("sum"), ExactSum("squares", -2148, 9)),
        configured=configured,
    )  # fmt: skip


AGGREGATES = tuple(_spread(name, t) for name in ("variance", "stddev") for t in (Type.FLOAT, *WHOLE))
