"""Calendar buckets and zone offsets as tables that kernels search, always for all times from 1900 to 2261.

``operators.kernels.times.calendar`` describes their layout.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dataflow.times.durations import Every, parse_every
from dataflow.times.zones import ZoneClock, clock_of
from operators.errors import DataflowError
from operators.kernels.times.calendar import COLUMNS, DAY, END, FIRST, GRID

YEARS = "the years 1900 to 2261"
"""The supported years, for messages."""

_EVER = 2**62
_MONTH = 2_629_746_000_000
"""Microseconds of the mean Gregorian month."""

_WEEKS = -3
"""Weeks start on Mondays; 1970-01-01 was a Thursday."""

_EARLIEST = -65_000 * DAY
"""A time before the start of any window of up to a century that contains a bucket of 1900."""

Table = tuple[NDArray[np.int64], int, int]


def known_time(t: int, where: str) -> int:
    """The time ``t``, in microseconds UTC; DataflowError naming ``where`` unless it lies in ``YEARS``."""
    if not FIRST <= t < END:
        raise DataflowError(f"{where}: {np.datetime64(t, 'us')}Z is outside of {YEARS}, the range that queries support")
    return t


@lru_cache(maxsize=64)
def offset_table(zone: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The offsets of ``zone`` from UTC: ``(changes, offsets)``; see ``operators.kernels.times.calendar``."""
    clock = clock_of(zone)
    changes = np.append(clock.changes, _EVER)
    return changes, np.concatenate([clock.offsets, clock.offsets[-1:], _places(clock.changes)])


def _places(changes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The index of the last change at every point of the grid."""
    grid = FIRST + (np.arange(((END - FIRST) >> GRID) + 1) << GRID)
    return np.searchsorted(changes, grid, side="right").astype(np.int64) - 1


@lru_cache(maxsize=64)
def bucket_table(every_text: str, zone: str, around: int = 0) -> Table:
    """The table in which kernels find buckets: ``(edges, width, origin)``; see ``operators.kernels.times.calendar``.

    It also has the edges of ``around`` buckets before and after the supported years.
    """
    every = parse_every(every_text, "truncate")
    if every.micros and zone == "UTC":
        return np.zeros(0, np.int64), every.micros, (_first_day(every) if every.days else 0) * DAY + every.offset
    if every.micros and not every.days:
        return _clock_table(every.micros, clock_of(zone))
    first, last = (FIRST - every.offset) // DAY - 1, END // DAY + 1
    if every.months:
        # Local dates differ from those of UTC by a day at most.
        before = (1900 - 1970) * 12 - 1 - (every.months if every.offset else 0)
        edges = _month_starts(every, zone, before, (2262 - 1970) * 12 + 1, around)
        return edges, 0, every.months * _MONTH
    anchor, n = _first_day(every), every.days
    numbers = np.arange((first - anchor) // n - around, -((anchor - last) // n) + around + 1)
    return _distinct(clock_of(zone).day_starts(anchor + numbers * n, every.offset)), 0, n * DAY


def _first_day(every: Every) -> int:
    """A day on which a bucket of days starts."""
    return _WEEKS - -every.week_start % 7 if every.unit == "w" else 0


def _month_starts(every: Every, zone: str, first: int, last: int, around: int) -> NDArray[np.int64]:
    n = every.months
    numbers = np.arange(first // n - around, -(-last // n) + around + 1) * n
    # The bucket exceeds the range of microseconds (146,000 years): nothing comes before or after it.
    numbers = numbers[np.abs(numbers) < _EVER // _MONTH - 1200]
    days = numbers.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return _distinct(clock_of(zone, max(2400, 1971 + int(numbers[-1]) // 12)).day_starts(days, every.offset))


def _distinct(edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ascending edges without duplicates: a day that a zone skips starts with the next one."""
    out: NDArray[np.int64] = edges[np.append(True, edges[1:] > edges[:-1])]
    return out


def _clock_table(width: int, clock: ZoneClock) -> Table:
    """Buckets that divide a day: an edge is every instant at which the clock shows a multiple of ``width`` or a local
    day begins. A wall time that the clock skips has no edge, one that it repeats has two."""
    begin = max(int(np.searchsorted(clock.changes, _EARLIEST, side="right")) - 1, 0)
    changes, offsets = clock.changes[begin:].copy(), clock.offsets[begin:]
    changes[0] = _EARLIEST // DAY * DAY - offsets[0]
    local = changes + offsets
    starts = clock.day_starts(local // DAY) == changes
    ends = np.append(changes[1:], _EVER)
    multiple = -(-local // width) * width - offsets
    n = len(changes)
    firsts, bases, numbers = ([0] * (n + 1) for _ in range(3))
    firsts[n] = _EVER
    for i in range(n - 1, -1, -1):
        found = int(changes[i]) if starts[i] else int(multiple[i])
        firsts[i] = found if found < ends[i] else firsts[i + 1]
    bases[0] = firsts[0]
    for i in range(1, n):
        offset, first = int(offsets[i - 1]), firsts[i - 1]
        before = (int(changes[i]) - 1 + offset) // width
        count = before - (first + offset) // width + 1 if first < changes[i] else 0
        numbers[i] = numbers[i - 1] + count
        bases[i] = max(before * width - offset, first) if count else bases[i - 1]
        bases[i] = firsts[i] if firsts[i] == changes[i] else bases[i]
    # From here on all edges are multiples of the width in UTC, too.
    regular = np.flatnonzero((offsets % width != 0) | (starts & (changes % width != 0)))
    k = int(regular[-1]) + 1 if len(regular) else 0
    if k == 0:
        return np.zeros(0, np.int64), width, 0
    if k < n:
        shift = firsts[k] // width - numbers[k]
        numbers = [number + shift for number in numbers]
    m = min(k + 1, n)
    rows = np.zeros((m + 1, COLUMNS), np.int64)
    columns = (changes, offsets, *(np.array(c, np.int64) for c in (bases, firsts, numbers)))
    for j, values in enumerate(columns):
        rows[:m, j] = values[:m]
    rows[m] = _EVER
    places = 2 + COLUMNS * np.minimum(_places(changes), m - 1)
    return np.concatenate([np.array([firsts[k], m], np.int64), rows.ravel(), places]), width, 0


def bucket_edges(every_text: str, zone: str, since: int, until: int, most: int) -> NDArray[np.int64]:
    """The starts of all buckets from the one that starts at ``since`` on that start before ``until``.

    At most the first ``most + 1`` buckets.
    """
    edges, width, origin = bucket_table(every_text, zone)
    if width == 0:
        lo, hi = np.searchsorted(edges, [since, until])
        return edges[lo : min(hi, lo + most + 1)]
    regular = max(since, int(edges[0])) if len(edges) else since
    out = [np.zeros(0, np.int64)]
    if since < regular:
        out.append(_clock_edges(edges, width, since, min(until, regular), most))
    begin = -((origin - regular) // width) * width + origin
    count = min(max(0, -((begin - until) // width)), most + 1)
    return np.concatenate([*out, begin + width * np.arange(count)])[: most + 1]


def _clock_edges(table: NDArray[np.int64], width: int, since: int, until: int, most: int) -> NDArray[np.int64]:
    rows = table[2 : 2 + COLUMNS * (int(table[1]) + 1)].reshape(-1, COLUMNS)
    out: list[int] = []
    for (change, offset, _, first, _), (end, *_) in zip(rows[:-1].tolist(), rows[1:].tolist(), strict=True):
        lo, hi = max(change, since), min(end, until)
        if lo < hi and len(out) <= most:
            begin = -(-(lo + offset) // width) * width - offset
            count = min(max(0, -((begin - hi) // width)), most + 1)
            out += ([first] if first == lo and first != begin else []) + (begin + width * np.arange(count)).tolist()
    return np.array(out, np.int64)


def longest_bucket(every_text: str) -> int:
    """An upper bound, in microseconds, of the length of a bucket in any zone."""
    every = parse_every(every_text, "truncate")
    # Clocks go back by an hour or so; no zone has ever repeated more than a day.
    return (every.micros or every.months * 31 * DAY) + DAY


@lru_cache(maxsize=64)
def most_buckets(every_text: str, zone: str, length: int) -> int:
    """An upper bound of the number of buckets that have an instant in common with a span of ``length`` microseconds,
    both ends included, wherever it lies."""
    edges, width, _ = bucket_table(every_text, zone)
    if width == 0:
        before = np.searchsorted(edges, edges - length)
        return int((np.arange(len(edges)) - before).max()) + 2
    cuts = 0
    if len(edges):
        # Every change of the offset may cut a bucket in two, or begin one.
        changes = edges[2 : 2 + COLUMNS * int(edges[1])].reshape(-1, COLUMNS)[:, 0]
        before = np.searchsorted(changes, changes - length)
        cuts = 2 * (int((np.arange(len(changes)) - before).max()) + 1)
    return length // width + 2 + cuts
