"""Cached states of whole days, for plans whose rows do not depend on earlier rows: one per day (or run of days that
share files), and one of many days."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from runtime.catalogue import FileEntry
from runtime.errors import FormatError, IncompleteResult
from runtime.published.state_cache import Shelf, contents
from runtime.query.merge.merging import merge_states
from runtime.query.merge.state_form import checked
from runtime.query.plan.prepare import Prepared
from runtime.query.scan.scanning import scan_order
from runtime.query.stages.query_table import joined as joined_tables
from runtime.query.task import state_bytes
from runtime.query.task.coverage import WHOLE, Coverage
from runtime.query.task.partial import Partial, summed

SPAN = 8
"""From this many days on, one merged state is cached as well, to save merging theirs every time."""


@dataclass(frozen=True)
class Days:
    """The files of a run of UTC days that no file crosses, in groups; mostly of a single day.

    ``contents`` identify the rows of every prefix of the groups; ``whole``: all rows are in the range.
    """

    first: int
    last: int
    groups: tuple[tuple[FileEntry, ...], ...]
    contents: tuple[str, ...]
    whole: bool

    @classmethod
    def of(cls, p: Prepared, files: Sequence[FileEntry]) -> Days:
        """The days of these files."""
        groups: list[tuple[FileEntry, ...]]
        if _unordered(p):
            # If rows are independent, so are files. Late ones come last, and those of a compaction hold earlier rows.
            groups = [(f,) for f in sorted(files, key=lambda f: (not f.compacted, f.seq, f.ordinal))]
        else:
            groups = scan_order(files, p.id_column)
        whole = all(p.since <= f.t_min and f.t_max < p.until for f in files)
        first, last = min(f.day for f in files), max(map(last_day, files))
        return cls(first, last, tuple(groups), tuple(contents(groups, p.unordered)), whole)

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """All of its files."""
        return tuple(f for g in self.groups for f in g)

    def known(self, p: Prepared, shelf: Shelf) -> Partial | None:
        """The cached state of the longest prefix of its groups; or that of its days, if each was cached alone."""
        for n, contents_of in self._cached(shelf):
            parts = [_partial(shelf.get(content), content, p) for content in contents_of]
            found = [q for q in parts if q is not None]
            if len(found) == len(parts):
                joined = together(p, found, self.contents[n - 1])
                if (state := of_files(joined, self.groups[:n])) is not None:
                    return state
        return None

    def _cached(self, shelf: Shelf) -> Iterator[tuple[int, list[str]]]:
        """Prefixes of the groups, longest first, each with contents of cached states that add up to it."""
        if not self.whole:
            return
        tiles = shelf.tiles(self.first, self.last) if self.first != self.last else {}
        for n in range(len(self.groups), 0, -1):
            content = self.contents[n - 1]
            if content in shelf:
                yield n, [content]
            if len(tiles.get(content, ())) > 1:
                yield n, tiles[content]

    def beyond(self, known: Partial | None) -> tuple[FileEntry, ...]:
        """The files that must still be read."""
        rows = {} if known is None else known.coverage.rows
        return tuple(f for f in self.files if f.path not in rows)

    def unread(self, shelf: Shelf) -> int:
        """Bytes of the files without a cached state."""
        known = next((n for n, _ in self._cached(shelf)), 0)
        return sum(f.bytes for g in self.groups[known:] for f in g)


def last_day(file: FileEntry) -> int:
    """The UTC day of a file's last event time."""
    return file.day + file.days - 1


def days_of(p: Prepared) -> list[Days]:
    """The planned files in runs of days that no file crosses, in order."""
    runs: list[list[FileEntry]] = []
    end = None
    for f in sorted(p.files, key=lambda f: (f.day, f.seq, f.ordinal)):
        if end is None or f.day > end:
            runs.append([])
            end = f.day
        runs[-1].append(f)
        end = max(end, last_day(f))
    return [Days.of(p, files) for files in runs]


def first_days(p: Prepared, shelf: Shelf, days: Sequence[Days], chain: Sequence[str]) -> tuple[int, Partial | None]:
    """The longest prefix of ``days`` with one cached state: its length and the state; ``chain`` are their contents."""
    for n in range(len(days), 0, -1):
        content = chain[n - 1]
        found = _partial(shelf.get(content), content, p) if content in shelf else None
        if found is not None and (state := of_files(found, [d.files for d in days[:n]])) is not None:
            return n, state
    return 0, None


def together(p: Prepared, partials: Sequence[Partial], content: str) -> Partial:
    """One partial state merged from several, named by their files."""
    if len(partials) == 1:
        return replace(partials[0], task=content)
    coverage = Coverage()
    for q in partials:
        coverage.add(q.coverage)
    sink, tally = p.plan.stages[-1].sink, summed(q.tally for q in partials)
    with checked(p.plan, partials):
        if (group := sink.grouping()) is not None:
            states = [q.groups for q in partials if q.groups is not None]
            return Partial(content, merge_states(group, states), None, coverage, partials[0].kernels, tally)
        table = joined_tables([q.table for q in partials if q.table is not None]).compact()
        return Partial(content, None, table, coverage, partials[0].kernels, tally)


def packed(state: Partial) -> bytes:
    """A state as it is cached: known by the content that names it, not by files."""
    return state_bytes.pack(replace(state, coverage=state.coverage.as_one(state.task)))


def of_files(state: Partial, groups: Iterable[Iterable[FileEntry]]) -> Partial | None:
    """The state with the coverage of the files that hold its rows now; None if they have another number of rows."""
    rows = {f.path: f.rows for g in groups for f in g}
    if not covers([state.coverage], sum(rows.values())):
        return None
    one = state.coverage.as_one(state.task)
    return replace(state, coverage=one.of_files(rows))


def covers(coverage: Iterable[Coverage], rows: int) -> bool:
    """Whether the coverage is, in all, that of so many rows of all keys."""
    total = Coverage()
    try:
        for c in coverage:
            total.add(c)
    except IncompleteResult:
        return False
    return all(ranges == WHOLE for ranges in total.cells.values()) and sum(total.rows.values()) == rows


def _unordered(p: Prepared) -> bool:
    """Whether overlapping files may be folded one by one: no duplicates, and order does not matter."""
    sink = p.plan.stages[-1].sink
    plain = all(s.duplicates == "keep" and s.id is None for s in p.schemas.values())
    return plain and sink.grouping() is not None and not any(a.aggregate.flags.ordered for a in sink.aggregates)


def _partial(data: bytes | None, content: str, p: Prepared) -> Partial | None:
    """A cached state of these rows; None if it is damaged, or of another form."""
    if data is None:
        return None
    try:
        found = state_bytes.unpack(data, content)
    except (FormatError, ValueError, KeyError, TypeError):
        return None
    kernels = tuple(k.digest for k in p.compiled.kernels)
    return found if list(found.coverage.rows) == [content] and found.kernels == kernels else None
