"""Retries, splits and hedges of tasks: pure functions of counts and times (seconds)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from functools import cached_property

from runtime.fleet.outcomes import Kind
from runtime.query.task.task import Task, request_digest


@dataclass(frozen=True)
class TaskBatch:
    """Tasks that a relay runs and merges into one partial state; handled like one task."""

    id: str
    tasks: tuple[Task, ...]

    def to_bytes(self) -> bytes:
        """The batch as JSON: shared fields and each list of files are written once."""
        # Many tasks share one tuple of files; comparing thousands of entries for each would be slow.
        files = {id(task.files): task.files for task in self.tasks}
        place = {key: i for i, key in enumerate(files)}
        rows = [[task.id, *task.shard, place[id(task.files)]] for task in self.tasks]
        shared = json.loads(replace(self.tasks[0], files=()).to_bytes())
        lists = [[asdict(f) for f in found] for found in files.values()]
        fields = {"id": self.id, "shared": shared, "files": lists, "tasks": rows}
        return json.dumps(fields, separators=(",", ":")).encode()

    @cached_property
    def request_digest(self) -> str:
        """See ``task.request_digest``."""
        return request_digest(json.loads(self.to_bytes()))

    @property
    def stream(self) -> str:
        """The stream that all of its tasks read."""
        return self.tasks[0].stream


Work = Task | TaskBatch
"""The work of one invocation."""


@dataclass(frozen=True)
class Rules:
    """Bounds that make every task end in a result or an error.

    ``failures``: how often a task is retried after it failed or was lost. ``splits``: how often its range of keys is
    halved. ``attempt_seconds``: how long one invocation may take (more than the function's own time-out),
    ``query_seconds``: how long the whole query may take. A task is hedged (started a second time) once the share
    ``hedge_after`` of all is done and it has run ``hedge_times`` the 75th percentile of their times; at most ``hedges``
    (a share) of all are hedged. Pauses before a retry double from ``base`` up to ``cap`` seconds.
    """

    failures: int = 6
    splits: int = 6
    attempt_seconds: float = 330.0
    query_seconds: float = 3_600.0
    hedge_after: float = 0.75
    hedge_times: float = 2.0
    hedges: float = 0.1
    base: float = 0.1
    cap: float = 10.0


RELAYS = Rules(attempt_seconds=630.0)
"""For relays: each may retry and split its tasks for ten minutes."""


class Next(Enum):
    """The reaction to an unfinished task."""

    REPEAT = "repeat"
    SPLIT = "split"
    GIVE_UP = "give up"


def after(rules: Rules, kind: Kind, failures: int, depth: int, work: Work) -> Next:
    """The reaction to an outcome without a result.

    ``failures`` counts the work's failures including this one, ``depth`` how often its range of keys was halved.
    """
    if kind is Kind.THROTTLED:
        return Next.REPEAT  # without limit: the query's deadline bounds it
    if kind in (Kind.MEMORY, Kind.TIME):
        if isinstance(work, TaskBatch) and len(work.tasks) > 1:
            return Next.SPLIT
        lo, hi = (work.tasks[0] if isinstance(work, TaskBatch) else work).shard
        return Next.SPLIT if depth < rules.splits and hi - lo >= 2 else Next.GIVE_UP
    if kind in (Kind.FAILED, Kind.LOST, Kind.RELEASE) and failures <= rules.failures:
        return Next.REPEAT
    return Next.GIVE_UP


def pause(rules: Rules, times: int, dice: float) -> float:
    """Seconds before the ``times``-th retry (1, 2, ...); ``dice`` in [0, 1) spreads tasks that failed together."""
    return dice * min(rules.cap, rules.base * float(1 << min(times - 1, 30)))


def halves(task: Task) -> tuple[Task, Task]:
    """Two tasks for the two halves of the task's range of key hashes; together they cover its rows once."""
    lo, hi = task.shard
    middle = (lo + hi) // 2
    return replace(task, id=f"{task.id}.0", shard=(lo, middle)), replace(task, id=f"{task.id}.1", shard=(middle, hi))


def parts(work: Work, depth: int) -> list[tuple[Work, int]]:
    """Two parts that together are ``work``, whose range of keys was halved ``depth`` times, with their own depths.

    A batch is split into its tasks before the range of a task is halved.
    """
    if isinstance(work, Task):
        return [(half, depth + 1) for half in halves(work)]
    middle = len(work.tasks) // 2
    if middle:
        pieces = (work.tasks[:middle], work.tasks[middle:])
        return [(TaskBatch(f"{work.id}.{i}", piece), depth) for i, piece in enumerate(pieces)]
    return [(TaskBatch(f"{work.id}.{i}", (half,)), depth + 1) for i, half in enumerate(halves(work.tasks[0]))]


def hedge_age(rules: Rules, taken: Sequence[float], total: int) -> float | None:
    """How long a task must have run to be hedged; None while fewer than ``hedge_after`` are done.

    ``taken`` are the seconds that finished tasks took, in ascending order; ``total`` is the number of all tasks.
    """
    if not taken or len(taken) < rules.hedge_after * total:
        return None
    return rules.hedge_times * taken[min(len(taken) * 3 // 4, len(taken) - 1)]


def may_hedge(rules: Rules, hedged: int, total: int) -> bool:
    """Whether one more task may be hedged, after ``hedged`` were."""
    return hedged < max(1.0, rules.hedges * total)
