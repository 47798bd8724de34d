"""Columns of tables in which every value is null exist, with the type that the table declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dataflow as df
from operators.errors import DataflowError
from operators.types import Type
from runtime import Store

TIMES = np.array([0, 1], "datetime64[s]")


def stored(folder: Path, table: Any) -> Store:
    store = Store(folder / "store", create=True)
    store.ingest("s", table, key="k", time="t", progress=False)
    return store


def answer(store: Store, **aggs: df.Agg) -> dict[str, Any]:
    found = store.query(df.stream("s").agg(**aggs), progress=False)
    return {name: found[name][0] for name in aggs}


def nulls(column: str) -> df.Agg:
    return df.count(where=df.col(column).is_null())


def test_a_parquet_file(tmp_path: Path) -> None:
    types = {"v": pa.int64(), "w": pa.string(), "d": pa.decimal128(9, 2), "n": pa.null()}
    columns = {name: pa.array([None, None], type_) for name, type_ in types.items()}
    path = tmp_path / "n.parquet"
    pq.write_table(pa.table({"k": ["a", "b"], "t": TIMES, **columns}), path)
    store = stored(tmp_path, str(path))
    schema = store.catalogue.schema("s")
    assert schema is not None
    assert schema.columns == {}
    assert schema.empty == {"v": Type.INT, "w": Type.STRING, "d": Type.DECIMAL_2, "n": None}
    assert answer(store, total=df.sum("v"), missing=nulls("v")) == {"total": None, "missing": 2}
    assert answer(store, first=df.first("w"), least=df.min("d"), mean=df.mean("n")) == dict.fromkeys(
        ("first", "least", "mean")
    )
    with pytest.raises(DataflowError, match="sum cannot take string"):
        answer(store, total=df.sum("w"))


def test_missing_values_of_a_frame_declare_nothing(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"k": ["a", "b"], "t": TIMES, "v": [np.nan, np.nan], "w": [None, None]})
    store = stored(tmp_path, frame)
    assert answer(store, same=df.count(where=df.col("v") == "x"), other=df.sum("w")) == {"same": 0, "other": None}


def test_values_that_follow_settle_the_type(tmp_path: Path) -> None:
    store = stored(tmp_path, {"k": ["a", "b"], "t": TIMES, "v": pa.array([None, None], pa.int64())})
    store.ingest("s", {"k": ["a"], "t": TIMES[:1], "v": ["x"]}, progress=False)
    schema = store.catalogue.schema("s")
    assert schema is not None
    assert (schema.columns, schema.empty) == ({"v": Type.STRING}, {})
    assert answer(store, n=nulls("v"), last=df.last("v")) == {"n": 2, "last": "x"}
