"""key_by: the answer of a stream by another key is, to the bit, that of a store which was ingested so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dataflow as df
from runtime import Store
from runtime.errors import QueryError
from runtime.points import keyed_points

DAY = 86_400_000_000
BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
STATUS = df.col("status")


def metrics(points: df.Stream) -> dict[str, df.Stream]:
    return {
        "states": points.state_duration("status").group_by("order").agg(paid=df.duration(STATUS == "paid")),
        "transitions": points.transitions("status").group_by("from", "to").agg(n=df.count()),
        "rows": points.select("amount", "customer", before=df.col("amount").previous()),
        "windows": points.window("12h", x=df.sum("amount"), who=df.last("customer")),
        "numbers": points.group_by("order").agg(n=df.count(), x=df.sum("amount")),
    }


def columns(first: int, n: int) -> dict[str, Any]:
    rng = np.random.default_rng(first)
    # No two points of one order at one time: between customers a stream does not keep their order.
    time = np.sort(rng.choice(5 * DAY // 1000, n, replace=False)) * 1000
    order = [None if o == 0 or t < DAY // 4 else f"o{o}" for o, t in zip(rng.integers(0, 150, n), time, strict=True)]
    status = np.array(["new", "paid", "sent"])[rng.integers(0, 3, n)]
    return {"customer": rng.integers(0, 40, n), "order": order, "t": time, "status": status, "amount": rng.random(n)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(tmp_path_factory.mktemp("keyed") / "store", create=True) as store:
        for first in (0, 1):
            found = columns(first, 1_500)
            store.ingest("a", found, key="customer", time="t", unit="us", progress=False, compact=False)
            kept = [i for i, o in enumerate(found["order"]) if o is not None]
            keyed = {name: [values[i] for i in kept] for name, values in found.items()}
            store.ingest("b", keyed, key="order", time="t", unit="us", progress=False)
        yield store


@pytest.mark.parametrize("name", metrics(df.stream("a")))
@pytest.mark.parametrize("span", [(None, None), (29, None), (2, 50), (48, 48), (None, 70)])
def test_the_answer_is_that_of_a_store_with_this_key(store: Store, name: str, span: tuple[int | None, ...]) -> None:
    since, until = (None if h is None else BEGIN + timedelta(hours=h) for h in span)
    by_key = store.query(metrics(df.stream("a").key_by("order"))[name], since, until, progress=False)
    ingested = store.query(metrics(df.stream("b"))[name], since, until, progress=False)
    assert list(by_key.columns) == list(ingested.columns)
    assert by_key.proof.result == ingested.proof.result
    assert by_key.proof.complete


def test_it_does_not_depend_on_files(store: Store, tmp_path: Path) -> None:
    points = columns(0, 1_500)
    points["t"] = points["t"] // DAY * DAY  # many points of one order at one time
    split = Store(tmp_path / "split", create=True)
    for part in (slice(0, 700), slice(700, 1_500)):
        split.ingest("a", {n: v[part] for n, v in points.items()}, key="customer", time="t", unit="us", progress=False,
                     compact=False)  # fmt: skip
    whole = Store(tmp_path / "whole", create=True)
    whole.ingest("a", points, key="customer", time="t", unit="us", progress=False)
    rows = df.stream("a").key_by("order").select("amount", before=df.col("amount").previous())
    first = split.query(rows, progress=False).proof.result
    assert whole.query(rows, progress=False, workers=1).proof.result == first
    split.compact("a")
    assert split.query(rows, progress=False).proof.result == first


def test_the_proof_counts_rows_without_the_key(store: Store) -> None:
    found = store.query(
        df.stream("a").key_by("order").agg(n=df.count(), keys=df.count_distinct("order")), progress=False
    )
    assert found["n"] == [3_000 - found.proof.rows_without_key]
    assert found.proof.rows_without_key > 100
    assert (found.proof.rows_scanned, found.proof.stream) == (3_000, "a")
    assert any("rows without order were left out (key_by)" in note for note in found.notes)


def test_duplicates_are_resolved_under_the_streams_own_key(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    points = {"k": ["a", "a", "b"], "t": [1, 1, 1], "o": ["x", "y", "x"], "n": [1, 2, 3]}
    store.ingest("s", points, key="k", time="t", unit="s", duplicates="latest", progress=False)
    found = store.query(df.stream("s").key_by("o").group_by("o").agg(n=df.sum("n")), progress=False)
    assert list(found) == [("x", 3), ("y", 2)]


def test_payments_by_order_in_other_metrics(store: Store) -> None:
    by_order = df.stream("a").key_by("order").transitions("status").filter(df.col("to") == "sent")
    sent = by_order.group_by("order").agg(sent=df.count())
    joined = df.stream("a").join(sent, on="order").group_by("sent").agg(n=df.count())
    found = store.query(joined, progress=False)
    ingested = (
        df.stream("b").transitions("status").filter(df.col("to") == "sent").group_by("order").agg(sent=df.count())
    )
    assert list(found) == list(
        store.query(df.stream("a").join(ingested, on="order").group_by("sent").agg(n=df.count()))
    )
    assert found.proof.parts[0].proof.rows_without_key > 100
    often = df.stream("a").key_by("order").filter(df.count().over("order") > 25)
    assert store.query(often.agg(n=df.count_distinct("order")), progress=False)["n"][0] > 1  # type: ignore[operator]


@pytest.mark.parametrize("span", [(None, None), (29, None), (2, 50)])
def test_several_columns_are_one_key(store: Store, tmp_path: Path, span: tuple[int | None, ...]) -> None:
    """Beside a store that was ingested by a text of both; numbers and texts, the stream's own key among them."""
    since, until = (None if h is None else BEGIN + timedelta(hours=h) for h in span)
    other = Store(tmp_path / "pairs", create=True)
    for first in (0, 1):
        found = columns(first, 1_500)
        pairs = [
            None if order is None else json.dumps([int(customer), order])
            for customer, order in zip(found["customer"], found["order"], strict=True)
        ]
        kept = [i for i, pair in enumerate(pairs) if pair is not None]
        points = {name: [values[i] for i in kept] for name, values in (found | {"customer/order": pairs}).items()}
        other.ingest("a", points, key="customer/order", time="t", unit="us", progress=False)

    def asked(points: df.Stream) -> dict[str, df.Stream]:
        return {
            "rows": points.select("amount", "customer", "order", before=df.col("amount").previous()),
            "often": points.dedupe("status", within="12h").agg(n=df.count(), x=df.sum("amount")),
            "pairs": points.sessionize("1d").group_by("customer/order").agg(n=df.count(), most=df.max("count")),
        }

    for name, metric in asked(df.stream("a").key_by("customer", "order")).items():
        by_key = store.query(metric, since, until, progress=False)
        ingested = other.query(asked(df.stream("a"))[name], since, until, progress=False)
        assert list(by_key.columns) == list(ingested.columns)
        assert by_key.proof.result == ingested.proof.result
        assert len(by_key)
        assert by_key.proof.rows_without_key
        assert any("rows without customer/order were left out (key_by)" in note for note in by_key.notes)


def test_a_column_called_as_a_key_of_several_would_be(tmp_path: Path) -> None:
    store = Store(tmp_path / "named")
    store.ingest("s", {"k": ["a"], "t": [1], "u": ["b"], "k/u": ["c"]}, key="k", time="t", unit="s", progress=False)
    count = df.count()
    with pytest.raises(df.DataflowError, match=r"step 2 \(key_by\): .*'k/u', and the stream has one.*rename it"):
        store.query(df.stream("s").key_by("k", "u").group_by("k/u").agg(n=count), progress=False)
    assert list(store.query(df.stream("s").key_by("k/u").group_by("k/u").agg(n=count), progress=False)) == [("c", 1)]


def test_several_columns_written_and_read(store: Store) -> None:
    points = df.stream("a").key_by("customer", df.col("order"))
    assert repr(points) == 'df.stream("a").key_by("customer", "order")'
    assert json.loads(points.to_json())["steps"][1] == {"op": "key_by", "column": ["customer", "order"]}
    assert df.from_json(points.to_json()).to_json() == points.to_json()
    for wrong, message in (
        (["order"], "expected the name of a column, or a list of several"),
        (["order", "order"], "'order'"),
        (["order", 1], "expected a text"),
        (1, "expected a text"),
    ):
        graph = {"antfold": 1, "steps": [{"op": "stream", "name": "a"}, {"op": "key_by", "column": wrong}]}
        with pytest.raises(df.DataflowError, match=message):
            df.from_json(json.dumps(graph))
    with pytest.raises(df.DataflowError, match="each column once"):
        df.stream("a").key_by("order", "order")
    with pytest.raises(df.DataflowError, match="key_by takes names of columns, got 3"):
        df.stream("a").key_by("order", 3)  # type: ignore[arg-type]
    with pytest.raises(df.DataflowError, match=r"write key_by\('customer', 'order'\)"):
        df.stream("a").key_by(["customer", "order"])  # type: ignore[arg-type]
    for name, error in (("amount", "a key is text or an integer"), ("ordr", r"no column 'ordr'; did you mean 'order'")):
        with pytest.raises(df.DataflowError, match=rf"step 2 \(key_by\): .*{error}"):
            store.query(df.stream("a").key_by("customer", name), progress=False)


def test_where_it_cannot_be(store: Store) -> None:
    points = df.stream("a").key_by("order")
    assert repr(df.from_json(points.to_json())) == repr(points) == 'df.stream("a").key_by("order")'
    with pytest.raises(df.DataflowError, match=r"key_by comes directly after df\.stream"):
        df.stream("a").filter(STATUS == "x").key_by("order")
    for name, error in (("customer", "is the stream's key already"), ("amount", "a key is text or an integer"),
                        ("ordr", r"no column 'ordr'; did you mean 'order'")):  # fmt: skip
        with pytest.raises(df.DataflowError, match=rf"step 2 \(key_by\): .*{error}"):
            store.query(df.stream("a").key_by(name), progress=False)
    for several in (
        lambda: df.union(df.stream("a"), df.stream("a")).key_by("order"),
        lambda: df.stream("a").join_asof(df.stream("b")).key_by("order"),
        lambda: df.union(df.stream("a"), points),
        lambda: df.stream("a").join_asof(points),
        lambda: points.state_duration("status") & df.stream("a").state_duration("status"),
    ):
        with pytest.raises(df.DataflowError, match=r"no other stream may join them; ingest the streams by that key"):
            several()
    both = json.loads(df.union(df.stream("a"), df.stream("a")).to_json())["steps"]
    steps = [*both, {"op": "key_by", "column": "order"}]
    written = df.from_json(json.dumps({"antfold": 1, "steps": steps}))
    with pytest.raises(df.DataflowError, match=r"step 2 \(key_by\): .* no other stream may join them"):
        store.query(written, progress=False)
    with pytest.raises(df.DataflowError, match=r"a key is a column as it was ingested, not computed"):
        df.stream("a").key_by(df.concat(STATUS, "x"))
    with pytest.raises(df.DataflowError, match=r"step 3 \(filter\)"):
        store.query(points.filter(df.col("nobody") > 1), progress=False)
    with ThreadPoolExecutor(1) as pool, pytest.raises(QueryError, match=r"key_by\('order'\) sorts points in a folder"):
        store.query(points, executor=pool, progress=False)
    with pytest.raises(QueryError, match="explain: the rows are by another key than the stream's"):
        store.query(points.agg(n=df.count()), progress=False).explain(0)
    assert "key_by: first the points are written once more" in points.explain(store)


def test_it_can_be_published(store: Store) -> None:
    store.publish(metrics(df.stream("a").key_by("order"))["states"], "by_order")
    named = store.query("by_order", progress=False)
    assert named.proof.result == store.query(metrics(df.stream("b"))["states"], progress=False).proof.result


def test_nothing_is_left_behind(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store.query(df.stream("a").key_by("order").agg(n=df.count()), progress=False)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(keyed_points, "make_tasks", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.query(df.stream("a").key_by("order").agg(n=df.count()), progress=False)
    assert list(tmp_path.iterdir()) == []
