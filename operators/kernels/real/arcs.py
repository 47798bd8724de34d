"""atan, atan2, asin and acos, as arc tangents of a quotient of pairs.

``atan(n/d) = atan(a) + atan((n - a d) / (d + a n))`` with a table of pairs for the multiples ``a`` of 1/64, and the
series of the small rest. asin and acos are the angles of (x, sqrt(1 - x**2)), with 1 - x**2 as an exact pair.
"""

from __future__ import annotations

import math

import numpy as np

from operators.compiler.loops import F64, inline, noinline
from operators.kernels.real.exact_tables import ONE, PI, atan_of, pair, pairs
from operators.kernels.real.float_pairs import (
    exact_product,
    exact_sum,
    fast_sum,
    pair_quotient,
    pair_root,
    pair_sum,
    power_of_two,
)

_ARCS = pairs(atan_of(j * ONE // 64) for j in range(65))
_PI, _PI_LOW = pair(PI)
_HALF, _HALF_LOW = pair(PI // 2)
_FAR = 2.0**-60
"""A quotient below this is its arc tangent, to the nearest float."""


@inline
def _eighth(nh: F64, nl: F64, dh: F64, dl: F64) -> tuple[F64, F64]:
    """The arc tangent of n/d, pairs with 0 <= n <= d."""
    j = np.rint(nh / dh * 64.0)
    a = j * 0.015625
    ph, pl = exact_product(a, dh)
    qh, ql = exact_product(a, nh)
    ph, pl = pair_sum(nh, nl, -ph, -(pl + a * dl))
    qh, ql = pair_sum(dh, dl, qh, ql + a * nl)
    uh, ul = pair_quotient(ph, pl, qh, ql)
    z = uh * uh
    rest = uh * z * (-1 / 3 + z * (1 / 5 + z * (-1 / 7 + z * (1 / 9)))) + ul
    row = np.uint64(j)
    vh, vl = exact_sum(_ARCS[row, 0], uh)
    return fast_sum(vh, vl + (_ARCS[row, 1] + rest))


@inline
def first_quarter(yh: F64, yl: F64, xh: F64, xl: F64) -> tuple[F64, F64]:
    """The angle of a point, pairs that are not negative and not both zero, as a pair; exponents far from the limits."""
    if yh <= xh:
        if yh <= xh * _FAR:
            return pair_quotient(yh, yl, xh, xl)
        return _eighth(yh, yl, xh, xl)
    if xh <= yh * _FAR:
        return fast_sum(_HALF, _HALF_LOW - xh / yh)
    h, low = _eighth(xh, xl, yh, yl)
    return pair_sum(_HALF, _HALF_LOW, -h, -low)


@noinline
def arc_tangent_2(y: F64, x: F64) -> F64:
    """The angle of the point (x, y) from the x axis, between -pi and pi; signs of zeros count, as in C."""
    if x != x or y != y:
        return np.nan
    b, a = abs(y), abs(x)
    if a == np.inf or b == np.inf:
        b, a = (1.0 if b == np.inf else 0.0), (1.0 if a == np.inf else 0.0)
    h, low = 0.0, 0.0
    if b > 0.0:
        most = max(a, b)
        e = (np.float64(most).view(np.int64) >> np.int64(52)) - np.int64(1023)
        if b < a * 2.0**-64 and x > 0.0:
            return math.copysign(b / a, y)
        # Near 1. What is lost of the smaller one does not matter.
        by = power_of_two(max(min(-e, np.int64(1000)), np.int64(-1000)))
        h, low = first_quarter(b * by, 0.0, a * by, 0.0)
    if math.copysign(1.0, x) < 0.0:
        h, low = pair_sum(_PI, _PI_LOW, -h, -low)
    return math.copysign(h + low, y)


@noinline
def arc_tangent(x: F64) -> F64:
    """atan(x)."""
    return arc_tangent_2(x, 1.0)


@inline
def _beside(x: F64) -> tuple[F64, F64]:
    """sqrt(1 - x**2) as a pair."""
    square, lost = exact_product(x, x)
    h, low = exact_sum(1.0, -square)
    h, low = fast_sum(h, low - lost)
    return pair_root(h, low)


@noinline
def arc_sine(x: F64) -> F64:
    """asin(x); NaN outside of the domain."""
    size = abs(x)
    if not size <= 1.0:
        return np.nan
    if size < 2.0**-28:
        return x
    h, low = _beside(size)
    h, low = first_quarter(size, 0.0, h, low)
    return math.copysign(h + low, x)


@noinline
def arc_cosine(x: F64) -> F64:
    """acos(x); NaN outside of the domain."""
    size = abs(x)
    if not size <= 1.0:
        return np.nan
    h, low = 1.0, 0.0
    if size > 2.0**-60:
        h, low = _beside(size)
    h, low = first_quarter(h, low, size, 0.0)
    if x < 0.0:
        h, low = pair_sum(_PI, _PI_LOW, -h, -low)
    return h + low
