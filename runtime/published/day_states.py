"""Cached states of whole days, for plans whose rows do not depend on earlier rows: one per day, and one of many
days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from runtime.catalogue import FileEntry
from runtime.errors import FormatError, IncompleteResult
from runtime.published.state_cache import Shelf, contents
from runtime.query.merge.merging import merge_states
from runtime.query.merge.state_form import checked
from runtime.query.plan.prepare import Prepared
from runtime.query.scan.scanning import scan_order
from runtime.query.stages.query_table import joined
from runtime.query.task import state_bytes
from runtime.query.task.coverage import WHOLE, Coverage
from runtime.query.task.partial import Partial, summed

SPAN = 8
"""From this many days on, one merged state is cached as well, to save merging theirs every time."""


@dataclass(frozen=True)
class Day:
    """The files of one UTC day, in groups; ``whole``: all their rows are in the range."""

    day: int
    groups: tuple[tuple[FileEntry, ...], ...]
    contents: tuple[str, ...]
    whole: bool

    @classmethod
    def of(cls, p: Prepared, day: int, files: tuple[FileEntry, ...]) -> Day:
        """The day with these files, in the order of their commits."""
        # If rows are independent, so are files, and a late file comes last.
        groups = [(f,) for f in files] if _unordered(p) else scan_order(files, p.schema.id)
        whole = all(p.since <= f.t_min and f.t_max < p.until for f in files)
        return cls(day, tuple(groups), tuple(contents(groups)), whole)

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """All of its files."""
        return tuple(f for g in self.groups for f in g)

    def known(self, p: Prepared, shelf: Shelf) -> Partial | None:
        """The cached state of the longest prefix of its groups."""
        if not self.whole:
            return None
        for n in range(len(self.groups), 0, -1):
            content = self.contents[n - 1]
            if content in shelf and (found := _partial(shelf.get(content), content, self.groups[:n], p)):
                return found
        return None

    def beyond(self, known: Partial | None) -> tuple[FileEntry, ...]:
        """The files that must still be read."""
        rows = {} if known is None else known.coverage.rows
        return tuple(f for f in self.files if f.path not in rows)

    def unread(self, shelf: Shelf) -> int:
        """Bytes of the files without a cached state."""
        known = max((n for n, c in enumerate(self.contents, 1) if c in shelf), default=0) if self.whole else 0
        return sum(f.bytes for g in self.groups[known:] for f in g)


def days_of(p: Prepared) -> list[Day]:
    """The days of the planned files."""
    ordered = sorted(p.files, key=lambda f: (f.day, f.seq, f.ordinal))
    return [Day.of(p, day, tuple(files)) for day, files in groupby(ordered, key=lambda f: f.day)]


def first_days(p: Prepared, shelf: Shelf, days: Sequence[Day], chain: Sequence[str]) -> tuple[int, Partial | None]:
    """The longest prefix of ``days`` with one cached state: its length and the state; ``chain`` are their contents."""
    for n in range(len(days), 0, -1):
        content = chain[n - 1]
        if content in shelf and (found := _partial(shelf.get(content), content, [d.files for d in days[:n]], p)):
            return n, found
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
        table = joined([q.table for q in partials if q.table is not None]).compact()
        return Partial(content, None, table, coverage, partials[0].kernels, tally)


def covers(coverage: Iterable[Coverage], groups: Iterable[Iterable[FileEntry]]) -> bool:
    """Whether the coverage is exactly all rows of these files."""
    total = Coverage()
    try:
        for c in coverage:
            total.add(c)
    except IncompleteResult:
        return False
    whole = all(ranges == WHOLE for ranges in total.cells.values())
    return whole and total.rows == {f.path: f.rows for g in groups for f in g}


def _unordered(p: Prepared) -> bool:
    """Whether overlapping files may be folded one by one: no duplicates, and order does not matter."""
    sink = p.plan.stages[-1].sink
    plain = p.schema.duplicates == "keep" and p.schema.id is None
    return plain and sink.grouping() is not None and not any(a.aggregate.flags.ordered for a in sink.aggregates)


def _partial(data: bytes | None, content: str, groups: Sequence[Sequence[FileEntry]], p: Prepared) -> Partial | None:
    if data is None:
        return None
    try:
        found = state_bytes.unpack(data, content)
    except (FormatError, ValueError, KeyError, TypeError):
        return None
    kernels = tuple(k.digest for k in p.compiled.kernels)
    return found if covers([found.coverage], groups) and found.kernels == kernels else None
