"""Arithmetic of durations: by numbers exact and rounded once; by durations numbers."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from fractions import Fraction
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataflow as df
from dataflow.binding.typing import GraphError
from operators.errors import OverflowExceeded
from operators.kernels.times import lengths
from runtime.testing.oracle import answer
from runtime.testing.oracle.strategies import BASE, KEY, TIME, TYPES
from tests.laws.memory import run_in_memory

P, N, T = df.stream("s"), df.col("n"), df.col("temp")
LONG = df.col("long")
INT64 = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.integers(-50, 50), st.integers(0, 62).map(lambda n: 2**n),
    st.sampled_from([-(2**63), 2**63 - 1, 2**53 + 1]),
)  # fmt: skip
FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(-40, 40).map(lambda n: n / 8),
    st.integers(-70, 70).map(lambda n: math.ldexp(1.0, n)), st.floats(-100, 100),
    st.sampled_from([5e-324, -5e-324, 1.7976931348623157e308, 0.1, 1 / 3, -0.0]),
)  # fmt: skip


@numba.njit(error_model="numpy")
def _times(a: Any, x: Any, flags: Any) -> Any:
    return lengths.length_times(a, x, flags)


@numba.njit(error_model="numpy")
def _by(a: Any, x: Any, down: Any, flags: Any) -> Any:
    return lengths.length_by(a, x, down, flags)


@numba.njit(error_model="numpy")
def _by_integer(a: Any, b: Any, flags: Any) -> Any:
    return lengths.length_by_integer(a, b, flags)


def checked(found: int, flags: Any, exact: int) -> None:
    fits = -(2**63) <= exact < 2**63
    assert (flags[0] == 0) == fits
    assert not fits or found == exact


@given(INT64, FLOATS, INT64)
def test_kernels_against_fractions(a: int, x: float, b: int) -> None:
    # Fractions round half to even.
    flags = np.zeros(2, np.int64)
    checked(_times(a, x, flags), flags, round(Fraction(a) * Fraction(x)))
    if x:
        for down, rounding in ((False, round), (True, math.floor)):
            flags[:] = 0
            checked(_by(a, x, down, flags), flags, rounding(Fraction(a) / Fraction(x)))  # type: ignore[operator]
    if b:
        flags[:] = 0
        checked(_by_integer(a, b, flags), flags, round(Fraction(a, b)))


def asked(metric: df.Stream, points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    graph = json.loads(metric.to_json())
    rows = [{KEY: "a", TIME: BASE + i * 1_000_000, "n": 1, **p} for i, p in enumerate(points)]
    found = run_in_memory(graph, rows, since=0, until=2**60, tasks=1)
    right = answer(graph, rows, key=KEY, time=TIME, types=TYPES, since=0, until=2**60)
    assert found == right
    return found


def test_a_length_as_text() -> None:
    (row,) = run_in_memory(
        json.loads(P.sessionize("1d").agg(x=df.sum("duration")).with_columns(y=df.col("x") / "90s").to_json()),
        [{KEY: "a", TIME: BASE + t * 1_000_000} for t in (0, 45)], since=0, until=2**60,
    )  # fmt: skip
    assert row["y"] == 0.5


MICROS = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("length", "expression", "expected"),
    [
        (timedelta(hours=1), LONG / 4, timedelta(minutes=15)),
        (timedelta(hours=1), LONG / -4, timedelta(minutes=-15)),
        (timedelta(hours=1), LONG / 2.5, timedelta(minutes=24)),
        (timedelta(hours=1), LONG * 1.5, timedelta(minutes=90)),
        (timedelta(hours=1), 0.25 * LONG, timedelta(minutes=15)),
        (timedelta(hours=1), LONG * 3, timedelta(hours=3)),
        (timedelta(hours=1), LONG / N, timedelta(minutes=15)),
        (timedelta(hours=1), LONG / T, timedelta(hours=2)),
        # To the microsecond, ties to even, on both sides of zero.
        (5 * MICROS, LONG / 2, 2 * MICROS),
        (7 * MICROS, LONG / 2, 4 * MICROS),
        (-5 * MICROS, LONG / 2, -2 * MICROS),
        (-7 * MICROS, LONG / 2.0, -4 * MICROS),
        (5 * MICROS, LONG * 0.5, 2 * MICROS),
        (-7 * MICROS, LONG * 0.5, -4 * MICROS),
        (2 * MICROS, LONG / 3, 1 * MICROS),
        (-5 * MICROS, LONG // 2, -3 * MICROS),
        (-5 * MICROS, LONG // 2.0, -3 * MICROS),
        (timedelta(hours=1), LONG / timedelta(minutes=30), 2.0),
        (timedelta(hours=-1), LONG / timedelta(minutes=90), -2 / 3),
        (timedelta(hours=1), LONG // timedelta(minutes=25), 2),
        (timedelta(hours=1), LONG / (N.decimal(0) * 2), timedelta(minutes=7.5)),
        (timedelta(hours=1), LONG * N.decimal(2), timedelta(hours=4)),
        (timedelta(hours=1), LONG / 0, None),
        (timedelta(hours=1), LONG / 0.0, None),
        (timedelta(hours=1), LONG // 0.0, None),
        (timedelta(hours=1), LONG / (N - 4), None),
        (timedelta(hours=1), LONG / (LONG - LONG), None),
        (timedelta(hours=1), LONG / 1e300, timedelta(0)),
        (timedelta(hours=1), LONG * 1e-300, timedelta(0)),
        (timedelta(hours=-1), LONG // 1e300, -1 * MICROS),
    ],
    ids=str,
)
def test_values(length: timedelta, expression: df.Expr, expected: timedelta | float | None) -> None:
    # A constant cannot be negative.
    long = df.time() - (df.time() - length)
    graph = P.with_columns(long=long).select(x=expression)
    points = [{KEY: "a", TIME: BASE, "n": 4, "temp": 0.5}]
    (row,) = run_in_memory(json.loads(graph.to_json()), points, since=0, until=2**60)
    right = expected // MICROS if isinstance(expected, timedelta) else expected
    assert row["x"] == right
    assert type(row["x"]) is type(right)


def test_texts_move_times_and_no_time_needs_no_unit() -> None:
    now = df.time()
    metric = P.select(
        later=now + "1h" - now, before=now - (now - "90s"), since=now - "2024-01-01", none=(now - now).fill_null("0s"),
        is_none=now - now == 0, less=0 - (now + "1s" - now), by_none=(now + "1s" - now) / 0,
    )  # fmt: skip
    (row,) = run_in_memory(json.loads(metric.to_json()), [{KEY: "a", TIME: BASE}], since=0, until=2**60)
    assert [row[name] for name in ("later", "before", "none", "is_none", "less", "by_none")] == [
        3_600_000_000, 90_000_000, 0, True, -1_000_000, None,
    ]  # fmt: skip
    assert row["since"] == BASE - 1_704_067_200_000_000


def test_overflow_names_the_step() -> None:
    year = df.time() - (df.time() - timedelta(days=365))
    for e, text in ((year / 1e-9, " / 1e-09"), (year * 1e300, r" \* 1e\+300"), (year // 1e-300, " // 1e-300")):
        with pytest.raises(OverflowExceeded, match=rf"step 2 \(select\): .*{text} for key 'a' at 2024"):
            asked(P.select(x=e), [{}])


def test_what_has_no_meaning_is_refused() -> None:
    hour = df.time() - (df.time() - timedelta(hours=1))
    for e, text in ((hour * hour, "mul cannot take duration \\* duration"), (hour + 0.5, "add cannot take duration")):
        with pytest.raises(GraphError, match=text):
            asked(P.select(x=e), [{}])


@given(st.lists(st.tuples(st.integers(0, 10**12), INT64 | st.integers(-3, 3), FLOATS), min_size=1, max_size=6))
def test_mean_lengths_of_groups(rows: list[tuple[int, int, float]]) -> None:
    # After a grouping, too, and where what is divided comes from an aggregate.
    metric = (
        P.sessionize("1d")
        .agg(total=df.sum("duration"), n=df.count())
        .with_columns(
            mean=df.col("total") / df.col("n"),
            half=df.col("total") * 0.5,
            share=df.col("total") / timedelta(minutes=10),
        )
    )
    times = sorted(BASE + step % 10**10 for step, _, _ in rows)
    points = [{"n": n, "temp": x, TIME: t} for t, (_, n, x) in zip(times, rows, strict=True)]
    (row,) = asked(metric, points)
    total, n = row["total"], row["n"]
    assert row["mean"] == (round(Fraction(total, n)) if n else None)
    assert (row["half"], row["share"]) == (round(Fraction(total, 2)), total / 600_000_000)


@given(st.lists(st.tuples(INT64, FLOATS), min_size=1, max_size=6), st.integers(1, 10**15))
def test_expressions_against_fractions(rows: list[tuple[int, float]], length: int) -> None:
    long = df.time() - (df.time() - timedelta(microseconds=length))
    for n, x in rows:
        cases = {"by_n": (Fraction(length) / n if n else None), "by_x": Fraction(length) / Fraction(x) if x else None,
                 "times": Fraction(length) * Fraction(x)}  # fmt: skip
        wanted = {"by_n": long / N, "by_x": long / T, "times": T * long}
        for name, exact in cases.items():
            right = None if exact is None else round(exact)
            if right is not None and not -(2**63) <= right < 2**63:
                with pytest.raises(OverflowExceeded):
                    asked(P.select(x=wanted[name]), [{"n": n, "temp": x}])
                continue
            assert asked(P.select(x=wanted[name]), [{"n": n, "temp": x}])[0]["x"] == right
