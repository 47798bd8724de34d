"""A model of Lambda on a virtual clock: limits, throttles and failures; the coordinator runs on it."""

from __future__ import annotations

import heapq
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.fleet.coordinator import Coordinator
from runtime.fleet.messages import MAX_PAYLOAD, read_reply, request
from runtime.fleet.outcomes import Reply
from runtime.fleet.pacing import PaceRules
from runtime.fleet.rules import Rules
from runtime.objects import ObjectStore
from runtime.query.task.task import Task

Answer = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Faults:
    """Shares of invocations that go wrong, and what the function and the account allow."""

    failed: float = 0.0
    straggling: float = 0.0
    duplicated: float = 0.0
    truncated: float = 0.0
    throttled: float = 0.0
    memory: Callable[[tuple[int, int]], bool] = lambda shard: False
    """Whether a range of keys is too much for a worker's memory."""
    concurrency: int = 1_000
    rate: float = 1_000.0
    """Invocations a second that are taken, and at once after a quiet second."""
    seconds: float = 0.8
    timeout: float = 60.0


class LambdaDouble:
    """Answers invocations as Lambda would, each at its virtual time; ``seen`` counts what it did."""

    def __init__(self, seed: int, answer: Answer, faults: Faults) -> None:
        self.random = random.Random(seed)
        self.answer = answer
        self.faults = faults
        self.seen: Counter[str] = Counter()
        self._ends: list[float] = []
        self._tokens, self._at = faults.rate, 0.0

    def invoke(self, payload: bytes, now: float) -> list[tuple[float, Reply]]:
        """When which replies come to one invocation: one, sometimes two, or none."""
        faults, dice = self.faults, self.random
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
        self.seen["invoked"] += 1
        if len(payload) > MAX_PAYLOAD:
            return [(now + 0.01, Reply(413, error="RequestTooLargeException"))]
        if dice.random() < faults.throttled:
            self.seen["throttled"] += 1
            reason = dice.choice(["CallerRateLimitExceeded", "FunctionInvocationRateLimitExceeded"])
            return [(now + 0.02, Reply(429, error="TooManyRequestsException", reason=reason))]
        self._tokens = min(faults.rate, self._tokens + (now - self._at) * faults.rate)
        self._at = now
        if self._tokens < 1:
            self.seen["too fast"] += 1
            reason = "FunctionInvocationRateLimitExceeded"
            return [(now + 0.02, Reply(429, error="TooManyRequestsException", reason=reason))]
        self._tokens -= 1
        if len(self._ends) >= faults.concurrency:
            self.seen["too many at once"] += 1
            reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
            return [(now + 0.02, Reply(429, error="TooManyRequestsException", reason=reason))]
        seconds = faults.seconds * dice.uniform(0.7, 1.6)
        if dice.random() < faults.straggling:
            self.seen["straggling"] += 1
            seconds *= 20
        end = now + min(seconds, faults.timeout)
        heapq.heappush(self._ends, end)
        if seconds > faults.timeout:
            self.seen["out of time"] += 1
            return [(end, function_error("Sandbox.Timedout", f"Task timed out after {faults.timeout:.2f} seconds"))]
        event = json.loads(payload)
        if faults.memory(tuple(event["task"]["shard"])):
            self.seen["out of memory"] += 1
            return [(end, function_error("Runtime.OutOfMemory", "signal: killed"))]
        if dice.random() < faults.failed:
            self.seen["failed"] += 1
            return dice.choice(
                [
                    [(end, function_error("Runtime.ImportModuleError", "cannot import"))],
                    [(end, Reply(502, error="ServiceException"))],
                    [(end, Reply(0, error="Connection was closed"))],
                    [],  # nothing is ever heard of it
                ]
            )
        body = json.dumps(self.answer(event)).encode()
        if len(body) > MAX_PAYLOAD:
            return [(end, function_error("Function.ResponseSizeTooLarge", "Response payload size exceeded"))]
        if dice.random() < faults.truncated:
            self.seen["truncated"] += 1
            body = body[: int(dice.random() * len(body))]  # one draw, however long it is
        replies = [(end, Reply(200, body))]
        if dice.random() < faults.duplicated:
            self.seen["duplicated"] += 1
            replies.append((end + dice.uniform(0, 5), Reply(200, body)))
        return replies


def function_error(type_: str, message: str) -> Reply:
    """How Lambda reports what became of a function's process."""
    return Reply(200, json.dumps({"errorType": type_, "errorMessage": message}).encode(), "Unhandled")


def play(
    tasks: Sequence[Task],
    double: LambdaDouble,
    objects: ObjectStore,
    rules: Rules,
    pace: PaceRules | None = None,
    seed: int = 0,
    allow_partial: bool = False,
) -> tuple[Coordinator, float]:
    """The coordinator with its tasks over, and the virtual seconds that took; raises what it raises."""
    clock, order, steps = 0.0, 0, 0
    events: list[tuple[float, int, int, Task, Reply]] = []
    coordinator = Coordinator(tasks, clock, rules, pace, seed, allow_partial)
    while not coordinator.done:
        for start in coordinator.starts(clock):
            payload = request(start.task, f"spill/{start.task.id}-{start.attempt}", objects)
            for at, reply in double.invoke(payload, clock):
                order += 1
                heapq.heappush(events, (at, order, start.attempt, start.task, reply))
        if coordinator.done:
            break
        wake = coordinator.wake(clock)
        if events and events[0][0] <= wake:
            clock, _, attempt, task, reply = heapq.heappop(events)
            coordinator.report(attempt, read_reply(reply, task, objects), clock)
        else:
            clock = wake
        steps += 1
        assert steps < 200 * (len(tasks) + 10) + 20 * double.seen["invoked"], "the coordinator goes round in circles"
    for at, _, attempt, task, reply in sorted(events, key=lambda e: e[:2]):  # what comes when all is over
        coordinator.report(attempt, read_reply(reply, task, objects), at)
    return coordinator, clock
