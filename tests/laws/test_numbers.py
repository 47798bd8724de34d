"""Numbers: comparison by value, means within their values, durations, edges of bins."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataflow as df
from runtime import Store
from runtime.testing.oracle import answer
from runtime.testing.oracle.strategies import BASE, KEY, TIME, TYPES
from tests.laws.memory import run_in_memory

P, N, T = df.stream("s"), df.col("n"), df.col("temp")
EDGE = 2**53
INT64 = st.integers(-(2**63), 2**63 - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def asked(metric: df.Stream, points: list[dict[str, Any]], **options: Any) -> Any:
    rows = [{KEY: "abc"[i % 3], TIME: BASE + i * 1_000_000, **p} for i, p in enumerate(points)]
    return run_in_memory(json.loads(metric.to_json()), rows, since=0, until=2**60, **options)


# ---- floats that are too large

LARGE = (
    st.sampled_from([1.7976931348623157e308, -1.7976931348623157e308, 1e308, 1e200, 5e-324, 0.0, -0.0, 3.0]) | FINITE
)


@given(st.lists(LARGE, min_size=1, max_size=8), LARGE)
def test_what_is_too_large_for_a_float_is_null(values: list[float], other: float) -> None:
    x = df.param("x", other)
    columns = {"add": T + x, "sub": T - x, "mul": T * x, "div": T / x}
    exact = {
        "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b
    }  # fmt: skip
    rows = asked(P.select(**columns), [{"temp": v} for v in values], params={"x": other})
    for row, value in zip(sorted(rows, key=lambda r: r[TIME]), values, strict=True):
        for name, operator in exact.items():
            try:
                right = float(operator(Fraction(value), Fraction(other)))
            except (OverflowError, ZeroDivisionError):
                right = None
            assert row[name] == right, (name, value, other)


# ---- integers against floats

OPERATORS = {
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b, "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b,
}  # fmt: skip


@st.composite
def mixed(draw: st.DrawFn) -> tuple[int, float]:
    """An integer and a float that are often neighbours."""
    x = draw(st.one_of(FINITE, INT64.map(float), st.sampled_from([2.0**53, 2.0**63, -(2.0**63), 0.5, -0.0])))
    if abs(x) < 2.0**63 and draw(st.booleans()):
        near = math.floor(x) + draw(st.integers(-1, 1))
        return min(max(near, -(2**63)), 2**63 - 1), x
    return draw(INT64), x


@given(st.lists(mixed(), min_size=1, max_size=8), mixed())
def test_integers_and_floats_compare_by_value(pairs: list[tuple[int, float]], constant: tuple[int, float]) -> None:
    # Python compares an int with a float by their exact values.
    whole, real = constant
    columns: dict[str, Any] = {}
    for name, compare in OPERATORS.items():
        columns |= {name: compare(N, T), f"{name}_back": compare(T, N)}
        columns |= {f"{name}_float": compare(N, df.param("x", real)), f"{name}_int": compare(T, df.param("m", whole))}
    columns |= {"inside": N.between(T, real), "outside": T.between(N, whole), "listed": N.is_in([real, 0.5])}
    columns |= {"of_floats": T.is_in([whole, 3])}
    points = [{"n": n, "temp": x} for n, x in pairs]
    rows = asked(P.select(**columns), points, params={"x": real, "m": whole})
    for row, n, x in zip(sorted(rows, key=lambda r: r[TIME]), *zip(*pairs, strict=True), strict=True):
        for name, compare in OPERATORS.items():
            found = [row[f"{name}{part}"] for part in ("", "_back", "_float", "_int")]
            assert found == [compare(n, x), compare(x, n), compare(n, real), compare(x, whole)]
        assert row["inside"] is (x <= n <= real)
        assert row["outside"] is (n <= x <= whole)
        assert row["listed"] is (n == real)
        assert row["of_floats"] is (x in (whole, 3))


BEYOND = [{"n": EDGE + 1, "temp": float(EDGE)}, {"n": EDGE, "temp": float(EDGE)}, {"n": EDGE - 1, "temp": float(EDGE)}]


@pytest.mark.parametrize("tasks", [1, 3])
def test_beyond_the_integers_that_are_floats(tasks: int) -> None:
    def one(metric: df.Stream) -> Any:
        (row,) = asked(metric, BEYOND, tasks=tasks)
        return row

    assert one(P.filter(float(EDGE) < N).agg(n=df.count())) == {"n": 1}
    assert one(P.agg(n=df.count(where=float(EDGE) == N), m=df.count(where=N > T))) == {"n": 1, "m": 1}
    assert one(P.agg(x=df.sum(df.when(N > T).then(1).otherwise(0)))) == {"x": 1}
    assert one(P.agg(any=df.any_true(N > T), all=df.all_true(N >= T))) == {"any": True, "all": False}
    grouped = P.group_by(KEY).agg(most=df.max("n"), least=df.min("temp"))
    assert one(grouped.filter(df.col("most") > df.col("least")).agg(n=df.count())) == {"n": 1}
    assert one(grouped.filter(df.col("most") == float(EDGE)).agg(n=df.count())) == {"n": 1}
    # The first key is over to the end of the range, the others never.
    states = P.state_duration(N > T).agg(over=df.duration(df.col("state")), known=df.known_time())
    assert one(states)["known"] > one(states)["over"] > 0


@given(st.lists(st.tuples(st.integers(-(10**17), 10**17), FINITE | st.integers(-9999, 9999).map(lambda n: n / 100)),
                min_size=1, max_size=6), st.integers(0, 3))  # fmt: skip
def test_decimals_compare_with_the_shortest_decimal(pairs: list[tuple[int, float]], places: int) -> None:
    columns = {name: compare(N.decimal(places) - N.decimal(places) + df.col("n").decimal(0), T)
               for name, compare in OPERATORS.items()}  # fmt: skip
    small = [(n // 10**4, x) for n, x in pairs]
    rows = asked(P.select(**columns), [{"n": n, "temp": x} for n, x in small])
    for row, (n, x) in zip(sorted(rows, key=lambda r: r[TIME]), small, strict=True):
        assert [row[name] for name in OPERATORS] == [compare(n, Decimal(repr(x))) for compare in OPERATORS.values()]


def test_decimals_against_what_has_other_places() -> None:
    price = T.decimal(2)
    row = asked(
        P.select(same=price == 0.1, listed=price.is_in([0.1, 7.77]), third=price == T.decimal(4), high=price < 10**18,
                 integer=price >= N, none=price.is_in([0.105]), between=price.between(0, 0.1)),
        [{"temp": 0.1, "n": -(2**63)}],
    )[0]  # fmt: skip
    expected = {"same": True, "listed": True, "third": True, "high": True, "integer": True, "none": False}
    assert {k: v for k, v in row.items() if k not in (KEY, TIME)} == {**expected, "between": True}


def test_integers_that_are_no_floats_are_named() -> None:
    with pytest.raises(df.DataflowError, match=f"{EDGE + 1} cannot be represented as float64"):
        N.is_in([EDGE + 1, 0.5])
    with pytest.raises(df.DataflowError, match=f"{EDGE + 1} cannot be represented as float64"):
        asked(P.agg(h=df.histogram("temp", edges=[0, EDGE + 1])), [{"temp": 1.0}])


# ---- means


@given(st.lists(FINITE | st.sampled_from([1e308, -1e308, 5e-324, 0.1]), min_size=1, max_size=12), st.integers(1, 3))
def test_a_mean_is_the_exact_one_rounded_once(values: list[float], tasks: int) -> None:
    metric = P.agg(mean=df.mean("temp"), low=df.min("temp"), high=df.max("temp"))
    (row,) = asked(metric, [{"temp": v} for v in values], tasks=tasks)
    assert row["mean"] == float(sum(map(Fraction, values)) / len(values))
    assert row["low"] <= row["mean"] <= row["high"]


@pytest.mark.parametrize("value", [1e308, -1.7976931348623157e308, 5e-324])
def test_equal_values_are_their_own_mean(value: float) -> None:
    many = [{"temp": value}] * 3
    held = P.state_duration("temp").agg(m=df.time_weighted_mean("temp"))
    (row,) = asked(P.agg(mean=df.mean("temp"), sd=df.stddev("temp"), v=df.variance("temp")), many)
    assert row == {"mean": value, "sd": 0.0, "v": 0.0}
    assert asked(held, many)[0] == {"m": value}
    (apart,) = asked(P.agg(sd=df.stddev("temp", ddof=0)), [{"temp": 1e308}, {"temp": -1e308}])
    assert apart == {"sd": 1e308}
    # Of many groups the means are worked out in another way.
    wide = [{"temp": value, "n": i % 200} for i in range(600)]
    assert {r["m"] for r in asked(P.group_by("n").agg(m=df.mean("temp")), wide)} == {value}


# ---- durations

DURATIONS = st.integers(-(2**62), 2**62) | st.integers(-9, 9)


def of_durations(values: list[int], **options: Any) -> dict[str, Any]:
    """Aggregates of durations of so many microseconds, as the oracle says them."""
    points = [{KEY: "a", TIME: BASE + i, "n": v} for i, v in enumerate(values)]
    long = N * timedelta(microseconds=1)
    metric = P.agg(
        mean=df.mean(long), total=df.sum(long), sd=df.stddev(long), half=df.median(long),
        sd0=df.stddev(long, ddof=0), v=df.variance(long),
    )  # fmt: skip
    graph = json.loads(metric.to_json())
    (row,) = run_in_memory(graph, points, since=0, until=2**60, **options)
    (expected,) = answer(graph, points, key=KEY, time=TIME, types=TYPES, since=0, until=2**60)
    assert row == expected
    assert {name: type(v) for name, v in row.items()} == {name: type(v) for name, v in expected.items()}
    return row


@given(st.lists(DURATIONS.map(lambda n: n // 16), min_size=1, max_size=9))
def test_means_of_durations_are_durations(values: list[int]) -> None:
    row = of_durations(values)
    assert row["mean"] == round(Fraction(sum(values), len(values)))
    assert min(values) <= row["half"] <= max(values)


@pytest.mark.parametrize(
    ("values", "mean", "sd"), [([1, 2], 2, 1), ([2, 3], 2, 1), ([-1, -2], -2, 1), ([5], 5, None), ([0, 0, 3], 1, 2)]
)
def test_durations_are_rounded_to_the_microsecond(values: list[int], mean: int, sd: int | None) -> None:
    row = of_durations(values)
    assert (row["mean"], row["sd"]) == (mean, sd)


def test_how_means_of_durations_are_shown(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        columns = {"k": ["a"] * 4, "t": [0, 60, 1000, 1090], "v": [1, 1, 1, 1]}
        store.ingest("s", columns, key="k", time="t", unit="s")
        mean = df.stream("s").sessionize("5m").group_by("k").agg(
            m=df.mean("duration"), sd=df.stddev("duration", ddof=0), q=df.quantile("duration", 1), n=df.count(),
        )  # fmt: skip
        shares = mean.with_columns(ratio=df.col("m") / df.col("q"))
        result = store.query(shares)
        assert result.to_dict()["types"] == {
            "k": "string", "m": "duration", "sd": "duration", "q": "duration", "n": "int64", "ratio": "float64",
        }  # fmt: skip
        assert result.to_dict()["rows"] == [["a", 75_000_000, 15_000_000, 90_000_000, 2, 75 / 90]]
        assert result.to_arrow()["m"].type == pa.duration("us")
        assert result.to_pandas()["m"].dt.total_seconds().tolist() == [75.0]
        assert result.to_polars()["m"].dt.total_seconds().to_list() == [75]
        assert "00:01:15" in repr(result)
        assert result.to_csv().splitlines()[1].startswith("a,75000000,15000000,90000000,2,")


def test_a_duration_weighed_by_time() -> None:
    # 2 s for a second, then 5 s until the end of the range, a second later.
    points = [{KEY: "a", TIME: BASE, "n": 2}, {KEY: "a", TIME: BASE + 1_000_000, "n": 5}]
    metric = P.state_duration(N * timedelta(microseconds=1)).agg(m=df.time_weighted_mean("state"))
    graph = json.loads(metric.to_json())
    for until, expected in ((2_000_000, 4), (3_000_000, 4), (5_000_000, 4)):
        row = run_in_memory(graph, points, since=BASE, until=BASE + until)
        assert row == answer(graph, points, key=KEY, time=TIME, types=TYPES, since=BASE, until=BASE + until)
        assert row == [{"m": expected}]


# ---- bins


@pytest.mark.parametrize("value", [0.5, 0.9, 1.0, 1.5, 2.0, 0.3, 0.7, -0.3, 0.1, 1e15 + 0.5])
def test_a_value_is_in_the_bin_that_begins_with_it(value: float) -> None:
    (row,) = asked(P.agg(h=df.histogram("temp", width=0.1)), [{"temp": value}])
    (found,) = row["h"]
    assert (found["from"], found["count"]) == (value, 1)
    assert found["to"] == float(Fraction(repr(value)) + Fraction("0.1"))


@pytest.mark.parametrize("digits", [1, 2, 3, 6])
def test_every_multiple_has_a_bin(digits: int) -> None:
    values = [i / 10**digits for i in range(-60, 60)]
    (row,) = asked(P.agg(h=df.histogram("temp", width=10.0**-digits)), [{"temp": v} for v in values], tasks=2)
    assert [(b["from"], b["count"]) for b in row["h"]] == [(v, 1) for v in values]


def test_edges_of_floats() -> None:
    values = [0.1, 0.2, 0.3, 0.30000000000000004, -1.0, 0.7]
    (row,) = asked(P.agg(h=df.histogram("temp", edges=[0.1, 0.3, 0.7])), [{"temp": v} for v in values], tasks=2)
    assert [(b["from"], b["to"], b["count"]) for b in row["h"]] == [
        (None, 0.1, 1), (0.1, 0.3, 2), (0.3, 0.7, 2), (0.7, None, 1),
    ]  # fmt: skip


WIDTHS = st.sampled_from([0.1, 0.01, 0.25, 3.0, 7, 1e-9, 0.12345678901234567, 1e300])


@given(st.lists(st.tuples(st.integers(-(10**6), 10**6), st.integers(-1, 1)) | FINITE, min_size=1, max_size=8), WIDTHS)
def test_bins_against_fractions(drawn: list[Any], width: float) -> None:
    values = []
    for d in drawn:
        x = d if isinstance(d, float) else float(d[0] * Fraction(repr(width)))
        if not isinstance(d, float) and d[1]:
            x = math.nextafter(x, d[1] * math.inf)
        if abs(Fraction(x) / Fraction(width)) < 2**62:
            values.append(x)
    (row,) = asked(P.agg(h=df.histogram("temp", width=width)), [{"temp": v} for v in values])
    size = Fraction(repr(width))
    bins = [math.floor(Fraction(repr(v)) / size) for v in values]
    expected = [{"from": edge(b * size), "to": edge((b + 1) * size), "count": bins.count(b)} for b in sorted({*bins})]
    assert row["h"] == expected


def edge(exact: Fraction) -> float | str:
    """As JSON has it."""
    try:
        return float(exact)
    except OverflowError:
        return "Infinity" if exact > 0 else "-Infinity"


def test_the_last_bin_ends_beyond_the_largest_float() -> None:
    (row,) = asked(P.agg(h=df.histogram("temp", width=1e308)), [{"temp": 1.5e308}, {"temp": -1.5e308}])
    assert row["h"] == [
        {"from": "-Infinity", "to": -1e308, "count": 1}, {"from": 1e308, "to": "Infinity", "count": 1},
    ]  # fmt: skip


def test_zeros_are_one_group_however_rows_are_split() -> None:
    points = [{"temp": v} for v in (-0.0, 0.0, -0.0, 1.0, 0.0, -0.0)]
    for tasks in (1, 2, 3):
        rows = asked(P.group_by("temp").agg(n=df.count(), c=df.count_distinct("temp")), points, tasks=tasks)
        assert [(r["temp"], math.copysign(1, r["temp"]), r["n"], r["c"]) for r in rows] == [(0, 1, 5, 1), (1, 1, 1, 1)]
