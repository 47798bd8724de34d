"""Numbers in a unit, as values or as decimal digits in a text, to microseconds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import I64, inline, loop
from operators.kernels.times.dates import BAD_TIME
from operators.kernels.times.iso_times import after_blanks, before_blanks, digit, run_of_digits

Ints = NDArray[np.int64]

UNITS = ("s", "ms", "us", "ns", "iso")
SHIFTS = {"s": 6, "ms": 3, "us": 0, "ns": -3}

TOO_LATE = 2**63 - 1
"""The result for a number that is too large for any time."""


def scaled(values: Ints, unit: str) -> Ints:
    """Integers in a unit as microseconds; nanoseconds are truncated. -1 for negative ones, ``TOO_LATE`` for too large
    ones."""
    if unit == "ns":
        return np.maximum(values // 1000, -1)
    factor = 10 ** SHIFTS[unit]
    fits = values <= TOO_LATE // factor
    return np.where(fits, np.where(fits, np.maximum(values, -1), 0) * factor, TOO_LATE)


def scaled_floats(values: NDArray[np.float64], unit: str) -> Ints:
    """The same for floats, to the nearest microsecond; ``TOO_LATE`` for infinite ones, 0 for NaN."""
    scale = 10.0 ** SHIFTS[unit]
    with np.errstate(over="ignore", invalid="ignore"):
        real = np.rint(values * scale) if scale >= 1 else np.floor(values * scale)
        out = np.where(real < 2.0**62, np.maximum(real, -1.0), 0.0).astype(np.int64)
    out[real >= 2.0**62] = TOO_LATE
    return out


@inline
def _number_end(data: Any, i: I64, end: I64) -> I64:
    """The position after the number at ``i``: digits, and a fraction and an exponent or none; -1 if none is there."""
    if i < end and data[i] == 45:
        i += 1
    n = run_of_digits(data, i, end)
    if n == 0:
        return -1
    i += n
    if i < end and data[i] == 46:
        n = run_of_digits(data, i + 1, end)
        if n == 0:
            return -1
        i += 1 + n
    if i < end and (data[i] == 101 or data[i] == 69):
        i += 1
        if i < end and (data[i] == 43 or data[i] == 45):
            i += 1
        n = run_of_digits(data, i, end)
        if n == 0:
            return -1
        i += n
    return i


@loop("void(u1[::1], i8[::1], i8, i8[::1])")
def decimal_times(data: Any, spans: Any, shift: I64, out: Any) -> None:
    """The number in every span times 10^shift, exact and truncated to an integer; -1 if negative, ``TOO_LATE`` if too
    large, ``BAD_TIME`` if it is no number. There may be blanks around it."""
    for k in range(len(spans)):
        i = spans[k] >> 32
        end = i + (spans[k] & 0xFFFFFFFF)
        i = after_blanks(data, i, end)
        end = before_blanks(data, i, end)
        if _number_end(data, i, end) != end:
            out[k] = BAD_TIME
            continue
        out[k] = TOO_LATE
        negative = data[i] == 45
        if negative:
            i += 1
        mantissa = 0
        digits = 0
        exponent = shift
        point = False
        while i < end and data[i] != 101 and data[i] != 69:
            c = data[i]
            i += 1
            if c == 46:
                point = True
            elif digits < 18:
                mantissa = mantissa * 10 + digit(data, i - 1)
                if mantissa > 0:
                    digits += 1
                if point:
                    exponent -= 1
            elif not point:
                exponent += 1
        if i < end:
            i += 1
            below = False
            if data[i] == 43 or data[i] == 45:
                below = data[i] == 45
                i += 1
            power = 0
            while i < end:
                if power < 10000:
                    power = power * 10 + digit(data, i)
                i += 1
            exponent += -power if below else power
        if mantissa == 0 or negative:
            out[k] = 0 if mantissa == 0 else -1
            continue
        while exponent < 0 and mantissa > 0:
            mantissa //= 10
            exponent += 1
        while exponent > 0 and 0 < mantissa < 900000000000000000:
            mantissa *= 10
            exponent -= 1
        if exponent == 0 or mantissa == 0:
            out[k] = mantissa
