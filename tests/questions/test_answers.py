"""Answers beside answers, and beside rows: OEE, shares of orders, distances from a mean, rows of keys that ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Store

MINUTE = 60_000_000
START = 1_709_251_200_000_000
"""2024-03-01T00:00Z."""


def ask(store: Store, metric: df.Stream, **options: Any) -> list[tuple[object, ...]]:
    return list(store.query(metric, progress=False, **options))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def ingest(store: Store, stream: str, key: str, minutes: list[int], **columns: list[Any]) -> None:
    at = [START + m * MINUTE for m in minutes]
    store.ingest(stream, {"at": at, **columns}, key=key, time="at", unit="us", progress=False)


def test_oee_is_availability_times_pieces(store: Store) -> None:
    # Up for 45 of 60 minutes; the counter rises by 90; nominal are 2 pieces a minute of the hour.
    ingest(store, "status", "device", [0, 45, 60], device=["a"] * 3, status=["up", "down", "down"])
    ingest(store, "pieces", "device", [0, 20, 50], device=["a"] * 3, counter=[100, 150, 190])
    ingest(store, "pieces", "device", [0, 30], device=["b"] * 2, counter=[0, 30])
    up = df.col("status") == "up"
    availability = df.stream("status").state_duration("status").group_by("device").agg(up=df.share_of_time(up))
    pieces = df.stream("pieces").group_by("device").agg(pieces=df.increase("counter"))
    oee = df.join(availability, pieces, on="device").with_columns(oee=df.col("up") * df.col("pieces") / 120)
    found = ask(store, oee, since=START, until=START + 60 * MINUTE)
    assert found == [("a", 0.75, 90, 0.75 * 90 / 120), ("b", None, 30, None)]
    assert ask(store, oee.sort("pieces").limit(1), since=START, until=START + 60 * MINUTE) == [found[1]]


def test_share_of_each_payment_in_its_customers_total(store: Store) -> None:
    ingest(store, "pay", "customer", [0, 1, 2], customer=["x", "y", "x"], amount=[60, 30, 20])
    totals = df.stream("pay").group_by("customer").agg(total=df.sum("amount"))
    shares = df.stream("pay").join(totals, on="customer").select(share=df.col("amount") / df.col("total"))
    assert store.query(shares, progress=False)["share"] == [0.75, 0.25, 1.0]


def test_distance_from_the_devices_own_mean(store: Store) -> None:
    ingest(store, "t", "device", [0, 1, 2, 0], device=["a", "a", "a", "b"], x=[10, 12, 14, 7])
    mean, deviation = df.mean("x").over("device"), df.stddev("x").over("device")
    z = df.stream("t").select(z=(df.col("x") - mean) / deviation)
    assert [row[:2] for row in ask(store, z)] == [("a", -1.0), ("a", 0.0), ("a", 1.0), ("b", None)]


def test_events_of_users_who_ever_bought(store: Store) -> None:
    ingest(store, "e", "user", [0, 1, 2, 3], user=["u", "v", "u", "v"], event=["view", "view", "buy", "cart"])
    bought = df.any_true(df.col("event") == "buy").over("user")
    events = df.stream("e").filter(bought).select("event")
    assert [row[:2] for row in ask(store, events)] == [("u", "view"), ("u", "buy")]
    # Within the query's range: before the purchase nobody has bought.
    assert ask(store, events, until=START + 2 * MINUTE) == []
