"""The contents of a store as tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from operators.types import Type
from runtime.catalogue.items.entries import SEQ
from runtime.columns import Column, Dictionary
from runtime.display.text_tables import format_column, iso, printable
from runtime.progress import count_of, human_bytes

if TYPE_CHECKING:
    from runtime.catalogue import FileEntry
    from runtime.points.describe_points import ColumnSummary, StreamSummary
    from runtime.query.kernel_store import KernelInfo
    from runtime.upkeep.quarantined import QuarantinedSource
    from runtime.upkeep.source_list import IngestedSource

_EPOCH = date(1970, 1, 1)
_MOST_LETTERS = 24
_NAME = 40  # letters of a source's name


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


def stream_text(stream: Any) -> str:
    """One stream's size and schema, in a few lines."""
    schema = stream.schema
    span = ""
    if stream.first_time is not None:
        span = f" ({iso(stream.first_time)[:10]} to {iso(stream.last_time)[:10]})"
    extras = [f"duplicates: {schema.duplicates}"]
    if schema.id is not None:
        extras.append(f"id: {printable(schema.id)}")
    if schema.missing_key is not None:
        extras.append(f"missing key: {printable(schema.missing_key)}")
    columns = ", ".join(f"{printable(n)} {t}" for n, t in schema.columns.items()) or "none"
    files, days = count_of(stream.files, "file"), count_of(stream.days, "day")
    lines = [
        stream.name,
        f"  {count_of(stream.rows, 'row')}, {human_bytes(stream.bytes)} in {files}, {days}{span}",
        f"  {stream.rejected:,} rejected, {count_of(stream.dropped, 'duplicate')} dropped or merged",
        f"  key {printable(schema.key)} {schema.key_type}, time {printable(schema.time)}, {', '.join(extras)}",
        *wrap(f"columns: {columns}", 78, initial_indent="  ", subsequent_indent="    "),
    ]
    return "\n".join(lines)


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
        # Of a file of one day the time of day is enough.
        "first": column(Type.STRING, [iso(f.t_min)[11:19] for f in files]),
        "last": column(Type.STRING, [iso(f.t_max)[11 if f.days == 1 else 0 : 19].replace("T", " ") for f in files]),
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
                "days": f.days,
                "rows": f.rows,
                "keys": f.keys,
                "bytes": f.bytes,
                "dropped": f.dropped,
                "first_time": iso(f.t_min),
                "last_time": iso(f.t_max),
                "sha256": f.sha256,
                "commit": f.seq,
                "compacted": f.compacted,
                "nulls": {name: count for name, count in f.nulls.items() if name != SEQ},
            }
            for f in files
        ]
    }


def sources_columns(sources: Sequence[IngestedSource]) -> dict[str, Column]:
    """One row per source; columns that would be empty are left out."""
    columns = {
        "when": column(Type.STRING, [iso(s.at)[:19] for s in sources]),
        "source": column(Type.STRING, [s.entry.name for s in sources]),
        "rows": column(Type.INT, [s.entry.rows_committed for s in sources]),
        "rejected": column(Type.INT, [s.entry.rejected for s in sources]),
        "dropped": column(Type.INT, [s.entry.dropped for s in sources]),
        "bytes": column(Type.INT, [s.entry.bytes for s in sources]),
    }
    if any(s.waiting for s in sources):
        columns["waiting"] = column(Type.INT, [s.waiting for s in sources])
    if any(s.entry.undone for s in sources):
        columns["taken back"] = column(
            Type.STRING, [f"by commit {s.entry.undone}" if s.entry.undone else None for s in sources]
        )
    if any(s.entry.quarantined is not None for s in sources):
        columns["quarantined"] = column(Type.STRING, [s.entry.quarantined for s in sources])
    return columns | {"id": column(Type.STRING, [s.short for s in sources])}


def quarantine_columns(sources: Sequence[QuarantinedSource], with_state: bool) -> dict[str, Column]:
    """One row per source in quarantine."""
    columns = {
        "stream": column(Type.STRING, [s.stream for s in sources]),
        "id": column(Type.STRING, [s.short for s in sources]),
        "source": column(Type.STRING, [_ending(s.entry.name) for s in sources]),
        "bytes": column(Type.INT, [s.entry.bytes for s in sources]),
        "when": column(Type.STRING, [iso(s.at)[:19] for s in sources]),
    }
    if with_state or any(s.state != "waiting" for s in sources):
        columns["state"] = column(Type.STRING, [s.state for s in sources])
    return columns | {"reason": column(Type.STRING, [s.short_reason for s in sources])}


def _ending(name: str) -> str:
    """A long name without its beginning, which most have in common."""
    return name if len(name) <= _NAME else "…" + name[1 - _NAME :]


def summary_columns(summary: StreamSummary) -> dict[str, Column]:
    """One row per column of a stream."""
    listed = summary.columns
    bounds = [format_column(c.bounds, _MOST_LETTERS) or (None, None) for c in listed]
    return {
        "column": column(Type.STRING, [c.name for c in listed]),
        "type": column(Type.STRING, [c.type.value for c in listed]),
        "values": column(Type.INT, [c.values for c in listed]),
        "nulls": column(Type.INT, [c.nulls for c in listed]),
        "distinct": column(Type.STRING, [_distinct(c) for c in listed]),
        "min": column(Type.STRING, [least for least, _ in bounds]),
        "max": column(Type.STRING, [greatest for _, greatest in bounds]),
        "most frequent": column(Type.STRING, [_most_frequent(c) for c in listed]),
    }


def _distinct(of: ColumnSummary) -> str:
    return f"> {of.counted}" if of.distinct is None else str(of.distinct)


def _most_frequent(of: ColumnSummary) -> str | None:
    """The values that occur more than once, with their numbers."""
    shown = zip(format_column(of.top, _MOST_LETTERS), of.times, strict=True)
    return ", ".join(f"{value} ({count})" for value, count in shown if count > 1) or None


def kernels_columns(kernels: Sequence[KernelInfo]) -> dict[str, Column]:
    """One row per kernel."""
    return {
        "name": column(Type.STRING, [k.name for k in kernels]),
        "target": column(Type.STRING, [k.target for k in kernels]),
        "digest": column(Type.STRING, [k.digest for k in kernels]),
        "bytes": column(Type.INT, [k.bytes for k in kernels]),
        "signed": column(Type.BOOL, [k.signed for k in kernels]),
        "when": column(Type.STRING, [iso(k.modified)[:19] for k in kernels]),
    }


def kernels_json(kernels: Iterable[KernelInfo]) -> dict[str, object]:
    """All kernels; times ISO-8601."""
    names = ("name", "target", "digest", "bytes", "sha256", "signed")
    return {"kernels": [{**{n: getattr(k, n) for n in names}, "when": iso(k.modified)} for k in kernels]}
