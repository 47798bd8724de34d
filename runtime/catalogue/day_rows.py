"""Rows of the day index: fixed binary heads, so that a million of them are read as one numpy array."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any, overload

import numpy as np
import orjson
from numpy.typing import NDArray

from runtime.catalogue.items import seal
from runtime.catalogue.items.entries import DAY, Deletion, FileEntry, day_name
from runtime.errors import FormatError

VERSION = 2
"""Rows of version 1 have no seal at their end and no digest of the footer."""

HEAD = np.dtype(
    [
        ("version", "<u2"),
        ("marker", "<u2"),  # 1: no file, only the totals of a day from which a commit removed files
        ("ordinal", "<u4"),
        ("day", "<i4"),
        ("size", "<u4"),  # bytes after the head: path, null counts, footer's digest as JSON; the seal
        ("add_seq", "<i8"),
        ("del_seq", "<i8"),  # 0: not deleted
        ("rows", "<i8"),
        ("bytes", "<i8"),
        ("t_min", "<i8"),
        ("t_max", "<i8"),
        ("keys", "<i8"),
        ("dropped", "<i8"),
        ("day_files", "<i8"),  # running totals of the day as of commit add_seq
        ("day_rows", "<i8"),
        ("hash", ">u4", (8,)),  # SHA-256 of the path
        ("day_hash", ">u4", (8,)),
        ("sha256", "V32"),
    ]
)
HEAD_SIZE = HEAD.itemsize
_MARKER_ORDINAL = 999_999
_CHUNK = 4096
_EPOCH = date(1970, 1, 1).toordinal()
_COLUMNS = ("day", "rows", "bytes", "t_min", "t_max", "keys", "dropped", "add_seq", "ordinal", "version")


@dataclass(frozen=True)
class DayTotals:
    """Totals of a stream's day: live files, their rows, and the set hash of their paths as a number."""

    files: int = 0
    rows: int = 0
    hash: int = 0

    def shifted(self, adds: Sequence[FileEntry], dels: Sequence[Deletion]) -> DayTotals:
        """The totals after a commit added and deleted these files of the day."""
        return DayTotals(
            self.files + len(adds) - len(dels),
            self.rows + sum(f.rows for f in adds) - sum(d.rows for d in dels),
            (self.hash + sum(path_hash(f.path) for f in adds) - sum(path_hash(d.path) for d in dels)) % (1 << 256),
        )


def path_hash(path: str) -> int:
    """The SHA-256 of a path as a number."""
    return int.from_bytes(hashlib.sha256(path.encode()).digest(), "big")


@lru_cache(maxsize=1 << 12)
def day_number(name: str) -> int:
    """The day of a date ``YYYY-MM-DD``, counted from 1970-01-01."""
    return date.fromisoformat(name).toordinal() - _EPOCH


@lru_cache(maxsize=1 << 12)
def partition_of(day: int) -> str:
    """The partition of a day's rows, one per calendar month: a range of days is few queries, however sparse."""
    return f"DAY#{day_name(day)[:7]}"


def row_key(day: int, seq: int, ordinal: int) -> str:
    """The sort key of a row: (day, commit, file number)."""
    return f"{day_name(day)}#{seq:012d}#{ordinal:06d}"


def marker_key(day: int, seq: int) -> str:
    """The sort key of the row with totals only."""
    return row_key(day, seq, _MARKER_ORDINAL)


def pack(file: FileEntry, totals: DayTotals, del_seq: int = 0) -> bytes:
    """The row of a file, with the totals of its day after its commit; to be sealed."""
    head = np.zeros((), HEAD)
    head["version"], head["ordinal"], head["day"] = VERSION, file.ordinal, file.day
    head["add_seq"], head["del_seq"] = file.seq, del_seq
    head["rows"], head["bytes"], head["keys"], head["dropped"] = file.rows, file.bytes, file.keys, file.dropped
    head["t_min"], head["t_max"] = file.t_min, file.t_max
    head["hash"] = np.frombuffer(hashlib.sha256(file.path.encode()).digest(), ">u4")
    head["sha256"] = np.void(bytes.fromhex(file.sha256))
    kept = [file.content, file.repeats] if file.content or file.repeats else []
    tail = orjson.dumps([file.path, dict(file.nulls), file.footer, *kept])
    head["size"] = len(tail) + seal.SIZE
    return _with_totals(head, totals) + tail


def pack_marker(day: int, seq: int, totals: DayTotals) -> bytes:
    """The row of a commit that only removed files from a day; to be sealed."""
    head = np.zeros((), HEAD)
    head["size"] = seal.SIZE
    head["version"], head["marker"], head["ordinal"] = VERSION, 1, _MARKER_ORDINAL
    head["day"], head["add_seq"] = day, seq
    return _with_totals(head, totals)


def deleted(body: bytes, seq: int) -> bytes:
    """The stored row, marked as deleted by commit ``seq``; to be sealed again."""
    head, tail = head_of(body).copy(), body[HEAD_SIZE:]
    if int(head["version"]) == VERSION:
        tail = tail[: -seal.SIZE]
    elif tail:
        tail = tail[:-1] + b',""]'
    head["version"], head["size"], head["del_seq"] = VERSION, len(tail) + seal.SIZE, seq
    return bytes(head.tobytes()) + tail


def sealed(partition: str, sort: str, row: bytes) -> bytes:
    """A row as it is stored."""
    return row + seal.seal_of(partition, sort, 0, row)


def check_seal(partition: str, sort: str, number: int, body: bytes) -> None:
    """FormatError unless the row was written here with this content."""
    row = body[: -seal.SIZE]
    if int(head_of(body)["version"]) != VERSION or body[-seal.SIZE :] != seal.seal_of(partition, sort, number, row):
        raise seal.damaged(f"row {sort} of the day index", "its checksum is wrong")


def head_totals(head: np.void) -> DayTotals:
    """The day totals in a head."""
    return DayTotals(int(head["day_files"]), int(head["day_rows"]), int.from_bytes(head["day_hash"].tobytes(), "big"))


def head_of(body: bytes) -> np.void:
    """The head of a row; FormatError if it cannot be one."""
    head: np.void = DayFiles.of([(body[:HEAD_SIZE], body[HEAD_SIZE:])]).heads[0]
    return head


def summed(hashes: NDArray[np.uint32]) -> int:
    """The set hash, as a number, of files whose path hashes are the rows of ``hashes``, shape (n, 8), big-endian."""
    lanes = hashes.astype(np.uint64).sum(axis=0).tolist()
    return sum(int(lane) << (32 * (7 - i)) for i, lane in enumerate(lanes)) % (1 << 256)


class DayFiles(Sequence[FileEntry]):
    """File entries in columns: ``heads`` is an array of ``HEAD``; each ``FileEntry`` is created on access.

    The bytes after the heads are joined in ``_tails``, at ``_starts``.
    """

    def __init__(self, heads: NDArray[np.void], starts: NDArray[np.int64], tails: bytes) -> None:
        self.heads = heads
        self._starts = starts
        self._tails = tails

    @classmethod
    def of(cls, parts: Sequence[tuple[bytes, bytes]]) -> DayFiles:
        """The rows of some scans, in their order; see ``KeyScan``. Rows must be in the order of their keys."""
        heads_bytes = b"".join([head for head, _ in parts])
        tails = b"".join([tail for _, tail in parts])
        if len(heads_bytes) % HEAD_SIZE:
            raise _damaged()
        heads = np.frombuffer(heads_bytes, HEAD)
        starts = np.cumsum(heads["size"], dtype=np.int64)
        version = heads["version"]
        if len(heads) and ((version < 1).any() or (version > VERSION).any() or starts[-1] != len(tails)):
            raise _damaged()
        if (heads["size"][version == VERSION] < seal.SIZE).any():
            raise _damaged()
        return cls(heads, starts - heads["size"], tails)

    def check_seals(self, partition: str) -> None:
        """FormatError unless each row was written to this partition with this content, under the key in its head."""
        heads = self.heads
        if (heads["version"] != VERSION).any():
            raise seal.damaged(f"day index, partition {partition!r},", "a row has no checksum")
        ends = (self._starts + heads["size"]).tolist()
        bodies, tails, at = heads.tobytes(), self._tails, 0
        keys = zip(*(heads[name].tolist() for name in ("day", "add_seq", "ordinal")), strict=True)
        try:
            names = {day: day_name(day) for day in set(heads["day"].tolist())}
        except (ValueError, OverflowError) as error:
            raise _damaged() from error
        for start, end, (day, seq, ordinal) in zip(self._starts.tolist(), ends, keys, strict=True):
            # Inlined row_key and seal_of: planning over many files spends its time here.
            row = bodies[at : at + HEAD_SIZE] + tails[start : end - 8]
            place = f"\0{partition}\0{names[day]}#{seq:012d}#{ordinal:06d}\x000\x00{len(row)}"
            if blake2b(row + place.encode(), digest_size=8).digest() != tails[end - 8 : end]:
                raise seal.damaged(f"row {row_key(day, seq, ordinal)} of the day index", "its checksum is wrong")
            at += HEAD_SIZE

    def stored(self, first: int, last: int) -> tuple[memoryview, memoryview]:
        """The bytes of the rows from ``first`` to before ``last``, heads and tails; of rows as ``of`` made them."""
        ends = self._starts[last - 1] + self.heads["size"][last - 1]
        return self.heads[first:last].view(np.uint8).data, memoryview(self._tails)[self._starts[first] : ends]

    def ordered(self) -> bool:
        """Whether the rows are in the order (day, seq, ordinal), without repetition."""
        day, seq, ordinal = (self.heads[name].astype(np.int64) for name in ("day", "add_seq", "ordinal"))
        same_day, same_seq = day[1:] == day[:-1], seq[1:] == seq[:-1]
        rising = (ordinal[1:] > ordinal[:-1]) & same_seq | (seq[1:] > seq[:-1])
        return bool(((rising & same_day) | (day[1:] > day[:-1])).all())

    def where(self, keep: NDArray[np.bool_]) -> DayFiles:
        """The rows for which ``keep`` is true."""
        return self if keep.all() else DayFiles(self.heads[keep], self._starts[keep], self._tails)

    def reaching(self, day: int) -> DayFiles:
        """The files with points on that day or later."""
        return self.where(self.heads["t_max"] >= day * DAY)

    def with_added(self, files: Sequence[FileEntry]) -> DayFiles:
        """These rows and those of further files, sorted by (day, seq, ordinal)."""
        bodies = [pack(file, DayTotals()) for file in files]
        blank = bytes(seal.SIZE)  # these come from the log
        more = DayFiles.of([(body[:HEAD_SIZE], body[HEAD_SIZE:] + blank) for body in bodies])
        heads = np.concatenate([self.heads, more.heads])
        starts = np.concatenate([self._starts, more._starts + len(self._tails)])
        order = np.lexsort((heads["ordinal"], heads["add_seq"], heads["day"]))
        return DayFiles(heads[order], starts[order], self._tails + more._tails)

    def __len__(self) -> int:
        return len(self.heads)

    @overload
    def __getitem__(self, index: int) -> FileEntry: ...
    @overload
    def __getitem__(self, index: slice) -> DayFiles: ...
    def __getitem__(self, index: int | slice) -> FileEntry | DayFiles:
        if isinstance(index, slice):
            return DayFiles(self.heads[index], self._starts[index], self._tails)
        place = range(len(self))[index]
        return next(iter(self[place : place + 1]))

    def __iter__(self) -> Iterator[FileEntry]:
        return iter(self._few) if len(self) <= _CHUNK else self._entries()

    @cached_property
    def _few(self) -> tuple[FileEntry, ...]:
        return tuple(self._entries())

    def _entries(self) -> Iterator[FileEntry]:
        for low in range(0, len(self), _CHUNK):  # columns to Python objects in chunks: fast, with constant memory
            heads = self.heads[low : low + _CHUNK]
            columns = [heads[name].tolist() for name in _COLUMNS]
            sums = [value.hex() for value in heads["sha256"].tolist()]
            ends = (self._starts[low : low + _CHUNK] + heads["size"]).tolist()
            starts = self._starts[low : low + _CHUNK].tolist()
            for start, end, sha256, values in zip(starts, ends, sums, zip(*columns, strict=True), strict=True):
                day, rows, size, t_min, t_max, keys, dropped, seq, ordinal, version = values
                path, nulls, *more = _tail(self._tails[start:end], version)
                yield FileEntry(path, day, rows, size, t_min, t_max, sha256, keys, dropped, nulls, seq, ordinal, *more)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sequence)
            and len(self) == len(other)
            and all(a == b for a, b in zip(self, other, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} files, {self.row_count} rows>"

    @cached_property
    def row_count(self) -> int:
        """Rows of all files."""
        return int(self.heads["rows"].sum())

    @cached_property
    def byte_count(self) -> int:
        """Bytes of all files."""
        return int(self.heads["bytes"].sum())

    @cached_property
    def set_hash(self) -> str:
        """The set hash of the paths, in hex."""
        return f"{summed(self.heads['hash']):064x}"


def _tail(tail: bytes, version: int) -> list[Any]:
    """Path, null counts, the footer's digest, and of files that a compaction wrote their content and repeats."""
    try:
        values = orjson.loads(tail if version == 1 else tail[: -seal.SIZE])
    except ValueError as error:
        raise _damaged() from error
    if not isinstance(values, list) or len(values) not in ((2,) if version == 1 else (3, 5)):
        raise _damaged()
    return values


def _with_totals(head: NDArray[np.void], totals: DayTotals) -> bytes:
    head["day_files"], head["day_rows"] = totals.files, totals.rows
    head["day_hash"] = np.frombuffer(totals.hash.to_bytes(32, "big"), ">u4")
    return head.tobytes()


def _damaged() -> FormatError:
    return FormatError("a row of the catalogue's day index is damaged or of another version: run `dataflow recover`.")
