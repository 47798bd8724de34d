"""Typed rows during ingest: columns of one batch, strings as codes into the source's dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.types import Type
from runtime.columns import Column, Points
from runtime.ingest.columns.interned_strings import InternedStrings

EXACT = 2**53
"""Integers up to this are exact as float64."""


@dataclass(frozen=True)
class Values:
    """One column of a batch; ``valid`` None means no nulls. String values are codes of the source's
    ``InternedStrings``."""

    type: Type
    values: NDArray[np.generic]
    valid: NDArray[np.bool_] | None

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        return self.values.nbytes + (0 if self.valid is None else self.valid.nbytes)

    def take(self, index: NDArray[np.intp]) -> Values:
        """The rows at ``index``."""
        return Values(self.type, self.values[index], None if self.valid is None else self.valid[index])


@dataclass(frozen=True)
class Batch:
    """Accepted rows in input order: keys (codes or int64), event times (microseconds UTC) and value columns."""

    key: Values
    time: NDArray[np.int64]
    columns: dict[str, Values]

    def __len__(self) -> int:
        return len(self.time)

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        return self.key.nbytes + self.time.nbytes + sum(c.nbytes for c in self.columns.values())

    def take(self, index: NDArray[np.intp]) -> Batch:
        """The rows at ``index``, in that order."""
        return Batch(self.key.take(index), self.time[index], {n: c.take(index) for n, c in self.columns.items()})


def concatenated(batches: Sequence[Batch]) -> Batch:
    """All rows in order; a column that a batch lacks is null there, and int64 becomes float64 if another batch has
    float64."""
    if len(batches) == 1:
        return batches[0]
    names = dict.fromkeys(name for batch in batches for name in batch.columns)
    sizes = [len(batch) for batch in batches]
    columns = {name: _joined([b.columns.get(name) for b in batches], sizes) for name in names}
    key = _joined([b.key for b in batches], sizes)
    return Batch(key, np.concatenate([b.time for b in batches]), columns)


def _joined(parts: Sequence[Values | None], sizes: Sequence[int]) -> Values:
    types = {p.type for p in parts if p is not None}
    type_ = Type.FLOAT if len(types) > 1 else next(iter(types))
    values = np.zeros(sum(sizes), type_.dtype)
    valid = None if all(p is not None and p.valid is None for p in parts) else np.zeros(sum(sizes), np.bool_)
    at = 0
    for part, size in zip(parts, sizes, strict=True):
        if part is not None:
            values[at : at + size] = part.values
            if valid is not None:
                valid[at : at + size] = True if part.valid is None else part.valid
        at += size
    return Values(type_, values, valid)


def united(one: Values, other: Values) -> Values:
    """Two columns of one type of which no row has both."""
    assert one.valid is not None
    assert other.valid is not None
    return Values(one.type, np.where(other.valid, other.values, one.values), one.valid | other.valid)


def to_points(batch: Batch, key: str, words: dict[str, InternedStrings]) -> Points:
    """The batch with its own dictionaries; columns that are null in every row are omitted."""
    columns = {}
    for name, column in batch.columns.items():
        if column.valid is None or column.valid.any():
            columns[name] = _column(column, words.get(name))
    return Points(_column(batch.key, words.get(key)), batch.time, columns)


def _column(column: Values, words: InternedStrings | None) -> Column:
    valid = column.valid
    if valid is not None and valid.all():
        valid = None
    if column.type is not Type.STRING or words is None:
        return Column(column.type, np.ascontiguousarray(column.values), valid)
    codes = column.values.astype(np.int32, copy=False)
    if valid is None:
        renumbered, dictionary = words.compact(codes)
    else:
        present, dictionary = words.compact(codes[valid])
        renumbered = np.zeros(len(codes), np.int32)
        renumbered[valid] = present
    return Column(Type.STRING, renumbered, valid, dictionary)
