"""Calendar buckets and clock fields of the times from 1900 to 2261.

For any other time the result is ``OUTSIDE``, which callers must check for: there is no nearest bucket.

A bucket function takes a time and the three parts of a table (``dataflow.times.calendar_tables.bucket_table``):
``edges``, ``width`` and ``origin``.

- ``edges`` empty: buckets are ``width`` microseconds long from ``origin`` on.
- ``width`` 0: ``edges`` are the starts of all buckets, ascending, and the end of the last one. A bucket is ``origin``
  microseconds long on average, so it is found in a step or two.
- else buckets are ``width`` long on a wall clock whose offset from UTC is not a multiple of ``width``. From
  ``edges[0]`` on it is a multiple. Before that, ``edges`` has a row of ``COLUMNS`` numbers for each of ``edges[1]``
  offsets, and a final row: when the offset begins; the offset; the start of the bucket of that instant; the first edge
  from then on; and the number of the bucket that starts there. Then come the row numbers by ``GRID``.

Offsets are ``changes``, ascending, the last one after all times, and ``offsets``: one for each change, then their
indices by ``GRID``.

``GRID``: the row, or index, of the offset at 1900-01-01 and every 2^``GRID`` microseconds from then on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import I64, inline, noinline

DAY = 86_400_000_000
FIRST = -25_567 * DAY
"""1900-01-01T00:00Z, the first time that has a bucket, in microseconds since 1970."""

END = 106_651 * DAY
"""2262-01-01T00:00Z, the first time after those."""

OUTSIDE = -(2**63)
COLUMNS, GRID = 5, 42


@inline
def in_years(t: I64) -> bool:
    """Whether a time lies in the years 1900 to 2261."""
    return bool(t >= FIRST and t < END)


@inline
def shifted(t: I64, by: I64) -> I64:
    """The time ``t + by``."""
    r = np.int64(np.uint64(t) + np.uint64(by))
    if ((t ^ r) & (by ^ r)) < 0 or not in_years(r):
        return np.int64(OUTSIDE)
    return r


@inline
def shifted_back(t: I64, by: I64) -> I64:
    """The time ``t - by``."""
    r = np.int64(np.uint64(t) - np.uint64(by))
    if ((t ^ by) & (t ^ r)) < 0 or not in_years(r):
        return np.int64(OUTSIDE)
    return r


@inline
def offset_place(t: I64, changes: NDArray[np.int64], offsets: NDArray[np.int64]) -> I64:
    """The index of the offset that is valid at ``t``; -1 outside of the years."""
    if not in_years(t):
        return np.int64(-1)
    i = offsets[np.int64(changes.shape[0]) + ((t - FIRST) >> GRID)]
    while changes[i + 1] <= t:
        i += 1
    return i


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
def minute_of(local: I64) -> I64:
    """Minute of the hour, 0 to 59."""
    return local // 60_000_000 - local // 3_600_000_000 * 60


@inline
def second_of(local: I64) -> I64:
    """Second of the minute, 0 to 59."""
    return local // 1_000_000 - local // 60_000_000 * 60


@inline
def bucket_of(t: I64, edges: NDArray[np.int64], length: I64) -> I64:
    """The index i with ``edges[i] <= t < edges[i + 1]``, where buckets are ``length`` long on average."""
    last = np.int64(edges.shape[0] - 2)
    i = min(max((t - edges[0]) // length, np.int64(0)), last)
    while i < last and edges[i + 1] <= t:
        i += 1
    while i > 0 and edges[i] > t:
        i -= 1
    return i


@noinline
def clock_row(t: I64, edges: NDArray[np.int64]) -> I64:
    """The start, in ``edges``, of the row of the offset that is valid at ``t``."""
    at = edges[2 + COLUMNS * (edges[1] + 1) + ((t - FIRST) >> GRID)]
    while edges[at + COLUMNS] <= t:
        at += COLUMNS
    return at


@noinline
def clock_start(t: I64, edges: NDArray[np.int64], width: I64) -> I64:
    """The start of a bucket of the wall clock."""
    at = clock_row(t, edges)
    first = edges[at + 3]
    if t < first:
        return edges[at + 2]
    offset = edges[at + 1]
    return max((t + offset) // width * width - offset, first)


@noinline
def clock_end(t: I64, edges: NDArray[np.int64], width: I64) -> I64:
    """The end of a bucket of the wall clock."""
    at = clock_row(t, edges)
    if t < edges[at + 3]:
        return edges[at + 3]
    offset = edges[at + 1]
    end = (t + offset) // width * width - offset + width
    # The next offset has other edges.
    return end if end < edges[at + COLUMNS] else edges[at + COLUMNS + 3]


@noinline
def clock_number(t: I64, edges: NDArray[np.int64], width: I64) -> I64:
    """The number of a bucket of the wall clock."""
    at = clock_row(t, edges)
    first = edges[at + 3]
    if t < first:
        return edges[at + 4] - 1
    offset = edges[at + 1]
    return edges[at + 4] + (t + offset) // width - (first + offset) // width


@noinline
def clock_edge(n: I64, edges: NDArray[np.int64], width: I64) -> I64:
    """The start of the bucket of the wall clock with the number ``n``."""
    if n < edges[6]:
        return np.int64(OUTSIDE)
    lo = np.int64(0)
    hi = edges[1] - 1
    while lo < hi:
        mid = (lo + hi + 1) >> 1
        if edges[2 + COLUMNS * mid + 4] <= n:
            lo = mid
        else:
            hi = mid - 1
    at = 2 + COLUMNS * lo
    first, offset = edges[at + 3], edges[at + 1]
    if n == edges[at + 4]:
        return first
    return ((first + offset) // width + n - edges[at + 4]) * width - offset


@inline
def bucket_start(t: I64, edges: NDArray[np.int64], width: I64, origin: I64) -> I64:
    """The start of the bucket of ``t``."""
    if not in_years(t):
        return np.int64(OUTSIDE)
    if width == 0:
        return edges[bucket_of(t, edges, origin)]
    if edges.shape[0] != 0 and t < edges[0]:
        return clock_start(t, edges, width)
    return (t - origin) // width * width + origin


@inline
def bucket_end(t: I64, edges: NDArray[np.int64], width: I64, origin: I64) -> I64:
    """The end (exclusive) of the bucket of ``t``."""
    if not in_years(t):
        return np.int64(OUTSIDE)
    if width == 0:
        return edges[bucket_of(t, edges, origin) + 1]
    if edges.shape[0] != 0 and t < edges[0]:
        return clock_end(t, edges, width)
    return (t - origin) // width * width + origin + width


@inline
def bucket_number(t: I64, edges: NDArray[np.int64], width: I64, origin: I64) -> I64:
    """The number of the bucket of ``t``; consecutive buckets have consecutive numbers."""
    if not in_years(t):
        return np.int64(OUTSIDE)
    if width == 0:
        return bucket_of(t, edges, origin)
    if edges.shape[0] != 0 and t < edges[0]:
        return clock_number(t, edges, width)
    return (t - origin) // width


@inline
def bucket_edge(n: I64, edges: NDArray[np.int64], width: I64, origin: I64) -> I64:
    """The start of the bucket with the number ``n``."""
    if width == 0:
        return edges[n] if n >= 0 and n < edges.shape[0] else np.int64(OUTSIDE)
    start = n * width + origin
    if edges.shape[0] != 0 and start < edges[0]:
        return clock_edge(n, edges, width)
    return start
