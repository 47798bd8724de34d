"""The ends of an answer's rows in event time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dataflow.plan.row_times import Bucket, RowEnd
from dataflow.times.calendar_tables import bucket_table
from operators.kernels.times.calendar import END, FIRST, bucket_end
from runtime.result.result import Result

NEVER = np.iinfo(np.int64).max
"""The end of a row of which none is known."""


def ends_of(result: Result, ends: Sequence[RowEnd]) -> NDArray[np.int64] | None:
    """The time at which each row ends, microseconds UTC, or ``NEVER``; None if no row has a known end."""
    known = [end for end in ends if end.column in result.columns]
    if not known:
        return None
    latest: NDArray[np.int64] = np.max([_end(result, end) for end in known], axis=0)
    return latest


def _end(result: Result, end: RowEnd) -> NDArray[np.int64]:
    column = result.columns[end.column]
    out = np.full(len(column), NEVER, np.int64)
    there = np.ones(len(column), bool) if column.valid is None else np.asarray(column.valid, bool)
    times = column.values.astype(np.int64)
    if end.bucket is None:
        out[there] = times[there] + end.later
        return out
    inside = there & (times >= FIRST) & (times < END)
    out[inside] = _bucket_ends(times[inside], end.bucket)
    return out


def _bucket_ends(times: NDArray[np.int64], bucket: Bucket) -> NDArray[np.int64]:
    edges, width, origin = bucket_table(*bucket)
    starts, back = np.unique(times, return_inverse=True)
    return np.array([bucket_end(int(t), edges, width, origin) for t in starts], np.int64)[back]
