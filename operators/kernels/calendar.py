"""Calendar buckets and clock fields from tables of edges and zone offsets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.kernels.jit import I64, inline

DAY = 86_400_000_000


@inline
def bucket_of(t: I64, edges: NDArray[np.int64]) -> I64:
    """The index i with ``edges[i] <= t < edges[i + 1]``, clamped to the table."""
    n = edges.shape[0] - 1
    lo = np.int64(0)
    hi = np.int64(n)
    while lo < hi:
        mid = (lo + hi) >> 1
        if edges[mid + 1] <= t:
            lo = mid + 1
        else:
            hi = mid
    return min(lo, np.int64(n - 1))


@inline
def local_time(t: I64, changes: NDArray[np.int64], offsets: NDArray[np.int64]) -> I64:
    """``t`` plus its zone's offset: ``offsets[i]`` holds from ``changes[i]`` on; ``changes[0]`` is before all."""
    lo = np.int64(0)
    hi = np.int64(changes.shape[0] - 1)
    while lo < hi:
        mid = (lo + hi + 1) >> 1
        if changes[mid] <= t:
            lo = mid
        else:
            hi = mid - 1
    return t + offsets[lo]


@inline
def hour_of(local: I64) -> I64:
    """Hour of the day, 0 to 23."""
    return (local - (local // DAY) * DAY) // 3_600_000_000


@inline
def weekday_of(local: I64) -> I64:
    """Day of the week, Monday = 0; 1970-01-01 was a Thursday."""
    d = local // DAY + 3
    return d - (d // 7) * 7


@inline
def bucket_start(t: I64, edges: NDArray[np.int64], width: I64, origin: I64) -> I64:
    """The start of the bucket of ``t``: by ``edges`` if there are any, else every ``width`` from ``origin`` on."""
    if edges.shape[0] == 0:
        return (t - origin) // width * width + origin
    return edges[bucket_of(t, edges)]


@inline
def bucket_number(t: I64, edges: NDArray[np.int64], width: I64, origin: I64) -> I64:
    """The number of the bucket of ``t``, counted from the table's first edge, or from ``origin`` where it has none."""
    if edges.shape[0] == 0:
        return (t - origin) // width
    return bucket_of(t, edges)


@inline
def bucket_edge(n: I64, edges: NDArray[np.int64], width: I64, origin: I64) -> I64:
    """The start of the bucket with the number ``n``; within the table, if there is one."""
    if edges.shape[0] == 0:
        return n * width + origin
    return edges[min(max(n, np.int64(0)), np.int64(edges.shape[0] - 1))]


@inline
def bucket_end(t: I64, edges: NDArray[np.int64], width: I64, origin: I64) -> I64:
    """The end (exclusive) of the bucket of ``t``."""
    if edges.shape[0] == 0:
        return (t - origin) // width * width + origin + width
    return edges[bucket_of(t, edges) + 1]
