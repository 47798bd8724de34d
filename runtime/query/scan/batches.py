"""The blocks of a file that a scan loads, and which of them together: decided from the file's directory alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from runtime.pointfile import PointFile
from runtime.query.scan.scan_spec import ScanSpec

BATCH, GAPS = 4 << 20, 16
"""Bytes fetched together: an amount that stays in the CPU cache until it is decoded, or, where reads wait, this many
times the store's ``gap`` (16 MB from S3)."""


@dataclass(frozen=True)
class BlockBatch:
    """Blocks that are loaded together: the ``chosen`` ones of those before ``end``, and whether with their times."""

    chosen: list[int]
    end: int
    time: bool


def in_range(file: PointFile, rows: tuple[int, int], spec: ScanSpec, since: int) -> tuple[int, int, NDArray[np.bool_]]:
    """The blocks [lo, hi) that have some of the file's rows [first, end), and which of them may be in the range."""
    blocks = file.blocks
    lo = int(np.searchsorted(blocks["row_start"], rows[0], side="right")) - 1
    hi = int(np.searchsorted(blocks["row_start"], rows[1], side="left"))
    wanted = blocks["t_min"][lo:hi] < spec.until
    if spec.skip_before:
        wanted &= blocks["t_max"][lo:hi] >= since
    return lo, hi, wanted


def batches(
    file: PointFile, columns: Sequence[str], spec: ScanSpec, times: bool, lo: int, wanted: NDArray[np.bool_], all_: bool
) -> Iterator[BlockBatch]:
    """The ``wanted`` blocks from ``lo`` on, in batches of some size; ``all_``: of all keys, so that large batches
    hold little that is not needed."""
    blocks, hi = file.blocks, lo + len(wanted)
    named = [*columns, *([file.time_name] if file.time_name not in columns else [])]
    ends = np.cumsum(np.sum([file.chunk_bytes(c)[lo:hi] for c in named], axis=0))
    # All blocks of a batch between the first and the last needed are fetched: few keys use small batches.
    most = max(BATCH, GAPS * file.gap) if all_ else BATCH
    seams = np.flatnonzero(np.diff(ends // most))
    for first, last in pairwise([lo, *(lo + 1 + seams).tolist(), hi]):
        chosen = [b for b in range(first, last) if wanted[b - lo]]
        if chosen:
            inside = blocks["t_min"][chosen].min() >= spec.since and blocks["t_max"][chosen].max() < spec.until
            yield BlockBatch(chosen, last, bool(times or not inside))
