"""What the simulator knows of a stream that is kept: units of rows, queries, what must be live, times of commits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from runtime.catalogue import Snapshot
from runtime.catalogue.key_value import Put, Transact
from tests.simulator.engine import Engine, MemoryTable
from tests.simulator.world import STREAM


@dataclass(frozen=True)
class Unit:
    """Rows of one key and day that an attempt brought."""

    attempt: str
    day: int
    key: int
    number: int


class TimedTable(MemoryTable):
    """Notes when each commit took effect, and counts intents."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.engine: Engine | None = None
        self.now: Callable[[], int] = int
        self.effects: dict[int, int] = {}

    def transact(self, request: Transact) -> None:
        partition = f"{STREAM}/DEL"
        held = {put.sort: self.items.get(partition, {}).get(put.sort) for put in request.items}
        super().transact(request)
        assert self.engine is not None
        for put in request.items:
            if isinstance(put, Put) and put.partition == f"{STREAM}/LOG":
                self.effects[int(put.sort)] = self.now()
            if isinstance(put, Put) and put.partition == partition:
                self.engine.seen["intent"] += b'"attempt"' in put.body
                before = held[put.sort]
                if before is not None and before[1].partition(b',"seal"')[0] != put.body.partition(b',"seal"')[0]:
                    self.engine.seen["intent taken over"] += 1


@dataclass
class Query:
    """What a query planned, when it began and ended, and which files were gone by then."""

    begun: int
    ended: int
    acknowledged: int
    days: tuple[int, int] | None
    snapshot: Snapshot | None
    missing: dict[str, int | None]


@dataclass
class Expected:
    """What must be live, by what the records say."""

    units: Counter[Unit] = field(default_factory=Counter)
    live: dict[str, str] = field(default_factory=dict)  # source -> the attempt that brought it
    undone: set[str] = field(default_factory=set)
    floor: int | None = None
    fading: set[int] = field(default_factory=set)  # keys that were noted, and may be there
