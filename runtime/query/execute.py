"""Runs the tasks of a prepared query on threads, and merges them into a result; and a task that travels as bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager

from operators.errors import DataflowError, as_sent
from runtime.catalogue import FileEntry
from runtime.errors import FormatError, QueryError
from runtime.helpers import Helpers
from runtime.pointfile import PointFile
from runtime.progress import Progress
from runtime.query.merge.conclude import conclude
from runtime.query.merge.spilling import Spill
from runtime.query.plan.prepare import Prepared
from runtime.query.task import state_bytes
from runtime.query.task.partial import Partial
from runtime.query.task.task import Saving, Task, request_digest, run
from runtime.result.result import Result
from runtime.storage.open_store import OpenStore

_DIGEST = 64
"""Characters of a task's digest."""


OpenFile = Callable[[FileEntry], PointFile]


def payload_of(task: Task) -> bytes:
    """The task's digest followed by the task as bytes."""
    return task.request_digest.encode() + task.to_bytes()


def run_payload(payload: bytes) -> bytes:
    """Run a task given as bytes (``payload_of``) and return its partial state as bytes, for executors with other
    processes. FormatError if the bytes were altered in transit."""
    digest, data = payload[:_DIGEST].decode("ascii", "replace"), payload[_DIGEST:]
    try:
        found = request_digest(json.loads(data))
    except (ValueError, RecursionError):
        found = ""
    if found != digest or not found:
        raise FormatError("a task was altered on its way to a worker: repeat the query")
    task = Task.from_bytes(data)
    store = OpenStore.shared(task.store)
    try:
        with store.opened.ahead(task.files):
            return state_bytes.pack(run(task, store.open_file), digest)
    except Exception as error:
        # One that the caller's process could not read would break a pool.
        raise as_sent(error) from error.__cause__


@contextmanager
def _submitter(
    workers: int, run_here: Callable[[Task], Partial], last: Task
) -> Iterator[Callable[[Task], Future[Partial]]]:
    """A function that starts a task (``last`` after all others) and returns its future."""

    def start(t: Task) -> Future[Partial]:
        if t is not last:
            return pool.submit(run_here, t)
        # The calling thread would only wait, so it is a worker, too.
        future: Future[Partial] = Future()
        try:
            future.set_result(run_here(t))
        except DataflowError as error:
            future.set_exception(error)
        return future

    with Helpers(max(1, workers - 1), "antfold") as pool:
        yield start


def execute(
    prepared: Prepared,
    tasks: Sequence[Task],
    open_file: OpenFile,
    *,
    workers: int,
    progress: Progress,
    allow_partial: bool,
) -> Result:
    """Run the tasks, merge their partial states, check completeness, and finish."""
    partials, failed = answered(
        prepared, tasks, open_file, workers=workers, progress=progress, allow_partial=allow_partial
    )
    return conclude(prepared, tasks, partials, failed, spent=True)


def answered(
    prepared: Prepared,
    tasks: Sequence[Task],
    open_file: OpenFile,
    *,
    workers: int,
    progress: Progress,
    allow_partial: bool,
    saving: Mapping[str, Saving] | None = None,
    spill: Spill | None = None,
) -> tuple[list[Partial], dict[str, DataflowError]]:
    """The partial states of the tasks (at least one), and the failed tasks; ``saving``: checkpoints of local tasks, by
    id. ``spill``: where local tasks put groups that do not fit in memory."""
    # Compiled here, so that an error is raised once; the processes that run tasks find the kernel.
    compiled = prepared.compiled.ready()

    def run_here(task: Task) -> Partial:
        return run(task, open_file, compiled, None if saving is None else saving[task.id], spill)

    partials: dict[str, Partial] = {}
    failed: dict[str, DataflowError] = {}
    total = sum(f.bytes for f in prepared.files)
    bar = progress.start(f"query {prepared.names}", total, "bytes")
    share = total // max(1, len(tasks))
    try:
        with _submitter(workers, run_here, tasks[-1]) as submit:
            pending = {submit(t): t for t in tasks}
            try:
                while pending:
                    done, _ = wait(pending, return_when=FIRST_COMPLETED)
                    for future in done:
                        task = pending.pop(future)
                        try:
                            partial = future.result()
                        except DataflowError as error:
                            if not allow_partial:
                                raise
                            failed[task.id] = error
                            continue
                        if partial.task in partials:
                            raise QueryError(f"task {partial.task} answered twice")
                        partials[partial.task] = partial
                        bar.advance(share, rows=sum(partial.coverage.rows.values()))
            finally:
                for future in pending:
                    future.cancel()
    finally:
        bar.finish()
    return [partials[t.id] for t in tasks if t.id in partials], failed
