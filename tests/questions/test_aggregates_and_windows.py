"""The row with the greatest value, trends, straight lines between points, and windows across keys."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Result, Store

BASE = 1_709_251_200_000_000
"""2024-03-01T00:00Z."""

SECOND, MINUTE, HOUR = 1_000_000, 60_000_000, 3_600_000_000

P = df.stream("s")
DOWN = P.state_duration("status").filter(df.col("status") == "down")


def stored(folder: Path, rows: list[dict[str, Any]]) -> Store:
    """A store of these rows; ``t`` is their time after BASE."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns: dict[str, Any] = {name: [row.get(name) for row in rows] for name in names if name != "t"}
    store = Store(folder / "store", create=True)
    times = [BASE + row["t"] for row in rows]
    store.ingest("s", {**columns, "t": times}, key="k", time="t", unit="us", progress=False)
    return store


def by_minute(**keys: dict[int, Any]) -> list[dict[str, Any]]:
    """Rows of a column ``v``: by key, minutes and values."""
    return [{"k": key, "t": minute * MINUTE, "v": v} for key, values in keys.items() for minute, v in values.items()]


def asked(store: Store, metric: df.Stream, **options: Any) -> Result:
    """The answer, which is also that of the metric from its JSON, and of the one that its text builds."""
    assert repr(df.from_json(metric.to_json())) == repr(metric)
    assert eval(repr(metric), {"df": df, "datetime": datetime, "UTC": UTC}).to_json() == metric.to_json()
    return store.query(metric, progress=False, **options)


@pytest.fixture
def outages(tmp_path: Path) -> Store:
    states = {
        "a": {0: "up", 10: "down", 12: "up", 20: "down", 27: "up"},
        "b": {0: "up", 40: "down", 60: "up"},
    }
    rows = by_minute(**states)
    return stored(tmp_path, [{"k": r["k"], "t": r["t"], "status": r["v"], "site": "s"} for r in rows])


def test_when_did_the_longest_outage_of_each_device_begin(outages: Store) -> None:
    longest = DOWN.group_by("k").agg(begin=df.max_by("start", by="duration"), lasted=df.max("duration"))
    assert list(asked(outages, longest)) == [
        ("a", BASE + 20 * MINUTE, 7 * MINUTE),
        ("b", BASE + 40 * MINUTE, 20 * MINUTE),
    ]


def test_which_device_was_down_the_longest_and_which_the_shortest(outages: Store) -> None:
    total = DOWN.group_by("site", "k").agg(down=df.sum("duration")).group_by("site")
    found = asked(outages, total.agg(worst=df.max_by("k", by="down"), best=df.min_by("k", by="down")))
    assert list(found) == [("s", "b", "a")]


def test_the_first_states_of_each_device_and_its_usual_one(outages: Store) -> None:
    found = asked(outages, P.group_by("k").agg(first=df.collect("status", first=3), usual=df.mode("status")))
    assert list(found) == [("a", ["up", "down", "up"], "up"), ("b", ["up", "down", "up"], "up")]


def test_discharge_per_hour_by_regression(tmp_path: Path) -> None:
    charges = [100, 97, 95, 92]
    store = stored(tmp_path, [{"k": "a", "t": h * HOUR, "charge": float(c), "n": c} for h, c in enumerate(charges)])
    metric = P.agg(
        exact=df.slope("charge", df.time(), per="1h"),
        of_integers=df.slope("n", df.time(), per="1h"),
        a_second=df.slope("charge", df.time()),
    )
    assert list(asked(store, metric)) == [(-2.6, -2.6, -13 / 18_000)]


@pytest.mark.parametrize("kind", [float, int])
def test_straight_lines_between_readings(tmp_path: Path, kind: type) -> None:
    store = stored(tmp_path, by_minute(a={0: kind(20), 20: kind(30), 40: kind(10)}))
    found = asked(store, P.window("10m", fill="linear", v=df.mean("v")).select("v"))
    assert found["v"] == [20, 25, 30, 20, 10]
    assert asked(store, P.window("10m", fill="last", v=df.mean("v")).select("v"))["v"] == [20, 20, 30, 30, 10]
    assert asked(store, P.window("10m", fill=0.0, v=df.mean("v")).select("v"))["v"] == [20, 0, 30, 0, 10]
    means = asked(
        store,
        P.agg(
            line=df.time_weighted_mean("v", between="linear"),
            area=df.integral("v", between="linear"),
            near=df.time_weighted_mean("v", "15m", between="linear"),
        ),
    )
    assert list(means) == [(22.5, 22.5 * 40 * 60, None)]
    # A line counts where its later end is; the earlier one may lie before the range.
    later = asked(store, P.agg(line=df.time_weighted_mean("v", between="linear")), since=BASE + 30 * MINUTE)
    assert list(later) == [(20.0,)]


def test_a_line_begins_before_the_range(tmp_path: Path) -> None:
    store = stored(tmp_path, by_minute(a={0: 20.0, 20: 30.0, 40: 10.0}))
    span = {"since": BASE + 10 * MINUTE, "until": BASE + 60 * MINUTE}
    line = asked(store, P.window("10m", fill="linear", v=df.mean("v")).select("v"), **span)
    assert line["v"] == [25, 30, 20, 10, None]
    last = asked(store, P.window("10m", fill="last", v=df.mean("v")).select("v"), **span)
    assert last["v"] == [20, 30, 30, 10, 10]


@pytest.mark.parametrize("fill", [0.0, "last", "linear"])
def test_a_window_that_is_cut_keeps_its_value(tmp_path: Path, fill: Any) -> None:
    """The window from 0 to 10 is cut at 5: what the range has of it is not null, so it is not filled."""
    store = stored(tmp_path, by_minute(a={2: 20.0, 7: 1.0, 22: 40.0}))
    metric, cut, end = P.window("10m", fill=fill, v=df.sum("v")).select("v"), BASE + 5 * MINUTE, BASE + 30 * MINUTE
    found = asked(store, metric, since=cut, until=end)["v"]
    assert (found[0], found[2]) == (1.0, 40.0)
    days = P.window("1d", fill=fill, v=df.sum("v")).select("v")
    parts = [asked(store, days, since=a, until=b)["v"] for a, b in ((BASE, cut), (cut, end))]
    assert [sum(v) for v in parts] == [20.0, 41.0]
    # Windows of which the range has nothing are filled with what came before, as in the whole range.
    whole = asked(store, metric, since=BASE, until=end)["v"]
    assert found[1] == whole[1] == {0.0: 0.0, "last": 21.0, "linear": 30.5}[fill]


@pytest.fixture
def alarms(tmp_path: Path) -> Store:
    """20 alarms of 4 tags of one site, 40 s apart."""
    return stored(tmp_path, [{"k": f"tag{i % 4}", "t": i * 40 * SECOND, "site": "s", "n": i} for i in range(20)])


def test_alarm_flood(alarms: Store) -> None:
    flood = P.window("1m", size="10m", by="site", tags=df.count_distinct("k"), first=df.first("n"))
    found = asked(alarms, flood)
    assert max(found["count"]) == 15
    at = found["start"].index(BASE)
    assert (found["count"][at], found["tags"][at], found["first"][at]) == (15, 4, 0)
    assert found["count"][:3] == [2, 3, 5]  # windows that end 1, 2 and 3 minutes after the first alarm
    fullest = asked(alarms, flood.filter(df.col("count") > 10).agg(n=df.count(), from_=df.min("start")))
    assert list(fullest) == [(10, BASE - 3 * MINUTE)]


def test_the_alarms_of_a_window(alarms: Store) -> None:
    found = asked(alarms, P.window("1m", size="10m", by="site", n=df.count()), since=BASE - HOUR)
    row = found["start"].index(BASE + 2 * MINUTE)
    behind = found.explain(row)
    assert (found["n"][row], behind.total, behind.keys) == (15, 15, 4)
    assert sorted(behind.rows["n"]) == list(range(3, 18))
    partly = asked(alarms, P.window("1m", size="10m", by="site", n=df.count()), since=BASE + 5 * MINUTE)
    with pytest.raises(df.DataflowError, match="explain: the window begins before the range"):
        partly.explain(0)


def test_windows_that_slide_see_the_points_before_the_range(alarms: Store) -> None:
    flood = P.window("1m", size="10m", by="site", n=df.count(), middle=df.median("n"))
    whole = asked(alarms, flood, since=BASE - HOUR, until=BASE + HOUR)
    rows = {row[1]: row for row in whole}
    cut = asked(alarms, flood, since=BASE + 7 * MINUTE, until=BASE + HOUR)
    assert cut["start"][0] == BASE - 2 * MINUTE
    assert [rows[row[1]] for row in cut] == list(cut)


def test_windows_of_one_bucket_across_keys(alarms: Store) -> None:
    metric = P.window("5m", by=[], empty=True, n=df.sum("n"))
    found = asked(alarms, metric, since=BASE + MINUTE, until=BASE + 20 * MINUTE)
    # Alarms 2 to 7, 8 to 14, 15 to 19; none in the last window.
    assert found["count"] == [6, 7, 5, 0]
    assert found["n"] == [27, 77, 85, None]
    assert found["partial"] == [True, False, False, False]
