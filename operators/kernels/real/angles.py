"""Degrees and radians, and distances on a sphere."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from operators.compiler.loops import F64, inline, noinline
from operators.kernels.real.arcs import first_quarter
from operators.kernels.real.exact_tables import BITS, ONE, PI, fixed, pair
from operators.kernels.real.float_pairs import exact_sum, fast_sum, pair_product, pair_root, pair_sum, scaled
from operators.kernels.real.sines import sine_cosine

_LARGEST = 1.7976931348623157e308
_RADIANS, _RADIANS_LOW = pair(PI * 64 // 180)
"""64 pi / 180, so that it is near 1."""

_DEGREES, _DEGREES_LOW = pair((180 * ONE << BITS) // PI // 32)
_DEGREE, _DEGREE_LOW = pair(PI // 180)
_DIAMETER, _DIAMETER_LOW = pair(fixed(2 * Fraction("6371008.8")))
"""Twice the mean radius of the Earth in metres (M. Moritz, "Geodetic Reference System 1980")."""


@inline
def _times(x: F64, h: F64, low: F64, e: int) -> F64:
    """``x`` times a constant and ``2**e``, rounded once."""
    if not abs(x) <= _LARGEST:
        return np.nan
    if x == 0.0:
        return x
    own = np.int64(0)
    if abs(x) < 2.2250738585072014e-308:
        x *= 2.0**54
        own = np.int64(-54)
    bits = np.float64(x).view(np.int64)
    own += ((bits >> np.int64(52)) & np.int64(2047)) - np.int64(1023)
    m = np.int64((bits & np.int64(-0x7FF0000000000001)) | np.int64(1023 << 52)).view(np.float64)
    vh, vl = pair_product(m, 0.0, h, low)
    return scaled(vh, vl, own + np.int64(e))


@noinline
def in_radians(x: F64) -> F64:
    """An angle in degrees, in radians."""
    return _times(x, _RADIANS, _RADIANS_LOW, -6)


@noinline
def in_degrees(x: F64) -> F64:
    """An angle in radians, in degrees; infinite where it is too large."""
    return _times(x, _DEGREES, _DEGREES_LOW, 5)


@inline
def _squares(a: F64, b: F64) -> tuple[F64, F64, F64, F64]:
    """The squares of sin and cos of ``(a + b) / 2``, in degrees, as pairs."""
    h, low = exact_sum(0.5 * a, 0.5 * b)
    n = np.rint(h / 90.0)
    h, low = exact_sum(h - n * 90.0, low)
    h, low = pair_product(h, low, _DEGREE, _DEGREE_LOW)
    sh, sl, ch, cl = sine_cosine(h, low)
    if np.int64(n) & np.int64(1) == np.int64(1):
        sh, sl, ch, cl = ch, cl, sh, sl
    sh, sl = pair_product(sh, sl, sh, sl)
    ch, cl = pair_product(ch, cl, ch, cl)
    return sh, sl, ch, cl


@inline
def _mixed(ah: F64, al: F64, bh: F64, bl: F64, sh: F64, sl: F64, ch: F64, cl: F64) -> tuple[F64, F64]:
    """The root of ``a * c + b * s``."""
    ah, al = pair_product(ah, al, ch, cl)
    bh, bl = pair_product(bh, bl, sh, sl)
    ah, al = pair_sum(ah, al, bh, bl)
    return pair_root(ah, al)


@noinline
def great_circle(lat1: F64, lon1: F64, lat2: F64, lon2: F64) -> F64:
    """The distance in metres of two points, in degrees, on a sphere with the Earth's mean radius; NaN for a latitude
    beyond 90 or a longitude beyond 360 degrees.

    The haversine is ``hav = sin(u)**2 cos(w)**2 + cos(v)**2 sin(w)**2`` with half the difference (u) and half the sum
    (v) of the latitudes and half the difference of the longitudes (w). So is 1 - hav with sin and cos of u and v
    exchanged: neither cancels, near the point or on the other side. Points nearer than 1e-140 degrees are one.
    """
    if not (abs(lat1) <= 90.0 and abs(lat2) <= 90.0 and abs(lon1) <= 360.0 and abs(lon2) <= 360.0):
        return np.nan
    ush, usl, uch, ucl = _squares(lat2, -lat1)
    vsh, vsl, vch, vcl = _squares(lat2, lat1)
    wsh, wsl, wch, wcl = _squares(lon2, -lon1)
    yh, yl = _mixed(ush, usl, vch, vcl, wsh, wsl, wch, wcl)
    xh, xl = _mixed(uch, ucl, vsh, vsl, wsh, wsl, wch, wcl)
    if yh <= 0.0:
        return 0.0
    h, low = first_quarter(yh, yl, xh, xl)
    h, low = pair_product(h, low, _DIAMETER, _DIAMETER_LOW)
    h, low = fast_sum(h, low)
    return h + low
