"""Records of documents of a known shape: the elements of an array, each restructured by a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from runtime.ingest.records.json_parts import JsonParts
from runtime.ingest.records.record_cells import RecordItem, SourceRecord
from runtime.ingest.records.record_paths import RecordPath, elements_of
from runtime.ingest.text.json_strict import NotARecord
from runtime.ingest.text.rejects import RowFault

Shape = Callable[[dict[str, Any]], Iterable[Mapping[str, Any]]]
"""The records of one object; ``NotARecord`` rejects it."""


def shaped(
    parts: JsonParts, start: int, end: int, shape: Shape, beside: Mapping[str, Any], left_out: Sequence[str] = ()
) -> Iterator[RecordItem]:
    """The records of the object from ``start`` to ``end``; see ``SourceRecord`` for what is beside it."""
    try:
        value = parts.value(start, end)
        if not isinstance(value, dict):
            raise NotARecord("JSON: not an object")
        records = list(shape(value))
    except NotARecord as fault:
        yield RowFault(start, end, str(fault))
        return
    for record in records:
        yield SourceRecord(start, end, record, beside, left_out)


def shaped_elements(path: RecordPath, parts: JsonParts, start: int, shape: Shape) -> Iterator[RecordItem]:
    """The records of the elements of the arrays at the path."""
    for found in path.values(parts, start):
        if isinstance(found, RowFault):
            yield found
            continue
        if parts.data[found.start : found.start + 1] != b"[":
            if parts.data[found.start : found.end] != b"null":
                raise NotARecord(f"JSON: {path.path} is not an array")
            continue
        for place in elements_of(parts, found):
            if isinstance(place, RowFault):
                yield place
            else:
                yield from shaped(parts, *place, shape, found.beside, found.left_out)
