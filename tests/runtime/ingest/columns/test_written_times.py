"""Times as text in every kind of source: forms, formats, units, zones, and what is said of those that are none."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataflow as df
from operators.kernels.times.dates import BAD_TIME
from operators.kernels.times.iso_times import ZONED
from operators.types import Type
from runtime import Store
from runtime.errors import IngestError, QueryError
from runtime.ingest.columns.event_times import TimeReader
from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.inputs.reading import Reading
from runtime.ingest.text.tokens import STRING
from tests.operators.plain_times import plain_time
from tests.runtime.ingest.lake import Lake


def utc(text: str) -> int:
    return int(np.datetime64(text, "us").astype(np.int64))


def taken(lake: Lake, text: str, number: bool = False, **options: Any) -> list[int | None]:
    """The time (None: rejected) of a cell in each kind of source; ``number``: also as a number that is not quoted."""
    sources: dict[str, Any] = {
        "csv": f'k,t\na,"{text}"\n',
        "json": json.dumps({"k": "a", "t": text}),
        "slow": json.dumps({"k": "a", "t": text}).replace('"k"', '"\\u006b"'),
        "lists": {"k": ["a"], "t": [text]},
        "arrow": pa.table({"k": ["a"], "t": [text]}),
        "texts": {"k": ["a"], "t": np.array([text])},
    }
    if number:
        sources |= {"bare": f'{{"k":"a","t":{text}}}', "ints": {"k": ["a"], "t": [int(text)]}}
    found: list[int | None] = []
    for name, source in sources.items():
        ingest = lake.text if isinstance(source, str) else lake.ingest
        try:
            ingest(source, stream=name, **{"unit": None} | options)
        except IngestError:
            found.append(None)
        else:
            found += [row["t"] for row in lake.rows(name)]
    return found


def same(lake: Lake, text: str, time: str | None, number: bool = False, **options: Any) -> None:
    expected = None if time is None else utc(time)
    found = taken(lake, text, number, **options)
    assert set(found) == {expected}, found


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-12-31 13:05:01 -0800", "2024-12-31T21:05:01"), ("2024-12-31 13:05:01 +00:00", "2024-12-31T13:05:01"),
        ("2024-12-31 13:05:01 UTC", "2024-12-31T13:05:01"), ("2024/12/31 13:05:01", "2024-12-31T13:05:01"),
        ("31.12.2024 13:05", "2024-12-31T13:05"), ("20241231T130501Z", "2024-12-31T13:05:01"),
        ("2024-W05-3", "2024-01-31"), ("2024-032", "2024-02-01"), ("2024-12-31T24:00:00Z", "2025-01-01"),
        ("2016-12-31T23:59:60", "2017-01-01"), ("2024-01-01T01Z", "2024-01-01T01"),
        (" 2024-01-01T00:00:00Z", "2024-01-01"), ("2024-01-01T00:00:00.1234567890123Z", "2024-01-01T00:00:00.123456"),
        ("20241231", "2024-12-31"), ("31/12/2024", None), ("12/31/2024 1:05 PM", None), ("13/12/2024", None),
        ("31/Dec/2024:13:05:01 +0100", None), ("2024-12", None), ("soon", None),
    ],
)  # fmt: skip
def test_forms_that_need_no_option(lake: Lake, text: str, time: str | None) -> None:
    same(lake, text, time)
    if not text.isdigit():
        same(Lake(lake.folder / "s"), text, time, unit="s")
        same(Lake(lake.folder / "iso"), text, time, unit="iso")


@pytest.mark.parametrize(
    ("text", "form", "time"),
    [
        ("31/12/2024", "%d/%m/%Y", "2024-12-31"), ("31.12.2024 13:05", "%d.%m.%Y %H:%M", "2024-12-31T13:05"),
        ("12/31/2024 1:05 PM", "%m/%d/%Y %I:%M %p", "2024-12-31T13:05"),
        ("31/Dec/2024:13:05:01 +0100", "%d/%b/%Y:%H:%M:%S %z", "2024-12-31T12:05:01"),
        ("20241231130501", "%Y%m%d%H%M%S", "2024-12-31T13:05:01"), ("2024.12", "%Y.%m", "2024-12-01"),
        ("2024-12-31", "%d/%m/%Y", None), ("1704067200", "%d/%m/%Y", None),
    ],
)  # fmt: skip
def test_formats(lake: Lake, text: str, form: str, time: str | None) -> None:
    same(lake, text, time, time_format=form)
    same(Lake(lake.folder / "among"), text, time, time_format=["%Y-%m-%dT%H", form, "%H:%M %d.%m.%Y"])


@pytest.mark.parametrize("unit", [None, "s", "iso"])
def test_a_format_of_digits_is_also_that_of_numbers(lake: Lake, unit: str | None) -> None:
    same(lake, "20241231", "2024-12-31", number=True, time_format="%Y%m%d", unit=unit)


@pytest.mark.parametrize(
    ("text", "unit", "micros"),
    [
        ("1704067200", "s", 1704067200_000000), ("1704067200.25", "s", 1704067200_250000),
        (" 1704067200 ", "s", 1704067200_000000), ("1704067200123456", "us", 1704067200_123456), ("0", "s", 0),
        ("1704067200123456789.5", "ns", 1704067200_123456), ("1.7e9", "s", 1700000000_000000), ("-0", "s", 0),
        ("20241231", "ms", 20241231_000), ("-1", "s", None), ("99999999999999999999", "s", None), ("1e99", "s", None),
        ("NaN", "s", None), ("0x10", "s", None), ("1_000", "s", None), ("--1", "s", None), ("1.", "s", None),
        ("1e", "s", None), (".5", "s", None), ("1704067200s", "s", None),
    ],
)  # fmt: skip
def test_text_that_is_a_number_is_one_in_the_unit(lake: Lake, text: str, unit: str, micros: int | None) -> None:
    assert set(taken(lake, text, unit=unit)) == {micros}


@given(st.decimals(min_value=0, max_value=10**12, places=12, allow_nan=False), st.sampled_from([0, 1, 6, 12]))
def test_numbers_in_text_are_exact(number: Decimal, places: int) -> None:
    text = f"{number:.{places}f}".encode()
    reader = TimeReader("t", "s", "source")
    data, kind = np.frombuffer(bytearray(text), np.uint8), np.full(1, STRING, np.uint8)
    times, _ = reader.read(data, kind, np.array([len(text)]), np.ones(1, np.bool_))
    assert times.tolist() == [int(Decimal(text.decode()) * 1_000_000)]


def test_epochs_and_text_in_one_column(lake: Lake) -> None:
    times = [1704067200.123, 1704067201, "1704067202", "2024-01-01T00:00:03Z", 0]
    lake.records([{"k": "a", "t": t} for t in times], unit="s")
    at = utc("2024-01-01")
    assert [r["t"] for r in lake.rows()] == [0, at + 123_000, at + 1_000_000, at + 2_000_000, at + 3_000_000]
    report = lake.records([{"k": "b", "t": t} for t in ["2024-01-01", *times]], unit="iso", stream="iso")
    assert report.reasons == {"time: column t is a number, though ISO-8601 text is declared": 4}


def test_digits_without_a_unit(lake: Lake) -> None:
    lake.text("k,t\na,20241231\nb,20250101\n", unit=None)
    assert [r["t"] for r in lake.rows()] == [utc("2024-12-31"), utc("2025-01-01")]
    for source in ("k,t\na,1704067200\n", '{"k":"a","t":"1704067200"}', '{"k":"a","t":20241231}', "k,t\na,17.5\n"):
        with pytest.raises(IngestError, match="unit must be declared"):
            lake.text(source, unit=None, stream="numbers")
    for times in (["1704067200", None], [None, "1704067200"], [None, 20241231]):
        table = {"k": ["a", "b"], "t": times}
        with pytest.raises(IngestError, match=r"unit must be declared|need a unit .* or whole ones a form"):
            lake.ingest(table, unit=None, stream="numbers")
    report = lake.text("k,t\na,20241231\nb,1704067200\n", unit=None, stream="mixed")
    assert report.reasons == {"time: column t is a number, and others are ISO-8601 text (see --unit)": 1}


# ---- what is said of texts that are no times


def test_rejects_show_their_text_and_are_counted_together(lake: Lake) -> None:
    lines = "".join(f"a,{day:02}/12/2024\n" for day in range(1, 32)) + f"a,{'x' * 5000}\na,it's\n"
    report = lake.text(f"k,t\na,2024-01-01\n{lines}", unit=None)
    counted = "time: column t is not a time; say its form with --time-format"
    assert report.reasons == {counted: 33}
    shown = "time: column t: '01/12/2024' is not a time; say its form with --time-format, for example '%d/%m/%Y' or"
    assert report.sources[0].examples[0].reason.startswith(shown)
    assert f"33 x {shown}" in str(report)
    assert json.dumps(report.to_dict()["reasons"]) == json.dumps({counted: 33})
    entry = lake.catalogue.is_ingested("s", next(iter(lake.catalogue.sources("s"))).id)
    assert entry is not None
    assert dict(entry.reject_reasons) == {counted: 33}
    assert entry.rejects_path is not None
    path = lake.folder / entry.rejects_path
    rejects = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert [len(r["reason"]) < 200 for r in rejects] == [True] * 33
    assert rejects[-1]["reason"] == f'time: column t: "it\'s" {counted.removeprefix("time: column t ")}'
    with pytest.raises(IngestError, match=r"the first at line 2, byte 4: time: column t: '1/2/2024' is not a time"):
        lake.text("k,t\na,1/2/2024\n", unit=None, stream="t")


def test_texts_in_no_given_format_name_the_formats(lake: Lake) -> None:
    text = 'k,t\na,1/2/2024\nb,2024-01-01\nc,"3/4/2024 "\nd,1704067200\n'
    report = lake.text(text, unit=None, time_format=["%d/%m/%Y", "%d.%m.%Y"])
    assert report.reasons == {"time: column t is not written as '%d/%m/%Y' or '%d.%m.%Y' (--time-format)": 2}
    assert report.sources[0].examples[0].reason.startswith("time: column t: '2024-01-01' is not written as '%d/%m/%Y'")
    assert [r["t"] for r in lake.rows()] == [utc("2024-02-01"), utc("2024-04-03")]


def test_of_many_rejects_only_those_kept_show_their_text(lake: Lake) -> None:
    report = lake.text("k,t\na,2024-01-01\n" + "b,no\n" * 20_000, unit=None)
    assert report.rejected == 20_000
    assert len(report.reasons) == 1


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"time_format": "%H:%M"}, "time_format '%H:%M': a time needs its year"),
        ({"time_zone": "Berlin"}, "time_zone: there is no time zone 'Berlin'; did you mean 'Europe/Berlin'?"),
    ],
)
def test_options_that_cannot_be_used_are_errors_before_anything_is_read(lake: Lake, options: Any, why: str) -> None:
    with pytest.raises(IngestError) as raised:
        lake.ingest(Path("/nowhere/at/all"), **options)
    assert str(raised.value).startswith(why)


# ---- zones


def test_local_times_are_of_the_time_zone(lake: Lake) -> None:
    local = ["2024-01-01T00:30", "2024-07-01 12:00:00", "2024-03-31T02:30", "2024-10-27T02:30", "2024-07-01T12:00Z",
             "2024-07-01", "1970-01-01T00:30"]  # fmt: skip
    expected = [utc(t) for t in ("2023-12-31T23:30", "2024-06-30T22:00", "2024-07-01T10:00", "2024-07-01T12:00",
                                 "2024-10-27T00:30")]  # fmt: skip
    gap = "time: column t does not exist in Europe/Berlin: its clock was put forward"
    sources = {
        "csv": ("k,t\n" + "".join(f"a,{t}\n" for t in local)),
        "json": "".join(json.dumps({"k": "a", "t": t}) + "\n" for t in local),
        "table": {"k": ["a"] * len(local), "t": local},
    }
    for name, source in sources.items():
        ingest = lake.text if isinstance(source, str) else lake.ingest
        report = ingest(source, unit=None, stream=name, time_zone="Europe/Berlin")
        assert [r["t"] for r in lake.rows(name)] == expected
        assert report.reasons == {gap: 1, "time: column t is before 1970": 1}
        assert "time: column t: '2024-03-31T02:30' does not exist in Europe/Berlin" in str(report)


def read(reader: TimeReader, texts: list[str]) -> list[int]:
    words = InternedStrings()
    data, spans = (words.codes_of(texts), words.spans())[1]
    kind = np.full(len(spans), STRING, np.uint8)
    return reader.read(data, kind, spans, np.ones(len(spans), np.bool_))[0].tolist()


def test_times_without_an_offset_are_counted() -> None:
    texts = ["2024-10-27T02:30", "2024-10-27T02:30Z", "2024-10-27T04:30", "2024-10-27", "no", "1960-01-01"]
    texts.append("2024-03-31 02:30")
    for zone, twice, without in (("Europe/Berlin", 1, 3), (None, 0, 4)):
        reader = TimeReader("t", None, "source", reading=Reading.of({"time_zone": zone}))
        read(reader, texts)
        assert (reader.twice, reader.without_zone) == (twice, without)


def test_timestamps_of_tables(lake: Lake) -> None:
    summer = datetime(2024, 7, 1, 12)
    local = [
        {"k": ["a"], "t": np.array([summer], "M8[us]")},
        pa.table({"k": ["a"], "t": pa.array([summer], pa.timestamp("ms"))}),
        pd.DataFrame({"k": ["a"], "t": [summer]}),
        pl.DataFrame({"k": ["a"], "t": [summer]}),
    ]
    zoned = [
        pa.table({"k": ["a"], "t": pa.array([summer], pa.timestamp("us", "America/New_York"))}),
        pd.DataFrame({"k": ["a"], "t": [summer.replace(tzinfo=UTC)]}),
        pl.DataFrame({"k": ["a"], "t": [summer.replace(tzinfo=UTC)]}),
    ]
    days = [pa.table({"k": ["a"], "t": [date(2018, 11, 4)]}), {"k": ["a"], "t": np.array(["2018-11-04"], "M8[D]")}]
    for at, (table, zone, time) in enumerate(
        [(t, "Europe/Berlin", "2024-07-01T10:00") for t in local]
        + [(t, "Europe/Berlin", "2024-07-01T12:00") for t in zoned]
        + [(t, "America/Sao_Paulo", "2018-11-04T03:00") for t in days]
    ):
        lake.ingest(table, unit=None, stream=f"s{at}", time_zone=zone)
        assert [r["t"] for r in lake.rows(f"s{at}")] == [utc(time)]
    gap = {"k": ["a", "b"], "t": np.array(["2024-03-31T02:30", "2024-03-31T03:30"], "M8[s]")}
    report = lake.ingest(gap, unit=None, stream="gap", time_zone="Europe/Berlin")
    assert report.sources[0].examples[0].reason == (
        "time: column t: '2024-03-31T02:30:00.000000' does not exist in Europe/Berlin: its clock was put forward"
    )


# ---- laws

PIECES = st.text("0123456789-+:./,TZWtz UTCe", max_size=22)
WRITTEN = st.datetimes(datetime(1969, 1, 1), datetime(2263, 1, 1)).map(str)


@given(st.lists(PIECES | WRITTEN, min_size=1, max_size=20), st.sampled_from([None, "s", "iso"]))
def test_cells_and_tables_have_the_times_of_the_plain_reader(texts: list[str], unit: str | None) -> None:
    texts = list(dict.fromkeys(["2024-01-01", *texts]))
    words = InternedStrings()
    codes = words.codes_of(texts)
    data, spans = words.spans()
    every = np.ones(len(texts), np.bool_)
    reader = TimeReader("t", unit, "source")
    times, reasons = reader.read(data, np.full(len(texts), STRING, np.uint8), spans, every)
    column, late = TimeReader("t", unit, "source").read_column(Type.STRING, codes, every, ZONED, words)
    assert (times.tolist(), reasons) == (column.tolist(), late)
    for row, text in enumerate(texts):
        expected = plain_number(text) if unit == "s" else None
        expected = expected if expected is not None else (plain_time(text) or (BAD_TIME,))[0]
        if -1 not in (times[row], expected) and times[row] != 2**63 - 1:
            assert times[row] == expected
        assert (row in reasons) == (not 0 <= expected <= reader.latest)


def plain_number(text: str) -> int | None:
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?", text.strip(" \t")):
        return None
    value = Decimal(text.strip(" \t"))
    return -1 if value < 0 else int(min(value * 10**6, Decimal(2**63 - 1)))


# ---- the same forms elsewhere


def test_questions_take_the_same_forms(tmp_path: Path) -> None:
    store = Store(tmp_path)
    times = ["2024-12-31T13:00", "2025-01-02T13:00"]
    store.ingest("s", {"k": ["a", "a"], "t": times}, key="k", time="t", progress=False)
    metric = df.stream("s").agg(n=df.count())
    for since in ("2025-W01-3", "2025/1/1", "20250101T000000Z", "1.1.2025", "2024-12-31T24:00", "2025-01-01 00:00 UTC"):
        assert store.query(metric, since=since, progress=False).to_dict()["rows"] == [[1]]
        later = df.stream("s").filter(df.time() >= since).agg(n=df.count())
        assert store.query(later, progress=False).to_dict()["rows"] == [[1]]
    for wrong in ("1/2/2025", "2025-01", "soon"):
        with pytest.raises(QueryError, match="is not a time"):
            store.query(metric, since=wrong, progress=False)
