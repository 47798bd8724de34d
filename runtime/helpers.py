"""Threads that help with a part of one call: they end with it, also where it fails, and with the process.

Python waits at its end for all threads of pools, and lets none be started any more. Here a thread of the program that
is to be waited for does the rest of its work itself; a daemon thread, which nobody waits for, ends without a word.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_SLICE = 0.1
"""Seconds after which a pausing thread looks whether it is to end."""

_ending = threading.Event()
"""Set once the main thread has ended."""

_pools: weakref.WeakSet[Helpers] = weakref.WeakSet()


class _Here(threading.local):
    """What this thread works for: the pools above it, and whether Python waits for the thread that asked."""

    pools: tuple[Helpers, ...] = ()
    expendable: bool | None = None


_here = _Here()


def same_work() -> Callable[[], None]:
    """To be called first in a thread that this thread starts: that one works for the same call."""
    pools, expendable = _here.pools, _expendable()

    def begin() -> None:
        _here.pools, _here.expendable = pools, expendable

    return begin


def _expendable() -> bool:
    """Whether the thread that this work is for is a daemon, which Python does not wait for."""
    found = _here.expendable
    return threading.current_thread().daemon if found is None else found


def go_on() -> None:
    """Raise ``SystemExit`` if nobody waits for this thread's work any more; called between pieces of long work.

    Python ends a thread for it without a word, but not for a class derived from it.
    """
    if any(pool.abandoned for pool in _here.pools) or (_ending.is_set() and _expendable()):
        raise SystemExit("nobody waits for this work any more")


def pause(seconds: float) -> None:
    """Sleep, unless nobody waits any more; see ``go_on``."""
    until = time.monotonic() + seconds
    go_on()
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _SLICE))
        go_on()


def main_has_ended() -> bool:
    """Whether the main thread has ended: Python starts no threads any more."""
    return _ending.is_set()


class Helpers(ThreadPoolExecutor):
    """A pool of threads for a ``with`` block. Where the block fails, as by Ctrl-C, its threads end at their next
    ``go_on``."""

    def __init__(self, threads: int, name: str) -> None:
        go_on()
        super().__init__(threads, name, self._begin, (_here.pools, _expendable()))
        self.abandoned = False
        self.expendable = _expendable()
        _pools.add(self)

    def _begin(self, above: tuple[Helpers, ...], expendable: bool) -> None:
        _here.pools, _here.expendable = (*above, self), expendable

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See ``Executor.submit``; once Python takes no more work for threads, it is done here."""
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError:
            go_on()
            if not _ending.is_set():
                raise
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def abandon(self) -> None:
        """Nobody waits for what is not done."""
        self.abandoned = True
        self.shutdown(wait=False, cancel_futures=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abandon()
        self.shutdown(wait=True)


def _end() -> None:
    """When the main thread has ended, before Python waits for pools."""
    _ending.set()
    for pool in list(_pools):
        if pool.expendable:
            pool.abandon()


def _at_end_of_main(call: Callable[[], Any]) -> None:
    # What concurrent.futures uses; functions of ``atexit`` run only after all threads were waited for.
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(call)


_at_end_of_main(_end)
