"""Exact sums: canonical form, merging and the one rounding at the end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.errors import OverflowExceeded
from operators.kernels.exact import CHUNKS, NAN, NEGATIVE, POSITIVE

_LOW = np.int64(0xFFFFFFFF)


_AT_ONCE = 4096
"""Groups that are worked on together: their digits fit a core's cache."""


def settle_digits(digits: NDArray[np.int64]) -> None:
    """Carry: every chunk but the last in [0, 2**32), the last signed. In place; shape (groups, WIDTH)."""
    for at in range(0, len(digits), _AT_ONCE):
        _settle(digits[at : at + _AT_ONCE])


def _settle(digits: NDArray[np.int64]) -> None:
    for i in range(CHUNKS - 1):
        column = digits[:, i]
        carry = column >> 32
        if carry.any():
            digits[:, i + 1] += carry
            column &= _LOW


def round_digits(digits: NDArray[np.int64]) -> NDArray[np.float64]:
    """The float64 nearest to each settled accumulator, ties to even; NaN and infinities as IEEE adds them."""
    parts = [_round(digits[at : at + _AT_ONCE]) for at in range(0, len(digits), _AT_ONCE)]
    return np.concatenate([np.zeros(0), *parts])


def _round(digits: NDArray[np.int64]) -> NDArray[np.float64]:
    groups = len(digits)
    chunks = digits[:, :CHUNKS].copy()
    negative = chunks[:, -1] < 0
    if negative.any():
        flipped = -chunks[negative]
        settle_digits(flipped)
        chunks[negative] = flipped
    rows = np.arange(groups)
    # The leading chunk, and the 64 bits that start at its leading one; anything below only decides a tie.
    top = CHUNKS - 1 - np.argmax(chunks[:, ::-1] != 0, axis=1)
    lead = chunks[rows, top].astype(np.uint64)
    second = np.where(top >= 1, chunks[rows, np.maximum(top - 1, 0)], 0).astype(np.uint64)
    third = np.where(top >= 2, chunks[rows, np.maximum(top - 2, 0)], 0).astype(np.uint64)
    below = np.cumsum(chunks != 0, axis=1)
    sticky = np.where(top >= 3, below[rows, np.maximum(top - 3, 0)] > 0, False)
    length = np.frexp(lead.astype(np.float64))[1].astype(np.uint64)
    length = np.where(lead == 0, np.uint64(1), np.maximum(length, np.uint64(1)))
    spare = np.uint64(32) - np.minimum(length, np.uint64(32))
    high = (lead << np.uint64(32)) | second
    window = (high << spare) | np.where(spare > 0, third >> (np.uint64(32) - spare), np.uint64(0))
    lost = (third << spare) & np.uint64(0xFFFFFFFF)
    window |= (sticky | (lost != 0)).astype(np.uint64)
    exponent = 32 * (top.astype(np.int64) - 1) - spare.astype(np.int64) - 1074
    with np.errstate(over="ignore"):
        out: NDArray[np.float64] = np.ldexp(window.astype(np.float64), exponent.astype(np.int32))
    out = np.where(negative, -out, out)
    nan, up, down = digits[:, NAN] > 0, digits[:, POSITIVE] > 0, digits[:, NEGATIVE] > 0
    out = np.where(up, np.inf, np.where(down, -np.inf, out))
    return np.where(nan | (up & down), np.nan, out)


def settle_pair(low: NDArray[np.int64], high: NDArray[np.int64]) -> None:
    """Carry from ``low`` to ``high``: afterwards ``low`` is in [0, 2**32). In place."""
    high += low >> 32
    low &= _LOW


def exact_ints(low: NDArray[np.int64], high: NDArray[np.int64]) -> list[int]:
    """The sums as Python integers of any size."""
    return [h * 2**32 + w for h, w in zip(high.tolist(), low.tolist(), strict=True)]


def fits(high: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which settled pairs fit in int64."""
    out: NDArray[np.bool_] = (high >= -(2**31)) & (high < 2**31)
    return out


def pair_to_int(low: NDArray[np.int64], high: NDArray[np.int64], what: str) -> NDArray[np.int64]:
    """The sums as int64; OverflowExceeded naming ``what`` where one does not fit."""
    if not fits(high).all():
        raise OverflowExceeded(f"{what} exceeds the 64-bit integer range; divide or filter before summing")
    return (high << 32) + low


def pair_ratio(
    low: NDArray[np.int64], high: NDArray[np.int64], over_low: NDArray[np.int64], over_high: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Correctly rounded quotients of two exact sums; the divisors are not zero."""
    small = (np.abs(high) < 2**20) & (np.abs(over_high) < 2**20)
    with np.errstate(divide="ignore", invalid="ignore"):
        out: NDArray[np.float64] = ((high << 32) + low) / ((over_high << 32) + over_low)
    # Past 2**53 the operands themselves would be rounded; Python divides integers of any size correctly.
    for i in np.flatnonzero(~small).tolist():
        one: Any = slice(i, i + 1)
        out[i] = exact_ints(low[one], high[one])[0] / exact_ints(over_low[one], over_high[one])[0]
    return out
