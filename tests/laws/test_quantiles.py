"""quantile and median: exact for few values, else within half a percent; one state for every split."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import duckdb
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dataflow as df
from operators.aggregates.quantiles import ERROR, MOST, with_most
from operators.kernels import bins
from operators.kernels.bits import float_order
from operators.laws.check import Bench, LawBroken, check_batch, check_laws
from operators.laws.rows import LawRows
from operators.types import Type
from runtime.testing.oracle import many_values
from runtime.testing.oracle.strategies import BASE, KEY, TIME
from tests.laws.memory import run_in_memory

P = df.stream("s")


@numba.njit
def _of_float(order: Any) -> Any:
    return bins.middle_of_float(order)


@numba.njit
def _of_integer(n: Any) -> Any:
    return bins.middle_of_integer(n)


FLOATS = st.one_of(
    st.floats(allow_nan=False), st.floats(-100, 100), st.integers(-20, 20).map(lambda n: n / 4),
    st.sampled_from([1e308, -1e308, 5e-324, -0.0, 0.0, 2.2250738585072014e-308]),
)  # fmt: skip
INT64 = st.integers(-(2**63), 2**63 - 1)
SHARES = st.one_of(st.floats(0, 1), st.integers(0, 100).map(lambda n: n / 100))


def asked(metric: df.Stream, column: str, values: list[Any], **options: Any) -> dict[str, Any]:
    points = [{KEY: "abc"[i % 3], TIME: BASE + i, column: v} for i, v in enumerate(values)]
    (row,) = run_in_memory(json.loads(metric.to_json()), points, since=0, until=2**60, **options)
    return row


def disc(values: list[Any], q: float) -> Any:
    """percentile_disc, by counting."""
    ordered = sorted(values)
    return next(v for i, v in enumerate(ordered, 1) if i >= Fraction(repr(q)) * len(ordered))


@pytest.mark.parametrize(
    ("values", "expected"), [([1000], 1000), ([10, 12, 8, 11, 9], 10), ([1, 2], 1), ([7] * 3000 + [9] * 2999, 7)]
)
def test_medians(values: list[int], expected: int) -> None:
    assert asked(P.agg(m=df.median("n")), "n", values) == {"m": expected}
    assert asked(P.agg(m=df.median("temp")), "temp", [float(v) for v in values]) == {"m": float(expected)}


def test_the_median_of_one_session() -> None:
    metric = P.sessionize("5m").agg(m=df.median(df.col("duration")))
    points = [{KEY: "a", TIME: BASE + i * 60_000_000, "n": 1} for i in range(3)]
    (row,) = run_in_memory(json.loads(metric.to_json()), points, since=0, until=2**60)
    assert row == {"m": 120_000_000}


@given(st.lists(FLOATS, min_size=1, max_size=60), SHARES)
def test_few_floats_are_exact(values: list[float], q: float) -> None:
    metric = P.agg(x=df.quantile("temp", q), low=df.quantile("temp", 0), high=df.quantile("temp", 1),
                   min=df.min("temp"), max=df.max("temp"))  # fmt: skip
    row = asked(metric, "temp", values, tasks=2)
    assert row["x"] == disc(values, q)
    for one, other in (("low", "min"), ("high", "max")):
        assert np.float64(row[one]).tobytes() == np.float64(row[other]).tobytes()


@given(st.lists(INT64 | st.integers(-9, 9), min_size=1, max_size=40), SHARES)
def test_few_integers_are_exact(values: list[int], q: float) -> None:
    assert asked(P.agg(x=df.quantile("n", q)), "n", values, tasks=3) == {"x": disc(values, q)}


@pytest.mark.parametrize("q", ["0", "0.1", "0.25", "0.29", "0.5", "0.57", "0.9", "0.99", "1"])
def test_quantile_disc_of_duckdb(q: str) -> None:
    share = float(q)
    for n in (1, 2, 3, 4, 7, 10, 100):
        query = f"SELECT quantile_disc(i, {q}) FROM range({n}) t(i)"
        assert asked(P.agg(x=df.quantile("n", share)), "n", list(range(n)))["x"] == duckdb.sql(query).fetchall()[0][0]


SHAPES: dict[str, Callable[[np.random.Generator, int], Any]] = {
    "normal": lambda rng, n: rng.normal(20, 8, n),
    "of all sizes": lambda rng, n: np.ldexp(rng.normal(size=n), rng.integers(-1074, 1000, n)),
    "subnormal": lambda rng, n: rng.integers(-5000, 5000, n) * 5e-324,
    "large": lambda rng, n: rng.uniform(-1, 1, n) * 1.7e308,
}


@pytest.mark.parametrize("name", SHAPES)
def test_many_values_are_within_the_error(name: str) -> None:
    rng = np.random.default_rng(3)
    values = SHAPES[name](rng, 6000).tolist()
    shares = (0.0, 0.01, 0.29, 0.5, 0.9, 0.999, 1.0)
    metric = P.agg(**{f"q{i}": df.quantile("temp", q) for i, q in enumerate(shares)},
                   **{f"e{i}": df.quantile("temp", q, exact=True) for i, q in enumerate(shares)})  # fmt: skip
    row = asked(metric, "temp", values, tasks=2, rows=700)
    assert row == asked(metric, "temp", values[::-1], rows=5000)
    for i, q in enumerate(shares):
        true = disc(values, q)
        assert row[f"e{i}"] == true
        # Below the least float there is nothing to tell them apart by.
        assert abs(Fraction(row[f"q{i}"]) - Fraction(true)) <= abs(Fraction(true)) * Fraction(ERROR)
        assert row[f"q{i}"] == many_values.quantile(values, q, False, "float64")
    assert [row["q0"], row["q6"]] == [min(values), max(values)]
    found = [row[f"q{i}"] for i in range(len(shares))]
    assert found == sorted(found)


def test_many_integers_are_within_the_error() -> None:
    rng = np.random.default_rng(4)
    values = [int(v) >> int(s) for v, s in zip(rng.integers(-(2**63), 2**63 - 1, 5000), rng.integers(0, 60, 5000))]  # noqa: B905
    shares = (0.0, 0.1, 0.5, 0.77, 1.0)
    metric = P.agg(**{f"q{i}": df.quantile("n", q) for i, q in enumerate(shares)})
    row = asked(metric, "n", values, tasks=3, rows=900)
    for i, q in enumerate(shares):
        true = disc(values, q)
        assert abs(row[f"q{i}"] - true) <= abs(true) * Fraction(ERROR)
        assert row[f"q{i}"] == many_values.quantile(values, q, False, "int64")


@pytest.mark.parametrize("different", [MOST, MOST + 1])
def test_where_exactness_ends(different: int) -> None:
    values = [1000.0 + i / 1024 for i in range(different)] * 2
    row = asked(P.agg(x=df.median("temp")), "temp", values, tasks=2)
    assert (row["x"] == disc(values, 0.5)) == (different == MOST)


SMALL = [with_most("quantile", t, 0.5, most) for t in (Type.FLOAT, Type.INT) for most in (0, 1, 3, 6)]
"""With bounds that random cases of a dozen rows pass."""


@pytest.mark.parametrize("op", SMALL, ids=lambda op: f"{op.argument}-{op.fields[0].identity}")
@settings(max_examples=max(12, settings().max_examples // 4))
@given(seed=st.integers(0, 2**63))
def test_laws_where_values_become_bins(op: Any, seed: int) -> None:
    check_batch(op, np.random.default_rng(seed), 64)


def test_a_bound_that_depends_on_the_split_is_noticed() -> None:
    op = with_most("quantile", Type.INT, 0.5, 3)
    # One that never looks at what came together in a merge.
    broken = df.Aggregate(
        **{**{f: getattr(op, f) for f in op.__dataclass_fields__}, "tally": type(op.tally)(coarse=lambda words: words)}
    )
    with pytest.raises(LawBroken, match="split"):
        check_laws(broken)


@given(st.lists(FLOATS | st.just(math.nan), max_size=30))
def test_middles(values: list[float]) -> None:
    orders = [int(float_order(v)) if v == v else bins.NAN_ORDER for v in values]
    together = bins.middles_of_floats(np.array(orders, np.int64)).tolist()
    assert together == [int(_of_float(o)) for o in orders]
    assert bins.middles_of_floats(np.array(together, np.int64)).tolist() == together
    pairs = sorted(zip(orders, together, strict=True))
    assert [m for _, m in pairs] == sorted(together)
    for v, m in zip(values, together, strict=True):
        if math.isfinite(v):
            word = np.int64(m)
            shown = float((word ^ ((word >> np.int64(63)) & np.int64(2**63 - 1))).view(np.float64))
            assert shown == many_values.middle(v, "float64")


@given(st.lists(INT64 | st.integers(-600, 600) | st.sampled_from([-(2**63), 2**63 - 1]), max_size=30))
def test_middles_of_integers(values: list[int]) -> None:
    together = bins.middles_of_integers(np.array(values, np.int64)).tolist()
    assert together == [int(_of_integer(v)) for v in values]
    assert together == [many_values.middle(v, "int64") for v in values]
    assert bins.middles_of_integers(np.array(together, np.int64)).tolist() == together


def test_memory_of_many_small_groups() -> None:
    rows = 50_000
    case = np.arange(rows)
    inputs = {"value": np.arange(rows, dtype=np.float64)}
    bench = Bench(with_most("median", Type.FLOAT, 0.5, MOST))
    state = bench.fold(LawRows(rows, case, case, inputs, []), np.random.default_rng(1))
    assert sum(a.nbytes for a in state.states[0].values()) <= 48 * rows
