"""What formats of records share: from the records of lines or documents to accepted rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from runtime.ingest.columns.assemble import Assembler
from runtime.ingest.columns.batch import Batch
from runtime.ingest.columns.samples import Sample
from runtime.ingest.formats.known_formats import Content
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.records.json_documents import DocumentReader, JsonDocuments
from runtime.ingest.records.record_cells import RecordCells
from runtime.ingest.records.text_lines import LineParser, TextLines
from runtime.ingest.text.json_scanner import MAX_DEPTH
from runtime.ingest.text.json_strict import NotARecord
from runtime.ingest.text.raw_cells import RawCells

Batches = Callable[[Content, Settings, Assembler, str], Iterator[Batch]]


def accepted(cells: Iterable[RawCells], assembler: Assembler) -> Iterator[Batch]:
    """The accepted rows of cells; samples settle the types of their columns."""
    sample = Sample(assembler)
    for part in cells:
        yield from sample.take(assembler.screen(part))
    yield from sample.settled()
    if assembler.waits():
        yield assembler.rest()


def document_batches(reader: Callable[[Settings], DocumentReader]) -> Batches:
    """The rows of JSON documents that ``reader`` reads."""

    def batches(content: Content, settings: Settings, assembler: Assembler, name: str) -> Iterator[Batch]:
        made = RecordCells(settings.names(), depth=settings.reading.depth or MAX_DEPTH)
        windows = JsonDocuments(content.text(), reader(settings), name)
        return accepted((part for window, items in windows for part in made.batches(window, items)), assembler)

    return batches


def line_batches(parser: Callable[[Settings], LineParser], as_text: bool = False, quoted: bool = False) -> Batches:
    """The rows of lines; ``as_text``: values are texts that may look like numbers, as in CSV."""

    def batches(content: Content, settings: Settings, assembler: Assembler, name: str) -> Iterator[Batch]:
        made = RecordCells(settings.names(), as_text)
        windows = TextLines(content.text(), parser(settings), quoted)
        cells = (part for window, items in windows for part in made.batches(window, items))
        return accepted(cells, assembler)

    return batches


def parses(parse: LineParser) -> Callable[[bytes], bool]:
    """Whether a line is a record to this parser."""

    def may_be(line: bytes) -> bool:
        try:
            return parse(line.decode()) is not None
        except (NotARecord, UnicodeDecodeError):
            return False

    return may_be
