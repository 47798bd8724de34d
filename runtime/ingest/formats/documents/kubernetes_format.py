"""Lists of Kubernetes objects, as ``kubectl get -o json`` writes them; an event's time is when it was last seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runtime.ingest.formats.known_formats import SourceFormat, register
from runtime.ingest.formats.record_batches import document_batches
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.records.flat_values import flatten
from runtime.ingest.records.json_documents import DocumentReader
from runtime.ingest.records.json_parts import JsonParts
from runtime.ingest.records.record_cells import RecordItem
from runtime.ingest.records.record_paths import RecordPath
from runtime.ingest.records.shaped_elements import shaped, shaped_elements

_TIMES = (
    "series.lastObservedTime", "lastTimestamp", "deprecatedLastTimestamp", "eventTime", "metadata.creationTimestamp",
)  # fmt: skip
"""Where an object's ``time`` may be, the first that is there; as kubectl sorts events."""

TIME = "time"


def _reader(settings: Settings) -> DocumentReader:
    path = RecordPath("items", settings.reading.drop, _keep)

    def read(parts: JsonParts, start: int, end: int) -> Iterator[RecordItem]:
        if any(name == "items" for name, _, _ in parts.members(start)):
            return shaped_elements(path, parts, start, _object)
        return shaped(parts, start, end, _object, {})

    return read


def _keep(prefix: str, name: str, value: Any, out: dict[str, Any]) -> list[str]:
    """Keep what stands beside the items: the kind of a list says that of its items, ``EventList`` of ``Event``."""
    if not prefix and name == "kind" and isinstance(value, str):
        value = value.removesuffix("List") or None
        if value is None:
            return []
    return flatten({"list" if name == "metadata" else name: value}, out, prefix)


def _object(value: dict[str, Any]) -> list[dict[str, Any]]:
    if TIME in value:
        return [value]
    times = (_at(value, path.split(".")) for path in _TIMES)
    return [value | {TIME: next((time for time in times if time is not None), None)}]


def _at(value: Any, path: list[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


register(
    SourceFormat(
        "Kubernetes",
        ("kubernetes",),
        lambda head: False,
        document_batches(_reader),
        about="lists of kubectl get -o json; time is when an event was last seen, or an object created",
        named=False,
    )
)
