"""GeoJSON (RFC 7946): features, with the coordinates of points as ``lon``, ``lat`` and ``alt``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runtime.ingest.formats.known_formats import SourceFormat, register
from runtime.ingest.formats.record_batches import document_batches
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.records.json_documents import DocumentReader
from runtime.ingest.records.json_parts import JsonParts
from runtime.ingest.records.record_cells import RecordItem
from runtime.ingest.records.record_paths import RecordPath
from runtime.ingest.records.shaped_elements import shaped, shaped_elements
from runtime.ingest.text.json_strict import NotARecord

_AXES = ("lon", "lat", "alt")


def _reader(settings: Settings) -> DocumentReader:
    path = RecordPath("features", (*settings.reading.drop, "type"))

    def read(parts: JsonParts, start: int, end: int) -> Iterator[RecordItem]:
        if any(name == "features" for name, _, _ in parts.members(start)):
            return shaped_elements(path, parts, start, _feature)
        return shaped(parts, start, end, _feature, {})

    return read


def _feature(feature: dict[str, Any]) -> list[dict[str, Any]]:
    if feature.get("type") != "Feature":
        raise NotARecord("geojson: not a feature")
    out = {name: value for name, value in feature.items() if name != "type"}
    geometry = out.get("geometry")
    if isinstance(geometry, dict) and geometry.get("type") == "Point":
        place = geometry.get("coordinates")
        if isinstance(place, list) and 2 <= len(place) <= len(_AXES):
            out["geometry"] = {name: value for name, value in geometry.items() if name != "coordinates"}
            out |= zip(_AXES, place, strict=False)
    return [out]


register(
    SourceFormat(
        "GeoJSON",
        ("geojson",),
        lambda head: False,
        document_batches(_reader),
        about="GeoJSON: a row for each feature; the coordinates of points become lon, lat and alt",
        named=False,
    )
)
