"""Scheduled runs: relative ranges, saved results, thresholds."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dataflow as df
from operators.types import Type
from runtime import Result, Store
from runtime.columns import Column, Dictionary
from runtime.errors import FormatError, QueryError
from runtime.schedules.relative_times import is_relative, resolved
from runtime.schedules.scheduled_run import Schedule, ScheduledRun, mark_alerted, run_scheduled
from runtime.schedules.thresholds import Threshold, Violation, judged

P = df.stream("s")
UPTIME = (
    P.state_duration("status", hold="1h")
    .group_by("device")
    .agg(uptime=df.share_of_time(df.col("status") == "up"), known=df.known_time())
)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def utc(micros: int) -> str:
    return datetime.fromtimestamp(micros / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S")


NOON = at("2024-03-31T12:00:00")


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("-7d", "UTC", "2024-03-24T12:00:00"),
        ("now", "UTC", "2024-03-31T12:00:00"),
        ("now-1h30m", "UTC", "2024-03-31T10:30:00"),
        ("+1h", "UTC", "2024-03-31T13:00:00"),
        ("today", "UTC", "2024-03-31T00:00:00"),
        ("yesterday", "UTC", "2024-03-30T00:00:00"),
        ("today-30d", "UTC", "2024-03-01T00:00:00"),
        # The clocks of London went forward that night: days are as long as they are.
        ("today", "Europe/London", "2024-03-31T00:00:00"),
        ("today+1d", "Europe/London", "2024-03-31T23:00:00"),
        ("today-1d", "America/New_York", "2024-03-30T04:00:00"),
        ("today+6h", "America/New_York", "2024-03-31T10:00:00"),
        ("yesterday", "Asia/Kolkata", "2024-03-29T18:30:00"),
        ("2024-01-02", "Asia/Kolkata", "2024-01-02T00:00:00"),
        ("2024-01-02T03:00:00Z", "UTC", "2024-01-02T03:00:00"),
    ],
)
def test_relative_times(text: str, zone: str, expected: str) -> None:
    assert utc(resolved(text, NOON, zone, "since")) == expected
    assert is_relative(text) is not text.startswith("2024")


@pytest.mark.parametrize("text", ["", "tomorrow", "-", "-7", "-7x", "today-", "7d", "today -7d", "--7d", "-7d; now"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(QueryError, match="since"):
        resolved(text, NOON, "UTC", "since")


@pytest.mark.parametrize("text", ["today+3660000d", "-3660000d", "now+3660000d", "yesterday-3000000d"])
def test_times_that_no_calendar_has(text: str) -> None:
    with pytest.raises(QueryError, match=r"since: .* is before the year 1 or after the year 9999"):
        resolved(text, NOON, "Europe/London", "since")


def test_a_zone_that_there_is_not() -> None:
    with pytest.raises(QueryError, match="no time zone 'Moon'"):
        resolved("today", NOON, "Moon", "since")


# ---- thresholds


def table() -> Result:
    class Proof:
        def to_dict(self) -> dict[str, object]:
            return {}

    names = Dictionary.of(["a", "b", "c", "d"])
    valid = np.array([True, True, True, False])
    columns = {
        "device": Column(Type.STRING, np.arange(4, dtype=np.int32), None, names),
        "uptime": Column(Type.FLOAT, np.array([0.95, 0.94, float("nan"), 0.0]), valid),
        "n": Column(Type.INT, np.array([2**53, 2**53 + 1, 3, 4])),
        "höhe": Column(Type.INT, np.array([0, 1, 2, -1])),
        "down": Column(Type.DURATION, np.array([0, 60_000_000, 300_000_000, 300_000_001])),
    }
    return Result(columns, Proof())


@pytest.mark.parametrize(
    ("text", "devices", "unknown"),
    [
        ("uptime < 0.95", ["b"], 2),
        ("uptime <= 0.95", ["a", "b"], 2),
        ("uptime == 0.95", ["a"], 2),
        ("uptime != .95", ["b"], 2),
        (" uptime>9.4e-1 ", ["a"], 2),
        ("n >= 9007199254740993", ["b"], 0),
        ("n > -1", ["a", "b", "c", "d"], 0),
        ("down > 5m", ["d"], 0),
        ("down >= 1m", ["b", "c", "d"], 0),
        ("höhe > 1", ["c"], 0),
    ],
)
def test_thresholds(text: str, devices: list[str], unknown: int) -> None:
    found = judged(table(), (Threshold.parse(text),))
    assert [v.row["device"] for v in found.violations] == devices
    assert found.unknown == unknown


@pytest.mark.parametrize(
    "text",
    ["", "uptime", "uptime < ", "< 0.95", "uptime = 0.95", "uptime < 0.95 or 1", "uptime < high", "uptime < 1e9999",
     "__import__('os') < 1", "up time < 1", "uptime <> 1", "uptime < nan", "uptime < 0x10", "u" * 300 + " < 1"],
)  # fmt: skip
def test_what_is_no_threshold(text: str) -> None:
    with pytest.raises(QueryError, match="threshold"):
        Threshold.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("other < 1", "the result has no column 'other'; it has device, uptime, n, höhe, down"),
        ("device < 1", "device is of type string"),
        ("down < 5", "down is compared with a duration"),
        ("n < 5m", "n is compared with a number"),
    ],
)
def test_thresholds_that_do_not_fit(text: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        judged(table(), (Threshold.parse(text),))


# ---- runs


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", create=True)
    ingest(store, "2024-03-30T00:00:00", ["up", "up", "down", "down"])
    ingest(store, "2024-03-31T00:00:00", ["up", "up", "up", "up"])
    store.publish(UPTIME, "uptime")
    return store


def ingest(store: Store, start: str, states: list[str]) -> None:
    n = len(states)
    points = {"device": ["a"] * n, "ts": [at(start) + i * 3_600_000_000 for i in range(n)], "status": states}
    store.ingest("s", points, key="device", time="ts", unit="us", progress=False)


DAILY: dict[str, Any] = {
    "query": "uptime",
    "since": "yesterday",
    "until": "today",
    "alert": ["uptime < 0.95", "known < 1d"],
    "csv": True,
}


def test_a_scheduled_run(store: Store) -> None:
    run = run_scheduled(store, DAILY, NOON)
    assert (run.query, run.version, run.at, run.rows) == ("uptime", 1, NOON, 1)
    assert (utc(run.since), utc(run.until)) == ("2024-03-30T00:00:00", "2024-03-31T00:00:00")
    path = run.saved[0].removesuffix(".json")
    assert re.fullmatch(r"results/uptime/1/20240331T120000Z-[0-9a-f]{12}", path)
    assert run.saved == (f"{path}.json", f"{path}.csv")
    assert [v.threshold for v in run.violations] == ["uptime < 0.95", "known < 1d"]
    assert run.violations[0].row == {"device": "a", "uptime": 0.5, "known": 4 * 3_600_000_000}
    assert run.subject == "antfold: uptime: 2 of 1 rows beyond their thresholds"
    assert run.alert is not None
    assert run.alert.splitlines() == [
        "uptime version 1, 2024-03-30T00:00:00Z to 2024-03-31T00:00:00Z:",
        "  uptime < 0.95: device=a, uptime=0.5, known=14400000000",
        "  known < 1d: device=a, uptime=0.5, known=14400000000",
        f"result: {path}.json",
        f"result: {path}.csv",
    ]
    kept = json.loads((Path(store.url) / run.saved[0]).read_text())
    assert kept["result"]["rows"] == [["a", 0.5, 14400000000]]
    assert kept["result"]["proof"]["complete"] is True
    assert kept["params"] == {}
    assert (Path(store.url) / run.saved[1]).read_text().startswith("device,uptime,known\n")


def test_a_second_run_for_the_same_time_finds_the_first(store: Store) -> None:
    first = run_scheduled(store, DAILY, NOON)
    ingest(store, "2024-03-30T06:00:00", ["down"])
    again = run_scheduled(store, DAILY, NOON)
    assert again == first
    assert again.result is None
    assert again.alert == first.alert
    mark_alerted(store, first)
    mark_alerted(store, first)
    assert run_scheduled(store, DAILY, NOON).alert is None
    # Another time is another run.
    later = run_scheduled(store, DAILY, NOON + 1_000_000)
    assert later.violations != first.violations
    assert later.alert is not None


def test_other_questions_for_the_same_time_are_answered_for_themselves(store: Store) -> None:
    first = run_scheduled(store, DAILY, NOON)
    for change in ({"since": "-1d"}, {"alert": ["uptime < 0.1"]}, {"until": None}):
        other = run_scheduled(store, {**DAILY, **change}, NOON)
        assert other.saved[0] != first.saved[0]
        asked = [(r.since, r.until, {v.threshold for v in r.violations}) for r in (first, other)]
        assert asked[0] != asked[1]
        assert run_scheduled(store, {**DAILY, **change}, NOON) == other


def test_who_comes_second_gives_the_first_ones_answer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ask; one writes in between."""
    inner, runs = Store.query, []

    def query(self: Store, *args: Any, **options: Any) -> Result:
        found = inner(self, *args, **options)
        if not runs:
            runs.append(None)
            ingest(self, "2024-03-30T06:00:00", ["down"])
            runs[0] = run_scheduled(self, DAILY, NOON)
        return found

    monkeypatch.setattr(Store, "query", query)
    slower = run_scheduled(store, DAILY, NOON)
    assert slower == runs[0]


def test_without_saving_nothing_is_written(store: Store) -> None:
    run = run_scheduled(store, {**DAILY, "save": False, "alert": ["uptime < 0.1"]}, NOON)
    assert (run.saved, run.violations, run.alert) == ((), (), None)
    mark_alerted(store, run)
    assert not (Path(store.url) / "results").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"often": "1d"}, "a schedule has no field 'often'"),
        ({"query": None}, "names its query"),
        ({"version": True}, "version is of type int"),
        ({"save": "yes"}, "save is of type bool"),
        ({"alert": "uptime < 1"}, "alert is a list of thresholds"),
        ({"alert": 5}, "alert is a list of thresholds"),
        ({5: 5}, "a schedule has no field 5"),
        ({"alert": ["uptime"]}, "is not of the form COLUMN < NUMBER"),
        ({"since": "soon"}, "since: 'soon' is not a time"),
        ({"zone": "Moon"}, "no time zone 'Moon'"),
        ({"params": [1]}, "its params are a table"),
    ],
)
def test_schedules_that_are_none(change: dict[str, Any], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        Schedule.of({**DAILY, **change})


def test_what_is_null_is_not_said() -> None:
    plain = Schedule.of({"query": "uptime"})
    assert (
        Schedule.of(dict.fromkeys(("version", "params", "since", "save", "csv", "alert")) | {"query": "uptime"})
        == plain
    )
    assert plain.save
    with pytest.raises(QueryError, match="a schedule is a table"):
        Schedule.of([1])  # type: ignore[arg-type]


def test_a_damaged_result_is_named(store: Store) -> None:
    run = run_scheduled(store, DAILY, NOON)
    path = Path(store.url) / run.saved[0]
    path.chmod(0o644)
    path.write_text('{"query": 1}')
    store.close()
    with pytest.raises(FormatError, match="move it away to run again"):
        run_scheduled(store, DAILY, NOON)


def test_long_alerts_say_what_they_leave_out() -> None:
    many = tuple(Violation("n > 1", {"n": i}) for i in range(60))
    run = ScheduledRun("q" * 100, 1, 0, 0, 0, 60, many, 3, ())
    assert run.alert is not None
    assert run.alert.splitlines()[-2:] == ["  and 10 more", "3 values are not known"]
    assert len(run.subject) < 100
