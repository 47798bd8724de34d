"""Detects the format of a source and picks its reader."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from runtime.errors import IngestError
from runtime.ingest.columns.assemble import Assembler
from runtime.ingest.columns.batch import Batch
from runtime.ingest.inputs.byte_stream import Text
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.tabular.tables import read_parquet
from runtime.ingest.text.csv_reader import CsvReader
from runtime.ingest.text.json_reader import JsonReader, sniff

_PARQUET = b"PAR1"
_BOM = b"\xef\xbb\xbf"
_HEAD = 1 << 16


def batches_of(pieces: Iterator[bytes], settings: Settings, assembler: Assembler, name: str) -> Iterator[Batch]:
    """The accepted rows of a source's content; its format is declared or detected from its first bytes."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= _HEAD:
            break
    format_ = settings.format
    if format_ == "parquet" or (format_ == "auto" and head.startswith(_PARQUET)):
        yield from read_parquet(chain([head], pieces), settings, assembler, name)
        return
    bom = len(_BOM) if head.startswith(_BOM) else 0
    head = head[bom:]
    if format_ == "auto" and _is_binary(head):
        raise IngestError(
            f"{name} is not JSON, CSV or Parquet in UTF-8, as its first bytes show ({head[:16].hex(' ')}): convert "
            "it, or say its format (--format)."
        )
    text = Text(chain([head], pieces))
    text.base = bom
    text.more(0)
    text.base = bom
    if format_ in ("json", "ndjson") or (format_ == "auto" and sniff(head)):
        for cells in JsonReader(text, settings.key, settings.time, name):
            yield assembler.take(cells)
        if assembler.waits():
            yield assembler.rest()
    else:
        yield from CsvReader(text, settings, name).batches(assembler)


def _is_binary(head: bytes) -> bool:
    return b"\0" in head[:4096] or head[:2] in (b"\xff\xfe", b"\xfe\xff")
