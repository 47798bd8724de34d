"""What people ask of several streams at once, with values worked out by hand."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Store

SECOND, MINUTE, HOUR = 1_000_000, 60_000_000, 3_600_000_000
START = 1_709_251_200 * SECOND
"""2024-03-01 00:00 UTC."""


def ingest(store: Store, stream: str, rows: list[tuple[Any, ...]], *columns: str) -> None:
    """Rows of key, time since ``START`` and values."""
    named: dict[str, list[Any]] = {name: [row[i + 2] for row in rows] for i, name in enumerate(columns)}
    named |= {"key": [row[0] for row in rows], "t": [START + row[1] for row in rows]}
    store.ingest(stream, named, key="key", time="t", unit="us", progress=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def test_the_price_in_force_at_each_trade(store: Store) -> None:
    ingest(store, "quotes", [("k", 0, 10), ("k", 4 * SECOND, 11)], "price")
    times = [3 * SECOND, 4 * SECOND, 9 * SECOND, 9 * SECOND + 1]
    ingest(store, "trades", [("k", t, 1) for t in times], "n")
    metric = df.stream("trades").join_asof(df.stream("quotes"), tolerance="5s")
    assert store.query(metric, progress=False)["price"] == [10, 11, 11, None]


def test_the_price_in_force_before_the_range(store: Store) -> None:
    ingest(store, "quotes", [("k", 0, 10), ("k", 4 * SECOND, 11)], "price")
    ingest(store, "trades", [("k", 3 * SECOND, 1), ("k", 9 * SECOND, 1)], "n")
    metric = df.stream("trades").join_asof(df.stream("quotes"))
    assert store.query(metric, since=START + 9 * SECOND, progress=False)["price"] == [11]


def test_of_equal_times_the_last_by_commit_as_it_is(store: Store) -> None:
    ingest(store, "quotes", [("k", 0, 10, 1), ("k", SECOND, 11, 1)], "price", "size")
    ingest(store, "quotes", [("k", SECOND, None, 2)], "price", "size")
    ingest(store, "trades", [("k", SECOND, 1)], "n")
    joined = df.stream("trades").join_asof(df.stream("quotes"))
    reports = df.stream("trades").join_asof(df.stream("quotes").held("price"))
    assert (store.query(joined, progress=False)["price"], store.query(joined, progress=False)["size"]) == ([None], [2])
    assert store.query(reports, progress=False)["price"] == [11]


def test_the_price_in_force_of_an_item_of_the_order(store: Store) -> None:
    """Prices are a stream by item, orders by customer: the price of the item when it was ordered."""
    prices = [("pen", 0, 10), ("ink", 0, 7), ("pen", 4 * HOUR, 11), ("ink", 6 * HOUR, None), ("ink", 8 * HOUR, 8)]
    ingest(store, "prices", prices, "price")
    orders = [("x", HOUR, "pen", 2), ("y", 4 * HOUR, "pen", 1), ("x", 7 * HOUR, "ink", 1), ("z", 5 * HOUR, None, 1),
              ("z", 9 * HOUR, "ink", 3), ("z", 9 * HOUR, "cap", 3)]  # fmt: skip
    ingest(store, "orders", orders, "item", "n")
    of = df.stream("prices").state_duration("price")
    joined = df.stream("orders").join(of, on="item", key="key", valid_from="start", valid_to="end")
    found = store.query(joined, progress=False)
    rows = zip(*(found[name] for name in ("key", "item", "n", "price")), strict=True)
    assert sorted(rows, key=str) == [
        ("x", "ink", 1, 7),
        ("x", "pen", 2, 10),
        ("y", "pen", 1, 11),
        ("z", "cap", 3, None),
        ("z", "ink", 3, 8),
        ("z", None, 1, None),
    ]
    late = store.query(joined.agg(paid=df.sum(df.col("n") * df.col("price"))), since=START + 5 * HOUR, progress=False)
    assert list(late) == [(7 + 24,)]  # a price from before the range is in force


def test_the_state_of_a_machine_at_each_reading(store: Store) -> None:
    """Sensors and machines are streams with keys of their own; intervals of the sensors are cut where it changes."""
    ingest(
        store, "machines", [("m1", 0, "off"), ("m1", 2 * HOUR, "on"), ("m2", 0, "on"), ("m2", 3 * HOUR, "off")], "mode"
    )
    readings = [
        ("s1", 0, "m1", 1.0),
        ("s1", 2 * HOUR, "m1", 5.0),
        ("s2", 3 * HOUR, "m2", 3.0),
        ("s1", 4 * HOUR, "m1", 5.0),
    ]
    ingest(store, "sensors", readings, "machine", "x")
    modes = df.stream("machines").state_duration("mode")
    options = {"on": "machine", "key": "key", "valid_from": "start", "valid_to": "end"}
    by_mode = df.stream("sensors").join(modes, **options).group_by("mode").agg(n=df.count(), most=df.max("x"))
    assert list(store.query(by_mode, progress=False)) == [("off", 2, 3.0), ("on", 2, 5.0)]
    time = df.stream("sensors").state_duration("x").join(modes, **options).group_by("mode").agg(t=df.duration())
    # s1 from 0 to 4 h, s2 from 3 h to the last point of all; one microsecond of the last points belongs to the range.
    assert list(store.query(time, progress=False)) == [("off", 2 * HOUR + HOUR + 1), ("on", 2 * HOUR + 1)]


def test_periods_bring_columns_of_every_type(store: Store) -> None:
    ingest(store, "work", [("m", 0, 1, "x"), ("m", 3 * HOUR, 4, "y")], "n", "job")
    ingest(store, "orders", [("o", 4 * HOUR, "m"), ("o", -HOUR, "m")], "machine")
    n, time = df.col("n"), df.time()
    spans = (
        df.stream("work")
        .group_by("key")
        .agg(first=df.min(time), last=df.max(time), n=df.max(n), mean=df.mean(n), high=df.any_true(n > 3))
    )
    spans = spans.with_columns(span=df.col("last") - df.col("first"), exact=n.decimal(2))
    joined = df.stream("orders").join(spans, on="machine", key="key", valid_from="first", how="inner")
    names = ("last", "n", "mean", "high", "span", "exact")
    found = store.query(joined.select(*names), progress=False)
    (row,) = zip(*(found[name] for name in names), strict=True)
    assert row == (START + 3 * HOUR, 4, 2.5, True, 3 * HOUR, Decimal("4.00"))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda of: {"valid_from": "price", "valid_to": "end"}, "'price' of the answer is int64; .* are times"),
        (lambda of: {"valid_from": "begin"}, "the answer has no column 'begin'"),
        (lambda of: {"valid_from": "start", "key": "item"}, "the answer has no column 'item'"),
        (lambda of: {"valid_to": "end"}, "rows 1 and 2 of the reference table are both valid for key 'pen'"),
    ],
)
def test_periods_that_are_none(store: Store, make: Any, error: str) -> None:
    ingest(store, "prices", [("pen", 0, 10), ("pen", HOUR, 11)], "price")
    ingest(store, "orders", [("x", HOUR, "pen")], "item")
    of = df.stream("prices").state_duration("price")
    joined = df.stream("orders").join(of, on="item", **{"key": "key", **make(of)})
    with pytest.raises(df.DataflowError, match=error):
        store.query(joined, progress=False)


def test_refunds_against_payments_by_day(store: Store) -> None:
    ingest(store, "payments", [("x", 0, 100), ("x", 25 * HOUR, 40), ("y", HOUR, 60)], "amount")
    ingest(store, "refunds", [("x", 26 * HOUR, 30)], "amount")
    both = df.union(df.stream("payments"), df.stream("refunds").with_columns(amount=0 - df.col("amount")))
    days = both.group_by(day=df.time().truncate("1d")).agg(net=df.sum("amount"), rows=df.count())
    balance = both.with_columns(balance=df.col("amount").cumulative_sum()).filter(df.col("key") == "x")
    assert store.query(days, progress=False)["net"] == [160, 10]
    assert store.query(balance, progress=False)["balance"] == [100, 140, 110]


def test_machine_up_and_order_at_hand(store: Store) -> None:
    """Up from 0 to 30 min of the hour, an order from 20 min on: 10 min in which both hold."""
    ingest(store, "status", [("m", 0, "up"), ("m", 30 * MINUTE, "down")], "status")
    ingest(store, "orders", [("m", 0, False), ("m", 20 * MINUTE, True)], "open")
    up = df.stream("status").state_duration(df.col("status") == "up")
    busy = df.stream("orders").state_duration("open")
    metric = (up & busy).agg(time=df.duration(df.col("state")), share=df.share_of_time(df.col("state")))
    result = store.query(metric, until=START + HOUR, progress=False)
    assert (result["time"], result["share"]) == ([10 * MINUTE], [10 / 60])


def test_two_of_three_sensors_of_a_room(store: Store) -> None:
    """a from 0, b from 10, c from 15 min, each for 10 min: two at once from 15 to 20 (b and c), as a ends at 10."""
    for name, begin in (("a", 0), ("b", 10), ("c", 15)):
        ingest(store, name, [("room", begin * MINUTE, 1)], "n")
    metric = df.at_least(2, of=[df.stream(name).heartbeat("10m") for name in "abc"])
    result = store.query(metric.filter(df.col("state")), until=START + HOUR, progress=False)
    assert list(zip(result["start"], result["end"], strict=True)) == [(START + 15 * MINUTE, START + 20 * MINUTE)]
