"""How the rows of several files are merged: what decides their order, and how many days at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from runtime.catalogue import FileEntry
from runtime.catalogue.items.entries import DAY, SEQ, order_of
from runtime.pointfile import PointFile

FEWEST, MOST = 1 << 20, 1 << 24
"""Rows that are merged at once, if their files cover several days: not fewer (but those that there are), and not many
more, unless a single day has more."""

_EVER = 1 << 62


def commit_orders(files: Sequence[tuple[FileEntry, PointFile]]) -> tuple[list[int], list[int | None] | None]:
    """The numbers of the files in commit order of their rows, and None if this order decides among rows of one time.

    Otherwise ``$seq`` decides: then its value in each file, in that order, or None where it is a column.
    """
    spans = [_orders_in(entry, file) for entry, file in files]
    numbers = sorted(range(len(files)), key=lambda i: (spans[i], files[i][0].seq, files[i][0].ordinal))
    if all(spans[a][1] < spans[b][0] for a, b in pairwise(numbers)):
        return numbers, None
    return numbers, [None if files[i][0].compacted else spans[i][0] for i in numbers]


def _orders_in(entry: FileEntry, file: PointFile) -> tuple[int, int]:
    """The least and the greatest ``$seq`` of a file's rows."""
    if not entry.compacted:
        return (order_of(entry.seq, entry.ordinal),) * 2
    chunks = file.chunks(SEQ)
    return int(chunks["vmin"].min()), int(chunks["vmax"].max())


def windows(files: Sequence[tuple[FileEntry, int]]) -> list[tuple[int, int]]:
    """Spans [lo, hi) of whole UTC days that are merged one after the other; together, they are all time.

    ``files`` with the number of rows to read of each. A file of several days is read once for each window, so windows
    have at least as many rows as these files together, up to a limit.
    """
    per_day: dict[int, float] = {}
    long = 0
    for entry, rows in files:
        days = entry.days
        long += rows if days > 1 else 0
        for day in range(entry.day, entry.day + days):
            per_day[day] = per_day.get(day, 0) + rows / days
    most = min(max(FEWEST, long), MOST)
    edges, held = [-_EVER], 0.0
    for day in sorted(per_day):
        if held and held + per_day[day] > most:
            edges.append(day * DAY)
            held = 0.0
        held += per_day[day]
    return list(pairwise([*edges, _EVER]))
