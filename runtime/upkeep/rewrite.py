"""Writes the rows of committed files again, as fewer files; what a compaction and an undo have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from operators.distinct_values import distinct
from runtime.catalogue import FileEntry, StreamSchema, file_path
from runtime.catalogue.items.commit_order import Order
from runtime.catalogue.items.compaction_origin import Replaced, short_name
from runtime.catalogue.items.entries import DAY, SEQ
from runtime.columns import Column, Points
from runtime.helpers import go_on
from runtime.ingest.columns.same_file_duplicates import repeats
from runtime.objects import ObjectStore
from runtime.pointfile import PointFile, borrowed, encode, footer_digest, sort_points
from runtime.upkeep.spans import FULL, ROW_BYTES, Span
from runtime.upkeep.stored_rows import stored_rows, time_ranges

VALUES = 1 << 25
"""Values that are in memory together, at most, unless one key has more."""

_TEXT = 1 << 25
"""Bytes of different texts that are in memory together, and in one file, at most, unless one time of one key has
more. They are there several times over while a file is written."""

_HASHES = 1 << 64

T = TypeVar("T")

Keep = Callable[[Points], Points]
"""Which rows remain."""


@dataclass(frozen=True)
class Rewriting:
    """One attempt to write the rows of some files of a stream again."""

    objects: ObjectStore
    open_file: Callable[[FileEntry], PointFile]
    stream: str
    schema: StreamSchema
    attempt: str
    order: Order
    first: int = 0
    """The number of the first file."""

    floor: int | None = None
    """The day to which the stream's floor was raised: files that end before it hold what is carried in at it."""
    removes: str = ""
    """What is taken back or erased, as the files' origin says it; empty if these files are not all of the attempt."""

    def compacted(self, files: Sequence[FileEntry], spans: Sequence[Span]) -> list[FileEntry]:
        """The files that hold the rows of ``files``, those of each span apart; they are in the object store.

        Each file has some ``FULL`` rows at most, and some ``_TEXT`` bytes of texts; files of one span differ in keys
        or, where one key has more, in time. The contents of the files add up to those of ``files``, and so do the
        duplicates dropped at ingest.
        """
        out: list[FileEntry] = []
        for piece, is_last in self._pieces(files, spans):
            out.append(self._write(piece, self.first + len(out), files, len(out) + 1 if is_last else None))
        contents = [file.content_hash for file in out]
        contents[0] = (sum(file.content_hash for file in files) - sum(contents[1:])) % (1 << 256)
        out[0] = replace(out[0], dropped=sum(file.dropped for file in files))
        return [replace(file, content=f"{content:064x}") for file, content in zip(out, contents, strict=True)]

    def each_written(self, files: Sequence[FileEntry], keep: Keep, gone: Sequence[FileEntry] = ()) -> list[FileEntry]:
        """For each of the files new ones with the rows that ``keep`` returns, if any; their contents are new.

        The last one names the files that are ``gone`` whole by the same commit.
        """
        out: list[FileEntry] = []
        pieces = ((piece, file) for file in files for piece in self._kept(file, keep))
        for (piece, file), is_last in _with_last(pieces):
            last = is_last and bool(self.removes)
            written = self._write(
                piece, self.first + len(out), [file], len(out) + 1 if last else None, gone if last else ()
            )
            out.append(written)
        return [replace(file, content=f"{file.content_hash:064x}") for file in out]

    def carried(self, points: Points, day: int) -> list[FileEntry]:
        """Files of the rows that stand for all before the UTC day ``day``, a month in each."""
        out: list[FileEntry] = []
        days = points.time // DAY
        months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        for month in distinct(months).tolist():
            part = sort_points(points.take(np.flatnonzero(months == month)))
            out.append(self._write(part, self.first + len(out), (), None, floor=day))
        return out

    def _kept(self, file: FileEntry, keep: Keep) -> Iterator[Points]:
        """The rows of a file that are kept, in pieces of one new file each."""
        for points, _ in self._parts([file]):
            if points is not None and len(kept := keep(points)):
                del points
                kept = sort_points(kept)
                yield from _by_time(kept, self._most([file]))

    def _pieces(self, files: Sequence[FileEntry], spans: Sequence[Span]) -> Iterator[tuple[Points, bool]]:
        """The rows of the files to be, one after the other, and whether they are the last ones."""
        for points, is_last in self._parts(files):
            # Only what is written is in memory by then, not what it was sorted from.
            assert points is not None, "the shards and ranges are those of rows"
            sorted_ = sort_points(points)
            del points
            parts = (part for of_span in _by_span(sorted_, spans) for part in _by_time(of_span, self._most(files)))
            del sorted_
            for part, ends in _with_last(parts):
                yield part, ends and is_last

    def _most(self, files: Sequence[FileEntry]) -> int:
        """How many rows a file to be may have."""
        return min(FULL, max(1, VALUES // _width(files)))

    def _parts(self, files: Sequence[FileEntry]) -> Iterator[tuple[Points | None, bool]]:
        """The rows of the files by ranges of keys, and of times where texts are long, and whether these are the last
        ones. None stands for no rows."""
        opened = [(entry, self.open_file(entry)) for entry in files]
        rows = sum(entry.rows for entry in files)
        text = sum(file.text_bytes for _, file in opened)
        sparing = text > _TEXT
        shards = 1 << (max(1, -(-rows // self._most(files)), -(-text // _TEXT)) - 1).bit_length()
        with borrowed() as buffers:
            each = [(_HASHES * number // shards, _HASHES * (number + 1) // shards) for number in range(shards)]
            there = [shard for shard in each if any(_has_keys(file, shard) for _, file in opened)]
            for shard in there:
                go_on()
                ranges = time_ranges(opened, shard, buffers, _TEXT) if sparing else (None,)
                for times in ranges:
                    is_last = shard is there[-1] and times is ranges[-1]
                    # In no variable here, which would hold them while they are written.
                    yield stored_rows(opened, self.schema, shard, buffers, times, sparing), is_last

    def _write(
        self,
        points: Points,
        number: int,
        inputs: Sequence[FileEntry],
        files: int | None,
        gone: Sequence[FileEntry] = (),
        floor: int | None = None,
    ) -> FileEntry:
        """Write one file; ``files`` is the number of all, in the last of them. With ``floor`` it has no rows of
        ``inputs``, but what is carried in at that day."""
        schema = self.schema
        first, last = int(points.time.min()), int(points.time.max())
        day = first // DAY
        if self.floor is not None and last < self.floor * DAY:  # what was carried in is so again
            floor = self.floor
        if floor is not None:
            points = Points(points.key, points.time, {n: c for n, c in points.columns.items() if n != SEQ})
        rows = Points(points.key, points.time, {n: c for n, c in points.columns.items() if n == SEQ or _any(c)})
        repeated = repeats(rows, schema.duplicates, schema.id, SEQ)
        origin = {"stream": self.stream, "duplicates": schema.duplicates, "order": str(self.order)}
        origin |= {} if schema.id is None else {"id": schema.id}
        if floor is not None:
            origin["floor"] = str(floor)
        else:
            names = tuple(short_name(f.path) for f in gone)
            origin |= replace(Replaced.by(inputs, repeated), removes=self.removes, gone=names).origin()
        origin |= {} if files is None else {"files": str(files)}
        data = encode(rows, key=schema.key, time=schema.time, day=day, days=last // DAY - day + 1, origin=origin)
        path = file_path(self.stream, day, self.attempt, number)
        self.objects.put(path, data)
        keys = rows.key.values
        return FileEntry(
            path=path,
            day=day,
            rows=len(rows),
            bytes=len(data),
            t_min=first,
            t_max=last,
            sha256=hashlib.sha256(data).hexdigest(),
            keys=1 + int(np.count_nonzero(keys[1:] != keys[:-1])),
            nulls={name: column.nulls for name, column in rows.columns.items()},
            footer=footer_digest(data),
            repeats=repeated,
        )


def values_at_once(files: Sequence[FileEntry]) -> int:
    """About how many values are in memory together while these files are written again; long texts are as many as one
    may have."""
    rows, size = sum(entry.rows for entry in files), sum(entry.bytes for entry in files)
    return VALUES if size > max(_TEXT // 2, ROW_BYTES * rows) else min(FULL, rows) * _width(files)


def _width(files: Sequence[FileEntry]) -> int:
    """Values of a row: key, time, commit and columns."""
    return 3 + len({name for entry in files for name in entry.nulls})


def _with_last(pieces: Iterator[T]) -> Iterator[tuple[T, bool]]:
    """Each piece, and whether it is the last one."""
    held: T | None = None
    for piece in pieces:
        if held is not None:
            yield held, False
        held = piece
    if held is not None:
        yield held, True


def _has_keys(file: PointFile, shard: tuple[int, int]) -> bool:
    """Whether a file has rows of keys with hashes in the shard."""
    _, _, low, high = file.key_span(*shard)
    return low < high


def _any(column: Column) -> bool:
    """Whether a column has a value."""
    return column.valid is None or bool(column.valid.any())


def _by_span(points: Points, spans: Sequence[Span]) -> Iterator[Points]:
    """The points of each span, in the order of the spans; together they are all."""
    if len(spans) < 2:
        yield points
        return
    edges = np.array([span.begin for span in spans[1:]], np.int64)
    number = np.searchsorted(edges, points.time, side="right")
    for at in range(len(spans)):
        index = np.flatnonzero(number == at)
        if len(index):
            yield points.take(index)


def _by_time(points: Points, most: int) -> Iterator[Points]:
    """The points in as many parts, one after the other in time, as have some ``most`` rows; times are not split."""
    parts = len(points) // most if len(points) >= 2 * most else 1
    if parts == 1:
        yield points
        return
    order = np.sort(points.time)
    edges = distinct(order[[len(order) * n // parts for n in range(1, parts)]])
    number = np.searchsorted(edges, points.time, side="right")
    for at in range(len(edges) + 1):
        index = np.flatnonzero(number == at)
        if len(index):
            yield points.take(index)
