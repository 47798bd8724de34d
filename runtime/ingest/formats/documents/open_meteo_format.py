"""Open-Meteo's answers: arrays below ``hourly``, whose times are local: at the answer's ``utc_offset_seconds``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.ingest.formats.known_formats import SourceFormat, register
from runtime.ingest.formats.record_batches import document_batches
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.records.columnar_arrays import ColumnarArrays
from runtime.ingest.records.json_documents import DocumentReader
from runtime.ingest.records.json_parts import JsonParts
from runtime.ingest.records.record_cells import RecordItem, SourceRecord

_TIME = "time"
_LOCAL = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(T[0-9]{2}:[0-9]{2})?")


def _reader(settings: Settings) -> DocumentReader:
    reading = settings.reading
    columns = ColumnarArrays(reading.columnar or "hourly", _TIME, (), reading.drop)

    def read(parts: JsonParts, start: int, end: int) -> Iterator[RecordItem]:
        for item in columns(parts, start, end):
            yield _with_offset(item) if isinstance(item, SourceRecord) else item

    return read


def _with_offset(item: SourceRecord) -> SourceRecord:
    offset = item.beside.get("utc_offset_seconds")
    time = item.values.get(_TIME)
    found = _LOCAL.fullmatch(time) if type(time) is str else None
    if found is None or type(offset) is not int:
        return item
    hours, minutes = divmod(abs(offset) // 60, 60)
    there = f"{found[1]}{found[2] or 'T00:00'}{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}"
    return item._replace(values={**item.values, _TIME: there})


register(
    SourceFormat(
        "Open-Meteo",
        ("open-meteo",),
        lambda head: False,
        document_batches(_reader),
        about="answers of Open-Meteo: a row for each hour (--columnar daily: day); local times get their offset",
        named=False,
    )
)
