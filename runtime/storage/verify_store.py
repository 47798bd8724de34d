"""Verifies a whole store: the catalogue against its log, every committed file against the catalogue."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler.cache import KernelsUnavailable
from operators.errors import DataflowError
from runtime.catalogue import Catalogue, FileEntry, Snapshot, StreamSchema
from runtime.catalogue.items.entries import SEQ, Record, order_of
from runtime.objects import ObjectStore
from runtime.progress import NoProgress, Progress, count_of

if TYPE_CHECKING:
    from runtime.pointfile import PointFile

_SHOWN = 20
_MODULUS = 1 << 256

Decode = Callable[[bytes, FileEntry], Iterator[str]]
"""Decodes the bytes of a committed file completely; yields what differs from the entry, one phrase each."""


Repeats = Callable[["PointFile", FileEntry, StreamSchema], int]
"""How many rows of a file the stream's policy for duplicates drops when it is read alone."""


@dataclass(frozen=True)
class StreamReport:
    """What was checked in one stream, and its problems, one sentence each."""

    stream: str
    commits: int
    files: int
    rows: int
    bytes: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class VerifyReport:
    """The outcome of ``verify``.

    ``orphans`` are objects under data/ that no commit names, left by an ingest that was interrupted or lost a race.
    They are not errors, and a sweep removes them. ``orphan_bytes`` is their total size.
    """

    streams: tuple[StreamReport, ...] = ()
    orphans: tuple[str, ...] = ()
    orphan_bytes: int = 0
    problems: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "ok": self.ok,
            "streams": [
                {
                    "stream": s.stream,
                    "commits": s.commits,
                    "files": s.files,
                    "rows": s.rows,
                    "bytes": s.bytes,
                    "problems": list(s.problems),
                }
                for s in self.streams
            ],
            "orphans": list(self.orphans),
            "orphan_bytes": self.orphan_bytes,
            "problems": list(self.problems),
        }

    def __str__(self) -> str:
        lines = [
            f"{s.stream}: {count_of(s.commits, 'commit')}, {count_of(s.files, 'file')}, {count_of(s.rows, 'row')}, "
            f"{count_of(s.bytes, 'byte')}: {count_of(len(s.problems), 'problem') if s.problems else 'all right'}"
            for s in self.streams
        ] or ["the streams could not be read" if self.problems else "no streams"]
        lines += [f"  {problem}" for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            lines.append(f"  and {len(self.problems) - _SHOWN} more")
        if self.orphans:
            lines.append(
                f"{len(self.orphans)} orphans ({self.orphan_bytes} bytes): point files that no commit names, left by "
                "ingests that did not finish; `dataflow sweep` removes them in a week. If the catalogue and its head "
                "were restored from an older copy, they may be committed points: run `dataflow recover`."
            )
        return "\n".join(lines)


def verify(
    objects: ObjectStore,
    catalogue: Catalogue,
    streams: Sequence[str] | None = None,
    progress: Progress | None = None,
    decode: Decode | None = None,
    repeats_in: Repeats | None = None,
) -> VerifyReport:
    """Check ``streams`` (all of them by default) and report every problem; never stops at the first.

    Of the store: its catalogue is intact below the streams. Of each stream: the log has no gap and its totals are
    right, the day index agrees with it, and every committed file exists with its size and SHA-256, decodes completely
    and has the rows, keys, days and times in the catalogue. Every row of a file that a compaction wrote is of a file
    that was committed earlier, and compactions have as many rows as they replaced.
    """
    progress = progress or NoProgress()
    reports: list[StreamReport] = []
    committed: set[str] = set()
    below = catalogue.problems()
    try:
        known = catalogue.streams()
    except DataflowError as error:
        return VerifyReport(problems=tuple(dict.fromkeys([*below, str(error)])))
    for stream in known if streams is None else streams:
        if stream not in known:
            reports.append(StreamReport(stream, 0, 0, 0, 0, (f"there is no stream {stream!r} in this store",)))
            continue
        problems = catalogue.audit(stream)
        try:
            records = list(catalogue.records(stream))
            committed |= {file.path for record in records for file in record.adds}
            snapshot = catalogue.snapshot(stream)
        except DataflowError as error:
            text = f"stream {stream!r}: {error}"
            reports.append(StreamReport(stream, 0, 0, 0, 0, tuple(dict.fromkeys([*problems, text]))))
            continue
        problems += _compacted(records)
        of_stream = decode or partial(
            decode_points, orders=_orders(records), repeats_in=repeats_in, schema=snapshot.schema
        )
        problems += _files(objects, stream, snapshot, progress, of_stream)
        reports.append(
            StreamReport(
                stream, snapshot.seq, len(snapshot.files), snapshot.rows, snapshot.files.byte_count, tuple(problems)
            )
        )
    found = [o for name in (known if streams is None else streams) for o in objects.list(f"data/{name}/")]
    if streams is None:  # includes files of a first ingest that never committed
        found = list(objects.list("data/"))
    orphans = [o for o in found if o.path not in committed]
    return VerifyReport(
        tuple(reports),
        tuple(o.path for o in orphans),
        sum(o.size for o in orphans),
        tuple(dict.fromkeys([*below, *(problem for report in reports for problem in report.problems)])),
    )


def _orders(records: Sequence[Record]) -> NDArray[np.int64]:
    """The commits of a source, ascending: rows of compacted files are of these.

    Of one that was recovered the files may be gone, because a compaction has replaced them.
    """
    return np.array([r.seq for r in records if r.source is not None], np.int64)


def _compacted(records: Sequence[Record]) -> list[str]:
    """Problems of commits that replaced files: their rows must be those of other files, and none may be more."""
    problems, files = [], {(f.seq, f.ordinal): f for r in records for f in r.adds}
    for record in records:
        gone = [files.get((d.seq, d.ordinal)) for d in record.dels]
        if record.source is not None or not record.adds or record.retires:
            continue
        before = [f for f in gone if f is not None]
        content = sum(f.content_hash for f in before) - sum(f.content_hash for f in record.adds)
        rows = sum(f.rows for f in before) - sum(f.rows for f in record.adds)
        if rows < 0 or (content % _MODULUS == 0) != (rows == 0):
            problems.append(
                f"commit {record.seq}: {sum(f.rows for f in before)} rows were replaced by "
                f"{sum(f.rows for f in record.adds)}, and the contents of the files do not say so"
            )
    return problems


def _files(objects: ObjectStore, stream: str, snapshot: Snapshot, progress: Progress, decode: Decode) -> list[str]:
    problems: list[str] = []
    unable = ""
    task = progress.start(f"verify {stream}", snapshot.files.byte_count, "bytes")
    try:
        for file in snapshot.files:
            try:
                problems += [f"{file.path}: {what}" for what in check_file(objects, file, decode)]
            except KernelsUnavailable as error:  # not the file's fault: check the others as far as possible
                unable, decode = str(error), _not_decoded
            task.advance(file.bytes, file.rows)
    finally:
        task.finish()
    if unable:
        problems.append(f"point files were compared with their checksums only, and could not be decoded: {unable}")
    return problems


def _not_decoded(data: bytes, file: FileEntry) -> Iterator[str]:
    return iter(())


def check_file(objects: ObjectStore, file: FileEntry, decode: Decode) -> Iterator[str]:
    """Problems of one committed file, one phrase each; KernelsUnavailable if it cannot be decoded here."""
    try:
        size = objects.size(file.path)
        if size != file.bytes:
            yield f"it has {size} bytes, the catalogue says {file.bytes}"
            return
        data = objects.read(file.path, 0, size)
        digest = hashlib.sha256(data).hexdigest()
        if digest != file.sha256:
            yield f"its SHA-256 is {digest}, the catalogue says {file.sha256}: it was damaged"
            return
        yield from decode(data, file)
    except KernelsUnavailable:
        raise
    except DataflowError as error:
        yield str(error)


def decode_points(
    data: bytes, file: FileEntry, *, orders: NDArray[np.int64], repeats_in: Repeats | None, schema: StreamSchema
) -> Iterator[str]:
    """Decode every block and column of a point file, and compare it with its entry; see ``Decode``.

    ``orders`` are the stream's commits that rows may be of.
    """
    from runtime.pointfile import Buffers, PointFile

    points = PointFile.open(lambda offset, length: data[offset : offset + length], len(data), file.path)
    buffers = Buffers()
    columns = list(points.schema)
    nulls = dict.fromkeys(columns, 0)
    rows, first, last = 0, None, None
    strange = 0
    for number in range(len(points.blocks)):
        block = points.load(columns, number, number + 1).block(number, columns, buffers)
        rows += len(block.time)
        if SEQ in block.columns:
            strange += _strange(block.columns[SEQ][0].astype(np.int64), block.rows, file, orders)
        if len(block.time):
            low, high = int(block.time.min()), int(block.time.max())
            first = low if first is None else min(first, low)
            last = high if last is None else max(last, high)
    for column in columns:
        nulls[column] = int(points.chunks(column)["nulls"].sum())
    for what, found, said in (
        ("rows", rows, file.rows),
        ("keys", points.keys, file.keys),
        ("the day", points.day, file.day),
        ("the number of days", points.days, file.days),
        ("the first time", first, file.t_min),
        ("the last time", last, file.t_max),
        ("the nulls by column", nulls, dict(file.nulls)),
    ):
        if found != said:
            yield f"{what}: the file has {found}, the catalogue says {said}"
    if strange:
        yield f"{strange} of its rows are of no source of an earlier commit"
    if repeats_in is not None and file.compacted and (found := repeats_in(points, file, schema)) != file.repeats:
        yield f"its repeated rows: the file has {found}, the catalogue says {file.repeats}"


def _strange(values: NDArray[np.int64], rows: int, file: FileEntry, orders: NDArray[np.int64]) -> int:
    """How many of a block's commit orders are of none of the commits ``orders`` before that of ``file``."""
    values = values // order_of(1, 0)
    at = np.searchsorted(orders, values)
    known = np.zeros(len(values), np.bool_)
    inside = at < len(orders)
    known[inside] = orders[at[inside]] == values[inside]
    known &= values < file.seq
    return int(np.count_nonzero(~known)) * (rows if len(values) == 1 else 1)
