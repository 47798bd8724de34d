"""`Fleet`: runs tasks on invoked workers, with the coordinator on threads and the real clock."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any

from operators.compiler.targets import Target
from operators.errors import DataflowError
from runtime.errors import QueryError
from runtime.fleet.coordinator import Coordinator, Counts, Start, names
from runtime.fleet.message_versions import PROTOCOL
from runtime.fleet.messages import read_reply, request
from runtime.fleet.outcomes import Kind, Outcome, Reply
from runtime.fleet.pacing import NO_THREAD, RELAYED, PaceRules, share
from runtime.fleet.rules import RELAYS, Rules, TaskBatch, Work
from runtime.helpers import go_on, main_has_ended, same_work
from runtime.objects import ObjectStore
from runtime.query.task.partial import Partial
from runtime.query.task.task import Task
from runtime.result.cost import Used, Worker

Invoke = Callable[[bytes], Reply]
"""Sends one payload to a worker and waits for its reply; never raises for failures of network or service."""

_LOOK = 2.0
"""Seconds between checks whether the query was cancelled."""


@dataclass(frozen=True)
class Fleet:
    """Workers behind ``invoke``, which is called from one thread per concurrent invocation.

    ``target`` is their machine type, or a function that returns it at query time: they receive the kernels of a query.
    None: they compile for themselves.

    More than ``direct`` tasks (one process starts some 520 invocations a second) are distributed by relays, if
    ``relay`` (which invokes one) is set: ``batch`` tasks to each, each with its share of ``spread``, the pace of all
    workers together. ``relays`` are the rules for the relays themselves, ``worker`` is the size of a worker for cost
    estimates, ``function`` the name of the worker function, which relays use, too.
    """

    invoke: Invoke
    rules: Rules = field(default_factory=Rules)
    pace: PaceRules = field(default_factory=PaceRules)
    target: Target | Callable[[], Target] | None = None
    relay: Invoke | None = None
    relays: Rules = RELAYS
    spread: PaceRules = RELAYED
    direct: int = 500
    batch: int = 50
    worker: Worker = field(default_factory=Worker)
    function: str = ""

    def batches(self, tasks: int) -> int:
        """The number of relays for so many tasks; 0: none."""
        return -(-tasks // self.batch) if self.relay is not None and tasks > self.direct else 0


@dataclass(frozen=True)
class Answers:
    """The partial states by task or batch, the names of the tasks (the given ones, or their splits), those that failed,
    and counts.
    """

    tasks: Sequence[str]
    partials: Mapping[str, Partial]
    failed: Mapping[str, QueryError]
    counts: Counts

    @classmethod
    def of(cls, over: Coordinator) -> Answers:
        """The finished work of a coordinator."""
        tasks = [name for work in over.tasks.values() for name in over.inner.get(work.id) or names(work)]
        return cls(tasks, over.answers, over.failed, over.counts)


def batched(tasks: Sequence[Task], count: int) -> list[TaskBatch]:
    """The tasks in ``count`` batches of similar size; neighbours stay together, because they share files."""
    edges = [len(tasks) * i // count for i in range(count + 1)]
    return [TaskBatch(f"b{i}", tuple(tasks[a:b])) for i, (a, b) in enumerate(pairwise(edges))]


def relay_fields(fleet: Fleet, count: int, allow_partial: bool, stop: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Further fields of the requests of ``count`` relays; see ``relay``.

    Deadlines nest: a relay must reply before its attempt counts as lost.
    """
    return {
        "rules": asdict(fleet.rules),
        "pace": asdict(share(fleet.spread, count)),
        "seconds": 0.95 * fleet.relays.attempt_seconds,
        "allow_partial": allow_partial,
        "stop": stop,
        "extra": dict(extra),
        **({"function": fleet.function} if fleet.function else {}),
    }


@dataclass
class _Dialect:
    """The version of the messages in which a query asks: the newest one until a worker turns out to be older."""

    version: int = PROTOCOL


def answers(
    fleet: Fleet,
    tasks: Sequence[Task],
    objects: ObjectStore,
    allow_partial: bool,
    report: Callable[[Outcome], None],
    extra: Mapping[str, Any] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Answers:
    """Run all tasks; ``report`` is called with each outcome as it arrives, ``extra`` is added to the requests; its
    ``digests`` are those of the kernels that may answer.

    Raises ``TaskFailed`` or ``QueryTimeout`` naming tasks, and ``QueryError`` once it is ``stopped``. When interrupted,
    it starts nothing more; running workers finish their task, but nothing waits for them; relays are signalled to start
    nothing more, too.
    """
    query = uuid.uuid4().hex
    stop = f"spill/{query}/stop"
    count = fleet.batches(len(tasks))
    work: Sequence[Work] = batched(tasks, count) if count else tasks
    invoke = fleet.relay if count and fleet.relay is not None else fleet.invoke
    digests, dialect = (extra or {}).get("digests"), _Dialect()
    extra = relay_fields(fleet, count, allow_partial, stop, extra or {}) if count else extra
    # Not a SimpleQueue: with a tiny timeout, its `get` may wait for ever (CPython 3.11 and 3.12).
    replies: queue.Queue[tuple[int, Outcome | BaseException]] = queue.Queue()

    def asked(start: Start, version: int) -> Outcome:
        path = f"spill/{query}/{start.task.id}-{start.attempt}"
        payload = request(start.task, path, objects, extra, version)
        return read_reply(invoke(payload), start.task, objects, digests, version)

    begin = same_work()

    def attempt(start: Start) -> None:
        begin()
        try:
            outcome = asked(start, dialect.version)
            if outcome.speaks is not None:
                dialect.version = min(dialect.version, outcome.speaks)
                outcome = asked(start, outcome.speaks)
                outcome = replace(outcome, used=(outcome.used or Used()) + Used(invoked=1))
            replies.put((start.attempt, outcome))
        except BaseException as error:
            replies.put((start.attempt, error))

    rules = fleet.relays if count else fleet.rules
    now = look = time.monotonic()
    coordinator = Coordinator(work, now, rules, fleet.pace, int(query[:8], 16), allow_partial)
    try:
        while not coordinator.done:
            for start in coordinator.starts(time.monotonic()):
                # Not a pool: the process would wait for its threads at exit, up to a worker's time-out.
                thread = threading.Thread(target=attempt, args=(start,), name=f"antfold-{start.attempt}", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    go_on()
                    if main_has_ended():  # Python starts no threads any more
                        attempt(start)
                        continue
                    # the system allows no more threads: the running ones are the limit
                    replies.put((start.attempt, Outcome(Kind.THROTTLED, NO_THREAD)))
            now = time.monotonic()
            if now >= look + _LOOK:
                look = now
                if stopped():
                    raise QueryError("the query was cancelled by the caller")
            try:
                number, outcome = replies.get(timeout=max(0.0, min(coordinator.wake(now), look + _LOOK) - now))
            except queue.Empty:
                continue
            if isinstance(outcome, BaseException):
                raise outcome
            if coordinator.report(number, outcome, time.monotonic()):
                report(outcome)
    except BaseException:
        if count:
            with suppress(DataflowError):  # without the signal they end at their deadline
                objects.put(stop, b"stop")
        raise
    return Answers.of(coordinator)
