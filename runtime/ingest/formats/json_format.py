"""JSON: a record a line, arrays of records, records one after the other, or records inside of documents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from runtime.errors import IngestError
from runtime.ingest.columns.assemble import Assembler
from runtime.ingest.columns.batch import Batch
from runtime.ingest.formats.known_formats import Content, SourceFormat, register
from runtime.ingest.formats.record_batches import accepted, document_batches
from runtime.ingest.inputs.byte_stream import Prefetched
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.records.array_hints import array_hints
from runtime.ingest.records.columnar_arrays import ColumnarArrays
from runtime.ingest.records.json_documents import DocumentReader
from runtime.ingest.records.record_paths import RecordArrays
from runtime.ingest.text.json_reader import JsonReader, sniff
from runtime.ingest.text.json_scanner import MAX_DEPTH

_AHEAD = 2
"""Batches of cells that a thread scans ahead while others get their types: two cores have work on one file."""

_LACKING = ("key: ", "time: ", "JSON: not an object", "JSON: record longer")
"""Beginnings of reasons that say that the records may be elsewhere."""


def batches_of_json(content: Content, settings: Settings, assembler: Assembler, name: str) -> Iterator[Batch]:
    """Rows of JSON text in any of its forms."""
    reading = settings.reading
    if reading.records is not None or reading.columnar is not None or reading.names:
        yield from document_batches(_reader)(content, settings, assembler, name)
        return
    reader = JsonReader(content.text(), settings.names(), name, reading.depth or MAX_DEPTH)
    with closing(Prefetched((cells.copied() for cells in reader), _AHEAD)) as scanned:
        yield from accepted(scanned, assembler)
    rejects = assembler.rejects
    if rejects.count and rejects.count == assembler.rows_read and all(r.startswith(_LACKING) for r in rejects.reasons):
        _say_where(content.head, settings, name)


def _reader(settings: Settings) -> DocumentReader:
    reading = settings.reading
    if reading.columnar is not None:
        return ColumnarArrays(reading.columnar, settings.time, reading.names, reading.drop)
    return RecordArrays(reading.records or ".", reading.names, reading.drop)


def _say_where(head: bytes, settings: Settings, name: str) -> None:
    """IngestError if arrays inside of the first document have what its own fields lack."""
    needed = [list(names) for _, names in settings.needed()]
    if found := array_hints(head, needed):
        options = " or ".join(found)
        if settings.any_fields:
            raise IngestError(f"the records of {name} are arrays of values without names: try {options}.")
        raise IngestError(
            f"no record of {name} has {settings.key!r} and {settings.time!r} among its own fields, but there are "
            f"arrays inside of it: try {options}. Nothing was ingested."
        )


register(
    SourceFormat(
        "JSON",
        ("ndjson", "json"),
        sniff,
        batches_of_json,
        about="JSON: a record a line, arrays, records one after the other, or records inside of documents",
    )
)
