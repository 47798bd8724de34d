"""A stream of Kinesis: what its address names, and the requests to it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl

from operators.errors import Portable
from operators.nearest import meant
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault
from runtime.aws.retry import Budget
from runtime.errors import IngestError
from runtime.storage.locations.s3 import ACCESS

KINESIS_FIELDS = ("key", "timestamp", "shard", "sequence")
"""What of a record itself can become a column: the partition key, and its approximate arrival in milliseconds."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")

_RECORDS = 10_000
"""Records taken at once, at most (10 MB)."""

_PATIENCE = Budget(seconds=5.0)
"""For one request; then others have their turn, and it is tried again at another look."""


@dataclass(frozen=True)
class KinesisAddress:
    """What ``kinesis://stream?region=eu-west-1&key=device`` names: ``columns`` are names of columns by field of a
    record (``KINESIS_FIELDS``)."""

    stream: str
    columns: Mapping[str, str]
    access: Access

    @classmethod
    def of(cls, source: str) -> KinesisAddress:
        """From its address; IngestError for a wrong one."""
        name, _, query = source.removeprefix("kinesis://").partition("?")
        if not _NAME.fullmatch(name):
            raise IngestError(f"kinesis://STREAM?region=NAME names a stream of Kinesis, got {source!r}.")
        pairs, known = parse_qsl(query, keep_blank_values=True), (*KINESIS_FIELDS, *ACCESS)
        for field, value in pairs:
            if field not in known or not value:
                raise IngestError(
                    f"{source}: there is no {field}={value}; {meant(field, known, 'known')} are {', '.join(known)}."
                )
        given = dict(pairs)
        if len(given) < len(pairs):
            raise IngestError(f"{source}: a parameter is given twice.")
        access = Access(**{field: value for field, value in given.items() if field in ACCESS})
        return cls(name, {field: value for field, value in given.items() if field not in ACCESS}, access)


@dataclass(frozen=True)
class StreamState:
    """A stream at time ``now`` of its clock, in seconds: ``created`` distinguishes it from an earlier one of its name;
    it keeps records for ``retention`` seconds."""

    arn: str
    created: str
    retention: float
    now: float


@dataclass(frozen=True)
class ListedShard:
    """A shard; ``parents`` are those that it was split or merged from."""

    id: str
    parents: tuple[str, ...]
    is_closed: bool


@dataclass(frozen=True)
class ShardRecord:
    """A record; ``arrived`` is in seconds."""

    sequence: str
    key: str
    data: bytes
    arrived: float


@dataclass(frozen=True)
class ShardBatch:
    """The next records of a shard, as of ``now``; ``iterator`` is None at the end of a closed one, ``is_last`` says
    whether there are no more for now."""

    records: Sequence[ShardRecord]
    iterator: str | None
    is_last: bool
    now: float


class IteratorExpired(Portable, Exception):
    """An iterator is good for five minutes."""


class KinesisStream:
    """The requests to a stream. ``ServiceFault`` for what may pass, ``IngestError`` for what does not."""

    def __init__(self, name: str, client: Client) -> None:
        self.name, self.client = name, client

    def state(self) -> StreamState:
        """The stream as it is now."""
        reply = self._call("describe", lambda k: k.describe_stream_summary(StreamName=self.name))
        about = reply["StreamDescriptionSummary"]
        created = about["StreamCreationTimestamp"].astimezone(UTC).isoformat()
        return StreamState(about["StreamARN"], created, about["RetentionPeriodHours"] * 3600.0, _now_of(reply))

    def shards(self) -> Mapping[str, ListedShard]:
        """All shards that have records still, also closed ones."""
        found: dict[str, ListedShard] = {}
        asked: dict[str, str] = {"StreamName": self.name}
        while True:
            page = self._call("list the shards of", lambda k, asked=asked: k.list_shards(**asked))
            for shard in page["Shards"]:
                parents = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
                is_closed = "EndingSequenceNumber" in shard["SequenceNumberRange"]
                id = str(shard["ShardId"])
                found[id] = ListedShard(id, tuple(parent for parent in parents if parent), is_closed)
            if not page.get("NextToken"):
                return found
            asked = {"NextToken": page["NextToken"]}

    def iterator(self, shard: str, kind: str, **where: Any) -> str:
        """Where to read a shard from."""
        what = f"read {shard} of"
        try:
            reply = self._call(
                what,
                lambda k: k.get_shard_iterator(StreamName=self.name, ShardId=shard, ShardIteratorType=kind, **where),
            )
        except ServiceFault as error:
            if error.code == "InvalidArgumentException":
                raise IngestError(
                    f"{shard} of {self.name} does not know the last record that was read: the stream was deleted and "
                    f"created anew, or is another one. Watch it under another --watch-name ({error})"
                ) from None
            raise
        return str(reply["ShardIterator"])

    def after(self, shard: str, iterator: str) -> ShardBatch:
        """The next records."""
        try:
            reply = self._call(f"read {shard} of", lambda k: k.get_records(ShardIterator=iterator, Limit=_RECORDS))
        except ServiceFault as error:
            if error.code == "ExpiredIteratorException":
                raise IteratorExpired from None
            raise
        records = [
            ShardRecord(r["SequenceNumber"], r["PartitionKey"], r["Data"], r["ApproximateArrivalTimestamp"].timestamp())
            for r in reply["Records"]
        ]
        return ShardBatch(records, reply.get("NextShardIterator"), not reply.get("MillisBehindLatest"), _now_of(reply))

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def _call(self, what: str, attempt: Any) -> Any:
        try:
            return self.client.call(f"{what} stream {self.name}", attempt)
        except ServiceFault as error:
            if error.code == "ResourceNotFoundException":
                raise IngestError(
                    f"there is no stream {self.name}, or a shard of it is gone, in this region and account "
                    f"(kinesis://{self.name}?region=NAME): it was deleted, or has another name ({error})"
                ) from None
            raise


def _now_of(reply: Any) -> float:
    """The time of a reply by the clock of the service, by which records are dropped."""
    with suppress(KeyError, TypeError, ValueError):
        return parsedate_to_datetime(reply["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()
    return time.time()


def utc_time(seconds: float) -> str:
    """A time for messages."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def connected(address: KinesisAddress) -> KinesisStream:
    """The stream that an address names."""
    return KinesisStream(address.stream, Client("kinesis", address.access, _PATIENCE))
