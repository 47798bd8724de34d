"""Compaction: replaces files of a stream by fewer ones with the same rows, and never changes an answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

from operators.errors import DataflowError
from runtime.catalogue import Catalogue, FileEntry, Snapshot, new_attempt
from runtime.errors import StoreError
from runtime.helpers import Helpers
from runtime.objects import ObjectStore
from runtime.progress import Progress, count_of
from runtime.storage.open_files import OpenedFiles
from runtime.upkeep.rewrite import VALUES, Rewriting, values_at_once
from runtime.upkeep.spans import FULL, Job, all_due, due, year_of

GoesOn = Callable[[int], bool]
"""Whether there is time for another part, of so many rows."""

_ROUNDS = 64
"""How often the jobs are planned anew: each round leaves a fraction of the files."""

_AT_ONCE = 1 << 18
"""Rows of a round from which on several of its jobs are done at once."""

_MOST_ROWS = 32 * FULL
"""Rows of one part, where there may be little time: a part that was interrupted is begun anew."""


@dataclass(frozen=True)
class CompactionReport:
    """What a compaction did: files before and after, and the rows and bytes that were written again."""

    stream: str
    files_before: int
    files_after: int
    rows: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    jobs: int = 0
    lost: int = 0
    """Jobs that gave way to another commit of the same files."""
    unfinished: bool = False
    """Whether it stopped with work left, because ``goes_on`` said so."""

    def __str__(self) -> str:
        if not self.jobs:
            return f"{self.stream}: {count_of(self.files_before, 'file')}, nothing to compact"
        text = (
            f"{self.stream}: {count_of(self.files_before, 'file')} became {self.files_after:,}; "
            f"{count_of(self.rows, 'row')} {'was' if self.rows == 1 else 'were'} written again, "
            f"{self.bytes_before:,} bytes became {self.bytes_after:,}"
        )
        return text + (f"; {self.lost} of {self.jobs} parts gave way to another commit" if self.lost else "")


@dataclass(frozen=True)
class UpkeepFailure:
    """A stream whose upkeep failed, and why; others go on."""

    stream: str
    error: DataflowError
    what: str = "compacted"

    def __str__(self) -> str:
        return f"{self.stream}: not {self.what}: {self.error}"


class Compaction:
    """Compacts one stream, on so many threads (``workers``); safe beside ingests, queries and itself, and may be
    stopped at any time."""

    def __init__(
        self,
        objects: ObjectStore,
        catalogue: Catalogue,
        opened: OpenedFiles,
        stream: str,
        progress: Progress,
        workers: int = 1,
    ) -> None:
        self._objects, self._catalogue, self._opened, self._stream = objects, catalogue, opened, stream
        self._progress, self._workers = progress, workers

    def planned(self) -> list[Job]:
        """The first jobs that ``everything`` would do; more may follow from them."""
        return all_due(self._catalogue.snapshot(self._stream).points)

    def everything(self) -> CompactionReport:
        """Compact the whole stream, whatever it costs."""
        return self._rounds(None, None, lambda snapshot: all_due(snapshot.points))

    def what_is_due(
        self, first: int | None = None, last: int | None = None, goes_on: GoesOn | None = None
    ) -> CompactionReport:
        """Compact what pays off in the years of these event times (None: all): some log n times the work of its
        ingest, at most. With ``goes_on``, which is asked before each part, it stops where there is no time for it."""

        def jobs(snapshot: Snapshot) -> list[Job]:
            newest = snapshot.last_time
            return [] if newest is None else due(snapshot.points, newest)

        since, until = None if first is None else year_of(first).begin, None if last is None else year_of(last).end
        return self._rounds(since, until, jobs, goes_on)

    def _rounds(
        self,
        since: int | None,
        until: int | None,
        jobs_of: Callable[[Snapshot], list[Job]],
        goes_on: GoesOn | None = None,
    ) -> CompactionReport:
        begun = snapshot = self._catalogue.snapshot(self._stream, since, until)
        rows = before = after = jobs = lost = 0
        unfinished = False
        for _ in range(_ROUNDS):
            todo = jobs_of(snapshot)
            if goes_on is not None:
                todo = [_part(job) for job in todo]
            if not todo or unfinished:
                break
            task = self._progress.start(
                f"compacting {self._stream}", sum(f.rows for j in todo for f in j.files), "rows"
            )
            try:
                done = 0
                for job, attempt, files in self._written(todo, snapshot, goes_on):
                    done += 1
                    if self._replaced(job, attempt, files):
                        rows += sum(f.rows for f in job.files)
                        before += sum(f.bytes for f in job.files)
                        after += sum(f.bytes for f in files)
                    else:
                        lost += 1
                    task.advance(sum(f.rows for f in job.files), sum(f.rows for f in job.files))
                jobs += done
                unfinished = done < len(todo)
            finally:
                task.finish()
            snapshot = self._catalogue.snapshot(self._stream, since, until)
        return CompactionReport(
            self._stream, len(begun.points), len(snapshot.points), rows, before, after, jobs, lost, unfinished
        )  # fmt: skip

    def _written(
        self, todo: Sequence[Job], snapshot: Snapshot, goes_on: GoesOn | None
    ) -> Iterator[tuple[Job, str, list[FileEntry]]]:
        """Each job in its turn, its attempt and the files that it wrote. Jobs are done at once where that pays, as long
        as no more values are in memory than one may have; one by one where each is asked for."""

        def begun(job: Job) -> tuple[Job, str, Callable[[], list[FileEntry]]]:
            attempt, order = new_attempt(), self._catalogue.order(self._stream)
            rewriting = Rewriting(self._objects, self._opened, self._stream, snapshot.schema, attempt, order)
            return job, attempt, lambda: rewriting.compacted(job.files, job.spans)

        many = len(todo) > 1 and sum(f.rows for job in todo for f in job.files) >= _AT_ONCE
        if not many or self._workers < 2 or goes_on is not None:
            for job in todo:
                if goes_on is not None and not goes_on(sum(f.rows for f in job.files)):
                    return
                job, attempt, write = begun(job)
                yield job, attempt, write()
            return
        ahead: deque[tuple[Job, str, Future[list[FileEntry]], int]] = deque()

        def finished() -> tuple[Job, str, list[FileEntry]]:
            job, attempt, future, _ = ahead.popleft()
            return job, attempt, future.result()

        with Helpers(self._workers, "compaction") as pool:
            for job in todo:
                size = values_at_once(job.files)
                while ahead and (len(ahead) > self._workers or sum(a[3] for a in ahead) + size > VALUES):
                    yield finished()
                job, attempt, write = begun(job)
                ahead.append((job, attempt, pool.submit(write), size))
            while ahead:
                yield finished()

    def _replaced(self, job: Job, attempt: str, files: Sequence[FileEntry]) -> bool:
        """Commit what a job wrote; False if another commit has replaced one of its files."""
        if self._catalogue.replace(self._stream, job.files, files, attempt) is not None:
            # Only who asks as of a commit before will read them again.
            self._opened.close(job.files)
            return True
        if self._catalogue.claim_for_sweep(self._stream, attempt):
            for file in files:
                with suppress(StoreError):  # without permission to delete, the sweep removes it
                    self._objects.delete(file.path)
        return False


def _part(job: Job) -> Job:
    """The job, or as many of its files as have ``_MOST_ROWS`` rows, two at least."""
    rows = 0
    for number, file in enumerate(job.files):
        rows += file.rows
        if rows > _MOST_ROWS and number >= 2:
            return Job(job.files[:number], job.spans)
    return job
