"""collect: the first values of a group in the order of (time, key's hash), then of arrival, as JSON.

``["a", "b", "a"]``, an empty list over no values. A group keeps ``first`` of them, whatever it has, so its state has
room for so many.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from operators.aggregates.json_values import canonical, from_bits
from operators.compiler.loops import F64, I64, inline
from operators.contract import Aggregate, Arrays, Field, Finished, Flags, Options
from operators.kernels.bits import float_bits
from operators.signatures import Option, Signature, integer
from operators.types import STORED, Type

MOST = 1000
"""The greatest ``first``: each value takes 24 bytes in every group."""


@inline
def _step(
    g: I64, at: NDArray[np.int64], tied: NDArray[np.int64], kept: NDArray[np.int64], n: NDArray[np.int64],
    value: I64, time: I64, tie: I64,
) -> None:  # fmt: skip
    last = np.int64(kept.shape[1] - 1)
    j = np.int64(n[g])
    if j > last:
        # Full: after rows of the same time and key it is too late.
        if time > at[g, last] or (time == at[g, last] and tie >= tied[g, last]):
            return
        j = last
    else:
        n[g] = j + 1
    while j > 0 and (time < at[g, j - 1] or (time == at[g, j - 1] and tie < tied[g, j - 1])):
        at[g, j] = at[g, j - 1]
        tied[g, j] = tied[g, j - 1]
        kept[g, j] = kept[g, j - 1]
        j -= 1
    at[g, j] = time
    tied[g, j] = tie
    kept[g, j] = np.int64(value)


@inline
def _float_step(
    g: I64, at: NDArray[np.int64], tied: NDArray[np.int64], kept: NDArray[np.int64], n: NDArray[np.int64],
    value: F64, time: I64, tie: I64,
) -> None:  # fmt: skip
    _step(g, at, tied, kept, n, float_bits(value), time, tie)


def _merge(into: Arrays, at: NDArray[np.intp], part: Arrays) -> None:
    width = part["kept"].shape[1]
    counts = [into["n"][at], part["n"]]
    beyond = np.concatenate([np.arange(width) >= n[:, None] for n in counts], axis=1)
    rows = {name: np.concatenate([into[name][at], part[name]], axis=1) for name in ("at", "tied", "kept")}
    # Stable: rows of one time and key are in one of the two, since one task reads a cell.
    order = np.lexsort([rows["tied"], rows["at"], beyond], axis=-1)[:, :width]
    total = np.minimum(counts[0] + counts[1], width)
    filled = np.arange(width) < total[:, None]
    for name, values in rows.items():
        into[name][at] = np.where(filled, np.take_along_axis(values, order, axis=1), 0)
    into["n"][at] = total


def _finish(of: Type) -> Callable[[Arrays], Finished]:
    def finish(state: Arrays) -> Finished:
        out = np.empty(len(state["n"]), object)
        for g, (n, words) in enumerate(zip(state["n"].tolist(), state["kept"], strict=True)):
            out[g] = canonical([from_bits(of, word, state["strings"]) for word in words[:n].tolist()])
        return out, None

    return finish


def _collect(of: Type, first: int = 5) -> Aggregate:
    def configured(options: Options) -> Aggregate:
        return _collect(of, int(options["first"]))

    fields = (
        Field("at", width=first), Field("tied", width=first),
        Field("kept", width=first, is_code=of is Type.STRING), Field("n"),
    )  # fmt: skip
    return Aggregate(
        "collect", of, Type.JSON, fields, ("value", "time", "tie"), _float_step if of is Type.FLOAT else _step,
        _merge, _finish(of), flags=Flags(ordered=True, additive=False), configured=configured,
    )  # fmt: skip


AGGREGATES = tuple(_collect(t) for t in STORED)

SIGNATURES = {"collect": Signature(options=(Option("first", integer(1, MOST)),), in_tables=True)}
