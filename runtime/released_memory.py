"""Gives memory that was freed back to the system.

glibc keeps what is freed: each thread has an arena of its own, which shrinks only from its end, so a process with many
threads grows to the sum of their peaks. ``malloc_trim`` returns the free pages of all arenas (since glibc 2.8). It
takes some milliseconds, so it is called where much was freed. Other C libraries need no help, or have no such call.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path

from operators import forking

_MUCH = 32 << 20
"""Bytes freed at once that are worth a call."""

_GROWTH = 128 << 20
"""Bytes by which the process may grow until it is trimmed again."""

_PAGE = 4096
_STATM = Path("/proc/self/statm")


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
    return found


def freed(size: int) -> None:
    """Say that ``size`` bytes were freed; of much, the pages go back to the system."""
    if size >= _MUCH and (trim := _malloc_trim()) is not None:
        trim(0)


def resident() -> int:
    """The bytes of the process in memory; 0 where the system does not say."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


class Trimmer:
    """Trims after work that frees much in many small parts, whenever the process has grown."""

    def __init__(self) -> None:
        self._after = 0
        self._busy = forking.lock()

    def worked(self) -> None:
        """Call at the end of a query or an ingest."""
        # Whoever finds another thread at it goes on.
        if resident() < self._after + _GROWTH or not self._busy.acquire(blocking=False):
            return
        try:
            freed(_MUCH)
            self._after = resident()
        finally:
            self._busy.release()


TRIMMER = Trimmer()
