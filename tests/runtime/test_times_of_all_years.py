"""Functions of times outside the range read: a bucket and offset, or null and counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tzdata

import dataflow as df
from dataflow import col
from dataflow.times import zones
from runtime import Store
from runtime.errors import QueryError
from runtime.fleet.messages import request
from runtime.fleet.worker import answer
from runtime.published import incremental
from runtime.query.plan.make_tasks import make_tasks
from runtime.query.plan.prepare import prepare
from runtime.query.task import task as tasks
from runtime.query.task.task import Task
from runtime.store import Store as Opened

S = df.stream("s")
BERLIN = "Europe/Berlin"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store", create=True) as made:
        yield made


@pytest.fixture
def two(store: Store) -> Store:
    """The key a at 2024-02-01T12:00 and 2024-02-10T12:00."""
    return filled(store, ["2024-02-01T12:00:00Z", "2024-02-10T12:00:00Z"])


def filled(store: Store, times: list[str], **columns: list[Any]) -> Store:
    rows = {"k": ["a"] * len(times), "ts": times, **columns}
    store.ingest("s", rows, key="k", time="ts", unit="iso", progress=False)
    return store


def ask(store: Store, metric: df.Stream, **options: Any) -> dict[Any, Any]:
    """The last column of the answer by the one before it; times as text."""
    result = store.query(metric, progress=False, **options)
    names = list(result.columns)[-2:]
    types = [result.types[name] for name in names]
    rows = zip(*(result[name] for name in names), strict=True)
    return {shown(a, types[0] == "time"): shown(b, types[1] == "time") for a, b in rows}


def shown(value: Any, is_time: bool) -> Any:
    if not is_time or value is None:
        return value
    text = (datetime(1970, 1, 1) + timedelta(microseconds=value)).isoformat()
    return text.removesuffix("T00:00:00")


N = {"n": df.count()}
LATER = df.time() + timedelta(days=60)
CASES: dict[str, tuple[df.Stream, dict[Any, Any]]] = {
    "months of weeks": (
        S.window("1w").group_by(month=df.time().truncate("1mo")).agg(**N),
        {"2024-01-01": 1, "2024-02-01": 1},
    ),
    "later": (S.group_by(due=LATER.truncate("1mo")).agg(**N), {"2024-04-01": 2}),
    "weeks within a calendar": (
        S.window("1w").during(df.calendar({"mon": "00:00-24:00"})).select("start", "count"),
        {"2024-01-29": 1, "2024-02-05": 1},
    ),
    "after a grouping": (
        S.group_by("k")
        .agg(last=df.max(df.time()))
        .with_columns(m=(col("last") + timedelta(days=60)).truncate("1mo"))
        .select("k", "m"),
        {"a": "2024-04-01"},
    ),
    "after two groupings": (
        S.group_by("k")
        .agg(last=df.max(df.time()))
        .group_by(m=(col("last") - timedelta(days=3000)).truncate("1w"))
        .agg(**N),
        {"2015-11-23": 1},
    ),
    "ends": (S.window("1y").group_by(e=col("end").truncate("1y")).agg(**N), {"2025-01-01": 1}),
    "far away": (
        S.group_by(m=(df.time() + timedelta(days=365 * 200)).truncate("1mo", "America/St_Johns")).agg(**N),
        {"2223-12-01T03:30:00": 2},
    ),
    "outside": (S.group_by(m=(df.time() + timedelta(days=365 * 250)).truncate("1mo")).agg(**N), {None: 2}),
    "outside as a value": (S.group_by(m=df.time() - timedelta(days=365 * 250)).agg(**N), {None: 2}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("workers", [1, 2])
def test_two_points(two: Store, name: str, workers: int) -> None:
    metric, right = CASES[name]
    assert ask(two, metric, workers=workers) == right


def test_the_year_of_a_week(store: Store) -> None:
    filled(store, ["2025-01-01T09:00:00Z"])
    assert ask(store, S.window("1w").group_by(y=df.time().truncate("1y")).agg(**N)) == {"2024-01-01": 1}


def test_times_of_a_joined_table(two: Store) -> None:
    table = df.table({"k": ["a"], "since": [datetime(2019, 5, 17, tzinfo=UTC)]})
    joined = S.join(table, on="k")
    assert ask(two, joined.group_by(y=col("since").truncate("1y")).agg(**N)) == {"2019-01-01": 2}
    hours = joined.group_by(h=col("since").hour(BERLIN)).agg(**N)
    assert ask(two, hours) == {2: 2}


def test_times_of_a_column(store: Store, tmp_path: Path) -> None:
    times = [datetime(1965, 5, 17), datetime(2031, 8, 9, 10)]
    stamps = [datetime(2024, 2, 1), datetime(2024, 2, 2)]
    pq.write_table(pa.table({"k": ["a", "b"], "ts": pa.array(stamps, pa.timestamp("us", "UTC")),
                             "at": pa.array(times, pa.timestamp("us", "UTC"))}), tmp_path / "x.parquet")  # fmt: skip
    store.ingest("s", str(tmp_path / "x.parquet"), key="k", time="ts", progress=False)
    years = S.group_by(y=col("at").truncate("1y")).agg(**N)
    assert ask(store, years) == {"1965-01-01": 1, "2031-01-01": 1}
    assert ask(store, S.group_by("k", h=col("at").hour(BERLIN)).agg(**N).select("k", "h")) == {"a": 1, "b": 12}


def test_days_that_begin_at_six(store: Store) -> None:
    times = ["2024-03-30T03:00:00+01:00", "2024-03-30T07:00:00+01:00", "2024-03-31T05:59:00+02:00"]
    filled(store, times, v=[1, 2, 4])
    day = (df.time() - timedelta(hours=6)).truncate("1d", BERLIN)
    right = {"2024-03-28T23:00:00": 1, "2024-03-29T23:00:00": 6}
    assert ask(store, S.group_by(day=day).agg(v=df.sum("v"))) == right


def test_months_that_begin_in_the_middle(store: Store) -> None:
    filled(store, ["2024-03-10T00:00:00Z", "2024-03-20T00:00:00Z", "2024-04-14T00:00:00Z"], v=[1, 2, 4])
    month = (df.time() - timedelta(days=14)).truncate("1mo")
    assert ask(store, S.group_by(month=month).agg(v=df.sum("v"))) == {"2024-02-01": 1, "2024-03-01": 6}


def test_hours_of_a_held_time(store: Store) -> None:
    columns: dict[str, list[Any]] = {"user": [], "ts": [], "signup": []}
    for user, text in (("a", "2023-09-15T12:00"), ("b", "2023-11-02T12:00"), ("c", "2024-02-20T12:00")):
        when = np.datetime64(text, "us")
        columns["user"] += [user, user]
        columns["ts"] += [int(when.astype(np.int64)), int(np.datetime64("2024-03-20", "us").astype(np.int64))]
        columns["signup"] += [when, np.datetime64("NaT", "us")]
    columns["signup"] = np.array(columns["signup"], "datetime64[us]")  # type: ignore[assignment]
    store.ingest("s", columns, key="user", time="ts", unit="us", progress=False)
    for rows in (S.window("1mo"), S.sessionize("30m"), S.with_columns(signup=col("signup").last())):
        hours = rows.group_by("user", h=col("signup").hour("America/New_York")).agg(**N).select("user", "h")
        assert ask(store, hours, since="2024-03-01") == {"a": 8, "b": 8, "c": 7}


# --- what is left of earlier runs ----------------------------------------------------------------------------------


def points(store: Store, first: int, days: int, a_day: int) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    times = [
        (start + timedelta(days=first + d, minutes=i)).isoformat().replace("+00:00", "Z")
        for d in range(days)
        for i in range(a_day)
    ]
    filled(store, times)


RIGHT = {"2024-03-01": 620, "2024-04-01": 201, "2024-05-01": 31, "2024-06-01": 8}


def test_published(store: Store) -> None:
    metric = CASES["later"][0]
    points(store, 0, 40, 20)
    store.publish(metric, "due")
    assert ask(store, "due") == {"2024-03-01": 620, "2024-04-01": 180}  # type: ignore[arg-type]
    points(store, 40, 60, 1)
    found = store.query("due", progress=False)
    assert found.proof.files_cached > 0
    assert ask(store, "due") == RIGHT  # type: ignore[arg-type]
    assert ask(store, metric) == RIGHT


@pytest.mark.parametrize(
    ("module", "name", "other"), [(incremental, "_FORM", 1), (incremental, "TZDATA_VERSION", "1999a")]
)
def test_what_another_version_left_is_not_used(
    store: Store, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, other: object
) -> None:
    points(store, 0, 4, 2)
    metric = CASES["later"][0]
    store.publish(metric, "due")
    with monkeypatch.context() as patched:
        patched.setattr(module, name, other)
        store.query("due", progress=False)
        assert store.query("due", progress=False).proof.files_cached > 0
    assert store.query("due", progress=False).proof.files_cached == 0
    assert store.query("due", progress=False).proof.files_cached > 0


# --- times that no query knows -------------------------------------------------------------------------------------


def test_they_are_counted(store: Store) -> None:
    times = np.array(
        ["1899-12-31T23:59:59", "1900-01-01", "2261-12-31T23:59:59", "2262-01-01", "NaT"], "datetime64[us]"
    )
    rows = {"k": list("abcde"), "ts": [1_700_000_000 + i for i in range(5)], "at": times}
    store.ingest("s", rows, key="k", time="ts", unit="s", progress=False)
    for workers in (1, 2):
        result = store.query(
            S.select("k", "at", y=col("at").truncate("1y"), h=col("at").hour(), null=col("at").is_null()),
            workers=workers, progress=False,
        )  # fmt: skip
        assert [value is None for value in result["at"]] == [True, False, False, True, True]
        assert [value is None for value in result["y"]] == [True, False, False, True, True]
        assert result["h"] == [None, 0, 23, None, None]
        assert result["null"] == [1, 0, 0, 1, 1]
        assert result.proof.times_outside == 2
    # Once in each row, and once after the grouping.
    moved = (col("last") + timedelta(days=365)).truncate("1mo")
    grouped = S.group_by("k").agg(last=df.max("at")).with_columns(m=moved).select("k", "m")
    result = store.query(grouped, progress=False)
    assert [value is None for value in result["m"]] == [True, False, True, True, True]
    assert result.proof.times_outside == 3
    assert result.proof.to_dict()["times_outside"] == 3
    metric = S.group_by(y=col("at").truncate("1y")).agg(**N)
    store.publish(metric, "years")
    assert [store.query("years", progress=False).proof.times_outside for _ in range(3)] == [2, 2, 2]


AFTER = datetime(2262, 1, 1, tzinfo=UTC)
ERRORS: dict[str, Callable[[], df.Stream]] = {
    "a condition": lambda: S.filter(df.time() < AFTER).agg(**N),
    "a text": lambda: S.filter(df.time() >= "1899-12-31").agg(**N),
    "a list": lambda: S.filter(df.time().is_in([AFTER])).agg(**N),
    "a parameter": lambda: S.filter(df.time() < df.param("at", AFTER)).agg(**N),
    "a table": lambda: S.join(df.table({"k": ["a"], "x": [AFTER]}), on="k").agg(**N),
    "a calendar": lambda: S.during(df.calendar({"mon": "08:00-12:00"}, except_=["1899-12-25"])).agg(**N),
}


@pytest.mark.parametrize("name", ERRORS)
def test_constants_outside_are_errors(two: Store, name: str) -> None:
    with pytest.raises(df.DataflowError, match=r"(2262-01-01T|1899-12-\d\dT).* is outside of the years 1900 to 2261"):
        two.query(ERRORS[name](), progress=False)


@pytest.mark.parametrize("option", [{"since": "1899-12-31"}, {"until": AFTER}, {"until": "9999-12-31"}])
def test_ranges_outside_are_errors(two: Store, option: dict[str, Any]) -> None:
    with pytest.raises(df.DataflowError, match=r"(since|until): .* is outside of the years 1900 to 2261"):
        two.query(S.agg(**N), progress=False, **option)


def test_tables_may_hold_for_ever(two: Store) -> None:
    table = df.table({"k": ["a"], "x": [1], "from": ["0001-01-01"], "to": ["9999-12-31"]})
    found = ask(two, S.join(table, on="k", valid_from="from", valid_to="to").group_by("x").agg(**N))
    assert found == {1: 2}


# --- zones ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "every", "times", "right"),
    [
        (
            "America/St_Johns",
            "1h",
            # The clock goes back at 00:01 to 23:01 of the day before.
            ["2006-10-29T02:29:00Z", "2006-10-29T02:30:30Z", "2006-10-29T03:00:00Z", "2006-10-29T03:30:00Z"],
            {"2006-10-29T01:30:00": 1, "2006-10-29T02:30:00": 2, "2006-10-29T03:30:00": 1},
        ),
        (
            "America/Havana",
            "2h",
            # The clock goes back at 01:00 to 00:00.
            ["2024-11-03T04:00:00Z", "2024-11-03T05:30:00Z", "2024-11-03T06:59:00Z", "2024-11-03T07:00:00Z"],
            {"2024-11-03T04:00:00": 1, "2024-11-03T05:00:00": 2, "2024-11-03T07:00:00": 1},
        ),
        (
            "America/Havana",
            "1d",
            ["2024-11-03T04:00:00Z", "2024-11-03T05:30:00Z", "2024-11-04T04:59:00Z"],
            {"2024-11-03T04:00:00": 3},
        ),
        (
            "Europe/Berlin",
            "2h",
            # The clock goes back at 03:00 to 02:00.
            ["2024-10-27T00:00:00Z", "2024-10-27T01:30:00Z", "2024-10-27T02:59:00Z"],
            {"2024-10-27": 1, "2024-10-27T01:00:00": 2},
        ),
    ],
)  # fmt: skip
def test_hours_shown_twice(store: Store, zone: str, every: str, times: list[str], right: dict[str, int]) -> None:
    filled(store, times)
    assert ask(store, S.group_by(b=df.time().truncate(every, zone)).agg(**N)) == right
    assert ask(store, S.window(every, zone=zone).group_by(b=df.time()).agg(n=df.sum("count"))) == right


PROGRAM = """
import sys
import dataflow as df
from runtime import Store
hours = df.calendar({"mon-sun": "10:00-11:00"}, "Europe/Berlin", except_=[("2024-01-01T10:30", "2024-01-01T10:45")])
with Store(sys.argv[1]) as store:
    metric = df.stream("s").group_by(h=df.time().hour("Europe/Berlin"), d=df.time().truncate("1d", "Europe/Berlin"))
    result = store.query(metric.agg(n=df.count()), progress=False)
    inside = store.query(df.stream("s").during(hours).agg(n=df.count()), progress=False)
    today = store.publish(metric.agg(n=df.count()), "today")
    print([list(row) for row in result], list(inside), hours.except_, result.proof.tzdata)
"""


def test_the_zones_of_the_machine_are_not_asked(store: Store, tmp_path: Path) -> None:
    """A machine on which Berlin has the clock of Tokyo."""
    filled(store, ["2024-02-01T09:30:00Z", "2024-02-01T23:30:00Z"])
    fake = tmp_path / "zoneinfo" / "Europe"
    fake.mkdir(parents=True)
    (fake / "Berlin").write_bytes(zones.zone_rules("Asia/Tokyo"))
    said = []
    for path in ("", str(fake.parent)):
        environment = {**os.environ, "PYTHONTZPATH": path, "TZ": "Asia/Tokyo" if path else "UTC"}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "store")], env=environment, check=True, capture_output=True,
            text=True, cwd=Path(df.__file__).parents[1],
        )  # fmt: skip
        said.append(done.stdout)
    assert said[0] == said[1]
    assert said[0].startswith("[[0, 1706742000000000, 1], [10, 1706742000000000, 1]] [(1,)]") or "[0," in said[0]
    assert said[0].rstrip().endswith(tzdata.IANA_VERSION)


def worked(store: Store) -> Task:
    asked = prepare(store.catalogue, store._request(CASES["later"][0], None, None, None))
    (task,) = make_tasks(asked, store.url, 1)
    return task


def test_a_worker_with_other_zones_refuses(two: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    message = rf"tzdata {zones.TZDATA_VERSION}, and this worker has 1999a"
    task = worked(two)
    event = json.loads(request(task, "spill/q/0", two.objects))
    assert "state" in answer(event, Opened.shared)
    with monkeypatch.context() as patched:
        patched.setattr(tasks, "TZDATA_VERSION", "1999a")
        refused = answer(event, Opened.shared)
        assert refused["error"]["type"] == "OtherRelease"
        assert "update the deployment (dataflow deploy)" in refused["error"]["message"]
        with pytest.raises(QueryError, match=message), ThreadPoolExecutor(1) as pool:
            # As a process of another machine is given it: as bytes.
            two.query(CASES["later"][0], executor=pool, progress=False)
    # A task of a version that did not say.
    old = json.loads(replace(task).to_bytes())
    del old["tzdata"]
    with pytest.raises(QueryError, match="tzdata none"):
        tasks.run(Task.from_bytes(json.dumps(old).encode()), two.open_file)
