"""Event times: units, exactness and bounds."""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runtime.errors import IngestError
from tests.runtime.ingest.lake import Lake


@pytest.mark.parametrize(
    ("unit", "number", "micros"),
    [
        ("s", "1541548939", 1541548939_000000),
        ("s", "1541548939.25", 1541548939_250000),
        ("s", "1541548939.123456789", 1541548939_123456),
        ("s", "1541548939.1234567890123456789", 1541548939_123456),
        ("s", "1.541548939e9", 1541548939_000000),
        ("s", "15415489390E-1", 1541548939_000000),
        ("s", "0", 0),
        ("s", "0.0", 0),
        ("s", "0.0000019", 1),
        ("ms", "1541548939001", 1541548939_001000),
        ("ms", "1541548939001.5", 1541548939_001500),
        ("us", "1541548939001002", 1541548939_001002),
        ("us", "1541548939001002.9", 1541548939_001002),
        ("ns", "1541548939001002999", 1541548939_001002),
        ("ns", "1541548939001002999.5", 1541548939_001002),
    ],
)
def test_units_are_exact(lake: Lake, unit: str, number: str, micros: int) -> None:
    lake.text(f'{{"k":"a","t":{number}}}', unit=unit)
    assert lake.rows() == [{"k": "a", "t": micros}]
    lake.text(f'{{"k":"a","t":{number},"\\u0061":1}}', unit=unit, stream="slow")
    assert lake.rows("slow")[0]["t"] == micros
    lake.text(f"k,t\na,{number}\n", unit=unit, stream="csv")
    assert lake.rows("csv")[0]["t"] == micros


def test_numbers_without_a_unit_are_an_error(lake: Lake) -> None:
    with pytest.raises(IngestError, match="unit must be declared"):
        lake.text('{"k":"a","t":1541548939}', unit=None)
    assert lake.catalogue.streams() == []


def test_the_stream_remembers_its_unit(lake: Lake) -> None:
    lake.text('{"k":"a","t":1541548939}', unit="s")
    lake.text('{"k":"a","t":1541548940}', unit=None)
    assert [r["t"] for r in lake.rows()] == [1541548939_000000, 1541548940_000000]


def test_iso_needs_no_unit_and_excludes_numbers(lake: Lake) -> None:
    lake.text('{"k":"a","t":"2024-01-01T00:00:00.5Z"}', unit=None)
    report = lake.text('{"k":"a","t":5}\n{"k":"b","t":"2024-01-01"}\n{"k":"b","t":"soon"}', unit="iso")
    assert sorted(report.reasons) == [
        "time: column t is a number, though ISO-8601 text is declared",
        "time: column t is not a time; say its form with --time-format",
    ]
    assert [r["t"] for r in lake.rows()] == [1704067200_500000, 1704067200_000000]


def test_times_out_of_bounds(lake: Lake) -> None:
    now = time.time_ns() // 1_000_000
    lines = [f'{{"k":"a","t":{t}}}' for t in (0, now + 3_500_000, now + 3_700_000, -1)]
    report = lake.text("\n".join(lines))
    assert report.committed == 2
    assert sorted(report.reasons) == [
        "time: column t is before 1970",
        "time: column t is more than an hour in the future",
    ]


# ---- what is wrong with a time that cannot be taken

BEFORE, AFTER, AHEAD = "before 1970", "after 2261", "more than an hour in the future"
LAST = 9_214_646_399_999_999
"""The last microsecond of 2261."""

NUMBERS = [
    ("us", -1, BEFORE), ("us", -(2**63), BEFORE), ("s", -(2**63), BEFORE), ("ns", -1, BEFORE), ("ms", -(2**40), BEFORE),
    ("us", LAST, AHEAD), ("us", LAST + 1, AFTER), ("us", 2**63 - 1, AFTER), ("s", 2**63 - 1, AFTER),
    ("ms", 9_223_372_036_854_776, AFTER), ("s", 9_223_372_036_855, AFTER), ("ns", 2**63 - 1, AFTER),
    ("s", 10_000_000_000, AFTER), ("ms", LAST // 1000, AHEAD), ("s", LAST // 10**6 + 1, AFTER),
]  # fmt: skip


def reasons_of(lake: Lake, source: Any, unit: str | None, stream: str) -> list[str]:
    report = lake.ingest(source, unit=unit, stream=stream)
    assert report.committed == 1
    return [r.removeprefix("time: column t is ") for r in report.reasons]


@pytest.mark.parametrize(("unit", "number", "reason"), NUMBERS)
def test_numbers_that_are_no_times(lake: Lake, unit: str, number: int, reason: str) -> None:
    columns = {"k": ["a", "b"], "t": [1, number]}
    assert reasons_of(lake, columns, unit, "arrays") == [reason]
    assert reasons_of(lake, pa.table(columns), unit, "arrow") == [reason]
    assert reasons_of(lake, pd.DataFrame(columns), unit, "frame") == [reason]
    assert reasons_of(lake, pl.DataFrame(columns), unit, "polars") == [reason]
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    file.seek(0)
    assert reasons_of(lake, file, unit, "parquet") == [reason]
    for stream, text in (
        ("json", f'{{"k":"a","t":1}}\n{{"k":"b","t":{number}}}'),
        ("decimals", f'{{"k":"a","t":1}}\n{{"k":"b","t":{number}.0}}'),
        ("slow", f'{{"k":"a","t":1,"\\u0061":1}}\n{{"k":"b","t":{number},"\\u0061":1}}'),
        ("csv", f"k,t\na,1\nb,{number}\n"),
    ):
        report = lake.text(text, unit=unit, stream=stream)
        assert list(report.reasons) == [f"time: column t is {reason}"]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (-0.5, BEFORE), (-1e300, BEFORE), (1e300, AFTER), (1e19, AFTER), (1e13, AFTER), (9e9, AHEAD),
        (float("inf"), "infinite"), (float("-inf"), "infinite"), (float("nan"), "missing or null"),
    ],
)  # fmt: skip
def test_floats_that_are_no_times(lake: Lake, number: float, reason: str) -> None:
    columns = {"k": ["a", "b"], "t": [1.0, number]}
    for stream, source in (
        ("arrays", {"k": ["a", "b"], "t": np.array(columns["t"])}),
        ("lists", columns),
        ("arrow", pa.table(columns)),
        ("frame", pd.DataFrame(columns)),
        ("polars", pl.DataFrame(columns)),
    ):
        assert reasons_of(lake, source, "s", stream) == [reason]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1969-12-31T23:59:59.999999Z", BEFORE), ("0001-01-01", BEFORE), ("2261-12-31T23:59:59.999999Z", AHEAD),
        ("2262-01-01", AFTER), ("9999-12-31T23:59:59Z", AFTER), ("soon", "not a time; say its form with --time-format"),
    ],
)  # fmt: skip
def test_texts_that_are_no_times(lake: Lake, text: str, reason: str) -> None:
    columns = {"k": ["a", "b"], "t": ["2024-01-01", text]}
    assert reasons_of(lake, columns, None, "lists") == [reason]
    assert reasons_of(lake, pa.table(columns), None, "arrow") == [reason]
    for stream, source in (("json", f'{{"k":"a","t":"2024-01-01"}}\n{{"k":"b","t":"{text}"}}'),
                           ("csv", f"k,t\na,2024-01-01\nb,{text}\n")):  # fmt: skip
        assert list(lake.text(source, unit=None, stream=stream).reasons) == [f"time: column t is {reason}"]


@pytest.mark.parametrize(
    ("unit", "number", "reason"),
    [
        ("s", 2**60, AFTER), ("s", -(2**60), BEFORE), ("ms", 2**62, AFTER), ("D", 2**40, AFTER), ("Y", 2**40, AFTER),
        ("s", 9_223_372_036_855, AFTER), ("us", 2**63 - 1, AFTER), ("us", -(2**63) + 1, BEFORE), ("ns", -1, BEFORE),
    ],
)  # fmt: skip
def test_timestamps_that_are_no_times(lake: Lake, unit: str, number: int, reason: str) -> None:
    times = np.array([0, number], f"M8[{unit}]")
    assert reasons_of(lake, {"k": ["a", "b"], "t": times}, None, "arrays") == [reason]
    if unit in ("s", "ms", "us", "ns"):
        table = pa.table({"k": ["a", "b"], "t": pa.array([0, number], pa.timestamp(unit))})
        assert reasons_of(lake, table, None, "arrow") == [reason]


def test_minus_zero_is_1970(lake: Lake) -> None:
    lake.text('{"k":"a","t":-0}\n{"k":"b","t":-0.0}\n{"k":"c","t":-0e5}', unit="s")
    lake.ingest({"k": ["d"], "t": [-0.0]}, unit="s", stream="tables")
    assert [r["t"] for r in [*lake.rows(), *lake.rows("tables")]] == [0, 0, 0, 0]


def test_what_is_after_2261_waits_for_no_clock(lake: Lake) -> None:
    report = lake.text('{"k":"a","t":1}\n{"k":"b","t":99999999999999}', unit="ms")
    assert (report.committed, report.rejected, report.waiting) == (1, 1, 0)
