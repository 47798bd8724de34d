"""Salvages a damaged, old or partial catalogue: reads what it can, and writes a new one from the log."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from operators import forking
from operators.errors import DataflowError
from runtime.catalogue.aliases import ALIAS
from runtime.catalogue.commits import erased_key
from runtime.catalogue.index import Mark, in_batches
from runtime.catalogue.items import seal
from runtime.catalogue.items.commit_order import Order
from runtime.catalogue.items.entries import Record, SourceEntry, Totals, check_stream
from runtime.catalogue.items.file_lists import filled, list_key, list_name
from runtime.catalogue.items.item_bytes import dump, load, load_record, log_key, source_data
from runtime.catalogue.items.stream_names import count_puts, counted
from runtime.catalogue.key_value import Heads, Put, Steps, transact
from runtime.catalogue.log import Head, head_payload
from runtime.catalogue.protocol import StreamSteps
from runtime.catalogue.sources import number_of
from runtime.catalogue.stores.wal import database_of

Items = dict[tuple[str, str], tuple[int, bytes]]

_UNREADABLE = (sqlite3.Error, MemoryError, OverflowError, UnicodeDecodeError)
"""Exceptions that SQLite raises on damaged files."""


@dataclass(frozen=True)
class Found:
    """The salvaged part of a stream in ``where``: its records from the first on, without a gap, and their payloads."""

    where: str
    stream: str
    records: tuple[Record, ...]
    payloads: tuple[bytes, ...]
    lists: dict[str, bytes]
    """The payloads of the lists of files that the records name, by key."""

    sources: dict[str, bytes]
    """The payloads of its sources, by id."""

    swept: tuple[str, ...]
    """The attempts whose files were claimed as orphans."""

    aliases: dict[str, bytes] = field(default_factory=dict)
    """The payloads of the aliases of its sources."""

    def reaches(self, seq: int, hash_: str) -> bool:
        """Whether commit ``seq`` with this hash was found."""
        return 0 < seq <= len(self.records) and self.records[seq - 1].hash == hash_


def read_items(path: Path) -> Items:
    """All items that SQLite can read from copies of the file and its write-ahead log; the originals stay unchanged."""
    with tempfile.TemporaryDirectory(prefix="antfold-salvage-") as name:
        copied = Path(name) / "catalogue.sqlite"
        log = path.with_name(f"{path.name}-wal")
        data = log.read_bytes() if log.is_file() else b""
        if path.is_file() and path.stat().st_size:
            shutil.copyfile(path, copied)
            if data:
                copied.with_name("catalogue.sqlite-wal").write_bytes(data)
        else:
            copied.write_bytes(database_of(data) or b"")
        items: Items = {}
        for order in ("asc", "desc"):  # from both ends, up to the damage
            with suppress(*_UNREADABLE), forking.unforked(), closing(sqlite3.connect(copied)) as connection:
                statement = f"select partition, sort, number, body from items order by partition {order}, sort {order}"
                for partition, sort, number, body in connection.execute(statement):
                    if [type(x) for x in (partition, sort, number, body)] == [str, str, int, bytes]:
                        items.setdefault((partition, sort), (number, body))
        return items


def found_in(where: str, items: Items) -> Iterator[Found]:
    """The streams that have a log in these items."""
    for partition in sorted({partition for partition, _ in items if partition.endswith("/LOG")}):
        stream = partition.removesuffix("/LOG")
        try:
            check_stream(stream)
        except DataflowError:
            continue
        records: list[Record] = []
        payloads: list[bytes] = []
        lists: dict[str, bytes] = {}
        while (item := items.get((partition, log_key(len(records) + 1)))) is not None:
            sort = log_key(len(records) + 1)
            try:
                payload = _payload(partition, sort, item)
                record, these = _with_files(load_record(payload, stream, sort), stream, items)
            except DataflowError:
                break
            if record.version > 1 and record.before != (records[-1].hash if records else None):
                break
            records.append(record)
            lists |= these
            payloads.append(payload)
        if records:
            sources = dict(_valid(items, f"{stream}/SRC"))
            claims = {sort: load(payload, "claim") for sort, payload in _valid(items, f"{stream}/CLAIM")}
            swept = tuple(attempt for attempt, claim in claims.items() if claim.get("by") == "sweep")
            aliases = dict(_valid(items, f"{stream}/{ALIAS}"))
            yield Found(where, stream, tuple(records), tuple(payloads), lists, sources, swept, aliases)


def _with_files(record: Record, stream: str, items: Items) -> tuple[Record, dict[str, bytes]]:
    """The record with the files of its lists, and the lists' payloads by key; FormatError if one is lost or damaged."""
    lists: dict[str, bytes] = {}
    for digest in (*record.lists, *record.del_lists):
        place = f"{stream}/FILES", list_key(record.attempt, digest)
        if place not in items:
            raise seal.damaged(list_name(record, digest), "it is missing")
        lists[digest] = seal.open_json(*place, *items[place], list_name(record, digest))
    return filled(record, lists, stream), {list_key(record.attempt, digest): lists[digest] for digest in lists}


def _valid(items: Items, partition: str) -> Iterator[tuple[str, bytes]]:
    for (held, sort), item in items.items():
        if held == partition:
            with suppress(DataflowError):
                payload = _payload(partition, sort, item)
                load(payload, sort)
                yield sort, payload


def _payload(partition: str, sort: str, item: tuple[int, bytes]) -> bytes:
    """The payload of an item; an unsealed one is accepted only from a version without seals."""
    number, body = item
    return seal.open_json(partition, sort, number, body, sort) if seal.is_sealed(body) else body


def write_steps(found: Found, most: int) -> Steps[list[str]]:
    """Write the stream into a table without it; returns the ids of sources known only from the log."""
    steps = StreamSteps(found.stream, most)
    puts: list[Put] = [steps.put("FILES", key, payload) for key, payload in found.lists.items()]
    lost: list[str] = []
    for record, payload in zip(found.records, found.payloads, strict=True):
        puts.append(steps.put("LOG", log_key(record.seq), payload))
        claim = dump({"by": "commit", "seq": record.seq, "source": record.source})
        puts.append(steps.put("CLAIM", record.attempt, claim))
        for gone in record.dels:
            puts.append(steps.put("DEL", gone.path, dump({"seq": record.seq, "at": record.at})))
        for digest in record.erased:
            puts.append(steps.put("ERASED", erased_key(digest, record.seq), dump({"at": record.at})))
    sources: list[tuple[str, int, dict[str, Any]]] = []
    undone = {source: record.seq for record in found.records for source in record.undone}
    settled = {s: ("dismissed", r.seq) for r in found.records for s in r.dismissed}
    for record in found.records:
        settled |= {s: ("retried", record.seq) for s in record.retried if settled.get(s, ("", 0))[1] < record.seq}
    # A quarantined source may have been ingested again: its last record counts.
    for source, record in {r.source: r for r in found.records if r.source is not None}.items():
        assert source is not None
        item = found.sources.get(source)
        entry = {} if item is None else load(item, "source")
        if entry.get("seq") != record.seq:
            rows = sum(file.rows for file in record.adds)
            quarantined = "(lost)" if _set_aside(found, record) else None
            known = SourceEntry(source, "(lost)", 0, rows_read=rows, rows_committed=rows, quarantined=quarantined)
            entry = source_data(known, record.seq, record.attempt)
            lost.append(source)
        entry = {name: value for name, value in entry.items() if name not in ("undone", "dismissed", "retried")}
        what, seq = settled.get(source, ("", 0))
        if seq > record.seq:
            entry[what] = seq
        if (taken := undone.get(source, 0)) > record.seq:
            entry["undone"] = taken
        sources.append((source, number_of(SourceEntry.from_dict(entry)), entry))
    puts += steps.linked_puts(sources)
    puts += [steps.put("CLAIM", a, dump({"by": "sweep", "seq": 0, "source": None})) for a in found.swept]
    puts += [steps.put(ALIAS, alias, payload) for alias, payload in found.aliases.items()]
    order = Order()
    for record in found.records:
        order = order.followed_by(record.attempt)
    head = Head(order.seq, found.records[-1].hash, True, order.attempts)
    puts.append(steps.put("HEAD", "HEAD", head_payload(head), number=head.number))
    puts.append(steps.put("WM", "WM", Mark(0, {}).payload()))
    # One put per key: a transaction accepts no second one.
    for batch in in_batches(list({(put.partition, put.sort): put for put in puts}.values()), most):
        yield from transact(batch)
    yield from transact(count_puts((yield from counted()), [found.stream]))
    yield from steps.note_head()
    yield from steps.catch_up()
    return lost


def _set_aside(found: Found, record: Record) -> bool:
    """Whether the source of the record is in quarantine from there on: for the first time, or for another reason."""
    before = found.records[record.seq - 2].totals if record.seq > 1 else Totals()
    more = record.totals.quarantined - before.quarantined, record.totals.sources - before.sources
    return more[0] > 0 or (more == (0, 0) and not record.undone)


def best_of(found: list[Found], heads: Heads | None) -> dict[str, Found]:
    """For each stream the one whose log contains the last commit, else the longest; with all source items."""

    def rank(one: Found) -> tuple[bool, int]:
        return one.reaches(*(heads or {}).get(one.stream, (0, ""))), len(one.records)

    best: dict[str, Found] = {}
    for one in found:
        held = best.get(one.stream)
        better, other = (one, held) if held is None or rank(one) > rank(held) else (held, one)
        if other is not None:
            sources = {**other.sources, **better.sources}
            swept = tuple(sorted({*better.swept, *other.swept}))
            better = replace(better, sources=sources, swept=swept, aliases={**other.aliases, **better.aliases})
        best[one.stream] = better
    return best
