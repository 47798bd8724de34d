"""What was read last, of the newest version of each subject, while it has room."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """The values that were put last, as many as weigh ``most`` together; of each subject those of one version.

    Threads may share it; a fork copies it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[tuple[str, Hashable], tuple[Hashable, T, int]] = {}

    def get(self, subject: str, version: Hashable, name: Hashable) -> T | None:
        """The value of this name in this version of the subject, if it is still kept."""
        found = self._kept.get((subject, name))
        return None if found is None or found[0] != version else found[1]

    def put(self, subject: str, version: Hashable, name: Hashable, value: T, weight: int) -> None:
        """Keep a value, and of the others the newest for which there is room, without the subject's other versions."""
        kept, room = dict[tuple[str, Hashable], tuple[Hashable, T, int]](), self._most
        put = (subject, name), (version, value, weight)
        for other, held in (put, *reversed(self._kept.items())):
            if other in kept or (other[0] == subject and held[0] != version):
                continue
            room -= held[2]
            if room < 0:
                break
            kept[other] = held
        # Replaced as a whole: without a lock, a thread that reads sees this or the one before.
        self._kept = dict(reversed(kept.items()))
