"""Groups for calendar buckets without rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataflow.plan.sink import Grouping
from dataflow.times.calendar_tables import bucket_edges
from operators.errors import CardinalityExceeded
from operators.states.table_growth import LIMIT


def bucket_keys(sink: Grouping, keys: NDArray[np.int64], until: int) -> NDArray[np.int64]:
    """The keys of all groups of ``sink`` from the first bucket of each combination of its other columns to ``until``.

    ``keys`` are the existing ones: int64 of shape (groups, columns + 1), as in ``GroupState``.
    """
    j, bucket = sink.filled, sink.bucket
    assert j is not None
    assert bucket is not None
    if not len(keys):
        return keys
    first = int(keys[:, j].min())
    edges = bucket_edges(str(bucket.option("every")), str(bucket.option("zone")), first, until, LIMIT)
    _check(len(edges), sink)
    others = keys.copy()
    others[:, j] = 0
    distinct, which = np.unique(others, axis=0, return_inverse=True)
    firsts = np.full(len(distinct), np.iinfo(np.int64).max)
    np.minimum.at(firsts, which.ravel(), keys[:, j])
    at = np.searchsorted(edges, firsts)
    lengths = len(edges) - at
    _check(int(lengths.sum()), sink)
    out = np.repeat(distinct, lengths, axis=0)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    out[:, j] = edges[np.repeat(at, lengths) + np.arange(len(out)) - starts]
    return out


def _check(groups: int, sink: Grouping) -> None:
    if groups > LIMIT:
        name = sink.by[sink.filled or 0][0]
        raise CardinalityExceeded(
            f"more than {LIMIT:,} groups with the empty buckets of {name!r}; use longer ones or a shorter range"
        )
