"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator

from runtime.ingest.columns.assemble import Assembler
from runtime.ingest.columns.batch import Batch
from runtime.ingest.formats.known_formats import Content, SourceFormat, register
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.tabular.tables import read_parquet

_MAGIC = b"PAR1"


def _batches(content: Content, settings: Settings, assembler: Assembler, name: str) -> Iterator[Batch]:
    return read_parquet(content.bytes(), settings, assembler, name)


register(SourceFormat("Parquet", ("parquet",), lambda head: head.startswith(_MAGIC), _batches, is_text=False))
