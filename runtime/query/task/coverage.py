"""Coverage of partial states, so that none is merged twice: key hash ranges and rows per file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any

from runtime.errors import IncompleteResult

HASHES = 1 << 64

Ranges = tuple[tuple[int, int], ...]
"""Ranges [lo, hi) of key hashes, in order, not adjacent."""

WHOLE: Ranges = ((0, HASHES),)


@dataclass
class Coverage:
    """What a scan read, for the proof and for displayed counts."""

    rows: dict[str, int] = field(default_factory=dict)
    """Rows of each file (by path) that lie in the task's shard: each was read or ruled out by statistics."""

    skipped: int = 0
    dropped: int = 0
    bytes: int = 0
    times_outside: int = 0
    """Number of times in the rows read that are outside the calendar years and became null."""

    cells: dict[str, Ranges] = field(default_factory=dict)
    """The covered key hashes, by path. Row counts alone would not distinguish shards of equal size."""

    def read(self, path: str, shard: tuple[int, int], rows: int) -> None:
        """Mark the rows of a file in this shard as covered; IncompleteResult if some already are."""
        self._cover(path, (shard,), rows)

    def add(self, other: Coverage) -> None:
        """Add the coverage of ``other``; IncompleteResult if they overlap."""
        if other.rows.keys() != other.cells.keys():
            raise IncompleteResult("a partial state does not say which keys it covers: repeat the query")
        for path, rows in other.rows.items():
            self._cover(path, other.cells[path], rows)
        self.skipped += other.skipped
        self.dropped += other.dropped
        self.bytes += other.bytes
        self.times_outside += other.times_outside

    def _cover(self, path: str, ranges: Ranges, rows: int) -> None:
        before = self.cells.get(path)
        if before is None:
            self.cells[path], self.rows[path] = ranges, rows
            return
        joined: list[tuple[int, int]] = []
        for lo, hi in sorted([*before, *ranges]):
            if joined and lo < joined[-1][1]:
                raise IncompleteResult(f"rows of {path} would be merged twice: run `dataflow verify` on the store")
            if joined and lo == joined[-1][1]:
                joined[-1] = joined[-1][0], hi
            else:
                joined.append((lo, hi))
        self.cells[path], self.rows[path] = tuple(joined), self.rows[path] + rows

    def as_one(self, name: str) -> Coverage:
        """The same, as if it were of one file; IncompleteResult unless all files are covered for the same keys."""
        ranges = set(self.cells.values())
        if len(ranges) != 1:
            raise IncompleteResult("a partial state covers different keys of different files: repeat the query")
        return replace(self, rows={name: sum(self.rows.values())}, cells={name: ranges.pop()})

    def of_files(self, rows: Mapping[str, int]) -> Coverage:
        """The same of other files that hold the same rows: ``rows`` of each, by path. It must be of one file."""
        (ranges,) = self.cells.values()
        return replace(self, rows=dict(rows), cells=dict.fromkeys(rows, ranges))

    def ordered(self) -> Coverage:
        """The same, its files in the order of their paths."""
        paths = sorted(self.rows)
        numbers = (self.skipped, self.dropped, self.bytes, self.times_outside)
        return Coverage({p: self.rows[p] for p in paths}, *numbers, {p: self.cells[p] for p in paths})

    def to_dict(self) -> dict[str, Any]:
        """As a JSON value; ranges that are equal for all files are written once."""
        out = {f.name: getattr(self, f.name) for f in fields(self)}
        ranges = set(self.cells.values())
        out["cells"] = list(ranges.pop()) if len(ranges) == 1 else self.cells
        return out

    @classmethod
    def from_dict(cls, head: Any) -> Coverage:
        """The coverage of a JSON value; KeyError, TypeError or ValueError if it is malformed."""
        if not isinstance(head, Mapping) or head.keys() != {f.name for f in fields(cls)}:
            raise ValueError("the coverage is missing")
        found = cls(**head)
        if not isinstance(found.rows, dict):
            raise ValueError("the coverage is missing")
        counts = [*found.rows.values(), found.skipped, found.dropped, found.bytes, found.times_outside]
        if any(type(n) is not int or n < 0 for n in counts):
            raise ValueError("the coverage has no counts")
        cells: Any = found.cells
        if isinstance(cells, list):
            same = _ranges(cells)
            found.cells = dict.fromkeys(found.rows, same)
        else:
            found.cells = {path: _ranges(cells[path]) for path in found.rows}
        return found


def _ranges(listed: Any) -> Ranges:
    out = tuple((lo, hi) for lo, hi in listed)
    if any(type(n) is not int for pair in out for n in pair):
        raise ValueError("ranges of hashes are integers")
    edges = [n for pair in out for n in pair]
    if any(a >= b for a, b in pairwise(edges)) or edges[:1] < [0] or edges[-1:] > [HASHES]:
        raise ValueError("impossible ranges of hashes")
    return out
