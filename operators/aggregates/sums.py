"""sum and mean, exact: rounded once, at the end."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from operators import exact
from operators.contract import Aggregate, Arrays, Field, Finished, Flags
from operators.kernels.exact import WIDTH, add_float, add_int
from operators.kernels.jit import F64, I64, inline
from operators.types import Type

_FLOAT = (Field("digits", width=WIDTH), Field("n"))
_INT = (Field("low"), Field("high"), Field("n"))
_FLAGS = Flags(additive=False)


@inline
def _float_step(g: I64, digits: NDArray[np.int64], n: NDArray[np.int64], value: F64) -> None:
    add_float(g, digits, value)
    n[g] += 1


@inline
def _int_step(g: I64, low: NDArray[np.int64], high: NDArray[np.int64], n: NDArray[np.int64], value: I64) -> None:
    add_int(g, low, high, np.int64(value))
    n[g] += 1


def _settle_float(state: Arrays) -> None:
    exact.settle_digits(state["digits"])


def _settle_int(state: Arrays) -> None:
    exact.settle_pair(state["low"], state["high"])


def _merge_float(into: Arrays, at: NDArray[np.intp], part: Arrays) -> None:
    into["digits"][at] += part["digits"]
    into["n"][at] += part["n"]


def _merge_int(into: Arrays, at: NDArray[np.intp], part: Arrays) -> None:
    for name in ("low", "high", "n"):
        into[name][at] += part[name]


def _float_sum(state: Arrays) -> Finished:
    return exact.round_digits(state["digits"]), state["n"] > 0


def _int_sum(state: Arrays) -> Finished:
    return exact.pair_to_int(state["low"], state["high"], "sum of integers"), state["n"] > 0


def _float_mean(state: Arrays) -> Finished:
    n = state["n"]
    return exact.round_digits(state["digits"]) / np.maximum(n, 1), n > 0


def _int_mean(state: Arrays) -> Finished:
    n = np.maximum(state["n"], 1)
    return exact.pair_ratio(state["low"], state["high"], n & 0xFFFFFFFF, n >> 32), state["n"] > 0


def _float(name: str, finish: Callable[[Arrays], Finished]) -> Aggregate:
    return Aggregate(
        name, Type.FLOAT, Type.FLOAT, _FLOAT, ("value",), _float_step, _merge_float, finish, _settle_float, _FLAGS
    )


def _int(name: str, argument: Type, result: Type, finish: Callable[[Arrays], Finished]) -> Aggregate:
    return Aggregate(name, argument, result, _INT, ("value",), _int_step, _merge_int, finish, _settle_int, _FLAGS)


_WHOLE = (Type.BOOL, Type.INT, Type.DURATION)

AGGREGATES = (
    _float("sum", _float_sum),
    _float("mean", _float_mean),
    *(_int("sum", t, Type.DURATION if t is Type.DURATION else Type.INT, _int_sum) for t in _WHOLE),
    *(_int("mean", t, Type.FLOAT, _int_mean) for t in _WHOLE),
)
