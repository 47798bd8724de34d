"""Previews agree with the ingest of the same records; faults, huge and endless sources, tables."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import runtime
from runtime.errors import IngestError
from runtime.ingest.preview import previews
from tests.runtime.ingest.lake import Lake, T

RECORDS = [{"device": f"d{n % 7}", "ts": T + n, "v": n / 2, "on": n % 3 == 0} for n in range(3000)]
NDJSON = "".join(json.dumps(r) + "\n" for r in RECORDS).encode()
CSV = b"device,ts,v\n" + b"".join(b"d%d,%d,%d\n" % (n % 7, T + n, n) for n in range(3000))
FOUND = {"key": "device", "time": "ts", "unit": "ms"}


def parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(RECORDS), out)
    return out.getvalue()


@pytest.mark.parametrize("content", [NDJSON, CSV, parquet(), json.dumps(RECORDS).encode()])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_forms(tmp_path: Path, content: bytes, pack: Any) -> None:
    path = tmp_path / "points"
    packed = pack(content)
    path.write_bytes(packed)
    found = runtime.preview(path)
    assert (found.options, found.rows, found.whole, found.taken, found.fault) == (FOUND, 1000, False, 1000, None)
    assert found.fields[0] == type(found.fields[0])("device", "string", 1000, 7, ("d0", "d1", "d2"))
    assert found.fields[2].type == ("int64" if content is CSV else "float64")
    assert runtime.preview(path, rows=5000).taken == 3000
    assert runtime.preview(path, rows=5000).whole
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == packed


def test_only_the_head_is_read() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1, /) -> bytes:
            self.given += len(NDJSON)
            assert self.given < 1 << 24
            return NDJSON

    assert runtime.preview(Endless()).taken == 1000

    class Broken(Endless):
        def read(self, size: int = -1, /) -> bytes:
            return super().read(size).replace(b'{"', b"<")

    found = runtime.preview(Broken(), format="json")
    assert found.fault is not None
    assert found.rejected == 1000


@pytest.mark.parametrize("make", [dict, pa.table, pd.DataFrame, pl.DataFrame])
def test_tables(make: Any) -> None:
    columns = {"device": ["a", "b"] * 1000, "ts": np.arange(2000) + T, "v": np.arange(2000) / 4}
    found = runtime.preview(make(columns))
    assert (found.options, found.rows, found.taken, found.command) == (FOUND, 1000, 1000, None)


value = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=4),
    st.sampled_from(["NA", "?", "inf"]),
)  # fmt: skip
record = st.fixed_dictionaries(
    {"t": st.one_of(st.integers(T, T + 9), st.sampled_from([None, -1, "x", 2**62]))},
    optional={"k": st.sampled_from(["a", "b", "", 7, None]), "v": value, "w": value},
)


@settings(max_examples=max(16, settings().max_examples // 3))
@given(st.lists(record, min_size=1, max_size=12), st.booleans())
def test_it_says_what_an_ingest_does(records: list[dict[str, Any]], as_csv: bool) -> None:
    """With rows for all records, and in pieces."""
    if as_csv:
        content = "k,t,v,w\n" + "".join(
            pd.DataFrame([r], columns=list("ktvw")).to_csv(index=False, header=False) for r in records
        )
    else:
        content = "".join(json.dumps(r) + "\n" for r in records)
    found = runtime.preview(io.BytesIO(content.encode()), key="k", time="t", unit="ms")
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        try:
            (report,) = lake.text(content).sources
        except IngestError:
            assert found.fault is not None
            return
        finally:
            lake.catalogue.close()
    assert found.fault is None
    assert (found.taken, found.rejected) == (report.committed, report.rejected)
    assert (found.reasons, found.examples) == (report.reasons, report.examples)
    assert (found.columns, found.left_out) == (report.columns, report.left_out)


@given(st.lists(record, min_size=1, max_size=12), st.integers(1, 12))
def test_the_first_rows_are_those_of_a_shorter_source(records: list[dict[str, Any]], rows: int) -> None:
    lines = [json.dumps(r).encode() + b"\n" for r in records]
    some, short = (
        runtime.preview(io.BytesIO(b"".join(part)), rows, key="k", time="t") for part in (lines, lines[:rows])
    )
    some, short = (type(p)(**{**vars(p), "whole": True}) for p in (some, short))
    assert some == short


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        (b"", {}, "is empty"),
        (b"k,t,v\n", {}, "no records after its first line, which is taken for the names of columns ('k,t,v')"),
        (bytes(range(256)) * 9, {}, "as its first bytes show"),
        (b"[1, 2]\n[3, 4]\n", {}, "all 4 records were rejected, the first in line 1: JSON: not an object"),
        (b"a,b\n1,2\n", {}, "no field looks like a time: say which it is (--time"),
        (b"d,day\na,31/12/2024\na,30/12/2024\n", {}, "all 2 records were rejected, the first in line 2: time:"),
        (b"k,t\na,2024-01-01\n", {"key": "dev"}, "no column 'dev' (--key)"),
        (b"k,time\na,5\n", {}, "whose unit must be declared: say unit (--unit)"),
        (gzip.compress(CSV, mtime=0)[:900], {}, "is cut short"),
    ],
)  # fmt: skip
def test_faults(content: bytes, options: dict[str, Any], says: str) -> None:
    found = runtime.preview(io.BytesIO(content), **options)
    assert says in str(found.fault)
    assert says in str(found)
    assert (found.taken, found.command) == (0, None)


def test_files_in_an_archive(tmp_path: Path) -> None:
    columns = {"dev": ["a", "b"], "ts": ["2024-01-01T00:00:00", "2024-01-02T00:00:00Z"], "v": [1, 2]}
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("x.csv", CSV)
        archive.write(tmp_path / "p.parquet", "in/p.parquet")
    found = list(previews(tmp_path / "z.zip"))
    assert [(p.name, p.form, p.taken, p.fault) for p in found] == [
        (f"{tmp_path}/z.zip/x.csv", "CSV", 1000, None), (f"{tmp_path}/z.zip/in/p.parquet", "Parquet", 2, None),
    ]  # fmt: skip
    assert "1 time without an offset: taken as UTC (--time-zone)" in str(found[1])
    with pytest.raises(IngestError, match="stands for 2 inputs"):
        runtime.preview(tmp_path / "z.zip")


def test_fields_are_shown_where_nothing_can_be_taken() -> None:
    found = runtime.preview(io.BytesIO(b"dev,day\na,31/12/2024\na,30/12/2024\n"))
    assert [(f.name, f.samples) for f in found.fields] == [("dev", ("a",)), ("day", ("31/12/2024", "30/12/2024"))]


def test_notes_show_the_value() -> None:
    text = str(runtime.preview(io.BytesIO(b"dev,ts,v\na,2024-01-01,1\na,soon,2\na,2024-01-02,3\na,2024-01-03,off\n")))
    assert "1 rejected: time: column ts" in text
    assert "(the first in line 3: a,soon,2)" in text
    assert "v is int64: 1 text in v#string (the first, 'off', in line 5" in text


def test_rows_without_a_key_can_be_taken() -> None:
    content = b"user,ts\na,2024-01-01\n,2024-01-02\na,2024-01-03\n"
    assert "1 rejected: key: column user is empty; --missing-key NAME would take them (the first in line 3" in str(
        runtime.preview(io.BytesIO(content))
    )
    assert runtime.preview(io.BytesIO(content), missing_key="nobody").taken == 3


def test_arrays_inside() -> None:
    document = {"Records": [{"eventTime": "2024-01-01T00:00:00Z"}], "hourly": {"time": ["2024-01-01"], "t": [1]}}
    found = runtime.preview(io.BytesIO(json.dumps(document).encode()))
    assert found.inside == ("--records Records", "--columnar hourly")
    assert "--records Records or --columnar hourly" in str(found)
    records = [document, {"ts": "2024-01-01", "dev": "a"}, {"ts": "2024-01-02", "dev": "a"}]
    assert runtime.preview(io.BytesIO(json.dumps(records).encode())).inside == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('::1 - - [31/Dec/2024:13:05:01 +0100] "GET / HTTP/1.1" 200 5\n', "this may be --format clf"),
        ('h - - [31/Dec/2024:13:05:01 +0100] "GET /,a" 200 5 "-" "x, y"\n', "--format clf or --format combined"),
        ("level=info ts=2024-01-01T00:00:00Z n=5\n", "this may be --format logfmt"),
        ("cpu,host=a v=1.5 1704067200000000000\n", "this may be --format line-protocol"),
        ("a,x,5\nb,2024-01-01,6\n", "if it is a row ('5'), say --names A,B"),
        ("1704067200,a,5\n1704067260,a,6\n", "the first line is a record, and not the names of columns"),
    ],
)
def test_text_that_may_be_no_csv_or_has_no_header(text: str, says: str) -> None:
    assert says in str(runtime.preview(io.BytesIO(text.encode() * 2)))


def test_names_of_columns_may_be_years() -> None:
    assert runtime.preview(io.BytesIO(b"k,t,2023\na,2024-01-01,5\n")).hints == ()


@pytest.mark.parametrize(
    ("before", "options"),
    [
        ("# a table, of sensors\n" * 70, {}),
        ("Report of 2024-01-01\n\nUnit: Celsius, Volt\n", {}),
        ("# begin\n", {}),
    ],
)
def test_the_header_may_be_after_other_lines(before: str, options: dict[str, Any]) -> None:
    rows = "dev,ts,v\na,2024-01-01,1\na,2024-01-02,2\n"
    found = runtime.preview(io.BytesIO((before + rows).encode()), **options)
    assert (found.options, found.taken, found.rejected) == ({"key": "dev", "time": "ts"}, 2, 0)
    assert [f.name for f in found.fields] == ["dev", "ts", "v"]


def test_a_line_on_the_station_may_be_before_the_header() -> None:
    text = "4711,Berlin,DE,52.5\ndev,ts,v,w,x,y\na,2024-01-01,1,2,3,4\na,2024-01-02,1,2,3,4\n"
    assert runtime.preview(io.BytesIO(text.encode())).taken == 2
    for rows in ("a,2024-01-01,1,5,2,5\n", "a,2024-01-01,1,,,\n"):  # decimal commas; a separator too many
        found = runtime.preview(io.BytesIO(("dev,ts,v,w\n" + 2 * rows).encode()))
        assert "4 values" not in str(found)
        assert "dev,ts" not in str(found)


@pytest.mark.parametrize(
    ("text", "time", "form"),
    [
        ("dev,day\na,3-Feb-2024 5:06\na,4-Feb-2024 5:06\n", "day", "%d-%b-%Y %H:%M"),
        ("dev,date,at\na,Feb 3 2024,5:06\na,Feb 4 2024,5:07\n", "date,at", "%b %d %Y %H:%M"),
        ("dev,day\na,20240203:0506\na,20240204:0506\n", "day", "%Y%m%d:%H%M"),
        ("dev,Year,month,day\na,2024,2,3\na,2024,12,31\n", "Year,month,day", "%Y %m %d"),
        ("dev,year,month,day,HOUR\na,2024,2,3,0\na,2024,2,3,23\n", "year,month,day,HOUR", "%Y %m %d %H"),
    ],
)
def test_times_in_a_form_of_their_own(text: str, time: str, form: str) -> None:
    found = runtime.preview(io.BytesIO(text.encode()))
    assert (found.options, found.taken) == ({"key": "dev", "time": time, "time_format": [form]}, 2)


def test_a_header_of_zeek_is_one_whatever_the_rows_hold() -> None:
    text = (
        "#separator \\x09\n#fields\tts\thost\tmessage\n"
        + '1704067200.5\ta\t{"a": 1, "b": "x", "c": "y", "d": ""}\n' * 3
    )
    found = runtime.preview(io.BytesIO(text.encode()))
    assert (found.options, found.taken) == ({"key": "host", "time": "ts", "unit": "s"}, 3)


def test_a_key_that_many_records_lack_comes_last() -> None:
    lines = [
        {"time": f"2024-01-{n:02}", "level": "info", **({"deviceName": "a"} if n % 3 else {})} for n in range(1, 31)
    ]
    found = runtime.preview(io.BytesIO("".join(json.dumps(line) + "\n" for line in lines).encode()))
    assert (found.keys, found.taken) == (("level", "deviceName"), 30)


def test_values_between_blanks() -> None:
    text = "Station 7\n dev   ts          v\n a     2024-01-01  1\n b     2024-01-03 20\n b     2024-01-04  3\n"
    for cut in (0, text.index("dev")):
        found = runtime.preview(io.BytesIO(text[cut:].encode()))
        assert (found.options, found.taken) == ({"key": "dev", "time": "ts"}, 3)
    found = runtime.preview(io.BytesIO(b"it was so\nand a line of text\nfollowed it\n"))
    assert len(found.fields) == 1


def test_what_is_measured_is_no_key() -> None:
    text = (
        "at,GPS Time,Phone device Battery Level(%),Lap Time(s)\n"
        + "2024-01-01,Mon Jan 1,97,-\n" * 2
        + "2024-01-02,-,96,5\n"
    )
    found = runtime.preview(io.BytesIO(text.encode()))
    assert (found.keys, found.options) == ((), {"time": "at", "key_value": "{stem}"})


def test_the_index_of_a_data_frame_may_be_the_time() -> None:
    frame = pd.DataFrame({"dev": ["a", "a"], "v": [1, 2]}, index=pd.date_range("2024-01-01", periods=2))
    found = runtime.preview(io.BytesIO(frame.to_csv().encode()))
    assert (found.options, found.taken) == ({"key": "dev", "time": "column_1"}, 2)


def test_numbers_as_text() -> None:
    records = [
        {"ts": f"2024-01-0{n}", "device": f"{n}", "price": f"{n}.50", "zip": "01067", "v": n} for n in range(1, 5)
    ]
    data = json.dumps(records).encode()
    says = "all texts are numbers in price: --type price=float64 reads them as such"
    assert runtime.preview(io.BytesIO(data)).hints == (says,)
    assert runtime.preview(io.BytesIO(data), type={"price": "float64"}).hints == ()


def test_wrong_options() -> None:
    for options in ({"depth": 99}, {"unit": "h"}, {"format": "exe"}, {"colour": "red"}, {"rows": 0}):
        with pytest.raises(IngestError):
            runtime.preview(io.BytesIO(CSV), **options)
    with pytest.raises(IngestError, match="cannot be read"):
        runtime.preview("/nowhere/points.csv")


def test_several_files_of_a_pattern(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(CSV)
    with pytest.raises(IngestError, match="stands for 2 inputs"):
        runtime.preview(str(tmp_path / "*"))


def test_fields_called_key_and_time_may_be_renamed(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("key,time,v\na,2024-03-01,1\na,2024-03-02,2\n")
    found = runtime.preview(path, rename={"key": "device", "time": "at"})
    assert (found.fault, found.options["key"], found.options["time"]) == (None, "device", "at")


@pytest.mark.parametrize("first", ["2024-01-01T00:00:00Z", "1704067200", "05/07/2010 17:26"])
def test_a_header_that_is_a_record(first: str) -> None:
    """The command without names would lose it."""
    rows = f"{first},a,1\n{first},b,2\n"
    found = runtime.preview(io.BytesIO(rows.encode()))
    assert found.command is None
    assert "the first line is a record, and not the names of columns" in str(found.fault)
    assert "say these, for example --names time,v2,v3" in str(found.fault)
    named = runtime.preview(io.BytesIO(rows.encode()), names=["time", "k", "v"])
    assert named.rows == 2


def test_the_order_of_day_and_month_is_not_proposed() -> None:
    """Dates with slashes and the year last are never guessed, even where one order alone would do."""
    found = runtime.preview(io.BytesIO(b"dev,day\na,31/12/2024\na,30/12/2024\n"))
    assert found.taken == 0
    assert "time_format" not in found.options
    assert "say its form with --time-format, for example '%d/%m/%Y'" in str(found.fault)
