"""A stream that is kept: ingests, compactions, sources taken back and replaced, floors, erased keys, sweeps.

Every file holds units of rows, each of one attempt, day and key. What must be live is computed from what the records
of the log say they do, without their files: a second, simple implementation.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from operators.errors import DataflowError
from runtime.catalogue import (
    DAY,
    AlreadyIngested,
    AttemptSwept,
    Committed,
    FileEntry,
    Left,
    OutcomeUnknown,
    Record,
    Snapshot,
    SourceEntry,
    Superseded,
    TakenBack,
    file_path,
)
from runtime.catalogue.items.entries import SEQ
from runtime.catalogue.key_value import run
from runtime.catalogue.protocol import StreamSteps
from runtime.catalogue.repair.audit import audit_steps, live_files
from runtime.errors import StoreError
from tests.simulator.engine import DeleteObjects, Engine, Faults, ListObjects, PutObject, Script
from tests.simulator.upkeep_model import Expected, Query, TimedTable, Unit
from tests.simulator.world import FIRST_DAY, SCHEMA, STREAM, Violation, World

GRACE = 400
"""Time after which a replaced file may be deleted, and after which a query may be too old."""

CARRIED = 9
"""The key of units that stand for all before a floor."""

KEYS = [hashlib.sha256(f"key {n}".encode()).hexdigest() for n in range(2)]


@dataclass
class UpkeepWorld(World):
    """One run of a kept stream."""

    grace: int = GRACE

    def __post_init__(self) -> None:
        super().__post_init__()
        rare = self.random.choice((0.0, 0.05, 0.2))
        faults = Faults(rare, rare, rare, rare, self.random.choice((0.0, 0.01, 0.03)))
        table = TimedTable(most=8)
        self.table = table
        self.engine = table.engine = Engine(self.seed, table, faults, self.mode)
        table.now = self.now
        self.waited = 0
        patience, room = self.steps.patience, self.steps.room
        self.steps = self.variant.steps(STREAM, 5, self.now)
        self.steps.patience, self.steps.room = patience, room
        self.grace = self.variant.grace if self.variant.grace is not None else GRACE
        self.holds: dict[str, tuple[Unit, ...]] = {}  # path -> units
        self.brought: dict[str, tuple[Unit, ...]] = {}  # attempt -> units
        self.asked: set[str] = set()  # attempts of ingests that were asked for again
        self.done: list[tuple[int, str]] = []  # acknowledged commits
        self.queries: list[Query] = []
        self.noted: set[str] = set()  # attempts that note a key to be erased
        self.ends: dict[str, int] = {}  # attempts that end such an erasure -> the key

    def now(self) -> int:
        """The time: a step takes one, or ten if it waits for it to pass."""
        return self.engine.step + self.waited

    def play(self) -> None:
        names = [hashlib.sha256(f"{self.seed}-{i}".encode()).hexdigest() for i in range(self.random.randrange(2, 4))]
        dice = self.random
        for name in names:
            for _ in range(dice.choice((1, 1, 2))):
                shape = [(dice.randrange(2), n % 2, n) for n in range(dice.choice((1, 2, 4)))]
                self.begin("ingest", self.bring, name, shape, dice.random() < 0.3, dice.random() < 0.1)
        # Some runs have few kinds of clients, which then meet more often.
        only = dice.choice((None, None, None, "erase", "collect", "undo"))
        if only in (None, "collect", "undo"):
            for _ in range(dice.randrange(1, 4)):
                self.engine.start("compact", self.merge(), self._nothing)
        if only in (None, "undo"):
            for kind, client in (("undo", self.undo), ("replace", self.renew)):
                for _ in range(dice.choice((0, 0, 1, 2))):
                    self.engine.start(kind, client(dice.choice(names)), self._nothing)
        if only is None:
            for _ in range(dice.choice((0, 1, 2))):
                self.engine.start("retain", self.retain(dice.choice((0, 1))), self._nothing)
        erasures = dice.choice((1, 2)) if only == "erase" else dice.choice((0, 1)) if only is None else 0
        for _ in range(erasures):
            self.engine.start("erase", self.erase(dice.choice((0, 1, 2, 2)), dice.random() < 0.3), self._nothing)
        for _ in range(dice.randrange(4)):
            self.engine.start("query", self.ask(dice.choice((None, None, 0, 1))))
        if only in (None, "collect"):
            for _ in range(dice.randrange(3)):
                self.engine.start("collect", self.collect(), self._nothing)
        if only is None and dice.random() < 0.4:
            self.engine.start("sweep", self.sweep(), self._nothing)
        self.engine.run()
        try:
            self.check()
        except DataflowError as error:
            raise Violation(f"what is there cannot be read: {error}") from error

    def begin(self, kind: str, client: object, *given: object) -> None:
        """Start a process that is started again, with a new attempt, when it dies."""

        def again() -> None:
            self.restarts += 1
            if self.restarts < 20:
                self.begin(kind, client, *given)

        self.engine.start(kind, client(*given), again)  # type: ignore[operator]

    # The clients

    def bring(
        self, source: str, shape: list[tuple[int, int, int]], again: bool = False, poison: bool = False
    ) -> Script:
        """Ingest a source, without the keys that were erased."""
        if again:
            yield from self._wait()
        for _ in range(4):
            attempt = self._attempt()
            known, keys, floor = yield from self._erased()
            kept = [] if poison else [of for of in shape if of[0] >= floor]
            files, entry = self._source(source, attempt, kept, keys, poison)
            for file in files:
                yield PutObject(file.path)
            if again:
                self.asked.add(attempt)
            try:
                done = yield from self.steps.commit(SCHEMA, entry, files, attempt, again=again, erased=known)
            except (AttemptSwept, Superseded) as error:
                self.seen["ingest planned again" if isinstance(error, Superseded) else "swept away"] += 1
                continue
            except OutcomeUnknown:
                return
            if isinstance(done, AlreadyIngested):
                self.seen["passed over, taken back" if done.source.undone else "already ingested"] += 1
                yield DeleteObjects(tuple(file.path for file in files))
                return
            yield from self._finished(done, attempt, "ingested")
            return

    def merge(self) -> Script:
        """A compaction of some files into one, over both days or one."""
        yield from self._wait()
        snapshot = yield from self.variant.reads(self.steps).snapshot()
        points = [] if snapshot is None else snapshot.points
        if not points:
            return
        wide = self.random.random() < 0.5
        inputs = [f for f in points if wide or f.day == points[0].day][: self.random.choice((2, 4, 9))]
        attempt = self._attempt()
        output = self._holding(attempt, 0, [unit for file in inputs for unit in self.holds[file.path]], SEQ)
        for file in output:
            yield PutObject(file.path)
        try:
            done = yield from self.steps.replace(inputs, output, attempt)
        except OutcomeUnknown:
            return
        yield from self._finished(done, attempt, "compacted", output)

    def undo(self, source: str) -> Script:
        yield from self._wait()
        for _ in range(3):
            plan = yield from self._plan(source)
            if plan is None:
                return
            attempt, taken = plan
            try:
                done = yield from self.steps.undo(taken.sources, taken.dels, taken.adds, attempt, taken.left)
            except OutcomeUnknown:
                return
            yield from self._finished(done, attempt, "undone", taken.adds)
            if done is not None:
                return

    def renew(self, source: str) -> Script:
        """Replace a source by itself or by another one."""
        yield from self._wait()
        for _ in range(3):
            plan = yield from self._plan(source, first=4)
            if plan is None:
                return
            attempt, taken = plan
            known, keys, floor = yield from self._erased()
            new = source if self.random.random() < 0.5 else hashlib.sha256(f"{source} anew".encode()).hexdigest()
            shape = [(day, key, 10) for day in range(floor, 2) for key in range(2)]
            files, entry = self._source(new, attempt, shape, keys, False)
            for file in files:
                yield PutObject(file.path)
            self.asked.add(attempt)
            try:
                done = yield from self.steps.commit(SCHEMA, entry, files, attempt, replacing=taken, erased=known)
            except (Superseded, AttemptSwept):
                self.seen["replacement planned again"] += 1
                continue
            except OutcomeUnknown:
                return
            if isinstance(done, AlreadyIngested):
                self.seen["already ingested"] += 1
                return
            yield from self._finished(done, attempt, "replaced")
            return

    def retain(self, day: int) -> Script:
        yield from self._wait()
        for _ in range(3):
            snapshot = yield from self.variant.reads(self.steps).snapshot()
            if snapshot is None:
                return
            dels = [file for file in snapshot.files if file.day < FIRST_DAY + day]
            attempt = self._attempt()
            adds = yield from self._without(attempt, dels, lambda unit: unit.day < day)
            if dels:
                carried = self._holding(attempt, 99, [Unit(attempt, day - 1, CARRIED, 0)])
                yield PutObject(carried[0].path)
                adds += carried
            left = self._left(snapshot, dels, adds)
            try:
                done = yield from self.steps.raise_floor(FIRST_DAY + day, dels, adds, attempt, left)
            except OutcomeUnknown:
                return
            except StoreError:
                self.seen["floor is higher"] += 1
                return
            yield from self._finished(done, attempt, "retained", adds)
            if done is not None:
                return

    def erase(self, key: int, noted: bool) -> Script:
        """Erase a key; 2: the whole stream. A key may be ``noted`` first."""
        yield from self._wait()
        if noted and key < 2:
            last, _ = yield from self.steps.last_record()
            if last is None:
                return
            attempt = self._attempt()
            self.noted.add(attempt)
            try:
                done = yield from self.steps.note_erased([KEYS[key]], attempt)
            except OutcomeUnknown:
                return
            if done is None:
                return
            yield from self._finished(done, attempt, "key noted")
        for _ in range(4):
            snapshot = yield from self.variant.reads(self.steps).snapshot()
            if snapshot is None:
                return
            attempt = self._attempt()
            try:
                if key == 2:
                    done = yield from self.steps.erase_all(list(snapshot.files), attempt, snapshot.seq)
                    yield from self._finished(done, attempt, "stream erased")
                else:
                    dels = [f for f in snapshot.files if any(unit.key == key for unit in self.holds[f.path])]
                    adds = yield from self._without(attempt, dels, lambda unit: unit.key == key)
                    left = self._left(snapshot, dels, adds)
                    if noted:
                        self.ends[attempt] = key
                    done = yield from self.steps.erase([] if noted else [KEYS[key]], dels, adds, attempt, left)
                    yield from self._finished(done, attempt, "key erased", adds)
            except OutcomeUnknown:
                return
            if done is not None:
                return

    def ask(self, day: int | None) -> Script:
        """A query, which reads its files some time after it planned them."""
        yield from self._wait()
        begun, acknowledged = self.now(), max((seq for seq, _ in self.done), default=0)
        since = None if day is None else (FIRST_DAY + day) * DAY
        try:
            snapshot = yield from self.variant.reads(self.steps).snapshot(since, None if since is None else since + DAY)
        except DataflowError as error:
            raise Violation(f"a read failed: {error}") from error
        for _ in range(self.random.choice((5, 30, 150))):
            there = yield ListObjects()
        ended = self.now()
        missing: dict[str, int | None] = {}
        for path in sorted({f.path for f in snapshot.files} - set(there)) if snapshot else []:
            missing[path] = yield from self.steps.replaced(path)
        days = None if day is None else (day, day)
        self.queries.append(Query(begun, ended, acknowledged, days, snapshot, missing))

    def collect(self) -> Script:
        """Delete files some time after they were replaced, by the log."""
        for _ in range(3):
            for _ in range(self.random.choice((1, 15, 45))):
                there = yield ListObjects()
                self.waited += 10
            records = yield from self.steps.records_after(0)
            for record in records:
                paths = tuple(gone.path for gone in record.dels if gone.path in there)
                if paths and record.at + self.grace <= self.now():
                    self.seen["collected"] += 1
                    yield DeleteObjects(paths)

    # What clients share

    def _finished(self, done: Committed | None, attempt: str, what: str, files: Sequence[FileEntry] = ()) -> Script:
        if done is None:
            self.seen[f"not {what}, planned again"] += 1
            yield DeleteObjects(tuple(file.path for file in files))
            return
        self.seen[what] += 1
        self.done.append((done.seq, attempt))
        yield from self._catch_up()

    def _erased(self) -> Script:
        """The number of keys that are erased, read before these; and the first day that is kept."""
        last, _ = yield from self.steps.last_record()
        known = 0 if last is None else last.totals.erased
        floor = 0 if last is None or last.floor is None else last.floor - FIRST_DAY
        found = yield from self.steps.erased()
        return known, {KEYS.index(digest) for digest in found}, floor

    def _plan(self, source: str, first: int = 0) -> Script:
        """An attempt to take a source back: its files, written; None if there is nothing to do."""
        snapshot = yield from self.variant.reads(self.steps).snapshot()
        known = None if snapshot is None else (yield from self.steps.source(source))
        if known is None or known[0].undone:
            return None
        attempt, brought = self._attempt(), known[2]
        dels = [f for f in snapshot.files if any(unit.attempt == brought for unit in self.holds[f.path])]
        adds = yield from self._without(attempt, dels, lambda unit: unit.attempt == brought, first)
        return attempt, TakenBack([source], dels, adds, self._left(snapshot, dels, adds))

    def _without(self, attempt: str, dels: Sequence[FileEntry], lost: object, first: int = 0) -> Script:
        adds: list[FileEntry] = []
        for n, file in enumerate(dels):
            rest = [unit for unit in self.holds[file.path] if not lost(unit)]  # type: ignore[operator]
            adds += self._holding(attempt, first + n, rest, SEQ)
        for file in adds:
            yield PutObject(file.path)
        return adds

    def _left(self, snapshot: Snapshot, dels: Sequence[FileEntry], adds: Sequence[FileEntry]) -> Left:
        rest = [*(file for file in snapshot.files if file not in dels), *adds]
        first, last = min((f.t_min for f in rest), default=None), max((f.t_max for f in rest), default=None)
        return Left(snapshot.seq, first, last)

    def _source(
        self, source: str, attempt: str, shape: list[tuple[int, int, int]], erased: set[int], poison: bool
    ) -> tuple[list[FileEntry], SourceEntry]:
        units = [Unit(attempt, day, key, n) for day, key, n in shape if key not in erased]
        self.brought[attempt] = tuple(units)
        files = [file for n, unit in enumerate(units) for file in self._holding(attempt, 20 + n, [unit])]
        entry = SourceEntry(source, source[:4], 1, rejected=len(shape) % 3, dropped=len(shape) % 2)
        return files, replace(entry, quarantined="damaged" if poison else None)

    def _holding(self, attempt: str, number: int, units: Sequence[Unit], *nulls: str) -> list[FileEntry]:
        """The entry of a file with these units; none if there are none."""
        if not units:
            return []
        first, last = (FIRST_DAY + pick(unit.day for unit in units) for pick in (min, max))
        path = file_path(STREAM, first, attempt, number)
        self.holds[path] = tuple(units)
        times = first * DAY, last * DAY
        return [FileEntry(path, first, len(units), 1, *times, "0" * 64, nulls=dict.fromkeys(nulls, 0))]

    # What must hold

    def check(self) -> None:
        late, _ = run(self.table, self.steps.last_record())
        if late is None:
            if self.done:
                raise Violation("commits were acknowledged, but there is no log")
            return
        records = run(self.table, StreamSteps(STREAM, self.table.most).records_after(0))
        states = self._expected(records)
        self._check_queries(records, states)
        for seq, attempt in self.done:
            if seq > len(records) or records[seq - 1].attempt != attempt:
                raise Violation(f"commit {seq} was acknowledged to {attempt}, which is not in its place")
        try:
            run(self.table, self.steps.catch_up())
            problems = run(self.table, audit_steps(StreamSteps(STREAM, self.table.most)))
        except DataflowError as error:
            raise Violation(f"the index cannot be brought up to date: {error}") from error
        if problems:
            raise Violation("; ".join(problems))
        live = list(live_files(records).values())
        self._compare("in the end", live, states[-1], None)
        if gone := {file.path for file in live} - self.engine.objects:
            raise Violation(f"committed files are gone: {sorted(gone)}")
        self._check_intents(live)
        self._check_lists()

    def _expected(self, records: Sequence[Record]) -> list[Expected]:
        """What must be live after each commit."""
        states = [Expected()]
        for record in records:
            before = states[-1]
            now = Expected(Counter(before.units), dict(before.live), set(before.undone), record.floor)
            now.fading = set(before.fading)
            if record.totals.begun == record.seq:
                now = Expected()
            elif before.floor is not None and (record.floor is None or record.floor < before.floor):
                raise Violation(f"commit {record.seq} lets the floor fall")
            for source in record.undone:
                if source not in now.live:
                    raise Violation(f"commit {record.seq} takes back a source that is not there")
                brought = self.brought[now.live.pop(source)]
                now.units -= Counter(unit for unit in brought if unit in now.units)
                now.undone.add(source)
            gone = {KEYS.index(digest) for digest in record.erased}
            if record.attempt in self.noted:
                now.fading |= gone
                gone = set()
            elif record.attempt in self.ends:
                gone = {self.ends[record.attempt]}
            now.fading -= gone
            now.units = Counter(unit for unit in now.units if unit.key not in gone)
            if record.source is not None:
                if record.source in now.live and self.brought[now.live[record.source]]:
                    raise Violation(f"commit {record.seq} adds a source that is there")
                if record.source in now.undone and record.attempt not in self.asked:
                    raise Violation(f"commit {record.seq} adds a source that was taken back, unasked")
                now.live[record.source] = record.attempt
                now.undone.discard(record.source)
                now.units += Counter(self.brought[record.attempt])
            states.append(now)
        erased = {KEYS.index(digest) for record in records for digest in record.erased}
        if any(unit.key in erased - states[-1].fading for unit in states[-1].units):
            raise Violation("an erased key is there")
        return states

    def _compare(self, when: str, files: Sequence[FileEntry], state: Expected, days: tuple[int, int] | None) -> None:
        """The units of files, from the floor on, are those that must be live, and no others are there."""
        low, high = days or (0, 9)
        low = max(low, self._floor(state))
        found = Counter(unit for file in files for unit in self.holds[file.path] if low <= unit.day <= high)
        expected = Counter(unit for unit in state.units if low <= unit.day <= high)
        found, expected = (
            Counter({u: n for u, n in c.items() if u.key not in state.fading}) for c in (found, expected)
        )
        if below := [u for f in files for u in self.holds[f.path] if u.day < self._floor(state) and u.key != CARRIED]:
            raise Violation(f"{when}, there are rows below the floor: {below}")
        if found != expected:
            raise Violation(f"{when}, rows are missing: {expected - found}; should not be there: {found - expected}")

    def _floor(self, state: Expected) -> int:
        return 0 if state.floor is None else state.floor - FIRST_DAY

    def _check_queries(self, records: Sequence[Record], states: Sequence[Expected]) -> None:
        assert isinstance(self.table, TimedTable)
        replaced = {gone.path: record for record in records for gone in record.dels}
        for query in self.queries:
            seq = query.snapshot.seq if query.snapshot else 0
            if seq < query.acknowledged:
                raise Violation(f"a read at {seq} does not see commit {query.acknowledged} from before it")
            if query.snapshot is None:
                continue
            self.seen["read"] += 1
            self.seen["read while others committed"] += seq < len(records)
            self._compare(f"in a read at {seq}", list(query.snapshot.files), states[seq], query.days)
            for path, by in query.missing.items():
                record = replaced.get(path)
                if record is None or by != record.seq:
                    raise Violation(f"a file that a query planned is gone, unexplained: {path}")
                # A request that took effect late wrote an earlier time.
                slack = self.table.effects[record.seq] - record.at
                if query.ended - query.begun + slack < GRACE:
                    raise Violation(f"a file was deleted below a query of {query.ended - query.begun}: {path}")
                self.seen["query too old"] += 1

    def _check_intents(self, live: Sequence[FileEntry]) -> None:
        """What was left of attempts that died blocks nothing: all files can be replaced."""
        if not live:
            return
        self.seen["intents left"] += any(
            b'"attempt"' in self.table.items.get(f"{STREAM}/DEL", {}).get(file.path, (0, b""))[1] for file in live
        )
        attempt = self._attempt()
        made = self._holding(attempt, 0, [unit for file in live for unit in self.holds[file.path]], SEQ)
        self.engine.objects.add(made[0].path)
        if run(self.table, self.steps.replace(live, made, attempt)) is None:
            raise Violation("a file cannot be replaced for ever")
