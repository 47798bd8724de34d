"""The fleet's rules in isolation: pacing, repeats, splits, hedges, and the meaning of replies."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.fleet.outcomes import Kind, Reply, broken
from runtime.fleet.pacing import (
    CONCURRENCY,
    Pace,
    PaceRules,
    next_start,
    refilled,
    share,
    started,
    succeeded,
    throttled,
)
from runtime.fleet.rules import Next, Rules, TaskBatch, Work, after, halves, hedge_age, may_hedge, parts, pause
from runtime.query.task.task import Task

PACE = PaceRules(rate=10, least=1, most=50, burst=20, limit=100, growth=1, cut=0.5, calm=1)
TASK = Task("0.3", "store", "s", {}, {}, {}, (), (100, 201), 0, 1, None)


def test_a_burst_and_then_the_rate() -> None:
    pace, times, now = Pace.of(PACE, 0.0), [], 0.0
    for _ in range(50):
        at = next_start(PACE, pace, now, 0)
        assert at is not None
        now = at
        times.append(now)
        pace = started(PACE, pace, now)
    assert times[:20] == [0.0] * 20
    assert times[39] == pytest.approx(140**0.5 - 10, abs=0.02)  # 20 more at 10 + t a second: 10 t + t^2 / 2 = 20
    gaps = [b - a for a, b in pairwise(times[20:])]
    assert gaps == sorted(gaps, reverse=True)


def test_throttles_cut_the_rate_once_a_moment() -> None:
    pace = Pace.of(PACE, 0.0)
    for _ in range(30):
        pace = throttled(PACE, pace, 0.5, "CallerRateLimitExceeded", 40)
    assert 5.0 <= pace.rate < 5.3
    assert pace.tokens <= 0
    assert pace.limit == 100
    pace = throttled(PACE, pace, 1.6, "CallerRateLimitExceeded", 40)
    assert 2.5 < pace.rate < 3.3
    for i in range(20):
        pace = throttled(PACE, pace, 10.0 + 2 * i, "anything else", 40)
    assert pace.rate >= 1
    assert refilled(PACE, pace, 1_000).rate == 50


@pytest.mark.parametrize("reason", sorted(CONCURRENCY))
def test_throttles_of_concurrency_cut_the_limit(reason: str) -> None:
    pace = throttled(PACE, Pace.of(PACE, 0.0), 0.0, reason, 40)
    assert (pace.rate, pace.limit) == (10, 30)
    assert next_start(PACE, pace, 0.0, 30) is None
    assert next_start(PACE, pace, 0.0, 29) == 0.0
    for _ in range(31):
        pace = succeeded(PACE, pace)
    assert 30.9 < pace.limit < 31.1  # one more in about as many answers as it is high
    assert throttled(PACE, pace, 100.0, reason, 0).limit == 1  # never none at all


@given(
    st.lists(
        st.tuples(st.floats(0, 5), st.sampled_from(["start", "ok", *sorted(CONCURRENCY), "rate"]), st.integers(0, 200)),
        max_size=80,
    )
)
def test_pacing_stays_in_bounds_and_never_stops(steps: list[tuple[float, str, int]]) -> None:
    pace, now = Pace.of(PACE, 0.0), 0.0
    for wait, what, running in steps:
        now += wait
        if what == "start":
            at = next_start(PACE, pace, now, 0)
            assert at is not None
            assert now <= at <= now + 2 / PACE.least
            now = at
            pace = started(PACE, pace, at)
        elif what == "ok":
            pace = succeeded(PACE, pace)
        else:
            pace = throttled(PACE, pace, now, what, running)
        assert PACE.least <= pace.rate <= PACE.most
        assert -1e-9 <= pace.tokens <= PACE.burst
        assert 1 <= pace.limit <= max(PACE.limit, 200)


def test_no_more_starts_than_the_bucket_allows() -> None:
    """In any stretch of time: at most the burst and what the highest rate adds."""
    dice = random.Random(1)
    pace, now, starts = Pace.of(PACE, 0.0), 0.0, []
    for _ in range(2_000):
        now += dice.expovariate(20)
        at = next_start(PACE, pace, now, 0)
        if at == now:
            pace = started(PACE, pace, now)
            starts.append(now)
    for i in range(0, len(starts), 50):
        seconds = starts[-1] - starts[i]
        assert len(starts) - i <= PACE.burst + PACE.most * seconds + 1


@pytest.mark.parametrize(
    ("kind", "failures", "depth", "what"),
    [
        (Kind.THROTTLED, 1_000, 0, Next.REPEAT),
        (Kind.FAILED, 6, 0, Next.REPEAT),
        (Kind.FAILED, 7, 0, Next.GIVE_UP),
        (Kind.LOST, 6, 0, Next.REPEAT),
        (Kind.LOST, 7, 0, Next.GIVE_UP),
        (Kind.REFUSED, 1, 0, Next.GIVE_UP),
        (Kind.MEMORY, 1, 0, Next.SPLIT),
        (Kind.MEMORY, 1, 5, Next.SPLIT),
        (Kind.MEMORY, 1, 6, Next.GIVE_UP),
        (Kind.TIME, 1, 0, Next.SPLIT),
        (Kind.TIME, 1, 6, Next.GIVE_UP),
    ],
)
def test_what_follows(kind: Kind, failures: int, depth: int, what: Next) -> None:
    assert after(Rules(), kind, failures, depth, TASK) is what


def test_one_hash_cannot_be_split() -> None:
    one = Task(**{**TASK.__dict__, "shard": (7, 8)})
    assert after(Rules(), Kind.MEMORY, 1, 0, one) is Next.GIVE_UP


@given(st.integers(0, (1 << 64) - 2), st.integers(2, 1 << 64))
def test_halves_cover_the_range_once(lo: int, width: int) -> None:
    hi = min(1 << 64, lo + width)
    first, second = halves(Task(**{**TASK.__dict__, "shard": (lo, hi)}))
    assert (first.shard[0], second.shard[1]) == (lo, hi)
    assert first.shard[1] == second.shard[0]
    assert first.shard[0] < first.shard[1]
    assert second.shard[0] < second.shard[1]
    assert (first.id, second.id) == ("0.3.0", "0.3.1")


def batch_of(count: int) -> TaskBatch:
    shards = [(k * 100, (k + 1) * 100) for k in range(count)]
    return TaskBatch("b0", tuple(Task(**{**TASK.__dict__, "id": f"0.{k}", "shard": s}) for k, s in enumerate(shards)))


@pytest.mark.parametrize("kind", [Kind.MEMORY, Kind.TIME])
def test_a_batch_comes_apart_before_its_tasks_do(kind: Kind) -> None:
    assert after(Rules(), kind, 1, 6, batch_of(2)) is Next.SPLIT
    assert after(Rules(), kind, 1, 5, batch_of(1)) is Next.SPLIT
    assert after(Rules(), kind, 1, 6, batch_of(1)) is Next.GIVE_UP
    assert after(Rules(), Kind.REFUSED, 1, 0, batch_of(9)) is Next.GIVE_UP


@given(st.integers(1, 40), st.integers(0, 8))
def test_the_parts_of_a_batch_cover_it_once(count: int, depth: int) -> None:
    """Down to ranges of a few hashes: names are not used twice, and only the halving of ranges counts as depth."""
    open_: list[tuple[Work, int]] = [(batch_of(count), 0)]
    ids: set[str] = {"b0"}
    for _ in range(depth):
        found = [part for work, at in open_ for part in parts(work, at)]
        for (work, at), (half, then) in zip([w for w in open_ for _ in (0, 1)], found, strict=True):
            assert isinstance(work, TaskBatch)
            assert isinstance(half, TaskBatch)
            assert half.id not in ids
            ids.add(half.id)
            assert then == at + (len(work.tasks) == 1)
        open_ = found
    shards = sorted(task.shard for work, _ in open_ if isinstance(work, TaskBatch) for task in work.tasks)
    assert (shards[0][0], shards[-1][1]) == (0, count * 100)
    assert all(a[1] == b[0] for a, b in pairwise(shards))


def test_a_task_has_its_halves_as_parts() -> None:
    assert parts(TASK, 2) == [(half, 3) for half in halves(TASK)]


def test_shares_add_up() -> None:
    mine = share(PaceRules(rate=100, most=500, burst=60, limit=80, growth=20), 20)
    assert (mine.rate, mine.most, mine.burst, mine.limit, mine.growth) == (5, 25, 3, 4, 1)
    few = share(PaceRules(burst=3, limit=3), 20)
    assert (few.burst, few.limit, few.least) == (1, 1, 1)  # none stands still


def test_hedging_begins_late() -> None:
    rules = Rules(hedge_after=0.75, hedge_times=2, hedges=0.1)
    assert hedge_age(rules, [], 4) is None
    assert hedge_age(rules, [1.0, 2.0], 4) is None
    assert hedge_age(rules, [1.0, 2.0, 3.0], 4) == 6.0
    assert hedge_age(rules, [float(t) for t in range(1, 101)], 100) == 152.0
    assert [may_hedge(rules, n, 30) for n in (0, 2, 3)] == [True, True, False]
    assert may_hedge(rules, 0, 2)  # one is always allowed


def test_pauses_grow_to_their_cap() -> None:
    assert [pause(Rules(), n, 0.5) for n in (1, 2, 3, 7, 8, 100)] == [0.05, 0.1, 0.2, 3.2, 5.0, 5.0]
    assert pause(Rules(), 5, 0.0) == 0.0


def error(type_: str, message: str) -> Reply:
    return Reply(200, json.dumps({"errorType": type_, "errorMessage": message}).encode(), "Unhandled")


@pytest.mark.parametrize(
    ("reply", "kind", "detail"),
    [
        (Reply(200, b"{}"), None, ""),
        (Reply(0, error="ReadTimeoutError"), Kind.LOST, "ReadTimeoutError"),
        (Reply(429, error="TooManyRequestsException", reason="CallerRateLimitExceeded"), Kind.THROTTLED, "CallerRate"),
        (Reply(500, error="ServiceException"), Kind.FAILED, "500 ServiceException"),
        (Reply(502, error="EC2UnexpectedException"), Kind.FAILED, "502"),
        (Reply(403, error="AccessDeniedException"), Kind.REFUSED, "403 AccessDenied"),
        (Reply(404, error="ResourceNotFoundException"), Kind.REFUSED, "404"),
        (Reply(413, error="RequestTooLargeException"), Kind.REFUSED, "413"),
        (error("Sandbox.Timedout", "RequestId: x Error: Task timed out after 60.00 seconds"), Kind.TIME, "60.00"),
        (error("", "2026-01-01T00:00:00Z x Task timed out after 3.01 seconds"), Kind.TIME, "3.01"),
        (
            error("Runtime.OutOfMemory", "RequestId: x Error: Runtime exited with error: signal: killed"),
            Kind.MEMORY,
            "",
        ),
        (error("Runtime.ExitError", "RequestId: x Error: Runtime exited with error: signal: killed"), Kind.MEMORY, ""),
        (error("MemoryError", ""), Kind.MEMORY, ""),
        (error("Runtime.ExitError", "Runtime exited with error: exit status 1"), Kind.FAILED, "exit status 1"),
        (error("KeyError", "'x'"), Kind.FAILED, "KeyError: 'x'"),
        (Reply(200, b"not JSON", "Unhandled"), Kind.FAILED, "Unhandled"),
        (Reply(200, b"[1]", "Unhandled"), Kind.FAILED, "Unhandled"),
    ],
)
def test_what_a_reply_means(reply: Reply, kind: Kind | None, detail: str) -> None:
    found = broken(reply)
    assert (None if found is None else found.kind) is kind
    assert found is None or detail in found.detail
