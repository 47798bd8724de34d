"""`RowBatch`, which flows between stages: rows in runs of one key, in time order within each key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = tuple[NDArray[Any], NDArray[np.uint8]]
"""Values and validity of a column; each has one entry per row, or a single one for all rows."""

VALID: NDArray[np.uint8] = np.ones(1, np.uint8)
NULL: NDArray[np.uint8] = np.zeros(1, np.uint8)
NOT_BRIDGED: NDArray[np.uint8] = np.zeros(1, np.uint8)


@dataclass(frozen=True)
class RowBatch:
    """``run_slot`` (int32) and ``run_len`` (int64) say which key each run of rows belongs to; ``time`` is int64.

    Where it matters only that the times lie in the range, ``time`` has a single entry, any time in it; ``size`` is then
    the number of rows. ``bridged`` has an entry per row where rows that repeat the row before them were skipped
    (``runtime.pointfile.Changes``), else a single 0.
    """

    run_slot: NDArray[np.int32]
    run_len: NDArray[np.int64]
    time: NDArray[np.int64]
    columns: dict[str, Values]
    size: int = -1
    bridged: NDArray[np.uint8] = field(default_factory=lambda: NOT_BRIDGED)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.time) if self.size < 0 else self.size


def copied(batch: RowBatch) -> RowBatch:
    """The batch in arrays of its own."""
    columns = {name: (values.copy(), valid.copy()) for name, (values, valid) in batch.columns.items()}
    return RowBatch(
        batch.run_slot.copy(), batch.run_len.copy(), batch.time.copy(), columns, batch.size, batch.bridged.copy()
    )
