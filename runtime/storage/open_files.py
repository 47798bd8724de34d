"""Open point files of a store: each opened once, the most recent stay open, the next ones are opened ahead."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from operators.errors import DataflowError
from runtime.catalogue import FileEntry
from runtime.errors import FormatError
from runtime.objects import ObjectStore
from runtime.pointfile import PointFile
from runtime.pointfile.reading.joined_files import SMALL_BYTES, SmallFile

MOST_FILES = 4096
MOST_BYTES = 512 << 20
"""Limits on open files: how many, and their total bytes in memory."""

_AHEAD_BYTES = MOST_BYTES // 2


def opened_ahead(files: Iterable[FileEntry], gap: int) -> list[FileEntry]:
    """The files, in order, that may be opened before they are requested: what is read of them fits into memory."""
    chosen, size = [], 0
    for entry in files:
        size += min(entry.bytes, gap)
        if size > _AHEAD_BYTES:
            break
        chosen.append(entry)
    return chosen


class OpenedFiles:
    """Open files of ``objects`` by catalogue entry; thread-safe."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._open: OrderedDict[str, PointFile] = OrderedDict()
        self._opening: dict[str, Future[PointFile]] = {}
        self._fetching: dict[str, Future[bytes]] = {}
        """Small files that are read ahead, to be opened or joined by whoever asks."""
        self._held = 0
        self._lock = threading.Lock()

    def open(self, entry: FileEntry) -> PointFile:
        """The point file of a catalogue entry; a caller waits for a file that another thread is opening."""
        path = entry.path
        with self._lock:
            found = self._open.get(path)
            if found is not None:
                self._open.move_to_end(path)
                return found
            waited = self._opening.get(path)
            if waited is None:
                mine: Future[PointFile] = Future()
                self._opening[path] = mine
        if waited is not None:
            return waited.result()
        try:
            opened = self._opened(entry)
        except BaseException as error:
            with self._lock:
                del self._opening[path]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._opening[path]
            self._open[path] = opened
            self._held += opened.held
            while len(self._open) > MOST_FILES or self._held > MOST_BYTES:
                self._held -= self._open.popitem(last=False)[1].held
        mine.set_result(opened)
        return opened

    def __call__(self, entry: FileEntry) -> PointFile:
        """See ``open``."""
        return self.open(entry)

    def small(self, entry: FileEntry) -> SmallFile | None:
        """A small file to be joined with others, not kept; None if it has to be opened, or cannot be."""
        try:
            file = SmallFile.of(self._whole(entry))
        except (ValueError, TypeError, KeyError, OverflowError, DataflowError):
            return None
        return file if file.footer_digest == entry.footer else None

    def close(self, files: Iterable[FileEntry]) -> None:
        """Release these files and what was read of them; they are opened again on use."""
        with self._lock:
            for entry in files:
                found = self._open.pop(entry.path, None)
                self._held -= 0 if found is None else found.held

    @contextmanager
    def ahead(self, files: Iterable[FileEntry]) -> Iterator[None]:
        """While the block runs, open these files in order, several at once where that pays off.

        At most half of the limit is used. A failure surfaces when the file is requested.
        """
        chosen = opened_ahead(files, self._objects.gap)
        if self._objects.at_once < 2 or len(chosen) < 2:
            yield
            return
        pool = ThreadPoolExecutor(min(self._objects.at_once, len(chosen)), "antfold-ahead")
        try:
            for entry in chosen:
                if entry.bytes > SMALL_BYTES:
                    pool.submit(self._try, entry)
                elif entry.path not in self._open:
                    self._fetching[entry.path] = pool.submit(self._objects.read, entry.path, 0, entry.bytes)
            yield
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            for entry in chosen:
                self._fetching.pop(entry.path, None)

    def _try(self, entry: FileEntry) -> None:
        try:
            self.open(entry)
        except DataflowError:
            return

    def _whole(self, entry: FileEntry) -> bytes:
        """The bytes of a small file, which may be read already."""
        fetched = self._fetching.pop(entry.path, None)
        if fetched is None or fetched.cancel():
            return self._objects.read(entry.path, 0, entry.bytes)
        return fetched.result()

    def _opened(self, entry: FileEntry) -> PointFile:
        path, objects = entry.path, self._objects
        whole = self._whole(entry) if path in self._fetching else None
        file = PointFile.open(
            lambda at, length: objects.read(path, at, length) if whole is None else whole[at : at + length],
            entry.bytes,
            path,
            objects.gap,
            lambda offset, into: objects.read_into(path, offset, into),
        )
        check_committed(entry, file)
        return file


def check_committed(entry: FileEntry, file: PointFile) -> None:
    """FormatError unless the file is the one that was committed.

    The footer's digest decides. Entries of earlier versions have none: for them the footer's fields are compared.
    """
    if entry.footer:
        if file.footer_digest == entry.footer:
            return
        what = "the digest of its footer differs"
    else:
        nulls = {name: int(file.chunks(name)["nulls"].sum()) for name in file.schema}
        for what, found, said in (
            ("rows", file.rows, entry.rows),
            ("keys", file.keys, entry.keys),
            ("day", file.day, entry.day),
            ("first time", int(file.blocks["t_min"].min()), entry.t_min),
            ("last time", int(file.blocks["t_max"].max()), entry.t_max),
            ("nulls", nulls, dict(entry.nulls)),
        ):
            if found != said:
                what = f"{what}: {found} instead of {said}"
                break
        else:
            return
    raise FormatError(
        f"{entry.path} is not the file that was committed ({what}): restore the right one from a backup; "
        "`dataflow verify` lists all that are wrong."
    )
