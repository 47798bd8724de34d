"""Reference tables: contents, errors, and which row is valid when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import dataflow as df
from dataflow.tables.reference_tables import MAX_ROWS, MAX_TABLE_BYTES, indexed
from operators.types import Type

P = df.stream("t")
SITES = df.table({"device": ["a", "b"], "site": ["X", None]})


def test_types() -> None:
    now = datetime(2024, 3, 1, tzinfo=UTC)
    table = df.table(
        {"s": ["x", None], "i": [1, 2], "f": [1, 2.5], "b": [True, None], "t": [now, None], "d": [timedelta(1), None]}
    )
    assert [(n, t.value) for n, t, _ in table.columns] == [
        ("s", "string"), ("i", "int64"), ("f", "float64"), ("b", "bool"), ("t", "time"), ("d", "duration"),
    ]  # fmt: skip
    assert table.columns[2][2] == (1.0, 2.5)
    assert table.columns[4][2] == (1_709_251_200_000_000, None)
    assert table.digest != SITES.digest
    assert df.table({"device": ["a", "b"], "site": ["X", None]}) == SITES


def test_from_csv(tmp_path: Path) -> None:
    path = tmp_path / "sites.csv"
    path.write_text("id,name,n,x,on,since\n007,a,1,0.5,true,2024-03-01\n008,,2,,FALSE,2024-03-01T12:00:00+01:00\n")
    table = df.table.from_csv(path)
    assert [(n, t, v) for n, t, v in table.columns] == [
        ("id", Type.STRING, ("007", "008")),
        ("name", Type.STRING, ("a", None)),
        ("n", Type.INT, (1, 2)),
        ("x", Type.FLOAT, (0.5, None)),
        ("on", Type.BOOL, (True, False)),
        ("since", Type.TIME, (1_709_251_200_000_000, 1_709_290_800_000_000)),
    ]
    assert df.table.from_csv(path, types={"n": "string"}).column("n", "")[1] == ("1", "2")
    path.write_text("id,x,big\n12345678901234567890,1,9\n2,1e3,9.5\n")
    assert [t for _, t, _ in df.table.from_csv(path).columns] == [Type.STRING, Type.FLOAT, Type.FLOAT]


@pytest.mark.parametrize(
    ("text", "types", "message"),
    [
        ("", {}, "first line must name"),
        ("a,a\n1,2\n", {}, "each once"),
        ("a,b\n1,2\n1\n", {}, "line 3: CSV: 1 values in a row of 2 columns"),
        ("a,b\n1,x\n", {"b": "int64"}, "line 2: b is 'x', which is not int64"),
        ("a,b\n1,x\n", {"c": "int64"}, "type= names 'c', which is not a column of it; it has a, b"),
        ("a,b\n1,x\n", {"b": "duration"}, "type b=duration: choose one of int64"),
    ],
)
def test_csv_mistakes(tmp_path: Path, text: str, types: dict[str, str], message: str) -> None:
    path = tmp_path / "sites.csv"
    path.write_text(text)
    with pytest.raises(df.DataflowError, match=message):
        df.table.from_csv(path, types=types)
    with pytest.raises(df.DataflowError, match=r"cannot read .*absent"):
        df.table.from_csv(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: df.table({}), "a mapping of 1 to 64 columns"),
        (lambda: df.table({"a": [1], "b": [1, 2]}), "'b' has 2 values, 'a' has 1"),
        (lambda: df.table({"a": [1, "x"]}), "contains int64 and string"),
        (lambda: df.table({"a": [None]}), "only nulls"),
        (lambda: df.table({"a": [float("nan")]}), "not finite"),
        (lambda: df.table({"a": "abc"}), "takes a list of values"),
        (lambda: df.table({"a": [df.col("b")]}), "takes constants"),
        (lambda: df.table({"a": range(MAX_ROWS + 1)}), "exceed the limit of 100,000; ingest"),
        (lambda: df.table({"a": ["x" * 5000] * 1000}), f"exceed the limit of {MAX_TABLE_BYTES:,}"),
        (lambda: P.join(SITES, on="id"), "join: the reference table has no column 'id'; it has device, site"),
        (lambda: P.join(SITES, on="device", how="outer"), "how is 'left' or 'inner'"),
        (lambda: P.join(SITES, on=df.col("a") + 1), r"looked up in \(key=\)"),
        (lambda: P.join([1], on="a"), "takes a reference table"),  # type: ignore[arg-type]
        (
            lambda: P.join(df.table({"device": ["a", "b", "a"]}), on="device"),
            "rows 1 and 3 of the reference table are both valid for device 'a'; say when",
        ),
        (lambda: P.join(df.table({"device": ["a", None]}), on="device"), "is null in row 2"),
        (lambda: P.join(df.table({"x": [1.5]}), on="x"), "a string or int64, got float64"),
        (
            lambda: P.join(df.table({"d": ["a"], "f": ["soon"]}), on="d", valid_from="f"),
            "f is 'soon' in row 1 of the reference table; write times like",
        ),
        (
            lambda: P.join(
                df.table({"d": ["a", "a"], "f": ["2024-01-01", "2024-02-01"], "t": ["2024-02-02", None]}),
                on="d", valid_from="f", valid_to="t",
            ),
            "rows 1 and 2 .* are both valid for d 'a'; end one first",
        ),
        (
            lambda: P.outside(df.table({"d": ["a"], "from": ["2024-02-01"], "to": ["2024-02-01"]}), on="d"),
            r"row 1 of the reference table \(d 'a'\) must end after it starts",
        ),
        (lambda: P.join(df.table({"d": ["a"], "f": ["2024"]}), "d", valid_from="f", valid_to="f"), "the same column"),
        (lambda: P.outside(SITES), r"the column by which rows find their periods in the table \(on=\)"),
        (lambda: P.during(SITES, on="device", valid_from=None, valid_to=None), "periods need a start or end"),
        (lambda: P.during(df.calendar({"mon": "09:00-10:00"}), on="device"), "on= and key= are for tables"),
    ],
)  # fmt: skip
def test_mistakes(make: Callable[[], object], message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        make()


def test_rows_in_order() -> None:
    table = df.table(
        {
            "d": ["b", "a", "a", "a"],
            "site": ["X", "Y", "Y", "Z"],
            "from": [None, "2024-01-02", "2024-01-01", "2024-01-03"],
        }
    )
    index = indexed(table, "d", "from", None, "join")
    assert index.keys == ("a", "b")
    assert index.values("site") == ["Y", "Z", "X"]  # two rows of Y that follow each other are one
    assert index.rows.offsets.tolist() == [0, 2, 3]
    assert [t // 86_400_000_000 for t in index.rows.starts.tolist()[:2]] == [19_723, 19_725]
    assert index.rows.ends.tolist()[0] == index.rows.starts.tolist()[1]


def test_periods_that_overlap_are_one() -> None:
    table = df.table({"d": [1, 1, 1, 1], "from": ["2024-01-01", "2024-01-01T12:00", "2024-01-03", "2024-01-05"],
                      "to": ["2024-01-02", "2024-01-03", "2024-01-04", None]})  # fmt: skip
    index = indexed(table, "d", "from", "to", "during", True)
    assert len(index.rows.starts) == 2
    assert (index.rows.ends[0] - index.rows.starts[0]) // 86_400_000_000 == 3
