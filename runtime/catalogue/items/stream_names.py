"""The names of a store's streams, and their number, which reveals a missing one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.catalogue.items import seal
from runtime.catalogue.items.entries import set_hash, shifted_hash
from runtime.catalogue.items.item_bytes import dump, load
from runtime.catalogue.key_value import GetHeads, Heads, Put, Row, Steps, WriteCondition, get, query
from runtime.catalogue.log import COUNT, RETRIES, STREAMS


@dataclass(frozen=True)
class Count:
    """How many sealed streams the store has, and the set hash of their names."""

    streams: int
    hash: str


def counted() -> Steps[Count | None]:
    """The number of streams; None for a new store, or one written only by earlier versions."""
    found = yield from get(COUNT, STREAMS)
    if found is None:
        return None
    if not seal.is_sealed(found[1]):
        raise seal.damaged("number of streams", "it has no checksum")
    data = load(seal.open_json(COUNT, STREAMS, *found, "number of streams"), "number of streams")
    return Count(int(data["streams"]), str(data["hash"]))


def count_puts(count: Count | None, names: Sequence[str]) -> list[Put]:
    """The puts that add streams to the store: their names, and their number if it is still ``count``."""
    held = count or Count(0, set_hash([]))
    new = Count(held.streams + len(names), shifted_hash(held.hash, names, []))
    payload = dump({"streams": new.streams, "hash": new.hash})
    when = WriteCondition.ABSENT if count is None else WriteCondition.EQUAL
    body = seal.sealed_json(COUNT, STREAMS, new.streams, payload)
    puts = [Put(COUNT, STREAMS, body, when, held.streams, new.streams)]
    return puts + [Put(STREAMS, name, seal.sealed_json(STREAMS, name, 0, dump({"stream": name}))) for name in names]


def stream_names() -> Steps[list[str]]:
    """The names of all streams, sorted; FormatError when some are missing."""
    for _ in range(RETRIES):
        heads: Heads | None = yield GetHeads()
        count = yield from counted()
        rows = yield from query(STREAMS)
        sealed = [_name(row) for row in rows if seal.is_sealed(row[2])]
        names = [_name(row) for row in rows]
        if lost := set(heads or ()) - set(names):
            raise seal.damaged("list of streams", f"it lacks {min(lost)!r}")
        if count is None and not sealed:
            return names
        if count is not None and (len(sealed), set_hash(sealed)) == (count.streams, count.hash):
            return names
        if count is not None and len(sealed) < count.streams:
            break
        # More than counted: a stream was added in between.
    raise seal.damaged("list of streams", "it does not add up")


def _name(row: Row) -> str:
    sort, number, body = row
    payload = seal.open_json(STREAMS, sort, number, body, f"name {sort!r}") if seal.is_sealed(body) else body
    if load(payload, f"name {sort!r}").get("stream") != sort:
        raise seal.damaged(f"name {sort!r}", "it is another's")
    return sort
