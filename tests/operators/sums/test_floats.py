"""Exact float sums against Python's fractions."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from operators.kernels.sums.float_digits import DIGITS, FIRST, LOWEST
from operators.kernels.sums.float_sums import FAST, FILLED, add_each
from operators.sums.floats import FloatAccumulator
from tests.operators.numbers import FLOATS

ONE = np.zeros(1, np.intp)


def fill(found: FloatAccumulator, groups: NDArray[np.int64], values: NDArray[np.float64]) -> FloatAccumulator:
    """Add the values as a kernel does: as many at a time as the log has room for."""
    at = 0
    while at < len(values):
        found.make_room()
        end = at + found.log.shape[1] - int(found.used[FILLED])
        add_each(groups[at:end], values[at:end], found.rows, found.log, found.used)
        at = end
    return found


def sum_of(values: list[float], log: int = 8) -> FloatAccumulator:
    return fill(FloatAccumulator(1, log), np.zeros(len(values), np.int64), np.array(values, np.float64))


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


def test_many_groups_of_which_some_need_more_than_two_floats() -> None:
    rng = np.random.default_rng(6)
    values = np.ldexp(rng.normal(size=(6, 2000)), rng.integers(-300, 300, (6, 2000)) // rng.choice([1, 8, 1000], 2000))
    values[:, ::500] = [[math.inf], [1.0], [-3.0], [2.0**1023], [2.0**1023], [-0.0]]
    values[:, 1::500] = [[2.0**1023], [2.0**1023], [1.0], [-(2.0**1023)], [-(2.0**1023)], [2.0**-70]]
    everything = np.arange(2000)
    found = FloatAccumulator(2000)
    for numbers in values:
        merge(found, fill(FloatAccumulator(2000), everything, numbers), everything)
    totals = found.totals(everything)
    state = found.export("sum", 2000)
    apart, ends = state["sum_spans"][:, 0], np.cumsum(state["sum_spans"][:, 2])
    assert 100 < len(apart) < 1900
    assert totals.rounded().tolist() == [rounded_or_special(column) for column in values.T.tolist()]
    for g in (0, 1, *apart[:20].tolist(), *range(2, 40)):
        alone = sum_of(values[:, g].tolist()[::-1]).export("sum", 1)
        assert alone["sum"].tobytes() == state["sum"][g].tobytes()
        mine = np.flatnonzero(apart == g)
        assert alone["sum_spans"][:, 1:].tolist() == state["sum_spans"][mine, 1:].tolist()
        digits = [state["sum_digits"][ends[i] - state["sum_spans"][i, 2] : ends[i]] for i in mine]
        assert alone["sum_digits"].tolist() == [d for some in digits for d in some.tolist()]


@pytest.mark.parametrize("least", [-1022, 940, 960])
def test_bins_of_numbers_near_the_largest(least: int) -> None:
    rng = np.random.default_rng(least + 2000)
    n = 20_000
    values = np.ldexp(rng.uniform(-1, 1, n), rng.integers(least, 1012, n))
    values[:2] = [2.0**1021, -(2.0**1021)]
    found = sum_of(values.tolist(), 512)
    assert found.rows.shape[1] > 2
    assert found.used[FAST] <= found.rows.shape[1] // 2 - (least > 0)
    assert total(found).integers() == [sum(map(Fraction, values.tolist())) * 2**1074]
    largest = np.full(2**12, 2.0**1011)
    fill(found, np.zeros(2**12, np.int64), largest)
    assert np.isfinite(found.rows).all()
    assert total(found).integers() == [sum(map(Fraction, [*values.tolist(), *largest.tolist()])) * 2**1074]


@pytest.mark.parametrize("spread", [0, 12, 30, 100, 900])
@pytest.mark.parametrize("groups", [1, 16, 3000])
def test_bins_are_made_for_numbers_that_lie_far_apart(spread: int, groups: int) -> None:
    rng = np.random.default_rng(spread + groups)
    values = np.ldexp(rng.normal(size=20_000), rng.integers(-spread, spread, 20_000, endpoint=True))
    values[rng.integers(0, 20_000, 20)] = 0.0
    # Something large in a pair makes all that is small lose bits from then on.
    large = [1e300, -1e300] if spread > 12 else [1e-300, -1e-300]
    values[rng.integers(0, 20_000, 20)] = [5e-324, 2.0**-1022, *large] * 5
    at = rng.integers(0, groups, 20_000)
    forth = fill(FloatAccumulator(groups), at, values)
    if groups < 1000:
        assert (forth.rows.shape[1] > 2) == (spread > 12)
    back = fill(FloatAccumulator(groups // 8 + 1, 64), at[:0], values[:0])
    back.grow(groups)
    fill(back, at[::-1].copy(), values[::-1].copy())
    whole = forth.totals(np.arange(groups))
    assert whole.rounded().tolist() == [math.fsum(values[at == g].tolist()) for g in range(groups)]
    for name, part in forth.export("sum", groups).items():
        assert part.tobytes() == back.export("sum", groups)[name].tobytes()
    for g in range(0, groups, 100):
        assert whole.integers()[g] == sum(map(Fraction, values[at == g].tolist())) * 2**1074


def test_what_a_bin_holds_grows_beyond_its_numbers() -> None:
    rng = np.random.default_rng(8)
    exponents = rng.choice([-90, 32], 2**17)
    values = np.ldexp(rng.uniform(0.5, 1, 2**17), exponents)
    # The second group is never in the log.
    groups = np.where(exponents > 0, rng.integers(0, 2, 2**17), 0)
    found = fill(FloatAccumulator(2), groups, values)
    assert found.rows.shape[1] > 2
    expected = [sum(map(Fraction, values[groups == g].tolist())) * 2**1074 for g in (0, 1)]
    assert found.totals(np.arange(2)).integers() == expected


def sums_by_group(groups: NDArray[np.int64], values: NDArray[np.float64], count: int) -> list[float]:
    order = np.argsort(groups, kind="stable")
    ends = np.searchsorted(groups[order], np.arange(count + 1))
    return [math.fsum(values[order[a:b]].tolist()) for a, b in pairwise(ends)]


@pytest.mark.parametrize("skewed", [False, True])
def test_numbers_far_apart_of_many_groups_go_through_the_log(skewed: bool) -> None:
    rng = np.random.default_rng(12)
    n, groups = 300_000, 3000
    values = np.ldexp(rng.normal(size=n), rng.integers(-900, 900, n))
    values[rng.integers(0, n, 200)] = [5e-324, -1e300, 0.0, -0.0] * 50
    at = np.where(rng.random(n) < 0.9, 2999, rng.integers(0, groups, n)) if skewed else rng.integers(0, groups, n)
    found = fill(FloatAccumulator(groups), at, values)
    assert found.rows.shape[1] == 0
    assert found.totals(np.arange(groups)).rounded().tolist() == sums_by_group(at, values, groups)
    # In halves, of which one has few groups at first, then more than there was room for, and all rows at once.
    half = n // 2
    near = at[:half] < 700
    later = fill(FloatAccumulator(700, 64), at[:half][near], values[:half][near])
    later.grow(groups)
    assert later.rows.shape[1] == 0
    rest = np.flatnonzero(~near)
    later.make_room(len(rest))
    add_each(at[rest], values[rest], later.rows, later.log, later.used)
    other = fill(FloatAccumulator(groups), at[half:], values[half:])
    both = FloatAccumulator(1)
    both.grow(groups)
    for part in (other, later):
        merge(both, part, np.arange(groups))
    mine, theirs = found.export("sum", groups), both.export("sum", groups)
    assert {name: a.tobytes() for name, a in mine.items()} == {name: a.tobytes() for name, a in theirs.items()}
    found.reset(np.arange(1, groups))
    assert found.totals(np.arange(groups)).rounded().tolist() == sums_by_group(at, values, 1) + [0.0] * (groups - 1)


def test_special_values_in_the_log() -> None:
    rng = np.random.default_rng(13)
    values = np.ldexp(rng.normal(size=200_000), rng.integers(-900, 900, 200_000))
    groups = np.arange(200_000) % 3000
    for at, special in ((150_000, math.inf), (150_001, -math.inf), (150_002, math.nan), (153_001, math.inf)):
        values[at] = special
    found = fill(FloatAccumulator(3000), groups, values)
    assert found.rows.shape[1] == 0
    totals = found.totals(np.arange(3000))
    assert totals.rounded()[:3].tolist()[0] == math.inf
    assert np.isnan(totals.rounded()[1:3]).all()
    assert np.flatnonzero(totals.special()).tolist() == [0, 1, 2]
    assert np.isfinite(totals.rounded()[3:]).all()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([math.nan], math.nan),
        ([math.inf], math.inf),
        ([math.inf, -math.inf], math.nan),
        ([-math.inf, 1e308, 1e308], -math.inf),
        ([math.inf, -1.7e308, -1.7e308], math.inf),
    ],
)
def test_special_values_where_sums_have_digits_above_those_of_floats(more: list[float], expected: float) -> None:
    found = FloatAccumulator(1, 8)
    merge(found, sum_of([1.7e308, 1e-300, 1e-308]))
    fill(found, np.zeros(len(more), np.int64), np.array(more))
    assert str(total(found).rounded()[0]) == str(total(found).special()[0]) == str(expected)


@pytest.mark.parametrize("entries", [1, 63, 64, 65, 1000])
def test_groups_that_come_when_all_rows_of_digits_are_given(entries: int) -> None:
    """New groups, from the middle of a block of the log on."""
    rng = np.random.default_rng(entries)
    values = np.ldexp(rng.normal(size=200_000), rng.integers(-900, 900, 200_000))
    at = rng.integers(0, 3000, 200_000)
    found = fill(FloatAccumulator(3000, 64), at, values)
    assert found.rows.shape[1] == 0
    found.grow(6000)
    more = np.ldexp(rng.normal(size=entries), rng.integers(-900, 900, entries))
    then = np.where(np.arange(entries) < entries // 3, 5, rng.integers(3000, 6000, entries))
    fill(found, then, more)
    expected = sums_by_group(np.concatenate([at, then]), np.concatenate([values, more]), 6000)
    assert found.totals(np.arange(6000)).rounded().tolist() == expected


def test_a_number_that_only_the_end_of_the_log_has() -> None:
    rng = np.random.default_rng(16)
    n, groups = 200_000, 6000
    at = rng.integers(0, groups - 1, n)
    values = np.ldexp(rng.normal(size=n), rng.integers(-500, 500, n))
    at[-1], values[-1] = groups - 1, 5e-324
    found = fill(FloatAccumulator(groups), at, values)
    assert found.rows.shape[1] == 0
    assert found.totals(np.arange(groups)).rounded().tolist() == sums_by_group(at, values, groups)


@pytest.mark.parametrize("below", [0, 1, 2])
def test_sums_of_many_have_digits_above_those_of_their_numbers(below: int) -> None:
    """As much as a number can have in its highest digit, so often that it needs one more, which numbers with digits
    just below do not."""
    n, groups = 150_000, 5000
    number = math.ldexp(2.0**53 - 1, 31 + 32 * 50 + LOWEST)
    rng = np.random.default_rng(17)
    values = np.ldexp(rng.normal(size=n), rng.integers(-900, 300, n))
    at = rng.integers(1, groups, n)
    found = fill(FloatAccumulator(groups), at, values)
    assert found.rows.shape[1] == 0
    fill(found, np.ones(1, np.int64), np.full(1, math.ldexp(number, -32 * below)))
    assert found.totals(np.arange(2)).rounded()[0] == 0.0
    fill(found, np.zeros(2**13, np.int64), np.full(2**13, number))
    assert found.totals(ONE).rounded()[0] == number * 2**13


def test_relief_moves_carries() -> None:
    rng = np.random.default_rng(18)
    values = np.ldexp(rng.normal(size=300_000), rng.integers(-900, 900, 300_000))
    found = fill(FloatAccumulator(3000), rng.integers(0, 3000, 300_000), values)
    before = found.export("sum", 3000)
    digits = found._wide[:, FIRST:-1]
    assert digits.max() > 2**32
    found.relieve()
    assert digits.min() == 0
    assert digits.max() < 2**32
    after = found.export("sum", 3000)
    assert {name: a.tobytes() for name, a in before.items()} == {name: a.tobytes() for name, a in after.items()}


@pytest.mark.parametrize("size", [1e300, 5e-324, 1e305])
def test_pairs_take_numbers_of_any_size(size: float) -> None:
    rng = np.random.default_rng(14)
    values = rng.integers(-(2**20), 2**20, 1000) * size if size < 1 else rng.uniform(-1, 1, 1000) * size
    found = fill(FloatAccumulator(1), np.zeros(1000, np.int64), values)
    assert found.rows.shape == (1, 2)
    assert found.used[FILLED] == 0
    assert total(found).rounded().tolist() == [math.fsum(values.tolist())]


def test_pairs_are_kept_while_they_lose_little() -> None:
    rng = np.random.default_rng(15)
    found = FloatAccumulator(8192)
    for _ in range(40):
        values = rng.normal(20, 8, 50_000)
        # One in ten has a bit that no pair with those before can tell.
        values[::10] = np.ldexp(1.0, -300 - rng.integers(0, 500, 5000))
        fill(found, rng.integers(0, 8192, 50_000), values)
        found.counted(50_000)
    assert found.rows.shape == (8192, 2)


def test_digits_do_not_overflow() -> None:
    found, largest = FloatAccumulator(1), sum_of([sys.float_info.max, 1.0, 2.0**-1000]).export("sum", 1)
    spans, digits = np.repeat(largest["sum_spans"], 2**15, axis=0), np.tile(largest["sum_digits"], 2**15)
    for _ in range(2**5):
        found.merge("sum", ONE, {"sum": np.zeros((1, 2)), "sum_spans": spans, "sum_digits": digits})
        found.relieve()
    assert total(found).integers() == [
        2**20 * v for v in total(sum_of([sys.float_info.max, 1.0, 2.0**-1000])).integers()
    ]


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
        # Halfway between the largest float and infinity.
        ([sys.float_info.max, 2.0**970], math.inf),
        ([sys.float_info.max, 2.0**969, 2.0**969], math.inf),
        ([sys.float_info.max, 2.0**969], sys.float_info.max),
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
    beyond = FloatAccumulator(1)
    for order in ([largest, 2.0**969, 2.0**969], [-largest], [last]):
        merge(beyond, sum_of(order))
    assert bits(beyond) == bits(sum_of([2.0**970, last]))
    half = FloatAccumulator(1)
    for _ in range(2):
        merge(half, sum_of([1.5 * 2.0**999]))
    assert bits(half) == bits(sum_of([1.5 * 2.0**999] * 2))
    assert total(merged).rounded()[0] == last


@given(st.lists(FLOATS, max_size=20), st.lists(FLOATS, max_size=20), st.booleans())
def test_steps_after_merges(first: list[float], then: list[float], relieved: bool) -> None:
    found = FloatAccumulator(1)
    merge(found, sum_of(first))
    fill(found, np.zeros(len(then), np.int64), np.array(then, np.float64))
    if relieved:
        found.make_room(10**5)
        found.relieve()
    assert bits(found) == bits(sum_of(first + then))
    found.grow(5)
    assert bits(found) == bits(sum_of(first + then))
    found.reset(ONE)
    assert bits(found) == bits(sum_of([]))


@pytest.mark.parametrize("span", [(-1, 0, 1, 0), (1, 0, 1, 0), (0, -1, 1, 0), (0, DIGITS, 1, 0), (0, 0, 1, 8)])
def test_digits_from_elsewhere_are_looked_at(span: tuple[int, ...]) -> None:
    found = FloatAccumulator(1)
    state = {"sum": np.zeros((1, 2)), "sum_spans": np.zeros((1, 4), np.int32), "sum_digits": np.zeros(0, np.int32)}
    one = np.ones(1, np.int32)
    for wrong in (
        {"sum_spans": np.array([span], np.int32), "sum_digits": one},
        {"sum_spans": np.array([[0, 0, -1, 0], [0, 0, 2, 0]], np.int32), "sum_digits": one},
        {"sum_digits": one},
    ):
        with pytest.raises(ValueError, match="that there are not"):
            found.merge("sum", ONE, state | wrong)
    for wrong in ({"sum": np.zeros((2, 2))}, {"sum_spans": np.zeros((1, 4), np.int64)}, {"sum_digits": np.zeros(0)}):
        with pytest.raises(ValueError, match="no state of sums"):
            found.merge("sum", ONE, state | wrong)
    found.merge("sum", ONE, state)
    assert bits(found) == bits(sum_of([]))
