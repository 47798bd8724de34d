"""A slow, plain compaction for tests: the rows of some files into one, or into several by a rule."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from operators.types import Type
from runtime import Store
from runtime.catalogue import Committed, FileEntry, StreamSchema, file_path, new_attempt
from runtime.catalogue.items.compaction_origin import Replaced
from runtime.catalogue.items.entries import DAY, SEQ, order_of
from runtime.columns import Column, Dictionary, Points
from runtime.objects import ObjectStore
from runtime.pointfile import Buffers, PointFile, encode, footer_digest, hash_keys

Row = tuple[Any, int, int, int, dict[str, Any]]
"""Key, time, ``$seq``, number within the file, and values."""


def compacted(
    store: Store, files: Sequence[FileEntry], part_of: Callable[[Row], Any] = lambda row: 0, commit: bool = True
) -> list[FileEntry]:
    """Replaces committed files of the stream "s" by one for each value of ``part_of`` a row; the new entries.

    Without ``commit`` the files are only written, as by a compaction that was interrupted.
    """
    schema = store.catalogue.schema("s")
    assert schema is not None
    parts: dict[Any, list[Row]] = {}
    types: dict[str, Type] = {}
    for file in files:
        rows, of_file = rows_of(store, file)
        types |= {n: t for n, t in of_file.items() if types.get(n) is not Type.FLOAT}
        for row in rows:
            parts.setdefault(part_of(row), []).append(row)
    attempt, order = new_attempt(), store.catalogue.order("s")
    entries: list[FileEntry] = []
    for n, part in enumerate(sorted(parts)):
        last = n == len(parts) - 1
        of_part = sorted(parts[part], key=lambda row: (row[2], row[3]))
        origin = {"stream": "s", "duplicates": schema.duplicates, "order": str(order)}
        origin |= {} if schema.id is None else {"id": schema.id}
        origin |= Replaced.by(files, _repeats(of_part, schema)).origin()
        origin |= {"files": str(len(parts))} if last else {}
        entry = _written(store, schema, attempt, n, of_part, types, origin)
        entries.append(replace(entry, repeats=_repeats(of_part, schema)))
    rest = sum(f.content_hash for f in files) - sum(f.content_hash for f in entries[1:])
    entries = [
        replace(f, content=f"{(f.content_hash if n else rest) % (1 << 256):064x}") for n, f in enumerate(entries)
    ]
    return replaced(store, files, entries, attempt) if commit else entries


def replaced(store: Store, files: Sequence[FileEntry], by: Sequence[FileEntry], attempt: str) -> list[FileEntry]:
    """Commits files that replace others."""
    done = store.catalogue.replace("s", files, by, attempt)
    assert isinstance(done, Committed)
    return [replace(entry, seq=done.seq, ordinal=n) for n, entry in enumerate(by)]


def rows_of(store: Store, entry: FileEntry) -> tuple[list[Row], dict[str, Type]]:
    """All rows of a file, one by one, and the types of its columns."""
    file = store.open_file(entry)
    names, out = list(file.schema), []
    buffers = Buffers()
    for number in range(len(file.blocks)):
        block = file.load(names, number, number + 1).block(number, names, buffers)
        first = block.first_key
        keys = file.key_column(first, first + len(block.run_lengths)).to_list()
        of = [key for key, n in zip(keys, block.run_lengths.tolist(), strict=True) for _ in range(n)]
        columns = {name: _values(file, name, *block.columns[name], block.rows) for name in names}
        for i in range(block.rows):
            values = {name: column[i] for name, column in columns.items()}
            seq = values.pop(SEQ, order_of(entry.seq, entry.ordinal))
            out.append((of[i], int(block.time[i]), seq, len(out), values))
    return out, {name: t for name, t in file.schema.items() if name != SEQ}


def _values(file: PointFile, name: str, values: Any, valid: Any, rows: int) -> list[Any]:
    data = np.repeat(values, rows) if len(values) == 1 else values
    there = np.repeat(valid, rows) if len(valid) == 1 else valid
    strings = file.dictionary(name).strings if file.schema[name] is Type.STRING else None
    return [
        None if not ok else strings[int(v)] if strings is not None else v.item()
        for v, ok in zip(data, there, strict=True)
    ]


def _written(
    store: Store, schema: StreamSchema, attempt: str, number: int, rows: list[Row], types: Mapping[str, Type],
    origin: Mapping[str, str],
) -> FileEntry:  # fmt: skip
    hashes = {key: int(hash_keys(_column(schema.key_type, [key]))[0]) for key in {row[0] for row in rows}}
    # A file's order among rows of one key and time is that in which they were read, within one commit and file.
    rows = sorted(rows, key=lambda row: (hashes[row[0]], row[0], row[1], row[2], row[3]))
    columns = {name: _column(type_, [row[4].get(name) for row in rows]) for name, type_ in types.items()}
    columns = {name: column for name, column in columns.items() if column.nulls < len(rows)}
    columns[SEQ] = _column(Type.INT, [row[2] for row in rows])
    times = np.array([row[1] for row in rows], np.int64)
    points = Points(_column(schema.key_type, [row[0] for row in rows]), times, columns)
    first, last = int(times.min()), int(times.max())
    day = first // DAY
    data = encode(
        points, key=schema.key, time=schema.time, day=day, days=last // DAY - day + 1,
        origin=origin,
    )  # fmt: skip
    path = file_path("s", day, attempt, number)
    objects: ObjectStore = store.objects
    objects.put(path, data)
    return FileEntry(
        path, day, len(rows), len(data), first, last, hashlib.sha256(data).hexdigest(), len(hashes), 0,
        {name: column.nulls for name, column in columns.items()}, footer=footer_digest(data),
    )  # fmt: skip


def _repeats(rows: Sequence[Row], schema: StreamSchema) -> int:
    """How many of these rows the stream's policy drops or merges."""
    left = rows
    if schema.id is not None:
        ids: set[Any] = set()
        once = []
        for row in rows:
            id_ = (row[0], row[1] // DAY, row[4].get(schema.id))
            if id_[2] is None or id_ not in ids:
                once.append(row)
                ids.add(id_)
        left = once
    if schema.duplicates == "exact":
        kept = {
            (row[0], row[1], tuple(sorted((n, repr(v)) for n, v in row[4].items() if v is not None))) for row in left
        }
        return len(rows) - len(kept)
    if schema.duplicates == "latest":
        return len(rows) - len({row[:2] for row in left})
    return len(rows) - len(left)


def _column(type_: Type, values: Sequence[Any]) -> Column:
    valid = np.array([v is not None for v in values], np.bool_)
    words = None
    if type_ is Type.STRING:
        distinct = sorted({v for v in values if v is not None})
        codes = {v: i for i, v in enumerate(distinct)}
        values, words = [codes.get(v, 0) for v in values], Dictionary.of(distinct)
    data = np.array([0 if v is None else v for v in values], type_.dtype)
    return Column(type_, data, None if valid.all() else valid, words)
