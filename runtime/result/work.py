"""The work of a query: what each of its tasks opens, reads and computes, and how long that takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from runtime.result.cost import VCPU_MB, Worker
from runtime.result.speeds import Speeds

_TAIL = 1 << 20
"""Bytes of a large file that opening it reads from S3."""


@dataclass(frozen=True)
class TaskSeconds:
    """Where the time of a task goes: opening its files (``own`` of it with the processor), reading columns of large
    files, and computing."""

    opening: float
    reading: float
    computing: float
    own: float = 0.0

    @property
    def whole(self) -> float:
        """All of it."""
        return self.opening + self.reading + self.computing


@dataclass(frozen=True)
class TaskWork:
    """The work of one task: points; files to open, one GET each, ``ahead`` of them some at once and the others one
    after the other, and their bytes; how many of them are small enough to be joined; and what is read of large files
    after that, one GET after the other.
    """

    points: float
    opened: int
    ahead: int
    joined: int
    opened_bytes: float
    reads: int = 0
    read_bytes: float = 0.0

    @property
    def gets(self) -> int:
        """All GETs."""
        return self.opened + self.reads

    @property
    def bytes(self) -> float:
        """All bytes read."""
        return self.opened_bytes + self.read_bytes

    def part(self, share: float) -> TaskWork:
        """The work for a share of its keys: every file is opened for any share."""
        return replace(
            self, points=self.points * share, reads=round(self.reads * share), read_bytes=self.read_bytes * share
        )

    def seconds(
        self,
        worker: Worker,
        speeds: Speeds,
        burst: float | None = None,
        waiting: Callable[[int], float] | None = None,
    ) -> TaskSeconds:
        """How long a worker takes, ``burst`` of whose bytes come before its network slows down; ``waiting`` gives the
        seconds until the first bytes of so many GETs, one after the other (by default the average)."""
        waits = waiting or (lambda turns: turns * speeds.wait)
        share = min(1.0, worker.memory / VCPU_MB)  # a task is one thread
        burst = speeds.burst if burst is None else burst
        # Requests, arrivals and decoding of different files overlap; the first file and the task's text are waited for.
        first = waits(math.ceil(self.ahead / speeds.at_once) + self.opened - self.ahead)
        own = self.opened * speeds.get + (self.opened - self.joined) * speeds.file + self.joined * speeds.joined
        one = speeds.wait if self.opened else 0.0
        opening = max(first, one + speeds.downloading(self.opened_bytes, burst), one + own / share)
        opening += self.opened * speeds.parse / share
        own = (own + self.opened * speeds.parse) / share
        reading = waits(self.reads)
        reading += speeds.downloading(self.read_bytes, max(0.0, burst - self.opened_bytes))
        reading += self.reads * speeds.get / share
        return TaskSeconds(opening, reading, self.points / speeds.points / share, own)


@dataclass(frozen=True)
class Load:
    """The work of a query: that of its tasks, the number of its files (a file may be opened by several tasks), and the
    kernels that a new worker has to fetch."""

    work: tuple[TaskWork, ...]
    files: int
    kernels: int = 0

    @classmethod
    def even(cls, points: int, size: int, tasks: int, files: int) -> Load:
        """So many tasks that share points, bytes and ``files`` evenly; each file is opened by one of them."""
        each = max(1, -(-files // tasks))
        of_file = size / tasks / each
        if of_file <= _TAIL:
            work = TaskWork(points / tasks, each, each, 0, size / tasks)
        else:
            left = size / tasks - each * _TAIL
            work = TaskWork(
                points / tasks, each, each, 0, each * _TAIL, each * math.ceil(left / each / Speeds.get_bytes), left
            )
        return cls((work,) * tasks, files)

    @property
    def tasks(self) -> int:
        """The number of tasks."""
        return len(self.work)

    @cached_property
    def opened(self) -> int:
        """Files opened by all tasks together."""
        return sum(w.opened for w in self.work)

    @cached_property
    def gets(self) -> int:
        """GETs of all tasks together."""
        return sum(w.gets for w in self.work)

    @cached_property
    def bytes(self) -> int:
        """Bytes read by all tasks together."""
        return round(sum(w.bytes for w in self.work))

    def longest(self, worker: Worker, speeds: Speeds) -> TaskSeconds:
        """The seconds of the task that takes longest."""
        return max(self.seconds(worker, speeds), key=lambda s: s.whole)

    def seconds(self, worker: Worker, speeds: Speeds) -> Sequence[TaskSeconds]:
        """The seconds of each task; equal work is computed once."""
        known = {w: w.seconds(worker, speeds) for w in set(self.work)}
        return [known[w] for w in self.work]
