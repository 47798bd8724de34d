"""Aggregates beyond the largest float are null; infinite inputs add up as in IEEE 754."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import dataflow as df
from operators.aggregates import REGISTRY
from operators.laws.check import Bench
from operators.laws.rows import LawRows, given_rows
from operators.states.groups import Groups
from operators.states.strings import Words
from operators.types import Type
from runtime.testing.oracle import answer, many_values
from runtime.testing.oracle.strategies import BASE, KEY, TIME, TYPES
from tests.laws.memory import run_in_memory

P, T = df.stream("s"), df.col("temp")
MAX = 1.7976931348623157e308
SECOND = 1_000_000
LARGE = st.sampled_from([MAX, -MAX, 1e308, -1e308, 9e307, 1e200, 5e-324, 0.0, 3.0]) | st.floats(
    allow_nan=False, allow_infinity=False
)


def rows_of(values: list[float | None]) -> list[dict[str, Any]]:
    return [{KEY: "a", TIME: BASE + i * SECOND, "temp": v} for i, v in enumerate(values)]


def asked(metric: df.Stream, values: list[float | None], **options: Any) -> list[dict[str, Any]]:
    graph = json.loads(metric.to_json())
    found = run_in_memory(graph, rows_of(values), since=0, until=BASE + len(values) * SECOND, **options)
    right = answer(graph, rows_of(values), key=KEY, time=TIME, types=TYPES, since=0, until=BASE + len(values) * SECOND)
    assert found == right
    return list(found)


def as_float(exact: Fraction) -> float | None:
    try:
        return float(exact)
    except OverflowError:
        return None


def spread(values: list[Fraction]) -> Fraction:
    mean = sum(values) / len(values)
    return sum((v - mean) ** 2 for v in values) / (len(values) - 1)


@pytest.mark.parametrize("tasks", [1, 2])
@pytest.mark.parametrize(
    ("agg", "values", "expected"),
    [
        (df.sum("temp"), [1e308, 1e308], None),
        (df.sum("temp"), [1e308, 1e308, -1e308], 1e308),
        (df.sum("temp"), [MAX, 2.0**969], MAX),
        (df.sum("temp"), [MAX, 2.0**970], None),
        (df.sum("temp"), [-MAX, -MAX], None),
        (df.mean("temp"), [1e308, 1e308, 1e308], 1e308),
        (df.variance("temp"), [1e200, -1e200], None),
        (df.variance("temp"), [1e150, -1e150], float(2 * Fraction(1e150) ** 2)),
        (df.stddev("temp"), [1e200, -1e200], many_values.root(2 * Fraction(1e200) ** 2)),
        (df.stddev("temp"), [MAX, -MAX], None),
        (df.increase("temp"), [0.0, 1e308, 0.0, 1e308], None),
        (df.increase("temp"), [-1e308, 1e308], None),
        (df.increase("temp"), [-1e308, 1e308, 1.0, 2.0], None),
        (df.rate("temp"), [0.0, 1e308, 0.0, 1e308], 1e308 / 1.5),
        (df.rate("temp"), [-1e308, 1e308], None),
    ],
    ids=str,
)
def test_values(agg: Any, values: list[float], expected: float | None, tasks: int) -> None:
    assert asked(P.agg(x=agg), [*values], tasks=tasks) == [{"x": expected}]


def test_over_time() -> None:
    held = P.state_duration("temp", hold="1h")
    weighed = held.agg(area=df.integral("temp"), mean=df.time_weighted_mean("temp"))
    mean = float((Fraction(1e308) + Fraction(9e307)) / 2)
    assert asked(weighed, [1e308, 9e307]) == [{"area": None, "mean": mean}]
    assert asked(weighed, [1e308, 5e307])[0]["area"] == float(Fraction(1e308) + Fraction(5e307))
    assert asked(weighed, [1e308, 1e308]) == [{"area": None, "mean": 1e308}]


def test_a_rate_within_a_microsecond() -> None:
    graph = json.loads(P.agg(x=df.rate("temp")).to_json())
    points = [{KEY: "a", TIME: BASE + i, "temp": i * 1e303} for i in range(2)]
    assert run_in_memory(graph, points, since=0, until=2**60) == [{"x": None}]
    points[1]["temp"] = 1e302
    assert run_in_memory(graph, points, since=0, until=2**60) == [{"x": 1e308}]


def test_running_sums_come_back() -> None:
    found = asked(P.select(x=T.cumulative_sum()), [1e308, 1e308, None, -1e308, -MAX, -MAX, 5.0])
    assert [r["x"] for r in found] == [
        as_float(sum(map(Fraction, part), Fraction(0)))
        for part in (
            [1e308],
            [1e308] * 2,
            [1e308] * 2,
            [1e308],
            [1e308, -MAX],
            [1e308, -MAX, -MAX],
            [1e308, -MAX, -MAX, 5.0],
        )
    ]
    assert [r["x"] is None for r in found] == [False, True, True, False, False, True, True]


@given(st.lists(LARGE, min_size=2, max_size=9), st.integers(1, 3))
@example([5e-324, 5e-324, 5e-324, 0.0], 1)
def test_every_float(values: list[float], tasks: int) -> None:
    metric = P.agg(total=df.sum("temp"), mean=df.mean("temp"), variance=df.variance("temp"), stddev=df.stddev("temp"))
    (found,) = asked(metric, [*values], tasks=tasks)
    exact = [Fraction(v) for v in values]
    total = sum(exact, Fraction(0))
    assert found == {
        "total": as_float(total), "mean": float(total / len(values)),
        "variance": as_float(spread(exact)), "stddev": many_values.root(spread(exact)),
    }  # fmt: skip
    running = asked(P.select(x=T.cumulative_sum()), [*values], tasks=tasks)
    assert [r["x"] for r in running] == [as_float(sum(exact[: i + 1], Fraction(0))) for i in range(len(values))]


def test_as_columns_of_windows_and_sessions() -> None:
    values: list[float | None] = [1e308, 1e308, 1.0]
    for stream in (P.window("1d", total=df.sum("temp")), P.sessionize("1h", total=df.sum("temp"))):
        metric = stream.agg(n=df.count(), known=df.count("total"), more=df.sum(df.col("total").fill_null(-1.0)))
        assert asked(metric, values) == [{"n": 1, "known": 0, "more": -1.0}]


# ---- infinities, which custom aggregates can produce

SPECIAL: list[tuple[str, list[float], float]] = [
    ("sum", [math.inf, 1.0], math.inf),
    ("sum", [-math.inf, 1e308, 1e308], -math.inf),
    ("sum", [math.inf, -math.inf], math.nan),
    ("sum", [math.nan, 1.0], math.nan),
    ("mean", [math.inf, 1.0], math.inf),
    ("mean", [-math.inf, math.inf], math.nan),
    ("variance", [math.inf, 1.0, 2.0], math.nan),
    ("stddev", [math.nan, 1.0, 2.0], math.nan),
    ("integral", [math.inf, 1.0], math.inf),
    ("time_weighted_mean", [-math.inf, 1.0], -math.inf),
    ("increase", [math.inf], math.inf),
    ("rate", [math.inf], math.inf),
]


@pytest.mark.parametrize(("name", "values", "expected"), SPECIAL)
def test_infinities_propagate(name: str, values: list[float], expected: float) -> None:
    n = len(values)
    ones = np.ones(n, np.int64)
    rows: LawRows = given_rows(np.zeros(n, np.int64), ones, np.arange(n), np.array(values), ones, ones, ones, 1)
    op, words = REGISTRY[name, Type.FLOAT], Words()
    groups = Groups([Type.INT], [op])
    groups.merge(Bench(op).fold(rows, np.random.default_rng(0)), words.codes)
    ((found, valid),) = groups.cells.finish(np.zeros(1, np.intp), words)
    assert valid is not None
    assert valid.tolist() == [True]
    np.testing.assert_equal(found, [expected])
