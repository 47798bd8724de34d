"""The memory that a process keeps between queries: open point files and buffers, of all open stores together.

One limit holds for the process: ``ANTFOLD_CACHE_MB`` megabytes, 128 by default. What was used least recently is dropped
first. What a running query uses is its own and not counted.
"""

from __future__ import annotations

import itertools
import os
import weakref
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Any

from operators import forking
from operators.errors import DataflowError

VARIABLE = "ANTFOLD_CACHE_MB"
DEFAULT_MB = 128

_MOST_ITEMS = 4096
"""Also a limit: small items cost more than their bytes."""


def _limit() -> int:
    """The limit in bytes; DataflowError if the variable is not a whole number of megabytes."""
    given = os.environ.get(VARIABLE, "").strip()
    if not given:
        return DEFAULT_MB << 20
    if not (given.isascii() and given.isdecimal()) or len(given) > 9:
        raise DataflowError(f"{VARIABLE} is {given[:40]!r}; it is a whole number of megabytes, such as {DEFAULT_MB}")
    return int(given) << 20


class KeptMemory:
    """Values with their sizes, by owner and name; at most ``most`` bytes (None: as the environment says). Thread-safe.

    An owner is a number from ``owner``; its values go when the object that it was made for does.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._numbers = itertools.count()
        self._gone: deque[int] = deque()
        """Owners that were garbage-collected: the collector may run at any point, also within this class."""
        self._lock = forking.lock()
        self.make_anew()
        forking.renew(self, KeptMemory.make_anew)

    def make_anew(self) -> None:
        """Forget everything: for the child of a fork."""
        self._kept: OrderedDict[tuple[int, Hashable], tuple[Any, int]] = OrderedDict()
        self._held: dict[int, int] = {}

    @property
    def most(self) -> int:
        """The limit in bytes."""
        if self._most is None:
            self._most = _limit()
        return self._most

    @most.setter
    def most(self, size: int) -> None:
        self._most = size
        with self._lock:
            self._shrink()

    def owner(self, of: object) -> int:
        """A number for the values of this object."""
        number = next(self._numbers)
        weakref.finalize(of, self._gone.append, number).atexit = False
        return number

    def held(self, owner: int | None = None) -> int:
        """Bytes kept, of one owner or of all."""
        with self._lock:
            self._collect()
            return sum(self._held.values()) if owner is None else self._held.get(owner, 0)

    def names(self, owner: int) -> list[Hashable]:
        """The names of an owner's values, the least recently used first."""
        with self._lock:
            return [name for number, name in self._kept if number == owner]

    def get(self, owner: int, name: Hashable) -> Any:
        """The value, now the most recently used one; None if it is not kept."""
        with self._lock:
            found = self._kept.get((owner, name))
            if found is None:
                return None
            self._kept.move_to_end((owner, name))
            return found[0]

    def put(self, owner: int, name: Hashable, value: Any, size: int) -> None:
        """Keep a value of ``size`` bytes, unless it is larger than the limit."""
        with self._lock:
            self._collect()
            self._drop((owner, name))
            if size <= self.most:
                self._kept[owner, name] = value, size
                self._held[owner] = self._held.get(owner, 0) + size
                self._shrink()

    def resized(self, owner: int, name: Hashable, value: Any, size: int) -> None:
        """Record that a value, if it is still kept, has grown to ``size`` bytes; beyond the limit it is dropped."""
        with self._lock:
            found = self._kept.get((owner, name))
            if found is None or found[0] is not value:
                return
            if size > self.most:
                self._drop((owner, name))
            else:
                self._kept[owner, name] = value, size
                self._held[owner] += size - found[1]
                self._shrink()

    def drop(self, owner: int, name: Hashable) -> Any:
        """Keep the value no longer; returns it, or None if it was not kept."""
        with self._lock:
            return self._drop((owner, name))

    def drop_all(self, owner: int) -> None:
        """Keep none of an owner's values."""
        with self._lock:
            self._drop_owner(owner)

    def _drop(self, key: tuple[int, Hashable]) -> Any:
        found = self._kept.pop(key, None)
        if found is None:
            return None
        self._held[key[0]] -= found[1]
        return found[0]

    def _drop_owner(self, owner: int) -> None:
        for key in [key for key in self._kept if key[0] == owner]:
            del self._kept[key]
        self._held.pop(owner, None)

    def _collect(self) -> None:
        while self._gone:
            self._drop_owner(self._gone.popleft())

    def _shrink(self) -> None:
        total, most = sum(self._held.values()), self.most
        while self._kept and (total > most or len(self._kept) > _MOST_ITEMS):
            (owner, _), (_, size) = self._kept.popitem(last=False)
            self._held[owner] -= size
            total -= size


KEPT = KeptMemory()
"""The process's."""
