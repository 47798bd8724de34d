"""Sums and means of moving windows against exact arithmetic: numbers of all sizes, that cancel, that are too large."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from operators.compiler.loops import loop
from operators.kernels.sums import moving_sums as m
from operators.kernels.sums.running_sums import WIDTH

TINY = 5e-324


@loop("void(f8[::1], i8[::1], i8[:,::1], i8[::1], f8[::1], f8[::1], i8[::1])")
def moved(
    xs: NDArray[np.float64],
    lo: NDArray[np.int64],
    digits: NDArray[np.int64],
    work: NDArray[np.int64],
    sums: NDArray[np.float64],
    means: NDArray[np.float64],
    wides: NDArray[np.int64],
) -> None:
    """The sums and means of the windows [lo[i], i], and whether they needed digits."""
    a, b, wide, first, n = 0.0, 0.0, np.int64(0), np.int64(0), np.int64(0)
    for i in range(xs.shape[0]):
        a, b, wide = m.add_moving(a, b, wide, digits, xs[i])
        n += 1
        while first < lo[i]:
            a, b, wide = m.remove_moving(a, b, wide, digits, xs[first])
            n -= 1
            first += 1
        wides[i] = wide
        sums[i] = m.moving_sum(a, b, wide, digits)
        means[i] = m.moving_mean(a, b, wide, digits, work, n)


def results(xs: list[float], lo: list[int]) -> tuple[list[float], list[float], list[int]]:
    n = len(xs)
    out = np.zeros(n), np.zeros(n), np.zeros(n, np.int64)
    moved(np.array(xs), np.array(lo), np.zeros((1, WIDTH), np.int64), np.zeros(m.WORK, np.int64), *out)
    return out[0].tolist(), out[1].tolist(), out[2].tolist()


def nearest(exact: Fraction) -> float:
    try:
        return float(exact)
    except OverflowError:
        return float("inf") if exact > 0 else float("-inf")


NUMBERS = {
    "alike": lambda r: round(r.gauss(20, 8), 1),
    "all sizes": lambda r: r.uniform(-1, 1) * 2.0 ** r.randint(-1070, 1020),
    "smallest": lambda r: r.randint(-5, 5) * TINY,
    "largest": lambda r: r.choice([1e308, -1e308, 1.7e308, 1e-300, 1.0, 0.0, -0.0]),
    "quarters": lambda r: r.randint(-10, 10) / 4,
    "cancelling": lambda r: r.choice([1e16, -1e16, 1.0, 0.5, 2.0**53, 1e-30]),
    "about normal": lambda r: r.choice([2.0**-1022, TINY, 2.0**-1021 * 1.5, -3e-320]),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_windows_of_all_numbers(kind: str) -> None:
    wide = 0
    for seed in range(150):
        r = random.Random(seed)
        xs = [NUMBERS[kind](r) for _ in range(r.randint(1, 40))]
        lo: list[int] = []
        for i in range(len(xs)):
            lo.append(max(i - r.randint(0, 8), lo[-1] if lo else 0))
        sums, means, wides = results(xs, lo)
        wide += any(wides)
        for i, (total, mean) in enumerate(zip(sums, means, strict=True)):
            exact = sum(map(Fraction, xs[lo[i] : i + 1]), Fraction())
            assert total == nearest(exact), (seed, i)
            assert mean == nearest(exact / (i + 1 - lo[i])), (seed, i)
    # The slow path is taken where it is needed, and nowhere else.
    assert (wide > 0) == (kind in ("all sizes", "largest", "cancelling")), wide


def test_infinities_and_nan_leave_a_window() -> None:
    inf, nan = float("inf"), float("nan")
    sums, means, _ = results([1.0, inf, -inf, nan, 2.0, 3.0], [0, 0, 2, 3, 4, 4])
    assert [repr(x) for x in sums] == ["1.0", "inf", "-inf", "nan", "2.0", "5.0"]
    assert [repr(x) for x in means] == ["1.0", "inf", "-inf", "nan", "2.0", "2.5"]
