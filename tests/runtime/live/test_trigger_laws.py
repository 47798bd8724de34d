"""The laws of triggers: each emission is the answer of a snapshot, when the trigger says so, and nothing is lost."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataflow as df
from dataflow.plan.row_times import row_times
from operators.errors import DataflowError
from runtime import Store
from runtime.ingest.inputs.identity import declared_identity
from runtime.live import CurrentAnswer
from runtime.testing.oracle.strategies import BASE, DAY, TIME, Case, Point, cases
from tests.laws.engine import STREAM, parts
from tests.laws.graphs import GRAPHS
from tests.runtime.live.followed import Receiver, follower, put, rows_of, store_of_types

_numbers = itertools.count()
LATENESS, TEN_MINUTES = 600_000_000, 600_000_000
BY_TIME = "by_10_minutes"

ENDLESS = [df.trigger(commit=True), df.trigger(rows=4), df.trigger(every="60s"), df.trigger(rows=9, every="2m")]
"""Triggers that fit rows without an end, too."""

TRIGGERS = [
    *ENDLESS,
    df.trigger(watermark=True),
    df.trigger(watermark=True, early=df.trigger(rows=4)),
    df.trigger(watermark=True, late=df.trigger(every="60s")),
    df.trigger(watermark=True, early=df.trigger(every="2m"), late=df.trigger(rows=3)),
    df.trigger(watermark=True, rows=9),
]
MODES = ["changes", "table", "final"]
EVENTS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "put", "undo", "compact", "nothing"]), st.booleans(), st.integers(0, 2)),
    min_size=1, max_size=10,
)  # fmt: skip
"""What happens, whether the follower looks after it, and how many half minutes pass before that."""

ANY = st.sampled_from(sorted(GRAPHS)), st.sampled_from(TRIGGERS), st.sampled_from(MODES), cases(), EVENTS
OF_BUCKETS = st.just(BY_TIME), st.sampled_from(TRIGGERS), st.sampled_from(MODES), cases(), EVENTS


class History:
    """A store to which the points of a case come in parts, which are undone and compacted, and a clock."""

    def __init__(self, store: Store, points: Sequence[Point], events: Sequence[tuple[str, bool, int]]) -> None:
        self.store, self.events = store, events
        self.left = parts(points, max(1, sum(kind == "put" for kind, *_ in events)))
        self.sizes, self.newest, self.now = {"part 0": 1}, BASE - 90 * DAY, 0.0
        self.moved = 1
        """The points that came or were taken away since ``moved`` was set to 0."""

    def looks(self) -> Iterator[None]:
        """Let everything happen; stops wherever the follower looks."""
        for kind, is_looked_at, pauses in self.events:
            if kind == "put" and self.left:
                name, part = f"part {len(self.store.sources(STREAM))}", self.left.pop(0)
                put(self.store, part)
                self.sizes[name] = len(part)
                self.moved += len(part)
                self.newest = max(self.newest, *(int(point[TIME]) for point in part))
            elif kind == "undo" and len(self.sizes) > 1:
                name, size = self.sizes.popitem()
                self.store.undo(STREAM, declared_identity(name))
                self.moved += size
            elif kind == "compact":
                self.store.compact(STREAM, progress=False)
            self.now += 30 * pauses
            if is_looked_at:
                yield


def _metric(name: str) -> df.Stream:
    return df.from_json(json.dumps(GRAPHS[name]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("triggers")


@given(*ANY)
def test_each_emission_is_the_answer(
    folder: Path, name: str, trigger: df.Trigger, mode: str, case: Case, events: list[tuple[str, bool, int]]
) -> None:
    metric = _metric(name)
    with store_of_types(folder / str(next(_numbers))) as store:
        history = History(store, case.points, events)
        try:
            of = follower(store, metric, mode, "10m", trigger=trigger, clock=lambda: history.now)
        except DataflowError:
            assert mode == "final" or not row_times(metric.steps).ends
            return
        receiver = Receiver(of)
        for is_last in itertools.chain((False for _ in history.looks()), [True]):
            before = receiver.rows
            try:
                expected = rows_of(store.query(metric, progress=False))
                answer = receiver.look(is_last)
            except DataflowError:
                return
            if answer is None:
                assert receiver.rows is before
            else:
                _check(receiver, answer, store, metric, mode)
            assert receiver.look() is None  # whatever fired has done so
        assert not receiver.of.is_behind
        assert mode == "final" or receiver.rows == expected
        assert receiver.rows == _all_at_once(store, metric, mode)
        on_time = Counter(json.dumps(c.new) for c in receiver.changes if c.pane == "on_time")
        assert max(on_time.values(), default=1) == 1
        marks = [c.watermark for c in receiver.changes if c.watermark is not None]
        assert marks == sorted(marks)


def _check(receiver: Receiver, answer: CurrentAnswer, store: Store, metric: df.Stream, mode: str) -> None:
    """What the receiver has is the answer as of now, and the proof is its digest."""
    found = store.query(metric, progress=False)
    assert rows_of(answer.result) == rows_of(found)
    assert answer.proof == found.proof.to_dict()["result"]
    assert {c.proof for c in answer.changes} <= {answer.proof}
    assert receiver.rows == (_all_at_once(store, metric, mode) if mode == "final" else rows_of(found))


def _all_at_once(store: Store, metric: df.Stream, mode: str) -> list[Any]:
    """What a follower has that looks now for the first time."""
    other = Receiver(follower(store, metric, mode, "10m"))
    other.look()
    return other.rows


class Expected:
    """When a trigger fires, by its definition, for rows of ten minutes."""

    def __init__(self, trigger: df.Trigger, mode: str, history: History) -> None:
        self.trigger, self.mode, self.history = trigger, mode, history
        self.rows: dict[str, Any] = {}
        self.on_time: set[str] = set()
        self.at: float | None = None
        self.there = history.store.catalogue.order(STREAM).seq - 1

    def look(self, rows: Sequence[Any]) -> bool:
        """Whether there is an emission, if the answer has these ``rows`` now."""
        seq = self.history.store.catalogue.order(STREAM).seq
        if seq == self.there:
            return False
        mark = self.history.newest - LATENESS
        ended = {row["t"] for row in rows if _micros(row["t"]) + TEN_MINUTES <= mark}
        after = {row["t"]: row for row in rows if self.mode != "final" or row["t"] in ended}
        changed = {t for t in {*self.rows, *after} if self.rows.get(t) != after.get(t)}
        is_on_time = bool(ended - self.on_time)
        late = bool(changed & self.on_time)
        early = bool(changed - self.on_time - ended)
        if not self._fires(self.trigger, is_on_time, late, early):
            return False
        self.rows, self.at, self.there = after, self.history.now, seq
        self.on_time |= ended
        self.history.moved = 0
        return True

    def _fires(self, trigger: df.Trigger, on_time: bool, late: bool, early: bool) -> bool:
        history = self.history
        points = sum(history.sizes.values()) if self.at is None else history.moved
        pause = None if trigger.every is None else timedelta(microseconds=trigger.every).total_seconds()
        found = [trigger.commit, trigger.rows is not None and points >= trigger.rows]
        found.append(pause is not None and (self.at is None or history.now - self.at >= pause))
        if trigger.watermark:
            found.append(on_time)
            found.append(late and (trigger.late is None or self._fires(trigger.late, False, False, False)))
            found.append(early and trigger.early is not None and self._fires(trigger.early, False, False, False))
        return any(found)


def _micros(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@given(*OF_BUCKETS)
def test_a_trigger_fires_when_its_condition_is_met(
    folder: Path, name: str, trigger: df.Trigger, mode: str, case: Case, events: list[tuple[str, bool, int]]
) -> None:
    metric = _metric(name)
    with store_of_types(folder / str(next(_numbers))) as store:
        history = History(store, case.points, events)
        receiver = Receiver(follower(store, metric, mode, "10m", trigger=trigger, clock=lambda: history.now))
        expected = Expected(trigger, mode, history)
        for _ in history.looks():
            rows = rows_of(store.query(metric, progress=False))
            assert (receiver.look() is not None) == expected.look(rows)
