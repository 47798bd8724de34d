"""The clients of one stream, what they did, and the invariants that must hold afterwards."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from dataclasses import dataclass, field

from operators.errors import DataflowError
from operators.types import Type
from runtime.catalogue import (
    DAY,
    AlreadyIngested,
    AttemptSwept,
    FileEntry,
    OutcomeUnknown,
    Snapshot,
    SourceEntry,
    StreamSchema,
    attempt_of,
    file_path,
)
from runtime.catalogue.items.file_lists import MAX_ITEM, SWEPT
from runtime.catalogue.items.seal import open_json
from runtime.catalogue.key_value import PutHead, Query, run
from runtime.catalogue.protocol import StreamSteps
from runtime.catalogue.repair.audit import audit_steps, live_files
from runtime.catalogue.snapshot import ReadSteps
from tests.simulator.engine import DeleteObjects, Engine, Faults, ListObjects, MemoryTable, PutObject, Script

STREAM = "s"
FIRST_DAY = 19_812  # the last of a month: a commit to two days touches two of them
BATCH = 5
SCHEMA = StreamSchema("k", Type.STRING, "t")


class Violation(AssertionError):
    """Something that must never be seen."""


@dataclass(frozen=True)
class Variant:
    """The protocol as it is, or with one rule broken."""

    steps: type[StreamSteps] = StreamSteps
    reads: type[ReadSteps] = ReadSteps
    delete_on_unknown: bool = False
    head_first: bool = False
    grace: int | None = None


@dataclass
class Read:
    acknowledged: int
    since: int | None
    until: int | None
    snapshot: Snapshot | None
    missing: list[str]


@dataclass
class World:
    """One run: a random mix of ingests of few sources (some twice), compactions, readers and a sweeper."""

    seed: int
    variant: Variant = field(default_factory=Variant)
    mode: str = "priority"

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed * 2 + 1)
        rare = self.random.choice((0.0, 0.05, 0.2))
        faults = Faults(rare, rare, rare, rare, self.random.choice((0.0, 0.0, 0.01)))
        self.table = MemoryTable(most=8)  # a first commit
        self.engine = Engine(self.seed, self.table, faults, self.mode)
        # Smaller, so that a commit's rows take several transactions.
        self.steps = self.variant.steps(STREAM, BATCH, lambda: 1)
        self.steps.patience = self.random.choice((0, 1, 8))
        self.steps.room = self.random.choice((MAX_ITEM, 0))  # 0: each file has a list of its own
        self.reads: list[Read] = []
        self.acknowledged: dict[str, int] = {}  # source -> commit
        self.contents: dict[str, tuple[str, ...]] = {}  # path -> the units of rows in it, "source/day/number"
        self.attempts = 0
        self.restarts = 0

    @property
    def seen(self) -> Counter[str]:
        return self.engine.seen

    def play(self) -> None:
        """Start everybody, let them run, and check what came out; raises ``Violation``."""
        for i in range(self.random.randrange(2, 4)):
            source = hashlib.sha256(f"{self.seed}-{i}".encode()).hexdigest()
            shape = [(self.random.randrange(2), n) for n in range(self.random.choice((1, 2, 4)))]
            for _ in range(self.random.choice((1, 1, 2))):
                self.start_ingest(source, shape)
        for _ in range(self.random.randrange(3)):
            self.engine.start("compact", self.compact(), self._nothing)
        for _ in range(self.random.randrange(5)):
            self.engine.start("read", self.read(self.random.choice((None, None, 0, 1))))
        if self.random.random() < 0.4:
            self.engine.start("sweep", self.sweep(), self._nothing)
        self.engine.run()
        try:
            self.check()
        except DataflowError as error:
            raise Violation(f"what is there cannot be read: {error}") from error

    def start_ingest(self, source: str, shape: list[tuple[int, int]]) -> None:
        def again() -> None:
            self.restarts += 1
            if self.restarts < 20:
                self.start_ingest(source, shape)

        self.engine.start(f"ingest {source[:4]}", self.ingest(source, shape), again)

    def _nothing(self) -> None:
        """A process that died is not started again."""

    # The clients

    def ingest(self, source: str, shape: list[tuple[int, int]]) -> Script:
        attempt = self._attempt()
        files = [self._file(day, attempt, n, (f"{source}/{day}/{n}",)) for day, n in shape]
        for file in files:
            yield PutObject(file.path)
        paths = tuple(file.path for file in files)
        entry = SourceEntry(source, source[:4], 1, rows_read=len(files), rows_committed=len(files))
        if self.variant.head_first:
            _, head = yield from self.steps.last_record()
            yield PutHead(STREAM, 1 + (0 if head is None else head.seq), "")
        try:
            done = yield from self.steps.commit(SCHEMA, entry, files, attempt)
        except AttemptSwept:
            self.seen["swept away"] += 1
            self.start_ingest(source, shape)
            return
        except OutcomeUnknown:
            self.seen["unknown outcome"] += 1
            if self.variant.delete_on_unknown:
                yield DeleteObjects(paths)
            return
        if isinstance(done, AlreadyIngested):
            self.seen["already ingested"] += 1
            yield DeleteObjects(paths)
            return
        self.acknowledged[source] = done.seq
        yield from self._catch_up()

    def _wait(self) -> Script:
        """Let the others begin: a stream without commits has nothing to compact or to read."""
        for _ in range(self.random.choice((0, 8, 16))):
            yield ListObjects()

    def compact(self) -> Script:
        yield from self._wait()
        snapshot = yield from self.variant.reads(self.steps).snapshot()
        if snapshot is None:
            return
        days = Counter(file.day for file in snapshot.files)
        if not days:
            return
        day = min(days, key=lambda d: (-days[d], d))
        inputs = [file for file in snapshot.files if file.day == day][:2]
        attempt = self._attempt()
        units = tuple(unit for file in inputs for unit in self.contents[file.path])
        output = self._file(day - FIRST_DAY, attempt, 0, units)
        yield PutObject(output.path)
        try:
            done = yield from self.steps.replace(inputs, [output], attempt)
        except (AttemptSwept, OutcomeUnknown):
            return
        if done is None:
            self.seen["compacted by another"] += 1
            yield DeleteObjects((output.path,))
            return
        self.seen["compacted"] += 1
        yield from self._catch_up()

    def read(self, day: int | None) -> Script:
        yield from self._wait()
        acknowledged = max(self.acknowledged.values(), default=0)
        since = None if day is None else (FIRST_DAY + day) * DAY
        until = None if since is None else since + DAY
        try:
            snapshot = yield from self.variant.reads(self.steps).snapshot(since, until)
        except DataflowError as error:
            raise Violation(f"a read failed: {error}") from error
        there = yield ListObjects()
        missing = sorted({f.path for f in snapshot.files} - set(there)) if snapshot else []
        self.reads.append(Read(acknowledged, since, until, snapshot, missing))

    def sweep(self) -> Script:
        there = yield ListObjects()
        records = yield from self.steps.records_after(0)
        committed = {record.attempt for record in records}
        for attempt in sorted({str(attempt_of(path)) for path in there} - committed):
            won = yield from self.steps.claim_for_sweep(attempt)
            if won:
                self.seen["swept"] += 1
                yield DeleteObjects(tuple(path for path in there if attempt_of(path) == attempt))

    def _catch_up(self) -> Script:
        yield from self.steps.note_head()
        try:
            yield from self.steps.catch_up()
        except OutcomeUnknown:
            self.seen["apply cut short"] += 1

    def _attempt(self) -> str:
        self.attempts += 1
        return f"a{self.attempts}"

    def _file(self, day: int, attempt: str, number: int, units: tuple[str, ...]) -> FileEntry:
        path = file_path(STREAM, FIRST_DAY + day, attempt, number)
        self.contents[path] = units
        start = (FIRST_DAY + day) * DAY
        return FileEntry(path, FIRST_DAY + day, len(units), 1, start, start, "0" * 64)

    # What must hold

    def check(self) -> None:
        """Everything that must hold when all is quiet; the log is the measure of the reads."""
        self._check_reads()
        self._check_lists()
        late, _ = run(self.table, self.steps.last_record())
        if late is None:
            if self.acknowledged:
                raise Violation("commits were acknowledged, but there is no log")
            return
        try:
            run(self.table, self.steps.catch_up())
            problems = run(self.table, audit_steps(StreamSteps(STREAM, self.table.most)))
        except DataflowError as error:
            raise Violation(f"the index cannot be brought up to date: {error}") from error
        if problems:
            raise Violation("; ".join(problems))
        records = run(self.table, self.steps.records_after(0))
        live = live_files(records)
        units = Counter(unit for file in live.values() for unit in self.contents[file.path])
        if units and max(units.values()) > 1:
            raise Violation(f"rows are there twice: {units.most_common(1)}")
        sources = {unit.partition("/")[0] for unit in units}
        added = {unit for r in records if r.source for f in r.adds for unit in self.contents[f.path]}
        if set(units) != added:
            raise Violation(f"rows were lost: {added - set(units)}")
        if lost := set(self.acknowledged) - sources:
            raise Violation(f"acknowledged sources are not there: {lost}")
        for source, seq in self.acknowledged.items():
            if seq > len(records) or records[seq - 1].source != source:
                raise Violation(f"commit {seq} was acknowledged for another source than it has")
        if gone := {file.path for file in live.values()} - self.engine.objects:
            raise Violation(f"committed files are gone: {sorted(gone)}")

    def _check_lists(self) -> None:
        """A list of files is one that a record names, or its attempt's files are still there for a sweep to find."""
        records = run(self.table, self.steps.records_after(0))
        named = {(record.attempt, digest) for record in records for digest in (*record.lists, *record.del_lists)}
        partition = self.steps.partition("FILES")
        for sort, number, body in self.table.query(Query(partition)):
            attempt, digest = sort.split("#")
            if (attempt, digest) in named:
                self.seen["list"] += 1
            elif open_json(partition, sort, number, body, "list") == SWEPT:
                self.seen["list emptied"] += 1
            elif not any(attempt_of(path) == attempt for path in self.engine.objects):
                raise Violation(f"a list of attempt {attempt} is left, which nothing names and no sweep can find")

    def _check_reads(self) -> None:
        records = run(self.table, StreamSteps(STREAM, self.table.most).records_after(0))
        for read in self.reads:
            seq = read.snapshot.seq if read.snapshot else 0
            if seq < read.acknowledged:
                raise Violation(f"a read at {seq} does not see commit {read.acknowledged} from before it")
            if read.snapshot is None:
                continue
            self.seen["read"] += 1
            if seq < len(records):
                self.seen["read while others committed"] += 1
            expected = sorted(live_files(records[:seq]).values(), key=lambda f: (f.day, f.seq, f.ordinal))
            if read.since is not None:
                expected = [f for f in expected if f.day == read.since // DAY]
            if list(read.snapshot.files) != expected:
                raise Violation(
                    f"a read at {seq} planned {[f.path for f in read.snapshot.files]}, not {[f.path for f in expected]}"
                )
            if read.missing:
                raise Violation(f"a read planned files that are gone: {read.missing}")
