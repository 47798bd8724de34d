"""Describes the columns of a stream by its points: types, counts, ranges, most frequent values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.types import Type
from runtime.columns import Column, Dictionary
from runtime.display.json_form import plain_values
from runtime.points.point_scan import Group, PointRange, PointScan
from runtime.storage.open_store import OpenStore

TOP = 3
"""Most frequent values that are shown."""

_COUNTED = 2_000_000
"""Distinct values that are counted at once, over all columns."""

_FEWEST, _MOST = 1_000, 100_000
"""Bounds for one column."""


_READ = 1 << 22
"""Points of files of several days of which all are read so that a few can be taken: more than a compaction writes."""


@dataclass(frozen=True)
class ColumnSummary:
    """One column of the points that were read.

    ``values`` are not null, ``nulls`` are. ``bounds`` holds the least and the greatest value, none if there are no
    values. ``distinct`` is the number of distinct values, None if they are more than ``counted``; ``top`` the most
    frequent ones with their numbers in ``times``, none where distinct values were not counted.
    """

    name: str
    type: Type
    values: int
    nulls: int
    bounds: Column
    distinct: int | None
    counted: int
    top: Column
    times: tuple[int, ...]

    def to_dict(self) -> dict[str, object]:
        """The JSON form; values as in ``Result.to_dict``."""
        least, greatest = plain_values(self.bounds) or (None, None)
        top = zip(plain_values(self.top), self.times, strict=True)
        return {
            "name": self.name,
            "type": self.type.value,
            "values": self.values,
            "nulls": self.nulls,
            "distinct": self.distinct,
            "more_than": self.counted if self.distinct is None else None,
            "min": least,
            "max": greatest,
            "top": [{"value": value, "count": count} for value, count in top],
        }


@dataclass(frozen=True)
class StreamSummary:
    """The columns of a stream, key and time first, by ``rows`` points, of ``days`` of the ``all_days`` in the range.

    Days are counted from the first to the last point of files that belong together. ``whole``: these are all points of
    the range. ``listed`` is the number of points in its files.
    """

    stream: str
    snapshot: int
    rows: int
    listed: int
    days: int
    all_days: int
    whole: bool
    columns: tuple[ColumnSummary, ...]

    def to_dict(self) -> dict[str, object]:
        """The JSON form."""
        names = ("stream", "snapshot", "rows", "listed", "days", "all_days", "whole")
        return {name: getattr(self, name) for name in names} | {"columns": [c.to_dict() for c in self.columns]}


def describe(store: OpenStore, stream: str, wanted: PointRange, most: int) -> StreamSummary:
    """Describe the columns by the points of a range; if it has more than ``most``, by about so many, of days spread
    over it."""
    scan = PointScan(store, stream, wanted)
    groups = scan.groups()
    listed = sum(file.rows for file in scan.files)
    whole = listed <= most
    counted = min(_MOST, max(_FEWEST, _COUNTED // len(scan.types)))
    counts = {name: _Counts(type_, counted) for name, type_ in scan.types.items()}
    all_days = {day for group in groups for day in scan.days_covered(group)}
    rows, days = 0, set[int]()
    for group in groups if whole else _spread(groups):
        of_group = at = 0
        covered = scan.days_covered(group)
        # Files of several days have their rows in the order of keys: their share is spread over all of them.
        enough = most if len(covered) == 1 else -(-most * len(covered) // len(all_days))
        of_files = sum(file.rows for file in group)
        step = 1 if whole or len(covered) == 1 or of_files > _READ else max(1, of_files // enough)
        for batch in scan.group(group):
            size = len(next(iter(batch.values())))
            part = _picked(at, size, step)
            if not whole and len(covered) > 1:
                part = part[: enough - of_group]
            at += size
            for name, column in batch.items():
                counts[name].add(column if len(part) == size else column.take(part))
            of_group += len(part)
            if not whole and (rows + of_group >= most or of_group >= enough):
                break
        scan.close(group)
        rows += of_group
        days.update(covered)
        if rows >= most and not whole:
            break
    columns = tuple(c.summary(name) for name, c in counts.items())
    return StreamSummary(stream, scan.snapshot.seq, rows, listed, len(days), len(all_days), whole, columns)


def _picked(at: int, size: int, step: int) -> NDArray[np.int64]:
    """One of every ``step`` rows, by chance but always the same, of the ``size`` rows from row ``at`` on: fixed steps
    would meet the same days of every key. Mixed as by splitmix64 (Steele, Lea and Flood 2014)."""
    if step == 1:
        return np.arange(size)
    turn = np.arange(at // step, (at + size - 1) // step + 1, dtype=np.uint64)
    mixed = turn * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ mixed >> np.uint64(32)) * np.uint64(0xBF58476D1CE4E5B9) >> np.uint64(40)
    row = turn.astype(np.int64) * step + (mixed % np.uint64(step)).astype(np.int64) - at
    return row[(row >= 0) & (row < size)]


def _spread(groups: Sequence[Group]) -> list[Group]:
    """The groups in an order in which the first ones are spread over all: first, middle, quarters, eighths, ..."""
    bits = max(1, (len(groups) - 1).bit_length())
    order = sorted(range(len(groups)), key=lambda at: int(f"{at:0{bits}b}"[::-1], 2))
    return [groups[at] for at in order]


class _Counts:
    """What was seen of one column."""

    def __init__(self, type_: Type, most: int) -> None:
        self._type, self._most = type_, most
        self._values = self._nulls = 0
        self._seen: dict[object, int] | None = {}
        self._bounds: list[object] = []

    def add(self, column: Column) -> None:
        """Count the values of a batch."""
        valid = np.ones(len(column), np.bool_) if column.valid is None else column.valid
        data = column.values[valid]
        self._values += len(data)
        self._nulls += len(column) - len(data)
        if not len(data):
            return
        found: Mapping[object, int]
        if self._type.is_text:
            assert column.words is not None
            times = np.bincount(data.astype(np.int64), minlength=len(column.words)).tolist()
            found = {text: n for text, n in zip(column.words.strings, times, strict=True) if n}
        elif self._seen is None:
            found = dict.fromkeys([data.min().item(), data.max().item()], 0)
        else:
            distinct, times = np.unique(data, return_counts=True)
            found = dict(zip(distinct.tolist(), times.tolist(), strict=True))
        self._bounds = _least_and_greatest([*self._bounds, *found])
        if self._seen is None:
            return
        for value, n in found.items():
            self._seen[value] = self._seen.get(value, 0) + n
        if len(self._seen) > self._most:
            self._seen = None

    def summary(self, name: str) -> ColumnSummary:
        """The column's summary so far; of equally frequent values the lesser ones come first."""
        seen = self._seen or {}
        top = sorted(sorted(seen, key=_comparable), key=lambda value: -seen[value])[:TOP]
        return ColumnSummary(
            name, self._type, self._values, self._nulls, self._column(self._bounds),
            None if self._seen is None else len(seen), self._most, self._column(top), tuple(seen[v] for v in top),
        )  # fmt: skip

    def _column(self, values: Sequence[object]) -> Column:
        if self._type.is_text:
            texts = list(dict.fromkeys(map(str, values)))
            codes = [texts.index(str(value)) for value in values]
            return Column(self._type, np.array(codes, np.int32), None, Dictionary.of(texts))
        return Column(self._type, np.array(values, self._type.dtype))


def _least_and_greatest(values: Sequence[object]) -> list[object]:
    return [min(values, key=_comparable), max(values, key=_comparable)] if values else []


def _comparable(value: object) -> str | float:
    assert isinstance(value, str | int | float)
    return value
