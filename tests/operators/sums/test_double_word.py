"""100-bit arithmetic against fractions."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import isqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.kernels.sums.float_sums import add_each
from operators.sums import double_word, rounding
from operators.sums.double_word import Twofold
from operators.sums.floats import FloatAccumulator
from operators.sums.windowed import WindowedTotals, _windows
from tests.operators.numbers import FLOATS

BOUND = Fraction(16, 2**106)


def numbers(rng: np.random.Generator, n: int) -> Twofold:
    """Normal ones, of both signs: some have nothing that they lack, some very little."""
    high = np.ldexp(rng.uniform(0.5, 1, n) * rng.choice([-1, 1], n), rng.integers(-190, 190, n))
    low = high * 2.0**-54 * rng.uniform(-1, 1, n) * rng.choice([0.0, 1.0, 2.0**-30], n)
    high[::7] = np.ldexp(np.sign(high[::7]), rng.integers(-190, 190, len(high[::7])))
    low[::7] = np.abs(high[::7]) * 2.0**-54
    return double_word.two_sum(high, low)


def fractions(x: Twofold) -> list[Fraction]:
    return [Fraction(a) + Fraction(b) for a, b in zip(x[0].tolist(), x[1].tolist(), strict=True)]


def check(found: Twofold, expected: list[Fraction]) -> None:
    for got, want in zip(fractions(found), expected, strict=True):
        assert abs(got - want) <= BOUND * abs(want)
    assert (found[0] + found[1] == found[0]).all()


@pytest.mark.parametrize(
    ("operation", "meaning"),
    [
        (double_word.add, lambda a, b: a + b),
        (double_word.subtract, lambda a, b: a - b),
        (double_word.multiply, lambda a, b: a * b),
        (double_word.divide, lambda a, b: a / b),
    ],
)
def test_operations(operation: Callable[[Twofold, Twofold], Twofold], meaning: Callable[[Any, Any], Any]) -> None:
    rng = np.random.default_rng(1)
    x, y = numbers(rng, 5000), numbers(rng, 5000)
    # Of like size, too, so that differences lose almost all.
    near = x[0][::3] * (1 + rng.integers(-4, 5, len(x[0][::3])) * 2.0**-52)
    y[0][::3], y[1][::3] = double_word.two_sum(near, x[1][::3] * rng.choice([1.0, -1.0, 0.5], len(near)))
    check(operation(x, y), [meaning(a, b) for a, b in zip(fractions(x), fractions(y), strict=True)])


def test_roots() -> None:
    high, low = numbers(np.random.default_rng(2), 5000)
    x = np.abs(high), np.where(high < 0, -low, low)
    roots = [Fraction(isqrt(int(f * 2**1000)), 2**500) for f in fractions(x)]
    check(double_word.square_root(x), roots)


def test_products_and_sums_without_error() -> None:
    rng = np.random.default_rng(3)
    (a, _), (b, _) = numbers(rng, 3000), numbers(rng, 3000)
    for found, meaning in (
        (double_word.two_sum(a, b), Fraction.__add__),
        (double_word.two_product(a, b), Fraction.__mul__),
    ):
        exactly = [meaning(Fraction(p), Fraction(q)) for p, q in zip(a.tolist(), b.tolist(), strict=True)]
        assert fractions(found) == exactly


def test_what_is_rounded_for_certain() -> None:
    half, little = 2.0**-53, 2.0**-93
    low = np.array(
        [half - little, half + little, 0.0, little - half, half - little, half + little, little - half, half]
    )
    error = np.array([*[little / 2] * 4, *[2 * little] * 3, 2.0**-100])
    value, certain = double_word.rounded((np.full(8, 1.5), low), error)
    assert certain.tolist() == [True] * 4 + [False] * 4
    assert value[:4].tolist() == [1.5, 1.5 + 2 * half, 1.5, 1.5]


@given(st.lists(st.lists(FLOATS, max_size=6), min_size=1, max_size=6))
def test_sums_are_read_to_a_hundred_bits(values: list[list[float]]) -> None:
    sums = FloatAccumulator(len(values))
    for g, some in enumerate(values):
        add_each(np.full(len(some), g), np.array(some, np.float64), sums.rows, sums.log, sums.used)
    whole_sums = {g: int(sum(map(Fraction, some), Fraction(0)) * 2**1074) for g, some in enumerate(values)}
    _, rows, beyond = _windows(whole_sums, 9)
    everything = np.arange(len(values))
    for found in (sums.totals(everything), WindowedTotals(rows, beyond, -1074)):
        near = found.twofold()
        for high, low, whole in zip(near[0].tolist(), near[1].tolist(), found.integers(), strict=True):
            want = Fraction(whole, 2**1074)
            if high == high and (want == 0 or 2.0**-500 < abs(want) < 2.0**900):
                assert abs(Fraction(high) + Fraction(low) - want) <= 9 * BOUND * abs(want)


def test_what_is_too_small_for_a_float_is_not_told() -> None:
    _, rows, beyond = _windows({0: 0, 1: 1, 2: 2**1200}, 9)
    high, _ = WindowedTotals(rows, beyond, -2148).twofold()
    assert np.isnan(high).tolist() == [False, True, False]
    assert high[[0, 2]].tolist() == [0.0, 2.0**-948]


@given(st.lists(st.integers(-(2**90), 2**90), min_size=1))
def test_whole_numbers_are_read_to_a_hundred_bits(values: list[int]) -> None:
    low, high = (np.array(part, np.int64) for part in zip(*((v & 0xFFFFFFFF, v >> 32) for v in values), strict=True))
    found = rounding.PairSums(low, high).twofold()
    for a, b, want in zip(found[0].tolist(), found[1].tolist(), values, strict=True):
        assert (a != a) if abs(want >> 32) >= 2**52 else int(a) + int(b) == want
