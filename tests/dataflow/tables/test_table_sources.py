"""`df.table` of files in every form and of tables: the same content is the same table, whatever held it."""

from __future__ import annotations

import bz2
import contextlib
import csv
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dataflow as df
from dataflow.tables.reference_tables import ReferenceTable
from operators.types import Type

MARCH = datetime(2024, 3, 1, tzinfo=UTC)
WANTED = df.table({"id": ["007", "008"], "n": [1, None], "x": [0.5, 2.0], "on": [True, False], "since": [MARCH, None]})
CSV = "id,n,x,on,since\n007,1,0.5,true,2024-03-01\n008,,2.0,false,\n"
RECORDS = [
    {"id": "007", "n": 1, "x": 0.5, "on": True, "since": "2024-03-01"},
    {"id": "008", "n": None, "x": 2.0, "on": False, "since": None},
]
ARROW = pa.table(
    {
        "id": ["007", "008"], "n": pa.array([1, None], pa.int64()), "x": [0.5, 2.0], "on": [True, False],
        "since": pa.array([MARCH, None], pa.timestamp("us", "UTC")),
    }
)  # fmt: skip


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def ipc(table: pa.Table, new: Callable[..., Any] = pa.ipc.new_file) -> bytes:
    out = io.BytesIO()
    with new(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("sites.csv", data)
    return out.getvalue()


FORMS: dict[str, tuple[bytes, dict[str, Any]]] = {
    "csv": (CSV.encode(), {}),
    "semicolons in utf-16": (CSV.replace(",", ";").replace("\n", "\r\n").encode("utf-16"), {}),
    "tabs": (CSV.replace(",", "\t").encode(), {}),
    "latin-1": (CSV.encode("latin-1"), {"encoding": "latin-1"}),
    "a comma as decimal mark": (CSV.replace(",", ";").replace(".", ",").encode(), {"decimal": ","}),
    "a preamble": (b"sites of 2024\n\n" + CSV.encode(), {"skip_rows": 1}),
    "no header": (CSV.partition("\n")[2].encode(), {"names": "id,n,x,on,since"}),
    "other times": (CSV.replace("2024-03-01", "03/01/2024").encode(), {"time_format": "%m/%d/%Y"}),
    "other times of a zone": (CSV.replace("2024-03-01", "2024-03-01 01:00").encode(), {"time_zone": "Europe/Berlin"}),
    "a word for missing": (CSV.replace(",,", ",n.a.,").encode(), {"null": ["n.a."]}),
    "other names": (CSV.replace("since", "von").encode(), {"rename": {"von": "since"}}),
    "more columns": (CSV.replace("\n", ",0\n").replace("since,0", "since,z").encode(), {"drop": "z"}),
    "ndjson": ("\n".join(map(json.dumps, RECORDS)).encode(), {}),
    "json": (json.dumps(RECORDS, indent=1).encode(), {}),
    "a document": (json.dumps({"data": {"sites": RECORDS}}).encode(), {"records": "data.sites"}),
    "columns in a document": (
        json.dumps({name: [r[name] for r in RECORDS] for name in RECORDS[0]}).encode(), {"columnar": "."},
    ),
    "parquet": (parquet(ARROW), {}),
    "arrow file": (ipc(ARROW), {}),
    "arrow stream": (ipc(ARROW, pa.ipc.new_stream), {}),
    "gzip": (gzip.compress(CSV.encode()), {}),
    "bzip2": (bz2.compress(CSV.encode()), {}),
    "xz": (lzma.compress(CSV.encode()), {}),
    "zstd": (zstandard.compress(CSV.encode()), {}),
    "zip": (zipped(CSV.encode()), {}),
    "parquet in gzip": (gzip.compress(parquet(ARROW)), {}),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_files(tmp_path: Path, form: str) -> None:
    data, options = FORMS[form]
    path = tmp_path / "file"
    path.write_bytes(data)
    assert df.table(path, **options) == WANTED
    assert df.table(str(path), **options).digest == WANTED.digest


class Exports:
    """Anything that exports Arrow data."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return ARROW.__arrow_c_stream__(requested_schema)


def _relation() -> Any:
    duckdb = pytest.importorskip("duckdb")
    return duckdb.from_arrow(ARROW)


@pytest.mark.parametrize(
    "source",
    [
        lambda: ARROW,
        lambda: ARROW.to_batches()[0],
        lambda: ARROW.to_reader(),
        lambda: iter(ARROW.to_batches()),
        lambda: pl.from_arrow(ARROW),
        lambda: pd.DataFrame(ARROW.to_pandas().assign(n=pd.array([1, None], "Int64"))),
        Exports,
        _relation,
    ],
)
def test_tables(source: Callable[[], Any]) -> None:
    assert df.table(source()) == WANTED


def test_a_csv_is_typed_by_all_of_its_cells(tmp_path: Path) -> None:
    """As it always was; elsewhere values of several types in a column are an error."""
    path = tmp_path / "t.csv"
    path.write_text("id,n,day,big,digits\n007,1,2024-03-01,1,20240301\n8,NA,20240302,12345678901234567890,20240302\n")
    assert [(n, t.value, v) for n, t, v in df.table.from_csv(path).columns] == [
        ("id", "string", ("007", "8")),
        ("n", "string", ("1", "NA")),
        ("day", "time", (1_709_251_200_000_000, 1_709_337_600_000_000)),
        ("big", "string", ("1", "12345678901234567890")),
        ("digits", "int64", (20240301, 20240302)),
    ]
    found = df.table.from_csv(path, types={"day": "string", "digits": "time"})
    assert found.column("day", "")[1] == ("2024-03-01", "20240302")
    assert found.column("digits", "")[1] == (1_709_251_200_000_000, 1_709_337_600_000_000)
    path.write_text("{a,b\n[1,\n")
    assert df.table.from_csv(path).to_dict()["columns"] == [
        {"name": "{a", "type": "string", "values": ["[1"]}, {"name": "b", "type": "string", "values": [None]},
    ]  # fmt: skip


def test_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text("device,from\n")
    found = df.table(path)
    assert [(n, t.value, v) for n, t, v in found.columns] == [("device", "string", ()), ("from", "string", ())]
    assert df.stream("s").outside(found, on="device", valid_from="from", valid_to=None)
    assert [t.value for _, t, _ in df.table(ARROW.slice(0, 0)).columns] == [t.value for _, t, _ in WANTED.columns]
    path.write_text("[]")
    with pytest.raises(df.DataflowError, match="there are no rows"):
        df.table(path)


def test_times_in_text(tmp_path: Path) -> None:
    """Only texts can be meant as times without a word, and not if they are mere digits."""
    path = tmp_path / "t.json"
    path.write_text('[{"a": "2024-03-01", "b": "20240301", "c": "9999-12-31"}, {"a": "2024-W10-1", "c": "0001-01-01"}]')
    assert [t.value for _, t, _ in df.table(path).columns] == ["time", "string", "time"]
    assert [t.value for _, t, _ in df.table(path, type="b=time,a=string").columns] == ["string", "time", "time"]
    assert [t.value for _, t, _ in df.table(pa.table({"a": ["2024-03-01"]})).columns] == ["string"]
    assert [t.value for _, t, _ in df.table(pa.table({"a": ["2024-03-01"]}), type="a=time").columns] == ["time"]
    path.write_text("k,at\na,1709251200\n")
    assert df.table(path, type="at=time", unit="s").columns[1][2] == (1_709_251_200_000_000,)
    naive = pa.table({"at": pa.array([datetime(2024, 3, 1)], pa.timestamp("s"))})
    assert df.table(naive, time_zone="Europe/Berlin").columns[0][2] == (1_709_247_600_000_000,)


def test_presets_formats_and_json_in_text(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text('{"data": {"stations": [{"station_id": "a", "last_reported": 1709251200}]}, "ttl": 5}')
    found = df.table(path, preset="gbfs", drop="ttl", type="last_reported=time")
    assert found == df.table({"station_id": ["a"], "last_reported": [MARCH]})
    path.write_text("level=info n=1 since=2024-03-01\n")
    assert df.table(path, format="logfmt") == df.table({"level": ["info"], "n": [1], "since": [MARCH]})
    path.write_text('k,about\na,"{""site"": {""x"": 1}}"\n')
    assert df.table(path, json="about") == df.table({"k": ["a"], "about.site.x": [1]})
    path.write_text('{"k": "a", "about": {"site": {"x": 1}}}')
    assert df.table(path, depth=2) == df.table({"k": ["a"], "about.site": ['{"x":1}']})
    path.write_text("# sites\nk|n\n'a|b'|1 000\n# end\n")
    assert df.table(path, comment="#", quote="'", thousands=" ") == df.table({"k": ["a|b"], "n": [1000]})


def test_decimals_and_nested_values(tmp_path: Path) -> None:
    prices = [Decimal("1.50"), None]
    given = pa.table(
        {
            "k": ["a", "b"], "price": pa.array(prices, pa.decimal128(10, 2)), "at": [{"lat": 1.5}, None],
            "tags": [["x"], None], "hold": pa.array([timedelta(seconds=5), None]),
        }
    )  # fmt: skip
    wanted = {"k": ["a", "b"], "price": prices, "at.lat": [1.5, None], "tags": ['["x"]', None]}
    found = df.table(given)
    assert found == df.table({**wanted, "hold": [timedelta(seconds=5), None]})
    metric = df.stream("s").join(found, on="k").group_by("k").agg(paid=df.sum("price"))
    assert df.from_json(metric.to_json()).to_json() == metric.to_json()
    assert 'Decimal("1.50"), None' in str(metric)
    path = tmp_path / "t"
    path.write_text('{"k": "a", "price": 1.50, "at": {"lat": 1.5}, "tags": ["x"]}\n{"k": "b"}')
    assert df.table(path, type="price=decimal(2)") == df.table(wanted)
    path.write_text('k,price,at.lat,tags\na,1.50,1.5,"[""x""]"\nb,,,\n')
    assert df.table(path, type="price=decimal(2)") == df.table(wanted)


@pytest.mark.parametrize("odd", [Decimal("NaN"), Decimal("1E+999999"), Decimal("0.1234567891"), Decimal(2**63)])
def test_decimals_that_are_none(odd: Decimal) -> None:
    with pytest.raises(df.DataflowError, match="'p' of decimals: a decimal is finite, has at most 9 places"):
        df.table({"p": [odd]})
    for other in ("1", 1.5, True):
        with pytest.raises(df.DataflowError, match="of decimals contains"):
            df.table({"p": [Decimal(1), other]})
    assert df.table({"p": [Decimal("1.5"), 2, None]}).columns == (("p", Type.DECIMAL_1, (15, 20, None)),)


# ---- round trips

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0", exclude_categories=["Cc"]), min_size=1)
CELLS: dict[Type, st.SearchStrategy[Any]] = {
    Type.BOOL: st.booleans(),
    Type.INT: st.integers(-(2**63), 2**63 - 1),
    Type.FLOAT: st.floats(allow_nan=False, allow_infinity=False),
    Type.STRING: st.one_of(TEXTS, st.sampled_from(["007", "1", "true", "NA", "a\nb", '"', "a,b", " x ", "2024-03-01"])),
    Type.TIME: st.integers(-62_135_596_800, 253_402_300_799).map(lambda s: s * 1_000_000),
    Type.DECIMAL_2: st.integers(-(2**63), 2**63 - 1),
}
ARROW_TYPES = {
    Type.BOOL: pa.bool_(), Type.INT: pa.int64(), Type.FLOAT: pa.float64(), Type.STRING: pa.string(),
    Type.TIME: pa.timestamp("us", "UTC"), Type.DECIMAL_2: pa.decimal128(38, 2),
}  # fmt: skip
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@st.composite
def tables(draw: st.DrawFn) -> ReferenceTable:
    names = draw(st.lists(st.sampled_from(["a", "b c", "ü", "x.y", "_"]), min_size=1, max_size=4, unique=True))
    rows = draw(st.integers(1, 5))
    columns = []
    for name in names:
        kind = draw(st.sampled_from([*CELLS]))
        cells = draw(st.lists(st.none() | CELLS[kind], min_size=rows, max_size=rows))
        columns.append((name, kind, tuple(cells)))
    return ReferenceTable.of(columns)


def in_python(kind: Type, value: Any) -> Any:
    if value is None or kind in (Type.BOOL, Type.INT, Type.FLOAT, Type.STRING):
        return value
    return EPOCH + timedelta(microseconds=value) if kind is Type.TIME else Decimal(value).scaleb(-2)


def _csv(table: ReferenceTable) -> bytes:
    def text(kind: Type, value: Any) -> str:
        found = in_python(kind, value)
        return "" if value is None else found.isoformat() if kind is Type.TIME else str(found)

    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow([name for name, _, _ in table.columns])
    writer.writerows(zip(*([text(kind, v) for v in values] for _, kind, values in table.columns), strict=True))
    return out.getvalue().encode()


def records(table: ReferenceTable) -> Iterator[str]:
    def text(kind: Type, value: Any) -> str:
        found = in_python(kind, value)
        if value is not None and kind is Type.DECIMAL_2:
            return f"{found:f}"
        return json.dumps(found.isoformat() if isinstance(found, datetime) else found)

    for row in range(table.rows):
        # A name with escapes would be the last column, wherever it is in the record.
        cells = (f"{json.dumps(n, ensure_ascii=False)}: {text(kind, v[row])}" for n, kind, v in table.columns)
        yield "{" + ",".join(cells) + "}"


def arrow(table: ReferenceTable) -> pa.Table:
    return pa.table(
        {n: pa.array([in_python(kind, v) for v in values], ARROW_TYPES[kind]) for n, kind, values in table.columns}
    )


@settings(
    max_examples=max(50, settings().max_examples),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(tables())
def test_round_trips(tmp_path: Path, table: ReferenceTable) -> None:
    types = {name: kind.value for name, kind, _ in table.columns}
    lines = [*records(table)]
    forms: list[tuple[bytes, dict[str, Any]]] = [
        (_csv(table), {"type": types, "format": "csv"}),
        ("\n".join(lines).encode(), {"type": types}),
        (f'{{"data": [{",".join(lines)}]}}'.encode(), {"type": types, "records": "data"}),
        (parquet(arrow(table)), {}),
        (ipc(arrow(table)), {}),
    ]
    path = tmp_path / "file"
    for data, options in forms:
        path.write_bytes(data)
        assert df.table(path, **options).to_dict() == table.to_dict(), data
    assert df.table(arrow(table)) == table


# ---- from_csv, by Python's csv and json

WRITTEN = st.lists(
    st.lists(
        st.sampled_from(
            ["", "1", "-2", "007", "1.5", "1e3", "true", "FALSE", "NA", "nan", "?", "+5", "12345678901234567890", "a,b",
             '"', "x\ny", "ü", "2024-03-01", "2024-03-01T12:00:00+01:00", "9999-12-31"]
        ),
        min_size=2, max_size=2,
    ),
    max_size=4,
)  # fmt: skip


def _as_type(texts: list[str]) -> tuple[str, list[Any]]:
    """The type that all texts have, and their values."""
    there = [text for text in texts if text]
    with contextlib.suppress(ValueError):
        found = [json.loads(text.lower() if text.lower() in ("true", "false") else text) for text in there]
        kinds = {type(v) for v in found}
        if kinds in ({bool}, {int}) and all(-(2**63) <= v < 2**63 for v in found):
            return kinds.pop().__name__, found
        if kinds in ({float}, {int, float}) and all(abs(v) <= 2**53 for v in found):
            return "float", [float(v) for v in found]
    with contextlib.suppress(ValueError):
        times = [datetime.fromisoformat(text) for text in there]
        if times:
            return "time", [(t if t.tzinfo else t.replace(tzinfo=UTC)) - EPOCH for t in times]
    return "string", [*there]


@settings(
    max_examples=max(50, settings().max_examples),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(WRITTEN)
def test_from_csv_against_pythons(tmp_path: Path, rows: list[list[str]]) -> None:
    path = tmp_path / "t.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b"], *rows])
    with path.open(newline="") as file:
        read = [*csv.reader(file)][1:]
    names = {"bool": "bool", "int64": "int", "float64": "float", "time": "time", "string": "string"}
    for place, (_, kind, cells) in enumerate(df.table.from_csv(path).columns):
        texts = [row[place] for row in read]
        wanted, values = _as_type(texts)
        if kind is Type.TIME:
            values = [v // timedelta(microseconds=1) for v in values]
        left = iter(values)
        assert (names[kind], cells) == (wanted, tuple(next(left) if text else None for text in texts))
