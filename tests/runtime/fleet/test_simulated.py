"""Queries on failing workers: the same bits, or an error that names a task, in bounded time."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dataflow as df
from runtime import PartialResult, Store
from runtime.errors import QueryError
from runtime.fleet import PaceRules, QueryTimeout, Rules, TaskFailed
from runtime.fleet.message_versions import PROTOCOL
from runtime.fleet.messages import reply
from runtime.fleet.worker import answer
from runtime.query.merge.conclude import conclude
from runtime.query.plan.make_tasks import make_tasks
from runtime.query.plan.prepare import Request, prepare
from runtime.query.task import state_bytes
from runtime.query.task.task import run
from tests.simulator.workers import Faults, LambdaDouble, play

START = 19_800 * 86_400_000_000
ROWS, DEVICES = 4_000, 200
METRIC = (
    df.stream("s")
    .state_duration("status", hold="2h")
    .group_by("status")
    .agg(held=df.duration(), devices=df.count_distinct("device"), n=df.count())
)
RULES = Rules(attempt_seconds=70, query_seconds=1_800)
STORY = Faults(failed=0.2, straggling=0.05, duplicated=0.01, truncated=0.01, throttled=0.5)
WHOLE = 1 << 64


class World:
    """A store with its query as 16 tasks, what the threads answer, and a worker that remembers its answers."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        i = np.arange(ROWS)
        columns = {
            "device": np.array([f"d{k % DEVICES}" for k in i]),
            "ts": START + i * 20_000_000,
            "status": np.array(["up", "down", "off"])[(i * i) % 3],
        }
        self.store.ingest("s", columns, key="device", time="ts", unit="us", progress=False)
        self.expected = self.store.query(METRIC, workers=1, progress=False)
        self.prepared = prepare(self.store.catalogue, Request(METRIC.steps, {}, None, None))
        (task,) = make_tasks(self.prepared, self.store.url, 1)
        edges = [WHOLE * k // 16 for k in range(17)]
        self.tasks = [replace(task, id=f"0.{k}", shard=(edges[k], edges[k + 1])) for k in range(16)]
        self._known: dict[str, dict[str, Any]] = {}

    def answer(self, event: dict[str, Any]) -> dict[str, Any]:
        name = event["task"]["id"]
        if name not in self._known:
            self._known[name] = answer(event, lambda url: self.store)
        return self._known[name]

    def play(self, seed: int, faults: Faults, rules: Rules = RULES, pace: PaceRules | None = None, **more: Any) -> Any:
        """The result's digest, the seconds it took and the double."""
        double = LambdaDouble(seed, self.answer, faults)
        over, seconds = play(self.tasks, double, self.store.objects, rules, pace, seed, **more)
        result = conclude(self.prepared, list(over.tasks.values()), list(over.answers.values()), over.failed)
        return result, seconds, double, over


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("fleet") / "store")


def test_when_all_is_well(world: World) -> None:
    result, seconds, double, over = world.play(1, Faults())
    assert result.proof.result == world.expected.proof.result
    assert result.proof.complete
    assert seconds < 2
    assert double.seen == {"invoked": 16}
    assert over.counts.invocations == 16


@pytest.mark.parametrize("part", [*range(4), *(pytest.param(n, marks=pytest.mark.nightly) for n in range(4, 8))])
def test_the_faults_of_the_story(world: World, part: int) -> None:
    """Five hundred seeds in four parts, nightly a thousand."""
    ends: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for seed in range(part * 125, (part + 1) * 125):
        try:
            result, seconds, double, over = world.play(seed, STORY)
        except (TaskFailed, QueryTimeout) as error:
            ends["error that names a task" if re.search(r"tasks? 0\.\d", str(error)) else str(error)] += 1
            continue
        assert result.proof.result == world.expected.proof.result, seed
        assert result.proof.complete
        assert seconds < 400
        ends["answer"] += 1
        seen += double.seen
        seen["hedged"] += over.counts.hedged
        seen["repeated replies"] += over.counts.repeated_replies
    assert ends["answer"] >= 122, ends
    assert set(ends) <= {"answer", "error that names a task"}
    for fault in ("failed", "straggling", "duplicated", "truncated", "throttled", "hedged", "repeated replies"):
        assert seen[fault] > 0, seen


def test_a_task_that_is_too_large_is_split(world: World) -> None:
    """Until its halves fit; the rows are covered once, and the bits are the same."""
    for seed in range(20):
        small = Faults(memory=lambda shard: shard[1] - shard[0] > WHOLE // 40, failed=0.1)
        result, _, double, over = world.play(seed, small)
        assert result.proof.result == world.expected.proof.result
        assert over.counts.splits == 48  # 16 and their 32 halves
        assert len(over.tasks) == 64
        assert double.seen["out of memory"] == 48


def test_a_task_that_takes_too_long_is_split(world: World) -> None:
    result, _, double, over = world.play(3, Faults(straggling=0.2, timeout=10))
    assert double.seen["out of time"] > 0
    assert over.counts.splits > 0
    assert result.proof.result == world.expected.proof.result


@pytest.mark.parametrize("seed", range(20))
def test_a_task_that_always_runs_out_of_memory(world: World, seed: int) -> None:
    poison = WHOLE // 16 * 5 + 12_345
    faults = Faults(memory=lambda shard: shard[0] <= poison < shard[1], failed=0.1, throttled=0.2)
    with pytest.raises(TaskFailed, match=r"task 0\.5(\.[01]){6} of s failed \(out of memory.*give the workers more"):
        world.play(seed, faults)
    partial, seconds, _, over = world.play(seed, faults, allow_partial=True)
    assert isinstance(partial, PartialResult)
    assert len(partial.missing) == 1
    assert not partial.proof.complete
    assert seconds < 200
    assert list(over.failed) == [over_name for over_name in over.tasks if over_name not in over.answers]


def test_nothing_answers(world: World) -> None:
    with pytest.raises(TaskFailed, match=r"task 0\.\d+ of s failed \((lost|failed), 7 times\)"):
        world.play(1, Faults(failed=1.0))


def test_throttled_for_ever(world: World) -> None:
    """The query's deadline ends it, and few invocations were made: it slowed down."""
    with pytest.raises(QueryTimeout, match=r"not done after 600 s: tasks 0\.\d+, .* and 11 more of 16"):
        world.play(1, Faults(throttled=1.0), Rules(query_seconds=600))


@pytest.mark.parametrize("seed", range(5))
def test_few_at_once(world: World, seed: int) -> None:
    """A function that may run three at once answers all the same, without a storm of refusals."""
    result, seconds, double, over = world.play(seed, Faults(concurrency=3))
    assert result.proof.result == world.expected.proof.result
    assert 13 <= double.seen["too many at once"] < 26
    assert seconds < 20
    assert over.counts.throttled == double.seen["too many at once"]


@pytest.mark.parametrize("seed", range(5))
def test_few_a_second(world: World, seed: int) -> None:
    """A rate far below the one that pacing begins with is found."""
    result, seconds, double, _ = world.play(seed, Faults(rate=2), pace=PaceRules(rate=20, growth=0.5))
    assert result.proof.result == world.expected.proof.result
    assert 14 <= double.seen["too fast"] < 40
    assert seconds < 20


def test_workers_that_contradict_each_other(world: World) -> None:
    """Two replies to one request that differ: neither is believed."""
    task = world.tasks[0]
    of_another = run(replace(task, shard=world.tasks[1].shard), world.store.open_file)
    other = reply(task.id, state_bytes.pack(of_another, task.request_digest), "x", world.store.objects)
    first = reply(
        task.id, state_bytes.pack(run(task, world.store.open_file), task.request_digest), "x", world.store.objects
    )
    assert first["state"] != other["state"]
    calls: Counter[str] = Counter()

    def lying(event: dict[str, Any]) -> dict[str, Any]:
        name = event["task"]["id"]
        calls[name] += 1
        return other if name == "0.0" and calls[name] > 1 else world.answer(event)

    class Twice(LambdaDouble):
        def invoke(self, payload: bytes, now: float) -> list[Any]:
            replies = super().invoke(payload, now)
            if json.loads(payload)["task"]["id"] == "0.0":
                replies += [(at + 0.001, reply) for at, reply in super().invoke(payload, now)]
            return replies

    with pytest.raises(QueryError, match=r"task 0\.0 got two different replies"):
        play(world.tasks, Twice(1, lying, Faults(seconds=1e-6)), world.store.objects, RULES)


def test_a_worker_that_refuses_is_believed_at_once(world: World) -> None:
    def refuse(event: dict[str, Any]) -> dict[str, Any]:
        error = {"type": "QueryError", "message": "overflow"}
        return {"version": PROTOCOL, "task": event["task"]["id"], "error": error}

    double = LambdaDouble(1, refuse, Faults())
    with pytest.raises(TaskFailed, match=r"\(refused, once\): QueryError: overflow"):
        play(world.tasks, double, world.store.objects, RULES)
    assert double.seen["invoked"] == 16
