"""Declared types and words for missing, in tables and CSV, for values that are not of their column's type."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from tests.runtime.ingest.lake import Lake


def mixed(values: list[Any]) -> pd.DataFrame:
    """A frame with a column of Python values."""
    return pd.DataFrame({"k": "a", "t": range(len(values)), "v": pd.Series(values, dtype=object)})


def values(lake: Lake) -> list[dict[str, Any]]:
    return [{n: v for n, v in row.items() if n not in "kt"} for row in lake.rows()]


def test_a_declared_type_reads_values_of_all_types(lake: Lake) -> None:
    lake.ingest(mixed([1, "x", True, [3], 4]), type="v=string")
    assert values(lake) == [{"v": v} for v in ("1", "x", "true", "[3]", "4")]


def test_decimals_times_and_durations_as_declared_text(lake: Lake) -> None:
    table = pa.table(
        {
            "k": ["a", "b"], "t": [1, 2], "d": [Decimal("1.50"), None], "l": [timedelta(seconds=90), None],
            "v": [datetime(2024, 3, 1), None],
        }
    )  # fmt: skip
    lake.ingest(table, type="d=string,l=string,v=string")
    assert values(lake) == [{"d": "1.50", "l": "PT90S", "v": "2024-03-01T00:00:00"}, {}]


def test_an_example_is_as_it_would_be_written(lake: Lake) -> None:
    lake.ingest({"k": ["a"], "t": [1], "v": [1]})
    report = lake.ingest({"k": ["a"], "t": [1], "v": [datetime(2024, 3, 1)]})
    assert report.sources[0].columns["v"].examples == {"time": ("2024-03-01T00:00:00Z", 1)}


def test_words_for_missing_leave_values_of_other_types(lake: Lake) -> None:
    report = lake.ingest(mixed([1, "x", "?", 2, True]), null="?")
    assert values(lake) == [{"v": 1}, {"v#string": "x"}, {}, {"v": 2}, {"v#bool": True}]
    assert report.sources[0].columns["v"].nulls == {"--null": 1}
    assert report.sources[0].columns["v"].examples["string"] == ("x", 2)


def test_nan_is_counted_with_words_for_missing(lake: Lake) -> None:
    table = pd.DataFrame({"k": "a", "t": range(3), "v": pd.array([1.5, float("nan"), float("inf")])})
    report = lake.ingest({n: table[n].to_numpy() for n in table}, null="?")
    assert report.sources[0].columns["v"].nulls == {"NaN": 1, "infinity": 1}


@pytest.mark.parametrize("options", [{}, {"time_format": "%Y%m%d"}])
def test_digits_are_a_declared_time(lake: Lake, options: dict[str, Any]) -> None:
    lake.text("k,t,v\na,20240301,20240302\n", type="v=time", **({"unit": None} | options))
    assert values(lake) == [{"v": 1_709_337_600_000_000}]
