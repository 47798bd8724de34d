"""``Decoded``: a typed column of a table, and what could not become part of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.kernels.times.iso_times import ZONED
from operators.types import Type
from runtime.ingest.columns.interned_strings import InternedStrings

WordsOf = Callable[[str], InternedStrings]
"""The words of a column by its name."""

Mask = NDArray[np.bool_]

_WIDE = 128
"""With more columns than this, chunks have fewer rows."""

_FEWEST = 1 << 12


@dataclass(frozen=True)
class Decoded:
    """A typed column of a table; string values are codes into the words of its name. ``valid`` None: no nulls.

    ``twins`` hold values of other types, which are null here: by the suffix of their names (``twin_name``), columns of
    as many rows. ``nan`` and ``infinite`` mark floats that are no numbers and therefore null (None: there are none).
    ``zone``: ``LOCAL`` for times that are what a clock showed, ``LOCAL_DATE`` for
    such dates. ``note`` says what was converted to text. ``left_out``: why there can be no such
    column; all values are null then.
    """

    type: Type
    values: NDArray[Any]
    valid: Mask | None
    twins: Mapping[str, Decoded] = field(default_factory=dict)
    nan: Mask | None = None
    infinite: Mask | None = None
    zone: int = ZONED
    note: str = ""
    left_out: str = ""

    def __len__(self) -> int:
        return len(self.values)


Chunk = dict[str, Decoded]
"""Columns of some rows of a table, by name."""


def rows_of(rows: int, columns: int) -> int:
    """The rows of a chunk of so many columns: at most ``rows``, fewer of many."""
    return max(min(_FEWEST, rows), min(rows, rows * _WIDE // max(columns, 1)))


def twin_name(name: str, suffix: str) -> str:
    """The column for values of another type, for example ``value#string``."""
    return f"{name}#{suffix}"


def with_twins(chunk: Chunk) -> Chunk:
    """The columns and their twins. A column that the table itself has under the name of a twin takes its values."""
    out = dict(chunk)
    for name, column in chunk.items():
        for suffix, twin in column.twins.items():
            own = chunk.get(twin_name(name, suffix))
            if own is not None and own.type is twin.type and twin.valid is not None:
                valid = twin.valid if own.valid is None else own.valid | twin.valid
                values = np.where(twin.valid, twin.values, own.values)
                twin = Decoded(own.type, values, None if own.valid is None else mask_of(valid))
            out[twin_name(name, suffix)] = twin
    return out


def all_null(rows: int, left_out: str = "") -> Decoded:
    """A column without values."""
    return Decoded(Type.FLOAT, np.zeros(rows), np.zeros(rows, np.bool_), left_out=left_out)


def mask_of(valid: Mask) -> Mask | None:
    """None where all are valid."""
    return None if valid.all() else valid


def of_texts(texts: Sequence[str | None], name: str, words: WordsOf, note: str = "") -> Decoded:
    """A column of strings; None is null. Half of a surrogate pair, which UTF-8 lacks, becomes ``\\ud800``."""
    valid = np.array([t is not None for t in texts], np.bool_)
    codes = np.zeros(len(texts), np.int32)
    present = [t for t in texts if t is not None]
    if present:
        try:
            codes[valid] = words(name).codes_of(present)
        except UnicodeEncodeError:
            codes[valid] = words(name).codes_of([t.encode("utf-8", "backslashreplace").decode() for t in present])
            note = note or "half of a surrogate pair as its escape"
    return Decoded(Type.STRING, codes, mask_of(valid), note=note)


def with_texts(column: Decoded, odd: Mapping[int, str], name: str, words: WordsOf) -> Decoded:
    """The column without the values of some rows, which go to its text twin as they are given here."""
    if not odd:
        return column
    rows = np.fromiter(odd, np.int64, len(odd))
    valid = np.ones(len(column), np.bool_) if column.valid is None else column.valid.copy()
    valid[rows] = False
    codes, present = np.zeros(len(column), np.int32), np.zeros(len(column), np.bool_)
    codes[rows] = words(twin_name(name, "string")).codes_of(list(odd.values()))
    present[rows] = True
    values = np.where(valid, column.values, column.values.dtype.type(0))
    twins = {**column.twins, "string": Decoded(Type.STRING, codes, present)}
    return replace(column, values=values, valid=valid, twins=twins)


def of_uint64(array: NDArray[np.uint64], valid: Mask | None, name: str, words: WordsOf) -> Decoded:
    """Unsigned integers; those beyond int64 go to the text twin."""
    big = array >= 2**63 if valid is None else (array >= 2**63) & valid
    odd = {row: str(array[row]) for row in np.flatnonzero(big).tolist()}
    return with_texts(Decoded(Type.INT, array.view(np.int64), valid), odd, name, words)


def reals(values: NDArray[np.float64], valid: Mask | None = None) -> Decoded:
    """Floats; NaN and infinities are null."""
    finite = np.isfinite(values)
    if finite.all():
        return Decoded(Type.FLOAT, values, valid)
    present = ~finite if valid is None else ~finite & valid
    nan, infinite = np.isnan(values) & present, np.isinf(values) & present
    kept = finite if valid is None else finite & valid
    return Decoded(
        Type.FLOAT, np.where(kept, values, 0.0), kept,
        nan=nan if nan.any() else None, infinite=infinite if infinite.any() else None,
    )  # fmt: skip


def joined(parts: Sequence[Decoded]) -> Decoded:
    """Parts of one column, one after the other."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    twins = {}
    for suffix in dict.fromkeys(s for part in parts for s in part.twins):
        kind = next(part.twins[suffix].type for part in parts if suffix in part.twins)
        twins[suffix] = joined([part.twins.get(suffix) or _missing(kind, len(part)) for part in parts])
    sizes = [len(part) for part in parts]
    return replace(
        first,
        values=np.concatenate([part.values for part in parts]),
        valid=_marks([part.valid for part in parts], sizes, empty=True),
        twins=twins,
        nan=_marks([part.nan for part in parts], sizes, empty=False),
        infinite=_marks([part.infinite for part in parts], sizes, empty=False),
        note=next((part.note for part in parts if part.note), ""),
    )


def _missing(kind: Type, rows: int) -> Decoded:
    return Decoded(kind, np.zeros(rows, kind.dtype), np.zeros(rows, np.bool_))


def _marks(masks: Sequence[Mask | None], sizes: Sequence[int], empty: bool) -> Mask | None:
    """The masks one after the other, where None is ``empty`` in every row."""
    if all(mask is None for mask in masks):
        return None
    return np.concatenate([np.full(n, empty) if m is None else m for m, n in zip(masks, sizes, strict=True)])
