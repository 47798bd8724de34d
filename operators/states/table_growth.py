"""Growth and limits of hash tables, and their loops (``operators.kernels.hash_tables``) as Python functions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.errors import CardinalityExceeded, DataflowError
from operators.kernels import hash_tables

LIMIT = 1 << 26
"""The maximum number of groups, or of entries over all groups, of one state."""


def check_limit(n: int, what: str) -> None:
    """CardinalityExceeded if ``n`` exceeds the limit; ``what`` names the entries."""
    if n > LIMIT:
        raise CardinalityExceeded(f"more than {LIMIT:,} {what}; group by fewer columns or filter first")


def enter_all(keys: NDArray[np.int64], slots: NDArray[np.int32], n: int) -> None:
    """Enter keys 0 to n - 1, distinct rows, into the zeroed ``slots``."""
    hash_tables.enter_groups(keys, slots, n)


def enter_pairs(groups: NDArray[np.int64], values: NDArray[np.int64], slots: NDArray[np.int32], n: int) -> None:
    """Enter pairs 0 to n - 1 into the zeroed ``slots``."""
    hash_tables.enter_pairs(groups, values, slots, n)


def find_all(
    wanted: NDArray[np.int64], keys: NDArray[np.int64], slots: NDArray[np.int32], used: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The number of each row of ``wanted`` in ``keys``; new ones are added, and must fit.

    DataflowError for rows of another dtype or shape: the loop would read beyond them.
    """
    if wanted.dtype != keys.dtype or wanted.shape[1:] != keys.shape[1:]:
        raise DataflowError(
            f"a partial state has keys of {wanted.dtype} and shape {wanted.shape}, and this query's have others: "
            "the process that made it runs another version; update it"
        )
    at = np.zeros(len(wanted), np.int64)
    hash_tables.find_groups(np.ascontiguousarray(wanted), keys, slots, used, at)
    return at


def grown(a: NDArray[Any], capacity: int, fill: int = 0) -> NDArray[Any]:
    """``a`` with ``capacity`` rows, the new ones filled with ``fill``."""
    shape = (capacity, *a.shape[1:])
    out = np.full(shape, fill, a.dtype) if fill else np.zeros(shape, a.dtype)
    out[: len(a)] = a
    return out
