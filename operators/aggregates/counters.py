"""increase and rate of counters that may be reset.

The inputs are computed per key before the fold: ``value`` is a sample's increment over the key's previous sample, or
the whole sample if it is less (the counter was reset); ``other`` is the time between the two. A key's first sample has
neither. ``increase`` is the exact sum of the increments; ``rate`` is that sum per second of the time between the
samples, rounded once, and null if there is no such time: nothing is extrapolated to the edges of a range. Both are null
if they, or an increment, exceed the largest float: such an increment comes as NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from operators.aggregates import sums
from operators.compiler.loops import F64, I64, inline
from operators.contract import Aggregate, Arrays, Field, Finished, Flags, FloatSum, merge_by_adding
from operators.kernels.sums.float_sums import add_float
from operators.kernels.sums.windowed_sums import add_int
from operators.signatures import Arguments, Arranged, Signature
from operators.sums import rounding
from operators.sums.floats import FloatTotals
from operators.types import DECIMALS, Type

_SECOND = 1_000_000
_TIME = (Field("time_low"), Field("time_high"))


@inline
def _float_step(
    g: I64, time_low: NDArray[np.int64], time_high: NDArray[np.int64],
    rows: NDArray[np.float64], log: NDArray[np.int64], used: NDArray[np.int64],
    value: F64, other: I64,
) -> None:  # fmt: skip
    add_int(g, time_low, time_high, other)
    add_float(g, rows, log, used, value)


@inline
def _int_step(
    g: I64, time_low: NDArray[np.int64], time_high: NDArray[np.int64],
    low: NDArray[np.int64], high: NDArray[np.int64],
    value: I64, other: I64,
) -> None:  # fmt: skip
    add_int(g, time_low, time_high, other)
    add_int(g, low, high, value)


def _settle(state: Arrays) -> None:
    rounding.settle_pair(state["time_low"], state["time_high"])
    if "low" in state:
        rounding.settle_pair(state["low"], state["high"])


def _in_floats(values: NDArray[np.float64], steps: FloatTotals) -> Finished:
    special = steps.special()
    out, ok = rounding.in_floats(values, special)
    ok &= ~np.isnan(special)
    return np.where(ok, out, 0.0), ok


def _float_increase(state: Arrays) -> Finished:
    out, ok = _in_floats(state["sum"].rounded(), state["sum"])
    return out, ok & (state["n"] > 0)


def _finish(of: Type) -> Callable[[Arrays], Finished]:
    unit = sums.unit_of(of)

    def finish(state: Arrays) -> Finished:
        times = rounding.PairSums(state["time_low"], state["time_high"])
        measured = (times.low | times.high) != 0
        if of is not Type.FLOAT:
            return rounding.quotients(rounding.PairSums(state["low"], state["high"]), times, _SECOND, unit), measured
        steps = state["sum"]
        out, ok = _in_floats(rounding.quotients(steps, times, _SECOND, lowest=steps.lowest), steps)
        return out, ok & measured

    return finish


def _rate(of: Type) -> Aggregate:
    whole = of is not Type.FLOAT
    fields = (*_TIME, Field("low"), Field("high")) if whole else _TIME
    return Aggregate(
        "rate", of, Type.FLOAT, fields, ("value", "other"), _int_step if whole else _float_step, merge_by_adding,
        _finish(of), _settle, Flags(additive=False), sums=() if whole else (FloatSum("sum"),), other=Type.DURATION,
    )  # fmt: skip


_COUNTERS = (Type.INT, Type.FLOAT, Type.DURATION, *DECIMALS)

AGGREGATES = (
    *(
        replace(a, name="increase", finish=_float_increase if a.argument is Type.FLOAT else a.finish)
        for a in sums.AGGREGATES
        if a.name == "sum" and a.argument in _COUNTERS
    ),
    *(_rate(t) for t in _COUNTERS if t is not Type.DURATION),
)


def _arranged_increase(a: Arguments) -> Arranged:
    return Arranged("increase", a.kind, a.remembering("increase", a.kind, a.first), where=a.first_piece)


def _arranged_rate(a: Arguments) -> Arranged:
    return Arranged("rate", a.kind, a.remembering("increase", a.kind, a.first), a.elapsed(), a.first_piece)


SIGNATURES = {
    "increase": Signature(remembers=True, arrange=_arranged_increase),
    "rate": Signature(remembers=True, arrange=_arranged_rate),
}
