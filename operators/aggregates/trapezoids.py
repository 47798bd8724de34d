"""time_weighted_mean and integral along the straight lines between a key's reports.

The inputs are computed per key before the fold: ``value`` is a report, ``before`` the key's report before it and
``other`` the time between the two; a key's first report has neither. Each pair adds twice the area of its trapezoid,
(before + value) * other, to an exact sum; the result is rounded once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from operators.aggregates.sums import settle_low_high, unit_of
from operators.compiler.loops import F64, I64, inline
from operators.contract import Aggregate, Arrays, ExactSum, Field, Finished, Flags, Options, merge_by_adding
from operators.kernels.sums.windowed_sums import add_int
from operators.kernels.sums.word_products import add_float_scaled, add_integer_product
from operators.signatures import Arguments, Arranged
from operators.sums import rounding
from operators.types import Type

BETWEEN, LINES = "between", "linear"
"""The option, and its value for straight lines."""

_MICROS = 1_000_000


@inline
def _float_area(
    g: I64, low: NDArray[np.int64], high: NDArray[np.int64],
    rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64],
    value: F64, before: F64, other: I64,
) -> None:  # fmt: skip
    add_int(g, low, high, other)
    add_float_scaled(g, rows, log, used, value, other)
    add_float_scaled(g, rows, log, used, before, other)


@inline
def _int_area(
    g: I64, low: NDArray[np.int64], high: NDArray[np.int64],
    rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64],
    value: I64, before: I64, other: I64,
) -> None:  # fmt: skip
    add_int(g, low, high, other)
    add_integer_product(g, rows, log, used, value, other)
    add_integer_product(g, rows, log, used, before, other)


def _finish(of: Type, mean: bool) -> Callable[[Arrays], Finished]:
    twice = 2 * unit_of(of)

    def finish(state: Arrays) -> Finished:
        known, area = rounding.PairSums(state["low"], state["high"]), state["area"]
        is_some = (known.low | known.high) != 0
        if of is Type.DURATION:
            pairs = zip(area.integers(), known.integers(), strict=True)
            return np.array([rounding.nearest(a, max(2 * b, 1)) for a, b in pairs], np.int64), is_some
        one = np.ones_like(known.low)
        below = known if mean else rounding.PairSums(one, 0 * one)
        out = rounding.quotients(area, below, down=twice if mean else twice * _MICROS, lowest=area.lowest)
        # An integral may exceed the largest float; a mean does not.
        out, ok = rounding.in_floats(out, area.special())
        return out, ok & is_some

    return finish


def along_lines(name: str, of: Type, options: Options, by_steps: Aggregate) -> Aggregate:
    """The aggregate of this name with these options; ``by_steps`` unless they say straight lines."""
    if options.get(BETWEEN) != LINES:
        return by_steps
    whole = of is not Type.FLOAT
    return Aggregate(
        name, of, of if of is Type.DURATION else Type.FLOAT, (Field("low"), Field("high")),
        ("value", "before", "other"), _int_area if whole else _float_area, merge_by_adding,
        _finish(of, name == "time_weighted_mean"), settle_low_high, Flags(additive=False),
        (ExactSum("area", 0 if whole else -1074, 8),), other=Type.DURATION,
    )  # fmt: skip


def lines_or_steps(name: str) -> Callable[[Arguments], Arranged]:
    """What the step of either is given. Between reports further apart than ``hold`` nothing is known."""

    def arrange(a: Arguments) -> Arranged:
        hold = a.options.get("hold")
        if a.options.get(BETWEEN) != LINES:
            if hold:
                raise a.fail(f"{name}: hold is an option of straight lines; otherwise use state_duration(value, hold)")
            return Arranged(name, a.kind, a.first)
        before, elapsed = a.remembering("before", a.kind, a.first), a.elapsed()
        near = (a.call("le", Type.BOOL, elapsed, a.call("lit", Type.DURATION, value=hold)),) if hold else ()
        return Arranged(name, a.kind, a.first, elapsed, near, before=before)

    return arrange
