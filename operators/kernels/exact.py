"""Exact accumulation: R. M. Neal, "Fast exact summation using small and large superaccumulators" (2015).

A float64 is an integer multiple of 2**-1074. Its 53-bit significand, shifted to its place, is cut into 32-bit
digits that are added to three of the 67 int64 chunks of its group; a chunk has room for 2**30 additions before
carries must move on (``operators.exact.normalise``). Integer sums keep the low 32 bits and the rest apart
in the same spirit. Addition of integers is associative, hence so are these sums, to the bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.kernels.jit import F64, I64, inline

CHUNKS = 67
"""Digits of 32 bits from 2**-1074 to beyond the largest float64."""

NAN, POSITIVE, NEGATIVE = CHUNKS, CHUNKS + 1, CHUNKS + 2
"""Columns that count the NaN and infinite values, which have no digits."""

WIDTH = CHUNKS + 3


@inline
def add_float(g: I64, digits: NDArray[np.int64], x: F64) -> None:
    """Add ``x`` to the accumulator in row ``g`` of ``digits``, int64 of shape (groups, WIDTH)."""
    b = np.float64(x).view(np.int64)
    exponent = (b >> 52) & 0x7FF
    significand = b & np.int64(0xFFFFFFFFFFFFF)
    if exponent == 0x7FF:
        if significand != 0:
            digits[g, NAN] += 1
        elif b > 0:
            digits[g, POSITIVE] += 1
        else:
            digits[g, NEGATIVE] += 1
    elif (b << 1) != 0:
        if exponent == 0:
            exponent = np.int64(1)
        else:
            significand |= np.int64(1) << 52
        place = exponent - 1
        chunk = np.uint64(place >> 5)
        one = np.uint64(1)
        shift = place & 31
        sign = b >> 63
        mask = np.int64(0xFFFFFFFF)
        rest = significand >> (32 - shift)
        digits[g, chunk] += (((significand << shift) & mask) ^ sign) - sign
        digits[g, chunk + one] += ((rest & mask) ^ sign) - sign
        digits[g, chunk + one + one] += ((rest >> 32) ^ sign) - sign


@inline
def add_int(g: I64, low: NDArray[np.int64], high: NDArray[np.int64], x: I64) -> None:
    """Add the int64 ``x`` to ``high[g] * 2**32 + low[g]``."""
    low[g] += x & np.int64(0xFFFFFFFF)
    high[g] += x >> 32
