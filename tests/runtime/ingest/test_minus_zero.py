"""-0 has its sign in float columns, however it is written, and is 0 in integer columns."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dataflow as df
from runtime import Store

CSV = b"k,t,v,n\na,1,-0,-0\na,2,1.5,3\na,3,0,0\na,4,-0.0,1\na,5,-0e0,2\n"
NDJSON = b"""{"k":"a","t":1,"v":-0,"n":-0}
{"k":"a","t":2,"v":1.5,"n":3}
{"k":"a","t":3,"v":0,"n":0}
{"k":"a","t":4,"v":-0.0,"n":1}
{"k":"a","t":5,"v":-0e0,"n":2}
"""
# A line end within a string has the record read once more, strictly.
STRICT = NDJSON.replace(b'{"k":"a","t":1,', b'{"k":"a","t":1,"\\u0041":[1],"o":{"p":1},')
COLUMNS = {"k": list("aaaaa"), "t": [1, 2, 3, 4, 5], "v": [-0.0, 1.5, 0.0, -0.0, -0.0], "n": [0, 3, 0, 1, 2]}


def parquet() -> io.BytesIO:
    out = io.BytesIO()
    pq.write_table(pa.table(COLUMNS), out)
    return out


def written(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("form", ["csv", "json", "strict", "columns", "parquet"])
def test_minus_zero(form: str, tmp_path: Path) -> None:
    sources: dict[str, Any] = {
        "csv": lambda: written(tmp_path / "p.csv", CSV),
        "json": lambda: written(tmp_path / "p.ndjson", NDJSON),
        "strict": lambda: written(tmp_path / "p.ndjson", STRICT),
        "columns": lambda: COLUMNS,
        "parquet": lambda: written(tmp_path / "p.parquet", parquet().getvalue()),
    }
    with Store(tmp_path / "store", create=True) as store:
        store.ingest("s", sources[form](), key="k", time="t", unit="s")
        rows = store.query(df.stream("s").select("v", "n"))
        assert rows.to_dict()["types"]["v"] == "float64"
        assert rows.to_dict()["types"]["n"] == "int64"
        assert [(v, math.copysign(1, v)) for v in rows["v"]] == [(0, -1), (1.5, 1), (0, 1), (0, -1), (0, -1)]
        assert rows["n"] == [0, 3, 0, 1, 2]
        assert "-0.0" in rows.to_csv()
        least = store.query(df.stream("s").agg(low=df.min("v"), first=df.first("v"), middle=df.median("v")))
        assert [math.copysign(1, least[name][0]) for name in ("low", "first", "middle")] == [-1, -1, -1]
        # Zeros are one group, one value and one state, whatever their sign.
        groups = store.query(df.stream("s").group_by("v").agg(n=df.count(), kinds=df.count_distinct("v")))
        assert list(groups) == [(0.0, 4, 1), (1.5, 1, 1)]


def test_minus_zero_in_a_later_batch_of_a_known_column(tmp_path: Path) -> None:
    with Store(tmp_path / "store", create=True) as store:
        store.ingest("s", written(tmp_path / "a.csv", b"k,t,v\na,1,2.5\n"), key="k", time="t", unit="s")
        store.ingest("s", written(tmp_path / "b.csv", b"k,t,v\na,2,-0\n"), key="k", time="t", unit="s")
        store.ingest("s", written(tmp_path / "c.ndjson", b'{"k":"a","t":3,"v":-0}\n'), key="k", time="t", unit="s")
        assert [math.copysign(1, v) for v in store.query(df.stream("s").select("v"))["v"]] == [1, -1, -1]
