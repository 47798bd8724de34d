"""A run by name reads only new files, and returns the bits of a full run."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from dataflow.times import calendar_tables
from dataflow.times.zones import zone_rules
from runtime import Store
from runtime.errors import QueryError, StoreError
from runtime.published import day_states, incremental, state_cache
from runtime.query.plan import make_tasks
from runtime.query.task import checkpoint
from tests.runtime.conftest import leave_plain_files
from tests.runtime.copied_stores import copy_of
from tests.runtime.published.histories import (
    BY_DAY,
    BY_PREFIX,
    DAY,
    HOUR,
    METRICS,
    START,
    Opened,
    P,
    day,
    ingest,
    run_history,
)

pytestmark = pytest.mark.usefixtures("plain_files")


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks of a few rows, so that there are several."""
    monkeypatch.setattr(make_tasks, "_SMALL", 5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days, in a file each, and all metrics by name."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch, Store(folder, create=True) as store:
        leave_plain_files(patch)
        ingest(store, day(0), day(1), day(2))
        for name, metric in METRICS.items():
            store.publish(metric, name)
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Iterator[Store]:
    with copy_of(made, tmp_path / "store") as store:
        yield store


def ask(store: Store, name: str, **options: Any) -> Any:
    """By name, held against the metric itself."""
    found = store.query(name, progress=False, **options)
    whole = store.query(
        METRICS[name], progress=False, workers=1, **{k: v for k, v in options.items() if k != "workers"}
    )
    assert found.proof.complete
    assert found.proof.result == whole.proof.result
    assert found.to_dict()["rows"] == whole.to_dict()["rows"]
    return found


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("workers", [1, 2])
def test_after_one_new_file_one_file_is_read(
    store: Store, name: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened(store, monkeypatch)
    run = functools.partial(store.query, name, progress=False, workers=workers)
    first, read = opened.by(run)
    assert (first.proof.files_cached, len(read)) == (0, 3)
    again, read = opened.by(run)
    assert (again.proof.files_cached, len(read)) == (3, 0)
    assert again.proof.result == first.proof.result
    ingest(store, day(3))
    (new,) = [f.path for f in store.files("s") if f.day == START // DAY + 3]
    found, read = opened.by(run)
    assert read == [new]
    proof = found.proof
    assert (proof.files_cached, proof.files_planned, proof.files_merged) == (3, 4, 4)
    assert proof.rows_scanned == proof.rows_catalogued == 4 * 24
    assert proof.result == store.query(METRICS[name], progress=False).proof.result


@pytest.mark.parametrize("name", BY_DAY)
def test_days_do_not_depend_on_the_range(store: Store, name: str) -> None:
    ask(store, name)
    found = ask(store, name, since=START + DAY, until=START + 2 * DAY + 5 * HOUR)
    # The second day is whole, the third is cut.
    assert found.proof.files_cached == 1


@pytest.mark.parametrize("name", ["hot"])
def test_a_late_file_that_overlaps_is_all_that_is_read(store: Store, name: str) -> None:
    ask(store, name)
    ingest(store, day(1, 3, 9, salt=1))
    assert ask(store, name).proof.files_cached == 3


@pytest.mark.parametrize("name", METRICS)
def test_what_is_left_to_read_is_known_beforehand(store: Store, name: str) -> None:
    ingest(store, *(day(n) for n in range(3, 12)))
    assert store.unread(name) == sum(f.bytes for f in store.files("s"))
    assert store.unread(name, until=START - DAY) == 0
    ask(store, name)
    assert store.unread(name) == 0
    ingest(store, day(12))
    assert store.unread(name) == sum(f.bytes for f in store.files("s") if f.day == START // DAY + 12)
    with pytest.raises(QueryError, match="no published query"):
        store.unread("other")


def test_where_rows_are_compared_a_day_is_read_again_from_what_changed(tmp_path: Path) -> None:
    store = Store(tmp_path / "latest", create=True)
    ingest(store, day(0, 0, 8), day(1), duplicates="latest")
    store.publish(METRICS["hot"], "hot")
    ask(store, "hot")
    ingest(store, day(0, 10, 20), duplicates="latest")
    assert ask(store, "hot").proof.files_cached == 2
    ingest(store, day(0, 12, 14), duplicates="latest")
    # What was kept of the day's first hours still holds, and so does the other day.
    assert ask(store, "hot").proof.files_cached == 2


@pytest.mark.parametrize("name", BY_PREFIX)
def test_a_late_file_makes_a_run_go_on_from_before_it(store: Store, name: str) -> None:
    ask(store, name)
    ingest(store, day(2, 3, 4, salt=1))
    # The state before the last day was kept, too.
    assert ask(store, name).proof.files_cached == 2
    ingest(store, day(0, 3, 4, salt=1))
    assert ask(store, name).proof.files_cached == 0
    assert ask(store, name).proof.files_cached == 5


@pytest.mark.parametrize("name", BY_PREFIX)
def test_a_state_does_not_know_of_an_end_that_cut_it(store: Store, name: str) -> None:
    ask(store, name, until=START + 2 * DAY + 5 * HOUR)
    assert ask(store, name).proof.files_cached == 2
    assert ask(store, name, until=START + 2 * DAY).proof.files_cached == 2
    assert ask(store, name, until=START + 2 * DAY + 1).proof.files_cached == 2
    assert ask(store, name, until=START + DAY + 23 * HOUR).proof.files_cached <= 1


@pytest.mark.parametrize("name", ["uptime", "hot"])
def test_another_start_or_parameter_is_another_family(store: Store, name: str) -> None:
    ask(store, name)
    assert ask(store, name, since=START + 5 * HOUR).proof.files_cached == (0 if name == "uptime" else 2)
    if name == "hot":
        assert ask(store, name, params={"above": 25}).proof.files_cached == 0
        assert ask(store, name, params={"above": 25.0}).proof.files_cached == 3
        assert ask(store, name, params={"above": 20.0}).proof.files_cached == 3


def test_a_wider_column_is_another_family(tmp_path: Path) -> None:
    store = Store(tmp_path / "wider", create=True)
    whole = {**day(0), "temp": list(range(24))}
    ingest(store, whole)
    store.publish(METRICS["hot"], "hot")
    ask(store, "hot")
    ingest(store, day(1))
    assert ask(store, "hot").proof.files_cached == 0
    assert ask(store, "hot").proof.files_cached == 2


def test_other_rules_of_a_zone_are_another_family(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new version of the time zones comes: what was kept was counted by the old ones."""
    metric = P.group_by(day=df.time().truncate("1d", "Europe/London")).agg(n=df.count(), t=df.sum("temp"))
    store.publish(metric, "local")
    store.query("local", progress=False)
    offsets = {"Europe/London": "Asia/Kolkata"}
    inner = calendar_tables.clock_of
    with monkeypatch.context() as patched:
        patched.setattr(calendar_tables, "clock_of", lambda name, *more: inner(offsets.get(name, name), *more))
        patched.setattr(incremental, "zone_rules", lambda name: b"new" + zone_rules(name))
        calendar_tables.bucket_table.cache_clear()
        found = store.query("local", progress=False)
        plain = store.query(metric, progress=False)
    calendar_tables.bucket_table.cache_clear()
    assert found.proof.result == plain.proof.result
    assert store.query("local", progress=False).proof.files_cached == 3
    assert store.query("local", progress=False).proof.result != plain.proof.result


def test_the_rules_of_zones_are_those_of_the_package() -> None:
    name = "America/Argentina/Ushuaia"
    assert zone_rules(name) == files("tzdata").joinpath("zoneinfo", name).read_bytes()
    graph = {"steps": [{"zone": "UTC"}, {"columns": {"zone": ["a"]}}, {"zone": "../a"}]}
    assert incremental._zones(graph) == [incremental.digest(zone_rules("UTC"))]


def kept(store: Store) -> list[Path]:
    return sorted(p for p in (Path(store.url) / "cache").rglob("*") if p.is_file())


@pytest.mark.parametrize("name", ["uptime", "hot", "points"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other", "gone", "bomb"])
def test_damaged_states_are_made_again(store: Store, name: str, damage: str) -> None:
    first = ask(store, name)
    others = {p: p.read_bytes() for p in kept(store)}
    for path, data in others.items():
        if damage == "gone":
            path.unlink()
            continue
        path.chmod(0o644)
        flipped = bytearray(data)
        flipped[len(data) // 2] ^= 4
        foreign = next((d for p, d in others.items() if p != path), b"x" * 100)
        path.write_bytes(
            {
                "cut": data[:-9],
                "flipped": bytes(flipped),
                "empty": b"",
                "other": foreign,
                "bomb": bytes.fromhex("28b52ffde0ffffffffffffff0f010000"),
            }[damage]
        )
    store.close()
    again = ask(store, name)
    assert again.proof.files_cached == 0
    assert again.proof.result == first.proof.result
    # And what was made again is of use.
    assert ask(store, name).proof.files_cached == 3


@pytest.mark.parametrize("name", ["uptime", "hot"])
@pytest.mark.parametrize("denied", ["put", "list", "delete"])
def test_who_may_not_keep_gets_the_answer(
    store: Store, name: str, denied: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Any:
        raise StoreError("denied")

    with monkeypatch.context() as patched:
        patched.setattr(type(store.objects), denied, refuse)
        # A name with its version is found without a list.
        found = store.query(f"{name}@1", progress=False)
    assert found.proof.result == store.query(METRICS[name], progress=False).proof.result
    assert bool(kept(store)) is (denied != "put")


def test_allowing_a_partial_result_does_not_give_one_for_a_state_of_no_use(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(store, "windows")
    inner = checkpoint.unpack

    def other(data: bytes) -> checkpoint.Checkpoint:
        found = inner(data)
        return replace(found, head={**found.head, "grids": None})

    monkeypatch.setattr(incremental, "unpack", other)
    found = store.query("windows", progress=False, allow_partial=True)
    assert found.proof.complete
    assert found.proof.result == store.query(METRICS["windows"], progress=False).proof.result


@pytest.mark.parametrize("name", BY_DAY)
def test_of_many_days_one_state_is_read(store: Store, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest(store, *(day(n) for n in range(3, 24)))
    ask(store, name)
    reads: list[str] = []
    inner = type(store.objects).read

    def spy(self: Any, path: str, *of: int) -> bytes:
        reads.append(path)
        return inner(self, path, *of)

    monkeypatch.setattr(type(store.objects), "read", spy)

    def states() -> int:
        reads.clear()
        assert store.query(name, progress=False).proof.files_cached == files
        return sum(path.startswith("cache/") for path in reads)

    # Of 23 days together, and of the last.
    files = 24
    assert states() == 2
    # A late file on the first day: none of many days holds, so each day is read once, and then again one of many.
    ingest(store, day(0, 3, 4, salt=1))
    files = 25 if name == "hot" else 24
    ask(store, name)
    files = 25
    assert states() == 2
    # Another start: by themselves.
    assert ask(store, name, since=START + DAY).proof.files_cached == 23


def test_the_state_of_many_days_does_for_all_of_them(store: Store) -> None:
    ingest(store, *(day(n) for n in range(3, 24)))
    ask(store, "hot")
    shutil.rmtree(max({p.parent for p in kept(store)}, key=lambda folder: len(list(folder.iterdir()))))
    store.close()
    assert store.unread("hot") == sum(f.bytes for f in store.files("s") if f.day == START // DAY + 23)
    assert ask(store, "hot").proof.files_cached == 23


def test_a_damaged_state_of_many_days_is_none(store: Store) -> None:
    ingest(store, *(day(n) for n in range(3, 24)))
    ask(store, "hot")
    sizes = {p: p.read_bytes() for p in kept(store)}
    for path, data in sizes.items():
        path.chmod(0o644)
        path.write_bytes(data[:-5])
    store.close()
    assert ask(store, "hot").proof.files_cached == 0
    assert ask(store, "hot").proof.files_cached == 24


def test_large_states_are_not_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_cache, "LARGEST", 100)
    ask(store, "uptime")
    ask(store, "hot")
    assert not kept(store)


def test_large_states_are_not_even_written_down(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed: list[bytes] = []
    monkeypatch.setattr(checkpoint, "sealed", lambda *of: sealed.append(b"") or b"")
    monkeypatch.setattr(incremental, "LARGEST_STATE", 100)
    ask(store, "uptime")
    assert not sealed
    assert not kept(store)


@pytest.mark.parametrize("lost", ["keys.words", "stage.0.", "group.keys", "strings", "grids"])
def test_a_state_of_another_form_is_made_again(store: Store, lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is whole, under the right name, and yet not what this program writes."""
    inner = checkpoint.unpack
    ask(store, "windows")

    def other(data: bytes) -> checkpoint.Checkpoint:
        found = inner(data)
        head = {k: v for k, v in found.head.items() if k != lost}
        arrays = {k: v for k, v in found.arrays.items() if not k.startswith(lost)}
        return replace(found, head=head, arrays=arrays)

    monkeypatch.setattr(incremental, "unpack", other)
    assert ask(store, "windows").proof.files_cached == 0


def test_nothing_is_kept_of_metrics_and_without_a_cache(store: Store) -> None:
    store.query(METRICS["uptime"], progress=False)
    store.query("uptime", cache=False, progress=False)
    assert not kept(store)
    ask(store, "uptime")
    assert store.query("uptime", cache=False, progress=False).proof.files_cached == 0


def test_executors_keep_what_merges(store: Store) -> None:
    with ThreadPoolExecutor(2) as pool:
        for name, files in (("hot", 3), ("uptime", 0)):
            ask(store, name, executor=pool)
            assert ask(store, name, executor=pool).proof.files_cached == files


def test_a_stream_without_points_in_the_range(store: Store) -> None:
    for name in ("uptime", "hot"):
        assert ask(store, name, since=START + 20 * DAY, until=START + 21 * DAY) is not None
        assert ask(store, name, since=START, until=START).proof.complete


def test_republished_queries_share_what_asks_the_same(store: Store) -> None:
    ask(store, "hot")
    two = store.publish(METRICS["hot"], "hot", "with a description")
    assert two.version == 2
    # Another digest, so another place.
    assert ask(store, "hot").proof.files_cached == 0
    assert store.query("hot@1", progress=False).proof.files_cached == 3


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(n, marks=pytest.mark.nightly) for n in range(4, 8))])
def test_any_history(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental, "SPAN", 2)
    assert run_history(tmp_path / "store", seed, list(METRICS)) > 50


def test_states_of_another_number_of_rows_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where names do not distinguish contents, the rows that a state covers do."""
    for module in (incremental, day_states):
        monkeypatch.setattr(module, "contents", lambda groups, *_: [f"{g[0].day}" for g in groups])
    for name in ("uptime", "hot"):
        ask(store, name)
    ingest(store, day(1, 3, 9, salt=1))
    for name in ("uptime", "hot"):
        ask(store, name)


def test_the_cache_folder_is_all_that_is_written(store: Store) -> None:
    def files() -> set[str]:
        return {str(Path(r, f).relative_to(store.url)) for r, _, names in os.walk(store.url) for f in names}

    before = files()
    ask(store, "uptime")
    assert all(new.startswith("cache/") for new in files() - before if not new.startswith("catalogue.sqlite"))
