"""Provenance: rows, keys and files of hand-made cases, of recorded data, and on the console."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from deploy.cli import main
from runtime import PartialResult, Store
from runtime.catalogue.items.entries import day_name
from runtime.errors import QueryError
from runtime.result.result import Explanation, Result

pytestmark = pytest.mark.usefixtures("plain_files")

HOUR = 3_600_000_000
DAY = 24 * HOUR
START = 19_783 * DAY  # 2024-03-01
Report = tuple[str, int, str | None, str | None, float]

telemetry = df.stream("telemetry")
up = df.col("status") == "up"
UPTIME = telemetry.state_duration("status", hold="5h").group_by("firmware").agg(up=df.duration(up), n=df.count())
BY_DAY = (
    telemetry.state_duration("status")
    .group_by("firmware", day=df.time().truncate("1d"))
    .agg(up=df.duration(up), n=df.count())
)


def ingest(store: Store, reports: list[Report]) -> None:
    names = ("device", "ts", "status", "firmware", "temp")
    columns: dict[str, list[Any]] = {name: [r[i] for r in reports] for i, name in enumerate(names)}
    columns["ts"] = [START + hours * HOUR for hours in columns["ts"]]
    store.ingest("telemetry", columns, key="device", time="ts", unit="us", progress=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three days, a file each, and one more of the second day."""
    made = Store(tmp_path / "store", create=True)
    ingest(made, [("a", 0, "up", "1.0", 1.5), ("a", 2, "down", None, 2.5), ("b", 1, "up", "2.0", 3.0)])
    ingest(made, [("a", 24, "up", None, 1.0), ("b", 25, "up", "1.0", 4.0)])
    ingest(made, [("c", 30, "up", "3.0", 5.0)])
    ingest(made, [("a", 48, "down", None, 1.0), ("c", 60, "down", None, 1.0)])
    return made


def ask(store: Store, metric: df.Stream, **options: Any) -> Result:
    return store.query(metric, progress=False, **options)


def commits(store: Store, why: Explanation) -> list[int]:
    """Which ingests the files came with, from 1 on."""
    by_path = {f.path: f.seq for f in store.files("telemetry")}
    return [by_path[path] for path in why.files]


def shown(why: Explanation, *names: str) -> list[tuple[object, ...]]:
    return list(zip(*(why.rows[name] for name in names), strict=True))


def test_intervals_behind_a_group(store: Store) -> None:
    why = ask(store, UPTIME, until=START + 3 * DAY).explain({"firmware": "1.0"})
    assert why.row == {"firmware": "1.0", "up": 12 * HOUR, "n": 9}
    assert why.keys == 2
    got = [
        (d, (s - START) // HOUR, (e - START) // HOUR, st)
        for d, s, e, st in shown(why, "device", "start", "end", "status")
    ]  # type: ignore[operator]
    assert got == [
        ("a", 0, 2, "up"),
        ("a", 2, 7, "down"),
        ("a", 7, 24, None),
        ("a", 24, 29, "up"),
        ("a", 29, 48, None),
        ("a", 48, 53, "down"),
        ("a", 53, 72, None),
        ("b", 25, 30, "up"),
        ("b", 30, 72, None),
    ]
    assert commits(store, why) == [1, 2, 4]


def test_pieces_are_cut_at_the_bucket_and_held_values_are_traced(store: Store) -> None:
    result = ask(store, BY_DAY)
    why = result.explain({"firmware": "1.0", "day": "2024-03-02"})
    assert shown(why, "device", "start", "end", "status") == [
        ("a", START + DAY, START + 2 * DAY, "up"),
        ("b", START + 25 * HOUR, START + 2 * DAY, "up"),
    ]
    assert why.row["up"] == sum(why.rows["duration"]) == 47 * HOUR  # type: ignore[arg-type]
    # Device a reported its firmware the day before; the other file of that day is of another device.
    assert commits(store, why) == [1, 2]
    # On the third day, nothing but the state that began the day before, until its end, matters of b.
    assert commits(store, result.explain({"firmware": "3.0", "day": "2024-03-03"})) == [3, 4]


def test_points_and_their_arguments(store: Store) -> None:
    metric = telemetry.group_by("firmware").agg(twice=df.sum(df.col("temp") * 2, where=up), n=df.count())
    why = ask(store, metric).explain({"firmware": None})
    assert why.total == 4
    assert shown(why, "device", "twice", "twice_where") == [
        ("a", 5.0, False), ("a", 2.0, True), ("a", 2.0, False), ("c", 2.0, False),
    ]  # fmt: skip
    assert commits(store, why) == [1, 2, 4]


def test_a_limit_says_how_many_there_are(store: Store) -> None:
    metric = telemetry.agg(n=df.count())
    why = ask(store, metric).explain(0, limit=3)
    assert (len(why.rows), why.total, why.keys) == (3, 8, 3)
    assert why.rows["device"] == ["a", "a", "a"]
    assert commits(store, why) == [1, 2, 3, 4]
    assert "the first 3 of 8 rows of 3 keys, from 4 files:" in repr(why)
    assert why.rows["device"] == ask(store, metric).explain(0).rows["device"][:3]
    more = ask(store, metric).explain(0, limit=5)
    assert (more.rows["device"], more.total) == (["a", "a", "a", "a", "b"], 8)
    few = ask(store, UPTIME).explain({"firmware": "1.0"}, limit=2)
    assert (len(few.rows), few.total) == (2, 9)


def test_a_grouping_of_groups_goes_down_by_steps(store: Store) -> None:
    daily = telemetry.group_by("device", day=df.time().truncate("1d")).agg(most=df.max("temp"))
    why = ask(store, daily.filter(df.col("most") > 2.0).group_by("device").agg(n=df.count())).explain({"device": "b"})
    assert shown(why, "day", "most") == [(START, 3.0), (START + DAY, 4.0)]
    assert commits(store, why) == [1, 2]
    deeper = why.rows.explain(1)
    assert shown(deeper, "device", "temp") == [("b", 4.0)]
    assert commits(store, deeper) == [2]


def test_a_row_without_a_grouping_is_its_own_reason(store: Store) -> None:
    result = ask(store, telemetry.filter(df.col("temp") > 2.0).sort("temp", descending=True).limit(2))
    why = result.explain(1)
    assert (why.total, why.keys, shown(why, "device", "temp")) == (1, 1, [("b", 4.0)])
    assert commits(store, why) == [2]
    interval = ask(store, telemetry.state_duration("status")).explain(0)
    assert shown(interval, "device", "end") == [("a", START + 2 * HOUR)]
    assert commits(store, interval) == [1]


def test_a_result_is_explained_from_its_own_snapshot(store: Store) -> None:
    result = ask(store, UPTIME, until=START + 2 * DAY)
    before = result.explain({"firmware": "1.0"})
    ingest(store, [("a", 1, "down", "9.9", 0.0)])
    after = result.explain({"firmware": "1.0"})
    assert (after.row, list(after.rows), after.files) == (before.row, list(before.rows), before.files)
    assert ask(store, UPTIME, until=START + 2 * DAY).explain({"firmware": "1.0"}).row != before.row


def test_files_that_are_gone_are_said_to_be(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    result = ask(store, UPTIME)
    kept = list(store.files("telemetry"))[1:]
    for path in Path(store.url).rglob("*.points"):
        path.unlink()
    store.close()
    monkeypatch.setattr(store, "files", lambda _: kept)
    with pytest.raises(QueryError, match="the store has changed since the query: 1 files of stream 'telemetry'"):
        result.explain(0)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (7, "there is no row 7; the result has 3 rows"),
        (-1, "there is no row -1"),
        (True, "a row is its number, or values by column"),
        ({"firmware": "4"}, "no row of the result has firmware = '4'; firmware is one of 1.0, 2.0, 3.0"),
        ({}, "3 rows of the result have any values; name more"),
        ({"hardware": "1"}, "no column 'hardware'"),
        ({"n": "many"}, "'many' is not a value of the column 'n', which is of type int64"),
    ],
)
def test_rows_that_are_not_there(store: Store, row: Any, message: str) -> None:
    with pytest.raises(Exception, match=message):
        ask(store, UPTIME).explain(row)


def test_what_cannot_be_explained(store: Store) -> None:
    result = ask(store, UPTIME)
    with pytest.raises(QueryError, match=r"only results of Store\.query"):
        Result(result.columns, result.proof).explain(0)
    with pytest.raises(QueryError, match="a partial result cannot be explained"):
        PartialResult(result.columns, result.proof, ("task 0",)).explain(0)
    with pytest.raises(QueryError, match="limit is a number of rows from 1 up"):
        result.explain(0, limit=0)
    with pytest.raises(QueryError, match="lack 'firmware'"):
        ask(store, UPTIME.select("up")).explain(0)


def test_parameters_and_columns_of_other_names(store: Store) -> None:
    metric = (
        telemetry.filter(df.col("temp") > df.param("above", default=2.0))
        .group_by("device").agg(n=df.count()).filter(df.col("n") > df.param("least", default=0))
        .select(who=df.col("device"), n=df.col("n"))
    )  # fmt: skip
    why = ask(store, metric, params={"above": 3.5, "least": 0}).explain({"who": "c"})
    assert shown(why, "device", "temp") == [("c", 5.0)]


def test_groups_of_every_type(store: Store) -> None:
    price = df.col("temp").decimal(1)
    metric = telemetry.group_by(price=price, ts=df.time(), hot=df.col("temp") > 2.0).agg(n=df.count())
    result = ask(store, metric)
    for i in range(len(result)):
        why = result.explain(i)
        assert (why.total, why.row["n"]) == (1, 1)
        assert why.rows["ts"] == [result["ts"][i]]


def test_a_bucket_without_rows(store: Store) -> None:
    metric = telemetry.group_by("device", h=df.time().truncate("1h")).with_empty_buckets().agg(n=df.count())
    why = ask(store, metric).explain({"device": "a", "h": "2024-03-01T01:00:00Z"})
    assert (why.row["n"], len(why.rows), why.total, why.keys, why.files) == (0, 0, 0, 0, ())


def test_tables_and_calendars(store: Store) -> None:
    sites = df.table({"device": ["a", "b"], "site": ["x", "y"], "from": ["2024-03-01", "2024-03-02"], "rev": [1, 2]})
    known = telemetry.state_duration("status").join(sites, on="device", valid_from="from")
    metric = (
        known.during(df.calendar({"mon-sun": "00:00-12:00"})).group_by("site").agg(up=df.duration(up), n=df.count())
    )
    result = ask(store, metric)
    for i, site in enumerate(result["site"]):
        why = result.explain(i)
        lasted = zip(why.rows["status"], why.rows["duration"], strict=True)
        assert (why.rows["site"], sum(d for s, d in lasted if s == "up")) == ([site] * why.total, why.row["up"])  # type: ignore[misc]
    assert set(result.explain({"site": "y"}).rows["device"]) == {"b"}


def test_console(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.json").write_text(BY_DAY.to_json())
    command = ["query", store.url, str(tmp_path / "m.json"), "--why", "firmware=1.0,day=2024-03-02"]
    assert main([*command, "--format", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["row"] == {"firmware": "1.0", "day": "2024-03-02T00:00:00.000000Z", "up": 47 * HOUR, "n": 2}
    assert (shown["total"], shown["keys"], len(shown["files"]), len(shown["rows"]["rows"])) == (2, 2, 2, 2)
    assert main([*command, "--why-rows", "1"]) == 0
    text = capsys.readouterr().out
    assert "the first 1 of 2 rows of 2 keys, from 2 files:" in text
    assert all(path in text for path in shown["files"])
    assert main([*command, "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("device,start,end,duration,status,")
    assert main([*command[:3], "--why", "firmware"]) == 2
    assert "is not of the form column=value" in capsys.readouterr().err


def test_mesh(shared_data: Path, tmp_path: Path) -> None:
    """Alive time of one model, from the intervals of its nodes; the files are those that hold these nodes."""
    store = Store(tmp_path, create=True)
    sources = sorted(shared_data.glob("mesh-heartbeats-*.ndjson.gz"))
    for file in sources:
        store.ingest("mesh", str(file), key="node", time="ts", unit="iso", progress=False)
    alive = df.stream("mesh").heartbeat("15m").group_by("hw_model").agg(
        alive=df.duration(df.col("alive")), nodes=df.count_distinct("node")
    )  # fmt: skip
    span = {"since": "2026-05-01", "until": "2026-08-01"}
    result = ask(store, alive, **span)
    names = [m for m in result["hw_model"] if m is not None]
    model = min(names, key=lambda m: result["nodes"][result["hw_model"].index(m)])  # type: ignore[call-overload]
    why = result.explain({"hw_model": model}, limit=10**6)
    assert why.keys == why.row["nodes"]
    lasted = zip(why.rows["alive"], why.rows["duration"], strict=True)
    assert why.row["alive"] == sum(d for a, d in lasted if a)  # type: ignore[misc]
    nodes = set(why.rows["node"])
    # The same from the recorded lines: which file of which day holds a line of one of the nodes.
    expected = set()
    for commit, file in enumerate(sources, start=1):
        for line in gzip.decompress(file.read_bytes()).splitlines():
            point = json.loads(line)
            if point["node"] in nodes and "2026-05-01" <= point["ts"] < "2026-08-01":
                expected.add((commit, point["ts"][:10]))
    listed = [f for f in store.files("mesh") if f.path in why.files]
    assert {(f.seq, day_name(f.day)) for f in listed} == expected
    assert len(listed) < len(store.files("mesh"))


@pytest.mark.parametrize(
    "agg",
    [
        df.increase("temp"), df.rate("temp"), df.transitions("status"),
        df.integral("temp", between="linear"), df.time_weighted_mean("temp", between="linear", hold="2d"),
    ],
    ids=str,
)  # fmt: skip
def test_the_files_hold_the_row_before(store: Store, agg: df.Agg) -> None:
    """What counts in the first row of the range depends on the report before it, which lies in another file."""
    metric = telemetry.group_by("device").agg(found=agg)
    result = store.query(metric, since=START + 2 * DAY, until=START + 3 * DAY, progress=False)
    assert result["device"] == ["a", "c"]
    assert None not in result["found"]
    for device, days in (("a", {0, 1, 2}), ("c", {1, 2})):
        named = {Path(path).parts[2] for path in result.explain({"device": device}).files}
        assert named == {day_name(START // DAY + day) for day in days}


def test_rows_of_a_table_without_their_key(store: Store) -> None:
    first = telemetry.window("1d", temp=df.mean("temp")).top(2, by="start", descending=False)
    assert ask(store, first.select("start", of=df.col("device"))).explain(0).keys == 1
    filled = telemetry.window("1d", fill="linear", temp=df.mean("temp"))
    for metric in (
        first.select("start", "count"),
        first.select("start", device=df.col("count")),
        filled.select("start"),
    ):
        with pytest.raises(QueryError, match="explain: the result's rows lack their key; keep the column 'device'"):
            ask(store, metric).explain(0)
