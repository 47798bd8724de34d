"""A slow, plain compaction and a slow, plain reader: rows as Python values."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from operators.types import Type
from runtime import Store
from runtime.catalogue import Committed, FileEntry, SourceEntry, StreamSchema, file_path, new_attempt
from runtime.catalogue.items.entries import DAY, SEQ, order_of
from runtime.columns import Column, Dictionary, Points
from runtime.pointfile import Buffers, PointFile, encode, footer_digest
from runtime.pointfile.hashing import hash_bytes

STREAM = "s"


@dataclass(frozen=True)
class Row:
    """A point: its key, time, commit order and the values of its columns by name (None: null)."""

    key: str | int
    time: int
    seq: int
    values: dict[str, Any]

    @property
    def place(self) -> tuple[int, bytes | int, int, int]:
        """Where it comes in a file."""
        raw = self.key.encode() if isinstance(self.key, str) else self.key
        data = raw if isinstance(raw, bytes) else raw.to_bytes(8, "little", signed=True)
        return hash_bytes(data), raw, self.time, self.seq


def rows_of(entry: FileEntry, file: PointFile) -> list[Row]:
    """The rows of a file."""
    names = list(file.schema)
    block = file.load(names, 0, len(file.blocks)).rows(0, len(file.blocks), names, Buffers())
    starts = file.run_starts
    keys = file.key_column(0, file.keys).to_list()
    texts = {n: file.dictionary(n).strings for n, kind in file.schema.items() if kind is Type.STRING}
    out = []
    for k, key in enumerate(keys):
        for i in range(int(starts[k]), int(starts[k + 1])):
            values: dict[str, Any] = {}
            for name, (array, valid) in block.columns.items():
                value = array[i if len(array) > 1 else 0].item()
                ok = valid[i if len(valid) > 1 else 0]
                values[name] = None if not ok else texts[name][value] if name in texts else value
            seq = values.pop(SEQ, order_of(entry.seq, entry.ordinal))
            out.append(Row(key, int(block.time[i]), seq, values))
    return out


def resolved(rows: Sequence[Row], policy: str, id_column: str | None) -> list[Row]:
    """The rows that remain, in order of their places: the rules of the stream's policy, written out."""
    ordered = sorted(rows, key=lambda r: r.place)
    if id_column is not None:
        seen: set[object] = set()
        first = []
        for r in ordered:
            mark = (r.time // DAY, r.key, r.values.get(id_column))
            if mark[2] is None or mark not in seen:
                first.append(r)
            seen.add(mark)
        ordered = first
    if policy == "exact":
        found: dict[object, Row] = {}
        for r in ordered:
            found.setdefault((r.key, r.time, *sorted((n, repr(v)) for n, v in r.values.items() if v is not None)), r)
        ordered = list(found.values())
    if policy == "latest":
        last: dict[object, Row] = {}
        for r in ordered:
            known = last.get((r.key, r.time))
            told = {n: v for n, v in r.values.items() if v is not None}
            last[r.key, r.time] = r if known is None else Row(r.key, r.time, known.seq, {**known.values, **told})
        ordered = list(last.values())
    return ordered


def column(values: Sequence[Any], kind: Type) -> Column:
    """A column of Python values."""
    valid = np.array([v is not None for v in values], np.bool_)
    mask = None if valid.all() else valid
    if kind is Type.STRING:
        words = list(dict.fromkeys(v for v in values if v is not None)) or [""]
        codes = [0 if v is None else words.index(v) for v in values]
        return Column(kind, np.array(codes, np.int32), mask, Dictionary.of(words))
    return Column(kind, np.array([0 if v is None else v for v in values], kind.dtype), mask)


def written(
    store: Store, schema: StreamSchema, rows: Sequence[Row], attempt: str, number: int, compacted: bool
) -> FileEntry:
    """The entry of a new file with these rows, which keep their order if they are of one place."""
    ordered = sorted(rows, key=lambda r: r.place)
    keys = list(dict.fromkeys(r.key for r in ordered))
    codes = [keys.index(r.key) for r in ordered]
    if schema.key_type is Type.STRING:
        key = Column(Type.STRING, np.array(codes, np.int32), None, Dictionary.of([str(k) for k in keys]))
    else:
        key = Column(Type.INT, np.array([r.key for r in ordered], np.int64))
    columns = {n: column([r.values.get(n) for r in ordered], kind) for n, kind in schema.columns.items()}
    if compacted:
        columns[SEQ] = column([r.seq for r in ordered], Type.INT)
    times = np.array([r.time for r in ordered], np.int64)
    first, last = int(times.min()), int(times.max())
    day, days = first // DAY, last // DAY - first // DAY + 1
    points = Points(key, times, columns)
    data = encode(points, key=schema.key, time=schema.time, day=day, days=days, block_rows=5)
    path = file_path(STREAM, day, attempt, number)
    store.objects.put(path, data)
    return FileEntry(
        path=path, day=day, rows=len(rows), bytes=len(data), t_min=first, t_max=last,
        sha256=hashlib.sha256(data).hexdigest(), keys=len(keys),
        nulls={n: c.nulls for n, c in columns.items()}, footer=footer_digest(data),
        content=hashlib.sha256(path.encode()).hexdigest() if compacted else "",
        repeats=len(rows) - len(resolved(rows, schema.duplicates, schema.id)) if compacted else 0,
    )  # fmt: skip


def ingest(store: Store, schema: StreamSchema, rows: Sequence[Row]) -> None:
    """Commit a source as an ingest does, which accepts no times before 1970: a file a day, without its own repeats."""
    days: dict[int, list[Row]] = {}
    for r in rows:
        days.setdefault(r.time // DAY, []).append(r)
    attempt = new_attempt()
    catalogue = store.catalogue  # made before there are points
    # With an id, rows of one time are not merged before queries are.
    policy = "keep" if schema.id is not None and schema.duplicates == "latest" else schema.duplicates
    files = [
        written(store, schema, resolved(part, policy, schema.id), attempt, n, compacted=False)
        for n, part in enumerate(days.values())
    ]
    source = SourceEntry(hashlib.sha256(attempt.encode()).hexdigest(), "source", 1, len(rows), len(rows))
    catalogue.commit(STREAM, schema, source, files, attempt)


def compact(store: Store, chosen: Sequence[FileEntry], cell: Callable[[Row], object]) -> None:
    """Replace the chosen files by one for each value of ``cell``, a function of a row's key and time."""
    schema = store.catalogue.schema(STREAM)
    assert schema is not None
    cells: dict[object, list[Row]] = {}
    for entry in chosen:
        for r in rows_of(entry, store.open_file(entry)):
            cells.setdefault(cell(r), []).append(r)
    attempt = new_attempt()
    new = [written(store, schema, part, attempt, n, compacted=True) for n, part in enumerate(cells.values())]
    assert isinstance(store.catalogue.replace(STREAM, chosen, new, attempt), Committed)
