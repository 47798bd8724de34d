"""sum and mean: exact, rounded once at the end; means of durations to the microsecond, ties to even.

A sum of floats beyond the largest float is null; a mean never is. Infinities and NaN add up as IEEE 754 says.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import F64, I64, inline
from operators.contract import Aggregate, Arrays, Field, Finished, Flags, FloatSum, merge_by_adding
from operators.kernels.sums.float_sums import add_float
from operators.kernels.sums.windowed_sums import add_int
from operators.signatures import Signature
from operators.sums import rounding
from operators.types import DECIMALS, Type

PAIR = (Field("low"), Field("high"), Field("n"))
_FLAGS = Flags(additive=False)


@inline
def _float_step(
    g: I64, n: NDArray[np.int64], rows: NDArray[np.float64], log: NDArray[np.int64], used: NDArray[np.int64], value: F64
) -> None:
    add_float(g, rows, log, used, value)
    n[g] += 1


@inline
def _int_step(g: I64, low: NDArray[np.int64], high: NDArray[np.int64], n: NDArray[np.int64], value: I64) -> None:
    add_int(g, low, high, np.int64(value))
    n[g] += 1


def settle_low_high(state: Arrays) -> None:
    """Carry in the fields ``low`` and ``high``."""
    rounding.settle_pair(state["low"], state["high"])


def _float_sum(state: Arrays) -> Finished:
    out, ok = rounding.in_floats(state["sum"].rounded(), state["sum"].special())
    return out, ok & (state["n"] > 0)


def _int_sum(state: Arrays) -> Finished:
    return rounding.pair_to_int(state["low"], state["high"], "a sum"), state["n"] > 0


def _float_mean(state: Arrays) -> Finished:
    n, total = state["n"], state["sum"]
    out, special = rounding.quotients(total, _counted(n), lowest=total.lowest), total.special()
    return np.where(special == 0, out, special), n > 0


def _counted(n: NDArray[np.int64]) -> rounding.PairSums:
    return rounding.PairSums(n & 0xFFFFFFFF, n >> 32)


def _duration_mean(state: Arrays) -> Finished:
    n = state["n"]
    return rounding.nearest_quotients(rounding.PairSums(state["low"], state["high"]), n), n > 0


def _int_mean(unit: int) -> Callable[[Arrays], Finished]:
    def finish(state: Arrays) -> Finished:
        n = state["n"]
        total = rounding.PairSums(state["low"], state["high"])
        return rounding.quotients(total, _counted(n), down=unit), n > 0

    return finish


def _float(name: str, finish: Callable[[Arrays], Finished]) -> Aggregate:
    return Aggregate(
        name, Type.FLOAT, Type.FLOAT, (Field("n"),), ("value",), _float_step, merge_by_adding, finish, None, _FLAGS,
        sums=(FloatSum("sum"),),
    )  # fmt: skip


def _int(name: str, argument: Type, result: Type, finish: Callable[[Arrays], Finished]) -> Aggregate:
    return Aggregate(
        name, argument, result, PAIR, ("value",), _int_step, merge_by_adding, finish, settle_low_high, _FLAGS
    )


WHOLE = (Type.BOOL, Type.INT, Type.DURATION, *DECIMALS)
"""Types whose values are integer counts of a unit."""


def unit_of(kind: Type) -> int:
    """The number of units in 1 of this type."""
    return int(10 ** (kind.places or 0))


AGGREGATES = (
    _float("sum", _float_sum),
    _float("mean", _float_mean),
    *(_int("sum", t, Type.INT if t is Type.BOOL else t, _int_sum) for t in WHOLE),
    *(_int("mean", t, Type.FLOAT, _int_mean(unit_of(t))) for t in WHOLE if t is not Type.DURATION),
    _int("mean", Type.DURATION, Type.DURATION, _duration_mean),
)

SIGNATURES = {name: Signature() for name in ("sum", "mean")}
