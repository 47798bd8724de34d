"""max_by and min_by, the value of one column in the row where another is greatest or least; mode, the most frequent
value.

Ties: the first by (time, key's hash). Rows of one key at one time: in ``max_by`` and ``min_by`` the first to arrive; in
``mode``, which needs no order, the least of the values that a key first reports at one time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.aggregates.extremes import finish_kept
from operators.compiler.loops import F64, I64, inline
from operators.contract import Aggregate, Arrays, Field, Finished, Flags, TallySpec, merge_nothing
from operators.distinct_values import distinct
from operators.kernels.bits import float_bits
from operators.kernels.hash_tables import tally_dated
from operators.signatures import Arguments, Arranged, Signature
from operators.types import STORED, Type

_TOP = np.int64(2**63 - 1)
_ORDERED = ("bool", "int64", "float64", "time", "duration")


@inline
def _greatest(
    g: I64, best: NDArray[np.int64], at: NDArray[np.int64], tied: NDArray[np.int64], kept: NDArray[np.int64],
    n: NDArray[np.int64],
    value: I64, other: I64, time: I64, tie: I64,
) -> None:  # fmt: skip
    sooner = other == best[g] and (time < at[g] or (time == at[g] and tie < tied[g]))
    if n[g] == 0 or other > best[g] or sooner:
        best[g] = other
        at[g] = time
        tied[g] = tie
        kept[g] = np.int64(value)
        n[g] = 1


@inline
def _least(
    g: I64, best: NDArray[np.int64], at: NDArray[np.int64], tied: NDArray[np.int64], kept: NDArray[np.int64],
    n: NDArray[np.int64],
    value: I64, other: I64, time: I64, tie: I64,
) -> None:  # fmt: skip
    sooner = other == best[g] and (time < at[g] or (time == at[g] and tie < tied[g]))
    if n[g] == 0 or other < best[g] or sooner:
        best[g] = other
        at[g] = time
        tied[g] = tie
        kept[g] = np.int64(value)
        n[g] = 1


@inline
def _greatest_float(
    g: I64, best: NDArray[np.int64], at: NDArray[np.int64], tied: NDArray[np.int64], kept: NDArray[np.int64],
    n: NDArray[np.int64],
    value: F64, other: I64, time: I64, tie: I64,
) -> None:  # fmt: skip
    _greatest(g, best, at, tied, kept, n, float_bits(value), other, time, tie)


@inline
def _least_float(
    g: I64, best: NDArray[np.int64], at: NDArray[np.int64], tied: NDArray[np.int64], kept: NDArray[np.int64],
    n: NDArray[np.int64],
    value: F64, other: I64, time: I64, tie: I64,
) -> None:  # fmt: skip
    _least(g, best, at, tied, kept, n, float_bits(value), other, time, tie)


def _merge(greatest: bool) -> Callable[[Arrays, NDArray[np.intp], Arrays], None]:
    def merge(into: Arrays, at: NDArray[np.intp], part: Arrays) -> None:
        mine = {name: values[at] for name, values in into.items()}
        best, t, k = part["best"], part["at"], part["tied"]
        better = best > mine["best"] if greatest else best < mine["best"]
        # All rows of one (time, key) are in the same task, since one task reads a cell.
        sooner = (t < mine["at"]) | ((t == mine["at"]) & (k < mine["tied"]))
        wins = (part["n"] > 0) & ((mine["n"] == 0) | better | ((best == mine["best"]) & sooner))
        for name, values in part.items():
            into[name][at[wins]] = values[wins]

    return merge


_MERGES = {"max_by": _merge(greatest=True), "min_by": _merge(greatest=False)}


def _by(name: str, of: Type) -> Aggregate:
    steps = (_greatest, _greatest_float) if name == "max_by" else (_least, _least_float)
    fields = (Field("best"), Field("at"), Field("tied"), Field("kept", is_code=of is Type.STRING), Field("n"))
    return Aggregate(
        name, of, of, fields, ("value", "other", "time", "tie"), steps[of is Type.FLOAT], _MERGES[name],
        finish_kept(of), flags=Flags(ordered=True, additive=False, duplicate_safe=True, overlap_safe=True),
        other=Type.INT,
    )  # fmt: skip


# ---- mode


@inline
def _count(
    g: I64,
    keys: NDArray[np.int64], counts: NDArray[np.int64], slots: NDArray[np.int32], used: NDArray[np.int64],
    words: NDArray[np.int64], at: NDArray[np.int64], tied: NDArray[np.int64],
    value: I64, time: I64, tie: I64,
) -> None:  # fmt: skip
    tally_dated(np.int64(g), np.int64(value), time, tie, keys, counts, slots, used, words, at, tied)


@inline
def _count_float(
    g: I64,
    keys: NDArray[np.int64], counts: NDArray[np.int64], slots: NDArray[np.int32], used: NDArray[np.int64],
    words: NDArray[np.int64], at: NDArray[np.int64], tied: NDArray[np.int64],
    value: F64, time: I64, tie: I64,
) -> None:  # fmt: skip
    # -0.0 and 0.0 are one value.
    tally_dated(np.int64(g), float_bits(value + 0.0), time, tie, keys, counts, slots, used, words, at, tied)


def _in_order(of: Type, words: NDArray[np.int64], strings: list[str]) -> NDArray[np.int64]:
    """Integers in the order of the values."""
    if of is Type.FLOAT:
        return words ^ ((words >> 63) & _TOP)
    if of is not Type.STRING:
        return words
    used = distinct(words)
    place = np.zeros(len(strings), np.int64)
    place[sorted(used.tolist(), key=strings.__getitem__)] = np.arange(len(used))
    return place[words]


def _finish_mode(of: Type) -> Callable[[Arrays], Finished]:
    def finish(state: Arrays) -> Finished:
        found = state["entries"]
        words = found.words[:, 0]
        order = np.lexsort([_in_order(of, words, found.strings), found.tied, found.at, -found.counts, found.groups])
        groups, first = np.unique(found.groups[order], return_index=True)
        out, seen = np.zeros(state["groups"], np.int64), np.zeros(state["groups"], np.bool_)
        out[groups], seen[groups] = words[order][first], True
        values: NDArray[Any] = out.view(np.float64) if of is Type.FLOAT else out.astype(of.dtype)
        return values, seen

    return finish


def _mode(of: Type) -> Aggregate:
    return Aggregate(
        "mode", of, of, (), ("value", "time", "tie"), _count_float if of is Type.FLOAT else _count, merge_nothing,
        _finish_mode(of), flags=Flags(additive=False), tally=TallySpec(is_code=True, is_dated=True),
    )  # fmt: skip


AGGREGATES = (*(_by(name, t) for name in ("max_by", "min_by") for t in STORED), *(_mode(t) for t in STORED))


def _arranged(name: str) -> Callable[[Arguments], Arranged]:
    def arrange(a: Arguments) -> Arranged:
        by = a.second.type
        if by not in _ORDERED and by.places is None:
            raise a.fail(f"{name}(by=) cannot take {by}; it takes {', '.join(_ORDERED)}, decimal")
        return Arranged(name, a.kind, a.first, a.call("in_order", Type.INT, a.second))

    return arrange


SIGNATURES = {
    **{name: Signature((2,), in_tables=True, arrange=_arranged(name)) for name in ("max_by", "min_by")},
    "mode": Signature(in_tables=True),
}
