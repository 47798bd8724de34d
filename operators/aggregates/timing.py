"""Aggregates of intervals: duration, known_time, unknown_time and share_of_time.

``known`` is 1 where the state of the interval was known, 0 where it was not, 2 before a key's first point ever.
Sums of microseconds are kept in two words: a million devices over ten years do not fit in one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators import exact
from operators.contract import Aggregate, Arrays, Field, Finished, Flags
from operators.kernels.exact import add_int
from operators.kernels.jit import I64, inline
from operators.types import Type

_SUM = (Field("low"), Field("high"))
_SHARE = (Field("low"), Field("high"), Field("known_low"), Field("known_high"))
_FLAGS = Flags()


@inline
def _duration(g: I64, low: NDArray[np.int64], high: NDArray[np.int64], duration: I64) -> None:
    add_int(g, low, high, duration)


@inline
def _known(g: I64, low: NDArray[np.int64], high: NDArray[np.int64], duration: I64, known: I64) -> None:
    if known == 1:
        add_int(g, low, high, duration)


@inline
def _unknown(g: I64, low: NDArray[np.int64], high: NDArray[np.int64], duration: I64, known: I64) -> None:
    if known != 1:
        add_int(g, low, high, duration)


@inline
def _share(
    g: I64, low: NDArray[np.int64], high: NDArray[np.int64],
    known_low: NDArray[np.int64], known_high: NDArray[np.int64],
    cond: bool, duration: I64, known: I64,
) -> None:  # fmt: skip
    if known == 1:
        add_int(g, known_low, known_high, duration)
        if cond:
            add_int(g, low, high, duration)


def _settle(state: Arrays) -> None:
    exact.settle_pair(state["low"], state["high"])


def _settle_share(state: Arrays) -> None:
    exact.settle_pair(state["low"], state["high"])
    exact.settle_pair(state["known_low"], state["known_high"])


def _merge(into: Arrays, at: NDArray[np.intp], part: Arrays) -> None:
    for name, values in part.items():
        into[name][at] += values


def _finish(state: Arrays) -> Finished:
    return exact.pair_to_int(state["low"], state["high"], "a total of durations"), None


def _finish_share(state: Arrays) -> Finished:
    seen = (state["known_low"] | state["known_high"]) != 0
    over = np.where(seen, state["known_low"], 1)
    return exact.pair_ratio(state["low"], state["high"], over, state["known_high"]), seen


AGGREGATES = (
    Aggregate("duration", None, Type.DURATION, _SUM, ("duration",), _duration, _merge, _finish, _settle, _FLAGS),
    Aggregate("known_time", None, Type.DURATION, _SUM, ("duration", "known"), _known, _merge, _finish, _settle, _FLAGS),
    Aggregate(
        "unknown_time", None, Type.DURATION, _SUM, ("duration", "known"), _unknown, _merge, _finish, _settle, _FLAGS
    ),
    Aggregate(
        "share_of_time", Type.BOOL, Type.FLOAT, _SHARE, ("cond", "duration", "known"), _share, _merge,
        _finish_share, _settle_share, _FLAGS,
    ),
)  # fmt: skip
