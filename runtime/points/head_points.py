"""The first points of a stream from some time on."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import nsmallest

import numpy as np

from runtime.columns import Column
from runtime.points.point_scan import PointRange, PointScan, joined
from runtime.result.result import Result
from runtime.storage.open_store import OpenStore

_FEW = 32
"""Points of this many keys are read key by key; of more, all points of their times."""


@dataclass(frozen=True)
class HeadProof:
    """Which points were asked for, and as of which commit."""

    stream: str
    snapshot: int
    since: int | None
    key: str | int | None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The JSON form."""
        return {"stream": self.stream, "snapshot": self.snapshot, "since": self.since, "key": self.key}


def head(store: OpenStore, stream: str, wanted: PointRange, rows: int) -> Result:
    """The first ``rows`` points of a range in the order of time, then of the key.

    Of the files of one time only times and keys are read, then just the keys that have such points.
    """
    scan = PointScan(store, stream, wanted)
    key, time = scan.snapshot.schema.key, scan.snapshot.schema.time
    first = _first(scan, rows)
    proof = HeadProof(stream, scan.snapshot.seq, wanted.since, wanted.key)
    if not first:
        return Result(scan.no_points(), proof)
    keys = dict.fromkeys(k for _, k in first)
    # From the same time on: which repeats an id rules out depends on what is read before them.
    since, until = wanted.since, first[-1][0] + 1
    ranges = [PointRange(since, until, k) for k in keys] if len(keys) <= _FEW else [PointRange(since, until)]
    batches: list[dict[str, Column]] = []
    for near in map(scan.narrowed, ranges):
        for batch in (batch for group in near.groups() for batch in near.group(group)):
            mine = np.array([k in keys for k in batch[key].to_list()], np.bool_)
            batches.append({name: column.take(np.flatnonzero(mine)) for name, column in batch.items()})
    found = joined(batches)
    order = sorted(zip(found[time].to_list(), found[key].to_list(), range(len(found[time])), strict=True))
    index = np.array([at for _, _, at in order[:rows]], np.intp)
    return Result({name: column.take(index) for name, column in found.items()}, proof)


def _first(scan: PointScan, rows: int) -> list[tuple[int, str | int]]:
    """Time and key of the first points."""
    schema = scan.snapshot.schema
    found: list[tuple[int, str | int]] = []
    for group in scan.groups():
        for batch in scan.group(group, ()):
            time = batch[schema.time].values.astype(np.int64)
            last = found[-1][0] if len(found) == rows else None
            near = np.flatnonzero(time <= last) if last is not None else np.arange(len(time))
            if len(near) > rows:  # those up to the time of the last one wanted
                near = near[time[near] <= np.partition(time[near], rows - 1)[rows - 1]]
            part = batch[schema.key].take(near).to_list()
            found = nsmallest(rows, [*found, *zip(time[near].tolist(), part, strict=True)])  # type: ignore[list-item]
        if len(found) == rows:
            break
    return found
