"""sin, cos and tan of any float.

The argument's rest after whole quarter turns is exact to some 2**-72: the product of its 53 bits with as many bits of
1/(2 pi) as matter (M. H. Payne and R. N. Hanek, "Radian reduction for trigonometric functions", 1983). Then
``sin(a + d) = sin(a) cos(d) + cos(a) sin(d)`` with tables of pairs for multiples ``a`` of 1/64 (S. Gal and B. Bachelis,
"An accurate elementary mathematical library", 1991) and short polynomials for ``d``.
"""

from __future__ import annotations

import numpy as np

from operators.compiler.loops import F64, I64, inline, noinline
from operators.kernels.real.exact_tables import ONE, PI, pair, pairs, pi_of, sine_cosine_of
from operators.kernels.real.float_pairs import exact_product, exact_sum, fast_sum, pair_product, pair_quotient
from operators.kernels.shortest import high_word

_LARGEST = 1.7976931348623157e308
_TINY = 2.0**-28
"""Below this, sin(x) and tan(x) are nearer to x than to any other float."""

_QUARTER, _QUARTER_LOW = pair(PI // 2)
_WORDS = 22
"""Words of 1/(2 pi): 64 bits of zeros, 971 bits for the largest floats, and 192 that matter."""


def _turns() -> list[int]:
    bits = 64 * (_WORDS - 1)
    whole = (1 << (2 * bits + 63)) // pi_of(bits + 64)
    return [whole >> 64 * (_WORDS - 1 - j) & (2**64 - 1) for j in range(_WORDS)]


_TURNS = np.array(_turns(), np.uint64)
_SINES = pairs(sine_cosine_of(j * ONE // 64)[0] for j in range(52))
_COSINES = pairs(sine_cosine_of(j * ONE // 64)[1] for j in range(52))


@inline
def _word(row: I64, shift: I64) -> I64:
    """64 bits from bit ``shift`` of a word on."""
    return (_TURNS[row] << shift) | ((_TURNS[row + np.uint64(1)] >> np.uint64(1)) >> (np.uint64(63) - shift))


@inline
def _quarters(x: F64) -> tuple[I64, F64, F64]:
    """``x = (n + rest) * pi / 2`` for a finite ``x >= 1/2``: n modulo 4, and the rest in radians as a pair."""
    bits = np.float64(x).view(np.int64)
    m = np.uint64((bits & np.int64((1 << 52) - 1)) | np.int64(1 << 52))
    # x is an integer times 2**(place - 64): bits of 1/(2 pi) before that place only make whole turns.
    place = (bits >> np.int64(52)) - np.int64(1075 - 64)
    row, shift = np.uint64(place >> np.int64(6)), np.uint64(place & np.int64(63))
    one, two, most, half = np.uint64(1), np.uint64(2), np.uint64(62), np.uint64(32)
    w0, w1, w2 = _word(row, shift), _word(row + one, shift), _word(row + two, shift)
    f2 = m * w2
    above = np.uint64(high_word(m, w2))
    f1 = m * w1 + above
    f0 = m * w0 + np.uint64(high_word(m, w1))
    if f1 < above:
        f0 += one
    # f0, f1, f2: the fraction of a turn. The same of a quarter turn, with a sign:
    g0, g1, g2 = (f0 << two) | (f1 >> most), (f1 << two) | (f2 >> most), f2 << two
    n, sign = np.int64(f0 >> most), 1.0
    if g0 >> np.uint64(63) != np.uint64(0):
        g0, g1, g2 = ~g0, ~g1, ~g2
        n, sign = n + np.int64(1), -1.0
    low = np.uint64(0xFFFFFFFF)
    ah, al = fast_sum(np.float64(g0 >> half) * 2.0**-32, np.float64(g0 & low) * 2.0**-64)
    bh, bl = fast_sum(np.float64(g1 >> half) * 2.0**-96, np.float64(g1 & low) * 2.0**-128)
    h, rest = exact_sum(ah, bh)
    h, rest = fast_sum(h, rest + (al + (bl + np.float64(g2 >> half) * 2.0**-160)))
    h, rest = pair_product(h, rest, _QUARTER, _QUARTER_LOW)
    return n & np.int64(3), sign * h, sign * rest


@inline
def sine_cosine(h: F64, low: F64) -> tuple[F64, F64, F64, F64]:
    """sin and cos of a pair of at most 0.79 on either side of 0, as pairs."""
    sign = 1.0
    if h < 0.0:
        h, low, sign = -h, -low, -1.0
    j = np.rint(h * 64.0)
    dh, dl = exact_sum(h - j * 0.015625, low)
    row = np.uint64(j)
    sh, sl, ch, cl = _SINES[row, 0], _SINES[row, 1], _COSINES[row, 0], _COSINES[row, 1]
    z = dh * dh
    # sin(d) - d and cos(d) - 1
    s = dh * z * (-1 / 6 + z * (1 / 120 - z * (1 / 5040))) + dl
    c = z * (-0.5 + z * (1 / 24 + z * (-1 / 720 + z * (1 / 40320)))) - dh * dl
    p, lost = exact_product(ch, dh)
    vh, vl = exact_sum(sh, p)
    vh, vl = fast_sum(vh, vl + (lost + (sl + (sh * c + ch * s + cl * dh))))
    p, lost = exact_product(sh, dh)
    wh, wl = exact_sum(ch, -p)
    wh, wl = fast_sum(wh, wl - (lost - (cl + (ch * c - sh * s - sl * dh))))
    return sign * vh, sign * vl, wh, wl


@inline
def _parts(x: F64) -> tuple[I64, F64, F64, F64, F64]:
    """The quarter of a positive number, and sin and cos of the rest."""
    n, h, low = np.int64(0), x, 0.0
    if x > 0.785:
        n, h, low = _quarters(x)
    sh, sl, ch, cl = sine_cosine(h, low)
    return n, sh, sl, ch, cl


@noinline
def sine(x: F64) -> F64:
    """sin(x); NaN if ``x`` is not finite."""
    size = abs(x)
    if not size <= _LARGEST:
        return np.nan
    if size < _TINY:
        return x
    n, sh, sl, ch, cl = _parts(size)
    v = sh + sl if n & 1 == 0 else ch + cl
    return -v if (n >= 2) != (x < 0.0) else v


@noinline
def cosine(x: F64) -> F64:
    """cos(x); NaN if ``x`` is not finite."""
    size = abs(x)
    if not size <= _LARGEST:
        return np.nan
    n, sh, sl, ch, cl = _parts(size)
    v = ch + cl if n & 1 == 0 else sh + sl
    return -v if n == 1 or n == 2 else v


@noinline
def tangent(x: F64) -> F64:
    """tan(x); NaN if ``x`` is not finite."""
    size = abs(x)
    if not size <= _LARGEST:
        return np.nan
    if size < _TINY:
        return x
    n, sh, sl, ch, cl = _parts(size)
    if n & 1 == 1:
        sh, sl, ch, cl = -ch, -cl, sh, sl
    h, low = pair_quotient(sh, sl, ch, cl)
    return -(h + low) if x < 0.0 else h + low
