"""Rounding to decimal places, half away from zero, of floats by their shortest decimals, and of integers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import F64, I64, inline, noinline
from operators.kernels.arithmetic import checked_mul
from operators.kernels.decimals import coarser_half_up
from operators.kernels.real.float_pairs import exact_product
from operators.kernels.shortest import shortest_decimal

_LARGEST = 2.0**51
"""Below this, the product with a power of ten has an error of at most 1/8."""

_MARGIN = 2.0**-50


@inline
def rounded_float(x: F64, unit: F64, places: I64) -> F64:
    """``x`` to so many decimal places, -18 to 18; ``unit`` is 10.0**abs(places)."""
    size = abs(x)
    scaled = size * unit if places >= 0 else size / unit
    if scaled < _LARGEST:
        n = np.floor(scaled)
        past = (scaled - n) - 0.5
        # The float's decimal and the scaled number have errors of 2**-53 each; farther from a tie they cannot matter.
        if abs(past) > scaled * _MARGIN:
            if past > 0.0:
                n += 1.0
            return math.copysign(n / unit if places >= 0 else n * unit, x)
    return math.copysign(_by_digits(size, unit, places), x)


@noinline
def _by_digits(size: F64, unit: F64, places: I64) -> F64:
    """The same for a number that is not negative, by its digits."""
    if not (size > 0.0 and size < np.inf):
        return size
    digits, exponent = shortest_decimal(size)
    drop = -places - exponent
    if drop <= 0:
        return size
    if drop > 18:
        return 0.0
    by = np.int64(1)
    while drop > 0:
        by *= np.int64(10)
        drop -= 1
    n = np.int64(digits)
    whole = n // by
    rest = n - whole * by
    if rest >= by - rest:
        whole += np.int64(1)
    high = np.float64(whole)
    low = np.float64(whole - np.int64(high))
    if places <= 0:
        h, lost = exact_product(high, unit)
        return h + (lost + low * unit)
    first = high / unit
    h, lost = exact_product(first, unit)
    return first + (((high - h) - lost) + low) / unit


@inline
def rounded_units(n: I64, by: I64, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """The multiple of ``by`` nearest to ``n``, ties away from zero."""
    return checked_mul(coarser_half_up(n, by, flags, site, row), by, flags, site, row)


@inline
def floored_units(n: I64, by: I64, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """The greatest multiple of ``by`` that is not above ``n``."""
    return checked_mul(n // by, by, flags, site, row)


@inline
def raised_units(n: I64, by: I64, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """The least multiple of ``by`` that is not below ``n``."""
    whole = n // by
    if whole * by != n:
        whole += np.int64(1)
    return checked_mul(whole, by, flags, site, row)
