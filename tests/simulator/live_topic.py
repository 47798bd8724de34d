"""A topic whose messages are numbered records, and consumers that repeat, stall and are given other partitions."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

from tests.runtime.live.feeds.fake_kafka import Consumer, Message, Topic
from tests.simulator.engine import ListObjects, Script

DAYS = 6
"""The days on which records are."""


@dataclass
class Records:
    """A topic that gets records while it is read, and the group that shares its partitions."""

    random: random.Random
    partitions: int
    topic: Topic = field(init=False)
    days: list[list[int]] = field(init=False)
    """The day of each record, by partition and number."""

    members: list[ShakyConsumer] = field(default_factory=list)
    shares: dict[int, ShakyConsumer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.topic = Topic.of(self.partitions)
        self.days = [[] for _ in range(self.partitions)]

    def produce(self) -> None:
        """One more record; most are later than those before, some as late as can be."""
        partition = self.random.choice((0, *range(self.partitions)))
        number = len(self.days[partition])
        newest = min(DAYS - 1, number // 2)
        day = newest if self.random.random() < 0.7 else self.random.randint(0, newest)
        self.days[partition].append(day)
        self.topic.produce(partition, json.dumps({"p": partition, "n": number, "day": day}))

    def rebalance(self) -> None:
        """The group shares the partitions anew among those of its members that are there."""
        if self.members:
            self.shares = {p: self.random.choice(self.members) for p in range(self.partitions)}

    def flow(self) -> Script:
        """Records come now and then; the broker goes away and comes back; the group shares anew."""
        for _ in range(self.random.randrange(3, 12)):
            for _ in range(self.random.choice((1, 5, 20, 60))):
                yield ListObjects()
            dice = self.random.random()
            self.topic.is_away = dice < 0.15
            if dice > 0.8:
                self.rebalance()
            for _ in range(self.random.randrange(4)):
                self.produce()
        self.topic.is_away = False


class ShakyConsumer(Consumer):
    """A consumer that takes few messages at once, and some again; of a group, it learns at its next look what it has to
    read."""

    def __init__(self, records: Records) -> None:
        super().__init__(records.topic)
        self.records = records

    def subscribe(self, topics: object, on_assign: object, on_revoke: object) -> None:
        super().subscribe([], on_assign, on_revoke)
        self.records.members.append(self)
        self.records.rebalance()

    def consume(self, most: int, timeout: float) -> list[Message]:
        dice = self.records.random
        if self.on_assign is not None:
            mine = sorted(p for p, member in self.records.shares.items() if member is self)
            if mine != sorted(self.at):
                self.share(*mine)
        if self.at and dice.random() < 0.15:
            partition = dice.choice(sorted(self.at))
            self.at[partition] = dice.randint(0, max(0, self.at[partition]))
        if dice.random() < 0.1:
            self.now += 1.0
            return []
        self.at = dict(sorted(self.at.items(), key=lambda _: dice.random()))
        return super().consume(dice.choice((1, 2, 50)), timeout)

    def close(self) -> None:
        super().close()
        if self in self.records.members:
            self.records.members.remove(self)
            self.records.rebalance()
