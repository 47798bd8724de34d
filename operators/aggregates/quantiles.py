"""quantile and median, from counts of bins that are at most 1/64 of their values wide.

``quantile(x, q)`` is the value at place floor(q * (n - 1)) of the n values in order, within 0.8 % of it: the middle of
its bin. Integers, durations and decimals are whole again: the nearest whole number of units, the lower of two.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from operators.contract import Aggregate, Arrays, Finished, Flags, Options, TallySpec, merge_nothing
from operators.kernels.bins import middles, relative_bin
from operators.kernels.jit import F64, I64, inline
from operators.kernels.tables import tally
from operators.types import DECIMALS, Type

ERROR = 0.01
"""The relative error that is promised."""


@inline
def _step(
    g: I64,
    keys: NDArray[np.int64], counts: NDArray[np.int64], slots: NDArray[np.int32], used: NDArray[np.int64],
    words: NDArray[np.int64],
    value: F64,
) -> None:  # fmt: skip
    tally(np.int64(g), relative_bin(np.float64(value)), np.int64(1), keys, counts, slots, used, words)


def _finish(of: Type, q: float) -> Callable[[Arrays], Finished]:
    def finish(state: Arrays) -> Finished:
        entries, groups = state["entries"], state["groups"]
        edges = np.searchsorted(entries.groups, np.arange(groups + 1))
        upto = np.concatenate([np.zeros(1, np.int64), np.cumsum(entries.counts)])
        before, after = upto[edges[:-1]], upto[edges[1:]]
        seen = after > before
        wanted = before + np.floor(q * (after - before - 1)).astype(np.int64)
        at = np.minimum(np.searchsorted(upto[1:], wanted, side="right"), max(len(entries.counts) - 1, 0))
        values = np.zeros(groups)
        values[seen] = middles(entries.words[at[seen], 0])
        if of is Type.FLOAT:
            return values, seen
        # The lower of two equally near: a bin's only whole number may be its lower edge.
        whole = np.copysign(np.ceil(np.abs(values) - 0.5), values)
        return np.clip(whole, -(2.0**63), np.nextafter(2.0**63, 0)).astype(np.int64), seen

    return finish


def _quantile(name: str, of: Type, q: float = 0.5) -> Aggregate:
    def configured(options: Options) -> Aggregate:
        return _quantile(name, of, float(options["q"]))

    return Aggregate(
        name, of, of, (), ("value",), _step, merge_nothing, _finish(of, q),
        flags=Flags(additive=False, error=ERROR), tally=TallySpec(),
        configured=configured if name == "quantile" else None,
    )  # fmt: skip


_TYPES = (Type.INT, Type.FLOAT, Type.DURATION, *DECIMALS)

AGGREGATES = tuple(_quantile(name, t) for name in ("quantile", "median") for t in _TYPES)
