"""What may be a table: readers, iterators, relations, data sets and frames, once or again, in bounded memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from operators.types import Type
from runtime.errors import IngestError, SchemaConflict
from runtime.ingest.inputs.inputs import TableInput, resolve
from tests.runtime.ingest.lake import Lake, T

N = 1000


def table(rows: int = N, first: int = 0) -> pa.Table:
    numbers = range(first, first + rows)
    return pa.table(
        {
            "k": [f"d{i % 7}" for i in numbers],
            "t": [T + i for i in numbers],
            "f": [None if i % 4 == 0 else i / 3 for i in numbers],
            "s": ["é" * (i % 4) for i in numbers],
        }
    )


class Exported:
    """Gives Arrow data through the C interface only."""

    def __init__(self, method: str, given: Any) -> None:
        self._given = given
        setattr(type(self), method, lambda self, requested_schema=None: getattr(self._given, method)(requested_schema))


class OfStream(Exported):
    pass


class OfArray(Exported):
    pass


def batches(rows: int = 64) -> Iterator[pa.RecordBatch]:
    return iter(table().to_batches(max_chunksize=rows))


def relation() -> Any:
    found = table()
    return duckdb.connect().from_arrow(found)


SOURCES: dict[str, Callable[[], Any]] = {
    "reader": lambda: pa.RecordBatchReader.from_batches(table().schema, batches()),
    "iterator": batches,
    "generator": lambda: (batch for batch in batches(333)),
    "tables": lambda: iter([table(500), table(500, 500)]),
    "frames of polars": lambda: iter([pl.DataFrame(table(300)), pl.DataFrame(table(700, 300))]),
    "relation": relation,
    "data set": lambda: ds.dataset(table()),
    "scanner": lambda: ds.dataset(table()).scanner(),
    "stream": lambda: OfStream("__arrow_c_stream__", table()),
    "array": lambda: OfArray("__arrow_c_array__", table().to_batches()[0]),
    "polars": lambda: pl.DataFrame(table()),
    "record batch": lambda: table().to_batches()[0],
}
ONCE = ("reader", "iterator", "generator", "tables", "frames of polars", "scanner", "stream", "array")


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_is_the_same_table(lake: Lake, source: str) -> None:
    lake.ingest(table(), stream="whole")
    assert lake.ingest(SOURCES[source]()).committed == N
    assert lake.rows() == lake.rows("whole")
    assert lake.ingest(table()).sources[0].status == "already ingested"
    assert lake.ingest(SOURCES[source]()).sources[0].status == "already ingested"
    (found,) = resolve(SOURCES[source]())
    assert isinstance(found, TableInput)
    assert found.once is (source in ONCE)


def test_pieces_of_pandas(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    table().to_pandas().to_csv(path, index=False)
    with pd.read_csv(path, chunksize=300, keep_default_na=False, na_values={"f": [""]}) as pieces:
        assert lake.ingest(pieces).committed == N
    lake.ingest(table(), stream="whole")
    assert lake.rows() == lake.rows("whole")


def test_a_reader_is_never_held_as_a_whole(lake: Lake) -> None:
    alive, most = 0, 0
    size = 200_000

    class Batch:
        """Counts itself while somebody holds it."""

        def __init__(self, first: int) -> None:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)
            times = np.arange(T, T + size) + first
            self.batch = pa.record_batch({"k": pa.array(["a"] * size), "t": times, "n": np.arange(size)})

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

        def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
            return self.batch.__arrow_c_stream__(requested_schema)

    assert lake.ingest(Batch(i * size) for i in range(20)).committed == 20 * size
    assert most <= 4  # a chunk takes three


def test_a_reader_cannot_be_read_again_with_other_types(lake: Lake) -> None:
    lake.ingest({"k": ["a"], "t": [T], "x": ["text"]})
    reader = pa.RecordBatchReader.from_batches(
        pa.schema([("k", pa.string()), ("t", pa.int64()), ("x", pa.int64())]),
        iter([pa.record_batch({"k": ["a"], "t": [T], "x": [1]})]),
    )
    with pytest.raises(SchemaConflict, match="column 'x' is int64, but in the stream it is string"):
        lake.ingest(reader)


def test_batches_may_differ(lake: Lake) -> None:
    parts = [
        pa.record_batch({"k": ["a"], "t": [T], "x": [1]}),
        pa.record_batch({"k": ["b"], "t": [T], "x": [1.5], "y": ["q"]}),
        pa.record_batch({"t": [T], "k": ["c"]}),
    ]
    lake.ingest(iter(parts))
    assert lake.rows() == [
        {"k": "a", "t": T * 1000, "x": 1.0},
        {"k": "b", "t": T * 1000, "x": 1.5, "y": "q"},
        {"k": "c", "t": T * 1000},
    ]


def test_what_is_no_table(lake: Lake) -> None:
    for given, message in (
        (pl.LazyFrame(table()), r"is a lazy frame, which has no rows yet: give its result, frame\.collect\(\)"),
        (iter([1, 2]), "is of type int, which gives no Arrow data"),
        (pa.array([1, 2]), "cannot be read as a table"),
        (pl.Series([1, 2]), "cannot be read as a table"),
        (object(), "input 1 is of type object: give paths"),
        ({1, 2}, "input 1 is of type set: give paths"),
    ):
        with pytest.raises(IngestError, match=message):
            lake.ingest(given)


def test_errors_of_an_iterator_are_its_own(lake: Lake) -> None:
    def failing() -> Iterator[pa.RecordBatch]:
        yield from batches()
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        lake.ingest(failing())
    assert lake.catalogue.streams() == []


def test_open_files_are_no_tables(lake: Lake, tmp_path: Path) -> None:
    data = b'{"k":"a","t":1700000000000}\n'
    path = tmp_path / "data.ndjson"
    path.write_bytes(data)
    for number, opened in enumerate((io.BytesIO(data), path.open("rb"), pa.BufferReader(data), pa.OSFile(str(path)))):
        with opened:
            assert lake.ingest(opened, stream=f"s{number}").committed == 1


def test_the_index_of_a_frame(lake: Lake) -> None:
    times = pd.to_datetime([T, T + 1], unit="ms", utc=True)
    named = pd.DataFrame({"v": [1, 2], "k": ["a", "b"]}, index=pd.Index(times, name="t"))
    lake.ingest(named, unit=None)
    expected = [{"k": "a", "t": T * 1000, "v": 1}, {"k": "b", "t": (T + 1) * 1000, "v": 2}]
    assert lake.rows() == expected
    unnamed = pd.DataFrame({"v": [1, 2], "k": ["a", "b"]}, index=times)
    lake.ingest(unnamed, stream="i", time="index", unit=None)
    assert lake.rows("i") == expected
    levels = named.set_index("k", append=True)
    lake.ingest(levels, stream="m", unit=None)
    assert lake.rows("m") == expected
    filtered = named.reset_index()[lambda f: f.v > 1]
    lake.ingest(filtered, stream="f", unit=None)
    assert lake.columns("f") == {"v": Type.INT}


def test_frames_of_anything(lake: Lake) -> None:
    frame = pd.DataFrame(
        {
            "k": ["a", "b", "c", "d"],
            "t": [T] * 4,
            "mixed": pd.Series([1, "x", 2, None], dtype=object),
            "dates": pd.Series([pd.Timestamp("2024-01-01"), None, "soon", pd.Timestamp("2024-01-02")], dtype=object),
            "text": pd.Series(["p", np.nan, None, "q"], dtype=object),
            "z": np.array([1 + 2j, 0, 0, 0]),
            "cat": pd.Categorical(["u", "v", "u", None]),
            "whole": pd.array([1, None, 3, 4], "Int64"),
            "period": pd.period_range("2024-01", periods=4, freq="M"),
        }
    )
    lake.ingest(frame)
    first, second, third, fourth = lake.rows()
    assert (first["mixed"], second["mixed#string"], third["mixed"]) == (1, "x", 2)
    assert (first["dates"], third["dates#string"]) == (1704067200_000000, "soon")
    assert [row.get("text") for row in lake.rows()] == ["p", None, None, "q"]
    assert (first["z"], second["z"]) == ("(1+2j)", "0j")
    assert (first["cat"], third["cat"], "cat" in fourth) == ("u", "u", False)
    assert (first["whole"], "whole" in second, fourth["whole"]) == (1, False, 4)
    assert [row["period"] for row in lake.rows()] == ["2024-01", "2024-02", "2024-03", "2024-04"]


def test_two_columns_of_one_name(lake: Lake) -> None:
    names = ["k", "t", "v", "v", "v_2", "v"]
    found = pa.Table.from_arrays([pa.array([x]) for x in ("a", T, 1, 2, 3, 4)], names=names)
    lake.ingest(found)
    assert lake.rows() == [{"k": "a", "t": T * 1000, "v": 1, "v_3": 2, "v_2": 3, "v_4": 4}]


def test_what_becomes_null_is_part_of_the_identity(lake: Lake) -> None:
    for value in (None, float("inf"), 2**64, 2**65):
        lake.ingest({"k": ["a", "b"], "t": [T, T], "x": [0.5, value]})
    assert len(lake.rows()) == 8
    again = lake.ingest({"k": ["a", "b"], "t": [T, T], "x": [0.5, float("inf")]})
    assert again.sources[0].status == "already ingested"


def test_wide_tables_have_shorter_chunks(lake: Lake) -> None:
    columns = {f"c{i:03}": np.arange(3) + i for i in range(500)}
    found = pa.table({"k": ["a", "b", "c"], "t": [T] * 3, **columns})
    lake.ingest(iter(found.to_batches()))
    assert lake.rows()[2]["c499"] == 501
    assert lake.ingest(found).sources[0].status == "already ingested"
    assert (
        lake.ingest({n: c.to_pylist() for n, c in zip(found.column_names, found.columns, strict=True)})
        .sources[0]
        .status
        == "already ingested"
    )
