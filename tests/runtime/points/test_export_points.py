"""Exports come back by ingest; other programs read the same values; files appear whole or not at all."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import files
from operators.errors import DataflowError
from operators.types import Type
from runtime import Store
from runtime.columns import Column, Dictionary
from runtime.display import table_files
from runtime.display.export import MissingLibraryError
from runtime.errors import QueryError
from runtime.points import point_scan
from runtime.result.result import Result
from tests.runtime.ingest.lake import Lake
from tests.runtime.points.test_point_scan import DAY, START, exactly, write

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
instants = st.integers(START, START + 3 * DAY)
whole = st.integers(-(2**63), 2**63 - 1)
fractions = st.floats(allow_nan=False, allow_infinity=False)


# A column whose texts are all empty, or words for missing ones, has no type that text shows.
TEXTS = dict.fromkeys(["s", "déjà, vu", "v#string"], "string")


def rows_of(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    optional = {name: st.none() | value for name, value in values.items()}
    return st.lists(st.fixed_dictionaries({"k": keys, "t": instants}, optional=optional), min_size=1, max_size=12)


def back(folder: Path, file: Path, **options: Any) -> list[dict[str, Any]]:
    """The rows of a store made of the file; every one of them was taken."""
    lake = Lake(folder)
    report = lake.ingest(file, **{"unit": None, **options})
    assert (report.rejected, report.sources[0].dropped) == (0, 0)
    rows = lake.rows()
    lake.catalogue.close()
    return rows


def stored(folder: Path) -> list[dict[str, Any]]:
    lake = Lake(folder)
    rows = lake.rows()
    lake.catalogue.close()
    return rows


def check_round_trip(rows: list[dict[str, Any]], name: str, sizes: tuple[int, int]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write(folder / "one", [rows], type=TEXTS)
        cells, group = sizes
        with (
            Store(folder / "one") as store,
            patch.object(point_scan, "BATCH_CELLS", cells),
            patch.object(table_files, "GROUP_ROWS", group),
        ):
            report = store.export("s", folder / name, progress=False)
        assert report.rows == len(rows)
        assert report.bytes == (folder / name).stat().st_size
        assert exactly(back(folder / "two", folder / name, type=TEXTS)) == exactly(stored(folder / "one"))


sizes = st.sampled_from([(1 << 20, 1 << 20), (1, 1), (20, 5)])


@settings(max_examples=max(8, settings().max_examples // 2))
@given(rows_of(b=st.booleans(), i=whole, f=fractions, s=texts, **{"déjà, vu": texts, "v#string": texts}), sizes)
def test_ndjson_comes_back(rows: list[dict[str, Any]], size: tuple[int, int]) -> None:
    check_round_trip(rows, "points.ndjson", size)


@settings(max_examples=max(8, settings().max_examples // 2))
@given(rows_of(b=st.booleans(), i=whole, f=fractions, s=texts, **{"déjà, vu": texts, "v#string": texts}), sizes)
def test_parquet_comes_back(rows: list[dict[str, Any]], size: tuple[int, int]) -> None:
    check_round_trip(rows, "points.parquet", size)


# A CSV file has no types: text that looks like a number, all of it, becomes one again, and an empty field is null.
plain = st.builds(lambda a, b: f"{a}§{b}", texts, texts)


@settings(max_examples=max(8, settings().max_examples // 2))
@given(rows_of(b=st.booleans(), i=whole, f=fractions, s=plain, **{"déjà, vu": plain, "v#string": plain}), sizes)
def test_csv_comes_back(rows: list[dict[str, Any]], size: tuple[int, int]) -> None:
    check_round_trip([row | {"k": f"{row['k']}§"} for row in rows], "points.csv.gz", size)


def of_all_types() -> pa.Table:
    """Every type that a stream can hold, with nulls and the values at its edges."""
    n = 6
    return pa.table(
        {
            "k": pa.array([7, -7, 2**53 + 1, 7, -(2**63), 2**63 - 1], pa.int64()),
            "t": pa.array([START + i for i in range(n)], pa.timestamp("us", "UTC")),
            "b": pa.array([True, False, None, True, None, False]),
            "i": pa.array([2**53 + 1, -(2**63), 2**63 - 1, None, 0, -1], pa.int64()),
            "f": pa.array([-0.0, 5e-324, 1.7976931348623157e308, None, 0.1, 3.0]),
            "s": pa.array(["", None, 'a "b", c\n', "NA", " x ", "é€𝄞"]),
            "seen": pa.array([0, -1, START * 2, None, 1, 2**40], pa.timestamp("us", "UTC")),
            "took": pa.array([0, -1, 2**62, None, 1, 90_000_000], pa.duration("us")),
            "gone": pa.array([None] * n, pa.float64()),
        }
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store", create=True) as store:
        store.ingest("s", of_all_types(), key="k", time="t", progress=False)
        yield store


COLUMNS = ["k", "t", "b", "i", "f", "s", "seen", "took"]


def test_pyarrow_reads_the_same_values(store: Store, tmp_path: Path) -> None:
    store.export("s", tmp_path / "x.parquet", progress=False)
    found = pq.read_table(tmp_path / "x.parquet").sort_by("t")
    expected = of_all_types().select(COLUMNS).sort_by("t")
    assert found.schema.equals(expected.schema)
    assert found.equals(expected)
    assert found.column("f").combine_chunks().view(pa.int64()).to_pylist()[0] == -(2**63)  # the sign of zero
    schema = pq.read_schema(tmp_path / "x.parquet")
    kind = str(pq.ParquetFile(tmp_path / "x.parquet").schema.column(1).logical_type)
    assert kind.startswith("Timestamp(isAdjustedToUTC=true, timeUnit=microseconds")
    assert schema.names == COLUMNS


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.ndjson"])
def test_duckdb_reads_the_same_values(store: Store, tmp_path: Path, name: str) -> None:
    store.export("s", tmp_path / name, progress=False)
    read = {
        "x.parquet": f"read_parquet('{tmp_path / name}')",
        "x.csv": f"read_csv('{tmp_path / name}', all_varchar = true, strict_mode = true)",
        "x.ndjson": f"read_json('{tmp_path / name}', columns = {{k: 'BIGINT', t: 'VARCHAR', b: 'BOOLEAN', i: 'BIGINT', "
        "f: 'DOUBLE', s: 'VARCHAR', seen: 'VARCHAR', took: 'BIGINT'})",
    }[name]
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        chosen = "k::bigint, epoch_us(t::timestamptz), b::boolean, i::bigint, f::double, s, epoch_us(seen::timestamptz)"
        found = connection.execute(f"select {chosen} from {read} order by t").fetchall()
    table = of_all_types()
    columns = [table.column(c).cast(pa.int64()) if c in ("t", "seen") else table.column(c) for c in COLUMNS[:-1]]
    expected = [list(row) for row in zip(*(c.to_pylist() for c in columns), strict=True)]
    if name == "x.csv":
        expected[0][5] = None  # this reader, too, takes a quoted empty field for null
        found = [(*row[:5], row[5] or None, row[6]) for row in found]
    assert [[repr(v) for v in row] for row in found] == [[repr(v) for v in row] for row in expected]


def test_the_bytes_of_text_forms(store: Store, tmp_path: Path) -> None:
    """By the standard library's readers: null is an empty field or null, the empty text is ``""``."""
    for name in ("x.csv", "x.ndjson"):
        store.export("s", tmp_path / name, progress=False)
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == COLUMNS
    assert sorted(rows)[0] == [
        "-7", "2023-12-09T00:00:00.000001Z", "false", "-9223372036854775808", "5e-324", "",
        "1969-12-31T23:59:59.999999Z", "-1",
    ]  # fmt: skip
    assert b',"",' in (tmp_path / "x.csv").read_bytes()
    lines = [json.loads(line) for line in (tmp_path / "x.ndjson").read_bytes().splitlines()]
    assert sorted(lines, key=lambda row: row["t"])[3] == {
        "k": 7, "t": "2023-12-09T00:00:00.000003Z", "b": True, "i": None, "f": None, "s": "NA", "seen": None,
        "took": None,
    }  # fmt: skip
    assert all(list(line) == COLUMNS for line in lines)


@pytest.mark.parametrize(("ending", "unpacked"), [(".gz", gzip.decompress), (".zst", zstandard.decompress)])
@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_compressed_text(store: Store, tmp_path: Path, form: str, ending: str, unpacked: Any) -> None:
    store.export("s", tmp_path / f"x.{form}", progress=False)
    store.export("s", tmp_path / f"x.{form}{ending}", progress=False)
    packed = (tmp_path / f"x.{form}{ending}").read_bytes()
    reader = zstandard.ZstdDecompressor().decompressobj()
    content = gzip.decompress(packed) if ending == ".gz" else reader.decompress(packed)
    assert content == (tmp_path / f"x.{form}").read_bytes()


def test_a_part(store: Store, tmp_path: Path) -> None:
    report = store.export("s", tmp_path / "x.parquet", since=START + 1, until=START + 5, key=7, progress=False)
    assert (report.rows, pq.read_table(tmp_path / "x.parquet").column("t").cast(pa.int64()).to_pylist()) == (
        1,
        [START + 3],
    )
    since = datetime(2024, 1, 1, tzinfo=UTC)
    report = store.export("s", tmp_path / "none.parquet", since=since, progress=False)
    assert report.rows == 0
    assert pq.read_table(tmp_path / "none.parquet").schema.names == COLUMNS
    store.export("s", tmp_path / "none.csv", since=since, progress=False)
    assert (tmp_path / "none.csv").read_text() == ",".join(COLUMNS) + "\n"


def test_a_file_object(store: Store) -> None:
    out = io.BytesIO()
    report = store.export("s", out, format="parquet", progress=False)
    assert (report.path, report.bytes, report.rows) == (None, None, 6)
    assert pq.read_table(io.BytesIO(out.getvalue())).num_rows == 6
    with pytest.raises(DataflowError, match="a file object needs a format: parquet, csv, ndjson"):
        store.export("s", io.BytesIO(), progress=False)


def test_what_is_reported(store: Store, tmp_path: Path) -> None:
    report = store.export("s", tmp_path / "x.csv", progress=False)
    assert str(report) == f"s: 6 points with 8 columns written to {tmp_path / 'x.csv'} ({report.bytes} B)"
    assert report.to_dict() == {
        "stream": "s", "snapshot": 1, "rows": 6, "columns": 8, "merged": 0,
        "path": str(tmp_path / "x.csv"), "bytes": report.bytes,
    }  # fmt: skip


def test_a_file_that_is_there_stays(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("mine")
    with pytest.raises(DataflowError, match=r"x\.csv exists already.*--force"):
        store.export("s", file, progress=False)
    assert file.read_text() == "mine"
    usual = table_files.CsvTable.finish

    def slow(self: Any) -> None:  # another process writes one meanwhile
        usual(self)
        (tmp_path / "y.csv").write_text("theirs")

    with patch.object(table_files.CsvTable, "finish", slow), pytest.raises(DataflowError, match="exists already"):
        store.export("s", tmp_path / "y.csv", progress=False)
    assert (tmp_path / "y.csv").read_text() == "theirs"
    store.export("s", file, force=True, progress=False)
    assert file.read_text().startswith("k,t,")
    link = tmp_path / "link.csv"
    link.symlink_to(file)
    store.export("s", link, key=7, force=True, progress=False)
    assert link.is_symlink()
    assert len(file.read_text().splitlines()) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"store", "x.csv", "y.csv", "link.csv"}


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.ndjson.zst"])
def test_an_export_that_fails_leaves_nothing(store: Store, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("old")

    def broken(self: Any, *_: object) -> Any:
        yield from self.group(tuple(self.files))
        raise KeyboardInterrupt

    with patch.object(point_scan.PointScan, "batches", broken), pytest.raises(KeyboardInterrupt):
        store.export("s", tmp_path / name, force=True, progress=False)
    assert (tmp_path / name).read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"store", name}


def test_names_and_places_that_cannot_be(store: Store, tmp_path: Path) -> None:
    for name in ("x", "x.xlsx", "x.parquet.gz", "x.gz"):
        with pytest.raises(DataflowError, match=r"does not say a form; .*\.parquet"):
            store.export("s", tmp_path / name, progress=False)
    with pytest.raises(DataflowError, match="there is no format 'cvs'; did you mean 'csv'"):
        store.export("s", tmp_path / "x", format="cvs", progress=False)
    with pytest.raises(DataflowError, match=r"cannot write .*No such file or directory"):
        store.export("s", tmp_path / "no" / "x.csv", progress=False)
    with pytest.raises(DataflowError, match="it is a folder"):
        store.export("s", tmp_path, format="csv", force=True, progress=False)
    with pytest.raises(DataflowError, match="it is a device"):
        store.export("s", "/dev/null", format="csv", force=True, progress=False)
    with pytest.raises(QueryError, match="no stream 'x'"):
        store.export("x", tmp_path / "x.csv", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_without_pyarrow(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'antfold\[parquet\]'"):
        store.export("s", tmp_path / "x.parquet", progress=False)
    store.export("s", tmp_path / "x.csv", progress=False)
    assert {path.name for path in tmp_path.iterdir()} == {"store", "x.csv"}


def test_a_new_file_is_as_readable_as_any(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with files.whole_file(tmp_path / "x", replace=False) as out:
            out.write(b"1")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    with files.whole_file(tmp_path / "x", replace=False) as out:
        out.write(b"1")
    assert (tmp_path / "x").read_bytes() == b"1"
    with pytest.raises(FileExistsError), files.whole_file(tmp_path / "y", replace=False) as out:
        (tmp_path / "y").write_bytes(b"theirs")
    assert (tmp_path / "y").read_bytes() == b"theirs"


def test_what_only_results_hold(tmp_path: Path) -> None:
    """A result's columns may hold what points cannot."""
    columns = {
        "f": Column(Type.FLOAT, np.array([np.inf, -np.inf, np.nan])),
        "d": Column(Type.DECIMAL_2, np.array([1230, -5, 2**62]), np.array([True, True, False])),
        "j": Column(Type.JSON, np.array([0, 1, 0], np.int32), None, Dictionary.of(['[1, "a"]', "{}"])),
        "p": Column(Type.DURATION, np.array([1, 2, 3])),
    }
    Result(columns, None).to_parquet(tmp_path / "x.parquet")  # type: ignore[arg-type]
    found = pq.read_table(tmp_path / "x.parquet")
    assert [str(field.type) for field in found.schema] == ["double", "decimal128(19, 2)", "string", "duration[us]"]
    assert [str(v) for v in found.column("d").to_pylist()] == ["12.30", "-0.05", "None"]
    out = io.BytesIO()
    table_files.write_table(out, "ndjson", columns)
    assert out.getvalue().splitlines() == [
        b'{"f":"Infinity","d":12.30,"j":[1, "a"],"p":1}',
        b'{"f":"-Infinity","d":-0.05,"j":{},"p":2}',
        b'{"f":"NaN","d":null,"j":[1, "a"],"p":3}',
    ]


def test_a_store_in_s3(aws: None, tmp_path: Path) -> None:
    with Store("s3://lake/p", create=True) as store:
        store.ingest("s", of_all_types(), key="k", time="t", progress=False)
        assert store.export("s", tmp_path / "x.parquet", progress=False).rows == 6
        assert store.head("s", 2)["t"] == [START, START + 1]
        assert store.describe("s").rows == 6
    assert pq.read_table(tmp_path / "x.parquet").sort_by("t").equals(of_all_types().select(COLUMNS).sort_by("t"))
