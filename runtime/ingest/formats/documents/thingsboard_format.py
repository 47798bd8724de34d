"""ThingsBoard's telemetry: ``{"temperature": [{"ts": ..., "value": "21"}]}``; a row for each time in a document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runtime.ingest.formats.known_formats import SourceFormat, register
from runtime.ingest.formats.record_batches import document_batches
from runtime.ingest.records.json_documents import DocumentReader
from runtime.ingest.records.json_parts import JsonParts
from runtime.ingest.records.record_cells import RecordItem, SourceRecord
from runtime.ingest.records.shaped_elements import shaped
from runtime.ingest.records.written_values import value_or_text
from runtime.ingest.text.json_strict import NotARecord
from runtime.ingest.text.rejects import RowFault

_TIME = "ts"


def _read(parts: JsonParts, start: int, end: int) -> Iterator[RecordItem]:
    if parts.data[start : start + 1] == b"[":
        for at, stop in parts.elements(start):
            yield from shaped(parts, at, stop, _uploaded, {})
    elif any(name == "values" and parts.data[at : at + 1] == b"{" for name, at, _ in parts.members(start)):
        yield from shaped(parts, start, end, _uploaded, {})
    else:
        yield from _series(parts, start)


def _uploaded(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The record that a device sends: ``{"ts": ..., "values": {...}}``."""
    values = value.get("values")
    if not isinstance(values, dict) or _TIME in values:
        raise NotARecord('thingsboard: not {"ts": ..., "values": {...}}')
    return [{**{n: v for n, v in value.items() if n != "values"}, **values}]


def _series(parts: JsonParts, start: int) -> Iterator[RecordItem]:
    rows: dict[tuple[Any, int], SourceRecord] = {}
    for name, at, _ in parts.members(start):
        if parts.data[at : at + 1] != b"[":
            raise NotARecord(f"thingsboard: {name[:80]} is not an array of ts and value")
        if name == _TIME:
            raise NotARecord(f"thingsboard: a series with the name {_TIME}, which is that of the time")
        seen: dict[Any, int] = {}
        for first, last in parts.elements(at):
            try:
                point = parts.value(first, last)
                if not isinstance(point, dict) or set(point) != {_TIME, "value"}:
                    raise NotARecord("thingsboard: not an object of ts and value")
            except NotARecord as fault:
                yield RowFault(first, last, str(fault))
                continue
            time, value = point[_TIME], point["value"]
            # A time that a series has twice makes another row.
            seen[time] = seen.get(time, 0) + 1
            row = rows.setdefault((time, seen[time]), SourceRecord(first, last, {_TIME: time}))
            row.values[name] = value_or_text(value) if type(value) is str else value  # type: ignore[index]
    yield from rows.values()


def _reader(settings: object) -> DocumentReader:
    return _read


register(
    SourceFormat(
        "ThingsBoard telemetry",
        ("thingsboard",),
        lambda head: False,
        document_batches(_reader),
        about="telemetry from ThingsBoard's REST API: a row for each ts; numbers that it wrote as text are numbers",
        named=False,
    )
)
