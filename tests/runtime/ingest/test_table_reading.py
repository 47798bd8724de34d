"""Reference tables from files and tables: what an ingest would leave out or put beside is an error that says what to
do, and no more is read than the limits allow."""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dataflow as df
from dataflow.tables.reference_tables import MAX_COLUMNS, MAX_ROWS, MAX_TABLE_BYTES
from operators.errors import DataflowError
from runtime.ingest.inputs.byte_stream import Hashed
from runtime.ingest.table_reading import OPTIONS

NUMBERS = "k,v\na,1\nb,2\n"
LATIN = "k,v\na,é\n".encode("latin-1")


def refused(source: object, says: str, **options: Any) -> None:
    with pytest.raises(DataflowError, match=says) as error:
        df.table(source, **options)
    text = str(error.value)
    assert "--" not in text, "options are those of Python"
    assert "ingested" not in text


def zipped(**files: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        (NUMBERS + "c,NA\n", {}, r"t: line 4: v is 'NA', which is not int64; say null=\['NA'\] if it means missing"),
        (NUMBERS + "c,14A\n", {}, r"line 4: v is '14A', which is not int64; .* type=\{'v': 'string'\} if it is text"),
        (NUMBERS + "c,1.5\n", {"type": "v=int64"}, r"line 4: v is '1\.5', which is not int64"),
        (NUMBERS, {"type": "v=bool", "null": "1"}, "line 3: v is '2', which is not bool"),
        ("k,v\na,1\nb,x\n", {"type": "v=time"}, "line 2: v is '1', which is not time"),
        ("k,v\na,NA\n", {}, r"line 2: v is 'NA'; say null="),
        (f"k,v\na,1\nb,1\nc,{'x' * 99}\n", {}, r"which is not int64; say type=\{'v': 'string'\} if it is text"),
        (NUMBERS + "c\n", {}, "line 4: CSV: 1 values in a row of 2 columns: 'c'"),
        (NUMBERS + 'c,"3\n', {}, "line 4: CSV: a quoted value is not closed"),
        (LATIN, {}, r"line 2: CSV: not UTF-8 \(if it is Latin-1: encoding='latin-1'"),
        ("k,k\na,1\n", {}, r"must name 1 to 64 columns, each once; column 2 is called k_2: .*drop=\['k_2'\]"),
        (",k\n0,a\n", {}, r"each once; column 1 is called column_1: it has no name"),
        ("", {"format": "csv"}, "the first line must name 1 to 64 columns"),
        ("", {}, "there are no rows"),
        (NUMBERS, {"columns": "V"}, "no column is left by columns= and drop="),
        (NUMBERS, {"columns": "k,V"}, "columns= names 'V', which is not a column of it; it has k"),
        (NUMBERS, {"type": {"w": "string"}}, "type= names 'w', which is not a column of it; it has k, v"),
        (NUMBERS, {"rename": {"K": "key"}}, "rename= names 'key', which is not a column of it; did you mean 'k'"),
        ('{"v": 1}\n{"v": "x"}\n{"v": 2}', {}, "line 2: v is 'x', which is not int64"),
        ('{"v": 1}\n{"v": [1]}\n{"v": 2}', {}, r"line 2: v is '\[1\]', which is not int64"),
        ('{"v": 1.5}\n{"v": NaN}', {}, r"line 2: v is 'NaN', which is not float64; say null=\['NaN'\]"),
        ('{"v": 1.5}\n{"v": ""}', {}, r"line 2: v is '', which is not float64; say null=\[''\]"),
        ('{"v": 1}\n{"v": \n{"v": 2}', {}, "line 2: JSON: "),
        ('{"v": 1}\n[2]', {}, "line 2: JSON: not an object"),
        ('{"v": 1, "v": 2}', {}, "line 1: "),
        ('{"v": "x"}\n{"v": "\\ud800"}', {}, "line 2: half of a surrogate pair"),
        ('{"data": {"sites": [{"k": "a"}]}}', {}, "data.sites is an array: say records='data.sites' if"),
        ('{"k": ["a"], "v": [1]}', {}, r"k is an array: .* columnar='\.' if it is one of several columns"),
        ('{"k": "a"}', {"records": "sites"}, "sites"),
        (zipped(a=NUMBERS, b=NUMBERS), {}, r"holds 2 files \(a, b\): unpack it and name one of them"),
        (gzip.compress(NUMBERS.encode(), mtime=0)[:-6], {}, "cut short"),
        (gzip.compress(NUMBERS.encode(), mtime=0)[:-1] + b"x", {}, "damaged"),
        ("k,t\na,2024-03-31 02:30\n", {"time_zone": "Europe/Berlin"}, "row 1: the time t does not exist in Europe"),
        (NUMBERS, {"delimeter": ","}, "no option 'delimeter'; did you mean 'delimiter'"),
        (NUMBERS, {"types": {}}, "no option 'types'; did you mean 'type'"),
        (NUMBERS, {"key": "k"}, "df.table takes no key: a reference table is all of its rows"),
        (NUMBERS, {"format": "cvs"}, r"did you mean 'csv'\?.*\(format=\)"),
        (NUMBERS, {"preset": "geo"}, "preset 'geo' is unknown: did you mean 'geojson'"),
        (NUMBERS, {"type": "v=int"}, "did you mean 'int64'"),
        (NUMBERS, {"unit": "m"}, "unit 'm' is unknown"),
        (NUMBERS, {"null": 5}, "null must be texts, not 5"),
        (NUMBERS, {"columns": 5}, "columns must be texts, not 5"),
        (NUMBERS, {"type": 5}, "type must be texts, not 5"),
        (NUMBERS, {"time_zone": "Berlin"}, "time zone 'Berlin'"),
        (b"\x00\x01\x02\x03" * 9, {}, r"its first bytes show.*\(format=\)"),
    ],
)  # fmt: skip
def test_errors_of_files(tmp_path: Path, content: str | bytes, options: dict[str, Any], says: str) -> None:
    path = tmp_path / "t"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    refused(path, says, **options)


@pytest.mark.parametrize(
    ("source", "options", "says"),
    [
        (lambda: pa.table({"v": [1.5, float("nan")]}), {}, r"the table: row 2: v is 'NaN', which is not float64"),
        (lambda: pa.table({"v": [float("inf")]}), {"null": "x"}, r"row 1: v is 'infinity'; say null=\['infinity'\]"),
        (lambda: pa.table({"v": pa.array([1, 2**63], pa.uint64())}), {}, "row 2: v is '9223372036854775808'"),
        (lambda: pd.DataFrame({"v": [1, "x", 2]}), {}, "row 2: v is 'x', which is not int64"),
        (lambda: pd.DataFrame({"v": [1, "x", 2]}), {"null": "y"}, "row 2: v is 'x', which is not int64"),
        (lambda: pa.table({"v": ["1", "x"]}), {"type": "v=int64"}, "row 2: v is 'x', which is not int64"),
        (lambda: pa.table({"k": ["a"], "": [1]}), {}, r"column '' cannot be read: .* \(drop=\[''\] leaves it out\)"),
        (
            lambda: pa.table({"t": pa.array([None, datetime(2024, 3, 31, 2, 30)], pa.timestamp("s"))}),
            {"time_zone": "Europe/Berlin"}, "row 2: the time t does not exist in Europe/Berlin",
        ),
        (lambda: [{"k": "a"}], {}, "the path of a file or a table .*, but got list"),
        (lambda: pd.Series([1], name="v"), {}, "the table cannot be read as a table: "),
        (lambda: pa.chunked_array([["a"]]), {}, "the table cannot be read as a table: "),
        (lambda: iter([1]), {}, "the table is of type int, which gives no Arrow data"),
        (lambda: 5, {}, "a mapping of 1 to 64 columns to lists of values, the path of a file"),
        (lambda: {"k": ["a"]}, {"null": ["a"]}, "given columns takes no options, got null="),
        (lambda: "absent.csv", {}, "cannot read absent.csv: No such file"),
        (lambda: ".", {}, r"cannot read \.: it is a folder"),
        (lambda: "a\0b", {}, "null byte"),
    ],
)  # fmt: skip
def test_errors_of_tables(source: Callable[[], Any], options: dict[str, Any], says: str) -> None:
    refused(source(), says, **options)


def test_the_cure_that_an_error_names(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text(NUMBERS + "c,NA\n")
    assert df.table(path, null=["NA"]).column("v", "")[1] == (1, 2, None)
    assert df.table(path, type={"v": "string"}).column("v", "")[1] == ("1", "2", "NA")
    mixed = pd.DataFrame({"v": [1, "x", 2.5]})
    assert df.table(mixed, null=["x"]).column("v", "")[1] == (1.0, None, 2.5)
    assert df.table(mixed, type={"v": "string"}).column("v", "")[1] == ("1.0", "x", "2.5")
    assert df.table(pa.table({"v": [1.5, float("nan")]}), null=["NaN"]).column("v", "")[1] == (1.5, None)
    big = pa.table({"v": pa.array([1, 2**63], pa.uint64())})
    assert df.table(big, type={"v": "string"}).column("v", "")[1] == ("1", "9223372036854775808")
    path.write_text('{"data": {"sites": [{"k": "a"}]}}')
    assert df.table(path, records="data.sites") == df.table({"k": ["a"]})
    assert df.table(path, type={"data.sites": "json"}) == df.table({"data.sites": ['[{"k":"a"}]']})


def test_every_option_has_a_line_in_the_docstring() -> None:
    text = df.table.__doc__ or ""
    assert [name for name in OPTIONS if f"``{name}``" not in text] == []


# ---- limits


def large(path: Path, line: str, header: str = "") -> int:
    """A file of that line over and over; its bytes."""
    path.write_text(header + line * (60_000_000 // len(line)))
    return path.stat().st_size


@pytest.mark.parametrize(
    ("line", "header", "says"),
    [
        ("device,1\n", "k,v\n", f"more than {MAX_ROWS:,} rows, the limit of a reference table; ingest the data"),
        ('{"k": "device", "v": 1}\n', "", f"more than {MAX_ROWS:,} rows"),
        (f"device,{'x' * 2000}\n", "k,v\n", f"more than {MAX_TABLE_BYTES:,} bytes, the limit of a reference table"),
        (json.dumps({f"c{i}": 1 for i in range(MAX_COLUMNS + 1)}) + "\n", "", f"more than {MAX_COLUMNS} columns"),
        (",".join("1" * (MAX_COLUMNS + 1)) + "\n", ",".join(f"c{i}" for i in range(65)) + "\n", "1 to 64 columns"),
    ],
)
def test_reading_stops_at_the_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, header: str, says: str
) -> None:
    taken: list[int] = []
    take = Hashed.take

    def counted(file: Hashed) -> bytes:
        data = take(file)
        taken.append(len(data))
        return data

    monkeypatch.setattr(Hashed, "take", counted)
    size = large(tmp_path / "t", line, header)
    refused(tmp_path / "t", re.escape(str(tmp_path / "t")) + ".*" + re.escape(says))
    assert sum(taken) < size / 2


def test_limits_of_tables(tmp_path: Path) -> None:
    given = 0

    def batches() -> Any:
        nonlocal given
        for _ in range(1000):
            given += 1
            yield pa.record_batch({"v": range(10_000)})

    endless = pa.RecordBatchReader.from_batches(pa.schema({"v": pa.int64()}), batches())
    says = f"more than {MAX_ROWS:,} rows"
    refused(endless, says)
    assert given < 100
    long = pa.table({"v": range(MAX_ROWS + 1)})
    refused(long, says)
    pq.write_table(long, tmp_path / "t")
    refused(tmp_path / "t", says)
    assert df.table(long.slice(0, MAX_ROWS)).rows == MAX_ROWS
    wide = pa.table({f"c{i}": [1] for i in range(MAX_COLUMNS + 1)})
    refused(wide, "more than 64 columns")
    assert len(df.table(wide, columns="c1,c2").columns) == 2
    assert len(df.table(wide, drop="c7").columns) == MAX_COLUMNS


def test_a_type_depends_on_all_rows(tmp_path: Path) -> None:
    """Also on those after the sample by which an ingest settles types."""
    path = tmp_path / "t"
    path.write_text("v\n" + "1\n" * 70_000 + "2.5\n")
    assert df.table(path).columns[0][1] == "float64"
    path.write_text("v\n" + "1\n" * 70_000 + "x\n")
    refused(path, "line 70,002: v is 'x'")
    assert df.table.from_csv(path).columns[0][2][-1] == "x"


def test_the_header_of_a_table_is_not_guessed(tmp_path: Path) -> None:
    """A preview looks for a line with more names; for a table, that would be a row that is lost."""
    path = tmp_path / "t.csv"
    path.write_text("id,name\na,x,y,z\nb,u,v,w\n")
    with pytest.raises(DataflowError, match="line 2: CSV: 4 values in a row of 2 columns"):
        df.table(path)
