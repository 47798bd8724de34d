"""Which queries read a carry snapshot, from which day on, and how one is made.

A plan with ``Plan.carried`` needs, of the rows before the range, only the last ones of each key. A query whose files
before the range are much more work than the others reads a snapshot of those rows instead, and the files from its day
on. A snapshot's day is one that no file crosses: then repeats (of one time, or of an id on one day) are never on both
sides of it, and neither is any row.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import accumulate

from operators.errors import DataflowError
from operators.types import Type
from runtime.catalogue import FileEntry, StreamSchema
from runtime.catalogue.items.entries import DAY, stream_of
from runtime.errors import FormatError, StoreError
from runtime.query.carry.kept import CarryShelf, Kept, family
from runtime.query.carry.last_rows import LastRows
from runtime.query.plan.prepare import CarriedIn, Prepared, StreamRead, carried_columns
from runtime.result.result import PartialResult, Result
from runtime.storage.open_store import OpenStore

FILE = 30_000
"""Rows that are read in the time that it takes to open a file."""

LEAST = 1_000_000
"""Rows that a snapshot must save, files counted as ``FILE`` rows each: some tens of milliseconds."""

TIMES = 1
"""How much more work the files that it saves must be than those that remain."""

SMALLER = 4
"""How many times fewer rows a snapshot must have than those that it stands for."""

_BACK = (1, 2, 4, 8, 16, 32)
"""Days before a snapshot's day of which others are kept, for late data."""

_MODULUS = 1 << 256


def with_carry_in(
    store: OpenStore, prepared: Prepared, workers: int, make: bool, run: Callable[[Prepared], Result]
) -> Result:
    """Run the query with what is carried in, where that pays. If that fails, as when a snapshot is deleted meanwhile,
    it runs without."""
    carried = carried_in(store, prepared, workers, make)
    if carried is prepared:
        return run(prepared)
    try:
        result = run(carried)
        if not isinstance(result, PartialResult):
            return result
    except DataflowError as error:
        # A fleet's worker names the object in its own error.
        if not isinstance(error, FormatError | StoreError) and "carry/" not in str(error):
            raise
    return run(prepared)


def carried_in(store: OpenStore, prepared: Prepared, workers: int, make: bool) -> Prepared:
    """The query that reads a snapshot and the files since then; itself where that does not pay, or if there is none and
    none is to be made (``make``) or can be."""
    if prepared.since >= prepared.until:
        return prepared
    first: list[FileEntry] = []
    rest: list[FileEntry] = []
    parts: list[tuple[str, CarriedIn]] = []
    for read in prepared.streams:
        stream = read.snapshot.stream
        files = [f for f in prepared.files if not prepared.several or stream_of(f.path) == stream]
        found = _carried_of(store, prepared, read, files, workers, make)
        if found is None:
            rest += files
            continue
        kept, before = found
        first += kept.files
        rest += before.since(kept.day)
        saved = tuple(before.between(None, kept.day))
        parts.append((stream, CarriedIn(kept.day, kept.rows, len(kept.files), saved)))
    if not parts:
        return prepared
    carried = parts[0][1]
    if prepared.several:
        each = [part for _, part in parts]
        rows, saved = sum(part.rows for part in each), tuple(f for part in each for f in part.saved)
        carried = CarriedIn(min(part.day for part in each), rows, len(first), saved, tuple(parts))
    return replace(prepared, files=(*first, *rest), carried=carried)


def _carried_of(
    store: OpenStore, prepared: Prepared, read: StreamRead, files: Sequence[FileEntry], workers: int, make: bool
) -> tuple[Kept, _Before] | None:
    """The snapshot that is read instead of the first of these files of a stream; None if there is none, or it does not
    pay."""
    needed = carried_columns(prepared.plan, read.snapshot.stream)
    if needed is None or read.history is not None:
        return None
    columns, as_is = needed
    if any(read.schema.columns[c] is Type.TIME for c in columns):
        # A stored time may be null to a query: ``dataflow.times.calendar_tables.YEARS``.
        return None
    if sum(f.rows + FILE for f in files) < LEAST:
        return None
    before = _Before(files)
    day = before.day_upto(prepared.since)
    if day is None or not before.pays(day):
        return None
    # Of several rows of one time, the last value of each column is kept: that of the last row, if none is null.
    alone = read.schema.duplicates == "latest"
    if not alone and any(f.nulls.get(c, 1) for f in before.between(None, day) for c in as_is):
        return None
    try:
        of = family(read.schema, columns, read.snapshot.floor, prepared.plan.plain)
        shelf = CarryShelf(store.objects, read.snapshot.stream, of)
        found = _found(shelf, before, day)
        far = found is None or before.work(found.day, day) > before.work(day) // 2
        if far and make and not _in_vain(found, before, day) and shelf.may_write():
            last = LastRows(read.schema, columns, store.open_file, workers, plain=prepared.plan.plain)
            found = _made(store, read.schema, last, shelf, before, found, day) or found
            shelf.tidy()
    except DataflowError:
        # The query itself says what is wrong, if anything is.
        return None
    if found is None or not found.files or not before.pays(found.day, found.rows + FILE * len(found.files)):
        return None
    return found, before


class _Before:
    """The files of a query in the order of their times, and what is before a day."""

    def __init__(self, files: Sequence[FileEntry]) -> None:
        self._files = sorted(files, key=lambda f: (f.t_min, f.seq, f.ordinal))
        self._begins = [f.t_min for f in self._files]
        self._ends = list(accumulate((f.t_max for f in self._files), max))
        self._work = [0, *accumulate(f.rows + FILE for f in self._files)]

    @cached_property
    def _sums(self) -> list[int]:
        return [0, *accumulate((f.content_hash for f in self._files), lambda a, b: (a + b) % _MODULUS)]

    def _at(self, day: int) -> int:
        return bisect_left(self._begins, day * DAY)

    def crossed(self, day: int) -> bool:
        """Whether a file has rows both before the day and later."""
        at = self._at(day)
        return at > 0 and self._ends[at - 1] >= day * DAY

    def day_upto(self, time: int) -> int | None:
        """The last day that begins at ``time`` at the latest and that no file crosses; None if nothing is before it."""
        day = time // DAY
        while (at := self._at(day)) and self.crossed(day):
            # No day after the beginning of a file that crosses this one will do.
            first = bisect_left(self._ends, day * DAY)
            day = min(self._begins[first] // DAY, day - 1)
        return day if at else None

    def work(self, first: int, end: int | None = None) -> int:
        """The work of reading the files from a day on, in rows."""
        return self._work[-1 if end is None else self._at(end)] - self._work[self._at(first)]

    def pays(self, day: int, more: int = 0) -> bool:
        """Whether the files before a day are much more work than the others and ``more``."""
        saved = self._work[self._at(day)]
        return saved >= LEAST and saved >= TIMES * (self.work(day) + more)

    def content(self, day: int) -> str:
        """What the files before a day are known by."""
        return f"{self._sums[self._at(day)]:064x}"

    def rows(self, day: int) -> int:
        """The rows before a day."""
        return sum(f.rows for f in self._files[: self._at(day)])

    def between(self, first: int | None, end: int) -> list[FileEntry]:
        """The files of the days from ``first`` (None: all) to before ``end``."""
        return self._files[0 if first is None else self._at(first) : self._at(end)]

    def since(self, day: int) -> tuple[FileEntry, ...]:
        """The files from a day on."""
        return tuple(self._files[self._at(day) :])


def _found(shelf: CarryShelf, before: _Before, upto: int) -> Kept | None:
    """The newest snapshot of the rows as they are, of ``upto`` or a day before."""
    for day in shelf.days():
        if day <= upto and not before.crossed(day) and (day, before.content(day)) in shelf:
            kept = shelf.get(day, before.content(day))
            if kept is not None:
                return kept
    return None


def _in_vain(found: Kept | None, before: _Before, day: int) -> bool:
    """Whether a snapshot would not pay, as one of similar rows did not."""
    return found is not None and not found.files and 2 * found.rows_before >= before.rows(day)


def _made(
    store: OpenStore,
    schema: StreamSchema,
    last: LastRows,
    shelf: CarryShelf,
    before: _Before,
    start: Kept | None,
    day: int,
) -> Kept | None:
    """The snapshot of ``day``, made from the one at ``start`` and the files since, with some of days between."""
    at = None
    if start is not None and start.files:
        last.add(start.files)
        at = start.day
    days = [day - back for back in reversed(_BACK) if at is None or day - back > at]
    made = None
    for end in [*(d for d in days if not before.crossed(d)), day]:
        files = before.between(at, end)
        if not files and end != day:
            continue
        with store.opened.ahead(files):
            last.add(files)
        at, rows = end, before.rows(end)
        # What is hardly smaller than the rows is not worth a snapshot; that this is known is kept.
        good = SMALLER * last.rows <= rows and last.plain
        if good or end == day:
            made = shelf.put(end, before.content(end), last.points() if good else None, schema, rows)
    return made
