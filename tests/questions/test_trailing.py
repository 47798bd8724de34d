"""Windows up to each row, and the user's own running functions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from operators import scans
from runtime import Store

P = df.stream("s")
START = datetime(2024, 3, 1, tzinfo=UTC)

Ask = Callable[..., list[tuple[object, ...]]]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """A function that gives the rows of a metric over points (key, minute, value), without key and time."""

    def asked(points: list[tuple[str, float, Any]], metric: df.Stream) -> list[tuple[object, ...]]:
        store = Store(tmp_path / "store")
        times = [START + timedelta(minutes=m) for _, m, _ in points]
        columns = {"k": [k for k, _, _ in points], "t": times, "x": [x for _, _, x in points]}
        store.ingest("s", columns, key="k", time="t", progress=False)
        assert repr(df.from_json(metric.to_json())) == repr(metric)
        return list(store.query(metric))

    return asked


def test_mean_of_the_last_30_minutes_at_each_reading(ask: Ask) -> None:
    points = [("a", 0, 20.0), ("a", 10, 22.0), ("a", 30, 26.0), ("a", 60, 20.0)]
    rows = ask(points, P.select(mean=df.mean("x").trailing("30m")))
    assert [mean for _, mean, _ in rows] == [20.0, 21.0, 24.0, 20.0]


def test_more_than_1000_in_the_hour_up_to_each_payment(ask: Ask) -> None:
    points = [("k", 0, 600), ("k", 30, 300), ("k", 59, 200), ("k", 61, 100)]
    paid = df.sum("x").trailing("1h")
    rows = ask(points, P.filter(paid > 1000).with_columns(paid=paid.last()).select("x", minute=df.time() - START))
    # At 61 the 600 is out.
    assert [row[1:3] for row in rows] == [(200, 59 * 60_000_000)]


def test_payments_at_one_time_count_together(ask: Ask) -> None:
    points = [("k", 0, 600), ("k", 0, 500), ("k", 60, 1), ("j", 0, 5)]
    rows = ask(points, P.select(paid=df.sum("x").trailing("1h"), two=df.sum("x").trailing(rows=2)))
    # All rows of a time are in its windows, also later ones; a number of rows goes by their order.
    assert [row[:3] for row in rows] == [("j", 5, 5), ("k", 1100, 600), ("k", 1100, 1100), ("k", 1, 501)]


def test_largest_drawdown(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "_known", {})

    def step(peak, most, price):  # type: ignore[no-untyped-def]
        peak = max(peak, price)
        most = max(most, 1 - price / peak)
        return peak, most, most

    drawdown = df.scan("drawdown", step, init=(0.0, 0.0))
    prices = [("p", m, x) for m, x in enumerate([10.0, 12.0, 9.0, 11.0, 6.0, 8.0])]
    assert ask(prices, P.agg(drawdown=df.max(drawdown("x")))) == [(0.5,)]


def test_calls_of_a_key_within_a_minute(ask: Ask) -> None:
    """A limit of two a minute: which calls are over it."""
    points = [("k", m, 1) for m in (0, 0.5, 0.75, 1.5, 2.5)]
    rows = ask(points, P.filter(df.count().trailing("1m") > 2).select(minute=(df.time() - START) / "1m"))
    assert [row[1] for row in rows] == [0.75]


def test_orders_of_the_30_days_after_each_touch(tmp_path: Path) -> None:
    """An order counts for every touch that it follows soon enough, whichever came first in the stream."""
    store = Store(tmp_path / "store")
    day = [START + timedelta(days=d) for d in range(60)]
    touches = {
        "user": ["a", "a", "b", "a"],
        "ts": [day[0], day[10], day[3], day[50]],
        "channel": ["ad", "mail", "ad", "ad"],
    }
    orders = {"user": ["a", "a", "a", "b"], "ts": [day[0], day[12], day[30], day[33]], "amount": [1, 20, 300, 4000]}
    store.ingest("touches", touches, key="user", time="ts", progress=False)
    store.ingest("orders", orders, key="user", time="ts", progress=False)
    of = df.union(df.stream("touches"), df.stream("orders")).with_columns(
        n=df.count("amount").leading("30d"),
        revenue=df.sum("amount").leading("30d"),
        after=df.first(df.time(), where=df.col("amount") > 1).leading("30d") - df.time(),
        two=df.sum("amount").leading(rows=2),
    )
    touch = of.filter(df.col("channel").is_not_null())
    rows = store.query(touch.select("n", "revenue", "after", "two"), until=day[59])
    one = 86_400_000_000
    # Those of one time are in one another's windows; day 30 is not in [0, 30), nor day 33 in [3, 33).
    assert [row[1:5] for row in rows] == [
        (2, 21, 12 * one, 1),
        (2, 320, 2 * one, 20),
        (0, None, None, None),
        (0, None, None, 4000),
    ]
    by_channel = touch.group_by("channel").agg(revenue=df.sum("revenue"))
    assert list(store.query(by_channel, until=day[59])) == [("ad", 21), ("mail", 320)]
    # What comes after the range is seen, too.
    assert list(store.query(by_channel, until=day[11])) == [("ad", 21), ("mail", 320)]
