"""Which ranges of a point file are fetched: for the reader, and for those who count its reads before they are made."""

from __future__ import annotations

from collections.abc import Iterable

TAIL = 128 * 1024
"""Bytes at the end of a file that are read when it is opened."""

GAP = 64 * 1024
"""Ranges are coalesced where the gap between them is at most this many bytes."""

Span = tuple[int, int, int]
"""A slot of the directory and the bytes [begin, end) of its chunks."""


def tail_bytes(size: int, gap: int) -> int:
    """How many bytes of a file of ``size`` bytes opening it reads: all of a file that is not longer."""
    return min(size, max(TAIL, gap))


def grouped(spans: Iterable[Span], gap: int) -> list[list[Span]]:
    """The spans that are not empty, in their order, in groups that one read each fetches: less than ``gap`` bytes lie
    between the spans of a group."""
    groups: list[list[Span]] = []
    for span in spans:
        if span[1] == span[2]:
            continue
        if groups and span[1] - groups[-1][-1][2] <= gap:
            groups[-1].append(span)
        else:
            groups.append([span])
    return groups
