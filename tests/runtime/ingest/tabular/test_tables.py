"""Parquet, Arrow tables, data frames and dicts of arrays."""

from __future__ import annotations

import builtins
import datetime
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.types import Type
from runtime.errors import IngestError, SchemaConflict
from tests.runtime.ingest.lake import Lake, T

N = 1000
COLUMNS: dict[str, list[Any]] = {
    "k": [f"d{i % 7}" for i in range(N)],
    "t": [T + i for i in range(N)],
    "b": [None if i % 5 == 0 else i % 2 == 0 for i in range(N)],
    "i": [None if i % 3 == 0 else i - 2**60 for i in range(N)],
    "f": [None if i % 4 == 0 else i / 3 for i in range(N)],
    "s": [None if i % 11 == 0 else "é" * (i % 4) for i in range(N)],
}


def expected() -> list[dict[str, Any]]:
    rows = [{n: v[i] for n, v in COLUMNS.items() if v[i] is not None} for i in range(N)]
    return sorted([r | {"t": r["t"] * 1000} for r in rows], key=lambda r: (r["k"], r["t"]))


def parquet(table: pa.Table) -> io.BytesIO:
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=300)
    out.seek(0)
    return out


FORMS = {
    "arrow": lambda: pa.table(COLUMNS),
    "arrow chunked": lambda: pa.concat_tables([pa.table(COLUMNS).slice(i, 100) for i in range(0, N, 100)]),
    "arrow dictionary": lambda: pa.table(
        {n: pa.array(v).dictionary_encode() if n in "ks" else pa.array(v) for n, v in COLUMNS.items()}
    ),
    "record batch": lambda: pa.table(COLUMNS).to_batches()[0],
    "polars": lambda: pl.DataFrame(COLUMNS),
    "pandas": lambda: pa.table(COLUMNS).to_pandas(types_mapper=pd.ArrowDtype),
    "lists": lambda: dict(COLUMNS),
    "parquet": lambda: parquet(pa.table(COLUMNS)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_rows(lake: Lake, form: str) -> None:
    assert lake.ingest(FORMS[form]()).committed == N
    assert lake.rows() == expected()
    assert lake.columns() == {"b": Type.BOOL, "i": Type.INT, "f": Type.FLOAT, "s": Type.STRING}


def test_a_table_counts_once_however_it_is_cut(lake: Lake) -> None:
    lake.ingest(FORMS["arrow"]())
    for form in ("arrow", "arrow chunked", "arrow dictionary", "polars"):
        assert lake.ingest(FORMS[form]()).sources[0].status == "already ingested"
    for name, value in (("i", 5), ("s", "x"), ("k", "new"), ("f", 1.0)):
        other = {n: [value, *v[1:]] if n == name else v for n, v in COLUMNS.items()}
        assert lake.ingest(pa.table(other)).committed == N


def test_numpy_arrays(lake: Lake) -> None:
    lake.ingest(
        {
            "k": np.array(["a", "bb", "ä"]),
            "t": np.array([T, T + 1, T + 2]),
            "u": np.array([1, 2, 3], np.uint16),
            "f": np.array([1.5, np.nan, -0.0], np.float32),
            "s": np.array([b"", b"x", b"yy"]),
            "w": np.array(["2024-01-01", "NaT", "2024-01-02T00:00:00.5"], "M8[ns]"),
            "d": np.array([1, 2, 3], "m8[s]"),
        }
    )
    assert lake.rows() == [
        {"k": "a", "t": T * 1000, "u": 1, "f": 1.5, "s": "", "w": 1704067200_000000, "d": 1_000_000},
        {"k": "bb", "t": (T + 1) * 1000, "u": 2, "s": "x", "d": 2_000_000},
        {"k": "ä", "t": (T + 2) * 1000, "u": 3, "f": -0.0, "s": "yy", "w": 1704153600_500000, "d": 3_000_000},
    ]
    assert lake.columns()["w"] is Type.TIME
    assert lake.columns()["d"] is Type.DURATION


@pytest.mark.parametrize(
    "times",
    [
        pa.array([T * 1000], pa.timestamp("us")),
        pa.array([T], pa.timestamp("ms", "UTC")),
        pa.array([T * 10**6 + 999], pa.timestamp("ns", "Europe/London")),
        pa.array([T // 1000], pa.timestamp("s")),
        pa.array(["2023-11-14T22:13:20Z"]),
    ],
)
def test_event_times_of_tables(lake: Lake, times: pa.Array) -> None:
    lake.ingest(pa.table({"k": ["a"], "t": times}), unit=None)
    assert lake.rows() == [{"k": "a", "t": T * 1000}]


@pytest.mark.parametrize(("unit", "time"), [("s", T / 1000 + 0.25), ("ms", T + 250.0), ("ns", (T + 250) * 10**6)])
def test_numeric_times_of_tables(lake: Lake, unit: str, time: float) -> None:
    lake.ingest({"k": np.array(["a"]), "t": np.array([time])}, unit=unit)
    assert lake.rows() == [{"k": "a", "t": T * 1000 + 250_000}]


def test_nested_dates_lists_and_nulls(lake: Lake) -> None:
    table = pa.table(
        {
            "k": ["a", "b"],
            "t": [T, T + 1],
            "m": [{"x": {"y": 1}}, {"x": {"y": 2}}],
            "d": [datetime.date(2024, 1, 1), None],
            "l": [[1, 2], None],
            "n": pa.nulls(2),
        }
    )
    lake.ingest(table)
    first, second = lake.rows()
    assert first == {"k": "a", "t": T * 1000, "m.x.y": 1, "d": 1704067200_000000, "l": "[1,2]"}
    assert second == {"k": "b", "t": (T + 1) * 1000, "m.x.y": 2}


def test_rows_that_do_not_fit_are_rejected(lake: Lake) -> None:
    table = {
        "k": ["a", None, "c", "d", "e"],
        "t": [T, T, None, -5, T],
        "f": [1.5, 1.0, 1.0, 1.0, float("inf")],
    }
    report = lake.ingest(pa.table(table))
    assert report.reasons == {
        "key: column k is missing or null": 1,
        "time: column t is missing or null": 1,
        "time: column t is before 1970": 1,
    }
    assert [r.get("f") for r in lake.rows()] == [1.5, None]
    assert lake.ingest(pa.table(table), missing_key="?", stream="m").rejected == 2
    report = lake.ingest({"k": ["a", "b"], "t": [T, T], "f": [2**53 + 1, 3]})
    assert report.committed == 2
    assert [(r.get("f"), r.get("f#int64")) for r in lake.rows()] == [
        (1.5, None), (None, 2**53 + 1), (3.0, None), (None, None),
    ]  # fmt: skip


def test_columns_of_another_type_go_to_a_twin(lake: Lake) -> None:
    lake.ingest({"k": ["a"], "t": [T], "x": [1]})
    report = lake.ingest({"k": ["b", "c"], "t": [T, T], "x": ["1", None]})
    assert lake.columns() == {"x": Type.INT, "x#string": Type.STRING}
    assert [(r["k"], r.get("x"), r.get("x#string")) for r in lake.rows()] == [
        ("a", 1, None), ("b", None, "1"), ("c", None, None),
    ]  # fmt: skip
    assert report.sources[0].columns["x"].twins == {"string": 1}


def test_tables_that_do_not_fit_are_an_error(lake: Lake) -> None:
    lake.ingest({"k": ["a"], "t": [T], "x": [1]})
    with pytest.raises(SchemaConflict, match="the key 'k' is int64, but the stream's is string"):
        lake.ingest({"k": [1], "t": [T]})
    with pytest.raises(IngestError, match="has no column 'k'"):
        lake.ingest({"t": [T]})
    with pytest.raises(IngestError, match="different lengths"):
        lake.ingest({"k": ["a"], "t": [T, T]})
    with pytest.raises(IngestError, match="need a unit"):
        lake.ingest({"k": ["a"], "t": [T]}, unit="iso")
    with pytest.raises(IngestError, match="column 'k' cannot be read: values of the dtype"):
        lake.ingest({"k": np.zeros(1, [("a", "i4")]), "t": [T]})
    assert len(lake.rows()) == 1


def test_damaged_parquet(lake: Lake, tmp_path: Path) -> None:
    data = parquet(pa.table(COLUMNS)).getvalue()
    for bad in (data[:500], data[:-4], b"PAR1"):
        with pytest.raises(IngestError, match="cannot be read as Parquet"):
            lake.text(bad)
    with pytest.raises(IngestError, match="cannot be read as Parquet"):
        lake.text("{}", format="parquet")
    assert lake.catalogue.streams() == []


def test_without_pyarrow(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    data = parquet(pa.table(COLUMNS))
    real = builtins.__import__

    def absent(name: str, *args: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(IngestError, match="pip install"):
        lake.ingest(data)
    assert lake.ingest(dict(COLUMNS)).committed == N
