"""Times as text: the compiled reader against a plain one, against Python's own, and form by form."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dataflow.times.durations import date_or_datetime, moment
from operators.kernels.times.dates import BAD_TIME
from operators.kernels.times.iso_times import LOCAL, LOCAL_DATE, ZONED, iso_time, iso_times
from tests.operators.plain_times import EPOCH, plain_time

SAID = {"zone": ZONED, "clock": LOCAL, "date": LOCAL_DATE}


def read(*texts: str) -> list[tuple[int, int] | None]:
    """The compiled reader's answers; the texts lie between other digits, which it must not read."""
    data, spans = bytearray(), []
    for text in texts:
        data += b"0"
        spans.append(len(data) << 32 | len(text.encode()))
        data += text.encode() + b"0"
    out, said = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.uint8)
    iso_times(np.frombuffer(data, np.uint8), np.array(spans, np.int64), out, said)
    return [None if t == BAD_TIME else (t, z) for t, z in zip(out.tolist(), said.tolist(), strict=True)]


def expected(text: str) -> tuple[int, int] | None:
    found = plain_time(text)
    return None if found is None else (found[0], SAID[found[1]])


def micros(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)) | st.datetimes(
    datetime(1969, 12, 1), datetime(2030, 1, 1)
)
DATES = ["%Y-%m-%d", "%Y%m%d", "%Y/%m/%d", "%d.%m.%Y", "%Y-%j", "%G-W%V-%u", "%GW%V%u", "%G-W%V", "%GW%V"]
CLOCKS = ["%H", "%H:%M", "%H:%M:%S", "%H%M", "%H%M%S", "24", "24:00", "24:00:00.000", "23:59:60", "235960"]
ZONES = ["", "Z", "z", " Z", "UTC", " GMT", " utc", "+00:00", "-00", "+01", " +0130", "-08:00", " -0800", "+05:53:28",
         "-015936", "+23:59", "+24:00", "+01:60", "+1", " CET"]  # fmt: skip


@st.composite
def texts(draw: st.DrawFn) -> str:
    at = draw(moments)
    year = at.strftime("%Y").rjust(4, "0")
    text = at.strftime(draw(st.sampled_from(DATES)).replace("%Y", year).replace("%G", f"{at.isocalendar()[0]:04}"))
    if draw(st.integers(0, 5)):
        clock = at.strftime(draw(st.sampled_from(CLOCKS)))
        if draw(st.booleans()):
            clock += draw(st.sampled_from(".,")) + draw(st.text("0123456789", max_size=15))
        text += draw(st.sampled_from(["T", "t", " ", "   ", "\t"])) + clock + draw(st.sampled_from(ZONES))
    return draw(st.sampled_from(["", "", " ", "\t "])) + text + draw(st.sampled_from(["", "", " "]))


@st.composite
def spoilt(draw: st.DrawFn) -> str:
    """A time with a few characters taken out, put in or replaced."""
    text = draw(texts())
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        text = (
            text[:at] + draw(st.text("0123456789-+:./,TZWtz UCGM", max_size=2)) + text[at + draw(st.integers(0, 2)) :]
        )
    return text


@given(st.lists(texts() | spoilt() | st.text("0123456789-+:./,TZWtz UTCGMé", max_size=30), min_size=1, max_size=20))
def test_every_text_is_read_as_by_the_plain_reader(given_: list[str]) -> None:
    assert read(*given_) == [expected(text) for text in given_]


@given(texts() | spoilt())
def test_plain_python_reads_the_same(text: str) -> None:
    found = iso_time(text.encode(), 0, len(text.encode()))
    assert (None if found[0] == BAD_TIME else found) == expected(text)


@given(texts() | spoilt())
def test_what_python_takes_is_taken_and_the_same(text: str) -> None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return
    [found] = read(text)
    if found is None:
        # Python also takes any one character between date and time, and fractions of anything.
        assert not re.fullmatch(r"[0-9W-]+([T ][0-9:+-]+Z?)?", text)
        return
    assert found[0] == micros(at if at.tzinfo else at.replace(tzinfo=UTC))
    assert (found[1] == ZONED) == (at.tzinfo is not None)


@given(moments, st.sampled_from(["T", " ", "t"]), st.none() | st.integers(-1439, 1439), st.integers(0, 15))
def test_a_written_time_is_read_back(at: datetime, between: str, offset: int | None, digits: int) -> None:
    zone = None if offset is None else timezone(timedelta(minutes=offset))
    text = at.replace(microsecond=0, tzinfo=zone).isoformat(between)
    fraction = f"{at.microsecond:06}999999999"[:digits]
    if digits:
        text = f"{text[:19]}.{fraction}{text[19:]}"
    exact = at.replace(microsecond=int(fraction[:6].ljust(6, "0")), tzinfo=zone or UTC)
    assert read(text) == [(micros(exact), LOCAL if zone is None else ZONED)]


@given(st.dates())
@example(date(2020, 12, 31))
@example(date(9999, 12, 31))
def test_all_ways_to_write_a_date_are_the_same(day: date) -> None:
    year, week, weekday = day.isocalendar()
    number = day.toordinal() - date(day.year, 1, 1).toordinal() + 1
    ways = [f"{day}", f"{day}".replace("-", ""), f"{day}".replace("-", "/"), f"{day.year:04}-{number:03}",
            f"{day.day}.{day.month}.{day.year:04}", f"{day.year:04}/{day.month}/{day.day}"]  # fmt: skip
    if year >= 1:
        ways += [f"{year:04}-W{week:02}-{weekday}", f"{year:04}W{week:02}{weekday}"]
    at = micros(datetime(day.year, day.month, day.day, tzinfo=UTC))
    assert read(*ways) == [(at, LOCAL_DATE)] * len(ways)
    assert date_or_datetime(ways[0]) == day


SAME = [
    ("2000-02-29", "20000229"), ("2020-W53-7", "2021-01-03"),
    ("2024-12-31 13:05:01 -0800", "2024-12-31T21:05:01Z"), ("2024-12-31 13:05:01 +00:00", "2024-12-31T13:05:01Z"),
    ("2024-12-31 13:05:01 UTC", "2024-12-31T13:05:01Z"), ("2024-12-31 13:05:01 GMT", "2024-12-31T13:05:01Z"),
    ("20241231T130501Z", "2024-12-31T13:05:01Z"), ("20241231 13:05:01", "2024-12-31T13:05:01"),
    ("2024-W05-3", "2024-01-31"), ("2024W053", "2024-01-31"), ("2024-W05", "2024-01-29"), ("2024-032", "2024-02-01"),
    ("2024-W05-3T10", "2024-01-31T10:00"), ("2024-12-31T24:00:00Z", "2025-01-01T00:00:00Z"),
    ("2024-12-31T24:00", "2025-01-01T00:00"), ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
    ("2016-12-31T23:59:60.25", "2017-01-01T00:00:00.25"), ("2016-12-31T15:59:60-08:00", "2017-01-01T00:00:00Z"),
    ("2017-01-01T05:29:60+05:30", "2017-01-01T00:00:00Z"), ("2024-01-01T01Z", "2024-01-01T01:00:00Z"),
    ("2024-01-01 01", "2024-01-01T01:00"), (" 2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
    ("2024-01-01 ", "2024-01-01"), ("2024-01-01T00:00:00,1234567890123Z", "2024-01-01T00:00:00.123456Z"),
    ("2024/12/31 13:05:01", "2024-12-31T13:05:01"), ("2024/1/5 9:05", "2024-01-05T09:05"),
    ("31.12.2024", "2024-12-31"), ("31.12.2024 13:05", "2024-12-31T13:05"), ("1.2.2024 9:05:01", "2024-02-01T09:05:01"),
    ("2024-02-29 10:00:00+01", "2024-02-29T09:00:00Z"), ("1900-01-01T00:00:00+00:53:28", "1899-12-31T23:06:32Z"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "same"), SAME)
def test_forms(text: str, same: str) -> None:
    assert read(text) == read(same) != [None]
    assert expected(text) == read(text)[0]


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "now", "2024", "2024-12", "202412", "2023-02-29", "1900-02-29", "2024-13-01", "2024-00-01",
        "2024-01-00", "2024-04-31", "0000-01-01", "2024-1-1", "2024-01-01T", "2024-01-01T1", "2024-01-01T24:01",
        "2024-01-01T25", "2024-01-01T24:00:00.1", "2024-01-01T10:60", "2024-01-01T10:00:60", "2024-01-01T10:00:60Z",
        "2024-01-01T23:59:60+05:30", "2024-01-01T23:59:61", "2024-01-01T10:00:0", "2024-01-01T10:00:00.",
        "2024-01-01T10:00.5", "2024-01-01T10.5", "2024-01-01T10:00:00ZZ", "2024-01-01T10:00:00+1",
        "2024-01-01T10:00:00+24:00", "2024-01-01T10:00:00+01:60", "2024-01-01T10:00:00+01:0x",
        "2024-01-01T10:00:00 CET", "2024-01-01x10:00:00", "\uff12\uff10\uff12\uff14-01-01", "2024-01-01Z",
        "2024-01-01 UTC", "2024-01-01 -0800", "20241231130501", "2024032", "2024-000", "2023-366", "2024-W00-1",
        "2025-W53-1", "2024-W05-0", "2024-W05-8", "2024-w05-3", "2024-W053", "2024W05-3", "31/12/2024", "12/31/2024",
        "31-12-2024", "12-31-2024", "31.12.24", "12/31/2024 1:05 PM", "31/Dec/2024:13:05:01 +0100", "2024.12.1",
        "2024/12-31", "2024-12/31", "31.12/2024", "2024-12-31T13:0501", "2024-12-31T1305:01", "1704067200", "1e9",
    ],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    assert read(text) == [None]
    assert expected(text) is None
    with pytest.raises(ValueError, match="is not a time"):
        moment(text)


def test_dates_and_datetimes_of_texts() -> None:
    assert date_or_datetime("2024-W05-3") == date(2024, 1, 31)
    assert date_or_datetime("2024-01-31 10:00") == datetime(2024, 1, 31, 10)
    assert date_or_datetime("2024-01-31T10+02:00") == datetime(2024, 1, 31, 8, tzinfo=UTC)
    with pytest.raises(ValueError, match="after the year 9999"):
        date_or_datetime("9999-12-31T24:00")
