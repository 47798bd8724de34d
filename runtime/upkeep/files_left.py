"""How many files a stream would have after its compaction."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from runtime.catalogue import FileEntry
from runtime.upkeep.spans import FULL, spans_of, weight


def files_left(files: Sequence[FileEntry]) -> int:
    """About how many files ``dataflow compact`` leaves of these: one a span, more where that has too many rows."""
    spans = spans_of((f.day, weight(f)) for f in files)
    begins = [span.begin for span in spans]
    rows = [0] * len(spans)
    for f in files:
        rows[bisect_right(begins, f.t_min) - 1] += weight(f)
    return min(len(files), sum(-(-n // FULL) for n in rows))
