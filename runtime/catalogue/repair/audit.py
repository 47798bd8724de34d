"""Audits a stream's catalogue against its own log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from operators.errors import DataflowError
from runtime.catalogue import day_rows
from runtime.catalogue.aliases import alias_problems
from runtime.catalogue.commits import erased_key
from runtime.catalogue.day_rows import DayFiles
from runtime.catalogue.index import Mark, by_day
from runtime.catalogue.items.entries import (
    DAY,
    FIRST_DAY,
    LAST_DAY,
    FileEntry,
    Record,
    SourceEntry,
    Totals,
    day_name,
    shifted_hash,
)
from runtime.catalogue.items.item_bytes import load
from runtime.catalogue.key_value import KeyScan, Query, Steps, query
from runtime.catalogue.protocol import StreamSteps
from runtime.catalogue.snapshot import ReadSteps
from runtime.catalogue.sources import FIRST, Place, broken_links, is_dismissed, state_of
from runtime.errors import IncompleteResult

STATES = {
    "sources": "in the stream",
    "quarantined": "in quarantine",
    "undone": "taken back",
    "forgotten": "of before it was erased",
}
"""The totals that count the items in the list of sources."""

_COMMITS = ("seq", "undone", "dismissed", "retried")  # fields of such an item that name a commit


def live_files(records: Sequence[Record]) -> dict[tuple[int, int], FileEntry]:
    """The live files after these records (the log from its start), by (seq, ordinal): the simple model."""
    live: dict[tuple[int, int], FileEntry] = {}
    for record in records:
        for gone in record.dels:
            live.pop((gone.seq, gone.ordinal), None)
        live |= {(file.seq, file.ordinal): file for file in record.adds}
    return live


def audit_steps(steps: StreamSteps) -> Steps[list[str]]:
    """Problems of the log (gaps, totals, claims, sources) and of the day index against it, one sentence each."""
    where = f"stream {steps.stream!r}"
    try:
        return (yield from _audit(steps, where))
    except DataflowError as error:
        return [f"{where}: {error}"]


def records_steps(steps: StreamSteps, after: int = 0) -> Steps[list[Record]]:
    """The log beyond commit ``after``; FormatError unless it includes all acknowledged commits."""
    last, _ = yield from steps.last_record()
    records = yield from steps.records_after(after)
    end = records[-1].seq if records else after
    if last is not None and last.seq > end:
        raise steps.damaged("log", f"it has a gap after record {end}, yet it goes on to {last.seq}")
    return records


def sources_steps(steps: StreamSteps) -> Steps[list[SourceEntry]]:
    """All sources, in the order of their ids; FormatError when some are missing."""
    before, _ = yield from steps.last_record()
    rows = yield from query(steps.partition("SRC"))
    after, _ = yield from steps.last_record()
    found = [item for item in (yield from steps.opened("SRC", rows)) if item[0] != FIRST]
    least, most = (
        0 if record is None else sum(getattr(record.totals, state) for state in STATES) for record in (before, after)
    )
    if not least <= len(found) <= most:
        raise steps.damaged("list of sources", f"it has {len(found)}, not {most}")
    if after is None:
        return []
    items = [load(payload, f"source {sort}") for sort, _, payload in found]
    entries = [(SourceEntry.from_dict(data), int(data["seq"])) for data in items]
    return [entry for entry, seq in entries if state_of(entry, seq, after.totals) != "forgotten"]


def _audit(steps: StreamSteps, where: str) -> Steps[list[str]]:
    problems: list[str] = []
    head = yield from steps.head()
    mark = yield from steps.mark()
    newest, _ = yield from steps.last_record()
    if newest is None:
        return [f"{where} has no log"] if mark else []
    after = yield from steps.head()
    if after is not None and after.seq < newest.seq:
        problems.append(f"{where}: the head names commit {after.seq}, the log goes on to {newest.seq}")
    records = yield from steps.records_after(0)
    if newest.seq > len(records):
        problems.append(f"{where}: the log has a gap after record {len(records)}, yet it goes on to {newest.seq}")
    if mark is not None and mark.seq > len(records):
        problems.append(f"{where}: the day index is said to reach commit {mark.seq}, the log ends at {len(records)}")
    problems += [f"{where}: {problem}" for problem in _chain(records)]
    checks = [_sources(steps, records), _index(steps, records), _directory(steps, records, mark), alias_problems(steps)]
    if head is not None and head.sealed:
        checks.append(_removed(steps, records))
    for check in checks:
        try:
            problems += [f"{where}: {problem}" for problem in (yield from check)]
        except DataflowError as error:
            problems.append(f"{where}: {error}")
    return list(dict.fromkeys(problems))


def _chain(records: Sequence[Record]) -> list[str]:
    """Problems of records that do not follow from those before them."""
    problems: list[str] = []
    live: dict[tuple[int, int], FileEntry] = {}
    before = Totals()
    hash_ = before.hash
    schema_seq = 0
    floor: int | None = None
    for record in records:
        for gone in record.dels:
            if live.pop((gone.seq, gone.ordinal), None) is None:
                problems.append(f"record {record.seq} replaces {gone.path!r}, which is not there")
        live |= {(file.seq, file.ordinal): file for file in record.adds}
        schema_seq = record.seq if record.schema is not None else schema_seq
        if record.schema_seq != schema_seq:
            problems.append(f"record {record.seq} names {record.schema_seq} as its schema's record, not {schema_seq}")
        totals = record.totals
        counted = live.values() if record.takes_away else record.adds
        times = [t for f in counted for t in (f.t_min, f.t_max)]
        if not record.takes_away:
            times += [t for t in (before.first, before.last) if t is not None]
        if floor is not None and (record.floor or floor) < floor and totals.begun < record.seq:
            problems.append(f"record {record.seq} has the floor {record.floor}, below {floor}")
        floor = record.floor
        hash_ = shifted_hash(hash_, [f.path for f in record.adds], [d.path for d in record.dels])
        adds, dels = record.adds, record.dels
        for what, said, found in (
            ("files", totals.files, len(live)),
            ("rows", totals.rows, before.rows + sum(f.rows for f in adds) - sum(d.rows for d in dels)),
            ("bytes", totals.bytes, before.bytes + sum(f.bytes for f in adds) - sum(d.bytes for d in dels)),
            ("as its set hash", totals.hash, hash_),
            ("as its first time", totals.first, min(times, default=None)),
            ("as its last time", totals.last, max(times, default=None)),
            ("erased keys", totals.erased, before.erased + len(record.erased)),
        ):
            if said != found:
                problems.append(f"record {record.seq} has {said} {what}, not {found}")
        before = totals
    return problems


def _sources(steps: StreamSteps, records: Sequence[Record]) -> Steps[list[str]]:
    """Problems of claims and source items: each commit needs its claim, each source its item, and their totals must
    match."""
    problems: list[str] = []
    # Read after the log: later commits have theirs, too.
    rows = yield from steps.opened("SRC", (yield from query(steps.partition("SRC"))))
    places = [Place(sort, number, load(payload, f"source {sort}")) for sort, number, payload in rows]
    head = yield from steps.head()
    if head is not None and head.sealed:
        problems += broken_links(places, len(records))
    sources = {place.sort: place.data for place in places if place.sort != FIRST}
    rows = yield from steps.opened("CLAIM", (yield from query(steps.partition("CLAIM"))))
    claims = {sort: load(payload, f"claim {sort}") for sort, _, payload in rows}
    seen: dict[str, int] = {}
    for record in records:
        if claims.get(record.attempt, {}).get("seq") != record.seq:
            problems.append(f"record {record.seq} has no claim on its attempt {record.attempt}")
        seen = {} if record.totals.begun == record.seq else {s: n for s, n in seen.items() if s not in record.undone}
        problems += [
            f"record {record.seq} takes back {s}, which has no item" for s in record.undone if s not in sources
        ]
        if record.source is None:
            continue
        if record.source not in sources:
            problems.append(f"record {record.seq} has no item for its source {record.source}")
        if record.adds and record.source in seen:
            problems.append(f"source {record.source} was committed twice, by {seen[record.source]} and {record.seq}")
        if record.adds:
            seen[record.source] = record.seq
    known = {record.source for record in records}
    held = [
        data
        for sort, data in sources.items()
        if sort in known and max(data.get(name, 0) for name in _COMMITS) <= len(records)
    ]
    if records and len(held) == len(known - {None}):
        totals = records[-1].totals
        found = Counter(state_of(SourceEntry.from_dict(data), data["seq"], totals) for data in held)
        for state, what in STATES.items():
            if found[state] != getattr(totals, state):
                problems.append(f"the log counts {getattr(totals, state)} sources {what}, there are {found[state]}")
        dismissed = sum(is_dismissed(SourceEntry.from_dict(data), data["seq"], totals) for data in held)
        if dismissed != totals.dismissed:
            problems.append(f"the log counts {totals.dismissed} sources dismissed, there are {dismissed}")
    return problems


def _removed(steps: StreamSteps, records: Sequence[Record]) -> Steps[list[str]]:
    """Problems of deletions and erased keys: each in the log needs its item."""
    problems: list[str] = []
    # Read after the log.
    rows = yield from steps.opened("DEL", (yield from query(steps.partition("DEL"))))
    dels = {sort: load(payload, f"deletion {sort}") for sort, _, payload in rows}
    for record in records:
        for gone in record.dels:
            found = dels.get(gone.path, {})
            if found.get("seq") != record.seq and found.get("attempt") != record.attempt:
                problems.append(f"record {record.seq} replaces {gone.path!r} without an item that guards it")
    if records and records[-1].totals.erased:
        rows = yield from steps.opened("ERASED", (yield from query(steps.partition("ERASED"))))
        there = {sort for sort, _, _ in rows}
        for record in records:
            lost = [digest for digest in record.erased if erased_key(digest, record.seq) not in there]
            problems += [f"record {record.seq} has no item for the key {digest} that it erased" for digest in lost]
    return problems


def _directory(steps: StreamSteps, records: Sequence[Record], mark: Mark | None) -> Steps[list[str]]:
    """Problems of the directory: it must have each day in the log with its last commit."""
    if mark is None or mark.years is None:
        return []
    expected = {day: record.seq for record in records[: mark.seq] for day in by_day(record)}
    found = yield from steps.directory(mark.years, FIRST_DAY, LAST_DAY)
    if found != dict(sorted(expected.items())):
        return ["the directory of the day index differs from the log in days or their commits"]
    return []


def _index(steps: StreamSteps, records: Sequence[Record]) -> Steps[list[str]]:
    """IncompleteResult unless the day index, overlaid with the log beyond it, lists exactly the live files."""
    read = ReadSteps(steps)
    snapshot = yield from read.snapshot()
    if snapshot is None:
        raise IncompleteResult("the log cannot be read as a snapshot")
    expected = sorted(live_files(records[: snapshot.seq]).values(), key=lambda f: (f.day, f.seq, f.ordinal))
    for mine, indexed in zip(expected, snapshot.files, strict=False):
        if mine != indexed:
            raise IncompleteResult(
                f"the day index has {indexed.path!r} where the log has {mine.path!r}, or differs in it"
            )
    if len(expected) != len(snapshot.files):
        raise IncompleteResult(f"the day index lists {len(snapshot.files)} files, the log {len(expected)}")
    # Rows on days without files in the log were not read above.
    partitions = {day_rows.partition_of(file.day) for record in records for file in record.adds}
    for name in sorted(partitions):
        found = yield from query(steps.partition(name))
        for (sort, number, body), head in zip(
            found, DayFiles.of([KeyScan(Query(name), day_rows.HEAD_SIZE).split(found)]).heads, strict=True
        ):
            if snapshot.checked:
                day_rows.check_seal(steps.partition(name), sort, number, body)
            if int(head["add_seq"]) > snapshot.seq:
                continue  # from a later commit
            if int(head["add_seq"]) > len(records) or (not head["marker"] and not _on(records, head)):
                day = day_name(int(head["day"]))
                raise IncompleteResult(f"the day index has a row on {day} that is not in the log")
    return []


def _on(records: Sequence[Record], head: object) -> bool:
    """Whether the log has this row's file, on this row's day."""
    seq, ordinal, day = int(head["add_seq"]), int(head["ordinal"]), int(head["day"])  # type: ignore[index]
    adds = records[seq - 1].adds
    return ordinal < len(adds) and adds[ordinal].day == day and adds[ordinal].t_min // DAY == day
