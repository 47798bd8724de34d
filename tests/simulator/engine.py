"""Runs processes (generators of requests) one step at a time over a table in memory, from one seed.

The table guarantees what DynamoDB does: transactions are atomic and single items are read strongly, but a query reads
its items one by one, and anything may happen in between. Requests and replies get lost; a request may take effect long
after its sender gave up, or twice; processes die at any step.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from operators.errors import DataflowError
from runtime.catalogue.key_value import (
    ConditionFailed,
    Get,
    GetHeads,
    Heads,
    Item,
    KeyScan,
    OutcomeUnknown,
    Put,
    PutHead,
    Query,
    Row,
    Transact,
    holds,
)

Script = Generator[Any, Any, None]


@dataclass(frozen=True)
class PutObject:
    path: str


@dataclass(frozen=True)
class DeleteObjects:
    paths: tuple[str, ...]


@dataclass(frozen=True)
class ListObjects:
    pass


class MemoryTable:
    """A ``Table`` in dictionaries; ``items[partition][sort]`` is (number, body)."""

    def __init__(self, most: int = 100) -> None:
        self.most = most
        self.items: dict[str, dict[str, Item]] = {}
        self.beside: Heads = {}

    def get(self, request: Get) -> Item | None:
        return self.items.get(request.partition, {}).get(request.sort)

    def query(self, request: Query) -> list[Row]:
        part = self.items.get(request.partition, {})
        sorts = sorted(s for s in part if request.low <= s < request.high)
        return [(s, *part[s]) for s in (sorts[-1:] if request.last else sorts)]

    def scan(self, request: KeyScan) -> tuple[bytes, bytes]:
        return request.split(self.query(request.query))

    def next_row(self, request: Query, after: str | None) -> Row | None:
        """The first item of the query's range beyond ``after``, as it is now."""
        part = self.items.get(request.partition, {})
        sorts = sorted(part)
        i = bisect_left(sorts, request.low if after is None else after + "\0")
        return (sorts[i], *part[sorts[i]]) if i < len(sorts) and sorts[i] < request.high else None

    def transact(self, request: Transact) -> None:
        assert len(request.items) <= self.most, "too many items for one transaction"
        places = [(item.partition, item.sort) for item in request.items]
        assert len(set(places)) == len(places), "DynamoDB refuses two operations on one item"
        failed = []
        for i, item in enumerate(request.items):
            found = self.items.get(item.partition, {}).get(item.sort)
            if not holds(item.when, item.bound, None if found is None else found[0]):
                failed.append(i)
        if failed:
            raise ConditionFailed(failed)
        for item in request.items:
            if isinstance(item, Put):
                self.items.setdefault(item.partition, {})[item.sort] = (item.number, item.body)

    def heads(self) -> Heads | None:
        return dict(self.beside)

    def put_head(self, request: PutHead) -> None:
        if self.beside.get(request.stream, (0, ""))[0] < request.seq:
            self.beside[request.stream] = request.seq, request.hash

    def problems(self) -> list[str]:
        return []

    def close(self) -> None:
        """Nothing to close."""


@dataclass
class Faults:
    """How often things go wrong: per transaction a lost request, reply or a late copy; per step a death."""

    lost_request: float = 0.0
    lost_reply: float = 0.0
    late_request: float = 0.0
    duplicate: float = 0.0
    crash: float = 0.0


@dataclass
class Process:
    name: str
    script: Script
    priority: float
    on_crash: Callable[[], None] | None = None
    request: Any = None
    rows: list[Row] = field(default_factory=list)
    known: frozenset[str] | None = None  # while a query lingers at its end: the sort keys that it has passed


class Engine:
    """One run. ``mode`` is 'priority' (always the highest one runs, priorities fall at random points) or 'uniform'."""

    def __init__(self, seed: int, table: MemoryTable, faults: Faults, mode: str = "priority") -> None:
        self.random = random.Random(seed)
        self.table = table
        self.faults = faults
        self.mode = mode
        self.objects: set[str] = set()
        self.processes: list[Process] = []
        self.seen: Counter[str] = Counter()
        self.step = 0
        self._floor = 0.0
        horizon = self.random.choice((30, 80, 200))
        self._changes = {self.random.randrange(horizon) for _ in range(self.random.randrange(2, 9))}

    def start(self, name: str, script: Script, on_crash: Callable[[], None] | None = None) -> None:
        process = Process(name, script, self.random.random() + 1, on_crash)
        self.processes.append(process)
        self._advance(process, None, None)

    def run(self) -> None:
        before: Process | None = None
        while self.processes:
            process = self._pick()
            if before is not None and before is not process and before in self.processes:
                self.seen["switch"] += 1
                if before.rows:
                    self.seen["switch in a query"] += 1
            before = process
            self.step += 1
            assert self.step < 50_000, "the run does not end"
            if self.step in self._changes:
                self._floor -= 1
                process.priority = self._floor
            if self.random.random() < self.faults.crash and process.on_crash is not None:
                self.seen["crash"] += 1
                self.processes.remove(process)
                process.script.close()
                process.on_crash()
                continue
            self._serve(process)

    def _pick(self) -> Process:
        if self.mode == "uniform":
            return self.random.choice(self.processes)
        return max(self.processes, key=lambda p: p.priority)

    def _serve(self, process: Process) -> None:
        """One small step of the process's request: one item of a query, or the whole of anything else."""
        request = process.request
        reply: Any = None
        failure: Exception | None = None
        match request:
            case Get():
                reply = self.table.get(request)
            case Query(last=True):
                reply = self.table.query(request)
            case Query():
                if not self._read_on(process, request):
                    return
                reply, process.rows = process.rows, []
            case KeyScan():
                if not self._read_on(process, request.query):
                    return
                reply, process.rows = request.split(process.rows), []
            case Transact():
                failure = self._transact(request)
            case GetHeads():
                reply = self.table.heads()
            case PutHead():
                self.table.put_head(request)
            case PutObject():
                self.objects.add(request.path)
            case DeleteObjects():
                self.objects -= set(request.paths)
            case ListObjects():
                reply = sorted(self.objects)
            case _:
                raise AssertionError(f"unknown request {request!r}")
        self._advance(process, reply, failure)

    def _read_on(self, process: Process, request: Query) -> bool:
        """Read one more item of a query; True when it is at its end.

        It may linger there: an item that comes now at a place it has passed is not seen, one behind that is.
        """
        if process.known is not None:
            passed = process.rows[-1][0] if process.rows else ""
            late = [row for row in self.table.query(request) if row[0] not in process.known and row[0] > passed]
            process.known = None
            if len(late) > 1:
                self.seen["query with a gap"] += 1
                process.rows += late[1:]
            return True
        row = self.table.next_row(request, process.rows[-1][0] if process.rows else None)
        if row is not None:
            process.rows.append(row)
            return False
        if self.random.random() < 0.25:
            return True
        process.known = frozenset(self.table.items.get(request.partition, ()))
        return False

    def _transact(self, request: Transact) -> Exception | None:
        dice = self.random.random()
        faults = self.faults
        if dice < faults.lost_request:
            self.seen["lost request"] += 1
            return OutcomeUnknown("the request was lost")
        dice -= faults.lost_request
        if dice < faults.late_request:
            self.seen["late request"] += 1
            self.start("late", self._copy(request))
            return OutcomeUnknown("the request will come late")
        dice -= faults.late_request
        if self.random.random() < faults.duplicate:
            self.seen["duplicate"] += 1
            self.start("duplicate", self._copy(request))
        try:
            self.table.transact(request)
        except ConditionFailed as error:
            for i in error.failed:
                self.seen["refused: " + request.items[i].partition.partition("/")[2][:3]] += 1
            failure: Exception | None = error
        else:
            failure = None
        if dice < faults.lost_reply:
            self.seen["lost reply"] += 1
            return OutcomeUnknown("the reply was lost")
        return failure

    def _copy(self, request: Transact) -> Script:
        """A copy of the request on its way: it waits some steps, then takes effect if it still can."""
        for _ in range(self.random.randrange(1, 4)):
            yield ListObjects()
        try:
            self.table.transact(request)
            self.seen["late effect"] += 1
        except ConditionFailed:
            self.seen["late refusal"] += 1

    def _advance(self, process: Process, reply: Any, failure: Exception | None) -> None:
        try:
            process.request = process.script.send(reply) if failure is None else process.script.throw(failure)
        except StopIteration:
            self.processes.remove(process)
        except DataflowError as error:
            raise AssertionError(f"{process.name}: {error}") from error
