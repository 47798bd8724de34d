"""Numbers: roots, logarithms, angles and distances, rounding, bounds, and means that forget."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from operators.errors import DataflowError
from runtime import Store

POINTS = df.stream("s")
X, N = df.col("x"), df.col("n")
START = datetime(2024, 3, 1, tzinfo=UTC)


def asked(folder: Path, metric: df.Stream, minutes: list[int] | None = None, **columns: list[Any]) -> list[Any]:
    """The rows, without the time and the key."""
    store = Store(folder / "store", create=True)
    rows = len(next(iter(columns.values())))
    times = [START + timedelta(minutes=m) for m in (minutes or range(rows))]
    store.ingest("s", {"k": ["a"] * rows, "t": times, **columns}, key="k", time="t", progress=False)
    assert repr(df.from_json(metric.to_json())) == repr(metric)
    assert repr(eval(repr(metric), {"df": df, "timedelta": timedelta})) == repr(metric)
    return [row[1:-1] for row in store.query(metric)]


def test_the_way_of_a_vehicle(tmp_path: Path) -> None:
    """From 51.50, -0.10 to 51.51, -0.11; to the same place on the other side of the Earth; nowhere."""
    lat, lon = df.col("lat"), df.col("lon")
    metric = POINTS.select(way=df.haversine(lat.previous(), lon.previous(), lat, lon).round(2))
    rows = asked(tmp_path, metric, lat=[51.50, 51.51, -51.51, 91.0], lon=[-0.10, -0.11, 179.89, 0.0])
    assert rows == [(None,), (1309.76,), (round(math.pi * 6371008.8, 2),), (None,)]


def test_real_numbers(tmp_path: Path) -> None:
    metric = POINTS.select(
        root=X.sqrt(), e=X.exp(), ln=X.log(), two=X.log2(), ten=X.log10(), cube=X.pow(3), inverse=X.pow(-1),
        half=X.pow(0.5), turned=X.degrees().radians(), arc=X.asin(), other=X.acos(),
    )  # fmt: skip
    rows = asked(tmp_path, metric, x=[1.0, 0.0, -1.0, 1000.0, None])
    half = math.pi / 2
    assert rows == [
        (1.0, math.e, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, half, 0.0),
        (0.0, 1.0, None, None, None, 0.0, None, 0.0, 0.0, 0.0, half),
        (None, 1 / math.e, None, None, None, -1.0, -1.0, None, -1.0, -half, math.pi),
        (math.sqrt(1000), None, math.log(1000), math.log2(1000), 3.0, 1e9, 0.001, math.sqrt(1000), 1000.0, None, None),
        (None,) * 11,
    ]


def test_angles(tmp_path: Path) -> None:
    y = df.col("y")
    metric = POINTS.select(
        sin=X.sin(), cos=X.cos(), tan=X.tan(), atan=X.atan(), direction=y.atan2(X).degrees(), of_int=N.sin()
    )
    rows = asked(tmp_path, metric, x=[0.0, 1e22, -1.0], y=[2.0, 0.0, 0.0], n=[0, 1, None])
    assert rows == [
        (0.0, 1.0, 0.0, 0.0, 90.0, 0.0),
        (-0.8522008497671888, 0.523214785395139, -1.6287782256068988, math.pi / 2, 0.0, math.sin(1)),
        (math.sin(-1), math.cos(-1), math.tan(-1), -math.pi / 4, 180.0, None),
    ]


def test_rounding(tmp_path: Path) -> None:
    metric = POINTS.select(
        x=X.round(2), whole=X.round(), tens=X.round(-1), down=X.floor(), up=X.ceil(), sign=X.sign(), n=N.round(-2),
        n_up=N.ceil(), n_sign=N.sign(), d=X.decimal(3, "half_up").round(2), d_down=X.decimal(3, "half_up").floor(),
        d_up=X.decimal(3, "half_up").ceil(), d_sign=X.decimal(1, "half_up").sign(),
    )  # fmt: skip
    rows = asked(tmp_path, metric, x=[1.005, -2.5, 14.995, None], n=[150, -150, 49, None])
    d = Decimal
    assert rows == [
        (1.01, 1.0, 0.0, 1.0, 2.0, 1.0, 200, 150, 1, d("1.010"), d("1.000"), d("2.000"), d("1.0")),
        (-2.5, -3.0, 0.0, -3.0, -2.0, -1.0, -200, -150, -1, d("-2.500"), d("-3.000"), d("-2.000"), d("-1.0")),
        (15.0, 15.0, 10.0, 14.0, 15.0, 1.0, 0, 49, 1, d("15.000"), d("14.000"), d("15.000"), d("1.0")),
        (None,) * 13,
    ]


def test_bounds_and_extremes(tmp_path: Path) -> None:
    """Nulls are left out; a null is not bounded."""
    y, waited = df.col("y"), df.time() - df.time().truncate("1h")
    metric = POINTS.select(
        low=df.least(X, y, N), high=df.greatest(X, y), ints=df.least(N, 3), bounded=X.clip(0, 10),
        floor=X.clip(y, None), at_most=waited.clip(None, "1m"), money=df.greatest(X.decimal(2), N),
        later=df.greatest(df.time(), "2024-03-01T00:01:00Z") - df.time(), sign=waited.sign(),
    )  # fmt: skip
    rows = asked(tmp_path, metric, x=[12.0, -1.5, None], y=[2.0, None, None], n=[5, 1, 2])
    minute, d = 60_000_000, Decimal
    assert rows == [
        (2.0, 12.0, 3, 10.0, 12.0, 0, d("12.00"), minute, 0),
        (-1.5, -1.5, 1, 0.0, -1.5, minute, d("1.00"), 0, 1),
        (2.0, None, 2, None, None, minute, d("2.00"), 0, 1),
    ]


def test_a_mean_that_forgets(tmp_path: Path) -> None:
    """10, then 20 one half-life later: 15; 0 two half-lives later: 3.75; a second value at that time does not count."""
    metric = POINTS.select(m=X.ewm("10m"), trip=N.ewm("10m", within="trip"))
    rows = asked(
        tmp_path, metric, [0, 10, 20, 30, 30], x=[10.0, 20.0, None, 0.0, 9.0], n=[1, 3, 5, 6, 7], trip=[*"aabbb"]
    )
    assert rows == [(10.0, 1.0), (15.0, 2.0), (15.0, 5.0), (3.75, 5.5), (3.75, 5.5)]


def test_a_mean_reads_what_lies_before_the_range(tmp_path: Path) -> None:
    metric = POINTS.select(m=X.ewm("1d"))
    store = Store(tmp_path / "store")
    times = [START + timedelta(days=d) for d in range(3)]
    store.ingest("s", {"k": ["a"] * 3, "t": times, "x": [8, 0, 4]}, key="k", time="t", progress=False)
    assert [row[1:-1] for row in store.query(metric, since="2024-03-03")] == [(4.0,)]


def test_an_integer_that_is_rounded_too_far(tmp_path: Path) -> None:
    with pytest.raises(DataflowError, match=r"n\.round\(-1\).*for key 'a'"):
        asked(tmp_path, POINTS.select(n=N.round(-1)), n=[2**63 - 1])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: X.round(19), "round takes -9 to 18 decimal places, got 19"),
        (lambda: X.round(0.5), "round takes -9 to 18 decimal places, got 0.5"),
        (lambda: df.least(), "least takes one or more expressions"),
        (lambda: df.greatest([X, N]), r"greatest takes expressions, got a list; write greatest\(\*values\)"),
        (lambda: X.ewm("nothing"), "nothing"),
    ],
)
def test_wrong_calls(wrong: Any, said: str) -> None:
    with pytest.raises(DataflowError, match=said):
        wrong()


@pytest.mark.parametrize(
    ("e", "said"),
    [
        (df.col("k").sqrt(), "sqrt cannot take string, which is no number"),
        ((df.time() - df.time().previous()).log(), "log cannot take a duration; divide it by a length of time"),
        (df.least(X, df.col("k")), "least cannot take float64 and string; it takes numbers, durations or times"),
        (df.time().floor(), "floor cannot take time, which is no number"),
        (df.time().sign(), "sign cannot take time, which is no number"),
        (df.col("k").clip(None, "b"), "clip cannot take string; it takes numbers"),
        (df.lit(None).clip(0, 1), "clip cannot take null"),
        (df.least(None, None), "least has only null arguments"),
        (df.col("k").ewm("1m"), "ewm cannot take string, which is no number"),
    ],
)
def test_what_is_no_number(tmp_path: Path, e: df.Expr, said: str) -> None:
    with pytest.raises(DataflowError, match=said):
        asked(tmp_path, POINTS.select(v=e), x=[1.0])


@pytest.mark.parametrize(
    ("e", "old", "new", "said"),
    [
        (X.round(2), '"n":2', '"n":99', r"expr\.n: round takes -9 to 18 decimal places, got 99"),
        (X.ewm("1s"), '"half_life":1000000', '"half_life":0', "half_life: expected positive microseconds, got 0"),
        (df.least(X), '"args":[{"col":"x"}]', '"args":[]', "least takes 1 arguments or more, got 0"),
        (X.sin(), '"args":[{"col":"x"}]', '"args":[{"col":"x"},{"col":"x"}]', "sin takes 1 arguments, got 2"),
    ],
)
def test_wrong_json(e: df.Expr, old: str, new: str, said: str) -> None:
    text = POINTS.select(v=e).to_json()
    assert old in text
    with pytest.raises(DataflowError, match=said):
        df.from_json(text.replace(old, new))


def test_the_rows_behind_a_number(tmp_path: Path) -> None:
    """Functions of numbers and means that forget take part in drill-downs."""
    store = Store(tmp_path / "store")
    columns: dict[str, Any] = {"k": ["a"] * 3, "t": [0, 60, 120], "x": [1.0, 100.0, 0.0]}
    store.ingest("s", columns, key="k", time="t", unit="s", progress=False)
    metric = POINTS.group_by(size=df.greatest(X.log10(), 0).floor()).agg(n=df.count(), m=df.max(X.ewm("1m")))
    result = store.query(metric)
    assert [*result] == [(0.0, 2, 25.25), (2.0, 1, 50.5)]
    assert len(result.explain(1).rows) == 1
