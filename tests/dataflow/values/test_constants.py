"""Python, numpy and pandas scalars as constants: exactly the value given, or an error."""

from __future__ import annotations

import enum
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataflow as df
from operators.errors import DataflowError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Color(enum.StrEnum):
    RED = "red"


def literal(value: Any) -> tuple[object, object]:
    e = df.lit(value)
    assert type(e.option("value")) in (bool, int, float, str, type(None))
    return e.option("type"), e.option("value")


@pytest.mark.parametrize(
    ("value", "kind", "constant"),
    [
        (np.int64(5), "int64", 5),
        (np.uint8(5), "int64", 5),
        (np.float32(0.5), "float64", 0.5),
        (np.float64(0.1), "float64", 0.1),
        (np.bool_(True), "bool", True),
        (np.str_("x"), "string", "x"),
        (np.array(5), "int64", 5),
        (Color.RED, "string", "red"),
        (None, "null", None),
        (np.datetime64("NaT"), "null", None),
        (np.timedelta64("NaT"), "null", None),
        (np.datetime64("1970-01-02"), "time", 86_400_000_000),
        (np.datetime64("1969-12-31T23:59:59"), "time", -1_000_000),
        (np.datetime64(5000, "ns"), "time", 5),
        (np.timedelta64(5, "m"), "duration", 300_000_000),
        (np.timedelta64(2, "W"), "duration", 14 * 86_400_000_000),
        (np.timedelta64(5000, "ns"), "duration", 5),
        (datetime(1970, 1, 1, 5, tzinfo=timezone(timedelta(hours=5))), "time", 0),
    ],
)
def test_scalars(value: object, kind: str, constant: object) -> None:
    assert literal(value) == (kind, constant)
    assert df.from_json(df.stream("s").select(a=df.lit(value)).to_json())


def test_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    assert literal(pandas.Timestamp("1970-01-01T01:00", tz="Europe/Berlin")) == ("time", 0)
    assert literal(pandas.Timedelta("5m")) == ("duration", 300_000_000)
    assert literal(pandas.NaT) == literal(pandas.NA) == ("null", None)
    assert df.col("a").is_in(pandas.Series(["b", "a"])).option("values") == ("a", "b")
    for fine in (pandas.Timestamp("2024-01-01T00:00:00.000000001Z"), pandas.Timedelta(1, "ns")):
        with pytest.raises(DataflowError, match="finer than a microsecond"):
            df.lit(fine)
    with pytest.raises(DataflowError, match="has no zone"):
        df.lit(pandas.Timestamp("2024-01-01"))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.datetime64(1500, "ns"), "finer than a microsecond"),
        (np.timedelta64(1, "ps"), "finer than a microsecond"),
        (np.datetime64(10**9, "Y"), "out of range"),
        (np.timedelta64(2**62, "s"), "out of range"),
        (np.timedelta64(1, "M"), "no fixed length"),
        (np.timedelta64(1), "no fixed length"),
        (np.complex128(1), "cannot be used as a constant"),
        (np.uint64(2**63), "does not fit in 64 bits"),
        (datetime(2024, 1, 1), "has no zone"),
    ],
)
def test_what_would_lose_something(value: Any, said: str) -> None:
    with pytest.raises(DataflowError, match=said):
        df.lit(value)


@given(st.integers(-(2**62) + 1, 2**62 - 1), st.sampled_from(["us", "ms", "s", "m", "h", "D"]), st.booleans())
def test_numpy_times_are_exact_or_refused(n: int, unit: str, length: bool) -> None:
    size = {"us": 1, "ms": 10**3, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6, "D": 86_400 * 10**6}[unit]
    value = np.timedelta64(n, unit) if length else np.datetime64(n, unit)  # type: ignore[call-overload]
    if abs(n * size) < 2**63:
        assert literal(value) == ("duration" if length else "time", n * size)
    else:
        with pytest.raises(DataflowError, match="out of range"):
            df.lit(value)


def test_whole_numbers_of_numpy_count() -> None:
    s = df.stream("s")
    five: Any = np.int64(5)
    two: Any = np.int64(2)
    assert s.limit(five).to_json() == s.limit(5).to_json()
    assert df.col("a").decimal(two).options == df.col("a").decimal(2).options
    assert df.top_k("a", np.int32(5)).options == df.top_k("a", 5).options  # type: ignore[arg-type]
    assert s.heartbeat(np.timedelta64(5, "m")).to_json() == s.heartbeat("5m").to_json()  # type: ignore[arg-type]
    assert s.group_by(np.str_("a")).by[0][0] == "a"
