"""skewness and kurtosis, from exact sums of the values and of their second, third and fourth powers.

With n values and S_k the sum of their k-th powers, these are integers in units of the values:

    A2 = n S2 - S1**2                                            n * sum((x - mean)**2)
    A3 = n**2 S3 - 3 n S1 S2 + 2 S1**3                           n**2 * sum((x - mean)**3)
    A4 = n**3 S4 - 4 n**2 S1 S3 + 6 n S1**2 S2 - 3 S1**4         n**3 * sum((x - mean)**4)

Of a population (``ddof`` 0) the skewness is A3 / A2**1.5 and the kurtosis, of which that of a normal distribution is
subtracted, A4 / A2**2 - 3. Of a sample (1) they are the usual estimates of the population's, G1 and G2: the former
times sqrt(n (n - 1)) / (n - 2), and (n - 1) / ((n - 2) (n - 3)) times ((n + 1) * kurtosis + 6). All are computed in
integers and rounded once. Null if all values are equal or, of a sample, over fewer than three or four; NaN if
infinities or NaN are among the values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from operators.aggregates.sums import PAIR, WHOLE, settle_low_high
from operators.compiler.loops import F64, I64, inline
from operators.contract import Aggregate, Arrays, ExactSum, Field, Finished, Flags, FloatSum, Options, merge_by_adding
from operators.kernels.sums.float_sums import add_float
from operators.kernels.sums.windowed_sums import add_int, add_integer_square, add_square
from operators.kernels.sums.word_products import (
    CUBES,
    FOURTHS,
    add_cube,
    add_fourth,
    add_integer_cube,
    add_integer_fourth,
)
from operators.signatures import Arguments, Arranged, Option, Signature, integer
from operators.sums import rounding
from operators.types import Type


@inline
def _float_skewness(
    g: I64, n: NDArray[np.int64],
    rows: NDArray[np.float64], log: NDArray[np.int64], used: NDArray[np.int64],
    square_rows: NDArray[np.int64], square_log: NDArray[np.int64], square_used: NDArray[np.int64],
    cube_rows: NDArray[np.int64], cube_log: NDArray[np.int64], cube_used: NDArray[np.int64],
    value: F64,
) -> None:  # fmt: skip
    add_float(g, rows, log, used, value)
    add_square(g, square_rows, square_log, square_used, value)
    add_cube(g, cube_rows, cube_log, cube_used, value)
    n[g] += 1


@inline
def _float_kurtosis(
    g: I64, n: NDArray[np.int64],
    rows: NDArray[np.float64], log: NDArray[np.int64], used: NDArray[np.int64],
    square_rows: NDArray[np.int64], square_log: NDArray[np.int64], square_used: NDArray[np.int64],
    cube_rows: NDArray[np.int64], cube_log: NDArray[np.int64], cube_used: NDArray[np.int64],
    fourth_rows: NDArray[np.int64], fourth_log: NDArray[np.int64], fourth_used: NDArray[np.int64],
    value: F64,
) -> None:  # fmt: skip
    _float_skewness(g, n, rows, log, used, square_rows, square_log, square_used, cube_rows, cube_log, cube_used, value)
    add_fourth(g, fourth_rows, fourth_log, fourth_used, value)


@inline
def _int_skewness(
    g: I64, low: NDArray[np.int64], high: NDArray[np.int64], n: NDArray[np.int64],
    square_rows: NDArray[np.int64], square_log: NDArray[np.int64], square_used: NDArray[np.int64],
    cube_rows: NDArray[np.int64], cube_log: NDArray[np.int64], cube_used: NDArray[np.int64],
    value: I64,
) -> None:  # fmt: skip
    add_int(g, low, high, np.int64(value))
    add_integer_square(g, square_rows, square_log, square_used, np.int64(value))
    add_integer_cube(g, cube_rows, cube_log, cube_used, np.int64(value))
    n[g] += 1


@inline
def _int_kurtosis(
    g: I64, low: NDArray[np.int64], high: NDArray[np.int64], n: NDArray[np.int64],
    square_rows: NDArray[np.int64], square_log: NDArray[np.int64], square_used: NDArray[np.int64],
    cube_rows: NDArray[np.int64], cube_log: NDArray[np.int64], cube_used: NDArray[np.int64],
    fourth_rows: NDArray[np.int64], fourth_log: NDArray[np.int64], fourth_used: NDArray[np.int64],
    value: I64,
) -> None:  # fmt: skip
    _int_skewness(g, low, high, n, square_rows, square_log, square_used, cube_rows, cube_log, cube_used, value)
    add_integer_fourth(g, fourth_rows, fourth_log, fourth_used, np.int64(value))


def _in_small_units(sums: Sequence[int]) -> list[int]:
    """The sums of first, second, ... powers of the same values in the largest unit that is a power of two."""
    zeros = [((s & -s).bit_length() - 1) // power for power, s in enumerate(sums, 1) if s]
    shift = min(zeros, default=0)
    return [s >> (power * shift) for power, s in enumerate(sums, 1)]


def _skewness(ddof: int, n: int, s1: int, s2: int, s3: int) -> float | None:
    a2 = n * s2 - s1 * s1
    if a2 == 0 or (ddof and n < 3):
        return None
    a3 = n * n * s3 - 3 * n * s1 * s2 + 2 * s1**3
    up, down = (n * (n - 1), (n - 2) ** 2) if ddof else (1, 1)
    size = rounding.root(a3 * a3 * up, a2**3 * down)
    return -size if a3 < 0 else size


def _kurtosis(ddof: int, n: int, s1: int, s2: int, s3: int, s4: int) -> float | None:
    a2 = n * s2 - s1 * s1
    if a2 == 0 or (ddof and n < 4):
        return None
    below = a2 * a2
    above = n**3 * s4 - 4 * n * n * s1 * s3 + 6 * n * s1 * s1 * s2 - 3 * s1**4 - 3 * below
    if ddof:
        above, below = (n - 1) * ((n + 1) * above + 6 * below), (n - 2) * (n - 3) * below
    return rounding.ratio(above, below)


def _finish(of: Type, ddof: int, powers: tuple[str, ...]) -> Callable[[Arrays], Finished]:
    moment: Callable[..., float | None] = _kurtosis if "fourths" in powers else _skewness
    least = len(powers) + 1

    def finish(state: Arrays) -> Finished:
        n: NDArray[np.int64] = state["n"]
        total = state["sum"] if of is Type.FLOAT else rounding.PairSums(state["low"], state["high"])
        sums = [total.integers(), *(state[name].integers() for name in powers)]
        out, valid = np.zeros(len(n)), np.zeros(len(n), np.bool_)
        for g, (count, *parts) in enumerate(zip(n.tolist(), *sums, strict=True)):
            if (found := moment(ddof, count, *_in_small_units(parts))) is not None:
                out[g], valid[g] = found, True
        # As of numbers: of too few there is none.
        special = (state["squares"].special() != 0) & (n >= (least if ddof else 1))
        return np.where(special, np.nan, out), valid | special

    return finish


_UNITS = {"squares": (-2148, 9, 7), "cubes": (CUBES, 12, 12), "fourths": (FOURTHS, 14, 14)}
"""The unit of a power of floats, and the digits of the windows of floats and of integers."""


def _moment(name: str, of: Type, ddof: int = 1) -> Aggregate:
    whole, skewed = of is not Type.FLOAT, name == "skewness"
    powers = ("squares", "cubes") if skewed else ("squares", "cubes", "fourths")

    def configured(options: Options) -> Aggregate:
        return _moment(name, of, int(options["ddof"]))

    sums = tuple(
        ExactSum(p, 0 if whole else lowest, digits if whole else wide)
        for p, (lowest, wide, digits) in ((p, _UNITS[p]) for p in powers)
    )
    float_step, int_step = (_float_skewness, _int_skewness) if skewed else (_float_kurtosis, _int_kurtosis)
    return Aggregate(
        name, of, Type.FLOAT, PAIR if whole else (Field("n"),), ("value",), int_step if whole else float_step,
        merge_by_adding, _finish(of, ddof, powers), settle_low_high if whole else None, Flags(additive=False),
        sums=sums if whole else (FloatSum("sum"), *sums), configured=configured,
    )  # fmt: skip


AGGREGATES = tuple(_moment(name, of) for name in ("skewness", "kurtosis") for of in (Type.FLOAT, Type.INT))

_DDOF = (Option("ddof", integer(0, 1)),)


def _arranged(name: str) -> Callable[[Arguments], Arranged]:
    """What counts units becomes integers: the unit does not matter."""

    def arrange(a: Arguments) -> Arranged:
        if a.kind not in (Type.FLOAT, *WHOLE):
            raise a.fail(f"{name} cannot take {a.kind}; it takes bool, duration, float64, int64, decimal")
        if a.kind in (Type.FLOAT, Type.INT):
            return Arranged(name, a.kind, a.first)
        return Arranged(name, Type.INT, a.call("in_order", Type.INT, a.first))

    return arrange


SIGNATURES = {name: Signature(options=_DDOF, arrange=_arranged(name)) for name in ("skewness", "kurtosis")}
