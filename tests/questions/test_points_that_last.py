"""Points that say themselves when they end: calls, batches, bookings."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Store

HOUR, MINUTE = 3_600_000_000, 60_000_000
START = datetime(2024, 3, 1, tzinfo=UTC)
CALLS = df.stream("calls")
ENDED = CALLS.intervals("ended")


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Calls of two lines: two of line a at once, one that has not ended, one that lasts no time."""
    store = Store(tmp_path / "store")
    columns: dict[str, Any] = {
        "line": ["a", "a", "b", "b", "a"],
        "begun": [at(30), at(45), at(50), at(60), at(200)],
        "ended": [at(90), at(130), at(50), None, at(210)],
        "minutes": [60, 85, 0, None, 10],
        "kind": ["voice", "video", "voice", "voice", None],
    }
    store.ingest("calls", columns, key="line", time="begun", progress=False)
    return store


def test_time_by_hour(store: Store) -> None:
    by_hour = CALLS.intervals("ended").group_by(hour=df.time().hour()).agg(time=df.duration(), n=df.count())
    found = store.query(by_hour, until=at(240))
    assert [(hour, time // MINUTE, n) for hour, time, n in found] == [
        (0, 30 + 15, 2), (1, 30 + 60 + 60, 3), (2, 10 + 60, 2), (3, 10 + 60, 2),
    ]  # fmt: skip
    by_length = (
        CALLS.intervals(df.col("minutes") * "1m").group_by(hour=df.time().hour()).agg(time=df.duration(), n=df.count())
    )
    assert list(store.query(by_length, until=at(240))) == list(found)


def test_how_many_at_once(store: Store) -> None:
    calls = CALLS.intervals("ended")
    most = calls.concurrent(df.col("kind").is_not_null()).agg(most=df.max("active"), unkind=df.max("inactive"))
    assert list(store.query(most, until=at(240))) == [(3, 1)]
    busy = calls.at_least(2, df.lit(True)).filter(df.col("state")).agg(time=df.duration())
    assert store.query(busy, until=at(240))["time"] == [(130 - 45 + 10) * MINUTE]


def test_what_began_before_the_range(store: Store) -> None:
    whole = CALLS.intervals("ended").select("kind", "start", "end")
    rows = [(row[0], *row[1:4]) for row in store.query(whole, since=at(100), until=at(205))]
    ends = [("a", "video", at(100), at(130)), ("a", None, at(200), at(205)), ("b", "voice", at(100), at(205))]
    assert [(*row[:2], *(datetime.fromtimestamp(t / 1e6, UTC) for t in row[2:])) for row in rows] == ends
    # No longer than half an hour: the one that began at 0:45 was over at 1:15.
    short = CALLS.intervals("ended", longest="30m").agg(n=df.count(), time=df.duration())
    assert list(store.query(short, since=at(70), until=at(240))) == [(3, (5 + 20 + 10) * MINUTE)]
    plan = short.explain(store)
    assert "history before the range: 1800 s" in plan


def test_drill_down_finds_points_from_before(store: Store) -> None:
    found = store.query(CALLS.intervals("ended").group_by("kind").agg(time=df.duration()), since=at(100), until=at(240))
    rows = found.explain({"kind": "video"})
    assert "2024-03-01T01:40" in str(rows)


def test_no_timeline_to_combine() -> None:
    with pytest.raises(df.DataflowError, match="is not a timeline"):
        assert ENDED & CALLS.heartbeat("1h")


def test_text_and_json() -> None:
    metric = CALLS.intervals(df.time() + df.col("s") * "1s", longest="12h")
    assert repr(metric) == 'df.stream("calls").intervals(df.time() + df.col("s") * "1s", longest="12h")'
    assert df.from_json(metric.to_json()).to_json() == metric.to_json()
    assert json.loads(CALLS.intervals("ended").to_json())["steps"][1] == {"op": "intervals", "end": {"col": "ended"}}


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (CALLS.intervals("minutes"), r"step 2 \(intervals\): .* how long it lasts, got int64; a number of seconds is"),
        (CALLS.intervals("kind"), "it takes the time at which each point ends, or how long it lasts, got string"),
        (CALLS.intervals("nothing"), "there is no column 'nothing'"),
        (CALLS.sessionize("1h").intervals("end"), "here the rows are sessions, which last already"),
        (ENDED.filter(df.col("kind").previous() == "x"), r"step 3 \(filter\): it looks at the rows before"),
        (ENDED.sessionize("1h"), r"step 3 \(sessionize\): it looks at the rows before"),
        (ENDED.state_duration("kind"), "it looks at the rows before"),
        (ENDED.with_columns(n=df.count().trailing("1h")), "it looks at the rows before"),
        (ENDED.dedupe("kind", within="1h"), "it looks at the rows before"),
        (ENDED.agg(n=df.transitions(df.col("kind") == "x")), "it looks at the rows before"),
    ],
)  # fmt: skip
def test_mistakes(store: Store, metric: df.Stream, message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        store.query(metric, until=at(240))


def test_asked_again_when_more_has_come(store: Store) -> None:
    """An interval that the end of the stream cut is longer once points have come after it: no kept state has it cut."""
    by_line = ENDED.group_by("line").agg(time=df.duration(), n=df.count())
    store.publish(by_line, "by_line")
    whole = [("a", (60 + 85 + 10) * MINUTE, 3), ("b", 400 * MINUTE + 1, 1)]
    first = [("a", (60 + 85) * MINUTE + 1, 3), ("b", 140 * MINUTE + 1, 1)]
    assert list(store.query("by_line")) == list(store.query(by_line)) == first
    store.ingest("calls", {"line": ["c"], "begun": [at(460)], "ended": [at(460)]}, progress=False)
    assert list(store.query("by_line")) == list(store.query(by_line)) == whole
