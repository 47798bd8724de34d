"""CSV with a header row; any text that nothing else is."""

from __future__ import annotations

from collections.abc import Iterator

from runtime.ingest.columns.assemble import Assembler
from runtime.ingest.columns.batch import Batch
from runtime.ingest.formats.known_formats import Content, SourceFormat, register
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.text.csv_reader import CsvReader


def _batches(content: Content, settings: Settings, assembler: Assembler, name: str) -> Iterator[Batch]:
    return CsvReader(content.text(), settings, name).batches(assembler)


register(SourceFormat("CSV", ("csv",), lambda head: True, _batches, rank=100))
