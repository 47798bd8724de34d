"""Reference tables from what ingest reads: files of any form, and tables in memory.

``dataflow`` finds ``read_columns`` by the name of this module: its layer may not import this one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

from operators.files import reader
from operators.nearest import listed, meant
from runtime.errors import IngestError
from runtime.ingest.columns.batch import Batch
from runtime.ingest.formats import batches_of, check_format
from runtime.ingest.inputs.byte_stream import Hashed
from runtime.ingest.inputs.inputs import FileInput, Input, is_table, opened
from runtime.ingest.inputs.packed.archives import each_source
from runtime.ingest.inputs.packed.packings import decompressed
from runtime.ingest.inputs.reading import Reading
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.new_assembler import new_assembler
from runtime.ingest.table_rows import TableColumn, TableLimits, TableRows
from runtime.ingest.tabular.tables import read_table, table_size

OPTIONS = ("format", "preset", "unit", *(f.name for f in fields(Reading) if f.name != "key_value"))
"""The options of an ingest that say nothing of key and time."""

_OF_STREAMS = ("key", "time", "key_value", "missing_key", "id", "duplicates")
_OPTION = re.compile(r"--([a-z]+(?:-[a-z]+)*)(?: (?!(?:declares|has|and)\b)([^\s,;:?)]*[^\s,;:?.)]))?")
"""An option and its value as messages for the console write them."""

_INGESTED = re.compile(r"[.;]? (?:Nothing|nothing)(?: of it)? was ingested\.?$")


def read_columns(
    source: object, options: Mapping[str, Any], rows: int, columns: int, bytes: int, may_mix: bool = False
) -> list[TableColumn]:
    """The columns of a file, by its path, or of a table in memory, of at most so many rows, columns and bytes of JSON.

    ``options`` are those of ``OPTIONS``. With ``may_mix`` a column with values of several types is text, else an error.
    IngestError for anything that would be lost.
    """
    for name in options:
        if name in _OF_STREAMS:
            raise IngestError(f"df.table takes no {name}: a reference table is all of its rows, without key and time")
        if name not in OPTIONS:
            raise IngestError(f"df.table has no option {name!r}; {meant(name, OPTIONS, 'it')} has {', '.join(OPTIONS)}")
    limits = TableLimits(rows, columns, bytes)
    try:
        settings = Settings.without_key(**{name: value for name, value in options.items() if value is not None})
        check_format(settings.format)
        found = _read(source, settings, limits, may_mix)
        if found.mixed:  # the type of a column depends on all of it
            found = _read(source, settings, limits, may_mix, found.mixed)
        return found.table_columns()
    except IngestError as error:
        raise IngestError(_OPTION.sub(_in_python, _INGESTED.sub("", str(error)))) from error


def _in_python(option: re.Match[str]) -> str:
    name, value = option[1].replace("-", "_"), option[2] or ""
    return f"{name}={repr(value) if value[:1].isalnum() else value}"


def _read(
    source: object, settings: Settings, limits: TableLimits, may_mix: bool, text: Collection[str] = ()
) -> TableRows:
    """All rows of the source; the columns ``text`` as they are written."""
    types = {**settings.reading.type, **dict.fromkeys(text, "string")}
    as_read = replace(settings, reading=replace(settings.reading, type=types))
    name = os.fsdecode(source) if isinstance(source, (str, os.PathLike)) else "the table"
    made = new_assembler(TableRows, as_read, name)
    made.source, made.settings, made.limits, made.may_mix = name, settings, limits, may_mix
    if isinstance(source, (str, os.PathLike)):
        with ExitStack() as stack:
            made.take_all(_batches_of_file(name, as_read, made, stack))
    elif is_table(source):
        made.check_rows(table_size(source) or 0)
        made.take_all(read_table(source, as_read, made, name).batches())
    else:
        raise IngestError(
            f"a reference table takes a mapping of 1 to {limits.columns} columns to lists of values, the path of a "
            f"file or a table (Arrow data, a data frame, a relation), but got {type(source).__name__}"
        )
    return made


def _batches_of_file(path: str, settings: Settings, made: TableRows, stack: ExitStack) -> Iterator[Batch]:
    given = stack.enter_context(_one_file(path))
    file = stack.enter_context(opened(given))
    content = decompressed(Hashed(file, given.name, ""), given.name)  # the digest is not needed
    head = next(content, b"")
    if type(given) is FileInput:
        raw = stack.enter_context(reader(given.path))
        made.file = raw if raw.read(4) == head[:4] else None  # Parquet is read in place
    made.most = made.limits.rows + 1
    yield from batches_of(chain([head] if head else [], content), settings, made, given.name)
    for _ in content:  # damage at the end is an error, too
        pass


@contextmanager
def _one_file(path: str) -> Iterator[FileInput]:
    """The file, or the only one in an archive."""
    try:
        reader(path).close()
    except (OSError, ValueError) as error:
        raise IngestError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    inputs: list[Input] = [FileInput(Path(path), path)]
    with closing(each_source(inputs, lambda identity: False, lambda archive, size: None)) as sources:
        given = next(sources)
        if len(inputs) > 1:
            names = listed((part.name.removeprefix(f"{path}/") for part in inputs), 3)
            raise IngestError(f"{path} holds {len(inputs):,} files ({names}): unpack it and name one of them")
        assert isinstance(given, FileInput)
        yield given
