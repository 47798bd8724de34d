"""quantile(interpolation="linear"): interpolated exactly, rounded once."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataflow as df
from operators.aggregates.quantiles import ERROR
from operators.errors import DataflowError
from operators.sums.interpolation import Shares, between_floats, between_integers, between_lengths
from runtime.testing.oracle import answer
from runtime.testing.oracle.strategies import BASE, KEY, TIME, TYPES
from tests.laws.memory import run_in_memory

P = df.stream("s")
FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.floats(-100, 100), st.integers(-20, 20).map(lambda n: n / 4),
    st.sampled_from([1e308, -1e308, 1.7976931348623157e308, 5e-324, -5e-324, -0.0, 0.0, 2.2250738585072014e-308]),
)  # fmt: skip
INT64 = st.integers(-(2**63), 2**63 - 1)
WHOLE = INT64 | st.integers(-9, 9) | st.sampled_from([2**53 + 1, 2**63 - 1, -(2**63)])
SHARES = st.one_of(st.floats(0, 1), st.integers(0, 100).map(lambda n: n / 100), st.just(0.5))


def asked(metric: df.Stream, column: str, values: list[Any], **options: Any) -> dict[str, Any]:
    points = [{KEY: "abc"[i % 3], TIME: BASE + i, column: v} for i, v in enumerate(values)]
    (row,) = run_in_memory(json.loads(metric.to_json()), points, since=0, until=2**60, **options)
    return row


def cont(values: list[Any], q: float) -> Fraction:
    """percentile_cont, in fractions."""
    ordered = sorted(map(Fraction, values))
    place = Fraction(repr(q)) * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low + (place - math.floor(place)) * (high - low)


def quantile(value: Any, q: float, **options: Any) -> Any:
    return df.quantile(value, q, interpolation="linear", **options)


@pytest.mark.parametrize(
    ("values", "q", "expected"),
    [
        ([1000], 0.5, 1000.0), ([10, 12, 8, 11, 9], 0.5, 10.0), ([1, 2], 0.5, 1.5), ([1, 2, 4, 8], 0.5, 3.0),
        ([1, 2, 3, 4, 5], 0.1, 1.4), ([0, 10], 0.29, 2.9), ([5, 7], 0.0, 5.0), ([5, 7], 1.0, 7.0),
        ([2**53 + 1, 2**53 + 2], 0.5, 9007199254740994.0), ([-(2**63), 2**63 - 1], 0.5, -0.5),
    ],
)  # fmt: skip
def test_values(values: list[int], q: float, expected: float) -> None:
    row = asked(P.agg(x=quantile("n", q)), "n", values)
    assert row == {"x": expected}
    assert isinstance(row["x"], float)
    if q == 0.5:
        assert asked(P.agg(x=df.median("n", interpolation="linear")), "n", values) == {"x": expected}


@given(st.lists(FLOATS, min_size=1, max_size=40), SHARES, st.integers(1, 3))
def test_floats(values: list[float], q: float, tasks: int) -> None:
    assert asked(P.agg(x=quantile("temp", q)), "temp", values, tasks=tasks) == {"x": float(cont(values, q))}


@given(st.lists(WHOLE, min_size=1, max_size=40), SHARES)
def test_integers(values: list[int], q: float) -> None:
    assert asked(P.agg(x=quantile("n", q)), "n", values, tasks=2) == {"x": float(cont(values, q))}


@given(st.lists(st.integers(-(2**60), 2**60) | st.integers(-9, 9), min_size=1, max_size=20), SHARES)
def test_durations_and_decimals(values: list[int], q: float) -> None:
    money = [v % 10**9 for v in values]
    metric = P.agg(x=quantile(df.col("n").decimal(2), q))
    assert asked(metric, "n", money) == {"x": float(cont(money, q))}
    lengths = sorted({abs(v) % 10**9 for v in values})
    rows = [{KEY: f"k{i}", TIME: BASE + t} for i, end in enumerate(lengths) for t in (0, end)]
    sessions = json.loads(P.sessionize("1d").agg(x=quantile("duration", q)).to_json())
    assert run_in_memory(sessions, rows, since=0, until=2**60) == [{"x": round(cont(lengths, q))}]


@given(st.lists(st.tuples(WHOLE, WHOLE, SHARES), min_size=70, max_size=80), st.integers(0, 9))
def test_many_pairs_at_once(pairs: list[tuple[int, int, float]], places: int) -> None:
    shares = Shares([Fraction(repr(q)) % 1 for *_, q in pairs], np.arange(len(pairs)))
    low = np.array([min(a, b) for a, b, _ in pairs])
    high = np.array([max(a, b) for a, b, _ in pairs])
    exact = [
        Fraction(a) + s * (Fraction(b) - a) for a, b, s in zip(low.tolist(), high.tolist(), shares.values, strict=True)
    ]
    assert between_integers(low, high, 10**places, shares).tolist() == [float(e / 10**places) for e in exact]
    assert between_lengths(low, high, shares).tolist() == [round(e) for e in exact]


@given(st.lists(st.tuples(FLOATS, FLOATS, SHARES), min_size=70, max_size=80))
def test_many_pairs_of_floats_at_once(pairs: list[tuple[float, float, float]]) -> None:
    shares = Shares([Fraction(repr(q)) % 1 for *_, q in pairs], np.arange(len(pairs)))
    low = np.array([min(a, b) for a, b, _ in pairs])
    high = np.array([max(a, b) for a, b, _ in pairs])
    exact = [
        float(Fraction(a) + s * (Fraction(b) - Fraction(a)))
        for a, b, s in zip(low.tolist(), high.tolist(), shares.values, strict=True)
    ]
    assert between_floats(low, high, shares).tolist() == exact


def test_infinities() -> None:
    inf = math.inf
    low, high = np.array([-inf, 1.0, -inf, inf, 1.0]), np.array([1.0, inf, inf, inf, inf])
    shares = Shares([Fraction(1, 2), Fraction(0)], np.array([0, 0, 0, 0, 1]))
    np.testing.assert_equal(between_floats(low, high, shares), [-inf, inf, math.nan, inf, 1.0])


@pytest.mark.parametrize("q", ["0", "0.1", "0.25", "0.29", "0.5", "0.57", "0.9", "0.99", "1"])
def test_quantile_cont_of_duckdb(q: str) -> None:
    rng = np.random.default_rng(5)
    for n in (1, 2, 3, 4, 7, 10, 100, 1000):
        values = rng.normal(20, 8, n).round(3).tolist()
        con = duckdb.connect()
        con.execute("CREATE TABLE t (v DOUBLE)")
        con.executemany("INSERT INTO t VALUES (?)", [[v] for v in values])
        (expected,) = con.execute(f"SELECT quantile_cont(v, {q}) FROM t").fetchall()[0]
        # DuckDB rounds on the way.
        found = asked(P.agg(x=quantile("temp", float(q))), "temp", values)["x"]
        assert found == pytest.approx(expected, rel=1e-14)
        assert found == pytest.approx(float(np.quantile(values, float(q))), rel=1e-14)


def test_large_groups_are_within_the_error() -> None:
    rng = np.random.default_rng(3)
    shares = (0.0, 0.01, 0.29, 0.5, 0.9, 0.999, 1.0)
    metric = P.agg(**{f"q{i}": quantile("temp", q) for i, q in enumerate(shares)},
                   **{f"e{i}": quantile("temp", q, exact=True) for i, q in enumerate(shares)})  # fmt: skip
    values = np.exp(rng.normal(0, 3, 5000)).tolist()
    row = asked(metric, "temp", values, tasks=2, rows=700)
    assert row == asked(metric, "temp", values[::-1], rows=5000)
    graph = json.loads(metric.to_json())
    points = [{KEY: "abc"[i % 3], TIME: BASE + i, "temp": v} for i, v in enumerate(values)]
    assert [row] == answer(graph, points, key=KEY, time=TIME, types=TYPES, since=0, until=2**60)
    for i, q in enumerate(shares):
        exact = cont(values, q)
        assert row[f"e{i}"] == float(exact)
        assert abs(Fraction(row[f"q{i}"]) - exact) <= Fraction(ERROR) * exact
        assert min(values) <= row[f"q{i}"] <= max(values)
    assert (row["q0"], row["q6"]) == (min(values), max(values))


def test_where_in_windows_and_after_a_grouping() -> None:
    temp = df.col("temp")
    points = [
        {KEY: k, TIME: BASE + i, "temp": v}
        for i, (k, v) in enumerate([("a", 1.0), ("a", 2.0), ("b", 5.0), ("b", None)])
    ]
    metric = P.agg(x=quantile("temp", 0.5, where=temp < 5.0), none=quantile("temp", 0.5, where=temp > 9.0))
    assert run_in_memory(json.loads(metric.to_json()), points, since=0, until=2**60) == [{"x": 1.5, "none": None}]
    grouped = P.window("1d", m=df.median("temp", interpolation="linear")).agg(x=df.median("m", interpolation="linear"))
    assert run_in_memory(json.loads(grouped.to_json()), points, since=0, until=2**60) == [{"x": 3.25}]


def test_the_json_form() -> None:
    plain = P.agg(x=df.quantile("temp", 0.5), m=df.median("temp"))
    assert "interpolation" not in plain.to_json()
    assert P.agg(x=df.quantile("temp", 0.5, interpolation="lower"), m=df.median("temp")).to_json() == plain.to_json()
    linear = P.agg(x=quantile("temp", 0.5), m=df.median("temp", interpolation="linear"))
    assert linear.to_json().count('"interpolation":"linear"') == 2
    assert df.from_json(linear.to_json()).to_json() == linear.to_json()
    assert 'df.quantile("temp", interpolation="linear", q=0.5)' in repr(linear)
    with pytest.raises(DataflowError, match="interpolation of quantile is 'lower' or 'linear', got 'nearest'"):
        df.quantile("temp", 0.5, interpolation="nearest")  # type: ignore[arg-type]
