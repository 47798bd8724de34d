"""The oracle's larger aggregates against answers by hand."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest

from runtime.testing.oracle import answer, many_values
from runtime.testing.oracle.strategies import BASE, KEY, MINUTE, TIME, TYPES, Point
from tests.laws.builders import BY_DEVICE, STATUS, TEMP, UP, Json, N, agg, graph, group, states

DOWN_AND_UP: list[Point] = [
    {KEY: "a", TIME: BASE, "status": "up", "n": 5, "temp": 10.0},
    {KEY: "a", TIME: BASE + 2 * MINUTE, "status": "down", "n": 7, "temp": 20.0},
    {KEY: "a", TIME: BASE + 5 * MINUTE, "status": "up", "n": 3},
    {KEY: "a", TIME: BASE + 9 * MINUTE, "status": "down", "n": 4, "temp": 0.0},
]


def asked(metric: Json, since: int = BASE, until: int = BASE + 10 * MINUTE) -> Json:
    (row,) = answer(metric, DOWN_AND_UP, key=KEY, time=TIME, types=TYPES, since=since, until=until)
    return row


def test_counters() -> None:
    # Steps: 5 -> 7 is 2, a reset to 3 counts 3, 3 -> 4 is 1; over nine minutes.
    row = asked(graph(group([], n=agg("increase", N), rate=agg("rate", N))))
    assert row == {"n": 6, "rate": 6 / 540}
    # The report before the range is known, and its step counts in the range.
    assert asked(graph(group([], n=agg("increase", N))), since=BASE + MINUTE)["n"] == 6
    assert asked(graph(group([], n=agg("increase", N))), since=BASE + 3 * MINUTE)["n"] == 4


def test_edges() -> None:
    found = asked(graph(group([], e=agg("transitions", STATUS))))["e"]
    assert found == [{"from": "down", "to": "up", "count": 1}, {"from": "up", "to": "down", "count": 2}]


def test_failures() -> None:
    # Up for 2 + 4 minutes with two failures; down for 3 + 1 minutes with one repair.
    row = asked(graph(states(STATUS), group(BY_DEVICE, b=agg("mtbf", UP), r=agg("mttr", UP))))
    assert (row["b"], row["r"]) == (3 * MINUTE, 4 * MINUTE)


def test_weighed_by_time() -> None:
    # 10 for two minutes, 20 for seven (its hold is longer), 0 for one.
    row = asked(
        graph(
            states(TEMP, name="temp", hold=None),
            group([], mean=agg("time_weighted_mean", TEMP), area=agg("integral", TEMP)),
        )
    )
    assert row == {"mean": 16.0, "area": 9600.0}


@pytest.mark.parametrize(
    ("values", "ddof", "expected"),
    [([1, 2, 3, 4], 1, Fraction(5, 3)), ([1, 2, 3, 4], 0, Fraction(5, 4)), ([7], 1, None), ([7], 0, 0), ([], 0, None)],
)
def test_variance(values: list[int], ddof: int, expected: Fraction | None) -> None:
    assert many_values.variance(values, ddof) == expected
    if expected is not None:
        assert many_values.root(expected) == math.sqrt(expected)


@pytest.mark.parametrize(
    ("square", "expected"),
    [
        (Fraction(2), math.sqrt(2)),
        (Fraction(5e-324) ** 2 / 4, 0.0),  # half of the least float, to even
        (Fraction(5e-324) ** 2 * Fraction(9, 4), 1e-323),
        (Fraction(2) ** 2048, None),
    ],
)
def test_roots(square: Fraction, expected: float | None) -> None:
    assert many_values.root(square) == expected


def test_quantiles() -> None:
    assert many_values.quantile([30.0, 21.5], 0.5, False, "float64") == 21.5
    assert many_values.quantile([30.0, 21.5], 1.0, False, "float64") == 30.0
    assert many_values.quantile([0, 0, 9], 0.5, False, "int64") == 0
    # Number ceil(0.29 * 100), though the float 0.29 times 100 is less than 29.
    assert many_values.quantile(list(range(100)), 0.29, False, "int64") == 28
    large = [v + 0.5 for v in range(2000)]
    assert many_values.quantile(large, 0.5, True, "float64") == 999.5
    # The bin from 996 to 1000, of 128 between 512 and 1024.
    assert many_values.quantile(large, 0.5, False, "float64") == 998.0
    assert many_values.quantile(large, 1.0, False, "float64") == 1999.5


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (0.0, "float64", 0.0), (-998.0, "float64", -998.0), (996.0, "float64", 998.0), (-999.9, "float64", -998.0),
        (5e-324, "float64", 5e-324), (257 * 5e-324, "float64", 257 * 5e-324), (256 * 5e-324, "float64", 257 * 5e-324),
        (255, "int64", 255), (256, "int64", 257), (-257, "int64", -257), (-(2**63), "int64", -(2**63)),
    ],
)  # fmt: skip
def test_middles(value: Any, kind: str, expected: Any) -> None:
    assert many_values.middle(value, kind) == expected


def test_bins_and_tops() -> None:
    assert many_values.histogram([-1, 0, 2, 3], 3, None, "int64") == [
        {"from": -3, "to": 0, "count": 1}, {"from": 0, "to": 3, "count": 2}, {"from": 3, "to": 6, "count": 1},
    ]  # fmt: skip
    assert many_values.histogram([5.0, 7.0], None, [5.0, 6.0], "float64") == [
        {"from": None, "to": 5.0, "count": 0}, {"from": 5.0, "to": 6.0, "count": 1},
        {"from": 6.0, "to": None, "count": 1},
    ]  # fmt: skip
    assert many_values.top_k(["b", "a", "b", "c", "a"], 2) == [{"value": "a", "count": 2}, {"value": "b", "count": 2}]


@pytest.mark.parametrize("n", [0, 1, 50, 3000])
def test_hyperloglog(n: int) -> None:
    assert abs(many_values.approx_distinct(list(range(n)) * 2) - n) <= 0.05 * n
