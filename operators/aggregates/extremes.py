"""min, max, first and last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import F64, I64, inline
from operators.contract import Aggregate, Arrays, Field, Finished, Flags, SetAggregate
from operators.kernels.bits import float_bits, float_order
from operators.signatures import Signature
from operators.types import STORED, Type

_TOP = np.int64(2**63 - 1)
_BOTTOM = np.int64(-(2**63))


@inline
def _min_int(g: I64, best: NDArray[np.int64], n: NDArray[np.int64], value: I64) -> None:
    if value < best[g]:
        best[g] = value
    n[g] = 1


@inline
def _max_int(g: I64, best: NDArray[np.int64], n: NDArray[np.int64], value: I64) -> None:
    if value > best[g]:
        best[g] = value
    n[g] = 1


@inline
def _min_float(g: I64, best: NDArray[np.int64], n: NDArray[np.int64], value: F64) -> None:
    order = float_order(value)
    if order < best[g]:
        best[g] = order
    n[g] = 1


@inline
def _max_float(g: I64, best: NDArray[np.int64], n: NDArray[np.int64], value: F64) -> None:
    order = float_order(value)
    if order > best[g]:
        best[g] = order
    n[g] = 1


def _merge_min(into: Arrays, at: NDArray[np.intp], part: Arrays) -> None:
    into["best"][at] = np.minimum(into["best"][at], part["best"])
    into["n"][at] |= part["n"]


def _merge_max(into: Arrays, at: NDArray[np.intp], part: Arrays) -> None:
    into["best"][at] = np.maximum(into["best"][at], part["best"])
    into["n"][at] |= part["n"]


def _finish_int(state: Arrays) -> Finished:
    seen = state["n"] > 0
    return np.where(seen, state["best"], 0), seen


def _finish_bool(state: Arrays) -> Finished:
    seen = state["n"] > 0
    return np.where(seen, state["best"], 0).astype(np.uint8), seen


def _finish_float(state: Arrays) -> Finished:
    seen = state["n"] > 0
    order = np.where(seen, state["best"], 0)
    return (order ^ ((order >> 63) & _TOP)).view(np.float64), seen


def _extreme(name: str, of: Type) -> Aggregate:
    least = name == "min"
    fields = (Field("best", identity=int(_TOP if least else _BOTTOM)), Field("n"))
    merge = _merge_min if least else _merge_max
    flags = Flags(duplicate_safe=True, overlap_safe=True)
    if of is Type.FLOAT:
        step: Callable[..., None] = _min_float if least else _max_float
        return Aggregate(name, of, of, fields, ("value",), step, merge, _finish_float, flags=flags)
    step = _min_int if least else _max_int
    finish = _finish_bool if of is Type.BOOL else _finish_int
    return Aggregate(name, of, of, fields, ("value",), step, merge, finish, flags=flags)


def _extreme_string(pick: Callable[[str, str], str]) -> Callable[..., Finished]:
    def finish(groups: NDArray[np.int64], values: NDArray[np.int64], count: int, strings: list[str]) -> Finished:
        best = np.full(count, -1, np.int32)
        for g, v in zip(groups.tolist(), values.tolist(), strict=True):
            b = int(best[g])
            if b < 0 or pick(strings[b], strings[v]) == strings[v]:
                best[g] = v
        return np.maximum(best, 0), best >= 0

    return finish


# first and last store (time, tie, value): time decides, then the key's hash, then the order of rows within the key.
# So ties between keys have one result for any sharding.


@inline
def _first_int(
    g: I64, at: NDArray[np.int64], tied: NDArray[np.int64], kept: NDArray[np.int64], n: NDArray[np.int64],
    value: I64, time: I64, tie: I64,
) -> None:  # fmt: skip
    if n[g] == 0 or time < at[g] or (time == at[g] and tie < tied[g]):
        at[g] = time
        tied[g] = tie
        kept[g] = np.int64(value)
        n[g] = 1


@inline
def _last_int(
    g: I64, at: NDArray[np.int64], tied: NDArray[np.int64], kept: NDArray[np.int64], n: NDArray[np.int64],
    value: I64, time: I64, tie: I64,
) -> None:  # fmt: skip
    if n[g] == 0 or time > at[g] or (time == at[g] and tie >= tied[g]):
        at[g] = time
        tied[g] = tie
        kept[g] = np.int64(value)
        n[g] = 1


@inline
def _first_float(
    g: I64, at: NDArray[np.int64], tied: NDArray[np.int64], kept: NDArray[np.int64], n: NDArray[np.int64],
    value: F64, time: I64, tie: I64,
) -> None:  # fmt: skip
    _first_int(g, at, tied, kept, n, float_bits(value), time, tie)


@inline
def _last_float(
    g: I64, at: NDArray[np.int64], tied: NDArray[np.int64], kept: NDArray[np.int64], n: NDArray[np.int64],
    value: F64, time: I64, tie: I64,
) -> None:  # fmt: skip
    _last_int(g, at, tied, kept, n, float_bits(value), time, tie)


def merge_ends(
    into: Arrays, at: NDArray[np.intp], part: Arrays, latest: bool, time: str, tie: str, kept: tuple[str, ...]
) -> None:
    """Copy ``time``, ``tie`` and the ``kept`` fields where ``part`` has the earlier (or later) row."""
    mine_t, mine_k = into[time][at], into[tie][at]
    t, k = part[time], part[tie]
    # All rows of one (time, key) are in the same task, since one task reads a cell.
    ahead = (t > mine_t) | ((t == mine_t) & (k > mine_k)) if latest else (t < mine_t) | ((t == mine_t) & (k < mine_k))
    wins = (part["n"] > 0) & ((into["n"][at] == 0) | ahead)
    for name in (time, tie, *kept):
        into[name][at[wins]] = part[name][wins]


def _merge_first(into: Arrays, at: NDArray[np.intp], part: Arrays) -> None:
    merge_ends(into, at, part, False, "at", "tied", ("kept", "n"))


def _merge_last(into: Arrays, at: NDArray[np.intp], part: Arrays) -> None:
    merge_ends(into, at, part, True, "at", "tied", ("kept", "n"))


def finish_kept(of: Type) -> Callable[[Arrays], Finished]:
    """What makes values of the type ``of`` of the fields ``kept`` and ``n``."""

    def finish(state: Arrays) -> Finished:
        seen = state["n"] > 0
        kept = np.where(seen, state["kept"], 0)
        values: NDArray[Any] = kept.view(np.float64) if of is Type.FLOAT else kept.astype(of.dtype)
        return values, seen

    return finish


def _end(name: str, of: Type) -> Aggregate:
    latest = name == "last"
    fields = (Field("at"), Field("tied"), Field("kept", is_code=of is Type.STRING), Field("n"))
    if of is Type.FLOAT:
        step: Callable[..., None] = _last_float if latest else _first_float
    else:
        step = _last_int if latest else _first_int
    inputs = ("value", "time", "tie")
    # A piece starts later than its interval did, and may become the last row.
    flags = Flags(ordered=True, additive=not latest, duplicate_safe=True, overlap_safe=True)
    merge = _merge_last if latest else _merge_first
    return Aggregate(name, of, of, fields, inputs, step, merge, finish_kept(of), flags=flags)


AGGREGATES: tuple[Aggregate | SetAggregate, ...] = (
    *(_extreme(name, t) for name in ("min", "max") for t in STORED if t is not Type.STRING),
    SetAggregate("min", Type.STRING, Type.STRING, _extreme_string(min)),
    SetAggregate("max", Type.STRING, Type.STRING, _extreme_string(max)),
    *(_end(name, t) for name in ("first", "last") for t in STORED),
)

SIGNATURES = {name: Signature() for name in ("min", "max", "first", "last")}
