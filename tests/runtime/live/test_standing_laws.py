"""The laws of runs that go on in memory: whatever came, late or not, the answer is that of a query, to the digest."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import dataflow as df
from runtime import Store
from runtime.ingest.inputs.identity import declared_identity
from runtime.live.following import Follower
from runtime.published import standing_run
from runtime.published.standing_run import StandingRun
from runtime.query.stages import replaced_keys
from runtime.query.task import standing_task
from runtime.query.task.standing_task import StandingTask
from runtime.testing.oracle.strategies import BASE, DAY, KEY, TIME, Case, cases
from tests.laws.engine import STREAM, as_columns, parts, schema_point
from tests.laws.graphs import GRAPHS
from tests.runtime.live.followed import Receiver, asked, follower, rows_of

STAND = (
    "at_least_half_of_the_sessions", "at_least_two_sessions", "beats_by_hour_filled", "clock_columns_selected",
    "concurrent_at_sites", "concurrent_early", "concurrent_overall", "constants_of_all_kinds", "counters_by_hour",
    "days_across_keys", "empty_buckets_of_sessions", "empty_buckets_of_states", "empty_hours_of_two_at_once",
    "filter_then_previous", "heartbeat_by_10_minutes", "held_numbers_weighed_by_time", "held_then_filtered",
    "joined_by_hour", "joined_then_states", "looking_at_paths", "one_at_least_by_hour", "outages_by_hour_twice",
    "outages_of_all", "paths", "previous", "service_time", "sessions_by_status", "sessions_split_by_changes",
    "state_held_by_filter", "state_of_last", "states_at_instants", "states_by_hour_of_day", "states_by_later_days",
    "states_by_long_and_late", "states_by_parts_of_the_date", "states_by_what_is_left", "sum_of_two",
    "time_between_a_column", "time_between_outages", "two_at_least_early", "two_of_three",
)  # fmt: skip
"""Graphs of which runs stand: rows of a key in order, and groups that are sums."""

UPKEEP = st.lists(st.sampled_from(["compact", "undo", "nothing"]), min_size=8, max_size=8)
DUPLICATES = st.sampled_from(["keep", "keep", "exact", "latest"])
HISTORIES = st.sampled_from(STAND), cases(), st.integers(3, 8), UPKEEP, DUPLICATES, st.booleans()

_numbers = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("standing")


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Runs stand from the second answer on; for each look after that, whether the run that stood could go on."""
    found: list[bool] = []
    real = StandingRun._moved_on

    def counted(self: StandingRun, *given: Any) -> Any:
        standing = real(self, *given)
        found.append(standing is not None)
        return standing

    monkeypatch.setattr(StandingRun, "_moved_on", counted)
    monkeypatch.setattr(StandingRun, "was_read", lambda self, rows: setattr(self, "_read", 1 << 60))
    return found


def followed_history(
    folder: Path, name: str, case: Case, count: int, upkeep: list[str], duplicates: str, whole: bool
) -> None:
    """Follow a metric while parts of the points come, and are compacted or taken back; each answer is that of a query,
    and so is what its proof says."""
    metric, since = df.from_json(json.dumps(GRAPHS[name])), None if whole else case.since
    with Store(folder / str(next(_numbers)), create=True) as store:

        def put(points: Any, number: int) -> None:
            store.ingest(
                STREAM, as_columns(points), key=KEY, time=TIME, unit="us", source=f"part {number}",
                duplicates=duplicates, compact=False, progress=False,
            )  # fmt: skip

        put([{**schema_point("a"), TIME: BASE - 90 * DAY}], 0)
        receiver = Receiver(follower(store, metric, since=since))
        for number, part in enumerate([[], *parts(case.points, count)], 1):
            if part:
                put(part, number)
                match upkeep[number % len(upkeep)]:
                    case "compact":
                        store.compact(STREAM, progress=False)
                    case "undo" if number > 3:
                        store.undo(STREAM, declared_identity(f"part {number}"))
            expected = asked(store, metric, since, receiver)
            if expected is None:
                return
            answer = receiver.look()
            if answer is None:
                continue
            assert receiver.rows == rows_of(expected)
            proofs = answer.result.proof.to_dict(), expected.proof.to_dict()
            for proof in proofs:
                for of_the_run in ("tasks", "files_cached", "rows_ruled_out"):
                    del proof[of_the_run]
            assert proofs[0] == proofs[1]


@settings(max_examples=max(120, settings().max_examples))  # of 40, as few as nine looks went on
@given(*HISTORIES)
def law(folder: Path, name: str, case: Case, count: int, upkeep: list[str], duplicates: str, whole: bool) -> None:
    followed_history(folder, name, case, count, upkeep, duplicates, whole)


def test_answers_are_those_of_queries(folder: Path, moved: list[bool]) -> None:
    law(folder)
    assert moved.count(True) > 20


def _caught(folder: Path) -> bool:
    few = settings(max_examples=500, phases=[Phase.generate], database=None, deadline=None, derandomize=True)
    try:
        few(given(*HISTORIES)(law.hypothesis.inner_test))(folder)  # type: ignore[attr-defined]
    except (AssertionError, ValueError, IndexError, ExceptionGroup):
        return True
    return False


def _none_late(self: StandingTask, chunks: Any, found: Any = StandingTask._late) -> Any:
    return found(self, chunks) & False


def _all_seem_new(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("runtime.catalogue.Record.takes_away", False)
    patch.setattr(standing_run, "_content", lambda files: 0)


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], object]] = {
    "late rows are folded as they come": lambda patch: patch.setattr(StandingTask, "_late", _none_late),
    "a late key keeps what it had added": lambda patch: patch.setattr(
        replaced_keys, "_negative", lambda a, state: {name: 0 * values for name, values in state.items()}
    ),
    "a late key keeps its state": lambda patch: patch.setattr(
        "runtime.query.stages.key_state.KeyState.take", lambda self, slots, of: None
    ),
    "new rows count as old": lambda patch: patch.setattr(standing_task, "before", lambda batch: batch),
    "the last times are forgotten": lambda patch: patch.setattr(
        StandingTask, "_see", lambda self, chunk: self._know_keys()
    ),
    "the range ends where it did": lambda patch: patch.setattr(
        "runtime.query.stages.runner.Runner.move_end", lambda self, until: None
    ),
    "what is open is closed for ever": lambda patch: patch.setattr(
        standing_task, "held", lambda runner: lambda: None
    ),
    "what is taken away is not seen": _all_seem_new,
    "duplicates of one time are new rows": lambda patch: patch.setattr(
        StandingTask, "_resolves", property(lambda self: False, lambda self, value: None), raising=False
    ),
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants(folder: Path, moved: list[bool], monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    MUTANTS[mutant](monkeypatch)
    assert _caught(folder)


def test_a_fleet(tmp_path: Path, moved: list[bool]) -> None:
    """Thousands of keys in several blocks and shards, a few of them late in each commit."""
    numbers = range(20_000)
    points = df.stream("s")
    metric = points.state_duration("up", hold="5m").group_by("site").agg(
        up=df.share_of_time(df.col("up")), mean=df.time_weighted_mean("x"), known=df.known_time()
    )  # fmt: skip
    with Store(tmp_path / "store", create=True) as store:
        receiver = Receiver(follower(store, metric))
        for look in range(8):
            at = [60 * look + n % 60 - (40 * (n % 3) if n % 997 == look else 0) for n in numbers]
            columns = {"k": [f"d{n}" for n in numbers], "t": at, "up": [(n + look) % 5 > 0 for n in numbers],
                       "x": [n / 7 for n in numbers], "site": [f"s{n % 11}" for n in numbers]}  # fmt: skip
            store.ingest("s", columns, key="k", time="t", unit="s", progress=False, source=f"{look}")
            answer = receiver.look()
            assert answer is not None
            assert answer.proof == store.query(metric, progress=False).proof.to_dict()["result"]
    assert moved.count(True) >= 4


@pytest.mark.parametrize("is_seen", [True, False])
def test_a_group_that_goes(tmp_path: Path, moved: list[bool], monkeypatch: pytest.MonkeyPatch, is_seen: bool) -> None:
    """A late row makes two changes of one, of which a group had no other: the run is begun again."""
    if not is_seen:
        monkeypatch.setattr(replaced_keys, "_may_be_gone", lambda old, new: False)
    with Store(tmp_path / "store", create=True) as store:
        metric = df.stream("s").transitions("x").group_by("from", "to").agg(n=df.count())
        found = follower(store, metric)
        for number, (at, state) in enumerate([(0, "a"), (60, "c"), (120, "c"), (30, "b"), (180, "c")]):
            columns = {"k": ["k"], "t": [at], "x": [state]}
            store.ingest("s", columns, key="k", time="t", unit="s", progress=False, source=f"{number}", compact=False)
            answer = found.step()
            assert answer is not None
            right = store.query(metric, progress=False).proof.to_dict()["result"]
            assert (answer.proof == right) is (is_seen or number < 3)
    assert moved == ([True, False] if is_seen else [True, True, True])


def test_it_stands_once_as_much_was_read(tmp_path: Path) -> None:
    """And goes on until something else changes than what comes."""
    with Store(tmp_path / "store", create=True) as store:
        metric = df.stream("s").state_duration("x").group_by("x").agg(t=df.duration())
        found = follower(store, metric)
        cached = []
        for look in range(6):
            columns = {"k": ["a", "b"], "t": [60 * look, 60 * look + 30 - 45 * (look > 0)], "x": [look % 2, 1]}
            store.ingest("s", columns, key="k", time="t", unit="s", progress=False, source=f"{look}", compact=False)
            if look == 4:
                store.undo("s", declared_identity("4"))
            answer = found.step()
            assert answer is not None
            assert answer.proof == store.query(metric, progress=False).proof.to_dict()["result"]
            cached.append(answer.result.proof.to_dict()["files_cached"])
    assert cached[2:4] == [0, 3]  # it begins, and goes on
    assert cached[4] < 3


def test_there_is_room_for_so_many(tmp_path: Path, moved: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that finds no room answers as others do, and one that is gone makes room."""
    with Store(tmp_path / "store", create=True) as store:

        def looked(found: Follower, at: int) -> None:
            columns = {"k": ["a", "b"], "t": [at, at + 1], "x": [1, 2]}
            store.ingest("s", columns, key="k", time="t", unit="s", progress=False, source=f"{at}")
            answer = found.step()
            assert answer is not None
            assert answer.proof == store.query(metric, progress=False).proof.to_dict()["result"]

        metric = df.stream("s").state_duration("x").group_by("x").agg(t=df.duration())
        first = follower(store, metric)
        for at in (0, 10, 20):
            looked(first, at)
        assert moved == [True]
        monkeypatch.setattr(standing_run, "ROOM", 1)
        for at in (30, 40, 50):
            looked(first, at)
        assert moved == [True, True]  # it went on, and found then that there is no room
        monkeypatch.undo()


def test_metrics_with_others_inside_do_not_stand(tmp_path: Path, moved: list[bool]) -> None:
    inner = df.stream("s").group_by("k").agg(n=df.count())
    metric = df.stream("s").join(inner, on="k").state_duration("x").group_by("x").agg(t=df.duration())
    with Store(tmp_path / "store", create=True) as store:
        found = follower(store, metric)
        for at in range(4):
            columns = {"k": ["a"], "t": [60 * at], "x": [at % 2]}
            store.ingest("s", columns, key="k", time="t", unit="s", progress=False, source=f"{at}")
            answer = found.step()
            assert answer is not None
            assert answer.proof == store.query(metric, progress=False).proof.to_dict()["result"]
    assert moved == []
