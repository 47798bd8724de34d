"""Which files are compacted together: the spans of a stream by its density, and tiers of files within a span.

A span is a calendar year (UTC) that has at most ``FULL`` rows, else a month that has so many, else a day; long rows
count as several (``weight``). Within a span
files of similar size are merged (the logarithmic method of Bentley and Saxe 1980, as in size-tiered LSM trees): each
merge takes ``FAN`` files or more of one tier with all smaller ones, so a row is written again at most once a tier, and
n rows in any number of files cost O(n log n). A span that the stream's newest event has passed is merged as a whole
when what came since has a fourth of its largest file's rows: such a merge costs at most five times what came.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from runtime.catalogue import FileEntry
from runtime.catalogue.items.entries import DAY

FULL = 1 << 20
"""Rows of a file that is large enough, and the most rows of a span that is longer than a day."""

ROW_BYTES = 64
"""Compressed bytes of a row that counts as one; of a file that is large enough: 64 MB."""

_DIRECTORY = 1 << 14
"""Bytes of a file that are not counted: mostly of its directory, which a compacted file has once."""

FAN = 8
"""Files of one tier that are merged; sizes of successive tiers differ by this factor."""

LATE = 4
"""Once a span has ended, all its files are merged whenever the others have a share 1/LATE of the largest one's rows."""

MOST_FILES = 2048
"""Files that are read together."""

_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, order=True)
class Span:
    """The times [begin, end), in microseconds UTC."""

    begin: int
    end: int


@dataclass(frozen=True)
class Job:
    """Files to replace by one for each span, more where that would have more than ``FULL`` rows."""

    files: tuple[FileEntry, ...]
    spans: tuple[Span, ...]


def weight(file: FileEntry) -> int:
    """The file's rows, or how many rows of ``ROW_BYTES`` it has the bytes of, if that is more."""
    return max(file.rows, (file.bytes - _DIRECTORY) // ROW_BYTES)


def spans_of(sizes: Iterable[tuple[int, int]]) -> list[Span]:
    """The spans of a stream, in order, that has so many rows on each day: pairs of day and rows, by weight."""
    days = sorted(_summed(sizes).items())
    years: Counter[int] = Counter()
    months: Counter[tuple[int, int]] = Counter()
    dates = {day: date.fromordinal(day + _EPOCH) for day, _ in days}
    for day, rows in days:
        years[dates[day].year] += rows
        months[dates[day].year, dates[day].month] += rows
    out: set[Span] = set()
    for day, _ in days:
        d = dates[day]
        if years[d.year] <= FULL:
            out.add(Span(_start(d.year, 1), _start(d.year + 1, 1)))
        elif months[d.year, d.month] <= FULL:
            out.add(Span(_start(d.year, d.month), _start(d.year + d.month // 12, d.month % 12 + 1)))
        else:
            out.add(Span(day * DAY, (day + 1) * DAY))
    return sorted(out)


def year_of(time: int) -> Span:
    """The calendar year of a time."""
    year = date.fromordinal(time // DAY + _EPOCH).year
    return Span(_start(year, 1), _start(year + 1, 1))


def due(files: Sequence[FileEntry], newest: int) -> list[Job]:
    """What is worth its cost now, of all files of some years; ``newest`` is the stream's last event time."""
    wide, within = _by_span(files)
    jobs = [Job((file,), spans) for file, spans in wide]
    for span, members in within.items():
        chosen = _due_within(members, span.end <= newest)
        if len(chosen) > 1:
            jobs.append(Job(_first(chosen), (span,)))
    return jobs


def all_due(files: Sequence[FileEntry]) -> list[Job]:
    """What makes the files as few and as disjoint as they can be; nothing if they are."""
    wide, within = _by_span(files)
    jobs = [Job((file,), spans) for file, spans in wide]
    for span, members in within.items():
        if not _is_done(members):
            jobs.append(Job(_first(sorted(members, key=lambda f: (f.rows, f.seq, f.ordinal))), (span,)))
    return jobs


def _summed(sizes: Iterable[tuple[int, int]]) -> dict[int, int]:
    out: dict[int, int] = {}
    for day, rows in sizes:
        out[day] = out.get(day, 0) + rows
    return out


def _start(year: int, month: int) -> int:
    """The beginning of a month; of the year after 9999 that of an imagined one."""
    if year > date.max.year:
        return (date.max.toordinal() + 1 - _EPOCH) * DAY
    return (date(year, month, 1).toordinal() - _EPOCH) * DAY


def _by_span(
    files: Sequence[FileEntry],
) -> tuple[list[tuple[FileEntry, tuple[Span, ...]]], dict[Span, list[FileEntry]]]:
    """The files that cross spans, with the spans; and the others by their span."""
    spans = spans_of((file.day, weight(file)) for file in files)
    begins = [span.begin for span in spans]
    wide: list[tuple[FileEntry, tuple[Span, ...]]] = []
    within: dict[Span, list[FileEntry]] = {span: [] for span in spans}
    for file in files:
        first = spans[bisect_right(begins, file.t_min) - 1]
        if file.t_max < first.end:
            within[first].append(file)
        else:
            wide.append((file, _crossed(file, first)))
    return wide, within


def _crossed(file: FileEntry, first: Span) -> tuple[Span, ...]:
    """The spans of the first one's length that the file may have rows in."""
    out = [first]
    length = (first.end - first.begin) // DAY
    while out[-1].end <= file.t_max:
        begin = out[-1].end
        d = date.fromordinal(begin // DAY + _EPOCH)
        if length > 31:
            end = _start(d.year + 1, 1)
        elif length > 1:
            end = _start(d.year + d.month // 12, d.month % 12 + 1)
        else:
            end = begin + DAY
        out.append(Span(begin, end))
    return tuple(out)


def _tier(size: int) -> int:
    tier = 0
    while FAN ** (tier + 1) <= size:
        tier += 1
    return tier


def _due_within(members: Sequence[FileEntry], closed: bool) -> list[FileEntry]:
    small = [unit for unit in _units(members) if _size(unit) < FULL]
    tiers = Counter(_tier(_size(unit)) for unit in small)
    top = max((tier for tier, count in tiers.items() if count >= FAN), default=-1)
    largest, total = max(map(_size, small), default=0), sum(map(_size, small))
    if closed and len(small) > 1 and LATE * (total - largest) >= largest:
        top = max(tiers, default=-1)
    chosen = [unit for unit in small if _tier(_size(unit)) <= top]
    return [file for unit in chosen for file in unit]


def _units(files: Sequence[FileEntry]) -> list[list[FileEntry]]:
    """The files, those of one compaction together: they are as few as they can be, however many."""
    out: dict[object, list[FileEntry]] = {}
    for file in files:
        out.setdefault(file.seq if file.compacted else file.path, []).append(file)
    return list(out.values())


def _size(unit: Sequence[FileEntry]) -> int:
    return sum(map(weight, unit))


def _first(files: Sequence[FileEntry]) -> tuple[FileEntry, ...]:
    return tuple(files[:MOST_FILES])


def _is_done(members: Sequence[FileEntry]) -> bool:
    """Whether the files of a span are as few as they can be: written by one compaction, or large and disjoint."""
    if len(members) < 2 or (members[0].compacted and len({file.seq for file in members}) == 1):
        return True
    ordered = sorted(members, key=lambda file: file.t_min)
    return all(a.t_max < b.t_min and weight(a) + weight(b) > FULL for a, b in pairwise(ordered))
