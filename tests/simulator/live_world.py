"""Watchers of a topic, ingests, followers that deliver, compactions, undos and sweeps, over one table.

Watchers, chains, the feed, watermarks, followers and deliveries are the product's own, each process in a thread that
goes on one request at a time. An ingest makes a file of units of rows, and a query counts them by day: no data.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dataflow.plan.row_times import RowEnd, RowTimes
from operators.errors import DataflowError
from operators.types import Type
from runtime.catalogue import DAY, AlreadyIngested, AttemptSwept, OutcomeUnknown, Record, SourceEntry
from runtime.catalogue.catalogue import TableCatalogue
from runtime.catalogue.key_value import KeyValueTable, run
from runtime.catalogue.protocol import StreamSteps
from runtime.columns import Column
from runtime.display.json_form import iso
from runtime.errors import IngestError, QueryError, SnapshotTooOld
from runtime.ingest.inputs import quarantine
from runtime.ingest.inputs.inputs import BytesInput
from runtime.ingest.report import IngestReport, SourceReport
from runtime.live import stream_watermark
from runtime.live.chains import SourceChain
from runtime.live.deliveries import Deliverer, KeptDeliveries
from runtime.live.feeds.feed import Piece
from runtime.live.feeds.kafka_feed import KafkaFeed, KafkaTopic
from runtime.live.following import CHANGES, FINAL, Follower
from runtime.live.sinks.sink import SinkUnavailable
from runtime.live.stream_watermark import QuietPartitions, StreamWatermark
from runtime.live.watch_stream import StreamWatch
from runtime.live.watching import Watcher
from runtime.objects.object_store import FileMissing
from runtime.result.proof import Proof
from runtime.result.result import Result
from tests.runtime.live.feeds.fake_kafka import LIBRARY
from tests.simulator.coroutines import Ask, StepTable, in_steps, pause
from tests.simulator.engine import ListObjects, PutObject
from tests.simulator.live_receiver import LossySink, Receiver, StepObjects
from tests.simulator.live_topic import Records, ShakyConsumer
from tests.simulator.upkeep_model import Unit
from tests.simulator.upkeep_world import UpkeepWorld
from tests.simulator.world import FIRST_DAY, SCHEMA, STREAM, Violation

OPTIONS: dict[str, Any] = {
    "key": "k", "time": "t", "unit": None, "format": "auto", "duplicates": None, "id": None, "missing_key": None,
    "preset": None,
}  # fmt: skip
FEED = "t"
OF_FEED = 2
"""The key of the units of partition 0; lower ones are of ingests."""

TIMES = RowTimes(ends=(RowEnd("day", later=DAY),))
PROOF = Proof(
    STREAM, 0, 0, 0, False, "", 0, 0, "", "", 0, 0, 0, 0, 0, 0, 0, 0, None, 0, "", 1, "", "", "checked", 0
)  # fmt: skip
RESTARTS = 12


@contextmanager
def small() -> Iterator[pytest.MonkeyPatch]:
    """The watermark is noted after every few commits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_watermark, "_OFTEN", 2)
        yield patch


@dataclass
class LiveCatalogue(TableCatalogue):
    """A catalogue with the world's constants of the protocol."""

    world: LiveWorld
    table: KeyValueTable

    def __post_init__(self) -> None:
        super().__init__(self.table, self.world.now)

    def _steps(self, stream: str) -> StreamSteps:
        steps, of = StreamSteps(stream, self.table.most, self.world.now), self.world.steps
        steps.patience, steps.room = of.patience, of.room
        return steps


@dataclass
class LiveWorld(UpkeepWorld):
    """One run."""

    chain_of: dict[str, str] = field(default_factory=dict)
    """The partition of what an attempt of a watcher brought."""

    def __post_init__(self) -> None:
        super().__post_init__()
        dice = self.random
        self.table.most = self.steps.most = 16  # the sources of a watch bring several days
        horizon = dice.choice((200, 600))  # runs are longer than those of upkeep
        self.engine._changes = {dice.randrange(horizon) for _ in range(dice.randrange(2, 16))}
        self.records = Records(dice, dice.choice((1, 2, 3)))
        self.topic = KafkaTopic("b", FEED, dice.choice((None, None, "loaders")), {})
        self.idle = dice.choice((60, 400, 10_000))
        self.mode_of = {name: dice.choice((CHANGES, CHANGES, FINAL)) for name in ("x", "y")}
        self.lateness = dice.choice((0, 0, DAY))
        self.receivers = {"x": Receiver(), "y": Receiver()}
        self.kept: dict[str, bytes] = {}
        self.started = 0
        self.brought = defaultdict(tuple, self.brought)  # what says that a partition is idle brings nothing
        self.fails = dice.choice((0.0, 0.2, 0.5))

    def play(self) -> None:
        dice = self.random
        with small() as patch:
            patch.setattr(quarantine, "new_attempt", self._attempt)
            for _ in range(dice.randrange(6)):
                self.records.produce()
            self.engine.start("topic", self.records.flow())
            for _ in range(dice.choice((1, 2, 2, 3))):
                self.begin("watch", lambda looks: in_steps(lambda ask: self.watch(ask, looks)), dice.randint(2, 5))
            names = ["x"] if dice.random() < 0.6 else ["x", "x", "y"]
            for name in names:
                looks = dice.randint(2, 7)
                self.begin("deliver", lambda of, n: in_steps(lambda ask: self.deliver(ask, of, n)), name, looks)
            for n in range(dice.choice((0, 0, 1, 2))):
                source = f"{n:064x}"
                shape = [(dice.randrange(6), n % 2, i) for i in range(dice.choice((1, 2)))]
                self.begin("ingest", self.bring, source, shape)
            for _ in range(dice.choice((0, 1, 2))):
                self.engine.start("compact", self.merge(), self._nothing)
            for _ in range(dice.choice((0, 0, 1, 2))):
                chain = self._chain(None, str(dice.randrange(self.records.partitions)))
                self.engine.start("undo", self.undo(chain.identity(dice.choice((1, 1, 2, 3)))), self._nothing)
            if dice.random() < 0.3:
                self.engine.start("collect", self.collect(), self._nothing)
            if dice.random() < 0.3:
                self.engine.start("sweep", self.sweep(), self._nothing)
            try:
                self.engine.run()
                self.settle()
                self.check()
                self.check_live()
            except DataflowError as error:
                raise Violation(f"{type(error).__name__}: {error}") from error
            finally:
                for process in self.engine.processes:
                    process.script.close()

    # The processes, each in a thread

    def _catalogue(self, ask: Ask | None) -> LiveCatalogue:
        return LiveCatalogue(self, self.table if ask is None else StepTable(ask, self.table.most))

    def _chain(self, catalogue: Any, part: str) -> SourceChain:
        return SourceChain(catalogue, STREAM, f"{FEED} {part}", f"{FEED} {part}")

    def watch(self, ask: Ask, looks: int) -> None:
        """Watch for so many looks, begun anew after an error as a service would."""
        for _ in range(RESTARTS):
            try:
                self._watch(ask, looks, self.topic)
                return
            except OutcomeUnknown:
                self.seen["watch ended by an unknown outcome"] += 1
            except IngestError as error:
                if "cannot be asked" not in str(error):
                    raise
                self.seen["watch ended by the broker"] += 1
            pause(ask, 5)

    def _watch(self, ask: Ask | None, looks: int | None, topic: KafkaTopic) -> None:
        catalogue = self._catalogue(ask)
        consumer = ShakyConsumer(self.records)
        stream = StreamWatch(catalogue, STREAM, lambda piece: self._ingested(ask, catalogue, piece), OPTIONS)
        quiet = QuietPartitions(StreamWatermark(catalogue, STREAM, is_kept=True), self.idle, self.now)
        try:
            feed = KafkaFeed(
                consumer, LIBRARY, topic, lambda part: self._chain(catalogue, part), clock=lambda: consumer.now
            )
            watcher = Watcher(feed, stream.take, stream.set_aside, 1.0, note_quiet=lambda: stream.note_quiet(quiet))
            for _ in range(looks or 60):
                watcher.look()
                watcher.note_quiet()
                if ask is not None:
                    pause(ask, self.random.choice((1, 5, 20)))
                elif self._is_read(catalogue):
                    break
            self.seen["pieces committed"] += watcher.done.sources
        finally:
            consumer.close()

    def _is_read(self, catalogue: LiveCatalogue) -> bool:
        return all(
            (self._chain(catalogue, str(p)).reached().position or {"offset": 0})["offset"] == len(days)
            for p, days in enumerate(self.records.days)
        )

    def _ingested(self, ask: Ask | None, catalogue: LiveCatalogue, piece: Piece) -> IngestReport:
        """The piece as one commit, with its position."""
        given = piece.given
        assert isinstance(given, BytesInput)
        assert given.identity is not None
        for _ in range(9):
            attempt = self._attempt()
            units = self.units_of(attempt, given.data)
            self.brought[attempt] = tuple(units)
            assert piece.chain is not None
            self.chain_of[attempt] = piece.chain.partition
            days = sorted({unit.day for unit in units})
            of_days = [[unit for unit in units if unit.day == day] for day in days]
            files = [file for n, some in enumerate(of_days) for file in self._holding(attempt, n, some)]
            for file in files:
                self._ask(ask, PutObject(file.path))
            entry = SourceEntry(given.identity, given.name, 1, rows_read=len(units), rows_committed=len(units))
            entry = replace(entry, position=self.noted_position(piece))
            try:
                done = catalogue.commit(STREAM, SCHEMA, entry, files, attempt)
            except AttemptSwept:
                self.seen["swept away"] += 1
                continue
            status = "already ingested" if isinstance(done, AlreadyIngested) else "ingested"
            self.seen[f"piece {status}"] += 1
            return IngestReport(STREAM, (SourceReport(given.name, status, committed=len(units)),))
        raise AssertionError("swept each time")

    def noted_position(self, piece: Piece) -> Mapping[str, Any] | None:
        """The position that the commit of a piece has."""
        return piece.position

    def units_of(self, attempt: str, data: bytes) -> list[Unit]:
        """The records of a piece."""
        records = [json.loads(line) for line in data.splitlines()]
        return [Unit(attempt, record["day"], OF_FEED + record["p"], record["n"]) for record in records]

    def _ask(self, ask: Ask | None, request: Any) -> Any:
        if ask is not None:
            return ask(request)
        if isinstance(request, PutObject):
            self.engine.objects.add(request.path)
        return sorted(self.engine.objects)

    def deliver(self, ask: Ask, name: str, looks: int) -> None:
        """Deliver for so many looks; one that another process took over ends."""
        for _ in range(RESTARTS):
            try:
                self._deliver(ask, name, looks)
                return
            except (OutcomeUnknown, FileMissing):
                self.seen["delivery ended by an error"] += 1
            except QueryError as error:
                if "another process delivers" not in str(error):
                    raise
                self.seen["delivery taken over"] += 1
                if self.random.random() < 0.5:
                    return
            pause(ask, 5)

    def _deliver(self, ask: Ask | None, name: str, looks: int | None) -> None:
        catalogue = self._catalogue(ask)

        def waits() -> None:
            if ask is not None:
                pause(ask)

        while catalogue.order(STREAM).seq == 0:
            if ask is None or self.random.random() < 0.1:
                return
            pause(ask, 10)
        mark = StreamWatermark(catalogue, STREAM, is_kept=True)
        follower = Follower(
            lambda: self._answer(ask, catalogue), lambda: (catalogue.order(STREAM).seq,), lambda _, seq: mark.at(seq),
            TIMES, self.mode_of[name], self.lateness,
        )  # fmt: skip
        self.started += 1
        kept = KeptDeliveries(
            StepObjects(self.kept, waits), catalogue, name, "q", f"{self.started:016x}", f"{self.started:08x}"  # type: ignore[arg-type]
        )  # fmt: skip
        sink = LossySink(self.receivers[name], self.random, waits, 0.0 if ask is None else self.fails)
        deliverer = Deliverer(follower, sink, kept)
        for _ in range(3 if looks is None else looks):
            with suppress(SinkUnavailable):
                self.seen["delivered"] += deliverer.step() is not None
            if ask is not None:
                pause(ask, self.random.choice((1, 5, 20)))

    def _answer(self, ask: Ask | None, catalogue: LiveCatalogue) -> Result:
        """The units by day: how many, and the sum of their numbers."""
        snapshot = catalogue.snapshot(STREAM)
        there = set(self._ask(ask, ListObjects()))
        if any(file.path not in there for file in snapshot.files):
            self.seen["answer too old"] += 1
            raise SnapshotTooOld("a file was replaced")
        units = Counter(unit for file in snapshot.files for unit in self.holds[file.path])
        rows = by_day(units)
        columns = {
            "day": Column(Type.TIME, np.array([(FIRST_DAY + day) * DAY for day, _, _ in rows], np.int64)),
            "n": Column(Type.INT, np.array([n for _, n, _ in rows], np.int64)),
            "sum": Column(Type.INT, np.array([total for _, _, total in rows], np.int64)),
        }
        result = Result(columns, replace(PROOF, snapshot=snapshot.seq, result=str(rows)))
        result.asked = SimpleNamespace(prepared=SimpleNamespace(plan=SimpleNamespace(order=("day",))))  # type: ignore[assignment]
        return result

    # What must hold

    def settle(self) -> None:
        """What is left comes in, and is delivered, without any more faults."""
        self.records.topic.is_away = False
        if any(self.records.days):
            self._watch(None, None, KafkaTopic("b", FEED, None, {}))
        for name in self.receivers:
            self._deliver(None, name, None)

    def check_live(self) -> None:
        """Each record came once, in order, with the position behind it; and what was delivered is right."""
        records = run(self.table, StreamSteps(STREAM, self.table.most).records_after(0))
        if not records:
            return
        entries = {entry.id: entry for entry in self._catalogue(None).sources(STREAM)}
        for partition, days in enumerate(self.records.days):
            self._check_partition(partition, days, records, entries)
        states = [sorted(by_day(state.units)) for state in self._expected(records)]
        marks = self._marks(records, entries)
        for name, receiver in self.receivers.items():
            self._check_delivered(name, receiver, states, marks)

    def _check_partition(
        self, partition: int, days: Sequence[int], records: Sequence[Record], entries: Mapping[str, SourceEntry]
    ) -> None:
        came: list[tuple[int, int]] = []
        for record in records:
            if record.source is None or self.chain_of.get(record.attempt) != f"{FEED} {partition}":
                continue
            came += [(unit.number, unit.day) for unit in self.brought[record.attempt]]
            position = entries[record.source].position
            if position is None or position["offset"] != len(came):
                raise Violation(f"commit {record.seq} has the position {position} after {len(came)} records")
        if came != list(enumerate(days)):
            raise Violation(f"of partition {partition} came {came}, not {list(enumerate(days))}")

    def _marks(self, records: Sequence[Record], entries: Mapping[str, SourceEntry]) -> list[int | None]:
        """The watermark after each commit: the newest day that came of each partition, and of these the oldest."""
        newest: dict[str, int] = {}
        marks: list[int | None] = [None]
        for record in records:
            mark = marks[-1]
            if record.source is not None:
                position = entries[record.source].position or {}
                brought = self.brought.get(record.attempt, ())
                partition = self.chain_of.get(record.attempt, "")
                if not brought and position.get("idle"):
                    self.seen["partition idle"] += 1
                    newest.pop(position["partition"], None)
                elif brought:
                    day = max(unit.day for unit in brought)
                    newest[partition] = max(day, newest.get(partition, day))
                if newest:
                    oldest = (FIRST_DAY + min(newest.values())) * DAY
                    mark = oldest if mark is None else max(mark, oldest)
            marks.append(mark)
        return marks

    def _check_delivered(
        self, name: str, receiver: Receiver, states: Sequence[Sequence[Row]], marks: Sequence[int | None]
    ) -> None:
        self.seen["delivered again"] += receiver.repeated
        on_time: Counter[str] = Counter()
        for event in receiver.events.values():
            mark = marks[event["snapshot"]]
            mark = None if mark is None else mark - self.lateness
            if event["watermark"] != (None if mark is None else iso(mark)):
                raise Violation(f"{name}: the watermark of {event} is {mark}")
            row = event["new"] or event["old"]
            on_time[row["day"]] += event["pane"] == "on_time"
            self.seen[f"pane {event['pane']}"] += 1
            if event["new"] is not None and (event["pane"] == "early") == _is_past(row, mark):
                raise Violation(f"{name}: the pane of {event} is wrong, the watermark is {mark}")
        if on_time and max(on_time.values()) > 1:
            raise Violation(f"{name}: rows are on time several times: {on_time}")
        last = len(states) - 1
        for snapshot, rows in [*receiver.answers, (last, receiver.rows)]:
            mark = marks[snapshot]
            right = [_as_row(row) for row in states[snapshot]]
            if self.mode_of[name] == FINAL:
                right = [row for row in right if mark is not None and _is_past(row, mark - self.lateness)]
            if rows != right:
                raise Violation(f"{name}: the changes up to commit {snapshot} lead to {rows}, not {right}")
            self.seen["answer compared"] += 1
        end = None if marks[last] is None else marks[last] - self.lateness
        if missed := [row for row in receiver.rows if _is_past(row, end) and not on_time[str(row["day"])]]:
            raise Violation(f"{name}: rows were never on time: {missed}")


Row = tuple[int, int, int]


def by_day(units: Counter[Unit]) -> list[Row]:
    """The day, the number of units and the sum of their numbers."""
    found: dict[int, tuple[int, int]] = {}
    for unit, count in units.items():
        n, total = found.get(unit.day, (0, 0))
        found[unit.day] = n + count, total + count * (1000 * unit.key + unit.number)
    return [(day, *found[day]) for day in sorted(found)]


def _as_row(row: Row) -> dict[str, Any]:
    return {"day": iso((FIRST_DAY + row[0]) * DAY), "n": row[1], "sum": row[2]}


def _is_past(row: Mapping[str, Any], mark: int | None) -> bool:
    """Whether the day of a row has ended by the watermark."""
    return mark is not None and iso(mark) >= iso(
        int(np.datetime64(row["day"].rstrip("Z"), "us").astype(np.int64)) + DAY
    )
