"""Decides when each task starts and what follows from its outcome: a state machine with an external clock.

It starts nothing itself: it returns the attempts to start (``starts``), takes their outcomes (``report``) and says when
to call it again (``wake``). So the same code runs on threads and, in tests, on a virtual clock.
"""

from __future__ import annotations

import heapq
import random
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from runtime.errors import OtherVersion, QueryError
from runtime.fleet import pacing
from runtime.fleet.outcomes import Kind, Outcome
from runtime.fleet.pacing import Pace, PaceRules
from runtime.fleet.rules import Next, Rules, TaskBatch, Work, after, hedge_age, may_hedge, parts, pause
from runtime.query.task.partial import Partial
from runtime.result.cost import Used

_NAMED = 5


class TaskFailed(QueryError):
    """A task of the query failed for good."""


class QueryTimeout(QueryError):
    """The query's time ran out before all its tasks were done."""


@dataclass(frozen=True)
class Start:
    """An attempt to start now."""

    attempt: int
    task: Work


@dataclass
class _Job:
    """A task with its history. At any moment it is waiting, running or over."""

    task: Work
    depth: int
    number: int
    failures: int = 0
    throttles: int = 0
    hedged: bool = False
    waiting: bool = False
    running: dict[int, float] = field(default_factory=dict)
    over: bool = False
    digest: str = ""


@dataclass
class Counts:
    """Counts for the report: invocations, and how many of them were in vain."""

    invocations: int = 0
    throttled: int = 0
    failed: int = 0
    hedged: int = 0
    splits: int = 0
    repeated_replies: int = 0
    used: Used = field(default_factory=Used)
    """The billed usage that all replies report, including those in vain."""

    @property
    def begun(self) -> int:
        """The invocations that were not throttled, and so are billed."""
        return self.invocations - self.throttled


def names(work: Work) -> tuple[str, ...]:
    """The names of its tasks."""
    return tuple(task.id for task in work.tasks) if isinstance(work, TaskBatch) else (work.id,)


class Coordinator:
    """The work of one query, until all of it is done or some has failed (with ``allow_partial``: until each part is
    done or failed).

    Work is a task for a worker, or a batch of tasks for a relay; "task" means either.
    """

    def __init__(
        self,
        tasks: Sequence[Work],
        now: float,
        rules: Rules | None = None,
        pace: PaceRules | None = None,
        seed: int = 0,
        allow_partial: bool = False,
    ) -> None:
        self.rules, self.pace_rules = rules or Rules(), pace or PaceRules()
        self.counts = Counts()
        self.answers: dict[str, Partial] = {}
        self.tasks: dict[str, Work] = {}
        """The tasks that are done or failed: the given ones, or their splits."""
        self.failed: dict[str, QueryError] = {}
        self.inner: dict[str, tuple[str, ...]] = {}
        """The names of the tasks within each finished batch."""
        self._allow_partial = allow_partial
        self._random = random.Random(seed)
        self._pace = Pace.of(self.pace_rules, now)
        self._end = now + self.rules.query_seconds
        self._jobs: dict[str, _Job] = {}
        self._attempts: dict[int, _Job] = {}
        self._running = 0
        self._open = 0
        self._waiting: list[tuple[float, int, _Job]] = []
        self._order = 0
        self._taken: list[float] = []
        self._numbered = 0
        # Attempts by start time, which is the order in which they time out and may be hedged; ended ones are dropped
        # when they reach the front.
        self._begun: list[tuple[float, int]] = []
        self._single: list[tuple[float, int]] = []
        for task in tasks:
            self._add(task, 0, now)

    @property
    def done(self) -> bool:
        """Whether every task is done (or has failed, where that is allowed)."""
        return self._open == 0

    def starts(self, now: float) -> list[Start]:
        """The attempts to start now; raises ``QueryTimeout`` or ``TaskFailed`` if the query has failed.

        With ``allow_partial``, tasks that are not done in time have failed, and the rest is the result.
        """
        if self.done:
            return []
        if now >= self._end:
            if not self._allow_partial:
                raise self._late()
            self._leave_out()
            return []
        self._expire(now)
        self._hedge(now)
        found: list[Start] = []
        while self._waiting and self._waiting[0][0] <= now:
            if self._waiting[0][2].over:
                heapq.heappop(self._waiting)
                continue
            at = pacing.next_start(self.pace_rules, self._pace, now, self._running)
            if at is None or at > now:
                break
            job = heapq.heappop(self._waiting)[2]
            found.append(self._start(job, now))
        return found

    def wake(self, now: float) -> float:
        """When to call ``starts`` again, unless an outcome is reported before."""
        times = [self._end]
        while self._waiting and self._waiting[0][2].over:
            heapq.heappop(self._waiting)
        if self._waiting:
            at = pacing.next_start(self.pace_rules, self._pace, now, self._running)
            if at is not None:
                times.append(max(at, self._waiting[0][0]))
        self._drop_ended()
        if self._begun:
            times.append(self._begun[0][0] + self.rules.attempt_seconds)
        age = self._hedge_age()
        if age is not None and self._single:
            times.append(self._single[0][0] + age)
        return max(now, min(times))

    def report(self, attempt: int, outcome: Outcome, now: float) -> bool:
        """Record the outcome of an attempt; returns whether it completed its task.

        A second reply to a task is dropped if it is the same as the first, else ``QueryError`` is raised.
        """
        job = self._attempts[attempt]
        begun = job.running.pop(attempt, None)
        self._running -= begun is not None
        if outcome.used is not None:
            self.counts.used += outcome.used
        if outcome.kind is Kind.DONE:
            return self._answered(job, outcome, None if begun is None else now - begun)
        if outcome.kind is Kind.THROTTLED:
            self.counts.throttled += 1
            self._pace = pacing.throttled(self.pace_rules, self._pace, now, outcome.detail, self._running)
        else:
            self.counts.failed += 1
        if begun is not None:  # else it timed out, or its task is over
            self._missed(job, outcome, now)
        return False

    def _add(self, task: Work, depth: int, ready: float) -> None:
        self._numbered += 1
        job = _Job(task, depth, self._numbered)
        self._jobs[task.id] = job
        self._open += 1
        self._wait(job, ready)

    def _wait(self, job: _Job, ready: float) -> None:
        job.waiting = True
        self._order += 1
        heapq.heappush(self._waiting, (ready, self._order, job))

    def _start(self, job: _Job, now: float) -> Start:
        attempt = self.counts.invocations
        self.counts.invocations += 1
        self._pace = pacing.started(self.pace_rules, self._pace, now)
        self._attempts[attempt] = job
        self._running += 1
        job.waiting = False
        job.running[attempt] = now
        heapq.heappush(self._begun, (now, attempt))
        if not job.hedged:
            heapq.heappush(self._single, (now, attempt))
        return Start(attempt, job.task)

    def _answered(self, job: _Job, outcome: Outcome, seconds: float | None) -> bool:
        if seconds is not None:
            self._pace = pacing.succeeded(self.pace_rules, self._pace)
        if job.over:
            self.counts.repeated_replies += 1
            if job.digest and outcome.digest and job.digest != outcome.digest:
                raise QueryError(f"task {job.task.id} got two different replies: its worker cannot be trusted.")
            return False
        assert outcome.partial is not None or outcome.failed
        if outcome.partial is not None:
            self.answers[job.task.id] = outcome.partial
        self.failed |= {name: TaskFailed(text) for name, text in outcome.failed.items()}
        self.inner[job.task.id] = outcome.tasks
        job.digest = outcome.digest
        if seconds is not None:
            insort(self._taken, seconds)
        self._close(job)
        return True

    def _missed(self, job: _Job, outcome: Outcome, now: float) -> None:
        """An attempt of an open task ended without a result."""
        if outcome.kind is Kind.THROTTLED:
            job.throttles += 1
        else:
            job.failures += 1
        match after(self.rules, outcome.kind, job.failures, job.depth, job.task):
            case Next.REPEAT:
                if not job.running and not job.waiting:  # else another attempt of it may still succeed
                    self._wait(job, now + pause(self.rules, job.failures + job.throttles, self._random.random()))
            case Next.SPLIT:
                self.counts.splits += 1
                job.over = True
                del self._jobs[job.task.id]
                self._open -= 1
                self._running -= len(job.running)
                job.running.clear()
                for part, depth in parts(job.task, job.depth):
                    self._add(part, depth, now)
            case Next.GIVE_UP:
                if not job.running or outcome.kind in (Kind.REFUSED, Kind.VERSION):
                    self._give_up(job, outcome)

    def _give_up(self, job: _Job, outcome: Outcome) -> None:
        if outcome.kind in (Kind.VERSION, Kind.RELEASE):
            # Not a part that may be left out: all others fail alike.
            raise OtherVersion(f"task {job.task.id} of {job.task.stream} was refused: {outcome.detail}.")
        what = f"task {job.task.id} of {job.task.stream} failed"
        tries = "once" if job.failures < 2 else f"{job.failures} times"
        hint = {
            Kind.MEMORY: "give the workers more memory, or group by less",
            Kind.TIME: "give the workers more time, or take a shorter range",
        }.get(outcome.kind, "see the worker's log")
        if isinstance(job.task, TaskBatch):
            what = f"tasks {job.task.tasks[0].id} to {job.task.tasks[-1].id} of {job.task.stream} failed in their relay"
        error = TaskFailed(f"{what} ({outcome.kind.value}, {tries}): {outcome.detail or 'no further details'}; {hint}.")
        if outcome.named:
            error = TaskFailed(outcome.detail)
        if not self._allow_partial:
            raise error
        self.failed[job.task.id] = error
        self._close(job)

    def _close(self, job: _Job) -> None:
        job.over = True
        self._running -= len(job.running)
        job.running.clear()
        self.tasks[job.task.id] = job.task
        self._open -= 1

    def _expire(self, now: float) -> None:
        """Attempts past their time-out count as lost; a late reply is still accepted."""
        late = []
        while self._begun and now >= self._begun[0][0] + self.rules.attempt_seconds:  # as in wake, bit for bit
            late.append(heapq.heappop(self._begun)[1])
        for attempt in sorted(late, key=lambda a: (self._attempts[a].number, a)):
            if self._runs(attempt):
                seconds = f"no reply within {self.rules.attempt_seconds:g} s"
                self.report(attempt, Outcome(Kind.LOST, seconds), now)

    def _drop_ended(self) -> None:
        for attempts in (self._begun, self._single):
            while attempts and not self._runs(attempts[0][1]):
                heapq.heappop(attempts)

    def _runs(self, attempt: int) -> bool:
        return attempt in self._attempts[attempt].running

    def _hedge_age(self) -> float | None:
        """How long an attempt must have run to be hedged; None while hedging is not allowed."""
        if not may_hedge(self.rules, self.counts.hedged, len(self._jobs)):
            return None
        return hedge_age(self.rules, self._taken, len(self._jobs))

    def _hedge(self, now: float) -> None:
        age = self._hedge_age()
        if age is None:
            return
        late = []
        while self._single and now >= self._single[0][0] + age:
            entry = heapq.heappop(self._single)
            if self._runs(entry[1]):
                late.append((self._attempts[entry[1]].number, entry))
        for _, entry in sorted(late):
            if may_hedge(self.rules, self.counts.hedged, len(self._jobs)):
                self.counts.hedged += 1
                job = self._attempts[entry[1]]
                job.hedged = True
                self._wait(job, now)
            else:  # a split may still raise the limit
                heapq.heappush(self._single, entry)

    def _leave_out(self) -> None:
        """Tasks without a result when the time is up have failed."""
        for job in [job for job in self._jobs.values() if not job.over]:
            text = f"not done within the query's time limit of {self.rules.query_seconds:g} s"
            self.failed |= {
                name: QueryTimeout(f"task {name} of {job.task.stream} was {text}.") for name in names(job.task)
            }
            self._close(job)

    def _late(self) -> QueryTimeout:
        unfinished = [name for job in self._jobs.values() if not job.over for name in names(job.task)]
        more = f" and {len(unfinished) - _NAMED} more" if len(unfinished) > _NAMED else ""
        named = ", ".join(unfinished[:_NAMED]) + more
        total = sum(len(names(job.task)) for job in self._jobs.values())
        return QueryTimeout(
            f"the query was not done after {self.rules.query_seconds:g} s: tasks {named} of {total} were not "
            "answered; ask for a shorter range, or allow more time."
        )
