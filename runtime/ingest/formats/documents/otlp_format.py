"""OpenTelemetry's metrics, logs and traces in OTLP's JSON encoding, as its file exporter writes them."""

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
from runtime.ingest.records.record_paths import PathValue, RecordPath, elements_of
from runtime.ingest.records.shaped_elements import shaped, shaped_elements
from runtime.ingest.records.written_values import number_or_text
from runtime.ingest.text.json_strict import NotARecord
from runtime.ingest.text.rejects import RowFault

_METRICS = "resourceMetrics"
_PATHS = {
    _METRICS: f"{_METRICS}.scopeMetrics.metrics",
    "resourceLogs": "resourceLogs.scopeLogs.logRecords",
    "resourceSpans": "resourceSpans.scopeSpans.spans",
}
_KINDS = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")
_INTEGERS = ("asInt", "intValue", "count", "zeroCount", "timeUnixNano", "startTimeUnixNano", "endTimeUnixNano",
             "observedTimeUnixNano")  # fmt: skip
"""Fields of 64 bits, which OTLP writes as text."""

TIME = "time"


def _reader(settings: Settings) -> DocumentReader:
    paths = {name: RecordPath(path, settings.reading.drop, _keep, optional=True) for name, path in _PATHS.items()}

    def read(parts: JsonParts, start: int, end: int) -> Iterator[RecordItem]:
        there = {name for name, _, _ in parts.members(start)} & set(paths)
        if not there:
            raise NotARecord(f"otlp: the document has none of {', '.join(paths)}")
        for name in sorted(there):
            if name == _METRICS:
                yield from _metrics(paths[name], parts, start)
            else:
                yield from shaped_elements(paths[name], parts, start, _log if name == "resourceLogs" else _span)

    return read


def _keep(prefix: str, name: str, value: Any, out: dict[str, Any]) -> list[str]:
    """Keep resource and scope, their attributes by name."""
    if name in ("resource", "scope") and isinstance(value, dict):
        attributes = _attributes(value.pop("attributes", None))
        return flatten({name: {**value, **attributes}}, out)
    if prefix and name == "schemaUrl":
        level = "scope" if prefix.count(".") > 1 else "resource"
        return flatten({level: {name: value}}, out)
    return flatten({name: value}, out, prefix)


def _metrics(path: RecordPath, parts: JsonParts, start: int) -> Iterator[RecordItem]:
    for found in path.values(parts, start):
        if isinstance(found, RowFault):
            yield found
            continue
        for place in elements_of(parts, found):
            if isinstance(place, RowFault):
                yield place
                continue
            try:
                yield from _metric(parts, place[0], found)
            except NotARecord as fault:
                yield RowFault(*place, str(fault))


def _metric(parts: JsonParts, start: int, found: PathValue) -> Iterator[RecordItem]:
    """The data points of a metric, each with what is said of the metric."""
    said: dict[str, Any] = {}
    points: list[tuple[int, int]] = []
    for name, at, end in parts.members(start):
        if name not in _KINDS:
            said[name] = _attributes(parts.value(at, end)) if name == "metadata" else parts.value(at, end)
            continue
        said["kind"] = name
        for inner, first, last in parts.members(at):
            if inner == "dataPoints":
                points += parts.elements(first)
            else:
                said[inner] = parts.value(first, last)
    flat: dict[str, Any] = {}
    left_out = (*found.left_out, *flatten(said, flat))
    beside = {**flat, **found.beside}
    for at, end in points:
        yield from shaped(parts, at, end, _point, beside, left_out)


def _point(point: dict[str, Any]) -> list[dict[str, Any]]:
    out = _plain(point)
    for name in ("asInt", "asDouble"):
        if name in out:
            out["value"] = _double(out.pop(name))
    return [_timed(out, "timeUnixNano")]


def _log(record: dict[str, Any]) -> list[dict[str, Any]]:
    out = _plain(record)
    if "body" in out:
        out["body"] = _value(out["body"])
    return [_timed(out, "timeUnixNano", "observedTimeUnixNano")]


def _span(span: dict[str, Any]) -> list[dict[str, Any]]:
    return [_timed(_plain(span), "startTimeUnixNano")]


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """The fields, with attributes by name and whole numbers of 64 bits that are no longer text."""
    out = {name: number_or_text(v) if name in _INTEGERS and type(v) is str else v for name, v in record.items()}
    if "attributes" in out:
        out["attributes"] = _attributes(out["attributes"])
    return out


def _timed(out: dict[str, Any], *names: str) -> dict[str, Any]:
    """The fields, with the first of these that is there and not 0 as ``time``."""
    for name in names:
        time = out.get(name)
        if time:
            del out[name]
            return {TIME: time, **out}
    return out


def _attributes(given: Any) -> dict[str, Any]:
    """Values by name, of a list of ``{"key": ..., "value": {...}}``."""
    out: dict[str, Any] = {}
    for pair in given or ():
        if not isinstance(pair, dict) or type(pair.get("key")) is not str:
            raise NotARecord("otlp: an attribute without a key")
        if pair["key"] in out:
            raise NotARecord(f"otlp: the attribute {pair['key'][:80]} occurs twice")
        out[pair["key"]] = _value(pair.get("value"))
    return out


def _value(given: Any) -> Any:
    """What an ``AnyValue`` holds: ``{"stringValue": "a"}``."""
    if not isinstance(given, dict) or not given:
        return None
    ((name, value), *more) = given.items()
    if more:
        raise NotARecord("otlp: a value of several kinds")
    if name == "arrayValue":
        return [_value(v) for v in (value or {}).get("values") or ()]
    if name == "kvlistValue":
        return _attributes((value or {}).get("values"))
    if name == "intValue":
        return number_or_text(value) if type(value) is str else value
    return _double(value) if name == "doubleValue" else value


def _double(value: Any) -> Any:
    """A number; NaN and the infinities, which are text in JSON, are null."""
    return None if value in ("NaN", "Infinity", "-Infinity") else value


register(
    SourceFormat(
        "OTLP JSON",
        ("otlp",),
        lambda head: False,
        document_batches(_reader),
        about="OpenTelemetry's metrics, logs and traces as JSON: a row for each data point, record or span",
        named=False,
    )
)
