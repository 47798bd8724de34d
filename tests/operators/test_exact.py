"""Exact sums against Python's fractions and integers."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from itertools import permutations
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from operators import exact
from operators.accumulators import Accumulator, Totals
from operators.errors import OverflowExceeded
from operators.float_sums import FloatAccumulator
from operators.kernels.exact import LOGGED, add_float, add_int, add_integer_square, add_scaled, add_square

FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=64),
    st.floats(-1e6, 1e6),
    st.sampled_from([5e-324, -5e-324, 2.2250738585072014e-308, 1e300, -1e300, 0.1, -0.0, 2.0**53, 1.0]),
    st.builds(math.ldexp, st.floats(-2, 2), st.integers(-60, 60)),
)
INTS = st.integers(-(2**63), 2**63 - 1)
ONE = np.zeros(1, np.intp)


@numba.njit
def _add_floats(values: Any, rows: Any, log: Any, used: Any, at: Any) -> Any:
    while at < values.shape[0] and used[0] + LOGGED <= log.shape[0]:
        add_float(0, rows, log, used, values[at])
        at += 1
    return at


@numba.njit
def _add_floats_to(rows: Any, log: Any, used: Any, g: Any, value: Any) -> None:
    add_float(g, rows, log, used, value)


@numba.njit
def _add_squares(values: Any, rows: Any, log: Any, used: Any) -> None:
    for i in range(values.shape[0]):
        add_square(0, rows, log, used, values[i])


@numba.njit
def _add_integer_squares(values: Any, rows: Any, log: Any, used: Any) -> None:
    for i in range(values.shape[0]):
        add_integer_square(0, rows, log, used, values[i])


@numba.njit
def _add_scaled(values: Any, times: Any, rows: Any, log: Any, used: Any) -> None:
    for i in range(values.shape[0]):
        add_scaled(0, rows, log, used, values[i], times[i])


@numba.njit
def _add_ints(values: Any, low: Any, high: Any) -> None:
    for i in range(values.shape[0]):
        add_int(0, low, high, values[i])


def sum_of(values: list[float], log: int = 8) -> FloatAccumulator:
    found = FloatAccumulator(1, log)
    at = 0
    while at < len(values):
        at = _add_floats(np.array(values, np.float64), found.rows, found.log, found.used, at)
        found.make_room()
    return found


def total(found: Any) -> Any:
    return found.totals(ONE)


def bits(found: FloatAccumulator) -> dict[str, bytes]:
    return {name: values.tobytes() for name, values in found.export("sum", 1).items()}


def merge(into: FloatAccumulator, part: FloatAccumulator, at: NDArray[np.intp] = ONE) -> None:
    into.merge("sum", at, part.export("sum", len(at)))


def rounded(total: Fraction) -> float:
    """The float nearest to the exact sum."""
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def rounded_or_special(values: list[float]) -> float:
    if all(map(math.isfinite, values)):
        return rounded(sum(map(Fraction, values), Fraction(0)))
    return sum(values)


@given(st.lists(FLOATS, max_size=30))
def test_float_sum_is_the_nearest_float(values: list[float]) -> None:
    found = sum_of(values)
    whole = sum(map(Fraction, values), Fraction(0))
    assert total(found).rounded()[0] == rounded(whole)
    assert total(found).integers() == [whole * 2**1074]


@given(st.lists(FLOATS, max_size=30))
def test_float_sum_is_fsum(values: list[float]) -> None:
    try:
        expected = math.fsum(values)
    except OverflowError:
        # Halfway to the answer fsum leaves the range of floats; the exact sum need not.
        expected = rounded(sum(map(Fraction, values), Fraction(0)))
    assert total(sum_of(values)).rounded()[0] == expected


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[float], list[list[float]], list[int]]:
    """Values, the same shuffled and in parts, and which two parts to merge next."""
    values = draw(st.lists(FLOATS, max_size=25))
    parts: list[list[float]] = [[] for _ in range(draw(st.integers(1, 5)))]
    for v in draw(st.permutations(values)):
        parts[draw(st.integers(0, len(parts) - 1))].append(v)
    return values, parts, draw(st.lists(st.integers(0, 100), min_size=len(parts), max_size=len(parts)))


@given(trees())
def test_every_split_and_tree_has_the_same_bits(case: tuple[list[float], list[list[float]], list[int]]) -> None:
    values, parts, order = case
    states = [sum_of(p) for p in parts]
    for pick in order:
        if len(states) > 1:
            a, b = states.pop(pick % len(states)), states.pop((pick // 7) % len(states))
            merged = FloatAccumulator(1)
            for part in (a, b):
                merge(merged, part)
            states.append(merged)
    assert bits(states[0]) == bits(sum_of(values))


def test_many_groups_apart_from_each_other() -> None:
    # Windows of two states that start up to four digits from each other, of either sign, and some that do not fit.
    rng = np.random.default_rng(5)
    scales = rng.integers(-100, 100, (2, 2000))
    values = np.ldexp(rng.normal(size=(2, 2000)), scales)
    everything = np.arange(2000)
    sums = []
    for numbers in values:
        sums.append(Accumulator(2000, 7, -1074))
        sums[-1].add(everything, numbers)
    sums[0].merge_totals(everything, sums[1].totals(everything))
    assert sums[0].totals(everything).rounded().tolist() == [math.fsum(pair) for pair in values.T.tolist()]
    assert len({int(s) for s in (scales[0] - scales[1]) // 32}) > 6


def test_many_groups_of_which_some_need_more_than_two_floats() -> None:
    rng = np.random.default_rng(6)
    values = np.ldexp(rng.normal(size=(6, 2000)), rng.integers(-300, 300, (6, 2000)) // rng.choice([1, 8, 1000], 2000))
    values[:, ::500] = [[math.inf], [1.0], [-3.0], [2.0**1023], [2.0**1023], [-0.0]]
    values[:, 1::500] = [[2.0**1023], [2.0**1023], [1.0], [-(2.0**1023)], [-(2.0**1023)], [2.0**-70]]
    everything = np.arange(2000)
    found = FloatAccumulator(2000)
    for numbers in values:
        one = FloatAccumulator(2000)
        for g, v in enumerate(numbers.tolist()):
            _add_floats_to(one.rows, one.log, one.used, g, v)
            one.make_room()
        merge(found, one, everything)
    totals = found.totals(everything)
    assert 100 < len(totals.apart) < 1900
    assert totals.rounded().tolist() == [rounded_or_special(column) for column in values.T.tolist()]
    state = found.export("sum", 2000)
    assert state["sum_wide"][:, 0].tolist() == totals.apart.tolist()
    for g in (0, 1, *totals.apart[:20].tolist(), *range(2, 40)):
        alone = sum_of(values[:, g].tolist()[::-1]).export("sum", 1)
        assert alone["sum"].tobytes() == state["sum"][g].tobytes()
        assert alone["sum_wide"][:, 1:].tobytes() == state["sum_wide"][totals.apart == g, 1:].tobytes()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([math.inf, 1.0], math.inf),
        ([-math.inf, 1e308], -math.inf),
        ([math.inf, -math.inf], math.nan),
        ([math.nan, 1.0], math.nan),
        ([sys.float_info.max, sys.float_info.max], math.inf),
        ([1e308, 1e308, -1e308], 1e308),
        ([1e300, 1.0, -1e300, 5e-324], 1.0),
        ([5e-324] * 3, 1.5e-323),
        # Halfway between two floats but for one bit, the lowest of its digit.
        ([2.0**-19, 2.0**-72, 2.0**-114], 2.0**-19 + 2.0**-71),
        ([2.0**-19, 2.0**-72], 2.0**-19),
        ([sys.float_info.max] * 1000 + [-sys.float_info.max] * 999, sys.float_info.max),
    ],
)
def test_extremes(values: list[float], expected: float) -> None:
    (got,) = total(sum_of(values)).rounded().tolist()
    assert got == expected or (math.isnan(got) and math.isnan(expected))


@pytest.mark.parametrize("last", [1e305, 2.0**999, 1.0])
def test_near_the_largest_floats_every_order_has_the_same_bits(last: float) -> None:
    largest = sys.float_info.max
    orders = set(permutations([largest, largest, -largest, -largest, last]))
    found = {tuple(bits(sum_of(list(order))).values()) for order in orders}
    merged = FloatAccumulator(1)
    for order in ([largest], [-largest], [largest, last], [-largest]):
        merge(merged, sum_of(order))
    assert found == {tuple(bits(merged).values())}
    half = FloatAccumulator(1)
    for _ in range(2):
        merge(half, sum_of([1.5 * 2.0**999]))
    assert bits(half) == bits(sum_of([1.5 * 2.0**999] * 2))
    assert total(merged).rounded()[0] == last


def test_a_window_does_not_overflow() -> None:
    found = Accumulator(1, 7, -1074)
    rows = np.array([[0, 0, 2**32 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1, 2**39]], np.int64)
    for _ in range(40):
        found.merge_totals(ONE, Totals(rows, {}, -1074))
        found.settle()
    n = sum(int(d) << (32 * i) for i, d in enumerate(rows[0, 2:].tolist()))
    assert total(found).integers() == [40 * n]


@given(st.lists(FLOATS, max_size=20), st.lists(FLOATS, max_size=20), st.booleans())
def test_steps_after_merges(first: list[float], then: list[float], relieved: bool) -> None:
    found = FloatAccumulator(1)
    merge(found, sum_of(first))
    found.make_room(len(then) + 1)
    assert _add_floats(np.array(then, np.float64), found.rows, found.log, found.used, 0) == len(then)
    if relieved:
        found.make_room(10**5)
        found.relieve()
    assert bits(found) == bits(sum_of(first + then))
    found.grow(5)
    assert bits(found) == bits(sum_of(first + then))
    found.reset(ONE)
    assert bits(found) == bits(sum_of([]))


@given(st.lists(FLOATS, max_size=20))
def test_windows_are_relieved(values: list[float]) -> None:
    found = Accumulator(1, 7, -1074)
    found.add(np.zeros(len(values), np.intp), np.array(values, np.float64))
    before = total(found)
    found.relieve()
    assert not found.rows[:, 1:].any()
    after = total(found)
    assert (after.rows.tobytes(), after.beyond) == (before.rows.tobytes(), before.beyond)
    assert after.integers() == [sum(map(Fraction, values), Fraction(0)) * 2**1074]


@given(st.lists(FLOATS, max_size=20))
def test_squares(values: list[float]) -> None:
    found = Accumulator(1, 9, -2148)
    _add_squares(np.array(values, np.float64), found.rows, found.log, found.used)
    assert total(found).integers() == [sum(Fraction(v) ** 2 for v in values) * 2**2148]


@given(st.lists(INTS, max_size=20))
def test_integer_squares(values: list[int]) -> None:
    found = Accumulator(1, 7, 0)
    _add_integer_squares(np.array(values, np.int64), found.rows, found.log, found.used)
    assert total(found).integers() == [sum(v * v for v in values)]


@given(st.lists(st.tuples(FLOATS, st.integers(0, 2**63 - 1)), max_size=20))
def test_scaled(pairs: list[tuple[float, int]]) -> None:
    found = Accumulator(1, 8, -1074)
    values, times = np.array([v for v, _ in pairs], np.float64), np.array([n for _, n in pairs], np.int64)
    _add_scaled(values, times, found.rows, found.log, found.used)
    assert total(found).integers() == [sum(Fraction(v) * n for v, n in pairs) * 2**1074]


@given(st.integers(0, 2**200), st.integers(1, 2**100), st.integers(-1100, 40))
def test_root_is_correctly_rounded(a: int, b: int, half: int) -> None:
    found = exact.root(a, b, 2 * half)
    square = Fraction(a, b) * Fraction(2) ** (2 * half)
    below, above = (Fraction(math.nextafter(found, to)) for to in (0.0, math.inf))
    # No other float is nearer: the root lies between the middles to its neighbours.
    assert ((Fraction(found) + below) / 2) ** 2 <= square <= ((Fraction(found) + above) / 2) ** 2


@given(st.lists(INTS, max_size=30))
def test_integer_sum(values: list[int]) -> None:
    low, high = np.zeros(1, np.int64), np.zeros(1, np.int64)
    _add_ints(np.array(values, np.int64), low, high)
    exact.settle_pair(low, high)
    total = sum(values)
    assert exact.exact_ints(low, high) == [total]
    if -(2**63) <= total < 2**63:
        assert exact.pair_to_int(low, high, "sum")[0] == total
    else:
        with pytest.raises(OverflowExceeded, match="64-bit"):
            exact.pair_to_int(low, high, "sum")


@given(INTS, st.integers(1, 2**63 - 1))
def test_ratio_is_correctly_rounded(a: int, b: int) -> None:
    def words(n: int) -> tuple[Any, Any]:
        return np.array([n & 0xFFFFFFFF], np.int64), np.array([n >> 32], np.int64)

    assert exact.pair_ratio(*words(a), *words(b))[0] == a / b
