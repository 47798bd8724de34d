"""Forks: what is made anew in the child, and what a fork waits for."""

from __future__ import annotations

import gc
import os
import threading
import time
from functools import cached_property

import pytest

from operators import forking
from tests.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def exit_status(child: object, seconds: float = 10.0) -> int | None:
    """The status with which a forked child ends in which ``child`` is true; None if it is not done in time."""
    assert callable(child)
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            status = 0 if child() else 1
        finally:
            os._exit(status)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return None


class Held:
    """Something with a state that only the parent may have."""

    def __init__(self) -> None:
        self.state = "parent"
        forking.renew(self, Held.anew)

    def anew(self) -> None:
        self.state = "child"


def test_locks_are_open_in_the_child() -> None:
    lock, again, plain = forking.lock(), forking.reentrant_lock(), threading.Lock()
    entered, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock, again, plain:
            entered.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(10)
    assert exit_status(lambda: lock.acquire(timeout=5) and again.acquire(timeout=5)) == 0
    assert exit_status(lambda: plain.acquire(timeout=0.2)) == 1  # so it was held
    assert lock.locked()
    done.set()
    thread.join()


def test_objects_that_joined_are_renewed_and_others_forgotten() -> None:
    held = Held()
    gone = [Held() for _ in range(10)]
    keys = {id(each) for each in gone}
    assert keys <= forking._joined.keys()
    gone.clear()
    gc.collect()
    assert not keys & {key for key, (ref, _) in forking._joined.items() if isinstance(ref(), Held)}
    assert id(held) in forking._joined
    assert exit_status(lambda: held.state == "child") == 0
    assert held.state == "parent"


def test_a_fork_waits_for_what_must_not_be_forked() -> None:
    entered, left = threading.Event(), list[float]()

    def work() -> None:
        with forking.unforked(), forking.unforked():
            entered.set()
            time.sleep(0.5)
            left.append(time.monotonic())

    thread = threading.Thread(target=work)
    thread.start()
    entered.wait(10)
    assert exit_status(lambda: bool(left) and forking._gate._inside == {}) == 0
    assert time.monotonic() >= left[0]
    thread.join()
    with forking.unforked():  # it is open again
        pass


def test_a_fork_waits_no_longer_than_its_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "_PATIENCE", 0.2)
    entered, enough = threading.Event(), threading.Event()

    def work() -> None:
        with forking.unforked():
            entered.set()
            enough.wait(20)

    thread = threading.Thread(target=work)
    thread.start()
    entered.wait(10)
    begun = time.monotonic()
    assert exit_status(lambda: True) == 0
    assert 0.2 <= time.monotonic() - begun < 10
    enough.set()
    thread.join()


def test_a_thread_may_fork_within() -> None:
    def child() -> bool:
        with forking.unforked():
            return True

    with forking.unforked():
        assert exit_status(child) == 0
    assert forking._gate._inside == {}


def test_threads_enter_again_after_many_forks() -> None:
    stop, counts = threading.Event(), [0, 0, 0]

    def work(n: int) -> None:
        while not stop.is_set():
            with forking.unforked():
                counts[n] += 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(12):
            assert exit_status(lambda: forking._gate._inside == {}) == 0
        seen = list(counts)
        until(lambda: all(now > then for now, then in zip(counts, seen, strict=True)))
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


def test_a_fork_waits_for_imports_of_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    importing, polled = [True], list[bool]()

    def others() -> bool:
        polled.append(importing[0])
        if len(polled) > 3:
            importing[0] = False
        return importing[0]

    monkeypatch.setattr(forking, "_others_import", others)
    assert exit_status(lambda: len(polled) > 3) == 0
    monkeypatch.undo()
    assert not forking._others_import()


def test_cached_properties_are_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    from operators.types import Type

    (of,) = [v for v in vars(Type).values() if isinstance(v, cached_property)][:1]
    if not hasattr(of, "lock"):
        pytest.skip("this Python's cached properties have no lock")
    entered, enough = threading.Event(), threading.Event()

    def hold() -> None:
        with of.lock:  # type: ignore[attr-defined, unused-ignore]
            entered.set()
            enough.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(10)
    assert exit_status(lambda: of.lock.acquire(timeout=5)) == 0  # type: ignore[attr-defined, unused-ignore]
    enough.set()
    thread.join()
