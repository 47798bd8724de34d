"""What a store holds, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from operators.types import Type
from runtime.columns import Column, Dictionary
from runtime.progress import human_bytes
from runtime.table import iso, printable

if TYPE_CHECKING:
    from runtime.catalogue import FileEntry

_EPOCH = date(1970, 1, 1)


def column(type_: Type, values: Sequence[Any]) -> Column:
    """A column of Python values, None for null."""
    valid = np.array([v is not None for v in values], np.bool_)
    words = None
    if type_ is Type.STRING:
        distinct = list(dict.fromkeys(v for v in values if v is not None))
        codes = {v: i for i, v in enumerate(distinct)}
        words = Dictionary.of(distinct)
        values = [codes.get(v, 0) for v in values]
    data = np.array([0 if v is None else v for v in values], type_.dtype)
    return Column(type_, data, None if valid.all() else valid, words)


def streams_columns(streams: Iterable[Any]) -> dict[str, Column]:
    """One row per stream."""
    found = list(streams)
    return {
        "stream": column(Type.STRING, [s.name for s in found]),
        "rows": column(Type.INT, [s.rows for s in found]),
        "size": column(Type.STRING, [human_bytes(s.bytes) for s in found]),
        "files": column(Type.INT, [s.files for s in found]),
        "days": column(Type.INT, [s.days for s in found]),
        "first": column(Type.TIME, [s.first_time for s in found]),
        "last": column(Type.TIME, [s.last_time for s in found]),
        "rejected": column(Type.INT, [s.rejected for s in found]),
        "dropped": column(Type.INT, [s.dropped for s in found]),
    }


def schema_text(stream: Any) -> str:
    """How the points of a stream are keyed, timed and typed, in two lines."""
    schema = stream.schema
    extras = [f"duplicates: {schema.duplicates}"]
    if schema.id is not None:
        extras.append(f"id: {printable(schema.id)}")
    if schema.missing_key is not None:
        extras.append(f"missing key: {printable(schema.missing_key)}")
    columns = ", ".join(f"{printable(n)} {t}" for n, t in schema.columns.items()) or "none"
    return (
        f" {stream.name}: key {printable(schema.key)} {schema.key_type}, time {printable(schema.time)}, "
        f"{', '.join(extras)}\n   columns: {columns}"
    )


def streams_json(streams: Iterable[Any]) -> dict[str, object]:
    """All streams with their schemas; times ISO-8601."""

    def time(us: int | None) -> str | None:
        return None if us is None else iso(us)

    names = ("name", "rows", "bytes", "files", "days", "rejected", "dropped")
    return {
        "streams": [
            {
                **{n: getattr(s, n) for n in names},
                "first_time": time(s.first_time),
                "last_time": time(s.last_time),
                "schema": s.schema.to_dict(),
            }
            for s in streams
        ]
    }


def _day(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()


def files_columns(files: Sequence[FileEntry]) -> dict[str, Column]:
    """One row per point file."""
    return {
        "day": column(Type.STRING, [_day(f.day) for f in files]),
        "rows": column(Type.INT, [f.rows for f in files]),
        "keys": column(Type.INT, [f.keys for f in files]),
        "bytes": column(Type.INT, [f.bytes for f in files]),
        "first": column(Type.TIME, [f.t_min for f in files]),
        "last": column(Type.TIME, [f.t_max for f in files]),
        "commit": column(Type.INT, [f.seq for f in files]),
        "path": column(Type.STRING, [f.path for f in files]),
    }


def files_json(files: Sequence[FileEntry]) -> dict[str, object]:
    """All files; times ISO-8601."""
    return {
        "files": [
            {
                "path": f.path,
                "day": _day(f.day),
                "rows": f.rows,
                "keys": f.keys,
                "bytes": f.bytes,
                "dropped": f.dropped,
                "first_time": iso(f.t_min),
                "last_time": iso(f.t_max),
                "sha256": f.sha256,
                "commit": f.seq,
                "nulls": dict(f.nulls),
            }
            for f in files
        ]
    }
