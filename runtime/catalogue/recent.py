"""What was read last, kept by name while it has room."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """The values that were put last, as many as weigh ``most`` together. Threads may share it; a fork copies it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[Hashable, tuple[T, int]] = {}

    def get(self, name: Hashable) -> T | None:
        """The value of this name, if it is still kept."""
        found = self._kept.get(name)
        return None if found is None else found[0]

    def put(self, name: Hashable, value: T, weight: int) -> None:
        """Keep a value, and of the others the newest for which there is room."""
        kept, room = dict[Hashable, tuple[T, int]](), self._most
        for other, held in ((name, (value, weight)), *reversed(self._kept.items())):
            if other not in kept:
                room -= held[1]
                if room < 0:
                    break
                kept[other] = held
        # Replaced as a whole: without a lock, a thread that reads sees this or the one before.
        self._kept = dict(reversed(kept.items()))
