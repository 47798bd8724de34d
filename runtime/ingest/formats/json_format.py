"""JSON: a record a line, arrays of records, or records one after the other."""

from __future__ import annotations

from collections.abc import Iterator

from runtime.ingest.columns.assemble import Assembler
from runtime.ingest.columns.batch import Batch
from runtime.ingest.columns.samples import Sample
from runtime.ingest.formats.known_formats import Content, SourceFormat, register
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.text.json_reader import JsonReader, sniff
from runtime.ingest.text.json_scanner import MAX_DEPTH


def batches_of_json(content: Content, settings: Settings, assembler: Assembler, name: str) -> Iterator[Batch]:
    """Rows of JSON text in any of its forms."""
    sample = Sample(assembler)
    for cells in JsonReader(content.text(), settings.names(), name, settings.reading.depth or MAX_DEPTH):
        yield from sample.take(assembler.screen(cells))
    yield from sample.settled()
    if assembler.waits():
        yield assembler.rest()


register(SourceFormat("JSON", ("ndjson", "json"), sniff, batches_of_json))
