"""The one rounding of an exact sum, as a scalar step: for sums that are read as they grow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.kernels.exact import CHUNKS, NAN, NEGATIVE, POSITIVE
from operators.kernels.jit import F64, I64, inline


@inline
def rounded(g: I64, digits: NDArray[np.int64]) -> F64:
    """The float64 nearest to the accumulator in row ``g``, ties to even; its carries have moved on afterwards.

    The scalar twin of ``operators.exact.round_digits``.
    """
    mask = np.int64(0xFFFFFFFF)
    for i in range(CHUNKS - 1):
        digits[g, i + 1] += digits[g, i] >> 32
        digits[g, i] &= mask
    if digits[g, NAN] > 0 or (digits[g, POSITIVE] > 0 and digits[g, NEGATIVE] > 0):
        return np.nan
    if digits[g, POSITIVE] > 0:
        return np.inf
    if digits[g, NEGATIVE] > 0:
        return -np.inf
    negative = digits[g, CHUNKS - 1] < 0
    # Of the magnitude: the leading digit, the two below it, and whether there is anything below those.
    top = np.int64(0)
    lead = second = third = np.uint64(0)
    rest = sticky = False
    near = far = np.int64(0)
    borrow = np.int64(0)
    for i in range(CHUNKS):
        digit = digits[g, i]
        if negative:
            digit = -digit - borrow
            borrow = np.int64(digit < 0)
            digit &= mask
        if digit != 0:
            top, sticky = np.int64(i), rest
            lead, second, third = np.uint64(digit), np.uint64(near), np.uint64(far)
        rest = rest or far != 0
        near, far = digit, near
    if lead == np.uint64(0):
        return 0.0
    # 64 bits from the leading one on; all that is lost only decides a tie.
    spare = np.uint64(0)
    while (lead << spare) >> np.uint64(31) == np.uint64(0):
        spare += np.uint64(1)
    wide = (((lead << np.uint64(32)) | second) << spare) | ((third << spare) >> np.uint64(32))
    if sticky or (third << spare) & np.uint64(0xFFFFFFFF) != np.uint64(0):
        wide |= np.uint64(1)
    # Times a power of two, in two steps where it is beyond a float's; below 2**-1022 nothing is lost any more, as all
    # digits are multiples of 2**-1074. (ldexp is a function of Numba's own, which a kernel must do without.)
    out = np.float64(wide)
    exponent = 32 * (top - 1) - np.int64(spare) - 1074
    if exponent < -1000:
        out *= np.int64(23 << 52).view(np.float64)
        exponent += 1000
    out *= np.int64((exponent + 1023) << 52).view(np.float64)
    return -out if negative else out
