"""Predicts a fleet's duration and cost: the real coordinators, on a virtual clock, over a model of AWS.

The model covers new workers (1,000 at once and then 100 a second, per function), an account's concurrent invocations,
invocations per second that one process starts, the start of a new worker, a worker's network, S3's first byte and its
GETs per second, computing, merging; and faults. The work of each task is ``work.TaskWork``, the assumptions are
in ``speeds.Speeds`` and ``Account``.
"""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from runtime.errors import QueryError
from runtime.fleet.coordinator import Coordinator, QueryTimeout, Start
from runtime.fleet.fleet import Answers, Fleet, batched, relay_fields
from runtime.fleet.outcomes import Kind, Outcome, Reply
from runtime.fleet.pacing import RELAYED
from runtime.fleet.relay import inner_fleet, inner_used
from runtime.fleet.rules import TaskBatch, Work
from runtime.fleet.simulation.virtual_clock import Driven, VirtualClock
from runtime.query.task.coverage import Coverage
from runtime.query.task.partial import Partial
from runtime.query.task.task import Task
from runtime.result.cost import Cost, Used, Worker
from runtime.result.speeds import Speeds
from runtime.result.work import Load, TaskWork

_WHOLE = 1 << 64


@dataclass(frozen=True)
class Account:
    """Limits of AWS: concurrent invocations, new workers of a function at once and per second, GETs per second of an S3
    prefix, and how many partitions S3 has made of the store's prefix (it splits one that is read often).
    """

    concurrency: int = 10_000
    scale_burst: float = 1_000.0
    scale_rate: float = 100.0
    prefix_gets: float = 5_500.0
    prefixes: int = 8


@dataclass(frozen=True)
class Faults:
    """Shares of invocations that fail, never reply, take 20 times as long, reply twice, have a truncated reply, or are
    throttled.
    """

    failed: float = 0.0
    silent: float = 0.0
    straggling: float = 0.0
    duplicated: float = 0.0
    truncated: float = 0.0
    throttled: float = 0.0


@dataclass(frozen=True)
class Scenario:
    """A query on a fleet: its work, the number of ``warm`` workers (relays, too), and the faults."""

    load: Load
    warm: int
    worker: Worker = field(default_factory=Worker)
    account: Account = field(default_factory=Account)
    faults: Faults = field(default_factory=Faults)
    speeds: Speeds = field(default_factory=Speeds)


@dataclass(frozen=True)
class Run:
    """The outcome of one run: seconds, cost, invocations beyond one per task and relay, AWS's events, the error."""

    seconds: float
    cost: Cost
    repeats: int
    seen: Counter[str]
    error: QueryError | None = None


class _Function:
    """One Lambda function with its warm workers and what is left of each one's network burst."""

    def __init__(self, world: _World, warm: int) -> None:
        self.world = world
        self.idle = [world.scenario.speeds.burst] * warm
        self.tokens, self.at = world.scenario.account.scale_burst, 0.0

    def begin(self) -> tuple[float, float] | str:
        """Seconds until a worker starts, and its remaining burst; or why none starts."""
        world, account = self.world, self.world.scenario.account
        if world.running >= account.concurrency:
            return "ConcurrentInvocationLimitExceeded"
        world.running += 1
        if self.idle:
            return 0.0, self.idle.pop()
        now = world.clock.now
        self.tokens = min(account.scale_burst, self.tokens + (now - self.at) * account.scale_rate)
        self.at = now
        if self.tokens < 1:
            world.running -= 1
            return "FunctionInvocationRateLimitExceeded"
        self.tokens -= 1
        world.seen["new workers"] += 1
        return world.scenario.speeds.cold * world.dice.uniform(0.8, 1.4), world.scenario.speeds.burst

    def kernels(self, known: int) -> int:
        """How many kernels a worker that just began has to fetch: all if it is new."""
        return self.world.scenario.load.kernels if self.world.seen["new workers"] > known else 0

    def end(self, burst: float) -> None:
        self.world.running -= 1
        self.idle.append(burst)


class _Caller:
    """A process that starts invocations, one after the other."""

    def __init__(self, world: _World) -> None:
        self.world, self.free = world, 0.0

    def invoke(self, files: int, do: Callable[[], None]) -> None:
        """Start an invocation for work over so many files."""
        speeds = self.world.scenario.speeds
        self.free = max(self.free, self.world.clock.now) + 1 / speeds.rate + files * speeds.ask
        self.world.clock.at(self.free + self.world.scenario.speeds.overhead / 2, do)


class _World:
    """One run under one seed."""

    def __init__(self, scenario: Scenario, fleet: Fleet, seed: int) -> None:
        self.scenario, self.fleet, self.seed = scenario, fleet, seed
        self.clock = VirtualClock()
        self.dice = random.Random(seed)
        self.seen: Counter[str] = Counter()
        self.running = 0
        self.workers, self.relays = _Function(self, scenario.warm), _Function(self, scenario.warm)
        self.gets = scenario.account.prefix_gets * scenario.account.prefixes
        self.gets_free = -1.0
        self.error: QueryError | None = None
        self.seconds = 0.0

    def run(self) -> Run:
        tasks = [_stub(f"0.{i}") for i in range(self.scenario.load.tasks)]
        count = self.fleet.batches(len(tasks))
        work: Sequence[Work] = batched(tasks, count) if count else tasks
        coordinator = Coordinator(
            work, 0.0, self.fleet.relays if count else self.fleet.rules, self.fleet.pace, self.seed
        )

        def end(error: QueryError | None) -> None:
            self.error = error
            speeds, load = self.scenario.speeds, self.scenario.load
            self.seconds = self.clock.now + speeds.merge * len(work) + speeds.check * load.opened
            self.seconds += speeds.planning(load.files)

        self.drive(coordinator, self.relay if count else self.work, end)
        self.clock.run()
        cost = Cost.of(coordinator.counts.used, coordinator.counts.begun)
        repeats = cost.invocations - len(tasks) - count
        return Run(self.seconds, cost, repeats, self.seen, self.error)

    def drive(
        self,
        coordinator: Coordinator,
        serve: Callable[[Work, Callable[[Outcome], None]], None],
        end: Callable[[QueryError | None], None],
    ) -> None:
        """Serve a coordinator's attempts, at the pace of its process."""
        caller = _Caller(self)
        back = self.scenario.speeds.overhead / 2

        def begin(start: Start) -> None:
            def answered(outcome: Outcome) -> None:
                self.clock.at(self.clock.now + back, lambda: driven.report(start.attempt, outcome))

            caller.invoke(self.files_of(start.task), lambda: serve(start.task, answered))

        # The constructor requests the first starts; none is served before the clock runs.
        driven = Driven(self.clock, coordinator, begin, end)

    def work(self, work: Work, answered: Callable[[Outcome], None]) -> None:
        """An invocation of a worker."""
        assert isinstance(work, Task)
        before = self.seen["new workers"]
        begun = self.begin(self.workers, answered)
        if begun is None:
            return
        init, burst = begun
        scenario, dice = self.scenario, self.dice
        mine = self.work_of(work).part((work.shard[1] - work.shard[0]) / _WHOLE * dice.uniform(0.95, 1.05))
        kernels = self.workers.kernels(before)
        found = mine.seconds(scenario.worker, scenario.speeds, burst, self.waiting)
        seconds = found.opening + found.reading + found.computing * dice.uniform(0.9, 1.25)
        seconds += self.waiting(kernels) + self.slowed_down(mine.gets + kernels)
        used = Used.of(self.slowed(seconds), scenario.worker, mine.gets + kernels, read=round(mine.bytes))
        left = max(0.0, burst - mine.bytes)
        self.clock.at(self.clock.now + init + used.seconds, lambda: self.workers.end(left))
        self.answer(init + used.seconds, work, replace(_DONE, partial=_partial(work), used=used), answered)

    def work_of(self, task: Task) -> TaskWork:
        """The work of a task, or of the one that it is a part of."""
        return self.scenario.load.work[int(task.id.split(".")[1])]

    def files_of(self, work: Work) -> int:
        """How many files are named in a request."""
        if isinstance(work, TaskBatch):
            return sum(self.work_of(task).opened for task in work.tasks)
        return self.work_of(work).opened

    def relay(self, work: Work, answered: Callable[[Outcome], None]) -> None:
        """An invocation of a relay, which has its own coordinator."""
        assert isinstance(work, TaskBatch)
        begun = self.begin(self.relays, answered)
        if begun is None:
            return
        init, burst = begun
        entered = self.clock.now + init

        def enter() -> None:
            count = self.fleet.batches(self.scenario.load.tasks)
            event = relay_fields(self.fleet, count, False, "", {})
            inner = inner_fleet(event, _none, 900.0)
            seed = self.dice.randrange(1 << 32)
            coordinator = Coordinator(work.tasks, self.clock.now, inner.rules, inner.pace, seed)
            self.drive(coordinator, self.work, lambda error: end(coordinator, error))

        def end(coordinator: Coordinator, error: QueryError | None) -> None:
            merging = self.scenario.speeds.merge * len(work.tasks) + self.scenario.speeds.check * self.files_of(work)
            mine = Used.of(self.clock.now + merging - entered, self.scenario.worker)
            self.clock.at(self.clock.now + merging, lambda: self.relays.end(burst))
            outcome = Outcome(Kind.TIME if isinstance(error, QueryTimeout) else Kind.REFUSED, str(error), named=True)
            if error is None:
                tasks = tuple(Answers.of(coordinator).tasks)
                outcome = replace(_DONE, partial=_partial(work), tasks=tasks)
            used = mine + inner_used(coordinator.counts)
            self.answer(merging, work, replace(outcome, used=used), answered)

        self.clock.at(entered, enter)

    def begin(self, function: _Function, answered: Callable[[Outcome], None]) -> tuple[float, float] | None:
        """A worker of the function; None if it is throttled, which is reported."""
        begun: tuple[float, float] | str = "CallerRateLimitExceeded"
        if self.dice.random() >= self.scenario.faults.throttled:
            begun = function.begin()
        if isinstance(begun, str):
            self.seen["throttled"] += 1
            answered(Outcome(Kind.THROTTLED, begun))
            return None
        return begun

    def slowed(self, seconds: float) -> float:
        """The seconds, or those of a straggler."""
        if self.dice.random() >= self.scenario.faults.straggling:
            return seconds
        self.seen["stragglers"] += 1
        return 20 * seconds

    def waiting(self, turns: int) -> float:
        """Seconds until the first bytes of GETs that are made in so many turns."""
        speeds = self.scenario.speeds
        if speeds.first_byte <= 0:
            return 0.0
        median = math.log(speeds.first_byte)
        return sum(self.dice.lognormvariate(median, speeds.spread) for _ in range(turns))

    def slowed_down(self, gets: int) -> float:
        """Seconds lost to S3's limit: as many GETs as it accepts at this moment do not wait; others get a 503 and are
        retried."""
        now = self.clock.now
        self.gets_free = max(self.gets_free, now - 1) + gets / self.gets
        if self.gets_free <= now:
            return 0.0
        self.seen["slowed down by S3"] += 1
        return (self.gets_free - now) * self.dice.uniform(1, 1.5)

    def answer(self, after: float, work: Work, outcome: Outcome, answered: Callable[[Outcome], None]) -> None:
        """Deliver to the caller what it learns of ``outcome``, if anything, and when."""
        faults, dice, at = self.scenario.faults, self.dice, self.clock.now + after
        if dice.random() < faults.failed:
            self.seen["failed"] += 1
            self.clock.at(at, lambda: answered(Outcome(Kind.FAILED, "502")))
            return
        if dice.random() < faults.silent:
            self.seen["silent"] += 1
            return
        if dice.random() < faults.truncated:
            self.seen["truncated"] += 1
            outcome = Outcome(Kind.LOST, "an unreadable reply")
        self.clock.at(at, lambda: answered(outcome))
        if dice.random() < faults.duplicated:
            self.seen["duplicated"] += 1
            self.clock.at(at + dice.uniform(0, 5), lambda: answered(outcome))


def _stub(name: str) -> Task:
    return Task(name, "", "", {}, {}, {}, (), (0, _WHOLE), 0, 1, None)


def _none(payload: bytes) -> Reply:
    raise AssertionError("the model invokes nothing")


def _partial(work: Work) -> Partial:
    return Partial(work.id, None, None, Coverage(), ())


_DONE = Outcome(Kind.DONE, digest="of what it holds")


def modelled_fleet(scenario: Scenario) -> Fleet:
    """The fleet of a scenario: relays for many tasks, and as many concurrent workers as the account allows."""
    spread = replace(RELAYED, limit=float(scenario.account.concurrency))
    return Fleet(_none, relay=_none, spread=spread, worker=scenario.worker)


def simulate(scenario: Scenario, seed: int = 0, fleet: Fleet | None = None) -> Run:
    """One run of the scenario; equal seeds give equal runs."""
    return _World(scenario, fleet or modelled_fleet(scenario), seed).run()


@dataclass(frozen=True)
class Forecast:
    """Several runs: of the successful ones the median and worst seconds and the worst dollars; and all runs."""

    seconds: float
    worst: float
    dollars: float
    runs: tuple[Run, ...]


def forecast(scenario: Scenario, seeds: int = 5, fleet: Fleet | None = None) -> Forecast:
    """Runs of the scenario under the seeds 0, 1, ...; raises the first one's error if none succeeded."""
    runs = tuple(simulate(scenario, seed, fleet) for seed in range(seeds))
    answered = [run for run in runs if run.error is None]
    if not answered:
        raise runs[0].error or AssertionError
    seconds = [run.seconds for run in answered]
    return Forecast(statistics.median(seconds), max(seconds), max(run.cost.dollars for run in answered), runs)
