"""How many points came to a stream, or were taken from it, since a commit."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.catalogue import Catalogue, Record


@dataclass
class NewPoints:
    """Counts the points of a stream's commits; each record of the log is read once."""

    catalogue: Catalogue
    stream: str
    _after: int = 0
    _counted: int = 0
    _count: int = 0

    def between(self, after: int, newest: int) -> int:
        """The points of the commits behind ``after``, up to ``newest``; from the beginning (0) those that are there."""
        if not 0 < after <= newest:  # nothing was seen yet, or it was another log
            return self.catalogue.record(self.stream, newest).totals.rows if newest else 0
        if after != self._after:
            self._after, self._counted, self._count = after, after, 0
        if newest > self._counted:
            for record in self.catalogue.records(self.stream, self._counted):
                if record.seq <= newest:
                    self._counted = record.seq
                    self._count += _points(record)
        return self._count


def _points(record: Record) -> int:
    brought = sum(file.rows for file in record.adds)
    if record.source is not None:
        return brought
    # Of an undo and an erasure, what is taken away; of upkeep, which replaces files by others, nothing.
    return abs(brought - sum(gone.rows for gone in record.dels))
