"""exp, and powers of 1/2: ``2**(n/128) * exp(r)`` with a table of 128 powers as pairs, and a short polynomial.

The method is P. T. P. Tang's, "Table-driven implementation of the exponential function" (1989), with the reduction of
W. J. Cody and W. Waite (1980). The result is a pair with an error of some 2**-67, so that the one rounding at the end
is wrong only if the exact value lies within that of the middle of two floats.
"""

from __future__ import annotations

import numpy as np

from operators.compiler.loops import F64, I64, inline, noinline
from operators.kernels.real.exact_tables import LN2, ONE, exp_of, leading, pair, pairs
from operators.kernels.real.float_pairs import exact_product, exact_sum, fast_sum, scaled

_POWERS = pairs(exp_of(LN2 * j // 128) for j in range(128))
_PER_STEP = 128 * ONE / LN2
_STEP = LN2 // 128
_STEP_1 = leading(_STEP, 32)
_STEP_2 = leading(_STEP - int(_STEP_1 * ONE), 32)
_STEP_3 = pair(_STEP - int(_STEP_1 * ONE) - int(_STEP_2 * ONE))[0]
_LN2, _LN2_LOW = pair(LN2)

MOST = 709.79
"""exp of anything above is too large for a float."""

LEAST = -746.0
"""exp of anything below is 0."""


@inline
def _exp_near(n: I64, rh: F64, rl: F64) -> tuple[F64, F64, I64]:
    """``2**(n/128) * exp(r)`` of a pair r up to ln 2 / 256, as a pair and a power of two."""
    q = rh * rh * (0.5 + rh * (1 / 6 + rh * (1 / 24 + rh * (1 / 120 + rh * (1 / 720)))))
    sh, sl = exact_sum(rh, q + (rl + rh * rl))
    j = np.uint64(n & 127)
    th, tl = _POWERS[j, 0], _POWERS[j, 1]
    high, low = exact_product(th, sh)
    vh, vl = fast_sum(th, high)
    return vh, vl + (low + (th * sl + tl * sh + tl)), n >> 7


@inline
def exp_pair(h: F64, low: F64) -> tuple[F64, F64, I64]:
    """exp of a pair between ``LEAST`` and ``MOST``, as a pair and a power of two."""
    k = np.rint(h * _PER_STEP)
    # The products with the first two parts are exact.
    sh, sl = exact_sum(h - k * _STEP_1, -(k * _STEP_2))
    rh, rl = exact_sum(sh, sl + (low - k * _STEP_3))
    return _exp_near(np.int64(k), rh, rl)


@noinline
def exponential(x: F64) -> F64:
    """exp(x); infinite where it is too large."""
    if not x <= MOST:
        return np.inf
    if x < LEAST:
        return 0.0
    h, low, e = exp_pair(x, 0.0)
    return scaled(h, low, e)


@noinline
def halved(elapsed: I64, half_life: I64) -> F64:
    """``0.5 ** (elapsed / half_life)``, of the quotient as a float."""
    y = -(np.float64(elapsed) / np.float64(half_life))
    if not y >= -1080.0:
        return 0.0
    k = np.rint(y * 128.0)
    rest = y - k * 0.0078125
    rh, rl = exact_product(rest, _LN2)
    h, low, e = _exp_near(np.int64(k), rh, rl + rest * _LN2_LOW)
    return scaled(h, low, e)


@inline
def weighted_mean(mean: F64, value: F64, elapsed: I64, half_life: I64) -> F64:
    """The mean with weight ``0.5 ** (elapsed / half_life)`` for the old one; of equal numbers, that number."""
    new = 1.0 - halved(elapsed, half_life)
    step = value - mean
    if abs(step) < np.inf:
        return mean + new * step
    return (1.0 - new) * mean + new * value
