"""Forks: what a forked process must make anew, and when a process must not be forked.

A forked process has one thread. What other threads were about stays as it was at that moment: their locks are held for
ever, and what they waited for never comes. So every lock of the project is made by ``lock``, which is open in the
child, and objects whose state would be half done, or whose connections must not be shared, join by ``renew``. Locks
within C libraries (SQLite, LLVM) cannot be made anew: their calls are ``unforked``, and a fork waits for them.

Objects are registered weakly. Nothing here is needed for ``subprocess``, ``spawn`` or ``forkserver``.
"""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeVar

T = TypeVar("T")

_PATIENCE = 30.0
"""Seconds that a fork waits at most for calls that must not be forked, and for imports of other threads."""

_END_PATIENCE = 5.0
"""The same, at the end of the process."""

_joined: dict[int, tuple[weakref.ref[Any], Callable[[Any], None]]] = {}
"""By identity: hashing an object may need its fields."""


def renew(owner: T, anew: Callable[[T], None]) -> None:
    """In each forked child, call ``anew(owner)`` if ``owner`` still exists: before any other code runs there.

    ``anew`` must hold no reference to the owner (a function of its class does not), and may not wait for a lock.
    """
    key = id(owner)
    _joined[key] = weakref.ref(owner, lambda _: _joined.pop(key, None)), anew


def lock() -> threading.Lock:
    """A lock that is open in a forked child."""
    made: Any = threading.Lock()
    renew(made, _open)
    return made  # type: ignore[no-any-return]


def reentrant_lock() -> Any:
    """A ``threading.RLock`` that is open in a forked child."""
    made = threading.RLock()
    renew(made, _open)
    return made


def _open(of: Any) -> None:
    # As the standard library does for its own (logging, concurrent.futures).
    of._at_fork_reinit()


class _Gate:
    """Counts the threads within ``unforked``; while a fork waits or is under way, no other thread may enter."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: dict[int, int] = {}
        self._forking: set[int] = set()

    def enter(self) -> None:
        me = threading.get_ident()
        with self._changed:
            # A thread that is within, or that forks, may get here again: a finalizer runs anywhere.
            while self._forking and me not in self._inside and me not in self._forking:
                self._changed.wait()
            self._inside[me] = self._inside.get(me, 0) + 1

    def leave(self) -> None:
        me = threading.get_ident()
        with self._changed:
            left = self._inside.get(me, 1) - 1  # nothing is counted in a child that is forked within
            if left:
                self._inside[me] = left
            else:
                self._inside.pop(me, None)
                if self._forking:
                    self._changed.notify_all()

    def close(self, seconds: float) -> None:
        """Let no other thread enter, and wait until none is within, for a limited time."""
        me = threading.get_ident()
        with self._changed:
            self._forking.add(me)
            self._changed.wait_for(lambda: not self._inside.keys() - {me}, seconds)

    def open(self) -> None:
        """After a fork, in the parent."""
        with self._changed:
            self._forking.discard(threading.get_ident())
            self._changed.notify_all()


_gate = _Gate()


@contextmanager
def unforked() -> Iterator[None]:
    """Within, no other thread forks this process: a fork waits until the end, but no longer than half a minute.

    At the end of the process, daemon threads are stopped here: SQLite must not be used while it is closed.
    """
    _gate.enter()
    try:
        yield
    finally:
        _gate.leave()


def _others_import() -> bool:
    """Whether another thread is importing a module, which the child could then never import."""
    locks = getattr(getattr(importlib, "_bootstrap", None), "_module_locks", {})
    owners = {getattr(found, "owner", None) for ref in list(locks.values()) if (found := ref()) is not None}
    return bool(owners - {None, threading.get_ident()})


def _before() -> None:
    until = time.monotonic() + _PATIENCE
    _gate.close(_PATIENCE)
    while time.monotonic() < until and _others_import():
        time.sleep(0.001)


def _in_child() -> None:
    global _gate
    _gate = _Gate()
    for ref, anew in list(_joined.values()):
        owner = ref()
        if owner is not None:
            anew(owner)
    if sys.version_info < (3, 12):
        _renew_cached_properties()


def _renew_cached_properties() -> None:
    """Before Python 3.12 a ``cached_property`` has a lock, which is held while the property is computed."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("operators", "dataflow", "runtime", "deploy"):
            for kind in [found for found in vars(module).values() if isinstance(found, type)]:
                for value in vars(kind).values():
                    if isinstance(value, cached_property):
                        value.lock = threading.RLock()  # type: ignore[attr-defined, unused-ignore]


os.register_at_fork(before=_before, after_in_parent=lambda: _gate.open(), after_in_child=_in_child)

# At the end of the process those of its functions run first that were registered last. What ``weakref.finalize`` closes
# then must not be in use: it registers its own with its first object.
weakref.finalize(_gate, int)
atexit.register(lambda: _gate.close(_END_PATIENCE))
