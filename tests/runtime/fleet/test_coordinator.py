"""The coordinator step by step, on a fake clock: what it starts, and what it does not."""

from __future__ import annotations

import pytest

from runtime.errors import QueryError
from runtime.fleet import Coordinator, Kind, Outcome, PaceRules, QueryTimeout, Rules, TaskFailed
from runtime.fleet.coordinator import names
from runtime.fleet.rules import TaskBatch
from runtime.query.task.coverage import Coverage
from runtime.query.task.partial import Partial
from runtime.query.task.task import Task

RULES = Rules(failures=2, attempt_seconds=50, query_seconds=1_000, hedge_after=0.75, hedge_times=2, base=1, cap=1)


def made(count: int, pace: PaceRules | None = None) -> Coordinator:
    tasks = [Task(f"0.{k}", "store", "s", {}, {}, {}, (), (k * 100, (k + 1) * 100), 0, 1, None) for k in range(count)]
    return Coordinator(tasks, 0.0, RULES, pace)


def done(name: str, digest: str = "d") -> Outcome:
    return Outcome(Kind.DONE, partial=Partial(name, None, None, Coverage(), ()), digest=digest)


LOST = Outcome(Kind.LOST, "gone")


def started(coordinator: Coordinator, now: float) -> list[tuple[int, str]]:
    return [(s.attempt, s.task.id) for s in coordinator.starts(now)]


def test_all_start_at_once_and_end() -> None:
    c = made(3)
    assert started(c, 0.0) == [(0, "0.0"), (1, "0.1"), (2, "0.2")]
    assert started(c, 1.0) == []
    for attempt in (2, 0, 1):
        assert not c.done
        assert c.report(attempt, done(f"0.{attempt}"), 2.0)
    assert c.done
    assert sorted(c.answers) == ["0.0", "0.1", "0.2"]
    assert started(c, 3.0) == []


def test_a_lost_task_is_repeated_after_a_pause() -> None:
    c = made(1)
    started(c, 0.0)
    assert not c.report(0, LOST, 5.0)
    assert 5.0 < c.wake(5.0) <= 6.0
    assert started(c, 5.0) == []
    assert started(c, c.wake(5.0)) == [(1, "0.0")]
    c.report(1, LOST, 7.0)
    assert started(c, 9.0) == [(2, "0.0")]
    with pytest.raises(TaskFailed, match=r"task 0\.0 of s failed \(lost, 3 times\): gone; see the worker's log"):
        c.report(2, LOST, 10.0)


def test_silence_is_a_loss_and_a_late_answer_an_answer() -> None:
    c = made(1)
    started(c, 0.0)
    assert c.wake(0.0) == 50.0
    assert started(c, 50.0) == []
    assert started(c, 52.0) == [(1, "0.0")]
    assert c.report(0, done("0.0"), 53.0)
    assert c.done
    assert not c.report(1, done("0.0"), 54.0)  # the same again
    with pytest.raises(QueryError, match=r"task 0\.0 got two different replies"):
        c.report(1, done("0.0", "other"), 55.0)


def hedging() -> Coordinator:
    """Three of four tasks took 1, 2 and 3 seconds; the last is started again at 6."""
    c = made(4)
    started(c, 0.0)
    for attempt in (0, 1, 2):
        c.report(attempt, done(f"0.{attempt}"), attempt + 1.0)
    assert c.wake(3.0) == 6.0
    assert started(c, 5.9) == []
    return c


def test_the_last_is_started_twice_and_once_only() -> None:
    c = hedging()
    assert started(c, 6.0) == [(4, "0.3")]
    assert started(c, 20.0) == []
    assert c.report(4, done("0.3"), 21.0)
    assert c.done
    assert not c.report(3, done("0.3"), 22.0)
    assert (c.counts.hedged, c.counts.repeated_replies) == (1, 1)


def test_a_task_is_hedged_once_even_where_more_may_be() -> None:
    c = made(40)
    started(c, 0.0)
    for attempt in range(39):
        c.report(attempt, done(f"0.{attempt}"), 2.0)
    assert started(c, 4.0) == [(40, "0.39")]
    assert started(c, 40.0) == []
    assert started(c, c.wake(40.0)) == []
    assert c.counts.hedged == 1


def test_when_one_of_two_attempts_is_lost_the_other_is_waited_for() -> None:
    c = hedging()
    started(c, 6.0)
    c.report(3, LOST, 7.0)
    assert started(c, 30.0) == []
    c.report(4, LOST, 31.0)
    assert started(c, 33.0) == [(5, "0.3")]


def test_a_second_start_that_waits_is_not_made_when_the_first_answers() -> None:
    """The bucket is empty when its time comes, and another task is still open when there is a token again."""
    c = made(8, PaceRules(rate=0.1, burst=8, growth=0))
    assert len(started(c, 0.0)) == 8
    for attempt in range(6):
        c.report(attempt, done(f"0.{attempt}"), 3.0)
    assert started(c, 6.0) == []
    assert c.counts.hedged == 1
    assert c.wake(6.0) == pytest.approx(10.0)
    assert c.report(6, done("0.6"), 7.0)
    assert started(c, 10.0) == []
    assert started(c, 20.0) == []
    assert c.report(7, done("0.7"), 21.0)
    assert c.done
    assert c.counts.invocations == 8


def test_throttled_tasks_wait_for_the_pace() -> None:
    c = made(2, PaceRules(rate=10, burst=10, growth=0))
    started(c, 0.0)
    for attempt in (0, 1):
        c.report(attempt, Outcome(Kind.THROTTLED, "CallerRateLimitExceeded"), 0.1)
    assert c.counts.throttled == 2
    at, names = 0.1, []
    while len(names) < 2:
        at = c.wake(at)
        assert at < 3.0
        names += [name for _, name in started(c, at)]
    assert sorted(names) == ["0.0", "0.1"]


def test_halves_take_the_place_of_a_task() -> None:
    c = made(1)
    started(c, 0.0)
    c.report(0, Outcome(Kind.MEMORY), 1.0)
    assert started(c, 1.0) == [(1, "0.0.0"), (2, "0.0.1")]
    assert not c.report(0, done("0.0"), 2.0)  # of the whole, too late: its rows are those of the halves
    assert c.report(1, done("0.0.0"), 3.0)
    assert c.report(2, done("0.0.1"), 3.0)
    assert c.done
    assert {name: task.shard for name, task in c.tasks.items()} == {"0.0.0": (0, 50), "0.0.1": (50, 100)}


def test_the_end_of_time_names_what_is_missing() -> None:
    c = made(8)
    started(c, 0.0)
    c.report(0, done("0.0"), 1.0)
    with pytest.raises(QueryTimeout, match=r"after 1000 s: tasks 0\.1, 0\.2, 0\.3, 0\.4, 0\.5 and 2 more of 8"):
        c.starts(1_000.0)


def test_what_is_late_is_left_out_where_that_is_allowed() -> None:
    """Hours of work are not thrown away for one task that nobody ever answers."""
    tasks = [Task(f"0.{k}", "store", "s", {}, {}, {}, (), (k * 100, (k + 1) * 100), 0, 1, None) for k in range(3)]
    work = [tasks[0], TaskBatch("b1", tuple(tasks[1:]))]
    c = Coordinator(work, 0.0, Rules(attempt_seconds=2_000, query_seconds=1_000), None, allow_partial=True)
    assert [s.task.id for s in c.starts(0.0)] == ["0.0", "b1"]
    c.report(0, done("0.0"), 5.0)
    assert c.starts(999.0) == []
    assert not c.done
    assert c.starts(c.wake(999.0)) == []
    assert c.done
    assert list(c.answers) == ["0.0"]
    assert sorted(c.failed) == ["0.1", "0.2"]
    assert all(isinstance(error, QueryTimeout) for error in c.failed.values())
    assert str(c.failed["0.2"]) == "task 0.2 of s was not done within the query's time limit of 1000 s."
    assert sorted(n for work in c.tasks.values() for n in names(work)) == ["0.0", "0.1", "0.2"]
    assert not c.report(1, done("b1"), 1_001.0)
