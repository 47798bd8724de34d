"""Formats of times against Python's strptime, and what a format must say."""

from __future__ import annotations

import re
from calendar import isleap
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.kernels.times.dates import BAD_TIME
from operators.kernels.times.iso_times import LOCAL, LOCAL_DATE, ZONED
from runtime.errors import IngestError
from runtime.ingest.inputs.reading import Reading
from runtime.ingest.times.time_formats import time_format
from runtime.ingest.times.time_texts import TimeTexts

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(formats: str | tuple[str, ...], *texts: str) -> list[tuple[int, int] | None]:
    data, spans = bytearray(), []
    for text in texts:
        data += b"0"
        spans.append(len(data) << 32 | len(text.encode()))
        data += text.encode() + b"0"
    given_ = Reading.of({"time_format": formats})
    out, said = TimeTexts.of(given_).read(np.frombuffer(data, np.uint8), np.array(spans, np.int64))
    return [None if t == BAD_TIME else (t, z) for t, z in zip(out.tolist(), said.tolist(), strict=True)]


def one(form: str, text: str) -> str | None:
    """The time as text; None if there is none."""
    [found] = read(form, text)
    return None if found is None else str(np.datetime64(found[0], "us").astype("M8[us]"))


def micros(at: datetime) -> int:
    return (at.replace(tzinfo=at.tzinfo or UTC) - EPOCH) // timedelta(microseconds=1)


FORMATS = [
    "%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%d.%m.%Y, %H:%M:%S.%f", "%d/%b/%Y:%H:%M:%S",
    "%a %b %d %H:%M:%S %Y", "%A, %d %B %Y %H:%M:%S", "%Y%m%d%H%M%S", "%Y%m%dT%H%M%S%f", "%y%m%d %H%M%S",
    "%Y-%j %H:%M:%S",
    "%G-W%V-%u %H:%M:%S", "%Y %U %w %H:%M:%S", "%Y %W %a %H:%M:%S", "%H:%M:%S on %d %b %y", "%c", "%x %X", "%F %T",
    "%d%%%m%%%Y %H%M%S", "%B %d, %Y %I%p:%M:%S", "%Y年%m月%d日 %H:%M:%S",
]  # fmt: skip
ZONED_FORMATS = ["%d/%b/%Y:%H:%M:%S %z", "%Y-%m-%d %H:%M:%S%z", "%z %d.%m.%Y %H:%M:%S"]
PLAIN = {"%c": "%a %b %d %H:%M:%S %Y", "%x %X": "%m/%d/%y %H:%M:%S", "%F %T": "%Y-%m-%d %H:%M:%S"}
"""Python's strptime has no %F and %T, and %c and %x depend on the machine's language."""

moments = st.datetimes(datetime(1970, 1, 1), datetime(2067, 12, 31, 23, 59, 59))
offsets = st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))


@given(moments, st.sampled_from(FORMATS))
def test_a_written_time_is_read_back(at: datetime, form: str) -> None:
    exact = at if "%f" in form else at.replace(microsecond=0)
    assert read(form, at.strftime(PLAIN.get(form, form))) == [(micros(exact), LOCAL)]


@given(moments, st.sampled_from(ZONED_FORMATS), offsets)
def test_a_time_with_its_offset_is_read_back(at: datetime, form: str, zone: timezone) -> None:
    exact = at.replace(microsecond=0, tzinfo=zone)
    assert read(form, exact.strftime(form)) == [(micros(exact), ZONED)]


STRICT = ["%d/%m/%Y", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p", "%Y-%m-%d %H:%M:%S.%f", "%d-%b-%Y", "%B %d, %Y", "%Y-%j",
          "%d/%m/%y %H:%M:%S"]  # fmt: skip


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[str, str]:
    form = draw(st.sampled_from(STRICT))
    text = draw(moments).strftime(form)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        new = draw(st.text("0123456789/:.-, APMamJnuy", max_size=2))
        text = text[:at] + new + text[at + draw(st.integers(0, 2)) :]
    return form, text


@given(spoilt())
def test_other_texts_are_read_as_by_strptime(given_: tuple[str, str]) -> None:
    form, text = given_
    found, bare = read(form, text)[0], text.strip()
    try:
        # Python reads six digits of a fraction at most.
        at = datetime.strptime(re.sub(r"(\.\d{6})\d+$", r"\1", bare) if "%f" in form else bare, form)
    except ValueError:
        # A day's end, and a leap second, are those of ISO-8601.
        assert found is None or re.search(r"\b24:00|23:59:60", text)
        return
    if "%j" in form and re.search("366$", bare) and not isleap(int(bare[:4])):
        # Python takes the first day of the next year for a day that the year does not have.
        assert (found, at.timetuple().tm_yday) == (None, 1)
        return
    assert found is not None
    assert found[0] == micros(at)


@pytest.mark.parametrize(
    ("form", "text", "time"),
    [
        ("%d/%m/%Y", "31/12/2024", "2024-12-31T00:00:00.000000"),
        ("%Y-%j", "2024-366", "2024-12-31T00:00:00.000000"),
        ("%d.%m.%Y %H:%M", "31.12.2024 13:05", "2024-12-31T13:05:00.000000"),
        ("%m/%d/%Y %I:%M %p", "12/31/2024 1:05 PM", "2024-12-31T13:05:00.000000"),
        ("%m/%d/%Y %I:%M %p", "12/31/2024 12:05 am", "2024-12-31T00:05:00.000000"),
        ("%d/%b/%Y:%H:%M:%S %z", "31/Dec/2024:13:05:01 +0100", "2024-12-31T12:05:01.000000"),
        ("%d/%B/%Y", "31/DECEMBER/2024", "2024-12-31T00:00:00.000000"),
        ("%a %b %e %T %Y", "Tue Dec  3 13:05:01 2024", "2024-12-03T13:05:01.000000"),
        ("%m/%e/%Y %k:%M", "12/ 3/2024  9:05", "2024-12-03T09:05:00.000000"),
        ("%Y-%m-%d %H:%M:%S.%f", "2024-12-31 13:05:01.1234567890123", "2024-12-31T13:05:01.123456"),
        ("%Y-%m-%d %H:%M:%S,%f", " 2024-12-31   13:05:01,5\t", "2024-12-31T13:05:01.500000"),
        ("%Y-%m-%dT%H:%M:%SZ", "2024-12-31T13:05:01Z", "2024-12-31T13:05:01.000000"),
        ("%Y-%m-%d %H:%M:%S %Z", "2024-12-31 13:05:01 UTC", "2024-12-31T13:05:01.000000"),
        ("%d.%m.%Y %H:%M", "31.12.2024 24:00", "2025-01-01T00:00:00.000000"),
        ("%y", "69", "1969-01-01T00:00:00.000000"),
        ("%y", "68", "2068-01-01T00:00:00.000000"),
        ("%Y-%m", "2024-12", "2024-12-01T00:00:00.000000"),
        ("%Y", "2024", "2024-01-01T00:00:00.000000"),
        ("%Y%j", "2024032", "2024-02-01T00:00:00.000000"),
        ("%Y%m%d", "20241231", "2024-12-31T00:00:00.000000"),
        ("%Y%m%d", "2024123", None),
        ("%d%m%Y", "1122024", None),
        ("%a %d/%m/%Y", "Mon 31/12/2024", None),
        ("%Y %U %w", "2024 00 0", None),
        ("%d/%m/%Y", "31/02/2024", None),
        ("%d/%m/%Y", "12/31/2024", None),
        ("%d/%m/%Y", "2024-12-31", None),
        ("%m/%d/%Y %I:%M %p", "12/31/2024 13:05 PM", None),
        ("%Y-%m-%d %Z", "2024-12-31 CET", None),
        ("%Y-%m-%d", "", None),
        ("%d %b %Y", "31 Deç 2024", None),
    ],
)
def test_forms(form: str, text: str, time: str | None) -> None:
    assert one(form, text) == time


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("%Y-%m-%d %H:%M:%SZ", ZONED), ("%Y-%m-%d %H:%M:%S UTC", ZONED), ("%H:%M:%S GMT, %Y-%m-%d", ZONED),
        ("%Y-%m-%d %H:%M:%S Zulu", LOCAL), ("Z %Y-%m-%d %H:%M:%S", LOCAL), ("%Y-%m-%d", LOCAL_DATE),
    ],
)  # fmt: skip
def test_a_format_may_itself_say_that_it_is_utc(form: str, said: int) -> None:
    text = datetime(2024, 12, 31).strftime(form)
    assert read(form, text) == [(micros(datetime(2024, 12, 31)), said)]


def test_the_first_format_that_fits_is_taken() -> None:
    either = ("%d/%m/%Y", "%m/%d/%Y", "%Y")
    found = read(either, "1/2/2024", "1/31/2024", "2024")
    assert found == [(micros(datetime(2024, *day)), LOCAL_DATE) for day in ((2, 1), (1, 31), (1, 1))]
    assert read(either, "2024-01-01") == [None]


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ("", "a time needs its year"), ("%d/%m", "a time needs its year"), ("%H:%M:%S", "a time needs its year"),
        ("%Y %H:%M", "it has no date"), ("%Y-%m %H:%M", "it has no date"), ("%a %Y", "it has no date"),
        ("%Y-%d", "%d needs a month"), ("%Y-%m-%d %M", "%M needs %H"), ("%Y-%m-%d %H:%S", "%S needs %M"),
        ("%Y-%m-%d %H:%M.%f", "%f needs %S"), ("%Y-%m-%d %I:%M", "%I is an hour of twelve and needs %p"),
        ("%Y-%m-%d %H:%M %p", "goes with %I"), ("%Y-%m-%d %p", "goes with %I"), 
        ("%d/%d/%Y", "%d and %d both say the day"),
        ("%Y %y-%m-%d", "%Y and %y both say the year"), ("%F %T %H", "both say the hour"),
        ("%Y-%m-%j", "say the date twice"), ("%Y-%m-%d %j", "say the date twice"), ("%G-%m-%d", "%G, the year of ISO"),
        ("%Y-W%V", "%G, the year of ISO weeks"), ("%Y %U", "%U needs a weekday"), ("%Y-%m-%d %z %Z", "say the zone"),
        ("%Q", "there is no directive %Q; there are %A %a %B"), ("%-d/%m/%Y", "there is no directive %-"),
        ("%s", "have a unit (--unit s)"), ("%Y-%m-%d %", "there is no directive %;"), ("%d %é", "no directive %é"),
    ],
)  # fmt: skip
def test_a_format_that_cannot_be_used_is_an_error(form: str, why: str) -> None:
    with pytest.raises(IngestError, match=re.escape(why)) as raised:
        time_format(form)
    assert str(raised.value).startswith(f"time_format {form!r}: ")


@given(
    st.text("%aAbBcdDefFGHIjklmMpRStTuUVwWxXyYzZ%- :/Zé", max_size=12),
    st.text("0123456789-:/ ZapmJanTue+", max_size=20),
)
def test_any_format_is_read_or_an_error(form: str, text: str) -> None:
    with suppress(IngestError):
        read((form,), text)
