"""A stream of Kinesis in memory, with the methods of boto3's client that a feed uses: shards split, merge and expire as
AWS documents it."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from tests.runtime.live.feeds.fake_bucket import Steps, refused


@dataclass
class FakeRecord:
    sequence: int
    key: str
    data: bytes
    arrived: float


@dataclass
class FakeShard:
    parents: tuple[str, ...] = ()
    records: list[FakeRecord] = field(default_factory=list)
    closed: int | None = None
    """The last sequence number of one that takes no more records."""

    end: float = 0.0
    """When it was closed."""


@dataclass
class FakeStream:
    """``now`` is the service's clock. ``most`` records come at once; ``empty`` answers come before each that is not."""

    now: float = 1_700_000_000.0
    hours: int = 24
    created: float = 1_600_000_000.0
    most: int = 3
    shards: dict[str, FakeShard] = field(default_factory=dict)
    steps: Steps = field(default_factory=Steps)
    """Requests and their replies."""

    commits: Steps = field(default_factory=Steps)
    failures: deque[Exception | None] = field(default_factory=deque)
    """What the next requests fail with; None: they do not."""

    lost: int = 0
    """So many replies are lost, after the request was answered."""

    is_gone: bool = False
    sent: Counter[str] = field(default_factory=Counter)
    iterators: dict[str, tuple[str, int, float]] = field(default_factory=dict)
    _sequence: int = 49 * 10**53

    @classmethod
    def of(cls, shards: int) -> FakeStream:
        stream = cls()
        for _ in range(shards):
            stream._new_shard()
        return stream

    # ---- what producers and operators do

    def put(self, data: str | bytes, key: str = "a", shard: int | None = None) -> str:
        """A record; to the open shard of this number among those that are open."""
        ids = self.open_shards()
        id = ids[(hash(key) if shard is None else shard) % len(ids)]
        self._sequence += 7
        value = data.encode() if isinstance(data, str) else data
        self.shards[id].records.append(FakeRecord(self._sequence, key, value, self.now))
        return id

    def open_shards(self) -> list[str]:
        return [id for id, shard in self.shards.items() if shard.closed is None]

    def split(self, id: str) -> list[str]:
        self._close(id)
        return [self._new_shard((id,)), self._new_shard((id,))]

    def merge(self, one: str, other: str) -> str:
        self._close(one)
        self._close(other)
        return self._new_shard((one, other))

    def expire_iterators(self) -> None:
        self.iterators = {token: (id, at, float("-inf")) for token, (id, at, _) in self.iterators.items()}

    def _close(self, id: str) -> None:
        self._sequence += 7
        self.shards[id].closed, self.shards[id].end = self._sequence, self.now

    def _new_shard(self, parents: tuple[str, ...] = ()) -> str:
        id = f"shardId-{self._count():012d}"
        self.shards[id] = FakeShard(parents)
        return id

    def _count(self) -> int:
        return max((int(id[8:]) + 1 for id in self.shards), default=0)

    def _trim(self) -> None:
        horizon = self.now - self.hours * 3600
        for shard in self.shards.values():
            shard.records = [r for r in shard.records if r.arrived >= horizon]
        self.shards = {id: s for id, s in self.shards.items() if s.closed is None or s.end >= horizon}

    # ---- what boto3's client does

    def _asked(self, operation: str) -> None:
        self.steps.step()
        self.sent[operation] += 1
        if self.failures and (failure := self.failures.popleft()) is not None:
            raise failure
        if self.is_gone:
            raise refused(400, "ResourceNotFoundException")
        self._trim()

    def _reply(self, **fields: Any) -> Any:
        self.steps.step()
        if self.lost:
            self.lost -= 1
            raise refused(500, "InternalFailure")
        date = format_datetime(datetime.fromtimestamp(self.now, UTC), usegmt=True)
        return {**fields, "ResponseMetadata": {"HTTPHeaders": {"date": date}}}

    def describe_stream_summary(self, StreamName: str) -> Any:  # noqa: N803
        self._asked("describe")
        about = {
            "StreamARN": "arn:s", "StreamCreationTimestamp": datetime.fromtimestamp(self.created, UTC),
            "RetentionPeriodHours": self.hours,
        }  # fmt: skip
        return self._reply(StreamDescriptionSummary=about)

    def list_shards(self, StreamName: str = "", NextToken: str = "") -> Any:  # noqa: N803
        self._asked("shards")
        ids = sorted(id for id in self.shards if id > NextToken)
        more = {"NextToken": ids[1]} if len(ids) > 2 else {}
        return self._reply(Shards=[self._listed(id) for id in ids[:2]], **more)

    def _listed(self, id: str) -> Any:
        shard, range_ = self.shards[id], {"StartingSequenceNumber": "1"}
        if shard.closed is not None:
            range_["EndingSequenceNumber"] = str(shard.closed)
        parents = dict(zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False))
        return {"ShardId": id, "SequenceNumberRange": range_, **parents}

    def get_shard_iterator(
        self,
        StreamName: str,  # noqa: N803
        ShardId: str,  # noqa: N803
        ShardIteratorType: str,  # noqa: N803
        StartingSequenceNumber: str = "",  # noqa: N803
        Timestamp: float = 0.0,  # noqa: N803
    ) -> Any:
        self._asked("iterator")
        if ShardId not in self.shards:
            raise refused(400, "ResourceNotFoundException")
        at = 0
        if ShardIteratorType == "AT_SEQUENCE_NUMBER":
            at = int(StartingSequenceNumber)
            if at > self._sequence:
                raise refused(400, "InvalidArgumentException")
        elif ShardIteratorType == "AT_TIMESTAMP":
            later = [r.sequence for r in self.shards[ShardId].records if r.arrived >= Timestamp]
            at = min(later, default=self._sequence + 1)
        else:
            assert ShardIteratorType == "TRIM_HORIZON"
        return self._reply(ShardIterator=self._iterator(ShardId, at))

    def _iterator(self, id: str, at: int) -> str:
        token = f"i{len(self.iterators)}"
        self.iterators[token] = id, at, self.now
        return token

    def get_records(self, ShardIterator: str, Limit: int) -> Any:  # noqa: N803
        self._asked("records")
        id, at, made = self.iterators[ShardIterator]
        if self.now - made > 300 or id not in self.shards:
            raise refused(400, "ExpiredIteratorException")
        shard = self.shards[id]
        found = [r for r in shard.records if r.sequence >= at]  # what was trimmed is passed over without a word
        records, rest = found[: self.most], found[self.most :]
        at = records[-1].sequence + 1 if records else at
        behind = max(1, round((self.now - rest[0].arrived) * 1000)) if rest else 0
        ended = shard.closed is not None and not rest
        entries = [
            {
                "SequenceNumber": str(r.sequence), "PartitionKey": r.key, "Data": r.data,
                "ApproximateArrivalTimestamp": datetime.fromtimestamp(r.arrived, UTC),
            }
            for r in records
        ]  # fmt: skip
        more = {} if ended else {"NextShardIterator": self._iterator(id, at)}
        return self._reply(Records=entries, MillisBehindLatest=behind, **more)

    def close(self) -> None:
        """Nothing is open."""
