"""candlestick: the first, greatest, least and last value of a group, as JSON.

``{"open": 1.0, "high": 2.5, "low": 0.5, "close": 2.0}``; null over no values. First and last are ordered by time,
as in ``first`` and ``last``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.aggregates.extremes import merge_ends
from operators.aggregates.json_values import canonical, from_bits
from operators.compiler.loops import F64, I64, inline
from operators.contract import Aggregate, Arrays, Field, Finished, Flags
from operators.kernels.bits import float_order
from operators.signatures import Signature
from operators.types import DECIMALS, Type

_TOP = 2**63 - 1

_FIELDS = (
    Field("open_at"), Field("open_tied"), Field("open"),
    Field("close_at"), Field("close_tied"), Field("close"),
    Field("high", identity=-(2**63)), Field("low", identity=_TOP), Field("n"),
)  # fmt: skip


@inline
def _int_step(
    g: I64,
    open_at: NDArray[np.int64], open_tied: NDArray[np.int64], opened: NDArray[np.int64],
    close_at: NDArray[np.int64], close_tied: NDArray[np.int64], closed: NDArray[np.int64],
    high: NDArray[np.int64], low: NDArray[np.int64], n: NDArray[np.int64],
    value: I64, time: I64, tie: I64,
) -> None:  # fmt: skip
    fresh = n[g] == 0
    if fresh or time < open_at[g] or (time == open_at[g] and tie < open_tied[g]):
        open_at[g] = time
        open_tied[g] = tie
        opened[g] = value
    if fresh or time > close_at[g] or (time == close_at[g] and tie >= close_tied[g]):
        close_at[g] = time
        close_tied[g] = tie
        closed[g] = value
    if value > high[g]:
        high[g] = value
    if value < low[g]:
        low[g] = value
    n[g] = 1


@inline
def _float_step(
    g: I64,
    open_at: NDArray[np.int64], open_tied: NDArray[np.int64], opened: NDArray[np.int64],
    close_at: NDArray[np.int64], close_tied: NDArray[np.int64], closed: NDArray[np.int64],
    high: NDArray[np.int64], low: NDArray[np.int64], n: NDArray[np.int64],
    value: F64, time: I64, tie: I64,
) -> None:  # fmt: skip
    # Floats are stored as integers of the same order, which can be converted back.
    _int_step(g, open_at, open_tied, opened, close_at, close_tied, closed, high, low, n, float_order(value), time, tie)


def _merge(into: Arrays, at: NDArray[np.intp], part: Arrays) -> None:
    for name, latest in (("open", False), ("close", True)):
        merge_ends(into, at, part, latest, f"{name}_at", f"{name}_tied", (name,))
    into["high"][at] = np.maximum(into["high"][at], part["high"])
    into["low"][at] = np.minimum(into["low"][at], part["low"])
    into["n"][at] |= part["n"]


def _finish(of: Type) -> Callable[[Arrays], Finished]:
    def plain(word: int) -> object:
        return from_bits(of, word ^ ((word >> 63) & _TOP) if of is Type.FLOAT else word, [])

    def finish(state: Arrays) -> Finished:
        seen = state["n"] > 0
        out = np.empty(len(seen), object)
        parts: list[list[Any]] = [state[name].tolist() for name in ("open", "high", "low", "close")]
        for g, (opened, high, low, closed) in enumerate(zip(*parts, strict=True)):
            answer = {"open": plain(opened), "high": plain(high), "low": plain(low), "close": plain(closed)}
            out[g] = canonical(answer) if seen[g] else ""
        return out, seen

    return finish


AGGREGATES = tuple(
    Aggregate(
        "candlestick", t, Type.JSON, _FIELDS, ("value", "time", "tie"),
        _float_step if t is Type.FLOAT else _int_step, _merge, _finish(t),
        flags=Flags(ordered=True, additive=False, duplicate_safe=True, overlap_safe=True),
    )
    for t in (Type.INT, Type.FLOAT, Type.DURATION, *DECIMALS)
)  # fmt: skip

SIGNATURES = {"candlestick": Signature()}
