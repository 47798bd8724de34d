"""A folder of files, new ones and ones that grow: logs that are rotated, too.

A file of one record a line is read piece by piece; any other, such as Parquet or a JSON document, as a whole, once it
does not change any more. Files are known by their content, never by their names: those that begin with the same record
are one part of the feed, and what was read of each is known by the SHA-256 of its first bytes up to where it goes on.
So a file that was renamed goes on where it was, and a copy counts once.
"""

from __future__ import annotations

import glob
import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.errors import IngestError
from runtime.ingest.inputs.inputs import BytesInput, FileInput, Version
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.text.dialects.dialect import WINDOW
from runtime.live.chains import Position, SourceChain
from runtime.live.feeds.feed import MOST_BYTES, Piece
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

MOST_ALIKE = 1_000
"""How many files that begin with the same record are remembered."""

UNFINISHED = (".part", ".tmp")
"""How names end of files that are still being written; so are those whose names begin with a dot."""


@dataclass(frozen=True)
class Extent:
    """What was read of a file: so many bytes, with this SHA-256; ``first`` of them at first, which say how rows of CSV
    are read."""

    offset: int
    digest: str
    first: int

    @classmethod
    def of(cls, parts: Sequence[Any]) -> Extent:
        """From a position."""
        offset, digest, first = parts
        return cls(int(offset), str(digest), int(first))


@dataclass
class _AlikeFiles:
    """The files that begin with the same record: their sources are one chain. ``extents`` are what was read of each,
    the last one read at the end."""

    chain: SourceChain
    number: int = 0
    extents: list[Extent] = field(default_factory=list)

    def reload(self) -> None:
        """Go on after what is committed."""
        reached = self.chain.reached()
        found = () if reached.position is None else reached.position["files"]
        self.number, self.extents = reached.number, [Extent.of(parts) for parts in found]

    def position(self, before: Extent | None, after: Extent, held: Collection[Extent | None]) -> Position:
        """The position once a file was read from ``before`` (None: from its beginning) to ``after``; ``held`` are the
        extents of files that are there. Of files that are gone, only the last are remembered."""
        kept = [e for e in self.extents if e != before]
        if len(kept) >= MOST_ALIKE:
            kept = [e for e in kept if e in held]
        if len(kept) >= MOST_ALIKE:
            raise IngestError(
                f"more than {MOST_ALIKE:,} files begin with the same record, so they cannot be distinguished when "
                "they are renamed: watch folders with fewer of them."
            )
        return self.chain.position(files=[[e.offset, e.digest, e.first] for e in (*kept, after)])


@dataclass
class _File:
    """A file that is followed: ``read`` of it is committed; ``text`` is None if it is read as a whole."""

    path: str
    seen: Version
    since: float
    text: RecordText | None = None
    part: _AlikeFiles | None = None
    """None until its first record is there."""

    read: Extent | None = None
    csv: CsvRows | None = None
    """How its rows are read, of CSV."""

    tail: bytes = b""
    """The last bytes that were read."""

    hashed: Any = field(default_factory=hashlib.sha256)
    is_known: bool = False
    """Whether its form is."""

    done: Version | None = None

    @property
    def offset(self) -> int:
        """The first byte that is not committed."""
        return 0 if self.read is None else self.read.offset


class FolderFeed:
    """The files of a folder, or that a pattern matches.

    ``chain_of`` gives the chain of a part, ``is_ingested`` says of a SHA-256 whether such a file was ingested as a
    whole. With ``skips``, what is there at the first look is left out. A file is whole, or its last line is, once it
    has not changed for ``settled`` seconds.
    """

    ended = False

    stopping: Callable[[], bool] = staticmethod(lambda: False)

    def __init__(
        self,
        pattern: str,
        chain_of: Callable[[str], SourceChain],
        is_ingested: Callable[[str], bool],
        settings: Settings,
        settled: float = 10.0,
        skips: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root, self._pattern = _root_of(pattern)
        self._chain_of, self._is_ingested, self._clock = chain_of, is_ingested, clock
        self._settings, self._settled, self._skips = settings, settled, skips
        self._parts: dict[str, _AlikeFiles] = {}
        """By the SHA-256 of the first record."""

        self._files: dict[tuple[int, int], _File] = {}
        self._unreadable: dict[tuple[int, int], str] = {}
        """What was said of files that cannot be read."""

    def pieces(self, seconds: float) -> Iterator[Piece]:
        """See ``Feed``."""
        until = self._clock() + seconds
        there = self._listed()
        self._files = {ino: file for ino, file in self._files.items() if ino in there}
        for ino, path in there.items():
            try:
                yield from self._new_in(ino, path)
            except FileNotFoundError:  # it went, or was renamed: then it is found under its new name
                continue
            except OSError as error:
                said = f"{path} cannot be read: {error.strerror or error}"
                if self._unreadable.get(ino) != said:  # it is said once
                    self._unreadable[ino] = said
                    yield Piece(FileInput(Path(path), path), error=said)
            else:
                self._unreadable.pop(ino, None)
            if self._clock() > until:
                break
        self._skips = False

    def committed(self, piece: Piece) -> None:
        """See ``Feed``."""
        file = piece.acknowledges
        if piece.error is not None:
            return
        assert isinstance(file, _File)
        if piece.position is None or file.part is None:
            file.done = file.seen
            return
        found = [Extent.of(parts) for parts in piece.position["files"]]
        file.part.number, file.part.extents, file.read = piece.number, found, found[-1]
        file.tail = _tail(file.path, file.offset)

    def taken(self, piece: Piece) -> None:
        """See ``Feed``."""
        file = piece.acknowledges
        assert isinstance(file, _File)
        if file.part is not None:
            file.part.reload()
        # The files are looked at anew: how far the other process has read them says their content.
        self._files = {ino: f for ino, f in self._files.items() if f.part is not file.part}

    def close(self) -> None:
        """See ``Feed``."""

    # ---- files

    def _listed(self) -> dict[tuple[int, int], str]:
        """The files that there are, by device and inode; each once, by its first name in order."""
        found: dict[tuple[int, int], str] = {}
        for name in sorted(glob.glob(self._pattern, root_dir=self._root, recursive=True)):
            last, path = os.path.basename(name), os.path.join(self._root, name)
            if last.startswith(".") or last.endswith(UNFINISHED) or not os.path.isfile(path):
                continue
            about = _version(path)
            if about is not None:
                found.setdefault(about[:2], path)
        return found

    def _new_in(self, ino: tuple[int, int], path: str) -> Iterator[Piece]:
        """What is new in a file."""
        seen, now = _version(path), self._clock()
        if seen is None or seen[:2] != ino:
            return
        file = self._files.get(ino)
        if file is not None and file.seen != seen:
            file.seen, file.since = seen, now
            if _read(path, file.offset - len(file.tail), len(file.tail)) != file.tail:
                file = None  # it was cut off, and begins anew
        if file is None:
            file = self._files[ino] = _File(path, seen, now)
        file.path = path
        is_settled = now - file.since >= self._settled
        if file.done == seen or not seen[2] or not self._form_is_known(file, is_settled):
            return
        if file.text is None:
            if is_settled and file.done != seen:
                yield Piece(FileInput(Path(path), path), acknowledges=file)
            return
        if file.part is None:
            if not self._begin(file, is_settled):
                return
            if file.read is None and (skipped := self._left_out(file)) is not None:
                yield skipped
        while self._files.get(ino) is file and (piece := self._next(file, is_settled)) is not None:
            yield piece

    def _form_is_known(self, file: _File, is_settled: bool) -> bool:
        """Find out how a new file is read, once its first line is there."""
        if file.is_known:
            return True
        head = _read(file.path, 0, _HEAD)
        if b"\n" not in head and len(head) < _HEAD and not is_settled:
            return False
        file.text, file.is_known = record_text(head, self._settings), True
        if file.text is None and (self._skips or self._is_ingested(_digest(file.path).hexdigest())):
            file.done = file.seen
        return True

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
        file.tail = _tail(file.path, file.offset)
        return True

    def _find(self, file: _File, key: str) -> None:
        """Find out what was read of a file if it is of the part ``key``."""
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = _AlikeFiles(self._chain_of(key))
            part.reload()
        file.part = part
        hashed, at = hashlib.sha256(), 0
        with open(file.path, "rb") as data:
            for extent in sorted(part.extents, key=lambda e: e.offset):
                if extent.offset > file.seen[2]:
                    break
                while at < extent.offset and (step := data.read(min(_STEP, extent.offset - at))):
                    hashed.update(step)
                    at += len(step)
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
            data = _read(file.path, 0, size)
            if found := end(data):
                return data[:found], True
            if len(data) < size or size >= _LONGEST:
                return (data if is_settled or size >= _LONGEST else None), False
            size *= 4

    def _left_out(self, file: _File) -> Piece | None:
        """The position behind what is not to be read of a new file: all of it was ingested, or is to be left out."""
        size = file.seen[2]
        if self._skips:
            tail = _read(file.path, max(0, size - _LONGEST), min(size, _LONGEST))
            size -= len(tail) - tail.rfind(b"\n") - 1  # the line that is being written is new
            file.hashed = _digest(file.path, size)
            return self._piece(file, b"", size)
        hashed = _digest(file.path, size)
        if not self._is_ingested(hashed.hexdigest()):
            return None
        file.hashed = hashed
        return self._piece(file, b"", size)

    # ---- pieces

    def _next(self, file: _File, is_settled: bool) -> Piece | None:
        """The next whole records of a file; None if there are none yet."""
        text, begin, size = file.text, file.offset, MOST_BYTES
        assert text is not None
        data = _read(file.path, begin, size)
        end = text.whole(data)
        while not end and len(data) == size and size < _LONGEST:
            size *= 2
            data = _read(file.path, begin, size)
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
                    file.csv = csv_rows(_read(file.path, 0, window), first <= window, self._settings, file.path)
                except IngestError:  # what is wrong is said of the whole file
                    file.text = None
                    return None
            records = records[max(0, file.csv.begin - begin) :]
        return self._piece(file, records, begin + end)

    def _piece(self, file: _File, data: bytes, offset: int) -> Piece:
        """The piece that ends at ``offset``; ``file.hashed`` is of all bytes up to there."""
        part = file.part
        assert part is not None
        held = {f.read for f in self._files.values() if f.part is part}
        first = offset if file.read is None else file.read.first
        position = part.position(file.read, Extent(offset, file.hashed.hexdigest(), first), held)
        number = part.number + 1
        given = BytesInput(Path(file.path), file.path, identity=part.chain.identity(number), data=data)
        rows = None if file.csv is None else file.csv.known
        return Piece(given, part.chain, number, position, rows=rows, acknowledges=file)


def _version(path: str) -> Version | None:
    """The version of a file; None if it is gone."""
    try:
        about = os.stat(path)
    except OSError:
        return None
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


def _digest(path: str, size: int | None = None) -> Any:
    """The hash of a file's first bytes, to be gone on with."""
    hashed, left = hashlib.sha256(), size
    with open(path, "rb") as file:
        while step := file.read(_STEP if left is None else min(_STEP, left)):
            hashed.update(step)
            left = None if left is None else left - len(step)
    return hashed


def _tail(path: str, end: int) -> bytes:
    """The last bytes before ``end``."""
    return _read(path, max(0, end - _TAIL), min(end, _TAIL))


def _read(path: str, at: int, size: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(at)
        return file.read(size)


def _root_of(pattern: str) -> tuple[str, str]:
    """A folder, and the pattern of names below it."""
    if os.path.isdir(pattern):
        return os.path.abspath(pattern), "*"
    if not glob.has_magic(pattern) and not os.path.exists(pattern):
        raise IngestError(f"there is no folder or file {pattern}: create it before it is watched.")
    parts: Sequence[str] = Path(pattern).parts
    fixed = next((n for n, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    root = os.path.join(*parts[:fixed]) if fixed else "."
    if not os.path.isdir(root):
        raise IngestError(f"there is no folder {root}: create it before its files are watched.")
    return os.path.abspath(root), os.path.join(*parts[fixed:])
