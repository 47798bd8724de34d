"""Constants and tables of functions, from integers: numbers as multiples of 2**-200, series with exact terms.

The values are within some hundred units, so the first 180 bits are right; pairs of floats use 107 of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

BITS = 200
ONE = 1 << BITS


def fixed(x: Fraction | float) -> int:
    """A number as a multiple of 2**-200, rounded down."""
    exact = Fraction(x)
    return (exact.numerator << BITS) // exact.denominator


def pair(x: int) -> tuple[float, float]:
    """A multiple of 2**-200 as a float and the rest."""
    high = x / ONE
    return high, (x - fixed(high)) / ONE


def pairs(values: Iterable[int]) -> NDArray[np.float64]:
    """A table of pairs."""
    return np.array([pair(v) for v in values], np.float64)


def leading(x: int, bits: int) -> float:
    """The first bits of a positive number as a float."""
    cut = x.bit_length() - bits
    return (x >> cut << cut) / ONE


def exp_of(x: int) -> int:
    """exp of a small number, by its Taylor series."""
    total, term, n = ONE, ONE, 1
    while term:
        term = (term * x >> BITS) // n
        total, n = total + term, n + 1
    return total


def log_of(x: int) -> int:
    """log of a number near 1, by the series of ``2 * artanh((x - 1) / (x + 1))``."""
    z = ((x - ONE) << BITS) // (x + ONE)
    total, power, n = 0, z, 1
    while power not in (0, -1):
        total += power // n
        power = (power * z >> BITS) * z >> BITS
        n += 2
    return 2 * total


def atan_of(x: int) -> int:
    """The arc tangent, by Euler's series, which also converges for 1."""
    square = x * x >> BITS
    term = (x << BITS) // (ONE + square)
    by = (square << BITS) // (ONE + square)
    total, n = 0, 1
    while term:
        total += term
        term = (term * by >> BITS) * (2 * n) // (2 * n + 1)
        n += 1
    return total


def sine_cosine_of(x: int) -> tuple[int, int]:
    """sin and cos of a small number that is not negative, by their Taylor series."""
    sums, term, n = [ONE, 0, 0, 0], ONE, 1
    while term:
        term = (term * x >> BITS) // n
        sums[n % 4] += term
        n += 1
    return sums[1] - sums[3], sums[0] - sums[2]


def pi_of(bits: int) -> int:
    """pi as a multiple of ``2**-bits``, by J. Machin's formula (1706): 16 * atan(1/5) - 4 * atan(1/239)."""
    more = bits + 32
    total = 0
    for factor, x in ((16, 5), (-4, 239)):
        power, n = (1 << more) // x, 1
        while power:
            total += factor * (power // n) * (1 if n % 4 == 1 else -1)
            power //= x * x
            n += 2
    return total >> 32


LN2 = log_of(2 * ONE)
LN10 = 3 * LN2 + log_of(fixed(Fraction(5, 4)))
PI = pi_of(BITS)
