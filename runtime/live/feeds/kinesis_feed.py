"""A stream of Kinesis, of one record of the stream a record, by boto3 (the extra ``aws``).

Where each shard goes on is in the store's own commits, as with Kafka. A shard that was split or merged is read to its
end before those that follow it are begun, so that the records of a key stay in order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from runtime.aws.client import ServiceFault
from runtime.aws.retry import Fault
from runtime.errors import IngestError
from runtime.ingest.inputs.inputs import BytesInput
from runtime.live.chains import Position, SourceChain
from runtime.live.feeds.feed import MOST_BYTES, Piece
from runtime.live.feeds.kinesis_shards import AT, LEFT, BegunShards, FollowedShard, Start
from runtime.live.feeds.kinesis_stream import (
    IteratorExpired,
    KinesisAddress,
    KinesisStream,
    ListedShard,
    ShardBatch,
    ShardRecord,
    StreamState,
    connected,
    utc_time,
)
from runtime.live.feeds.message_records import on_one_line, with_columns

_NEW_SHARDS = 60.0
"""Seconds from one look for new shards to the next; when a shard ends, it is looked at once."""

_MORE, _AT_END = 0.25, 1.0
"""Seconds until a shard is asked again: a shard answers five times a second, to all who read it."""

_EDGE = 60.0
"""Seconds before records are dropped in which it is checked that none was between two requests."""

_AGGREGATED = b"\xf3\x89\x9a\xc2"
"""How a record of the Kinesis Producer Library begins that has several in it."""


class KinesisFeed:
    """The records of a stream. With ``skips``, those that are there at the first look are left out.

    ``is_json``: records are JSON objects, else lines.
    """

    ended = False
    stopping: Callable[[], bool] = staticmethod(lambda: False)

    def __init__(
        self,
        stream: KinesisStream,
        address: KinesisAddress,
        chain_of: Callable[[str], SourceChain],
        *,
        is_json: bool = True,
        skips: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._stream, self._address, self._chain_of = stream, address, chain_of
        self._is_json, self._skips, self._clock, self._sleep = is_json, skips, clock, sleep
        self._begun = BegunShards(chain_of("shards"))
        self._begun.reload()
        self._starts = self._begun.starts
        """Those of the shards that are followed: they are committed at the latest with the first records."""

        self._shards: dict[str, FollowedShard] = {}
        self._state: StreamState | None = None
        self._asked = 0.0
        """When the stream was as ``_state`` says."""

        self._looked: float | None = None
        """When new shards were looked for; None: it is to be done now."""

        self._trouble: str | None = None
        self._said: str | None = None

    @property
    def is_behind(self) -> bool:
        """See ``Feed``."""
        waits = self._looked is None or any(not shard.is_at_end for shard in self._shards.values())
        return waits and self._trouble is None

    def pieces(self, seconds: float) -> Iterator[Piece]:
        """See ``Feed``."""
        until = self._clock() + seconds
        self._trouble = None
        try:
            self._find_shards()
        except ServiceFault as error:
            if self._state is None:
                raise
            self._trouble = str(error)
        yield from self._new_shards(self._skips)
        self._read(until)
        if self._trouble is not None and self._trouble != self._said:  # it is said once, until all is well
            name = f"kinesis://{self._stream.name}"
            yield Piece(BytesInput(Path(name), name, data=b""), error=f"{self._trouble.rstrip('.')}; it is tried again")
        self._said = self._trouble
        for shard in list(self._shards.values()):
            if shard.waiting or (shard.is_closed and not shard.is_ended) or self._is_to_be_noted(shard):
                yield self._piece(shard)
        yield from self._new_shards(False)

    def committed(self, piece: Piece) -> None:
        """See ``Feed``."""
        if piece.position is None:
            return
        of = piece.acknowledges
        if isinstance(of, FollowedShard):
            of.committed(piece.number, piece.position)
            if of.is_ended:
                self._looked = None  # those that follow it can begin
        elif of is self._begun:
            where = piece.position
            self._begun.number, self._begun.created, self._begun.starts = piece.number, where["created"], self._starts

    def taken(self, piece: Piece) -> None:
        """See ``Feed``."""
        of = piece.acknowledges
        if isinstance(of, FollowedShard):
            of.reload()
        else:  # which shards are begun, and how, is as the other process says
            self._begun.reload()
            self._starts, self._shards = self._begun.starts, {}
        self._looked = None

    def close(self) -> None:
        """See ``Feed``."""
        self._stream.close()

    # ---- shards

    def _find_shards(self) -> None:
        """Look for shards that can be begun. IngestError if the stream is another one, or what was not read of it is
        gone."""
        if self._looked is not None and self._clock() - self._looked < _NEW_SHARDS:
            return
        state, listed = self._stream.state(), self._stream.shards()
        if self._begun.created not in (None, state.created):
            raise IngestError(
                f"stream {self._stream.name} was deleted and created anew ({state.created}): what was not read of the "
                "earlier one is gone. Watch the new one under another --watch-name."
            )
        self._state, self._asked = state, self._clock()
        self._follow(self._starts)
        for id, shard in self._shards.items():
            if id not in listed and not shard.is_ended:
                raise self._lost(shard)

        def first(shard: ListedShard) -> Start | None:
            if not self._skips:
                return None
            return {LEFT: True} if shard.is_closed else {AT: state.now}

        # One that is followed from here on may have ended before, by what is committed of it: then others can begin.
        while (found := self._begun.with_new(listed, self._shards, first)) != self._starts:
            self._starts = found
            self._follow(found)
        self._shards = {id: shard for id, shard in self._shards.items() if id in self._starts}
        self._looked = self._clock()

    def _follow(self, starts: dict[str, Start]) -> None:
        for id, start in starts.items():
            if id not in self._shards:
                shard = FollowedShard(id, self._chain_of(id), start)
                shard.reload()
                self._shards[id] = shard

    def _new_shards(self, at_once: bool) -> Iterator[Piece]:
        """Which shards are begun, if that is not committed. Unless ``at_once``, it does not create the store's stream:
        options that do not fit are an error of its first records."""
        begun, chain = self._begun, self._begun.chain
        if self._looked is None or self._state is None or (begun.created and begun.starts == self._starts):
            return
        if at_once or chain.catalogue.schema(chain.stream) is not None:
            position = chain.position(created=self._state.created, shards=self._starts)
            yield self._noted(begun, f"{self._stream.name}: {len(self._starts)} shards", chain, begun.number, position)

    def _is_to_be_noted(self, shard: FollowedShard) -> bool:
        """Whether a shard without records was read to its end for so long that a commit should say so: else it could
        not be known later whether some were dropped."""
        if shard.until is None or shard.is_closed or not self._begun.created:
            return False
        return shard.until - (shard.noted or 0.0) > self._retention / 4

    @property
    def _retention(self) -> float:
        assert self._state is not None
        return self._state.retention

    def _lost(self, shard: FollowedShard) -> IngestError:
        since = "" if shard.until is None else f" from {utc_time(shard.until)} on"
        return IngestError(
            f"{shard.id} of stream {self._stream.name}: records that arrived{since}, which were not read yet, may no "
            f"longer be there (the stream keeps them for {self._retention / 3600:,.0f} hours). To go on without "
            "them, watch it under another --watch-name with --from beginning: what was read will count twice unless "
            "the stream has an id or exact duplicates."
        )

    # ---- records

    def _read(self, until: float) -> None:
        """Let records come."""
        size = 0
        while size < MOST_BYTES and not self.stopping():
            now = self._clock()
            for shard in sorted(self._open(), key=lambda s: s.due):  # each has its turn
                if shard.due <= now and size < MOST_BYTES:
                    try:
                        size += self._ask(shard)
                    except ServiceFault as error:
                        self._trouble, shard.due = str(error), self._clock() + _AT_END
                        if error.fault is not Fault.THROTTLED:  # the others would fail, too
                            return
            if not (following := self._open()) or self._clock() >= until:
                return
            left = min(until, *(shard.due for shard in following)) - self._clock()
            self._sleep(max(0.0, min(left, _MORE)))

    def _open(self) -> list[FollowedShard]:
        return [shard for shard in self._shards.values() if not shard.is_closed]

    def _ask(self, shard: FollowedShard) -> int:
        """Take the next records of a shard; their bytes."""
        try:
            if shard.iterator is None or (shard.last is not None and self._is_beyond(shard, self._now + _EDGE)):
                if self._looked is None:  # it may be another stream by now
                    shard.due = self._clock() + _MORE
                    return 0
                shard.iterator = self._place(shard)
            batch = self._stream.after(shard.id, shard.iterator)
        except IteratorExpired:
            shard.iterator = self._looked = None
            return 0
        last = None if shard.last is None else int(shard.last)
        size = 0
        if shard.expected is not None and (batch.records or batch.is_last or batch.iterator is None):
            is_there = bool(batch.records) and batch.records[0].sequence == shard.expected
            if not is_there and self._is_beyond(shard, batch.now):
                raise self._lost(shard)
            shard.expected = None
        for record in batch.records:
            if last is None or int(record.sequence) > last:
                line = self._record(shard, record)
                shard.waiting.append((record, line))
                size += len(line)
        shard.iterator, shard.is_closed = batch.iterator, batch.iterator is None
        self._advance(shard, batch)
        shard.is_at_end = batch.is_last
        shard.due = self._clock() + (_AT_END if batch.is_last else _MORE)
        return size

    @staticmethod
    def _advance(shard: FollowedShard, batch: ShardBatch) -> None:
        """All of a shard that arrived until then was read."""
        known = [] if shard.until is None else [shard.until]
        known += [record.arrived for record in batch.records[-1:]]
        known += [batch.now] if batch.is_last and batch.iterator is not None else []
        shard.until = max(known, default=None)

    def _is_beyond(self, shard: FollowedShard, now: float) -> bool:
        """Whether records that were not read may have been dropped."""
        return shard.until is not None and shard.until < now - self._retention

    @property
    def _now(self) -> float:
        """The time of the service, about."""
        assert self._state is not None
        return self._state.now + self._clock() - self._asked

    def _place(self, shard: FollowedShard) -> str:
        """An iterator behind what was read: it begins with the last record, so that a gap is seen."""
        if shard.last is not None:
            shard.expected = shard.last
            return self._stream.iterator(shard.id, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=shard.last)
        if self._is_beyond(shard, self._now):
            raise self._lost(shard)
        if AT in shard.start:
            return self._stream.iterator(shard.id, "AT_TIMESTAMP", Timestamp=shard.start[AT])
        return self._stream.iterator(shard.id, "TRIM_HORIZON")

    def _record(self, shard: FollowedShard, record: ShardRecord) -> bytes:
        """The record on one line."""
        if record.data.startswith(_AGGREGATED):
            raise IngestError(
                f"record {record.sequence} of {shard.id} of stream {self._stream.name} is an aggregate of the Kinesis "
                "Producer Library, which cannot be read: set AggregationEnabled=false where it is produced, and watch "
                "the stream from its end under another --watch-name."
            )
        if not self._is_json:
            return record.data
        names = {name: of for of, name in self._address.columns.items()}
        fields = {
            "key": record.key, "timestamp": round(record.arrived * 1_000), "shard": shard.id,
            "sequence": record.sequence,
        }  # fmt: skip
        return with_columns(on_one_line(record.data), names, lambda name: fields[names[name]])

    def _piece(self, shard: FollowedShard) -> Piece:
        """What waits of a shard as its next source."""
        first = shard.waiting[0][0].sequence if shard.waiting else "nothing"
        name = (
            f"{self._stream.name}[{shard.id}] {first}..{shard.last}"
            if shard.waiting
            else (f"{self._stream.name}[{shard.id}] {'has ended' if shard.is_closed else 'nothing new'}")
        )
        data = b"".join(b"%s\n" % line for _, line in shard.waiting)
        return self._noted(shard, name, shard.chain, shard.number, shard.position(), data)

    @staticmethod
    def _noted(of: object, name: str, chain: SourceChain, number: int, position: Position, data: bytes = b"") -> Piece:
        given = BytesInput(Path(name), name, identity=chain.identity(number + 1), data=data)
        return Piece(given, chain, number + 1, position, acknowledges=of)


def open_kinesis(
    source: str,
    chains: Callable[[str], Callable[[str], SourceChain]],
    *,
    is_json: bool,
    skips: bool,
) -> KinesisFeed:
    """The stream that ``source`` names; ``chains`` gives those of a feed by the name that it has by itself."""
    address = KinesisAddress.of(source)
    if address.columns and not is_json:
        raise IngestError(f"{source}: fields of records become columns of JSON records only.")
    stream = connected(address)
    return KinesisFeed(stream, address, chains(f"kinesis {stream.state().arn}"), is_json=is_json, skips=skips)
