"""Open point files of a store: each opened once, the most recent stay open, the next ones are opened ahead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from weakref import WeakValueDictionary

from operators import forking
from operators.errors import DataflowError
from runtime.catalogue import FileEntry
from runtime.errors import FormatError
from runtime.helpers import Helpers, go_on
from runtime.kept_memory import KEPT, KeptMemory
from runtime.objects import ObjectStore
from runtime.pointfile import PointFile
from runtime.pointfile.reading.joined_files import SMALL_BYTES, SmallFile


def opened_ahead(files: Iterable[FileEntry], gap: int, kept: KeptMemory = KEPT) -> list[FileEntry]:
    """The files, in order, that may be opened before they are requested: what is read of them takes at most half of the
    memory that the process keeps."""
    chosen, size = [], 0
    for entry in files:
        size += min(entry.bytes, gap)
        if size > kept.most // 2:
            break
        chosen.append(entry)
    return chosen


class OpenedFiles:
    """Open files of ``objects`` by catalogue entry; thread-safe.

    They are in the memory that the process keeps (``runtime.kept_memory``). A file that is no longer kept stays open as
    long as somebody uses it.
    """

    def __init__(self, objects: ObjectStore, kept: KeptMemory = KEPT) -> None:
        self._objects = objects
        self._kept = kept
        self._owner = kept.owner(self)
        self._used: WeakValueDictionary[str, PointFile] = WeakValueDictionary()
        self._opening: dict[str, Future[PointFile]] = {}
        self._fetching: dict[str, Future[bytes]] = {}
        """Small files that are read ahead, to be opened or joined by whoever asks."""
        self._lock = forking.lock()
        forking.renew(self, OpenedFiles._renew)

    def open(self, entry: FileEntry) -> PointFile:
        """The point file of a catalogue entry; a caller waits for a file that another thread is opening."""
        path = entry.path
        with self._lock:
            found: PointFile | None = self._kept.get(self._owner, path)
            if found is None and (found := self._used.get(path)) is not None:
                self._keep(path, found)
            if found is not None:
                return found
            waited = self._opening.get(path)
            if waited is None:
                mine: Future[PointFile] = Future()
                self._opening[path] = mine
        if waited is not None:
            try:
                return waited.result()
            except (SystemExit, KeyboardInterrupt, CancelledError):  # the caller that opened it has ended
                go_on()
                return self.open(entry)
        try:
            opened = self._opened(entry)
        except BaseException as error:
            with self._lock:
                del self._opening[path]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._opening[path]
            self._used[path] = opened
        mine.set_result(opened)
        with self._lock:
            self._keep(path, opened)
        return opened

    def _renew(self) -> None:
        """In a forked process: nobody opens the files there that others wait for."""
        self._opening, self._fetching = {}, {}

    def _keep(self, path: str, file: PointFile) -> None:
        kept, owner = self._kept, self._owner
        file.on_growth = lambda grown: kept.resized(owner, path, grown, grown.held)
        kept.put(owner, path, file, file.held)

    @property
    def held(self) -> int:
        """Bytes kept in memory for files of this store."""
        return self._kept.held(self._owner)

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
                self._kept.drop(self._owner, entry.path)
                self._used.pop(entry.path, None)

    def close_all(self) -> None:
        """Release all files."""
        with self._lock:
            self._kept.drop_all(self._owner)
            self._used.clear()

    @contextmanager
    def ahead(self, files: Iterable[FileEntry]) -> Iterator[None]:
        """While the block runs, open these files in order, several at once where that pays off.

        At most half of the memory that the process keeps is used. A failure surfaces when the file is requested.
        """
        chosen = opened_ahead(files, self._objects.gap, self._kept)
        if self._objects.at_once < 2 or len(chosen) < 2:
            yield
            return
        try:
            with Helpers(min(self._objects.at_once, len(chosen)), "antfold-ahead") as pool:
                for entry in chosen:
                    if entry.bytes > SMALL_BYTES:
                        pool.submit(self._try, entry)
                    elif entry.path not in self._used:
                        self._fetching[entry.path] = pool.submit(self._objects.read, entry.path, 0, entry.bytes)
                yield
                pool.shutdown(wait=False, cancel_futures=True)
        finally:
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
        try:
            return fetched.result()
        except (SystemExit, CancelledError):
            go_on()
            return self._objects.read(entry.path, 0, entry.bytes)

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
