"""Queries on executors whose workers are killed, crash or answer nonsense: a typed error, or what is there."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dataflow as df
from runtime import PartialResult, Store
from runtime.errors import FormatError, QueryError
from runtime.fleet import TaskFailed, executor_query
from runtime.query.plan import make_tasks as splitting

START = 19_800 * 86_400_000_000
METRIC = df.stream("s").sessionize("1h").group_by("device").agg(n=df.count())


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(splitting, "_SMALL", 100)  # several tasks
    monkeypatch.setattr(executor_query, "RULES", replace(executor_query.RULES, base=0.001, cap=0.002))
    store = Store(tmp_path / "store")
    i = np.arange(4_000)
    store.ingest("s", {"device": i % 300, "ts": START + i * 10_000_000}, key="device", time="ts", unit="us")
    return store


def ask(store: Store, executor: Executor, **options: Any) -> Any:
    """The result, or the error; fails if there is neither within two minutes."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(store.query(METRIC, executor=executor, workers=2, progress=False, **options))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(120)
    assert found, "the query hangs"
    return found[0]


def killed(_: bytes) -> bytes:
    """In place of a task: as the system does when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


class Deadly(Executor):
    """A process pool whose worker is killed by task number ``at``, once all before it are done."""

    def __init__(self, at: int) -> None:
        self._pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
        self._at, self._futures = at, list[Future[Any]]()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        if len(self._futures) == self._at:
            for future in self._futures:
                future.exception()
        self._futures.append(self._pool.submit(killed if len(self._futures) == self._at else fn, *args, **options))
        return self._futures[-1]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


class Odd(Executor):
    """Runs tasks at once; ``does`` may do something else with the number of the submission."""

    def __init__(self, does: Callable[[int, Callable[[], Any]], Any]) -> None:
        self.does, self.calls = does, 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.calls += 1
        try:
            future.set_result(self.does(self.calls, lambda: fn(*args, **options)))
        except Exception as error:
            future.set_exception(error)
        return future


def test_a_killed_worker_is_an_error_that_names_a_task(store: Store) -> None:
    with Deadly(1) as pool:
        error = ask(store, pool)
        assert isinstance(error, TaskFailed)
        assert str(error).startswith("task 0.")
        assert "one of its worker processes was killed" in str(error)
        assert isinstance(error.__cause__, BrokenProcessPool)
        # The pool is broken for good: the next query on it says so at once.
        assert isinstance(ask(store, pool), TaskFailed)


def test_a_killed_worker_leaves_the_tasks_that_are_done(store: Store) -> None:
    whole = store.query(METRIC, progress=False)
    with Deadly(1) as pool:
        partial = ask(store, pool, allow_partial=True)
    assert isinstance(partial, PartialResult)
    assert partial.missing
    assert all("was killed" in text for text in partial.missing)
    assert 0 < len(partial) < len(whole)
    assert set(partial) < set(whole)


def test_workers_killed_from_outside(store: Store) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        begun = pool.submit(int, 0).result()
        assert begun == 0
        for worker in list(pool._processes.values()):
            worker.kill()
        assert isinstance(ask(store, pool), TaskFailed)


def test_a_pool_that_is_just_breaking(store: Store) -> None:
    """It has closed its pipes, and does not know yet that it is broken."""

    def closed(_: int, __: Callable[[], Any]) -> Any:
        raise AssertionError("never submitted")

    executor = Odd(closed)
    executor.submit = lambda *_: (_ for _ in ()).throw(OSError("handle is closed"))  # type: ignore[method-assign, assignment]
    error = ask(store, executor)
    assert isinstance(error, TaskFailed)
    assert "make a new executor" in str(error)


def test_a_crashed_task_is_repeated(store: Store) -> None:
    def fails_at_first(call: int, run: Callable[[], Any]) -> Any:
        if call <= 3:
            raise OSError("the connection to the worker was lost")
        return run()[: -1 if call == 4 else None]  # then a reply that is cut off

    executor = Odd(fails_at_first)
    assert list(ask(store, executor)) == list(store.query(METRIC, progress=False))
    assert executor.calls > 4


def test_a_task_that_always_crashes_is_given_up(store: Store) -> None:
    def fails(_: int, __: Callable[[], Any]) -> Any:
        raise OSError("the connection to the worker was lost")

    executor = Odd(fails)
    error = ask(store, executor)
    assert isinstance(error, TaskFailed)
    assert "task 0." in str(error)
    assert "OSError: the connection to the worker was lost" in str(error)
    assert isinstance(error.__cause__, OSError)
    tasks = len(ask(store, executor, allow_partial=True).missing)
    executor.calls = 0
    assert len(ask(store, executor, allow_partial=True).missing) == tasks
    assert executor.calls == tasks * (1 + executor_query.RULES.failures)


def test_an_error_of_the_query_is_not_repeated(store: Store) -> None:
    def refuses(_: int, __: Callable[[], Any]) -> Any:
        raise FormatError("days/x is damaged")

    executor = Odd(refuses)
    error = ask(store, executor)
    assert (type(error), str(error)) == (FormatError, "days/x is damaged")
    assert "days/x is damaged" in ask(store, executor, allow_partial=True).missing[0]


def test_an_executor_that_takes_no_tasks(store: Store) -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    error = ask(store, pool)
    assert isinstance(error, TaskFailed)
    assert "the executor was shut down" in str(error)


def test_a_reply_that_is_no_bytes(store: Store) -> None:
    error = ask(store, Odd(lambda *_: 7))
    assert type(error) is QueryError
    assert "is not bytes: the executor returned a int" in str(error)


def test_memory_that_is_short(store: Store) -> None:
    def short(*_: Any) -> Any:
        raise MemoryError

    error = ask(store, Odd(short))
    assert isinstance(error, TaskFailed)
    assert "give the workers more memory" in str(error)
