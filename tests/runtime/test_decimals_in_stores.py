"""A stored decimal in all that a store does: it is shown, exported, explained, published, verified and recovered."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import dataflow as df
from operators.types import DECIMALS
from runtime import Store

T = 1_709_251_200_000_000  # 2024-03-01
AMOUNTS = ["12.30", "-0.05", None, "1000000.00"]


def table(amounts: list[str | None], first: int = 0, places: int = 2, **more: Any) -> pa.Table:
    values = pa.array([None if a is None else Decimal(a) for a in amounts], pa.decimal128(18, places))
    times = pa.array([T + (first + i) * 1_000_000 for i in range(len(amounts))], pa.timestamp("us", "UTC"))
    return pa.table({"k": ["ab"[(first + i) % 2] for i in range(len(amounts))], "t": times, "amount": values, **more})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store", create=True)
    made.ingest("s", table(AMOUNTS), key="k", time="t", progress=False)
    return made


def total(store: Store) -> list[Any]:
    return list(store.query(df.stream("s").agg(n=df.count("amount"), total=df.sum("amount")), progress=False))


def test_it_is_a_column_of_the_stream(store: Store) -> None:
    (stream,) = store.streams()
    assert stream.schema.columns == {"amount": DECIMALS[2]}
    assert total(store) == [(3, Decimal("1000012.25"))]


def test_it_is_shown_with_its_places(store: Store) -> None:
    rows = store.query(df.stream("s").select("amount"), progress=False)
    assert rows["amount"] == [Decimal("12.30"), None, Decimal("-0.05"), Decimal("1000000.00")]
    text = rows.to_text()
    assert all(shown in text for shown in ("12.30", "-0.05", "1000000.00"))
    assert "12.30" in json.dumps(rows.to_dict(), default=str)
    assert ",12.30," in str(rows.to_csv())
    assert rows.to_arrow().column("amount").type == pa.decimal128(19, 2)
    assert rows.to_polars()["amount"].to_list() == rows["amount"]
    assert rows.to_pandas()["amount"].tolist() == rows["amount"]


def test_an_exported_answer_comes_back(store: Store, tmp_path: Path) -> None:
    rows = store.query(df.stream("s"), progress=False)
    other = Store(tmp_path / "other", create=True)
    for given in (rows.to_arrow(), rows.to_polars(), rows.to_pandas()):
        other.ingest("s", given, key="k", time="t", progress=False)
        assert other.query(df.stream("s"), progress=False)["amount"] == rows["amount"]
        assert other.streams()[0].schema.columns == {"amount": DECIMALS[2]}
        assert total(other) == total(store)


def test_the_rows_behind_a_sum(store: Store) -> None:
    sums = store.query(df.stream("s").group_by("amount").agg(n=df.count()), progress=False)
    why = sums.explain({"amount": "12.30"})
    assert why.rows["amount"] == [Decimal("12.30")]
    assert sums.explain({"amount": None}).total == 1


def test_verify_and_recover(store: Store, tmp_path: Path) -> None:
    store.ingest("s", table(["0.01", "7.00"], 10), key="k", time="t", progress=False)
    assert store.verify().ok
    before = total(store)
    folder = tmp_path / "store"
    for path in folder.glob("catalogue.sqlite*"):
        path.unlink()
    Store(folder).recover()
    again = Store(folder)
    assert total(again) == before
    assert again.streams()[0].schema.columns == {"amount": DECIMALS[2]}


def test_a_published_query_goes_on(store: Store) -> None:
    metric = df.stream("s").group_by("k").agg(total=df.sum("amount"), most=df.max("amount"), mean=df.mean("amount"))
    store.publish(metric, "totals")
    for first in (20, 30):
        assert list(store.query("totals", progress=False)) == list(store.query(metric, progress=False))
        store.ingest("s", table(["0.10", "0.20"], first), key="k", time="t", progress=False)


@pytest.mark.parametrize("policy", ["exact", "latest", "keep"])
def test_duplicates(tmp_path: Path, policy: str) -> None:
    store = Store(tmp_path / "store", create=True)
    options = {"key": "k", "time": "t", "duplicates": policy, "progress": False}
    store.ingest("s", table(["1.10", "2.20"], n=pa.array([1, 2])), **options)
    store.ingest("s", table(["1.10", "3.30"], n=pa.array([1, 5])), **options)
    expected = {"exact": "6.60", "latest": "4.40", "keep": "7.70"}[policy]
    assert total(store)[0][1] == Decimal(expected)


def test_an_id_may_be_a_decimal(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    for _ in range(2):
        for amounts in (["1.10", "2.20"], ["1.10", "9.90"]):
            store.ingest("s", table(amounts), key="k", time="t", id="amount", progress=False)
    assert total(store) == [(3, Decimal("13.20"))]


def test_other_places_are_not_another_type(store: Store) -> None:
    store.ingest("s", table(["0.5", "1.5"], 40, places=1), key="k", time="t", progress=False)
    store.ingest("s", table(["0.500", "1.555"], 50, places=3), key="k", time="t", progress=False)
    assert total(store) == [(6, Decimal("1000014.75"))]
    (left,) = store.query(
        df.stream("s").filter(df.col("amount#string").is_not_null()).select("k", x=df.col("amount#string")),
        progress=False,
    )["x"]
    assert left == "1.555"
    store.ingest("s", {"k": ["a"], "t": [T], "amount": [True]}, key="k", time="t", unit="us", progress=False)
    assert total(store) == [(6, Decimal("1000014.75"))]
    assert store.query(df.stream("s").agg(n=df.count(where=df.col("amount#bool"))), progress=False)["n"] == [1]
