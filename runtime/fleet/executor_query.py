"""Runs the tasks of a query on any ``concurrent.futures.Executor``, by the retry rules of a fleet."""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from typing import Any

from operators.errors import DataflowError
from runtime.errors import FormatError, QueryError
from runtime.fleet.coordinator import Coordinator, TaskFailed
from runtime.fleet.outcomes import Kind, Outcome
from runtime.fleet.pacing import PaceRules
from runtime.fleet.rules import Rules
from runtime.progress import Progress
from runtime.query.execute import payload_of, run_payload
from runtime.query.plan.prepare import Prepared
from runtime.query.task import state_bytes
from runtime.query.task.partial import Partial
from runtime.query.task.task import Task

RULES = Rules(splits=0, attempt_seconds=math.inf, query_seconds=math.inf, hedge_after=math.inf)
"""As for a fleet, but a task may wait in the executor's queue for any time, and is neither hedged nor split."""

_PACE = PaceRules(rate=1e9, most=1e9, burst=1e9, limit=1e9)
"""The executor has a queue of its own."""

_LOOK = 1.0
"""Seconds after which a waiting thread looks up, so that signals are handled."""


def answered_by(
    executor: Executor,
    prepared: Prepared,
    tasks: Sequence[Task],
    progress: Progress,
    allow_partial: bool,
) -> tuple[list[Partial], dict[str, DataflowError]]:
    """The partial states of the tasks, and the failed tasks; see ``query.execute.answered``.

    A task that crashes, or whose reply cannot be read, is repeated. An error of the query itself is raised as it is,
    any other as a ``TaskFailed`` that names the task. An executor that takes no more tasks, as a pool does in which a
    worker was killed, fails those that are not done.
    """
    prepared.compiled.ready()  # so that an error is raised once; the processes that run tasks find the kernel
    by_id = {task.id: task for task in tasks}
    total = sum(f.bytes for f in prepared.files)
    bar = progress.start(f"query {prepared.names}", total, "bytes")
    coordinator = Coordinator(tasks, time.monotonic(), RULES, _PACE, allow_partial=allow_partial)
    replies: queue.Queue[tuple[int, Future[bytes]]] = queue.Queue()
    under_way: dict[int, tuple[Task, Future[bytes]]] = {}
    failed: dict[str, DataflowError] = {}
    cause: BaseException | None = None

    try:
        while not coordinator.done:
            for start in coordinator.starts(time.monotonic()):
                task = by_id[start.task.id]
                future = _submitted(executor, task)
                under_way[start.attempt] = task, future
                future.add_done_callback(lambda done, number=start.attempt: replies.put((number, done)))  # type: ignore[misc]
            now = time.monotonic()
            try:
                number, future = replies.get(timeout=max(0.0, min(coordinator.wake(now) - now, _LOOK)))
            except queue.Empty:
                continue
            task, _ = under_way.pop(number)
            outcome, cause = _outcome(task, future)
            if isinstance(cause, DataflowError) and outcome.kind is Kind.REFUSED and not outcome.named:
                if not allow_partial:
                    raise cause
                failed[task.id] = cause
            if coordinator.report(number, outcome, time.monotonic()) and outcome.partial is not None:
                bar.advance(total // len(tasks), rows=sum(outcome.partial.coverage.rows.values()))
    except TaskFailed as error:
        raise error from cause
    finally:
        for _, future in under_way.values():
            future.cancel()
        bar.finish()
    return [coordinator.answers[t.id] for t in tasks if t.id in coordinator.answers], {**coordinator.failed, **failed}


def _submitted(executor: Executor, task: Task) -> Future[bytes]:
    """The task's future; where the executor takes no tasks, one with that error."""
    try:
        return executor.submit(run_payload, payload_of(task))
    except (RuntimeError, OSError) as error:  # broken, or shut down; a pool that is just breaking has closed its pipes
        refused: Future[bytes] = Future()
        if isinstance(error, OSError):
            refused.set_exception(BrokenExecutor(str(error)))
        else:
            refused.set_exception(error if isinstance(error, BrokenExecutor) else CancelledError(str(error)))
        return refused


def _outcome(task: Task, future: Future[Any]) -> tuple[Outcome, BaseException | None]:
    """The outcome of an attempt, and the error behind it."""
    what = f"task {task.id} of {task.stream} was not done: "
    try:
        reply = future.result()
    except BrokenExecutor as error:
        why = (
            f"the executor is broken, as a pool is once one of its worker processes was killed ({error}); make a new "
            "executor and repeat the query, with fewer workers if memory was short"
        )
        return Outcome(Kind.REFUSED, f"{what}{why}.", named=True), error
    except CancelledError as error:
        return Outcome(
            Kind.REFUSED, f"{what}the executor was shut down; repeat the query on another.", named=True
        ), error
    except DataflowError as error:
        return Outcome(Kind.REFUSED, str(error)), error
    except MemoryError as error:
        return Outcome(Kind.MEMORY, str(error)), error
    except Exception as error:
        return Outcome(Kind.FAILED, f"{type(error).__name__}: {error}"), error
    if not isinstance(reply, bytes):
        wrong = QueryError(
            f"the reply of task {task.id} is not bytes: the executor returned a {type(reply).__name__}; it must return "
            "what the function returns"
        )
        return Outcome(Kind.REFUSED, str(wrong)), wrong
    try:
        partial = state_bytes.unpack(reply, task.id, task.request_digest)
    except FormatError as error:
        return Outcome(Kind.LOST, f"a reply that cannot be read ({error})"), error
    return Outcome(Kind.DONE, partial=partial), None
