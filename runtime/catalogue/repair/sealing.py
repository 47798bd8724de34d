"""Seals a stream of an earlier version after the first commit by this one; can be interrupted and repeated anywhere.

Earlier programs refuse the version of that commit's record, so no unsealed items are written from then on (an earlier
program can bring the day index up to date only to its own last record: below the watermark, its writes are refused).
The steps are safe beside readers and other writers:

1. The day index is brought to the end of the earlier version's records (``IndexSteps.catch_up``).
2. Its rows are recomputed from the log, which is checked first, and written with seals; then the directory; then the
   watermark gets the directory's root. All on the condition that the watermark does not move meanwhile.
3. The other items never change, except sources: each is rewritten with a seal, if its number is still the one read.
4. The stream's name is counted.
5. The list of sources is linked (``sources``), with seals, and the head says that the stream is sealed: all on the
   condition that the head is unchanged, so that no commit happened in between. From here on an item without a seal is
   damaged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from runtime.catalogue import day_rows
from runtime.catalogue.index import Mark, by_day, in_batches, node_key, node_payload
from runtime.catalogue.items import seal
from runtime.catalogue.items.entries import FileEntry, Record, day_name
from runtime.catalogue.items.item_bytes import load
from runtime.catalogue.items.stream_names import count_puts, counted
from runtime.catalogue.key_value import Check, Put, Row, Steps, WriteCondition, get, query, transact
from runtime.catalogue.log import STREAMS, Head, head_payload
from runtime.catalogue.protocol import StreamSteps


def seal_steps(steps: StreamSteps, check: Steps[list[str]]) -> Steps[bool]:
    """Seal the stream if it is not; False while the log is ahead of the index, or ``check`` finds problems.

    ``check`` is the audit of the stream. ConditionFailed if another process was faster: start again.
    """
    head = yield from steps.head()
    if head is None or head.sealed:
        return True
    mark = yield from steps.mark()
    if mark is None or mark.years is None:
        if mark is None or (yield from check):
            return False  # damaged items get no seals: `verify` reports them
        yield from _seal_index(steps, mark)
        yield from steps.catch_up()
    for name in ("LOG", "CLAIM", "DEL"):
        rows = yield from query(steps.partition(name))
        yield from _seal_items(steps, name, rows)
    yield from _seal_name(steps)
    head = yield from steps.head()
    assert head is not None
    if not head.sealed:
        yield from _link_sources(steps, head)
        new = replace(head, sealed=True)
        put = steps.put("HEAD", "HEAD", head_payload(new), WriteCondition.EQUAL, head.number, new.number)
        yield from transact([put])
    return True


def _seal_index(steps: StreamSteps, mark: Mark) -> Steps[None]:
    """Write the rows up to the watermark, and the directory, from the log."""
    records = yield from steps.records_after(0)
    rows, months = indexed(records[: mark.seq])
    puts: list[Put] = []
    for name in sorted(months):
        partition = steps.partition(f"DAY#{name}")
        there = {sort: body for sort, _, body in (yield from query(partition))}
        made = [steps.row_put(key, row) for key, row in rows[name].items()]
        puts += [put for put in made if there.get(put.sort) != put.body]
    years: dict[str, dict[str, int]] = defaultdict(dict)
    for name, days in sorted(months.items()):
        years[name[:4]][name] = max(days.values())
        puts.append(steps.put("DIR", node_key(name, max(days.values())), node_payload(days)))
    for name, under in sorted(years.items()):
        puts.append(steps.put("DIR", node_key(name, max(under.values())), node_payload(under)))
    still = Check(steps.partition("WM"), "WM", WriteCondition.EQUAL, mark.seq)
    for batch in in_batches(puts, steps.most - 1):
        if batch:
            yield from transact([*batch, still])
    root = {name: max(under.values()) for name, under in years.items()}
    payload = Mark(mark.seq, root).payload()
    yield from transact([steps.put("WM", "WM", payload, WriteCondition.EQUAL, mark.seq, mark.seq)])


def indexed(records: Sequence[Record]) -> tuple[dict[str, dict[str, bytes]], dict[str, dict[str, int]]]:
    """The rows of these records (the log from its start) and the days that they touched, by month."""
    totals: dict[int, day_rows.DayTotals] = defaultdict(day_rows.DayTotals)
    files: dict[str, tuple[FileEntry, day_rows.DayTotals, int]] = {}
    rows: dict[str, dict[str, bytes]] = defaultdict(dict)
    months: dict[str, dict[str, int]] = defaultdict(dict)
    for record in records:
        for day, (adds, dels) in by_day(record).items():
            name = day_name(day)
            months[name[:7]][name] = record.seq
            totals[day] = totals[day].shifted(adds, dels)
            for gone in dels:
                key = day_rows.row_key(day, gone.seq, gone.ordinal)
                files[key] = (*files[key][:2], record.seq)
            for file in adds:
                files[day_rows.row_key(day, file.seq, file.ordinal)] = file, totals[day], 0
            if not adds:
                marker = day_rows.pack_marker(day, record.seq, totals[day])
                rows[name[:7]][day_rows.marker_key(day, record.seq)] = marker
    for key, (file, held, gone_at) in files.items():
        rows[key[:7]][key] = day_rows.pack(file, held, gone_at)
    return rows, months


def _seal_items(steps: StreamSteps, name: str, rows: Sequence[Row]) -> Steps[None]:
    puts = []
    for sort, number, body in rows:
        if not seal.is_sealed(body):
            load(body, f"{name} {sort} of stream {steps.stream!r}")
            puts.append(steps.put(name, sort, body, WriteCondition.EQUAL, number, number))
    for batch in in_batches(puts, steps.most):
        if batch:
            yield from transact(batch)


def _link_sources(steps: StreamSteps, head: Head) -> Steps[None]:
    """Write the list of sources, linked; ConditionFailed if a commit happens meanwhile."""
    rows = yield from query(steps.partition("SRC"))
    there = {sort: body for sort, _, body in rows}
    found = yield from steps.opened("SRC", rows)
    sources = [(sort, number, load(payload, f"source {sort}")) for sort, number, payload in found]
    puts = [put for put in steps.linked_puts(sources) if there.get(put.sort) != put.body]
    still = Check(steps.partition("HEAD"), "HEAD", WriteCondition.EQUAL, head.number)
    for batch in in_batches(puts, steps.most - 1):
        if batch:
            yield from transact([*batch, still])


def _seal_name(steps: StreamSteps) -> Steps[None]:
    found = yield from get(STREAMS, steps.stream)
    if found is not None and seal.is_sealed(found[1]):
        return
    yield from transact(count_puts((yield from counted()), [steps.stream]))
