"""Event times: units, ISO-8601, exactness and bounds."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import IngestError
from runtime.ingest.tokens import BAD_TIME, iso_times
from tests.runtime.ingest.lake import Lake

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse(text: str) -> int:
    data = np.frombuffer(bytearray(b"<" + text.encode() + b">"), np.uint8)
    out = np.empty(1, np.int64)
    iso_times(data, np.array([1 << 32 | len(text.encode())]), out)
    return int(out[0])


@given(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),
    st.sampled_from(["T", " ", "t"]),
    st.one_of(st.none(), st.just(0), st.integers(-1439, 1439)),
    st.integers(0, 9),
)
def test_iso_times_agree_with_datetime(moment: datetime, between: str, offset: int | None, digits: int) -> None:
    text = moment.strftime(f"%Y-%m-%d{between}%H:%M:%S").rjust(19, "0")
    fraction = f"{moment.microsecond:06}999"[:digits]
    zone = UTC
    if digits:
        text += "." + fraction
    if offset is not None:
        zone = timezone(timedelta(minutes=offset))
        text += "Z" if offset == 0 else f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    exact = moment.replace(microsecond=int(fraction.ljust(6, "0")[:6]), tzinfo=zone)
    assert parse(text) == (exact - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2024-02-29", "2024-02-29T00:00:00Z"),
        ("2024-02-29T10:00", "2024-02-29T10:00:00Z"),
        ("2024-02-29T10:00Z", "2024-02-29T10:00:00Z"),
        ("2024-02-29 10:00:00+01", "2024-02-29T09:00:00Z"),
        ("2024-02-29 10:00:00+0130", "2024-02-29T08:30:00Z"),
        ("2024-02-29 10:00:00,5-01:30", "2024-02-29T11:30:00.5Z"),
    ],
)
def test_iso_forms(text: str, same: str) -> None:
    assert parse(text) == parse(same) != BAD_TIME


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2023-02-29",
        "2100-02-29",
        "2024-13-01",
        "2024-00-01",
        "2024-01-00",
        "2024-04-31",
        "0000-01-01",
        "2024-1-1",
        "2024/01/01",
        "2024-01-01T",
        "2024-01-01T1",
        "2024-01-01T10",
        "2024-01-01T24:00",
        "2024-01-01T10:60",
        "2024-01-01T10:00:60",
        "2024-01-01T10:00:0",
        "2024-01-01T10:00:00.",
        "2024-01-01T10:00:00.0123456789",
        "2024-01-01T10:00:00ZZ",
        "2024-01-01T10:00:00+1",
        "2024-01-01T10:00:00+24:00",
        "2024-01-01T10:00:00+01:60",
        "2024-01-01T10:00:00+01:0x",
        "2024-01-01T10:00:00 UTC",
        "2024-01-01x10:00:00",
        "20240101T100000Z",
        "\uff12\uff10\uff12\uff14-01-01",
    ],
)
def test_what_is_no_iso_time(text: str) -> None:
    assert parse(text) == BAD_TIME


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
        "time: column t is not ISO-8601 text",
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
