"""Options for tables: columns taken and renamed, composed keys and times, declared types, words for missing values.

Columns that an option concerns go through cells, as text does, so that there is one meaning of each option.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.aggregates.json_values import decimal_text
from operators.kernels.times.iso_times import LOCAL_DATE
from operators.types import DECIMALS, Type
from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.report import utc_text
from runtime.ingest.tabular.decoded import Chunk, Decoded, twin_name
from runtime.ingest.tabular.value_texts import iso_duration
from runtime.ingest.text.column_names import Names
from runtime.ingest.text.raw_cells import RawCells
from runtime.ingest.text.shaping import Shaping
from runtime.ingest.text.tokens import BOOL, FLOAT, INFINITE, INT, JSON, MISSING, NAN, NULL, STRING

_KINDS = {Type.BOOL: BOOL, Type.INT: INT, Type.FLOAT: FLOAT, Type.STRING: STRING, Type.TIME: STRING}
_AS_TEXT = (Type.DURATION, *DECIMALS)
"""Types of which only text can be made."""


def renamed(chunk: Chunk, names: Names, words: dict[str, InternedStrings], source: str) -> Chunk:
    """The columns that are taken, under their new names, to which their words go as well."""
    if names.is_plain:
        return chunk
    out: Chunk = {}
    for (name, column), new in zip(chunk.items(), names.columns_of([*chunk], source), strict=True):
        if new is not None:
            out[new] = column
            if new != name:
                for old in (name, *(twin_name(name, suffix) for suffix in column.twins)):
                    if old in words:
                        words[new + old.removeprefix(name)] = words[old]
    return out


def shaped(
    chunk: Chunk, settings: Settings, shaping: Shaping, words: Callable[[str], InternedStrings], first: int
) -> tuple[Chunk, RawCells | None]:
    """The columns after the options, and the cells of value columns whose values these may change, which are no longer
    in the chunk. Cells 0 and 1 are the key and the time; ``first`` is the number of the first row."""
    concerned = [n for n in _concerned(chunk, settings) if not chunk[n].left_out]
    rows = len(next(iter(chunk.values()))) if chunk else 0
    # Key and time are read from the table unless they are composed.
    composed = [settings.key_of is not None or settings.reading.key_value is not None, settings.time_of is not None]
    names = [settings.key, settings.time]
    placed = [*names, *(n for n in concerned if n not in names)]
    cells = _cells(chunk, placed, concerned, rows, words)
    cells.line = first
    shaping.shape(cells)
    changed = [n for n in concerned if n in settings.types() or settings.reading.null]
    cells.kind[[at for at, name in enumerate(placed) if name not in changed and at > 1]] = MISSING
    out = {name: column for name, column in chunk.items() if name not in changed}
    for at, is_made in enumerate(composed):
        if is_made:
            out[names[at]] = _column(cells, at, words(names[at]))
        elif names[at] in concerned:
            out[names[at]] = chunk[names[at]]
    return out, cells


def _concerned(chunk: Chunk, settings: Settings) -> list[str]:
    parts = [name for of in (settings.key_of, settings.time_of) if of is not None for name in of.fields]
    types, every = settings.types(), bool(settings.reading.null)
    return [
        name
        for name, column in chunk.items()
        if (column.type in _KINDS and (every or name in parts or name in types))
        or (column.type in _AS_TEXT and types.get(name) is Type.STRING)
    ]


def _cells(
    chunk: Chunk, names: list[str], concerned: list[str], rows: int, words: Callable[[str], InternedStrings]
) -> RawCells:
    kind = np.full((len(names), rows), MISSING, np.uint8)
    value = np.zeros((len(names), rows), np.int64)
    texts: list[NDArray[np.uint8]] = []
    size = 0
    for at, name in enumerate(names):
        if name not in concerned:
            continue
        kind[at] = NULL
        twins = chunk[name].twins.items()
        for of, column in ((name, chunk[name]), *((twin_name(name, suffix), twin) for suffix, twin in twins)):
            there = np.ones(rows, np.bool_) if column.valid is None else column.valid
            if column.type is Type.STRING or column.type is Type.TIME or column.type in _AS_TEXT:
                data, spans = _texts(column, words(of))
                value[at, there] = spans[there] + (size << 32)
                texts.append(data)
                size += len(data)
            else:
                values = column.values[there]
                value[at, there] = values.view(np.int64) if column.type is Type.FLOAT else values.astype(np.int64)
            for mask, of_mask in ((column.nan, NAN), (column.infinite, INFINITE)):
                if mask is not None:
                    kind[at, mask] = of_mask
            kind[at, there] = JSON if of == twin_name(name, "json") else _KINDS.get(column.type, STRING)
    places = np.arange(rows, dtype=np.int64)
    data = np.concatenate([*texts, np.zeros(1, np.uint8)])
    return RawCells(data, 0, 1, list(names), kind, value, places, places, are_rows=True)


def _texts(column: Decoded, words: InternedStrings) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of a column's texts, and the span of each row; times and durations as ISO-8601."""
    if column.type is Type.STRING:
        data, spans = words.spans()
        return data, spans[column.values] if len(spans) else np.zeros(len(column), np.int64)
    distinct, rows = np.unique(column.values, return_inverse=True)
    cut, places = 10 if column.zone == LOCAL_DATE else None, column.type.places
    if places is not None:
        raw = [decimal_text(int(v), places).encode() for v in distinct]
    elif column.type is Type.DURATION:
        raw = [iso_duration(int(v), "us").encode() for v in distinct]
    else:
        raw = [utc_text(int(v))[:cut].removesuffix("Z").encode() for v in distinct]
    ends = np.cumsum([len(r) for r in raw], dtype=np.int64)
    lengths = np.diff(ends, prepend=0)
    return np.frombuffer(b"".join(raw) or b"\0", np.uint8), ((ends - lengths) << 32 | lengths)[rows]


def _column(cells: RawCells, at: int, words: InternedStrings) -> Decoded:
    """A column of text cells."""
    valid = cells.kind[at] == STRING
    codes: NDArray[Any] = np.zeros(len(valid), np.int32)
    codes[valid] = words.codes(cells.data, cells.value[at][valid])
    return Decoded(Type.STRING, codes, None if valid.all() else valid)
