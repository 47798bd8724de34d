"""Lists of the files that a commit adds or replaces, for commits whose record would not fit into one item.

A list is an item of its own (partition FILES), written before the commit and named by the SHA-256 of its payload, in
its key and in the record of the log. So the hash of the record covers the lists, and with it the log's chain and the
heads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from runtime.catalogue.items import seal
from runtime.catalogue.items.entries import Deletion, FileEntry, Record
from runtime.catalogue.items.item_bytes import (
    deletion_of,
    deletion_values,
    dump,
    dump_record,
    file_of,
    file_values,
    hash_of,
    load,
)
from runtime.errors import IngestError

MAX_ITEM = 400_000
"""Maximum bytes of a log record or a list: DynamoDB's limit of an item, less 9,600 for keys and names."""

MAX_FILES = 999_999
"""Maximum files of a commit: their numbers in the day index have six digits, and the last one is a marker's."""

SWEPT = dump({"swept": True})
"""The payload of a list that a sweep has emptied."""

_FILES, _GONE, _AFTER = b'{"files":[', b'{"gone":[', b"]}"


def check_count(stream: str, files: Sequence[FileEntry]) -> None:
    """IngestError if these are more files than one commit can have."""
    if len(files) > MAX_FILES:
        raise IngestError(
            f"the commit to stream {stream!r} has {len(files):,} files, more than the {MAX_FILES:,} of one commit: "
            "split the input into parts of fewer days."
        )


def fitted(stream: str, record: Record, room: int = MAX_ITEM) -> tuple[Record, list[bytes]]:
    """The record in a form whose item has at most ``room`` bytes, and the payloads of the lists that it then names.

    Most records fit as they are. Others name lists of their files, and if that is not enough, of those that they
    replace; then their schema is compressed. IngestError if even that is too large.
    """
    if _size(record) <= room:
        return record, []
    lists = _in_lists(_FILES, map(file_values, record.adds), room)
    if (size := max(map(len, lists), default=0) + seal.JSON_SIZE) > MAX_ITEM:
        raise IngestError(
            f"a file of the commit to stream {stream!r} has {max(len(f.nulls) for f in record.adds):,} columns, whose "
            f"names need {size:,} bytes, more than the {MAX_ITEM:,} of an item of the catalogue: leave out columns or "
            "shorten their names."
        )
    large = replace(record, lists=tuple(map(hash_of, lists)))
    if _size(large) > room and record.dels:
        gone = _in_lists(_GONE, map(deletion_values, record.dels), room)
        large = replace(large, del_lists=tuple(map(hash_of, gone)))
        lists += gone
    if _size(large) > room and record.schema is not None:
        large = replace(large, compressed=True)
    if (size := _size(large)) > MAX_ITEM:
        columns = 0 if record.schema is None else len(record.schema.columns)
        raise IngestError(
            f"the commit to stream {stream!r} has {len(record.adds):,} files and a schema of {columns:,} columns, "
            f"{size:,} bytes even in their short form, more than the {MAX_ITEM:,} of one log record: split the input "
            "into parts of fewer days or columns."
        )
    return large, lists


def filled(record: Record, payloads: Mapping[str, bytes], stream: str) -> Record:
    """The record with the files of its lists, whose ``payloads`` are given by digest."""
    files: list[FileEntry] = []
    gone: list[Deletion] = []
    for digest in record.lists:
        what = f"{list_name(record, digest)} of stream {stream!r}"
        files += load_list(payloads[digest], digest, record, len(files), what)
    for digest in record.del_lists:
        values = _values(payloads[digest], digest, "gone", f"{list_name(record, digest)} of stream {stream!r}")
        gone += map(deletion_of, values)
    return replace(record, adds=tuple(files) or record.adds, dels=tuple(gone) or record.dels)


def load_list(payload: bytes, digest: str, record: Record, first: int, what: str) -> list[FileEntry]:
    """The files in a list of the record, the first of which has the number ``first`` in the commit.

    FormatError, naming ``what``, unless it is the list of this digest.
    """
    values = _values(payload, digest, "files", what)
    return [file_of(entry, record.seq, first + n) for n, entry in enumerate(values)]


def list_name(record: Record, digest: str) -> str:
    """How errors name a list of the record."""
    return f"list {digest} of the files of commit {record.seq}"


def list_key(attempt: str, digest: str) -> str:
    """The sort key of a list: the lists of an attempt are one range."""
    return f"{attempt}#{digest}"


def _values(payload: bytes, digest: str, name: str, what: str) -> list[list[Any]]:
    """The entries of a list; its content is what was written, as its digest says."""
    if hash_of(payload) != digest:
        raise seal.damaged(what, "it is not the list that was committed")
    values = load(payload, what).get(name)
    if not isinstance(values, list):
        raise seal.damaged(what, f"it has no {name}")
    return values


def _in_lists(before: bytes, files: Iterable[list[Any]], room: int) -> list[bytes]:
    """The payloads of lists of these files, in their order, with one file or items of at most ``room`` bytes."""
    lists: list[list[bytes]] = []
    left = 0
    for values in files:
        entry = dump(values)
        if len(entry) + 1 > left or not lists:
            lists.append([])
            left = room - seal.JSON_SIZE - len(before) - len(_AFTER)
        lists[-1].append(entry)
        left -= len(entry) + 1
    return [before + b",".join(entries) + _AFTER for entries in lists]


def _size(record: Record) -> int:
    return len(dump_record(record)) + seal.JSON_SIZE
