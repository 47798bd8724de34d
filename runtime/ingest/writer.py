"""Writes batches to point files of a day, or of a month or year of sparse days (``day_spans``)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType

import numpy as np

from operators.types import Type
from runtime.catalogue import FileEntry, file_path
from runtime.catalogue.items.commit_order import Order
from runtime.columns import Points
from runtime.helpers import Helpers, go_on
from runtime.ingest.columns.batch import Batch, concatenated, to_points
from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.columns.same_file_duplicates import resolve
from runtime.ingest.day_spans import shared_days
from runtime.objects import ObjectStore
from runtime.pointfile import encode, footer_digest, sort_points

DAY = 86_400_000_000
THREADS = 6  # more than cores: writing a file is mostly waiting until it is durable
MEMORY_BYTES = 96 << 20
WORD_BYTES = 64 << 20
_NONE = Order()


@dataclass(frozen=True)
class WriteTarget:
    """Where and how the files of an attempt are written."""

    objects: ObjectStore
    stream: str
    attempt: str
    key: str
    time: str
    duplicates: str
    id: str | None
    source: str | None = None
    order: Order = _NONE

    def origin(self, files: int | None) -> dict[str, str]:
        """The origin stored in the files, from which `dataflow recover` rebuilds a catalogue.

        ``files`` is the number of the attempt's files, known only for those written at its end.
        """
        number = None if files is None else str(files)
        known = {"source": self.source, "id": self.id, "order": str(self.order), "files": number}
        given = {name: value for name, value in known.items() if value is not None}
        return {"stream": self.stream, "duplicates": self.duplicates, **given}


class Writer:
    """The buffer and the files of one source. Files are numbered in input order, day by day.

    At most ``memory_rows`` rows (or ``memory`` times ``MEMORY_BYTES``) wait, and as many again are being written by the
    threads. Use as a context manager: leaving it stops the threads.
    """

    def __init__(self, target: WriteTarget, memory_rows: int, memory: int = 1) -> None:
        self.files: list[FileEntry] = []
        self.types: dict[str, Type] = {}
        self.dropped = 0
        self._target = target
        self._limit = max(1, memory_rows)
        self._most = memory * MEMORY_BYTES
        self._batches: list[Batch] = []
        self._rows = self._bytes = self._count = 0
        self._pool = Helpers(THREADS, "ingest")
        self._pending: list[Future[FileEntry]] = []

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.__exit__(kind, error, trace)

    def add(self, batch: Batch, words: dict[str, InternedStrings], reset_words: Callable[[], None]) -> None:
        """Add rows. ``words`` are the dictionaries of their codes; they are reset when too large."""
        go_on()
        if len(batch):
            self._batches.append(batch)
            self._rows += len(batch)
            self._bytes += batch.nbytes
        if sum(w.nbytes for w in words.values()) > WORD_BYTES:
            self.flush(words, everything=True)
            self._wait()
            reset_words()
        elif self._rows >= self._limit or self._bytes >= self._most:
            self.flush(words, everything=False)

    def finish(self, words: dict[str, InternedStrings]) -> list[FileEntry]:
        """Write the rest; returns all files of the source, in the order of their numbers."""
        self.flush(words, everything=True, last=True)
        self._wait()
        return self.files

    def flush(self, words: dict[str, InternedStrings], everything: bool, last: bool = False) -> None:
        """Write the files with the most rows, at least half of those that wait; or all, which may be the ``last``."""
        if not self._batches:
            return
        rows = concatenated(self._batches)
        self._batches = []
        self._rows = self._bytes = 0
        self._wait()
        if not everything and (size := _last_run(rows)):
            self._keep(rows.take(np.arange(len(rows) - size, len(rows))))
            rows = rows.take(np.arange(len(rows) - size))
        days = rows.time // DAY
        first = int(days.min())
        counts = np.bincount(days - first)
        there = np.flatnonzero(counts)
        number_of = np.zeros(len(counts), np.int64)
        number_of[there] = shared_days(there + first, counts[there])
        numbers = number_of[days - first]
        sizes = np.bincount(numbers)
        files = self._count + len(sizes) if last else None
        if len(sizes) == 1:
            self._write(rows, words, files)
            return
        chosen = np.arange(len(sizes))
        if not everything:
            fullest = np.argsort(-sizes, kind="stable")
            enough = int(np.searchsorted(np.cumsum(sizes[fullest]), (len(rows) + 1) // 2)) + 1
            chosen = np.sort(fullest[:enough])
        order = np.argsort(numbers, kind="stable")
        edges = np.cumsum(sizes)
        for number in chosen.tolist():
            self._write(rows.take(order[edges[number] - sizes[number] : edges[number]]), words, files)
        rest = np.ones(len(sizes), np.bool_)
        rest[chosen] = False
        left = np.flatnonzero(rest[numbers])
        if len(left):
            self._keep(rows.take(left))

    def _keep(self, rows: Batch) -> None:
        """Put these rows back, before those that wait already."""
        self._batches.insert(0, rows)
        self._rows += len(rows)
        self._bytes += rows.nbytes

    def _write(self, rows: Batch, words: dict[str, InternedStrings], files: int | None) -> None:
        # Codes become dictionaries here, while no strings are added.
        points = to_points(rows, self._target.key, words)
        for name, column in points.columns.items():
            if self.types.get(name) is not Type.FLOAT:
                self.types[name] = column.type
        number = self._count
        self._count += 1
        self._pending.append(self._pool.submit(_write_file, self._target, points, number, files))

    def _wait(self) -> None:
        for future in self._pending:
            entry = future.result()
            self.files.append(entry)
            self.dropped += entry.dropped
        self._pending = []


def _last_run(rows: Batch) -> int:
    """The number of trailing rows of the last key, if few: in input sorted by key more of them may follow, and a key in
    one file of a day is read faster than one in two."""
    same = rows.key.values == rows.key.values[-1]
    size = int(np.count_nonzero(same))
    return size if size * 16 <= len(rows) and same[len(rows) - size :].all() else 0


def _write_file(target: WriteTarget, points: Points, number: int, files: int | None) -> FileEntry:
    points, dropped = resolve(sort_points(points), target.duplicates, target.id)
    first, last = int(points.time.min()), int(points.time.max())
    day = first // DAY
    data = encode(
        points, key=target.key, time=target.time, day=day, days=last // DAY - day + 1, origin=target.origin(files)
    )
    path = file_path(target.stream, day, target.attempt, number)
    target.objects.put(path, data)
    keys = points.key.values
    return FileEntry(
        path=path,
        day=day,
        rows=len(points),
        bytes=len(data),
        t_min=first,
        t_max=last,
        sha256=hashlib.sha256(data).hexdigest(),
        keys=1 + int(np.count_nonzero(keys[1:] != keys[:-1])),
        dropped=dropped,
        nulls={name: column.nulls for name, column in points.columns.items()},
        footer=footer_digest(data),
    )
