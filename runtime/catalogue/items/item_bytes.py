"""JSON items of the catalogue (log, sources, claims) to bytes and back, validated."""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64decode, b64encode
from dataclasses import fields
from functools import lru_cache
from typing import Any, TypeVar

import orjson

from runtime.catalogue.items.entries import Deletion, FileEntry, Record, SourceEntry, Totals
from runtime.catalogue.items.schema import StreamSchema
from runtime.catalogue.items.seal import damaged
from runtime.errors import FormatError

VERSION, LARGE, KEPT, SETTLED = 2, 3, 4, 5
"""Versions of log records: of most; of those that name lists of their files, or have a compressed schema; of those
of streams that have, or had, files that a compaction wrote or that cover several days, a floor, or sources or keys that
were taken back; of those that dismiss sources in quarantine, or count dismissed ones.

Version 1 had no seals, no hash of the previous record and no digests of footers.
"""

_FILE_1 = tuple(f.name for f in fields(FileEntry) if f.name not in ("seq", "ordinal", "footer", "content", "repeats"))
_FILE = (*_FILE_1, "footer")
_FILE_4 = (*_FILE, "content", "repeats")
_DELETION = tuple(f.name for f in fields(Deletion))
_TEXTS = {"path", "sha256", "footer", "content"}
_TOTALS = tuple(f.name for f in fields(Totals))
_TOTALS_4 = ("reach", "undone", "forgotten", "begun", "erased")
_TOTALS_5 = ("dismissed",)
_IDS_4 = ("del_lists", "undone", "erased")
_IDS_5 = ("dismissed", "retried")
_COMPRESSED = "zlib"
T = TypeVar("T")


def dump(data: object) -> bytes:
    """Compact JSON."""
    return orjson.dumps(data)


def load(body: bytes, what: str) -> dict[str, Any]:
    """A JSON object; ``FormatError`` names ``what`` if it is not one."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise damaged(what, str(error)) from error
    if not isinstance(data, dict):
        raise damaged(what, "it is not an object")
    return data


def dump_record(record: Record) -> bytes:
    """A log record as JSON; entries of files are arrays, in the order of ``FileEntry`` without seq and ordinal."""
    totals = {name: getattr(record.totals, name) for name in _TOTALS}  # asdict would copy each value
    for name in (*_TOTALS_4, *_TOTALS_5):
        if not totals[name]:
            del totals[name]  # as in versions before these counts
    schema = None if record.schema is None else record.schema.to_dict()
    if schema is not None and record.compressed:
        schema = {_COMPRESSED: b64encode(zlib.compress(dump(schema))).decode()}
    data: dict[str, Any] = {
        "version": _version(record),
        "seq": record.seq,
        "at": record.at,
        "attempt": record.attempt,
        "source": record.source,
        "adds": [] if record.lists else [file_values(file) for file in record.adds],
        "dels": [] if record.del_lists else [deletion_values(gone) for gone in record.dels],
        "totals": totals,
        "schema_seq": record.schema_seq,
        "schema": schema,
        "floor": record.floor,
        "before": record.before,
    }
    if record.lists:
        data["lists"] = list(record.lists)
    for name in (*_IDS_4, *_IDS_5):
        if ids := getattr(record, name):
            data[name] = list(ids)
    return dump(data)


def hash_of(payload: bytes) -> str:
    """The hash by which the next record names this one: the SHA-256 of its payload, in hex."""
    return hashlib.sha256(payload).hexdigest()


@lru_cache(8)
def recent_record(payload: bytes, stream: str, sort: str) -> Record:
    """As ``load_record``; the last few are kept, for every query reads the newest one some times, and that of a
    compaction has thousands of deletions."""
    return load_record(payload, stream, sort)


def load_record(payload: bytes, stream: str, sort: str) -> Record:
    """The record at this place of the log."""
    what = f"log record {sort} of stream {stream!r}"
    data = load(payload, what)
    version = data.get("version")
    if version not in (1, VERSION, LARGE, KEPT, SETTLED):
        raise FormatError(f"{what} has version {version!r}, this program reads {SETTLED}: update it.")
    names = _FILE_1 if version == 1 else _FILE
    try:
        seq = data["seq"]
        record = Record(
            seq=_typed(seq, int),
            at=_typed(data["at"], int),
            attempt=_typed(data["attempt"], str),
            source=None if data["source"] is None else _typed(data["source"], str),
            adds=tuple(file_of(values, seq, ordinal, names) for ordinal, values in enumerate(data["adds"])),
            dels=tuple(map(deletion_of, data["dels"])),
            totals=_totals(data["totals"]),
            schema_seq=_typed(data["schema_seq"], int),
            schema=None if data["schema"] is None else StreamSchema.from_dict(_unpacked(data["schema"])),
            floor=None if data["floor"] is None else _typed(data["floor"], int),
            version=version,
            before=None if version == 1 or data["before"] is None else _typed(data["before"], str),
            hash=hash_of(payload),
            lists=tuple(_typed(digest, str) for digest in data.get("lists", ())) if version >= LARGE else (),
            compressed=_is_compressed(data["schema"]),
            **{name: tuple(_typed(id_, str) for id_ in data.get(name, ())) for name in _ids_in(version)},
        )
    except (KeyError, TypeError, ValueError, FormatError, zlib.error) as error:
        raise damaged(what, str(error)) from error
    if log_key(record.seq) != sort:
        raise damaged(what, f"it says it is number {record.seq}")
    return record


def log_key(seq: int) -> str:
    """The sort key of a log record: text that sorts like the numbers."""
    return f"{seq:012d}"


def file_values(file: FileEntry) -> list[Any]:
    """A file's entry as it is stored in a record or a list: its values, without seq and ordinal."""
    names = _FILE_4 if file.content or file.repeats else _FILE
    return [_plain(getattr(file, name)) for name in names]


def file_of(values: list[Any], seq: int, ordinal: int, names: tuple[str, ...] = _FILE) -> FileEntry:
    """The entry of stored values, as file ``ordinal`` of commit ``seq``; TypeError or ValueError if it is none."""
    if names is _FILE and len(values) == len(_FILE_4):
        names = _FILE_4
    return FileEntry(**_entry(names, values), seq=seq, ordinal=ordinal)


def deletion_values(gone: Deletion) -> list[Any]:
    """A deletion as it is stored in a record or a list."""
    return [getattr(gone, name) for name in _DELETION]


def deletion_of(values: list[Any]) -> Deletion:
    """The deletion of stored values; TypeError or ValueError if it is none."""
    return Deletion(**_entry(_DELETION, values))


def source_data(source: SourceEntry, seq: int, attempt: str) -> dict[str, Any]:
    """The content of a source's item: its entry and its commit."""
    return {**source.to_dict(), "seq": seq, "attempt": attempt}


def _entry(names: tuple[str, ...], values: list[Any]) -> dict[str, Any]:
    data = dict(zip(names, values, strict=True))
    for name, value in data.items():
        if name != "nulls":
            _typed(value, str if name in _TEXTS else int)
        elif not isinstance(value, dict):
            raise TypeError("nulls is not an object")
    return data


def _totals(data: dict[str, Any]) -> Totals:
    totals = Totals(**data)
    for name, value in data.items():
        if name == "hash":
            int(_typed(value, str), 16)
        elif value is not None or name not in ("first", "last"):
            _typed(value, int)
    return totals


def _typed(value: Any, type_: type[T]) -> T:
    if not isinstance(value, type_) or isinstance(value, bool):
        raise TypeError(f"{str(value)[:40]!r} is not of type {type_.__name__}")
    return value


def _version(record: Record) -> int:
    if record.totals.dismissed or record.dismissed or record.retried:
        return SETTLED
    return KEPT if _is_kept(record) else LARGE if record.lists or record.compressed else VERSION


def _ids_in(version: int) -> tuple[str, ...]:
    """The lists of ids that a record of this version may have."""
    return (*_IDS_4, *_IDS_5) if version >= SETTLED else _IDS_4 if version == KEPT else ()


def _is_kept(record: Record) -> bool:
    used = [getattr(record.totals, name) for name in _TOTALS_4] + [getattr(record, name) for name in _IDS_4]
    return any(used) or record.floor is not None or any(file.content for file in record.adds)


def _is_compressed(schema: object) -> bool:
    return isinstance(schema, dict) and _COMPRESSED in schema


def _unpacked(schema: Any) -> object:
    if not _is_compressed(schema):
        return schema
    return orjson.loads(zlib.decompress(b64decode(schema[_COMPRESSED], validate=True)))


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | str) else dict(value)
