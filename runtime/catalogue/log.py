"""Reads one stream's log, heads and claims; checks every item.

Every method is a generator of table requests (see ``key_value.py``), so that the same code serves every table and the
simulator.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from runtime.catalogue.items import seal
from runtime.catalogue.items.commit_order import Order
from runtime.catalogue.items.entries import Record, check_stream
from runtime.catalogue.items.file_lists import filled, list_key, list_name
from runtime.catalogue.items.item_bytes import dump, load, load_record, log_key, recent_record
from runtime.catalogue.items.schema import StreamSchema
from runtime.catalogue.items.seal import damaged
from runtime.catalogue.key_value import GetHeads, Heads, Put, Row, Steps, WriteCondition, get, query

STREAMS, COUNT = "STREAMS", "COUNT"
"""The store-wide partitions: the names of its streams, and their number."""

RETRIES = 4
"""How often a read that overlaps the first commit of its stream starts again."""


@dataclass(frozen=True)
class Head:
    """The last commit of a stream, from the HEAD item, which every commit writes; ``hash`` is that of its record.

    ``recent`` are prefixes of the ids of the last attempts (``order``); empty in heads of earlier versions. ``sealed``:
    every item of the stream carries a seal, so that one without is damaged. False while a stream of an earlier version
    is being sealed.
    """

    seq: int
    hash: str
    sealed: bool
    recent: tuple[str, ...] = ()

    @property
    def order(self) -> Order:
        """The order of the last commits, as the next attempt's files carry it."""
        return Order(self.seq, self.recent)

    @property
    def number(self) -> int:
        """The number of the item: it rises with each commit, and when the stream has been sealed."""
        return 2 * self.seq + self.sealed


class LogSteps:
    """The reads of one stream; ``most`` is the table's limit of items in one transaction."""

    def __init__(self, stream: str, most: int, clock: Callable[[], int] | None = None) -> None:
        self.stream = check_stream(stream)
        self.most = most
        self.clock = clock or (lambda: time.time_ns() // 1000)

    def partition(self, name: str) -> str:
        """A partition of this stream: LOG, FILES, HEAD, SRC, CLAIM, DEL, WM, DIR or DAY#<month>."""
        return f"{self.stream}/{name}"

    def put(
        self,
        name: str,
        sort: str,
        payload: bytes,
        when: WriteCondition = WriteCondition.ALWAYS,
        bound: int = 0,
        number: int = 0,
    ) -> Put:
        """A put of a sealed JSON item of this stream."""
        partition = self.partition(name)
        return Put(partition, sort, seal.sealed_json(partition, sort, number, payload), when, bound, number)

    def damaged(self, what: str, why: str) -> Exception:
        """The error for damage in the stream's part of the catalogue."""
        return damaged(f"{what} of stream {self.stream!r}", why)

    def opened(self, name: str, rows: Sequence[Row]) -> Steps[list[tuple[str, int, bytes]]]:
        """The rows of a partition with their payloads; each must have a valid seal, unless the stream is unsealed."""
        out: list[tuple[str, int, bytes]] = []
        bare = [at for at, (_, _, body) in enumerate(rows) if not seal.is_sealed(body)]
        if bare and name != "HEAD":
            head = yield from self.head()
            if head is not None and head.sealed:
                rows = yield from self._sealed_since(name, rows, bare)
        for sort, number, body in rows:
            if seal.is_sealed(body):
                what = f"{name} {sort} of stream {self.stream!r}"
                body = seal.open_json(self.partition(name), sort, number, body, what)
            out.append((sort, number, body))
        return out

    def _sealed_since(self, name: str, rows: Sequence[Row], bare: Sequence[int]) -> Steps[list[Row]]:
        """The rows, with those that were sealed after they had been read; damage if one was not."""
        fresh = list(rows)
        for at in bare:
            found = yield from get(self.partition(name), rows[at][0])
            if found is None or not seal.is_sealed(found[1]):
                raise self.damaged(f"{name} partition", "an item has no checksum")
            fresh[at] = (rows[at][0], *found)
        return fresh

    def item(self, name: str, sort: str) -> Steps[bytes | None]:
        """The payload of one item."""
        found = yield from get(self.partition(name), sort)
        if found is None:
            return None
        ((_, _, payload),) = yield from self.opened(name, [(sort, *found)])
        return payload

    # Heads: how far the log must reach

    def beside(self) -> Steps[tuple[int, str] | None]:
        """The last commit recorded beside the table, and the hash of its record."""
        heads: Heads | None = yield GetHeads()
        return None if heads is None else heads.get(self.stream)

    def head(self) -> Steps[Head | None]:
        """The head; None for a stream that does not exist, or was written only by earlier versions."""
        found = yield from get(self.partition("HEAD"), "HEAD")
        if found is None:
            return None
        if not seal.is_sealed(found[1]):
            raise self.damaged("head", "it has no checksum")
        what = f"head of stream {self.stream!r}"
        payload = seal.open_json(self.partition("HEAD"), "HEAD", *found, what)
        data = load(payload, what)
        recent = tuple(map(str, data.get("recent", ())))
        head = Head(int(data["seq"]), str(data["hash"]), bool(data["sealed"]), recent)
        if head.number != found[0]:
            raise self.damaged("head", "its number is wrong")
        return head

    def order(self) -> Steps[Order]:
        """The order of the last commits."""
        head = yield from self.head()
        if head is not None and head.recent:
            return head.order
        last, _ = yield from self.last_record()
        return Order() if last is None else Order(last.seq - 1).followed_by(last.attempt)

    def check_head(self, seq: int, hash_: str, last: Record, known: Sequence[Record] = ()) -> None:
        """Raise unless the log, whose last record is ``last``, holds commit ``seq`` with this hash."""
        if seq > last.seq:
            raise self.damaged("log", f"it ends at commit {last.seq}, but commit {seq} was acknowledged")
        for record in (last, *known):
            if record.seq == seq and record.hash != hash_:
                raise self.damaged("log", f"record {seq} is not the one that was committed")

    def check_heads(
        self, last: Record, beside: tuple[int, str] | None, head: Head | None, known: Sequence[Record] = ()
    ) -> Steps[None]:
        """Raise unless the log reaches the heads, which were read before it, and contains the records that they
        name."""
        if head is not None:
            self.check_head(head.seq, head.hash, last, known)
        if beside is not None:
            if head is None:
                raise self.damaged("head", "it is missing")
            held = [] if beside[0] >= last.seq else [(yield from self.record(beside[0]))]
            self.check_head(*beside, last, [*known, *held])

    # The log

    def loaded(self, rows: Sequence[Row]) -> Steps[list[Record]]:
        """The records of rows of the log, without the files of their lists."""
        payloads = yield from self.opened("LOG", rows)
        records = []
        for (sort, _, body), (_, _, payload) in zip(rows, payloads, strict=True):
            record = (recent_record if len(rows) == 1 else load_record)(payload, self.stream, sort)
            if record.version > 1 and not seal.is_sealed(body):
                raise self.damaged(f"log record {sort}", "it has no checksum")
            records.append(record)
        return records

    def last_record(self) -> Steps[tuple[Record | None, Head | None]]:
        """The newest record of the log, and the head that was read before it; the record is checked against both.

        Without the files of its lists: a commit needs only its totals and its schema.
        """
        for _ in range(RETRIES):
            beside = yield from self.beside()
            head = yield from self.head()
            found = yield from query(self.partition("LOG"), last=True)
            records = yield from self.loaded(found)
            if not records:
                if head is not None or beside is not None:
                    raise self.damaged("log", "it is missing")
                return None, None
            if head is None and records[0].version > 1:
                continue  # the first commit happened in between, or the head is lost
            yield from self.check_heads(records[0], beside, head)
            return records[0], head
        raise self.damaged("head", "it is missing")

    def record(self, seq: int) -> Steps[Record]:
        """The record ``seq``, which must exist, without the files of its lists."""
        found = yield from get(self.partition("LOG"), log_key(seq))
        if found is None:
            raise self.damaged("log", f"record {seq} is missing")
        (record,) = yield from self.loaded([(log_key(seq), *found)])
        return record

    def records_after(self, seq: int) -> Steps[list[Record]]:
        """The longest gap-free run of records that follows ``seq``, each of which names the one before, with its files.

        A record beyond a gap was committed while the query ran; the missing one was committed before it, but after the
        query had passed its place.
        """
        found = yield from query(self.partition("LOG"), low=log_key(seq + 1))
        run: list[Row] = []
        for row in found:
            if row[0] != log_key(seq + 1 + len(run)):
                break
            run.append(row)
        records = yield from self.loaded(run)
        for before, record in pairwise(records):
            if record.version > 1 and record.before != before.hash:
                raise self.damaged("log", f"record {record.seq} does not follow record {before.seq}")
        for at, record in enumerate(records):
            records[at] = yield from self.with_files(record)
        return records

    def with_files(self, record: Record) -> Steps[Record]:
        """The record with the files of its lists, which are there, as they were written before it."""
        payloads: dict[str, bytes] = {}
        for digest in (*record.lists, *record.del_lists):
            place = self.partition("FILES"), list_key(record.attempt, digest)
            what = f"{list_name(record, digest)} of stream {self.stream!r}"
            found = yield from get(*place)
            if found is None:
                raise damaged(what, "it is missing")
            payloads[digest] = seal.open_json(*place, *found, what)
        return filled(record, payloads, self.stream)

    def schema_at(self, record: Record) -> Steps[StreamSchema]:
        """The schema that is valid as of a record."""
        holder = record if record.schema is not None else (yield from self.record(record.schema_seq))
        if holder.schema is None:
            raise self.damaged("log", f"record {holder.seq} should hold the schema")
        return holder.schema

    # Claims

    def claim(self, attempt: str) -> Steps[tuple[str, int, str | None] | None]:
        """The claim on an attempt's files: ('commit', seq, source), ('sweep', 0, None), or None."""
        payload = yield from self.item("CLAIM", attempt)
        if payload is None:
            return None
        what = f"claim {attempt} of stream {self.stream!r}"
        data = load(payload, what)
        try:
            return str(data["by"]), int(data["seq"]), data["source"]
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(what, str(error)) from error


def head_payload(head: Head) -> bytes:
    """The head as an item's payload."""
    return dump({"seq": head.seq, "hash": head.hash, "sealed": head.sealed, "recent": list(head.recent)})
