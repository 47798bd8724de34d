"""Queries on failing relays and workers: the same bits, or an error that names a task, in bounded time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from runtime import PartialResult
from runtime.errors import IncompleteResult, QueryError
from runtime.fleet import Fleet, QueryTimeout, Rules, TaskFailed
from runtime.fleet import coordinator as coordinating
from runtime.fleet.fleet import Answers
from runtime.fleet.relay import reply_of
from runtime.fleet.rules import TaskBatch
from runtime.query.merge.conclude import conclude
from tests.runtime.fleet.test_simulated import WHOLE, World
from tests.simulator.relays import RELAY_STORY, STORY, RelayFaults, TwoLevels
from tests.simulator.workers import Faults, LambdaDouble

WORKERS = Rules(attempt_seconds=70, query_seconds=1_800)
RELAYS = Rules(attempt_seconds=200, query_seconds=1_800)


def never(payload: bytes) -> Any:
    raise AssertionError("the doubles are asked in its place")


FLEET = Fleet(never, WORKERS, relay=never, relays=RELAYS, direct=3, batch=4)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("two-levels") / "store")


def play(world: World, seed: int, faults: Faults, relays: RelayFaults, **more: Any) -> Any:
    """The result, the seconds it took, the doubles and the coordinator."""
    double = LambdaDouble(seed, world.answer, faults)
    levels = TwoLevels(more.pop("fleet", FLEET), double, world.store.objects, relays, seed, **more)
    over, seconds = levels.run(world.tasks)
    found = Answers.of(over)
    result = conclude(world.prepared, found.tasks, list(found.partials.values()), found.failed)
    return result, seconds, levels, over


def test_when_all_is_well(world: World) -> None:
    result, seconds, levels, over = play(world, 1, Faults(), RelayFaults())
    assert result.proof.result == world.expected.proof.result
    assert result.proof.complete
    assert result.proof.tasks == 16
    assert seconds < 2
    assert (levels.seen, levels.double.seen) == ({"relays": 4, "straggling": 0}, {"invoked": 16})
    assert over.counts.used.reported == 20
    assert over.counts.used.invoked == 16


@pytest.mark.parametrize("part", [*range(4), *(pytest.param(n, marks=pytest.mark.nightly) for n in range(4, 8))])
def test_the_faults_of_the_story_on_both_levels(world: World, part: int) -> None:
    """Five hundred seeds in four parts, nightly a thousand."""
    ends: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for seed in range(part * 125, (part + 1) * 125):
        try:
            result, seconds, levels, over = play(world, seed, STORY, RELAY_STORY)
        except (TaskFailed, QueryTimeout) as error:
            ends["error that names a task" if re.search(r"tasks? 0\.\d", str(error)) else str(error)] += 1
            continue
        assert result.proof.result == world.expected.proof.result, seed
        assert result.proof.complete
        assert seconds < 1_000
        ends["answer"] += 1
        seen += levels.seen
        seen += Counter({f"worker {name}": count for name, count in levels.double.seen.items()})
        seen["hedged"] += over.counts.hedged
        seen["repeated replies"] += over.counts.repeated_replies
    assert ends["answer"] >= 120, ends
    assert set(ends) <= {"answer", "error that names a task"}
    for fault in ("failed", "straggling", "duplicated", "truncated", "throttled"):
        assert seen[fault] > 0, seen
        assert seen[f"worker {fault}"] > 0, seen
    assert seen["hedged"] > 0
    assert seen["repeated replies"] > 0


def test_batches_too_large_for_a_relay_come_apart(world: World) -> None:
    for seed in range(10):
        small = RelayFaults(memory=lambda batch: len(batch.tasks) > 1, failed=0.1)
        result, _, levels, over = play(world, seed, Faults(failed=0.1), small)
        assert result.proof.result == world.expected.proof.result
        assert over.counts.splits == 12  # 4 of four, 8 of two
        assert len(over.tasks) == 16
        assert levels.seen["out of memory"] >= 12


def test_a_batch_of_one_task_is_halved_as_a_task_is(world: World) -> None:
    def large(batch: TaskBatch) -> bool:
        return any(task.shard[1] - task.shard[0] > WHOLE // 40 for task in batch.tasks)

    result, _, _, over = play(world, 1, Faults(), RelayFaults(memory=large))
    assert result.proof.result == world.expected.proof.result
    assert all(len(work.tasks) == 1 for work in over.tasks.values())
    assert {task.id.count(".") for work in over.tasks.values() for task in work.tasks} == {3}


@pytest.mark.parametrize("seed", range(10))
def test_a_task_that_always_runs_out_of_memory(world: World, seed: int) -> None:
    poison = WHOLE // 16 * 5 + 12_345
    faults = Faults(memory=lambda shard: shard[0] <= poison < shard[1], failed=0.1, throttled=0.2)
    with pytest.raises(TaskFailed, match=r"^task 0\.5(\.[01]){6} of s failed \(out of memory.*give the workers more"):
        play(world, seed, faults, RelayFaults(failed=0.1))
    partial, seconds, _, _ = play(world, seed, faults, RelayFaults(failed=0.1, duplicated=0.2), allow_partial=True)
    assert isinstance(partial, PartialResult)
    assert len(partial.missing) == 1
    assert "task 0.5." in partial.missing[0]
    assert not partial.proof.complete
    assert seconds < 400


def test_nothing_answers(world: World) -> None:
    with pytest.raises(TaskFailed, match=r"task 0\.\d+ of s failed \((lost|failed), 7 times\)"):
        play(
            world,
            1,
            Faults(failed=1.0),
            RelayFaults(timeout=1_000.0),
            fleet=replace(FLEET, relays=Rules(attempt_seconds=1_100)),
        )
    with pytest.raises(
        TaskFailed, match=r"tasks 0\.\d+ to 0\.\d+ of s failed in their relay \((lost|failed), 7 times\)"
    ):
        play(world, 1, Faults(seconds=10), RelayFaults(failed=1.0))


def test_throttled_for_ever(world: World) -> None:
    with pytest.raises(QueryTimeout, match=r"not done after 600 s: tasks 0\.\d+, .* and 11 more of 16"):
        play(world, 1, Faults(), RelayFaults(throttled=1.0), fleet=replace(FLEET, relays=Rules(query_seconds=600)))
    with pytest.raises((QueryTimeout, TaskFailed), match=r"tasks? 0\.\d+"):
        play(
            world,
            1,
            Faults(throttled=1.0),
            RelayFaults(),
            fleet=replace(FLEET, relays=replace(RELAYS, query_seconds=600)),
        )


# Each rule broken on purpose is noticed.


def broken_reply(change: Callable[[Answers], Answers]) -> Any:
    return lambda batch, found, spill, objects: reply_of(batch, change(found), spill, objects)


def test_a_relay_that_leaves_out_a_task_is_noticed(world: World) -> None:
    """An inner failure without a report, or an answer that is lost while merging: never a partial answer in silence."""

    def lossy(found: Answers) -> Answers:
        partials = dict(found.partials)
        partials.popitem()
        return replace(found, partials=partials)

    with pytest.raises(IncompleteResult, match="rows were read and"):
        play(world, 1, Faults(), RelayFaults(), reply=broken_reply(lossy))


def test_a_relay_that_hides_failures_is_noticed(world: World) -> None:
    faults = Faults(memory=lambda shard: shard[1] <= WHOLE // 16)
    with pytest.raises(IncompleteResult):
        play(
            world, 1, faults, RelayFaults(), allow_partial=True,
            reply=broken_reply(lambda found: replace(found, failed={})),
        )  # fmt: skip


def test_a_batch_that_is_merged_twice_is_noticed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Answers.of

    def twice(over: Any) -> Answers:
        found = real(over)
        if any(name.startswith("b") for name in found.partials):
            found = replace(found, partials={**found.partials, "again": next(iter(found.partials.values()))})
        return found

    monkeypatch.setattr(Answers, "of", twice)
    with pytest.raises(IncompleteResult):
        play(world, 1, Faults(), RelayFaults())


def test_relays_that_contradict_each_other(world: World) -> None:
    calls: Counter[str] = Counter()

    def reply(batch: TaskBatch, found: Answers, spill: str, objects: Any) -> dict[str, Any]:
        calls[batch.id] += 1
        if calls[batch.id] > 1:
            found = replace(found, partials=dict(list(found.partials.items())[1:]))
        return reply_of(batch, found, spill, objects)

    def play_some() -> None:
        for seed in range(200):
            calls.clear()
            play(world, seed, Faults(), RelayFaults(straggling=0.2), reply=reply)

    # A straggler is hedged; both answer, differently.
    with pytest.raises(QueryError, match=r"task b\d got two different replies"):
        play_some()


def test_without_nested_deadlines_relays_are_killed(world: World) -> None:
    """Workers that hang: relays that mind their time tell which tasks are missing, others are ended by Lambda."""
    from runtime.fleet.relay import inner_fleet

    hanging = Faults(failed=1.0)
    short = replace(FLEET, rules=Rules(attempt_seconds=70, failures=50), relays=replace(RELAYS, query_seconds=900))

    def deadline_of_its_own(event: Any, invoke: Any, seconds: float) -> Fleet:
        inner = inner_fleet(event, invoke, seconds)
        return replace(inner, rules=replace(inner.rules, query_seconds=3_600))

    ended = {}
    for name, nested in {"nested": inner_fleet, "not nested": deadline_of_its_own}.items():
        levels = TwoLevels(
            short, LambdaDouble(1, world.answer, hanging), world.store.objects, RelayFaults(), 1, nested=nested
        )
        with pytest.raises(QueryError, match=r"tasks? 0\.\d"):
            levels.run(world.tasks)
        ended[name] = levels.seen["out of time"]
    assert ended["nested"] == 0
    assert ended["not nested"] > 0


def test_hedges_of_relays_have_a_budget(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    single = replace(FLEET, batch=1)

    def hedges() -> int:
        runs = [play(world, seed, Faults(), RelayFaults(straggling=0.25), fleet=single)[3] for seed in range(20)]
        return max(over.counts.hedged for over in runs)

    assert hedges() == 2  # of 16 one in ten, rounded up
    monkeypatch.setattr(coordinating, "may_hedge", lambda *_: True)
    assert hedges() > 2
