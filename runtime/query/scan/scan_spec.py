"""What a scan reads, and in which form columns leave it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.types import Type
from runtime.errors import QueryError

_EXACT = 2**53


@dataclass(frozen=True)
class Elision:
    """Rows that repeat the row before them, at most ``hold`` microseconds later, may be skipped, but only where the
    ``reported`` columns are not null."""

    hold: int
    reported: tuple[str, ...]


@dataclass(frozen=True)
class ScanSpec:
    """What to read: columns with the types the query wants, the shard [lo, hi) of key hashes, and the range.

    Rows before ``since`` are skipped by whole blocks if ``skip_before`` is set; rows from ``until`` on always are.
    Without ``times``, the times of blocks entirely inside the range are not read. ``elision``: the rows that kernels do
    not need.
    """

    columns: Mapping[str, Type]
    shard: tuple[int, int]
    since: int
    until: int
    skip_before: bool
    times: bool
    duplicates: str
    id_column: str | None
    all_columns: Mapping[str, Type]
    elision: Elision | None = None
    any_order: bool = False
    """The rows of a key may come in any order."""


def merged_columns(spec: ScanSpec) -> dict[str, Type]:
    """The columns to read where rows of several files are merged."""
    columns = dict(spec.columns)
    if spec.duplicates == "exact":
        # Rows are duplicates only if all columns agree, requested or not.
        columns = {**spec.all_columns, **columns}
    # Unless no row had an id so far.
    if spec.id_column is not None and spec.id_column in spec.all_columns:
        columns.setdefault(spec.id_column, spec.all_columns[spec.id_column])
    return columns


def widened(values: NDArray[Any], name: str, path: str) -> NDArray[np.float64]:
    """Integers from a file written before its column became float64, as floats; QueryError if one is not exact."""
    if len(values) and (values.max() > _EXACT or values.min() < -_EXACT):
        raise QueryError(
            f"column {name} became float64 after {path} was written, which has integers beyond 2**53 that no float64 "
            "represents exactly; ingest that source into a separate stream"
        )
    return values.astype(np.float64)


def dtype_of(kind: Type) -> np.dtype[Any]:
    """The dtype of a column's values in a batch."""
    return np.dtype({Type.FLOAT: np.float64, Type.BOOL: np.uint8, Type.STRING: np.int32}.get(kind, np.int64))
