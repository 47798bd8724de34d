"""Where each shard of a stream of Kinesis is, and which shards were begun: both are in the commits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.live.chains import Position, SourceChain
from runtime.live.feeds.kinesis_stream import ListedShard, ShardRecord
from runtime.live.stream_watermark import IDLE

AT, SAFE, LEFT = "at", "safe", "left"
"""How a shard is begun: with what arrives from a time on; with all, of which nothing arrived before a time; not at all,
since it was closed before the feed began at the end."""

Start = Mapping[str, Any]
"""How a shard is begun; empty: with all that there is."""


@dataclass
class FollowedShard:
    """A shard: the records that wait are behind ``sequence``, its last one that is committed (None: none is).

    What arrived before ``until`` was read, and is committed or waits: if that is longer ago than records are kept, some
    may be gone. None: nothing is promised of what arrived before.
    """

    id: str
    chain: SourceChain
    start: Start
    number: int = 0
    sequence: str | None = None
    until: float | None = None
    noted: float | None = None
    """``until`` in the last commit."""

    is_ended: bool = False
    """Whether it is committed that it is closed and read to its end."""

    waiting: list[tuple[ShardRecord, bytes]] = field(default_factory=list)
    iterator: str | None = None
    expected: str | None = None
    """The record that must be the first that comes, if none was lost."""

    is_closed: bool = False
    """Whether it was read to its end."""

    is_at_end: bool = False
    """Whether there was no more when it was asked last."""

    due: float = float("-inf")
    """When to ask for more."""

    def reload(self) -> None:
        """Go on after what is committed."""
        reached = self.chain.reached()
        where = reached.position or {}
        self.number, self.sequence = reached.number, where.get("sequence")
        self.until = self.noted = where.get("until", self.start.get(AT, self.start.get(SAFE)))
        self.is_ended = self.is_closed = self.is_at_end = bool(where.get("ended")) or LEFT in self.start
        self.iterator = self.expected = None
        self.waiting.clear()

    @property
    def last(self) -> str | None:
        """The last record that was read."""
        return self.waiting[-1][0].sequence if self.waiting else self.sequence

    def position(self) -> Position:
        """The position behind what waits. A shard that has ended holds back no watermark."""
        ended = {"ended": True, IDLE: True} if self.is_closed else {}
        return self.chain.position(sequence=self.last, until=self.until, **ended)

    def committed(self, number: int, position: Position) -> None:
        """What waits up to this position is committed."""
        self.number, self.sequence, self.noted = number, position["sequence"], position["until"]
        self.is_ended = bool(position.get("ended"))
        self.waiting.clear()


@dataclass
class BegunShards:
    """Which shards were begun, and how: a shard that is gone before it was read to its end is noticed only by this."""

    chain: SourceChain
    number: int = 0
    created: str | None = None
    """Of which stream they are; None if the feed is new."""

    starts: dict[str, Start] = field(default_factory=dict)

    def reload(self) -> None:
        """What is committed."""
        reached = self.chain.reached()
        where = reached.position or {}
        self.number, self.created, self.starts = reached.number, where.get("created"), dict(where.get("shards", {}))

    def with_new(
        self,
        listed: Mapping[str, ListedShard],
        followed: Mapping[str, FollowedShard],
        first: Callable[[ListedShard], Start | None],
    ) -> dict[str, Start]:
        """They and those that can be begun now; ``first`` gives how a shard is begun at the first look (None: by the
        order of shards). A shard is begun once its parents were read to their end."""
        found = dict(self.starts)
        for id, shard in listed.items():
            start = first(shard) if self.created is None else None
            if id in found or start is not None:
                found.setdefault(id, start or {})
                continue
            parents = [followed[parent] for parent in shard.parents if parent in followed]
            if all(parent.is_ended for parent in parents) and not any(
                parent in listed and parent not in followed for parent in shard.parents
            ):
                known = [parent.until for parent in parents if parent.until is not None]
                found[id] = {SAFE: max(known)} if known else {}
        # An ended shard is forgotten once the stream has forgotten it: its children were begun.
        return {id: s for id, s in found.items() if id in listed or not followed[id].is_ended}
