"""Checking a stream's catalogue against its own log."""

from __future__ import annotations

from collections.abc import Sequence

from operators.errors import DataflowError
from runtime.catalogue import rows as day_rows
from runtime.catalogue.entries import DAY, FileEntry, Record, Totals, day_name, set_hash
from runtime.catalogue.rows import Files
from runtime.catalogue.snapshot import ReadSteps
from runtime.catalogue.steps import StreamSteps
from runtime.catalogue.table import Query, Scan, Steps, query
from runtime.errors import IncompleteResult


def live_files(records: Sequence[Record]) -> dict[tuple[int, int], FileEntry]:
    """The files that are live after these records (the log from its start), by (seq, ordinal): the plain model."""
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


def _audit(steps: StreamSteps, where: str) -> Steps[list[str]]:
    problems: list[str] = []
    mark = yield from steps.watermark()
    records = yield from steps.records_after(0)
    newest = yield from steps.last_record()
    if newest is None:
        return [f"{where} has no log"] if mark else []
    if newest.seq > len(records):
        beyond = yield from steps.records_after(len(records))
        records = records + beyond
    if newest.seq > len(records):
        problems.append(f"{where}: the log has a gap after record {len(records)}, yet it goes on to {newest.seq}")
    if mark > len(records):
        problems.append(f"{where}: the day index is said to reach commit {mark}, the log ends at {len(records)}")
    problems += [f"{where}: {problem}" for problem in _chain(records)]
    problems += [f"{where}: {problem}" for problem in (yield from _sources(steps, records))]
    try:
        yield from _index(steps, records)
    except DataflowError as error:
        problems.append(f"{where}: {error}")
    return problems


def _chain(records: Sequence[Record]) -> list[str]:
    """Whether each record follows from those before it."""
    problems: list[str] = []
    live: dict[tuple[int, int], FileEntry] = {}
    before = Totals()
    schema_seq = 0
    for record in records:
        for gone in record.dels:
            if live.pop((gone.seq, gone.ordinal), None) is None:
                problems.append(f"record {record.seq} replaces {gone.path!r}, which is not there")
        live |= {(file.seq, file.ordinal): file for file in record.adds}
        schema_seq = record.seq if record.schema is not None else schema_seq
        if record.schema_seq != schema_seq:
            problems.append(f"record {record.seq} names {record.schema_seq} as its schema's record, not {schema_seq}")
        totals = record.totals
        rows = before.rows + sum(f.rows for f in record.adds) - sum(d.rows for d in record.dels)
        if (totals.files, totals.rows) != (len(live), rows):
            problems.append(
                f"record {record.seq} counts {totals.files} files and {totals.rows} rows, not {len(live)} and {rows}"
            )
        before = totals
    if records and before.hash != set_hash(file.path for file in live.values()):
        problems.append(f"record {records[-1].seq} has another set hash than its {len(live)} files")
    return problems


def _sources(steps: StreamSteps, records: Sequence[Record]) -> Steps[list[str]]:
    """Whether every commit has its claim, and every source that it took in its item."""
    problems: list[str] = []
    sources = {sort for sort, _ in (yield from query(steps.partition("SRC")))}
    claims = {sort for sort, _ in (yield from query(steps.partition("CLAIM")))}
    seen: dict[str, int] = {}
    for record in records:
        if record.attempt not in claims:
            problems.append(f"record {record.seq} has no claim on its attempt {record.attempt}")
        if record.source is None:
            continue
        if record.source not in sources:
            problems.append(f"record {record.seq} has no item for its source {record.source}")
        if record.adds and record.source in seen:
            problems.append(f"source {record.source} was committed twice, by {seen[record.source]} and {record.seq}")
        if record.adds:
            seen[record.source] = record.seq
    return problems


def _index(steps: StreamSteps, records: Sequence[Record]) -> Steps[None]:
    """Raise unless the day index, overlaid with the log beyond it, lists exactly the live files."""
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
    # Rows on days where the log has no file would not have been read above.
    partitions = {day_rows.partition_of(file.day) for record in records for file in record.adds}
    for name in sorted(partitions):
        found = yield from query(steps.partition(name))
        for head in Files.of([Scan(Query(name), day_rows.HEAD_SIZE).split(found)]).heads:
            if int(head["add_seq"]) > len(records) or (not head["marker"] and not _on(records, head)):
                day = day_name(int(head["day"]))
                raise IncompleteResult(f"the day index has a row on {day} that is not in the log")


def _on(records: Sequence[Record], head: object) -> bool:
    """Whether the log has this row's file, on this row's day."""
    seq, ordinal, day = int(head["add_seq"]), int(head["ordinal"]), int(head["day"])  # type: ignore[index]
    adds = records[seq - 1].adds
    return ordinal < len(adds) and adds[ordinal].day == day and adds[ordinal].t_min // DAY == day
