"""A fleet of workers that are invoked one task at a time: the coordinator on threads and the real clock."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from operators.compiler.targets import Target
from runtime.errors import QueryError
from runtime.fleet.coordinator import Coordinator, Counts, Start
from runtime.fleet.messages import read_reply, request
from runtime.fleet.outcomes import Outcome, Reply
from runtime.fleet.pacing import PaceRules
from runtime.fleet.rules import Rules
from runtime.kernels import KernelRef
from runtime.objects import ObjectStore
from runtime.query.task import Partial, Task

Invoke = Callable[[bytes], Reply]
"""Sends one payload to a worker and waits for its reply; never raises for what the network or the service does."""


@dataclass(frozen=True)
class Fleet:
    """Workers behind ``invoke``, which is called from as many threads as there are invocations at once.

    ``target`` is the machine that they are, or what tells it when a query is asked: they are given the kernels that a
    query needs. None: they compile for themselves.
    """

    invoke: Invoke
    rules: Rules = field(default_factory=Rules)
    pace: PaceRules = field(default_factory=PaceRules)
    target: Target | Callable[[], Target] | None = None


@dataclass(frozen=True)
class Answers:
    """The partial states by task, the tasks (those given, or their halves), those that failed, and counts."""

    tasks: Sequence[Task]
    partials: Mapping[str, Partial]
    failed: Mapping[str, QueryError]
    counts: Counts


def answers(
    fleet: Fleet,
    tasks: Sequence[Task],
    objects: ObjectStore,
    allow_partial: bool,
    report: Callable[[Partial], None],
    kernels: Sequence[KernelRef] = (),
) -> Answers:
    """Have all tasks answered, by workers with these kernels; ``report`` is called with each answer as it comes.

    Raises ``TaskFailed`` or ``QueryTimeout`` naming tasks. Interrupted, it starts nothing more; workers that are under
    way finish their task, and nobody waits for them.
    """
    query = uuid.uuid4().hex
    replies: queue.SimpleQueue[tuple[int, Outcome | BaseException]] = queue.SimpleQueue()

    def attempt(start: Start) -> None:
        try:
            payload = request(start.task, f"spill/{query}/{start.task.id}-{start.attempt}", objects, kernels)
            replies.put((start.attempt, read_reply(fleet.invoke(payload), start.task, objects)))
        except BaseException as error:
            replies.put((start.attempt, error))

    coordinator = Coordinator(tasks, time.monotonic(), fleet.rules, fleet.pace, int(query[:8], 16), allow_partial)
    while not coordinator.done:
        for start in coordinator.starts(time.monotonic()):
            # Not a pool: its threads would be waited for at the end of the process, up to a worker's time-out.
            threading.Thread(target=attempt, args=(start,), name=f"antfold-{start.attempt}", daemon=True).start()
        now = time.monotonic()
        try:
            number, outcome = replies.get(timeout=max(0.0, coordinator.wake(now) - now))
        except queue.Empty:
            continue
        if isinstance(outcome, BaseException):
            raise outcome
        if coordinator.report(number, outcome, time.monotonic()):
            assert outcome.partial is not None
            report(outcome.partial)
    return Answers(list(coordinator.tasks.values()), coordinator.answers, coordinator.failed, coordinator.counts)
