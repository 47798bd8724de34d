"""Nothing gets lost from CSV and tables either: every row and every value is somewhere, and the report says where."""

from __future__ import annotations

import io
from collections import Counter
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.ingest import SourceReport
from runtime.ingest.tabular import tables as reading_of_tables
from tests.runtime.ingest.columns.test_conservation import accounted, options
from tests.runtime.ingest.lake import T
from tests.runtime.ingest.test_properties import new_lake
from tests.runtime.ingest.test_taken_rows import cut_into

cells = st.sampled_from(
    ["", "NA", "x", "1", "2.5", "1e400", "inf", "NaN", str(2**63), str(2**53 + 1), "true", "2024-01-01", "-", " 7"]
)
COLUMNS = {
    "i": (pa.int64(), st.sampled_from([1, -(2**63), 2**53 + 1])),
    "f": (pa.float64(), st.sampled_from([0.5, -0.0, float("nan"), float("inf")])),
    "s": (pa.string(), st.sampled_from(["", "NA", "x", "7", "1.5"])),
    "b": (pa.bool_(), st.booleans()),
    "w": (pa.timestamp("us"), st.sampled_from([T * 1000, 1, -1])),
    "d": (pa.decimal128(20, 2), st.sampled_from([Decimal("1.25"), Decimal("99999999999999999.01")])),
    "l": (pa.list_(pa.int64()), st.lists(st.integers(0, 3), max_size=2)),
    "u": (pa.uint64(), st.sampled_from([1, 2**64 - 1])),
}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"null": ["NA", "7", "0.5"]},
    {"type": {"s": "float64"}},
    {"type": {"i": "string", "f": "int64", "d": "string"}},
    {"rename": {"s": "z", "i": "s"}},
    {"drop": ["l"]},
    {"columns": ["i", "s"]},
]


def agrees(report: SourceReport, stored: list[dict[str, Any]], rows: int, good: int) -> None:
    """Assert that rows and columns are as the report says."""
    assert (report.rows_read, report.committed, report.rejected) == (rows, good, rows - good)
    assert report.committed == len(stored)
    kept = Counter(name for row in stored for name in row if name not in ("k", "t"))
    assert kept == {n: c.values for n, c in report.columns.items() if c.values}


@given(
    st.lists(st.tuples(st.booleans(), st.lists(cells, min_size=3, max_size=3)), min_size=1, max_size=12),
    options,
    st.integers(1, 300),
)
def test_csv(rows: list[tuple[bool, list[str]]], given_options: dict[str, Any], size: int) -> None:
    lines = [f"{'a' if good else ''},{T + i},{','.join(found)}" for i, (good, found) in enumerate(rows)]
    text = "\n".join(["k,t,p,q,r", *lines, f"a,{T},,,"]) + "\n"
    with new_lake() as lake, cut_into(size, 3):
        report = lake.text(text, format="csv", **given_options).sources[0]
        stored = lake.rows()
    agrees(report, stored, len(rows) + 1, sum(good for good, _ in rows) + 1)
    assert accounted(report) == sum(cell != "" for good, found in rows if good for cell in found)


def as_form(table: pa.Table, form: str) -> Any:
    """The table in a file of this form, or in another library."""
    out = io.BytesIO()
    if form == "parquet":
        pq.write_table(table, out, row_group_size=2)
    elif form == "ipc":
        with pa.ipc.new_file(out, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    elif form == "reader":
        return table.to_reader(max_chunksize=2)
    elif form == "polars":
        return pl.from_arrow(table)
    else:
        return duckdb.from_arrow(table) if form == "duckdb" else table
    out.seek(0)
    return out


@settings(max_examples=2 * settings().max_examples)
@given(
    st.lists(
        st.tuples(st.booleans(), st.fixed_dictionaries({n: st.none() | v for n, (_, v) in COLUMNS.items()})),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["parquet", "ipc", "arrow", "reader", "polars", "duckdb"]),
    st.sampled_from(OPTIONS),
    st.integers(1, 5),
)
def test_tables(rows: list[tuple[bool, dict[str, Any]]], form: str, given_options: dict[str, Any], chunk: int) -> None:
    everything = [*rows, (True, dict.fromkeys(COLUMNS))]
    table = pa.table(
        {
            "k": pa.array(["a" if good else None for good, _ in everything], pa.string()),
            "t": pa.array(range(T, T + len(everything)), pa.int64()),
            **{n: pa.array([row[n] for _, row in everything], type_) for n, (type_, _) in COLUMNS.items()},
        }
    )
    with new_lake() as lake, patch.object(reading_of_tables, "CHUNK_ROWS", chunk):
        report = lake.ingest(as_form(table, form), **given_options).sources[0]
        stored = lake.rows()
    agrees(report, stored, len(everything), sum(good for good, _ in everything))
    left = {*given_options.get("columns", COLUMNS)} - {*given_options.get("drop", [])}
    there = [value for good, row in everything if good for name, value in row.items() if name in left]
    assert accounted(report) == sum(value is not None for value in there)
