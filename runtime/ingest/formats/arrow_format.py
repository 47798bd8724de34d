"""Arrow IPC: files, as Feather writes them, and streams."""

from __future__ import annotations

from collections.abc import Iterator

from runtime.ingest.columns.assemble import Assembler
from runtime.ingest.columns.batch import Batch
from runtime.ingest.formats.known_formats import Content, SourceFormat, register
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.tabular.arrow import FILE, STREAM
from runtime.ingest.tabular.tables import read_ipc


def _batches(content: Content, settings: Settings, assembler: Assembler, name: str) -> Iterator[Batch]:
    return read_ipc(content.bytes(), settings, assembler, name)


register(SourceFormat("Arrow IPC", ("arrow",), lambda head: head.startswith((FILE, STREAM)), _batches, is_text=False))
