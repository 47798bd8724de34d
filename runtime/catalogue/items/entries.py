"""Entries of the catalogue: files, sources and commits, their names and JSON forms."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any

from runtime.catalogue.items.schema import StreamSchema
from runtime.errors import FormatError, StoreError

DAY = 86_400_000_000
"""Microseconds of a UTC day."""

MAX_DAYS = 366
"""The most UTC days that a file covers: a leap year."""

SEQ = "$seq"
"""The column in which a compaction keeps each row's commit order; see ``order_of``."""

_STREAM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_ATTEMPT = re.compile(r"[a-z0-9]{1,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTENT = re.compile(r"(?:[0-9a-f]{64})?")
_FOOTER = re.compile(r"(?:[0-9a-f]{32})?")
_EPOCH = date(1970, 1, 1).toordinal()
FIRST_DAY, LAST_DAY = 1 - _EPOCH, date.max.toordinal() - _EPOCH


@dataclass(frozen=True)
class FileEntry:
    """One point file of a stream.

    ``day`` is the UTC day of its first event time, counted from 1970-01-01; ``t_min`` and ``t_max`` are its first and
    last event time (microseconds UTC), at most 366 days apart;
    ``sha256`` is that of the file's bytes, in hex; ``keys`` the number of distinct keys; ``dropped`` the duplicates
    dropped or merged while it was written; ``nulls`` the null count of each value column it has (a column that is not
    in the file is not in ``nulls``). ``footer`` is the digest of the file's footer and trailer, by which a reader
    verifies that it opened this file (``PointFile.footer_digest``; empty in entries of earlier versions). ``seq`` is
    the commit that added it and ``ordinal`` its number there: both are set by the catalogue.

    Of a file that a compaction wrote (its ``nulls`` have ``$seq``), ``content`` says which rows it holds: over all
    files that replaced some others, these contents add up to those of the others (see ``content_hash``). ``repeats`` is
    the number of its rows that the stream's policy for duplicates drops when the file is read alone; a file as it was
    ingested has none.
    """

    path: str
    day: int
    rows: int
    bytes: int
    t_min: int
    t_max: int
    sha256: str
    keys: int = 0
    dropped: int = 0
    nulls: Mapping[str, int] = field(default_factory=dict)
    seq: int = 0
    ordinal: int = 0
    footer: str = ""
    content: str = ""
    repeats: int = 0

    @property
    def days(self) -> int:
        """The number of UTC days from its first to its last event time."""
        return self.t_max // DAY - self.day + 1

    @property
    def compacted(self) -> bool:
        """Whether a compaction wrote it: each row has its commit order in the column ``$seq``."""
        return SEQ in self.nulls

    @property
    def content_hash(self) -> int:
        """A number for the rows it holds: of a file as it was ingested, the SHA-256 of its path.

        The sum modulo 2^256 over a set of files does not change when some are compacted.
        """
        return int(self.content, 16) if self.content else _number(self.path)

    def checked(self, stream: str, attempt: str) -> FileEntry:
        """The entry itself if it is consistent and its path belongs to this attempt, else ``StoreError``."""
        wrong = None
        if not FIRST_DAY <= self.day <= LAST_DAY:
            wrong = f"its day {self.day} is outside the years 1 to 9999"
        elif self.path.rpartition("/")[0] != data_folder(stream, self.day) or attempt_of(self.path) != attempt:
            wrong = f"its path is not that of a file of attempt {attempt!r} on {day_name(self.day)} (use file_path)"
        elif min(self.rows, self.bytes) < 1 or min(self.keys, self.dropped, self.repeats) < 0:
            wrong = f"it has {self.rows} rows, {self.bytes} bytes, {self.keys} keys, {self.dropped} dropped"
        elif not (self.day == self.t_min // DAY and self.t_min <= self.t_max):
            wrong = f"its times {self.t_min} to {self.t_max} are not in order or do not begin on {day_name(self.day)}"
        elif self.days > MAX_DAYS:
            wrong = f"it covers {self.days} days, more than {MAX_DAYS}"
        elif not _CONTENT.fullmatch(self.content):
            wrong = f"its content {self.content!r} is not 64 hexadecimal digits"
        elif not _SHA256.fullmatch(self.sha256):
            wrong = f"its sha256 {self.sha256!r} is not 64 hexadecimal digits"
        elif not _FOOTER.fullmatch(self.footer):
            wrong = f"its footer's digest {self.footer!r} is not 32 hexadecimal digits"
        if wrong:
            raise StoreError(f"file {self.path!r} cannot be committed to stream {stream!r}: {wrong}.")
        return self


@dataclass(frozen=True)
class Waiting:
    """Rows of a source that were rejected only because their times were more than an hour in the future.

    These are the ``rows`` with a time later than ``latest`` (microseconds UTC; the first of them at ``earliest``). When
    the source is ingested again, those that are acceptable by then are committed as a source with the id ``next_id``,
    read with the ``unit``, ``format``, ``missing_key`` and ``reading`` (options by name) of the first time.
    """

    rows: int
    latest: int
    earliest: int
    unit: str | None = None
    format: str = "auto"
    missing_key: str | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)

    def next_id(self, source_id: str) -> str:
        """The id under which the waiting rows of ``source_id`` are committed: equal in all processes, so they count
        once."""
        return hashlib.sha256(f"{source_id}\nrows later than {self.latest}".encode()).hexdigest()


@dataclass(frozen=True)
class SourceEntry:
    """One ingested source: a file, standard input, an object of a landing bucket.

    ``id`` is the SHA-256 (hex) of its identity, ``name`` the name given by the user. ``rows_read`` is the number of
    records in it: ``rows_committed + rejected + dropped``. ``reject_reasons`` count the rejected ones, which are listed
    in the object ``rejects_path``. ``quarantined`` is the reason why the whole source was set aside; such a source may
    be ingested again later. ``waiting`` are rows that a later ingest of it can commit (they are counted as rejected);
    if ``resumed`` is not 0, the entry holds that many waiting rows of an earlier entry. ``options`` are those with
    which it was read, by name. ``undone`` is the commit that took it back, ``dismissed`` the one that dismissed it from
    quarantine, ``retried`` the one that asked for it to be taken again (0: none did); the catalogue sets these.
    ``position`` is where the feed that the source is a part of goes on after it (JSON; None: it is of no feed).
    """

    id: str
    name: str
    bytes: int
    rows_read: int = 0
    rows_committed: int = 0
    rejected: int = 0
    reject_reasons: Mapping[str, int] = field(default_factory=dict)
    dropped: int = 0
    rejects_path: str | None = None
    quarantined: str | None = None
    waiting: Waiting | None = None
    resumed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    undone: int = 0
    dismissed: int = 0
    retried: int = 0
    position: Mapping[str, Any] | None = None

    @property
    def waits_for_attention(self) -> bool:
        """Whether it is in quarantine, and nobody has dismissed it."""
        return self.quarantined is not None and not self.undone and not self.dismissed

    def checked(self) -> SourceEntry:
        """The entry itself if it is consistent, else ``StoreError``."""
        if not _SHA256.fullmatch(self.id):
            raise StoreError(f"source {self.name!r} has the id {self.id!r:.80}: it must be a SHA-256 in hexadecimal.")
        if min(self.bytes, self.rows_read, self.rows_committed, self.rejected, self.dropped, self.resumed) < 0:
            raise StoreError(f"source {self.name!r} has a negative count: {self}.")
        return self

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        out = asdict(self)
        if not self.options:
            del out["options"]  # as before they were kept
        if not self.undone:
            del out["undone"]  # as before sources could be taken back
        for name in ("dismissed", "retried"):
            if not out[name]:
                del out[name]  # as before there were such commits
        if self.position is None:
            del out["position"]  # as before there were feeds
        if self.waiting is not None and not self.waiting.reading:
            del out["waiting"]["reading"]  # as before there were such options
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SourceEntry:
        """The entry of a JSON form; unknown fields are ignored."""
        try:
            known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
            if known.get("waiting") is not None:
                known["waiting"] = Waiting(**known["waiting"])
            return cls(**known)
        except (TypeError, KeyError) as error:
            raise FormatError(
                f"a source in the catalogue is damaged ({error}): run `dataflow recover` on the store."
            ) from error


@dataclass(frozen=True)
class Deletion:
    """A file that a commit replaces: the fields that find it in the index and subtract it."""

    path: str
    day: int
    seq: int
    ordinal: int
    rows: int
    bytes: int

    @classmethod
    def of(cls, file: FileEntry) -> Deletion:
        """The deletion of a file that was read from the catalogue (so its ``seq`` and ``ordinal`` are known)."""
        return cls(file.path, file.day, file.seq, file.ordinal, file.rows, file.bytes)


@dataclass(frozen=True)
class Totals:
    """Running totals of a stream as of one commit; ``hash`` is the set hash of the live files' paths.

    ``first`` and ``last`` are the first and last event times (microseconds UTC, inclusive) of the live files, None if
    there are none. ``reach`` is the largest number of further days that a file ever added covers: files of a day are
    found among those that begin so many days before it.

    ``sources``, ``quarantined``, ``undone`` (taken back) and ``forgotten`` (of the stream before it was erased) count
    the items in the list of sources; ``rejected`` and ``dropped`` are of the first two. ``begun`` is the last commit
    that erased the whole stream, ``erased`` the number of items that name erased keys. ``dismissed`` is the number of
    sources in quarantine that were dismissed; ``quarantined`` counts these, too.
    """

    files: int = 0
    rows: int = 0
    bytes: int = 0
    hash: str = "0" * 64
    first: int | None = None
    last: int | None = None
    sources: int = 0
    quarantined: int = 0
    rejected: int = 0
    dropped: int = 0
    reach: int = 0
    undone: int = 0
    forgotten: int = 0
    begun: int = 0
    erased: int = 0
    dismissed: int = 0


@dataclass(frozen=True)
class Record:
    """One commit: a record of the log.

    ``at`` is the writer's clock in microseconds UTC, never before that of the previous record. ``source`` is the id of
    the source whose rows it adds (None for upkeep). ``schema_seq`` is the record that holds the schema that is valid
    from here on; ``schema`` is present only where it changed. ``floor`` is the retention floor as a day. ``before`` is
    the hash of the previous record (None for the first, and in version 1); ``hash`` is that of this one, set when it
    was read.

    Of version 3 are records that would not fit into an item as they are. ``lists`` are then the digests of the lists of
    its files (``file_lists``), which are items of their own: ``adds`` is empty until these were read. ``compressed``:
    the schema is stored compressed.

    Of version 4 are records that use what follows, or whose totals do. ``del_lists`` are the digests of the lists of
    the files that it replaces; ``dels`` is empty until these were read. ``undone`` are the ids of the sources that it
    takes back, ``erased`` the SHA-256 of the keys that it erases.

    Of version 5 are records of which ``dismissed`` or ``retried`` (the ids of sources in quarantine that it dismisses,
    or that are to be taken again) are not empty, or whose totals count dismissed sources.
    """

    seq: int
    at: int
    attempt: str
    source: str | None
    adds: tuple[FileEntry, ...]
    dels: tuple[Deletion, ...]
    totals: Totals
    schema_seq: int
    schema: StreamSchema | None = None
    floor: int | None = None
    version: int = 2
    before: str | None = None
    lists: tuple[str, ...] = ()
    compressed: bool = False
    del_lists: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()
    erased: tuple[str, ...] = ()
    dismissed: tuple[str, ...] = ()
    retried: tuple[str, ...] = ()
    hash: str = field(default="", compare=False)

    @property
    def takes_away(self) -> bool:
        """Whether it removes rows, which compactions do not: then the stream's first or last time may have changed."""
        fewer = sum(gone.rows for gone in self.dels) != sum(file.rows for file in self.adds)
        of_others = bool(self.dels) and (fewer or self.source is not None)
        return self.totals.begun == self.seq or bool(self.undone) or of_others or self.retires

    @property
    def retires(self) -> bool:
        """Whether it replaces or adds files from below the floor, as compactions do not: perhaps with as many rows."""
        days = [gone.day for gone in self.dels] + [file.day for file in self.adds]
        return self.floor is not None and min(days, default=self.floor) < self.floor


@dataclass(frozen=True)
class Committed:
    """The source's rows are in the stream, as commit ``seq``."""

    seq: int


@dataclass(frozen=True)
class AlreadyIngested:
    """The source was ingested before, as ``source``; nothing was added. This attempt's files are orphans."""

    source: SourceEntry


def check_stream(stream: str) -> str:
    """The name itself if it is a valid stream name, else ``StoreError``."""
    if not isinstance(stream, str) or not _STREAM.fullmatch(stream):
        raise StoreError(
            f"stream name {str(stream)[:120]!r} is not allowed: use up to 100 letters, digits, '_', '-' and '.', not "
            "starting with '.' or '-'."
        )
    return stream


def check_attempt(attempt: str) -> str:
    """The attempt id itself if it is valid (1 to 64 of a-z and 0-9), else ``StoreError``."""
    if not isinstance(attempt, str) or not _ATTEMPT.fullmatch(attempt):
        raise StoreError(f"attempt id {str(attempt)[:80]!r} is not allowed: it has 1 to 64 characters of a-z and 0-9.")
    return attempt


def new_attempt() -> str:
    """A unique attempt id: every run of an ingest uses its own."""
    return uuid.uuid4().hex


@lru_cache(maxsize=1 << 12)
def day_name(day: int) -> str:
    """The date of a day counted from 1970-01-01, as ``YYYY-MM-DD``."""
    return date.fromordinal(day + _EPOCH).isoformat()


def data_folder(stream: str, day: int) -> str:
    """The folder of a stream's point files of one UTC day in the object store."""
    return f"data/{stream}/{day_name(day)}"


def stream_of(path: str) -> str:
    """The stream of a point file, by its path: also of one with what is carried in."""
    return path.split("/")[1]


def file_path(stream: str, day: int, attempt: str, number: int) -> str:
    """The path of point file ``number`` of an ingest attempt."""
    return f"{data_folder(check_stream(stream), day)}/{check_attempt(attempt)}-{number}.points"


def attempt_of(path: str) -> str | None:
    """The attempt that wrote the point file at ``path``; None for other paths."""
    match = re.fullmatch(r"data/[^/]+/[^/]+/([a-z0-9]{1,64})-\d+\.points", path)
    return match[1] if match else None


def order_of(seq: int, ordinal: int) -> int:
    """The place in commit order of the rows of file ``ordinal`` of commit ``seq``: their value of ``$seq``.

    A commit has fewer than 2^20 files.
    """
    return seq << 20 | ordinal


def commit_of(order: int) -> int:
    """The commit of a value of ``$seq``."""
    return order >> 20


def set_hash(ids: Iterable[str]) -> str:
    """The hash of a set of ids: the sum of their SHA-256 modulo 2^256, in 64 hexadecimal digits.

    It does not depend on the order, and ids can be added and removed (Bellare and Micciancio's AdHash).
    """
    return f"{sum(_number(id_) for id_ in ids) % _MODULUS:064x}"


def shifted_hash(start: str, adds: Sequence[str], dels: Sequence[str]) -> str:
    """The set hash ``start`` with the ids ``adds`` added and ``dels`` removed."""
    total = int(start, 16) + sum(map(_number, adds)) - sum(map(_number, dels))
    return f"{total % _MODULUS:064x}"


_MODULUS = 1 << 256


def _number(id_: str) -> int:
    return int.from_bytes(hashlib.sha256(id_.encode()).digest(), "big")
