"""A run that goes on in memory from one look of a follower to the next: ``runtime.query.task.standing_task``."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from operators import forking
from runtime.catalogue import FileEntry, Record
from runtime.errors import FormatError, StoreError
from runtime.helpers import Helpers
from runtime.pointfile import PointFile
from runtime.query.plan.prepare import Prepared
from runtime.query.scan.scanning import scan_order
from runtime.query.scan.some_keys import SharedHash
from runtime.query.task.partial import Partial
from runtime.query.task.standing_task import StandingTask
from runtime.query.task.task import Task

_MOST, _TIMES = 1 << 26, 20
"""Rows that are searched for those of keys with late rows, at most; or so many times those that a run from the last
state before them would have to read in order, which takes longer for each."""

ROOM = 1 << 30
"""Bytes of all runs that stand in a process; beyond that, answers are worked out as by others."""

_NEW = 1 << 22
"""More new rows than that are not held in memory at once: then the answer is worked out as by others."""

_SECONDS = 600.0
"""After so long the answer is worked out as by others once, whose state a follower that starts finds. Unless late rows
come, which make such a state useless."""

_LONGEST = 64
"""The most times that the rows of a run are read before it stands."""

_NEVER = -(1 << 62)
"""The rows that were read, of a run that is never to stand."""

_MODULUS = 1 << 256


@dataclass
class _Standing:
    """What stands: the state of the rows in ``files`` as of commit ``seq``, by shard."""

    family: str
    seq: int
    files: tuple[FileEntry, ...]
    tasks: list[StandingTask]
    since: float
    went_on: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of its tasks."""
        return sum(task.nbytes for task in self.tasks)


_runs: weakref.WeakSet[StandingRun] = weakref.WeakSet()
_lock = forking.lock()
"""For the runs of this process."""


class StandingRun:
    """The standing run of a metric that is asked again and again, if it has one. Not for threads.

    ``records`` gives the stream's log behind a commit. A run stands once as many rows were read again as it has to
    read at first, so at the worst twice as much is read; after runs that could not go on even once, after more and
    more.
    """

    def __init__(
        self,
        records: Callable[[int], Iterable[Record]],
        open_file: Callable[[FileEntry], PointFile],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records, self._open, self._clock = records, open_file, clock
        self._standing: _Standing | None = None
        self._read, self._patience = 0, 1
        self.files_kept = 0
        """Of the last answer, the files that were not read."""

        self.nbytes = 0
        """Bytes of what stands."""

        with _lock:
            _runs.add(self)

    def was_read(self, rows: int) -> None:
        """So many rows were read because no run stood."""
        self._read += rows

    def partials(self, p: Prepared, family: str, tasks: Callable[[], Sequence[Task]]) -> list[Partial] | None:
        """The partial states of the answer; None if no run stands. ``family`` is what the state depends on but the
        files, ``tasks`` are those of a run from the start."""
        standing, self._standing, self.nbytes = self._standing, None, 0
        if not _may_stand(p):
            return None
        try:
            if standing is not None:
                if not standing.went_on:
                    self._patience = min(2 * self._patience, _LONGEST)
                standing = self._moved_on(standing, p, family)
            elif self._read >= self._patience * sum(f.rows for f in p.files):
                standing = self._begun(p, family, tasks())
            if standing is None:
                return None
            # How many of a file's rows are in each shard is not known without opening it; in all together it is.
            rows = {f.path: f.rows for f in p.files}
            none = dict.fromkeys(rows, 0)
            found = [task.partial(none if i else rows) for i, task in enumerate(standing.tasks)]
        except (SharedHash, StoreError, FormatError):  # a replaced file is gone, for example
            return None
        self._keep(standing)
        return found

    def _keep(self, standing: _Standing) -> None:
        """Let it stand, if there is room in this process."""
        size = standing.nbytes
        with _lock:
            if size + sum(run.nbytes for run in _runs) <= ROOM:
                self._standing, self.nbytes = standing, size
            else:  # perhaps later
                self._read, self._patience = 0, _LONGEST

    def _begun(self, p: Prepared, family: str, tasks: Sequence[Task]) -> _Standing | None:
        compiled = p.compiled.ready()
        made = [StandingTask(task, compiled, self._open) for task in tasks]
        if not all(task.stands for task in made):
            self._read = _NEVER
            return None
        self._read, self.files_kept = 0, 0
        with Helpers(len(made), "antfold-standing") as pool:
            list(pool.map(lambda task: task.begin(p.files), made))
        return _Standing(family, p.snapshot.seq, p.files, made, self._clock())

    def _moved_on(self, standing: _Standing, p: Prepared, family: str) -> _Standing | None:
        """The run with the rows that came since; None if more has changed."""
        had_late_rows = any(task.had_late_rows for task in standing.tasks)
        if standing.family != family or (not had_late_rows and self._clock() - standing.since > _SECONDS):
            return None
        new = self._new(standing.seq, p.snapshot.seq)
        if new is None or _content(p.files) != _content([*standing.files, *new]):
            return None
        if sum(f.rows for f in new) > _NEW:
            return None
        # In one thread: it is a few milliseconds' work, for which a second core would be woken in vain.
        most = max(_MOST, _TIMES * sum(f.rows for f in scan_order(p.files, None)[-1]))
        if not all(task.go_on(standing.files, new, p.until, most) for task in standing.tasks):
            return None
        self.files_kept = len(standing.files)
        standing.seq, standing.files, standing.went_on = p.snapshot.seq, p.files, True
        self._patience = 1
        return standing

    def _new(self, after: int, newest: int) -> list[FileEntry] | None:
        """The files of the ingests behind a commit, as they were ingested; None if anything was taken away."""
        found: list[FileEntry] = []
        for record in self._records(after):
            if record.seq > newest:
                break
            if record.takes_away:
                return None
            if record.source is not None:
                found += record.adds
        return found


def _may_stand(p: Prepared) -> bool:
    if not p.files or p.several or p.carried is not None or p.id_column is not None or p.unordered:
        return False
    is_cut = p.until <= p.since or any(stage.sink.cuts_at_end for stage in p.plan.stages)
    if is_cut or p.plan.ahead:
        return False
    return max(f.t_max for f in p.files) < p.until


def _content(files: Iterable[FileEntry]) -> int:
    return sum(f.content_hash for f in files) % _MODULUS
