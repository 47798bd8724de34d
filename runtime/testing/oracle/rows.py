"""Rows and tables: what every step of the oracle takes and returns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Value = bool | int | float | str | Decimal | None
Json = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One row: a point, an interval, a session, a window or a group.

    ``time`` orders the rows of a key (a point's event time, the start of anything that lasts) and ``seq`` breaks
    ties. ``end`` and ``known`` are for rows that last. A ``ghost`` is the time before a key's first point: it counts in
    ``unknown_time`` and nowhere else.
    """

    key: str | int | None
    time: int
    seq: int
    values: dict[str, Value]
    end: int = 0
    known: bool = True
    ghost: bool = False
    early: str = ""
    """``before``, ``cut`` or ``part``: how a row that a step made stands to the begin of the range (``past.py``)."""

    begin: int | None = None
    """Of a piece of an interval: when that began."""

    clock: int | None = None
    """The instant of an interval at which it is looked at."""

    @property
    def is_whole(self) -> bool:
        """Whether it is an interval, or the first piece of one."""
        return self.begin is None or self.begin == self.time

    @property
    def length(self) -> int:
        """How long the row lasts, in microseconds."""
        return self.end - self.time


@dataclass(frozen=True)
class Table:
    """Rows of one kind, ordered by (key, time, seq) or as sorted, and the type of each column by name.

    Kinds: ``points`` (also those before ``since``, for what they carry in), ``intervals``, ``sessions`` (and windows),
    ``plain`` (groups, and whatever was sorted or limited).
    """

    kind: str
    rows: list[Row]
    types: dict[str, str | None] = field(default_factory=dict)
    whole: list[Row] = field(default_factory=list)
    """Of rows that a step made: those that it makes without ``since``."""

    @property
    def past(self) -> Table:
        """The rows before the range, which what looks back sees, too."""
        return Table(self.kind, [row for row in self.whole if row.early], self.types)

    def by_key(self) -> Iterator[list[Row]]:
        """The rows of one key after the other, keys ascending, each in order of (time, seq)."""
        found: dict[Any, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.key, []).append(row)
        for key in sorted(found):
            yield sorted(found[key], key=lambda row: (row.time, row.seq))
