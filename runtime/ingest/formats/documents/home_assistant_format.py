"""Home Assistant's history: an array of states for each entity; only the first of them may have its ``entity_id``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runtime.ingest.formats.known_formats import SourceFormat, register
from runtime.ingest.formats.record_batches import document_batches
from runtime.ingest.records.json_documents import DocumentReader
from runtime.ingest.records.json_parts import JsonParts
from runtime.ingest.records.record_cells import RecordItem
from runtime.ingest.records.shaped_elements import shaped
from runtime.ingest.records.written_values import number_or_text

_ENTITY = "entity_id"


def _read(parts: JsonParts, start: int, end: int) -> Iterator[RecordItem]:
    if parts.data[start : start + 1] == b"{":
        yield from shaped(parts, start, end, _States().state, {})
        return
    for at, stop in parts.elements(start):
        states = _States()
        if parts.data[at : at + 1] == b"[":
            for first, last in parts.elements(at):
                yield from shaped(parts, first, last, states.state, {})
        else:
            yield from shaped(parts, at, stop, states.state, {})


class _States:
    """The states of one entity."""

    def __init__(self) -> None:
        self._entity: Any = None

    def state(self, value: dict[str, Any]) -> list[dict[str, Any]]:
        """See ``Shape``."""
        self._entity = value.get(_ENTITY) or self._entity
        out = {_ENTITY: self._entity, **value} if self._entity is not None else dict(value)
        if type(out.get("state")) is str:
            out["state"] = number_or_text(out["state"])
        return [out]


def _reader(settings: object) -> DocumentReader:
    return _read


register(
    SourceFormat(
        "Home Assistant history",
        ("home-assistant",),
        lambda head: False,
        document_batches(_reader),
        about="Home Assistant's history of states, also with minimal_response; states that are numbers are numbers",
        named=False,
    )
)
