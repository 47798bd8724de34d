"""Parquet and Arrow IPC files: every type that they hold, old and new forms, and damage."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.types import DECIMALS, Type
from runtime.errors import IngestError
from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.tabular.arrow import ipc_chunks, parquet_chunks
from tests.runtime.ingest.lake import Lake, T
from tests.runtime.ingest.tabular.arrow_cases import (
    LEAVES,
    alike,
    array,
    read_interval,
    values_of,
    with_values_of_twins,
)

N = 300


def table() -> pa.Table:
    draw = random.Random(1)
    return pa.table(
        {
            "k": [f"d{i % 7}" for i in range(N)],
            "t": pa.array([T + i for i in range(N)], pa.timestamp("ms", "UTC")),
            "i": [None if i % 3 == 0 else draw.randrange(-(2**60), 2**60) for i in range(N)],
            "f": [draw.random() for _ in range(N)],
            "s": pa.array(["é" * draw.randrange(4) for _ in range(N)]).dictionary_encode(),
            "d": pa.array([Decimal(draw.randrange(10**9)).scaleb(-2) for _ in range(N)], pa.decimal128(20, 2)),
            "l": [[draw.randrange(9) for _ in range(draw.randrange(4))] for _ in range(N)],
            "m": pa.array([[("a", i)] for i in range(N)], pa.map_(pa.string(), pa.int64())),
            "o": [{"x": i, "y": None if i % 2 else "q"} for i in range(N)],
        }
    )


def parquet(found: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(found, out, **options)
    return out.getvalue()


def ipc_file(found: pa.Table, compression: str | None = None, rows: int = 100) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_file(out, found.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(found, max_chunksize=rows)
    return out.getvalue()


def ipc_stream(found: pa.Table, compression: str | None = None, rows: int = 100) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, found.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(found, max_chunksize=rows)
    return out.getvalue()


FILES: dict[str, Callable[[pa.Table], bytes]] = {
    "parquet": lambda t: parquet(t, row_group_size=70, write_page_checksum=True),
    "parquet plain": lambda t: parquet(t, compression="none", use_dictionary=False),
    "parquet v2": lambda t: parquet(t, compression="zstd", data_page_version="2.0", data_page_size=500),
    "file": ipc_file,
    "file lz4": lambda t: ipc_file(t, "lz4"),
    "stream": ipc_stream,
    "stream zstd": lambda t: ipc_stream(t, "zstd"),
}


def read(data: bytes, is_parquet: bool) -> list[tuple[list[str], list[Any]]]:
    """Names and values of all columns, chunk by chunk."""
    words: dict[str, InternedStrings] = {}
    chunks = parquet_chunks if is_parquet else ipc_chunks
    out = []
    for chunk in chunks(io.BytesIO(data), "x", 1 << 19, lambda n: words.setdefault(n, InternedStrings())):
        out.append((list(chunk), [with_values_of_twins(c, n, words) for n, c in chunk.items()]))
    return out


@pytest.mark.parametrize("form", FILES)
def test_every_file_gives_the_same_rows(lake: Lake, tmp_path: Path, form: str) -> None:
    lake.ingest(table())
    path = tmp_path / "data"
    path.write_bytes(FILES[form](table()))
    report = lake.ingest(str(path), stream="f", unit=None)
    assert report.committed == N
    assert lake.rows("f") == lake.rows()
    assert lake.columns("f") == lake.columns()
    assert lake.ingest(str(path), stream="f", unit=None).sources[0].status == "already ingested"


@pytest.mark.parametrize("name", LEAVES)
@settings(max_examples=max(10, settings().max_examples // 4))
@given(data=st.data())
def test_every_type_in_files(name: str, data: st.DataObject) -> None:
    leaf = LEAVES[name]
    values = data.draw(st.lists(values_of(leaf), min_size=1, max_size=6))
    found = pa.table({"x": array(leaf, values)})
    expected = [None if v is None else leaf.column(v) for v in values]
    forms = ["file", "stream"]
    if name not in ("interval", "far s", "far ms", "duration s") and not str(leaf.type).startswith("decimal128(12"):
        forms.append("parquet")
    for form in forms:
        (((column,), (got,)),) = read(FILES[form](found), form == "parquet")
        assert column == "x"
        got = [read_interval(v) if name == "interval" and v is not None else v for v in got]
        assert len(got) == len(expected)
        assert all(map(alike, got, expected))


def test_the_ends_of_old_times() -> None:
    moments = [-62_135_596_800_000_000, 0, 253_402_300_799_999_999, None]
    found = pa.table({"x": pa.array(moments, pa.timestamp("us"))})
    data = parquet(found, use_deprecated_int96_timestamps=True)
    (((_,), (got,)),) = read(data, True)
    # pyarrow writes them in nanoseconds, which the first and the third exceed; times of seconds it writes right.
    assert got[1] == 0
    wide = pa.table({"x": pa.array([-62_135_596_800, 253_402_300_799], pa.timestamp("s"))})
    (((_,), (got,)),) = read(parquet(wide, use_deprecated_int96_timestamps=True), True)
    assert got == [-62_135_596_800 * 10**6, 253_402_300_799 * 10**6]


def test_what_duckdb_writes(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"""copy (select 'a' as k, 1700000000000 + i as t, (i / 10)::decimal(21, 1) as amount,
            '00000000-0000-0000-0000-00000000000' || i as text,
            ('00000000-0000-0000-0000-00000000000' || i)::uuid as id,
            to_months(14) + to_days(3) + to_milliseconds(i) as iv, map {{'m': i}} as m, time '13:05:01' as tm,
            'x'::blob as b, '\\xAA'::blob as h, [{{'q': i}}] as l, 2::hugeint ** 100 + i as big, i::hugeint as small,
            (18446744073709551615::ubigint - i)::ubigint as u from range(3) r(i)) to '{path}' (format parquet)"""
        )
    lake.ingest(str(path))
    rows = lake.rows()
    assert [row["amount"] for row in rows] == [Decimal("0.0"), Decimal("0.1"), Decimal("0.2")]
    assert all(row["id"] == row["text"] for row in rows)
    assert [row["iv"] for row in rows] == ["P1Y2M3D", "P1Y2M3DT0.001S", "P1Y2M3DT0.002S"]
    assert [row["m"] for row in rows] == ['{"m":0}', '{"m":1}', '{"m":2}']
    assert {row["tm"] for row in rows} == {"13:05:01"}
    assert {(row["b"], row["h"]) for row in rows} == {("x", "\\xaa")}
    assert [row["l"] for row in rows] == ['[{"q":0}]', '[{"q":1}]', '[{"q":2}]']
    assert [row["u#string"] for row in rows] == ["18446744073709551615", "18446744073709551614", "18446744073709551613"]
    assert lake.columns()["amount"] is DECIMALS[1]


def test_a_column_that_pyarrow_cannot_read_is_left_out(lake: Lake) -> None:
    found = pa.table({"k": ["a"], "t": [T], "odd": ["x" * 50], "n": [1]})
    data = parquet(found, compression={"k": "none", "t": "none", "odd": "brotli", "n": "none"}, write_statistics=False)
    # The codec of the one column becomes LZO, which pyarrow never reads: in the footer, an enum of Thrift.
    patched = data.replace(b"\x15\x08\x16\x02", b"\x15\x06\x16\x02")
    assert patched != data
    with pytest.raises(Exception, match=r"(?i)lzo"):
        pq.read_table(io.BytesIO(patched))
    lake.ingest(io.BytesIO(patched))
    assert lake.rows() == [{"k": "a", "t": T * 1000, "n": 1}]
    with pytest.raises(IngestError, match=r"column 'odd' cannot be read: .*(?i:lzo)"):
        lake.ingest(io.BytesIO(patched), key="odd", stream="other")


def test_streams_one_after_the_other(lake: Lake) -> None:
    first, second = table().slice(0, 100), table().slice(100)
    lake.ingest(io.BytesIO(ipc_stream(first) + ipc_stream(second)), unit=None)
    lake.ingest(table(), stream="whole")
    assert lake.rows() == lake.rows("whole")


def test_streams_that_were_cut_short(lake: Lake) -> None:
    data = ipc_stream(table())
    for bad in (data[:-8], data[:-4], data + data[:-8]):
        with pytest.raises(IngestError, match=r"without the mark of its end|cannot be read as Arrow IPC"):
            lake.ingest(io.BytesIO(bad), unit=None)
    with pytest.raises(IngestError, match="cannot be read as Arrow IPC"):
        lake.ingest(io.BytesIO(data + b"garbage!"), unit=None)
    assert lake.catalogue.streams() == []


def test_what_is_no_arrow(lake: Lake) -> None:
    for bad in (b"ARROW1", b"ARROW1\0\0" + b"\0" * 50, b"\xff\xff\xff\xff", b"{}", b""):
        with pytest.raises(IngestError):
            lake.text(bad, format="arrow")


def test_an_empty_file_has_columns(lake: Lake) -> None:
    none = table().slice(0, 0)
    for form in FILES:
        assert lake.ingest(io.BytesIO(FILES[form](none)), unit=None, stream=form.replace(" ", "-")).committed == 0
        with pytest.raises(IngestError, match="has no column 'q'"):
            lake.ingest(io.BytesIO(FILES[form](none)), key="q", stream="other")


@pytest.mark.parametrize("form", FILES)
@given(data=st.data())
def test_damage_is_an_error_or_changes_nothing_that_is_checked(form: str, data: st.DataObject) -> None:
    good = GOOD[form]
    bad = bytearray(good)
    kind = data.draw(st.sampled_from(["cut", "bit", "bytes", "end"]))
    at = data.draw(st.integers(0, len(good) - 1))
    if kind == "cut":
        bad = bad[:at]
    elif kind == "bytes":
        part = data.draw(st.binary(min_size=1, max_size=30))
        bad[at : at + len(part)] = part
    else:
        at = len(good) - 1 - data.draw(st.integers(0, 700)) if kind == "end" else at
        bad[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = read(bytes(bad), form.startswith("parquet"))
    except IngestError:
        return
    assert kind != "cut"
    # Only pages have checksums: not their headers, nor the footer.
    if form == "parquet" and any(a <= at < b for a, b in PAGES):
        assert found == read(good, True)


def of_intervals(form: str) -> bytes:
    """A file whose column ``u`` has intervals, which pyarrow cannot write: one bit of a file of times is changed."""
    times = pa.array([T, T + 1], pa.timestamp("ms", "UTC"))
    good = FILES[form](pa.table({"k": ["a", "b"], "t": times, "u": pa.array([1, 2], pa.timestamp("ms"))}))
    opened = pa.ipc.open_file if form == "file" else pa.ipc.open_stream
    for at in reversed(range(len(good))):
        bad = bytearray(good)
        bad[at] ^= 1
        with suppress(pa.ArrowException, OSError, UnicodeDecodeError, KeyError):
            if [str(field.type) for field in opened(io.BytesIO(bytes(bad))).schema][2] == "day_time_interval":
                return bytes(bad)
    raise AssertionError("no bit makes intervals of times")


@pytest.mark.parametrize("form", ["file", "stream"])
def test_a_type_that_pyarrow_has_no_arrays_of(lake: Lake, form: str) -> None:
    report = lake.ingest(io.BytesIO(of_intervals(form)), format="arrow", unit=None)
    assert report.committed == 2
    assert "this pyarrow cannot read it: day_time_interval" in str(report)
    with pytest.raises(IngestError, match="column 'u' cannot be read: this pyarrow cannot read it"):
        lake.ingest(io.BytesIO(of_intervals(form)), format="arrow", key="u", stream="other")


def _pages(data: bytes) -> list[tuple[int, int]]:
    """The bytes of column chunks that no header of a page is near of."""
    found = pq.ParquetFile(io.BytesIO(data)).metadata
    out = []
    for group in range(found.num_row_groups):
        for column in range(found.num_columns):
            chunk = found.row_group(group).column(column)
            start = min(o for o in (chunk.dictionary_page_offset, chunk.data_page_offset) if o is not None)
            out.append((start, start + chunk.total_compressed_size))
    return out


GOOD = {form: make(table()) for form, make in FILES.items()}
PAGES = _pages(GOOD["parquet"])


def test_types_of_columns(lake: Lake) -> None:
    lake.ingest(io.BytesIO(GOOD["parquet"]), unit=None)
    assert lake.columns() == {
        "i": Type.INT, "f": Type.FLOAT, "s": Type.STRING, "d": DECIMALS[2], "l": Type.STRING, "m": Type.STRING,
        "o.x": Type.INT, "o.y": Type.STRING,
    }  # fmt: skip
    assert np.isfinite(lake.rows()[0]["f"])
