"""Two levels of Lambda on a virtual clock: real coordinators and relays over fakes that fail at both levels."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from runtime.errors import QueryError
from runtime.fleet.coordinator import Coordinator, Start
from runtime.fleet.fleet import Answers, Fleet, batched, relay_fields
from runtime.fleet.messages import MAX_PAYLOAD, read_batch, read_reply, refusal, request
from runtime.fleet.outcomes import Reply
from runtime.fleet.relay import inner_fleet, inner_used, reply_of
from runtime.fleet.rules import TaskBatch
from runtime.fleet.simulation.virtual_clock import Driven, VirtualClock
from runtime.objects import ObjectStore
from runtime.query.task.task import Task
from runtime.result.cost import Used, Worker
from tests.simulator.workers import Faults, LambdaDouble, function_error

Answered = Callable[[Reply], None]


@dataclass(frozen=True)
class RelayFaults:
    """Shares of invocations of relays that go wrong, their time-out, and batches too large for their memory."""

    failed: float = 0.0
    straggling: float = 0.0
    duplicated: float = 0.0
    truncated: float = 0.0
    throttled: float = 0.0
    memory: Callable[[TaskBatch], bool] = lambda batch: False
    timeout: float = 180.0


class TwoLevels:
    """One query on relays and workers, from the first start until nothing is under way."""

    def __init__(
        self, fleet: Fleet, double: LambdaDouble, objects: ObjectStore, faults: RelayFaults, seed: int,
        allow_partial: bool = False, reply: Callable[..., dict[str, Any]] = reply_of,
        nested: Callable[..., Fleet] = inner_fleet,
    ) -> None:  # fmt: skip
        self.fleet, self.double, self.objects, self.faults, self.seed = fleet, double, objects, faults, seed
        self.allow_partial, self.reply, self.nested = allow_partial, reply, nested
        self.clock, self.dice = VirtualClock(), random.Random(seed)
        self.seen: Counter[str] = Counter()
        self.open = 0
        """Relays that run."""

    def run(self, tasks: Sequence[Task]) -> tuple[Coordinator, float]:
        """The caller's coordinator with its work over, and the virtual seconds that took; raises what it raises."""
        count = self.fleet.batches(len(tasks))
        extra = relay_fields(self.fleet, count, self.allow_partial, "spill/stop", {})
        coordinator = Coordinator(
            batched(tasks, count), 0.0, self.fleet.relays, self.fleet.pace, self.seed, self.allow_partial
        )
        ends: list[tuple[float, QueryError | None]] = []
        driven = self.drive(coordinator, extra, self.relay, lambda error: ends.append((self.clock.now, error)))
        self.clock.run()
        assert self.clock.steps < 100_000, "the coordinators go round in circles"
        ((seconds, error),) = ends
        assert self.open == 0
        if error or driven.late:
            raise error or driven.late or AssertionError
        return coordinator, seconds

    def drive(
        self, coordinator: Coordinator, extra: dict[str, Any], invoke: Callable[[bytes, Answered], None],
        end: Callable[[QueryError | None], None],
    ) -> Driven:  # fmt: skip
        def begin(start: Start) -> None:
            def answered(reply: Reply) -> None:
                driven.report(start.attempt, read_reply(reply, start.task, self.objects))

            path = f"spill/{self.seed}/{start.task.id}-{start.attempt}"
            payload = request(start.task, path, self.objects, extra)
            self.clock.at(self.clock.now, lambda: invoke(payload, answered))

        driven = Driven(self.clock, coordinator, begin, end)
        return driven

    def worker(self, payload: bytes, answered: Answered) -> None:
        for at, reply in self.double.invoke(payload, self.clock.now):
            self.clock.at(at, lambda reply=reply: answered(reply))

    def relay(self, payload: bytes, answered: Answered) -> None:
        faults, dice, clock = self.faults, self.dice, self.clock
        self.seen["relays"] += 1
        assert len(payload) <= MAX_PAYLOAD
        if dice.random() < faults.throttled:
            self.seen["throttled"] += 1
            reply = Reply(429, error="TooManyRequestsException", reason="CallerRateLimitExceeded")
            clock.at(clock.now + 0.02, lambda: answered(reply))
            return
        event = json.loads(payload)
        batch = read_batch(event["batch"])
        slow = 16.0 if dice.random() < faults.straggling else 0.0
        self.seen["straggling"] += slow > 0
        dead = [False]
        self.open += 1

        def die(reply: Reply | None) -> None:
            if not dead[0]:
                dead[0] = True
                self.open -= 1
                if reply is not None:
                    answered(reply)

        def over(coordinator: Coordinator, error: QueryError | None) -> None:
            if dead[0]:
                return
            if faults.memory(batch):
                self.seen["out of memory"] += 1
                die(function_error("Runtime.OutOfMemory", "signal: killed"))
                return
            found = Answers.of(coordinator)
            sent = refusal(batch.id, error) if error else self.reply(batch, found, event["spill"], self.objects)
            used = Used.of(1.0, Worker()) + inner_used(coordinator.counts)
            self.send(json.dumps({**sent, "used": asdict(used)}).encode(), slow, answered)
            die(None)

        def enter() -> None:
            inner = self.nested(event, None, faults.timeout - slow)
            seed = self.dice.randrange(1 << 32)
            coordinator = Coordinator(batch.tasks, clock.now, inner.rules, inner.pace, seed, event["allow_partial"])
            self.drive(coordinator, event["extra"], self.unless(dead), lambda error: over(coordinator, error))

        if dice.random() < faults.failed:
            self.seen["failed"] += 1
            ends = [
                function_error("Runtime.ExitError", "exit status 1"),
                Reply(502, error="ServiceException"),
                Reply(0),
            ]
            ending = dice.choice([*ends, None])
            clock.at(clock.now + dice.uniform(0, 3), lambda: die(ending))
        late = function_error("Sandbox.Timedout", f"Task timed out after {faults.timeout:.2f} seconds")
        clock.at(clock.now + faults.timeout, lambda: self.time_out(dead, die, late))
        clock.at(clock.now + slow, enter)

    def time_out(self, dead: list[bool], die: Callable[[Reply | None], None], late: Reply) -> None:
        if not dead[0]:
            self.seen["out of time"] += 1
            die(late)

    def unless(self, dead: list[bool]) -> Callable[[bytes, Answered], None]:
        """A process that is no more invokes nothing."""

        def invoke(payload: bytes, answered: Answered) -> None:
            if not dead[0]:
                self.worker(payload, lambda reply: None if dead[0] else answered(reply))

        return invoke

    def send(self, body: bytes, slow: float, answered: Answered) -> None:
        """The reply on its way: cut, twice, or as it should be."""
        dice, now = self.dice, self.clock.now
        if dice.random() < self.faults.truncated:
            self.seen["truncated"] += 1
            body = body[: int(dice.random() * len(body))]  # one draw, however long it is
        reply = Reply(200, body)
        self.clock.at(now + 0.02, lambda: answered(reply))
        if dice.random() < self.faults.duplicated:
            self.seen["duplicated"] += 1
            self.clock.at(now + dice.uniform(0, 5), lambda: answered(reply))


STORY = Faults(failed=0.2, straggling=0.05, duplicated=0.01, truncated=0.01, throttled=0.5)
RELAY_STORY = RelayFaults(failed=0.2, straggling=0.05, duplicated=0.01, truncated=0.01, throttled=0.5)
