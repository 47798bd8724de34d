"""Forecasts beside what a stand-in for S3 and Lambda reports: GETs exactly, and seconds and dollars by the clock."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

import dataflow as df
from dataflow.language.stream import Stream
from runtime import Store
from runtime.catalogue import FileEntry
from runtime.catalogue.items.entries import DAY
from runtime.fleet import messages
from runtime.fleet.fleet_query import file_weight, fleet_load, fleet_tasks, fleet_workers
from runtime.fleet.worker import answer
from runtime.query.plan import expected_work
from runtime.query.plan.prepare import Request, prepare
from runtime.query.task.task import Task
from runtime.result.speeds import Speeds
from runtime.storage.open_store import OpenStore
from tests.benchmarks.fleet_forecast import STORES, compare_all
from tests.simulator.stand_in import MINUTE, SET, START, SlowFolder, of_large_files, of_small_files

GROUPED = df.stream("s").group_by("status").agg(n=df.count(), t=df.sum("temp"))
WIDE = df.stream("s").group_by("status").agg(a=df.mean("temp"), b=df.max("count"), c=df.count_distinct("device"))
STATES = df.stream("s").state_duration("status", hold="5m").group_by("status").agg(known=df.known_time())


def counted(store: Store, metric: Stream, workers: int, **more: int) -> tuple[int, int, int, int]:
    """GETs and bytes of all tasks: as forecast, and as the workers report them."""
    prepared = prepare(store.catalogue, Request(metric.steps, {}, more.get("since"), more.get("until")))
    tasks = fleet_tasks(prepared, store.url, workers)
    load = fleet_load(prepared, tasks, store.objects)
    used = [used_by(store, task) for task in tasks]
    return load.gets, load.bytes, sum(u["gets"] for u in used), sum(u["bytes"] for u in used)


def worker_of(store: Store) -> OpenStore:
    """The store as a worker opens it that has read something of another query before."""
    held, objects = OpenStore(store.url), SlowFolder(Path(store.url))
    objects.gets, objects.bytes_read = 7, 700
    held.__dict__["objects"] = objects
    return held


def used_by(store: Store, task: Task) -> dict[str, int]:
    """What a worker reports of the task."""
    held = worker_of(store)
    event = json.loads(messages.request(task, f"spill/{uuid4().hex}/0", held.objects))
    reply = answer(event, lambda _: held)
    assert "error" not in reply, reply
    return dict(reply["used"])


@pytest.mark.parametrize("files", [1, 3, 10, 1_000])
def test_gets_of_small_files_are_those_that_workers_make(tmp_path: Path, files: int) -> None:
    store = of_small_files(tmp_path / "s", files)
    for metric, workers in ((GROUPED, 1), (WIDE, 4), (STATES, 2)):
        expected, size, gets, read = counted(store, metric, workers)
        assert expected == gets
        assert size == read
        assert gets >= files


@pytest.mark.parametrize("metric", [GROUPED, WIDE, STATES, df.stream("s").group_by("note").agg(t=df.sum("temp"))])
def test_gets_of_large_files_are_those_that_workers_make(large: Store, metric: Stream) -> None:
    for workers in (1, 2, 5):
        expected, size, gets, read = counted(large, metric, workers)
        assert expected == gets
        assert size == pytest.approx(read, rel=0.02)
        assert gets > 4  # more than the ends of the files


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return of_large_files(tmp_path_factory.mktemp("large") / "s", 4, 400_000)


def test_gets_of_files_that_are_merged_are_within_a_third(tmp_path: Path) -> None:
    """Which keys overlap, and so which blocks are read again, only the files say."""
    store = of_large_files(tmp_path / "s", 3, 250_000, shared_time=True)
    for workers in (1, 4):
        expected, size, gets, read = counted(store, STATES, workers)
        assert expected == pytest.approx(gets, rel=0.34)
        assert size == pytest.approx(read, rel=0.34)


def test_a_range_is_read_as_forecast(large: Store) -> None:
    """Of files that reach beyond it only the blocks inside; files outside are opened by no one."""
    since, until = START + 90 * MINUTE, START + 150 * MINUTE
    expected, size, gets, read = counted(large, GROUPED, 1, since=since, until=until)
    assert expected == gets < counted(large, GROUPED, 1)[2]
    assert size == pytest.approx(read, rel=0.02)


def test_a_task_that_is_too_long_for_a_request_is_a_get_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = of_small_files(tmp_path / "s", 20)
    before = counted(store, GROUPED, 1)
    monkeypatch.setattr(messages, "_MAX_TASK", 2_000)
    after = counted(store, GROUPED, 1)
    assert before[0] == before[2] == 20
    assert after[0] == after[2] == 21
    assert after[1] == after[3] > before[1]


def test_the_estimate_of_many_large_files_comes_from_some(large: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four files one directory is read; the others count as it does."""
    monkeypatch.setattr(expected_work, "SAMPLE", 1)
    expected, size, gets, read = counted(large, WIDE, 2)
    assert expected == pytest.approx(gets, rel=0.1)
    assert size == pytest.approx(read, rel=0.1)


def test_where_files_are_the_work_they_are_shared_out_evenly(tmp_path: Path) -> None:
    """Of 600 small files and a large one with most of the rows, each of four workers has a fair share of the time."""
    small, speeds = [entry(i, rows=20, size=5_000) for i in range(600)], Speeds()
    one = entry(600, rows=3_000_000, size=9_000_000)
    store = of_small_files(tmp_path / "s", 1)
    prepared = replace(prepare(store.catalogue, Request(GROUPED.steps, {}, None, None)), files=(*small, one))
    tasks = fleet_tasks(prepared, store.url, 4)
    assert len(tasks) == 4
    assert sum(len(t.files) for t in tasks) == 601  # slices of time: no file is opened twice
    seconds = [sum(map(file_weight, t.files)) for t in tasks]
    assert max(seconds) < 1.11 * sum(seconds) / 4
    by_rows = max(sum(f.rows for f in t.files) for t in tasks)
    assert by_rows > 2_900_000  # which an even share of rows would not be
    assert speeds.wait / speeds.at_once > speeds.joined + speeds.get  # else the processor were what decides


def test_many_small_files_are_worth_more_workers_than_their_bytes(tmp_path: Path) -> None:
    """A week of an object a minute is 47 MB, which one worker downloads in half a second, and opens in 22."""
    store = of_small_files(tmp_path / "s", 1)
    prepared = prepare(store.catalogue, Request(GROUPED.steps, {}, None, None))
    week = tuple(entry(i, rows=20, size=4_700) for i in range(10_081))
    assert 10 <= fleet_workers(replace(prepared, files=week)) <= 20
    few = (entry(0, rows=20_000_000, size=47_000_000),)
    assert fleet_workers(replace(prepared, files=few)) == 1
    states = prepare(store.catalogue, Request(STATES.steps, {}, None, None))
    assert fleet_workers(replace(states, files=week)) == 1  # each would open all files
    assert len(fleet_tasks(replace(states, files=week), store.url, 64)) == 1


def entry(number: int, rows: int, size: int) -> FileEntry:
    first = START + number * MINUTE
    return FileEntry(
        path=f"data/s/x/{number}.points", day=first // DAY, rows=rows, bytes=size, t_min=first, t_max=first + 1,
        sha256="0" * 64, keys=5, footer="1" * 32,
    )  # fmt: skip


def by_size(name: str) -> pytest.MarkDecorator:
    """Minutes go into a store of 10,000 files."""
    return pytest.mark.nightly if name.startswith("10,000") else pytest.mark.alone


@pytest.mark.parametrize("name", [pytest.param(name, marks=by_size(name)) for name in STORES])
def test_forecasts_are_within_thirty_percent_of_the_clock(tmp_path: Path, name: str) -> None:
    """Warm and cold: seconds, dollars, and the dollars that a budget is held against; GETs exactly."""
    for found in compare_all(tmp_path, [name], 1, SET):
        assert found.holds, str(found)
