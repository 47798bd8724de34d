"""An empty text is a missing key in every format: rejected with its reason, or replaced."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.runtime.ingest.lake import Lake, T

KEYS = ["a", "", "b", "", "a"]
REASON = "key: column k is empty"
COLUMNS: dict[str, list[Any]] = {"k": KEYS, "t": [T + i for i in range(5)], "v": list(range(5))}


def json_lines() -> object:
    rows = zip(*COLUMNS.values(), strict=True)
    return io.BytesIO("".join(f'{{"k":"{k}","t":{t},"v":{v}}}\n' for k, t, v in rows).encode())


def nested_json() -> object:
    rows = zip(*COLUMNS.values(), strict=True)
    return io.BytesIO(("[" + ",".join(f'{{"k" : "{k}", "t" : {t}, "v":{v}}}' for k, t, v in rows) + "]").encode())


def json_read_slowly() -> object:
    """Names with escapes are read by the strict reader."""
    rows = zip(*COLUMNS.values(), strict=True)
    return io.BytesIO("".join(f'{{"\\u006b":"{k}","t":{t},"v":{v}}}\n' for k, t, v in rows).encode())


def csv() -> object:
    rows = zip(*COLUMNS.values(), strict=True)
    return io.BytesIO(("k,t,v\n" + "".join(f"{k},{t},{v}\n" for k, t, v in rows)).encode())


def quoted_csv() -> object:
    rows = zip(*COLUMNS.values(), strict=True)
    return io.BytesIO(("k,t,v\n" + "".join(f'"{k}",{t},{v}\n' for k, t, v in rows)).encode())


def lists() -> object:
    return dict(COLUMNS)


def arrays() -> object:
    return {name: np.array(values) for name, values in COLUMNS.items()}


def arrow() -> object:
    return pytest.importorskip("pyarrow").table(COLUMNS)


def arrow_dictionary() -> object:
    table = arrow()
    return table.set_column(0, "k", table["k"].combine_chunks().dictionary_encode())  # type: ignore[attr-defined, index]


def parquet() -> object:
    out = io.BytesIO()
    pytest.importorskip("pyarrow.parquet").write_table(arrow(), out)
    return io.BytesIO(out.getvalue())


def pandas() -> object:
    return pytest.importorskip("pandas").DataFrame(COLUMNS)


def polars() -> object:
    return pytest.importorskip("polars").DataFrame(COLUMNS)


FORMS = [
    json_lines, nested_json, json_read_slowly, csv, quoted_csv, lists, arrays, arrow, arrow_dictionary, parquet, pandas,
    polars,
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_it_is_rejected(lake: Lake, form: Callable[[], object]) -> None:
    report = lake.ingest(form())
    assert (report.committed, report.rejected, dict(report.reasons)) == (3, 2, {REASON: 2})
    assert [(row["k"], row["v"]) for row in lake.rows()] == [("a", 0), ("a", 4), ("b", 2)]


@pytest.mark.parametrize("form", FORMS)
def test_it_has_the_stand_in(lake: Lake, form: Callable[[], object]) -> None:
    report = lake.ingest(form(), missing_key="nobody")
    assert (report.committed, report.rejected) == (5, 0)
    assert [row["k"] for row in lake.rows()] == ["a", "a", "b", "nobody", "nobody"]


@pytest.mark.parametrize("form", FORMS)
def test_it_settles_no_type(lake: Lake, form: Callable[[], object]) -> None:
    """Where keys are integers, an empty one is missing, too; text is of the wrong type."""
    before = COLUMNS["k"]
    try:
        COLUMNS["k"] = ["", "", "", "", ""]
        lake.records([{"k": 7, "t": T}])
        with pytest.raises(Exception, match=r"all 5 records were rejected.*key: column k is empty"):
            lake.ingest(form())
    finally:
        COLUMNS["k"] = before


def test_a_missing_one_and_an_empty_one_are_told_apart(lake: Lake) -> None:
    lake.records([{"k": "a", "t": T}, {"k": "", "t": T}, {"k": None, "t": T}, {"t": T}, {"k": " ", "t": T}])
    report = lake.records([{"k": "", "t": T}, {"k": None, "t": T}, {"t": T}, {"k": "b", "t": T}])
    assert dict(report.reasons) == {REASON: 1, "key: column k is missing or null": 2}
    assert [row["k"] for row in lake.rows()] == [" ", "a", "b"]


def test_an_empty_value_stays(lake: Lake) -> None:
    """Only of a key: in a text column of JSON and tables an empty text is a value."""
    lake.records([{"k": "a", "t": T, "v": ""}, {"k": "b", "t": T, "v": "text"}])
    lake.ingest({"k": ["c"], "t": [T], "v": [""]})
    assert [row.get("v") for row in lake.rows()] == ["", "text", ""]


def test_where_nothing_but_empty_values_is_there_is_no_column_yet(lake: Lake) -> None:
    report = lake.records([{"k": "a", "t": T, "v": ""}, {"k": "b", "t": T, "v": ""}])
    assert report.sources[0].columns["v"].nulls == {"": 2}
    assert lake.columns() == {}
    lake.records([{"k": "c", "t": T, "v": 5}])
    assert [row.get("v") for row in lake.rows()] == [None, None, 5]
