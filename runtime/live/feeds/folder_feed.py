"""Files of a folder, or objects of a bucket, new ones and ones that grow: logs that are rotated, too.

A file of one record a line is read piece by piece; any other, such as Parquet or a JSON document, as a whole, once it
does not change any more. Files are known by their content, never by their names: those that begin with the same record
are one part of the feed, and what was read of each is known by the SHA-256 of its first bytes up to where it goes on.
So a file that was renamed goes on where it was, and a copy counts once.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.errors import IngestError
from runtime.ingest.inputs.inputs import BytesInput, FileInput
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.text.dialects.dialect import WINDOW
from runtime.live.chains import SourceChain
from runtime.live.feeds.alike_files import AlikeFiles, Extent
from runtime.live.feeds.feed import MOST_BYTES, Piece
from runtime.live.feeds.file_place import FilePlace, FoundFile, PlaceAway, Unreadable
from runtime.live.feeds.read_objects import ReadObjects
from runtime.live.feeds.text_records import CsvRows, RecordText, csv_rows, record_text

_BOM = b"\xef\xbb\xbf"
_HEAD = 1 << 16
_STEP = 1 << 20
_LONGEST = 8 * MOST_BYTES
"""Bytes of the longest record that is waited for."""

_TAIL = 256
"""Bytes by which it is noticed that a file that is open was cut off and written anew."""

_UNENDED = "no end"
"""The part of files whose first record had no end when they were read first: it may have got one since."""


@dataclass
class _File:
    """A file that is followed: ``read`` of it is committed; ``text`` is None if it is read as a whole."""

    found: FoundFile
    since: float
    text: RecordText | None = None
    part: AlikeFiles | None = None
    """None until its first record is there."""

    read: Extent | None = None
    csv: CsvRows | None = None
    """How its rows are read, of CSV."""

    tail: bytes = b""
    """The last bytes that were read."""

    hashed: Any = field(default_factory=hashlib.sha256)
    digest: str | None = None
    """The SHA-256 of a file that is read as a whole."""

    is_known: bool = False
    """Whether its form is."""

    @property
    def offset(self) -> int:
        """The first byte that is not committed."""
        return 0 if self.read is None else self.read.offset


class FolderFeed:
    """The files of a place.

    ``chain_of`` gives the chain of a part, ``is_ingested`` says of a SHA-256 whether such a file was ingested as a
    whole. With ``skips``, what is there at the first look is left out. A file is whole, or its last line is, once it
    has not changed for ``settled`` seconds. ``noted`` has what was read to its end, also by earlier processes, of
    files that are replaced as a whole.
    """

    ended = False

    stopping: Callable[[], bool] = staticmethod(lambda: False)

    def __init__(
        self,
        place: FilePlace,
        chain_of: Callable[[str], SourceChain],
        is_ingested: Callable[[str], bool],
        settings: Settings,
        settled: float = 10.0,
        skips: bool = False,
        noted: ReadObjects | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place, self._noted = place, noted
        self._chain_of, self._is_ingested, self._clock = chain_of, is_ingested, clock
        self._settings, self._settled, self._skips = settings, settled, skips
        self._parts: dict[str, AlikeFiles] = {}
        """By the SHA-256 of the first record."""

        self._files: dict[Hashable, _File] = {}
        self._done: dict[Hashable, tuple[Hashable, str]] = {}
        """Files of which nothing more is to be read: the version, and the SHA-256 up to where it was read as lines."""

        self._unreadable: dict[Hashable, tuple[str, float]] = {}
        """What was said of files that cannot be read, and when they were tried."""

        self._visits: Iterator[Piece | None] | None = None
        """A visit of all files that is not at its end."""

        self._away: str | None = None

    @property
    def is_behind(self) -> bool:
        """See ``Feed``."""
        return self._visits is not None

    def pieces(self, seconds: float) -> Iterator[Piece]:
        """See ``Feed``."""
        until = self._clock() + seconds
        visits, self._visits = self._visits or self._visited(), None
        for piece in visits:
            if piece is not None:
                yield piece
            if self._clock() > until or self.stopping():
                self._visits = visits  # the next look goes on there: all files have their turn
                return

    def committed(self, piece: Piece) -> None:
        """See ``Feed``."""
        file = piece.acknowledges
        if piece.error is not None:
            return
        assert isinstance(file, _File)
        if piece.position is None or file.part is None:
            self._finish_whole(file)
            return
        found = [Extent.of(parts) for parts in piece.position["files"]]
        file.part.number, file.part.extents, file.read = piece.number, found, found[-1]
        try:
            file.tail = self._tail(file)
        except FileNotFoundError:
            self._files.pop(file.found.id, None)
        if self._place.is_atomic and file.offset == file.found.size:
            self._finish(file, piece.given.identity)

    def taken(self, piece: Piece) -> None:
        """See ``Feed``."""
        file = piece.acknowledges
        assert isinstance(file, _File)
        if file.part is not None:
            file.part.reload()
        # The files are looked at anew: how far the other process has read them says their content.
        self._files = {id: f for id, f in self._files.items() if f.part is not file.part}

    def close(self) -> None:
        """See ``Feed``."""
        self._place.close()

    # ---- files

    def _visited(self) -> Iterator[Piece | None]:
        """What is new in each file, in turn; None after each."""
        there: set[Hashable] = set()
        try:
            for files in self._place.listed():
                there.update(found.id for found in files)
                new = [found for found in files if not self._is_done(found)]
                if self._noted is not None:
                    self._done.update(self._noted.among(new))
                for found in new:
                    yield from self._visit(found)
                    yield None
        except PlaceAway as error:
            if self._away != str(error):  # it is said once
                self._away, name = str(error), self._place.name
                said = f"{str(error).rstrip('.')}; it is tried again"
                yield Piece(BytesInput(Path(name), name, data=b""), error=said)
            return
        self._files = {id: file for id, file in self._files.items() if id in there}
        self._done = {id: done for id, done in self._done.items() if id in there}
        self._unreadable = {id: said for id, said in self._unreadable.items() if id in there}
        self._skips, self._away = False, None

    def _visit(self, found: FoundFile) -> Iterator[Piece]:
        """What is new in a file, or that it cannot be read."""
        said, tried = self._unreadable.get(found.id, ("", float("-inf")))
        if self._clock() - tried < self._place.again:
            return
        try:
            yield from self._new_in(found)
        except FileNotFoundError:  # it went, or was renamed: then it is found under its new name, by its content
            self._files.pop(found.id, None)
            return
        except PlaceAway:  # if that is because of this file, the others have their turn before it is tried again
            self._unreadable[found.id] = said, self._clock()
            raise
        except OSError as error:
            says = f"{found.path} cannot be read: {error.strerror or error}"
            says = str(error) if isinstance(error, Unreadable) else says
            self._unreadable[found.id] = says, self._clock()
            if says != said:  # it is said once
                yield Piece(FileInput(Path(found.path), found.path), error=says)
        else:
            self._unreadable.pop(found.id, None)

    def _is_done(self, found: FoundFile) -> bool:
        return self._done.get(found.id, (None, ""))[0] == found.version

    def _finish(self, file: _File, source: str | None = None) -> None:
        """Nothing more is to be read of this version of a file; ``source`` is the last one of it, if that is known."""
        found, part = file.found, file.part
        self._done[found.id] = found.version, "" if file.read is None else file.read.digest
        self._files.pop(found.id, None)
        if part is not None and not any(f.part is part for f in self._files.values()):
            self._parts.pop(part.key, None)  # there may be as many as files
        if source is not None and self._noted is not None:
            self._noted.note(found, source)

    def _finish_whole(self, file: _File) -> None:
        """A file was read as a whole; if it was renamed meanwhile, and another has its name, perhaps that one was."""
        if self._place.seen(file.found) is None:
            self._files.pop(file.found.id, None)
        else:
            self._finish(file, file.digest)

    def _new_in(self, listed: FoundFile) -> Iterator[Piece]:
        """What is new in a file."""
        found, now = self._place.seen(listed), self._clock()
        if found is None or self._is_done(found):
            return
        file = self._files.get(found.id)
        if file is not None and file.found.version != found.version:
            file.since = now
            # A file that grows in place has the same bytes before; of one that was replaced, all are compared.
            if self._place.is_atomic or self._read(found, file.offset - len(file.tail), len(file.tail)) != file.tail:
                file = None  # it was cut off or replaced, and begins anew
        if file is None:
            file = self._files[found.id] = _File(found, now)
        file.found = found
        is_settled = now - file.since >= self._settled
        if not found.size or not self._form_is_known(file, is_settled):
            return
        if file.text is None:
            if is_settled:
                yield from self._whole(file)
            return
        if file.part is None:
            if not self._begin(file, is_settled):
                return
            if file.read is None and (skipped := self._left_out(file)) is not None:
                yield skipped
        while self._files.get(found.id) is file and (piece := self._next(file, is_settled)) is not None:
            yield piece
        if self._place.is_atomic and self._files.get(found.id) is file:
            if file.offset == found.size:  # it was read before, perhaps by a process that was killed then
                assert file.part is not None
                is_last = file.part.extents[-1] == file.read
                self._finish(file, file.part.chain.identity(file.part.number) if is_last else None)
            elif is_settled and file.text is not None:  # what is left of it is no record, and does not change
                self._finish(file)

    def _form_is_known(self, file: _File, is_settled: bool) -> bool:
        """Find out how a new file is read, once its first line is there."""
        if file.is_known:
            return True
        head = self._read(file.found, 0, _HEAD)
        if b"\n" not in head and len(head) < _HEAD and not is_settled:
            return False
        file.text, file.is_known = record_text(head, self._settings), True
        if file.text is None and self._skips:
            self._finish(file)
            return False
        return True

    def _whole(self, file: _File) -> Iterator[Piece]:
        """A file that is read as a whole, unless it was ingested before."""
        given = self._place.whole(file.found)
        with given.path.open("rb") as data:
            file.digest = hashlib.file_digest(data, "sha256").hexdigest()
        file.part = file.read = None
        if self._is_ingested(file.digest):
            self._finish_whole(file)
        else:
            yield Piece(given, acknowledges=file)

    def _begin(self, file: _File, is_settled: bool) -> bool:
        """Find out by its first record whether a new file was read before; False if that record is not there yet."""
        first, is_whole = self._first_record(file, is_settled)
        if first is None:
            return False
        key = hashlib.sha256(first).hexdigest() if is_whole else _UNENDED
        self._find(file, key)
        if file.read is None and key != _UNENDED:
            self._find(file, _UNENDED)
            if file.read is None:
                file.part = self._parts[key]
        file.tail = self._tail(file)
        return True

    def _find(self, file: _File, key: str) -> None:
        """Find out what was read of a file if it is of the part ``key``."""
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = AlikeFiles(key, self._chain_of(key))
            part.reload()
        file.part = part
        hashed, at = hashlib.sha256(), 0
        for extent in sorted(part.extents, key=lambda e: e.offset):
            if extent.offset > file.found.size:
                break
            at += self._hash(file.found, hashed, at, extent.offset)
            if hashed.hexdigest() == extent.digest:
                file.read, file.hashed = extent, hashed.copy()

    def _first_record(self, file: _File, is_settled: bool) -> tuple[bytes | None, bool]:
        """The header and the first record, and whether they are whole; None if they may become so."""
        text = file.text
        assert text is not None

        def end(data: bytes) -> int:
            header = text.head(data)
            first = 0 if header is None else text.first(data[len(header) :])
            return len(header) + first if header is not None and first else 0

        size = _HEAD
        while True:
            data = self._read(file.found, 0, size)
            if found := end(data):
                return data[:found], True
            if len(data) < size or size >= _LONGEST:
                return (data if is_settled or size >= _LONGEST else None), False
            size *= 4

    def _left_out(self, file: _File) -> Piece | None:
        """The position behind what is not to be read of a new file: all of it was ingested, or is to be left out."""
        size = file.found.size
        if self._skips:
            tail = self._read(file.found, max(0, size - _LONGEST), min(size, _LONGEST))
            size -= len(tail) - tail.rfind(b"\n") - 1  # the line that is being written is new
        hashed = hashlib.sha256()
        self._hash(file.found, hashed, 0, size)
        if not self._skips and not self._is_ingested(hashed.hexdigest()):
            return None
        file.hashed = hashed
        return self._piece(file, b"", size)

    # ---- bytes

    def _read(self, found: FoundFile, at: int, size: int) -> bytes:
        return self._place.read(found, at, size)

    def _hash(self, found: FoundFile, hashed: Any, at: int, end: int) -> int:
        """Go on with a hash by the bytes from ``at`` to ``end``; how many they are."""
        begin = at
        while at < end and (step := self._read(found, at, min(_STEP, end - at))):
            hashed.update(step)
            at += len(step)
        return at - begin

    def _tail(self, file: _File) -> bytes:
        """The last bytes that were read of a file that may grow in place."""
        if self._place.is_atomic:
            return b""
        return self._read(file.found, max(0, file.offset - _TAIL), min(file.offset, _TAIL))

    # ---- pieces

    def _next(self, file: _File, is_settled: bool) -> Piece | None:
        """The next whole records of a file; None if there are none yet."""
        text, begin, size = file.text, file.offset, MOST_BYTES
        assert text is not None
        data = self._read(file.found, begin, size)
        end = text.whole(data)
        while not end and len(data) == size and size < _LONGEST:
            size *= 2
            data = self._read(file.found, begin, size)
            end = text.whole(data)
        if not end and data and ((is_settled and text.may_be_whole(data)) or len(data) == size):
            end = len(data)
        if not end:
            return None
        records = data[:end]
        file.hashed.update(records)
        first = begin + end if file.read is None else file.read.first
        if text.is_csv:
            if file.csv is None:
                window = min(first, len(_BOM) + WINDOW)
                try:
                    file.csv = csv_rows(
                        self._read(file.found, 0, window), first <= window, self._settings, file.found.path
                    )
                except IngestError:  # what is wrong is said of the whole file
                    file.text = None
                    return None
            records = records[max(0, file.csv.begin - begin) :]
        return self._piece(file, records, begin + end)

    def _piece(self, file: _File, data: bytes, offset: int) -> Piece:
        """The piece that ends at ``offset``; ``file.hashed`` is of all bytes up to there."""
        part = file.part
        assert part is not None
        first = offset if file.read is None else file.read.first
        position = part.position(file.read, Extent(offset, file.hashed.hexdigest(), first), self._held)
        number = part.number + 1
        given = BytesInput(Path(file.found.path), file.found.path, identity=part.chain.identity(number), data=data)
        rows = None if file.csv is None else file.csv.known
        return Piece(given, part.chain, number, position, rows=rows, acknowledges=file)

    def _held(self) -> Collection[str]:
        """The SHA-256 of what was read of each file that is there."""
        return {f.read.digest for f in self._files.values() if f.read is not None} | {d for _, d in self._done.values()}
