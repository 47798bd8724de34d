"""The day index: a cache of the log up to a watermark, with a directory of the rows it must have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from runtime.catalogue import day_rows
from runtime.catalogue.checked_rows import CHECKED
from runtime.catalogue.day_rows import DayFiles
from runtime.catalogue.items.entries import DAY, Deletion, FileEntry, Record, day_name
from runtime.catalogue.items.item_bytes import dump, load
from runtime.catalogue.key_value import (
    Check,
    ConditionFailed,
    Item,
    Put,
    Row,
    Steps,
    WriteCondition,
    get,
    query,
    scan,
    transact,
)
from runtime.catalogue.log import LogSteps
from runtime.errors import IncompleteResult

MAX_TRANSACTION = 3_500_000
"""Maximum bytes of all bodies in one transaction: DynamoDB accepts 4 MB including overhead."""

FEW = 3
"""Rows of a day that are read one by one."""

Node = Mapping[str, int]
"""A node of the directory: for each year, month or day below it the last commit that touched it."""


@dataclass(frozen=True)
class Mark:
    """The watermark: every record up to ``seq`` is completely in the day index.

    ``years`` is the root of the directory as of ``seq``; None while the index has an earlier version.
    """

    seq: int
    years: Node | None

    def payload(self) -> bytes:
        """The watermark as an item's payload."""
        return dump({"seq": self.seq} if self.years is None else {"seq": self.seq, "years": dict(self.years)})


class IndexSteps(LogSteps):
    """Reading the day index, and bringing it up to date."""

    def mark(self) -> Steps[Mark | None]:
        """The watermark; it exists from the first commit on."""
        mark = yield from self._mark()
        if mark is None or mark.years is not None:
            return mark
        head = yield from self.head()
        if head is not None and head.sealed:  # perhaps only after the watermark was read
            mark = yield from self._mark()
            if mark is None or mark.years is None:
                raise self.damaged("watermark", "it has no directory")
        return mark

    def _mark(self) -> Steps[Mark | None]:
        payload = yield from self.item("WM", "WM")
        if payload is None:
            return None
        data = load(payload, f"watermark of stream {self.stream!r}")
        try:
            return Mark(int(data["seq"]), _node(data["years"]) if "years" in data else None)
        except (KeyError, TypeError, ValueError) as error:
            raise self.damaged("watermark", str(error)) from error

    # The directory

    def node(self, prefix: str, seq: int) -> Steps[Node]:
        """The node of a year or a month as of commit ``seq``."""
        key = node_key(prefix, seq)
        payload = yield from self.item("DIR", key)
        if payload is None:
            raise self.damaged("day index", f"its directory has no entry {key}")
        data = load(payload, f"directory entry {key} of stream {self.stream!r}")
        try:
            return _node(data["under"])
        except (KeyError, TypeError, ValueError) as error:
            raise self.damaged(f"directory entry {key}", str(error)) from error

    def directory(self, years: Node, first: int, last: int) -> Steps[dict[int, int]]:
        """Maps each day from ``first`` to ``last`` that was ever written to its last commit."""
        low, high = (day_name(first), day_name(last)) if first <= last else ("1", "0")
        days: dict[int, int] = {}
        for year, seq in sorted(years.items()):
            if low[:4] <= year <= high[:4]:
                for month, touched in sorted((yield from self.node(year, seq)).items()):
                    if low[:7] <= month <= high[:7]:
                        for day, latest in (yield from self.node(month, touched)).items():
                            if low <= day <= high:
                                days[day_rows.day_number(day)] = latest
        return dict(sorted(days.items()))

    # Bringing it up to date

    def catch_up(self) -> Steps[int]:
        """Apply the log to the day index as far as it goes; returns the watermark reached.

        Concurrent processes are safe: each row of record n is written on the condition that the watermark is below n,
        so a slow process never replaces a newer row by an older one. An index of an earlier version is brought to the
        end of that version's records; ``sealing`` does the rest.
        """
        while True:
            mark = yield from self.mark()
            tail = yield from self.records_after(0 if mark is None else mark.seq)
            if not tail:
                return 0 if mark is None else mark.seq
            if mark is None and tail[0].version > 1:
                mark = yield from self.mark()  # written with the first commit, which may have happened in between
                if mark is None:
                    raise self.damaged("watermark", "it is missing")
                continue
            years = None if mark is None else mark.years
            if years is None and tail[0].version > 1:
                return tail[0].seq - 1
            try:
                for record in tail:
                    if years is None and record.version > 1:
                        break
                    years = yield from self.apply(record, years)
            except ConditionFailed:
                continue  # another process was faster: continue from its watermark

    def apply(self, record: Record, years: Node | None) -> Steps[Node | None]:
        """Write the rows of one record, then advance the watermark to it (with the last rows, if they fit).

        ``years`` is the directory's root before the record; the result is the one after it.
        """
        puts, years = yield from self._changes(record, years)
        *early, last = in_batches(puts, self.most - 1)
        for batch in early:
            yield from transact([*batch, *self._mark_check(record)])
        yield from transact([*last, self._mark_put(record, years)])
        return years

    def _mark_check(self, record: Record) -> list[Check]:
        return [Check(self.partition("WM"), "WM", WriteCondition.BELOW, record.seq)]

    def _mark_put(self, record: Record, years: Node | None) -> Put:
        return self.put("WM", "WM", Mark(record.seq, years).payload(), WriteCondition.BELOW, record.seq, record.seq)

    def _changes(self, record: Record, years: Node | None) -> Steps[tuple[list[Put], Node | None]]:
        """A record's changes of the index and its directory: the same for every process that applies it."""
        changed = by_day(record)
        if years is None:
            return (yield from self._rows(record, None)), None
        months: dict[str, dict[str, int]] = {}
        above: dict[str, dict[str, int]] = {}
        for name in map(day_name, changed):
            year, month = name[:4], name[:7]
            if year not in above:
                above[year] = dict((yield from self.node(year, years[year]))) if year in years else {}
            if month not in months:
                held = above[year].get(month)
                months[month] = {} if held is None else dict((yield from self.node(month, held)))
        before = {
            day: latest for day in changed if (latest := months[day_name(day)[:7]].get(day_name(day))) is not None
        }
        puts = yield from self._rows(record, before)
        for name in map(day_name, changed):
            months[name[:7]][name] = above[name[:4]][name[:7]] = record.seq
        nodes = sorted({**months, **above}.items())
        puts += [self.put("DIR", node_key(prefix, record.seq), node_payload(under)) for prefix, under in nodes]
        return puts, {**years, **dict.fromkeys(above, record.seq)}

    def _rows(self, record: Record, before: Mapping[int, int] | None) -> Steps[list[Put]]:
        """The index rows of a record; ``before`` are the last commits to its days, from the directory."""
        puts: list[Put] = []
        for day, (adds, dels) in by_day(record).items():
            partition = self.partition(day_rows.partition_of(day))
            totals = yield from self._totals(day, record.seq, before)
            totals = totals.shifted(adds, dels)
            for file in adds:
                puts.append(self.row_put(day_rows.row_key(day, file.seq, file.ordinal), day_rows.pack(file, totals)))
            if not adds:
                key = day_rows.marker_key(day, record.seq)
                puts.append(self.row_put(key, day_rows.pack_marker(day, record.seq, totals)))
            there = yield from self._replaced_rows(partition, day, dels)
            for gone in dels:
                key = day_rows.row_key(day, gone.seq, gone.ordinal)
                found = there.get(key)
                if found is None:
                    raise IncompleteResult(
                        f"the day index of stream {self.stream!r} lacks {gone.path!r}, which commit {record.seq} "
                        "replaces: run `dataflow recover` on the store."
                    )
                if before is not None:
                    day_rows.check_seal(partition, key, *found)
                puts.append(self.row_put(key, day_rows.deleted(found[1], record.seq)))
        return puts

    def _replaced_rows(self, partition: str, day: int, dels: Sequence[Deletion]) -> Steps[dict[str, Item]]:
        """The rows of these files of a day, by key, as far as they are there: one query if they are many."""
        keys = sorted(day_rows.row_key(day, gone.seq, gone.ordinal) for gone in dels)
        if len(keys) > FEW:
            rows: list[Row] = yield from query(partition, keys[0], keys[-1] + "~")
            return {sort: (number, body) for sort, number, body in rows}
        there: dict[str, Item] = {}
        for key in keys:
            found = yield from get(partition, key)
            if found is not None:
                there[key] = found
        return there

    def _totals(self, day: int, seq: int, before: Mapping[int, int] | None) -> Steps[day_rows.DayTotals]:
        """The day's totals before commit ``seq``, from its last row; it has none if no commit has touched it."""
        if before is not None and day not in before:
            return day_rows.DayTotals()
        partition = self.partition(day_rows.partition_of(day))
        low, high = day_rows.row_key(day, 0, 0), day_rows.row_key(day, seq, 0)
        found: list[Row] = yield from query(partition, low, high, last=True)
        heads = [day_rows.head_of(body) for _, _, body in found]
        if before is not None:
            for row in found:
                day_rows.check_seal(partition, *row)
            if [int(head["add_seq"]) for head in heads] != [before[day]]:
                raise self.damaged("day index", f"the last row of {day_name(day)} is missing")
        return day_rows.head_totals(heads[0]) if heads else day_rows.DayTotals()

    def row_put(self, key: str, row: bytes) -> Put:
        """A put of a row, with its seal."""
        partition = self.partition(f"DAY#{key[:7]}")
        return Put(partition, key, day_rows.sealed(partition, key, row))

    # Reading

    def index_rows(self, days: Mapping[int, int] | None, first: int, last: int) -> Steps[DayFiles]:
        """The rows of the day index for the days ``first`` to ``last``, in the order (day, seq, ordinal).

        ``days`` are those that the directory has in this range; None if there is no directory.
        """
        parts: list[tuple[bytes, bytes]] = []
        for low, high in spans(range(first, last + 1) if days is None else sorted(days)):
            partition = self.partition(day_rows.partition_of(low))
            part = yield from scan(partition, day_name(low), day_name(high) + "#~", day_rows.HEAD_SIZE)
            if days is not None:
                CHECKED.check(partition, part)
            parts.append(part)
        files = DayFiles.of(parts)
        if not files.ordered():
            raise self.damaged("day index", "its rows are not in order")
        return files


def node_key(prefix: str, seq: int) -> str:
    """The sort key of a node of the directory."""
    return f"{prefix}#{seq:012d}"


def node_payload(under: Node) -> bytes:
    """A node as an item's payload."""
    return dump({"under": dict(sorted(under.items()))})


def _node(data: object) -> Node:
    if not isinstance(data, dict) or not all(isinstance(seq, int) and seq > 0 for seq in data.values()):
        raise TypeError("it is no directory")
    return {str(name): int(seq) for name, seq in data.items()}


def spans(days: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The first and last of the (ascending) days in each calendar month."""
    for _, month in groupby(days, day_rows.partition_of):
        held = list(month)
        yield held[0], held[-1]


def in_batches(puts: Sequence[Put], most: int) -> list[list[Put]]:
    """The puts in batches for one transaction each, in their order; at least one batch, which may be empty."""
    batches: list[list[Put]] = [[]]
    size = 0
    for put in puts:
        size += len(put.body)
        if len(batches[-1]) >= most or (size > MAX_TRANSACTION and batches[-1]):
            batches.append([])
            size = len(put.body)
        batches[-1].append(put)
    return batches


def by_day(record: Record) -> dict[int, tuple[list[FileEntry], list[Deletion]]]:
    """A record's changes for each day it touches."""
    days: dict[int, tuple[list[FileEntry], list[Deletion]]] = defaultdict(lambda: ([], []))
    for file in record.adds:
        days[file.day][0].append(file)
    for gone in record.dels:
        days[gone.day][1].append(gone)
    return dict(sorted(days.items()))


def day_range(first: int, last: int, since: int | None, until: int | None) -> tuple[int, int]:
    """The days of event times in [since, until), clipped to those of ``first`` to ``last``."""
    low = first if since is None else max(first, since)
    high = last if until is None else min(last, until - 1)
    return low // DAY, high // DAY if low <= high else low // DAY - 1
