"""Answers of Prometheus' query API as JSON: a row for each sample, ``[time, "value"]``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isfinite
from typing import Any

from runtime.ingest.formats.known_formats import SourceFormat, register
from runtime.ingest.formats.record_batches import document_batches
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.records.json_documents import DocumentReader
from runtime.ingest.records.json_parts import JsonParts
from runtime.ingest.records.record_cells import RecordItem, SourceRecord
from runtime.ingest.records.record_paths import PathValue, RecordPath, elements_of
from runtime.ingest.text.json_strict import Decimal, NotARecord
from runtime.ingest.text.rejects import RowFault

SERIES = "series"
"""The key that identifies a series, as Prometheus writes it: ``up{instance="a",job="b"}``. A column only as the key."""

_FLOAT = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|Inf)|NaN")
_SAMPLES = {"value": False, "values": True, "histogram": False, "histograms": True}
_SPECIAL = re.compile(r'[\\"\n]')


def _reader(settings: Settings) -> DocumentReader:
    path = RecordPath("data.result", settings.reading.drop)
    with_series = settings.key == SERIES

    def read(parts: JsonParts, start: int, end: int) -> Iterator[RecordItem]:
        for found in path.values(parts, start):
            if isinstance(found, RowFault):
                yield found
            elif found.beside.get("data.resultType") in ("scalar", "string"):
                yield _sample(parts, found.start, found.end, {}, found)
            else:
                yield from _vector(parts, found, with_series)

    return read


def _vector(parts: JsonParts, found: PathValue, with_series: bool) -> Iterator[RecordItem]:
    for place in elements_of(parts, found):
        if isinstance(place, RowFault):
            yield place
            continue
        try:
            yield from _series(parts, *place, found, with_series)
        except NotARecord as fault:
            yield RowFault(*place, str(fault))


def _series(parts: JsonParts, start: int, end: int, found: PathValue, with_series: bool) -> Iterator[RecordItem]:
    if parts.data[start : start + 1] != b"{":
        raise NotARecord("JSON: not an object")
    samples: list[tuple[int, int]] = []
    common: dict[str, Any] = {}
    for name, at, stop in parts.members(start):
        if name not in _SAMPLES:
            common[name] = parts.value(at, stop)
        elif _SAMPLES[name]:
            samples += parts.elements(at)
        else:
            samples.append((at, stop))
    if with_series:
        common[SERIES] = _title(common.get("metric"))
    for at, stop in samples:
        yield _sample(parts, at, stop, common, found)


def _sample(parts: JsonParts, start: int, end: int, common: dict[str, Any], found: PathValue) -> RecordItem:
    try:
        pair = parts.value(start, end)
        if not isinstance(pair, list) or len(pair) != 2:
            raise NotARecord("prometheus: a sample that is no pair of time and value")
        time, value = pair
        if isinstance(value, dict):
            value = {n: _number(v) if n in ("count", "sum") else v for n, v in value.items()}
            return SourceRecord(start, end, {**common, "time": time, "histogram": value}, found.beside, found.left_out)
        if found.beside.get("data.resultType") != "string":
            value = _number(value)
        return SourceRecord(start, end, {**common, "time": time, "value": value}, found.beside, found.left_out)
    except NotARecord as fault:
        return RowFault(start, end, str(fault))


def _number(text: Any) -> Decimal | None:
    """A float that Prometheus writes as text; NaN and the infinities are null."""
    if not isinstance(text, str) or not _FLOAT.fullmatch(text):
        raise NotARecord(f"prometheus: {str(text)[:80]!r} is no value of a sample")
    return Decimal(text) if isfinite(float(text)) else None


def _title(metric: Any) -> str:
    labels = {n: str(v) for n, v in metric.items()} if isinstance(metric, dict) else {}
    name = labels.pop("__name__", "")
    inner = ",".join(f'{n}="{_SPECIAL.sub(_escape, v)}"' for n, v in sorted(labels.items()))
    return f"{name}{{{inner}}}" if inner or not name else name


def _escape(found: re.Match[str]) -> str:
    return "\\n" if found[0] == "\n" else "\\" + found[0]


register(
    SourceFormat(
        "Prometheus",
        ("prometheus",),
        lambda head: False,
        document_batches(_reader),
        about="answers of Prometheus' query and query_range: a row for each sample, with time and value",
        named=False,
    )
)
