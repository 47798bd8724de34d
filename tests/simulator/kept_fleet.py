"""Queries on a fleet that fails, while the store is kept: compactions, retention, sweeps and ingests between any two
invocations of workers.

The store, its files, the coordinator and the workers' code are real; Lambda and the clock are models. A twin without
any upkeep says what is right. ``KeptFleet(base, folder, seed).play()`` repeats the run of a seed.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Store
from runtime.errors import QueryError, SnapshotTooOld
from runtime.fleet import QueryTimeout, Rules, TaskFailed
from runtime.fleet.worker import answer
from runtime.query.merge.conclude import conclude
from runtime.query.plan.make_tasks import make_tasks
from runtime.query.plan.prepare import Request, prepare
from runtime.storage.replaced_files import too_old
from runtime.upkeep import retaining
from runtime.upkeep.retaining import retain_in_steps
from runtime.upkeep.sweep import sweep
from runtime.upkeep.sweep_plan import STANDARD
from tests.runtime.upkeep.small_constants import small_constants
from tests.simulator.workers import Faults, LambdaDouble, play

DAY = 86_400_000_000
HOUR = DAY // 24
FIRST, DAYS = 19_800, 8
STORY = Faults(failed=0.2, straggling=0.05, duplicated=0.01, truncated=0.01, throttled=0.5)
RULES = Rules(attempt_seconds=70, query_seconds=1_800)
TASKS, WHOLE = 6, 1 << 64
STREAM = df.stream("s")
METRICS = (
    STREAM.group_by("k").agg(n=df.count(), total=df.sum("v"), middle=df.median("v"), last=df.last("v")),
    STREAM.state_duration("state").group_by("k", "state").agg(t=df.known_time(), n=df.count()),
    STREAM.filter(df.col("v") > 40).group_by("state").agg(n=df.count(), d=df.count_distinct("k")),
)
QUERIES = 2


class Killed(Exception):
    """The process of an upkeep ends here."""


def table(rng: random.Random, first: int) -> dict[str, Any]:
    """A source's rows, from the day ``first`` on: some days, some late, some keys."""
    rows = rng.randint(2, 9)
    days = [rng.choice([first, rng.randint(first, FIRST + DAYS - 1)]) for _ in range(rows)]
    return {
        "k": [f"k{rng.randint(0, 5)}" for _ in range(rows)],
        "t": [day * DAY + rng.randrange(DAY) for day in days],
        "v": [rng.randint(0, 99) for _ in range(rows)],
        "state": [rng.choice(["up", "down", None]) for _ in range(rows)],
    }


@contextmanager
def small() -> Iterator[None]:
    """Files, spans and steps of a few rows."""
    with small_constants(sparse=False) as patch:
        patch.setattr(retaining, "STEP", 25)
        yield


def based(folder: Path) -> Path:
    """A folder with the store that every run begins with, and its twin."""
    rng = random.Random(0)
    with Store(folder / "kept", create=True) as kept, Store(folder / "plain", create=True) as plain:
        for number in range(8):
            rows = table(rng, FIRST + number % DAYS)
            if number == 7:
                rows["t"][0] = (FIRST + DAYS) * DAY - 1  # so that a retention knows the newest event
            for store in (kept, plain):
                store.ingest("s", rows, key="k", time="t", unit="us", progress=False, compact=False)
    return folder


class KeptFleet:
    """One run: upkeep, and queries with upkeep between their invocations."""

    def __init__(self, base: Path, folder: Path, seed: int, faults: Faults = STORY) -> None:
        for name in ("kept", "plain"):
            shutil.copytree(base / name, folder / name)
        self.folder, self.seed, self.faults = folder, seed, faults
        self.random = random.Random(seed)
        self.seen: Counter[str] = Counter()
        self.now = time.time_ns() // 1_000
        self.store, self.plain = Store(folder / "kept"), Store(folder / "plain")
        self.store.catalogue._clock = lambda: self.now  # type: ignore[attr-defined]
        self._began = self.now
        self._patient = True

    def play(self) -> Counter[str]:
        """Queries, each right or with an error that says what failed; at the end nothing is left behind."""
        with self.store, self.plain, small():
            for number in range(QUERIES):
                for _ in range(self.random.randint(0, 3)):
                    self._upkeep()
                self._query(number)
            self._settle()
        return self.seen

    # ---- queries

    def _query(self, number: int) -> None:
        metric = self.random.choice(METRICS)
        since = (FIRST + self.random.randint(0, DAYS - 2)) * DAY
        floor = self._floor
        if since < floor * DAY and self.random.random() < 0.8:
            since = floor * DAY
        request = Request(metric.steps, {}, since, None)
        try:
            prepared = prepare(self.store.catalogue, request)
        except QueryError as error:
            if since >= floor * DAY or "retired" not in str(error):
                raise AssertionError(f"the floor is {floor}: {error}") from error
            self.seen["below the floor"] += 1
            return
        right = self.plain.query(metric, since, workers=1, progress=False).proof.result
        (task,) = make_tasks(prepared, self.store.url, 1)
        edges = [WHOLE * n // TASKS for n in range(TASKS + 1)]
        tasks = [replace(task, id=f"0.{n}", shard=(edges[n], edges[n + 1])) for n in range(TASKS)]
        double = LambdaDouble(self.seed * QUERIES + number, self._worker, self.faults)
        self._began = self.now
        self._patient = self.random.random() < 0.8
        try:
            over, _ = play(tasks, double, self.store.objects, RULES, seed=self.seed)
            found = conclude(prepared, tasks, [over.answers[t.id] for t in tasks], over.failed)
        except (TaskFailed, QueryTimeout) as error:
            self._judge(error)
        else:
            assert found.proof.complete
            assert found.proof.result == right, f"query {number}: {found.to_dict()['rows']}"
            self.seen["answered"] += 1
        self.seen += double.seen

    def _judge(self, error: TaskFailed | QueryTimeout) -> None:
        """A file may be missing only after its grace, and then the error says that it was replaced."""
        assert re.search(r"tasks? 0\.\d", str(error)), error
        old = too_old(self.store, error)
        if old is None:
            assert "is missing" not in str(error), error
            self.seen["error that names a task"] += 1
            return
        assert isinstance(old, SnapshotTooOld)
        assert self.now - self._began >= STANDARD.grace, f"a file of a query that runs was swept: {error}"
        self.seen["snapshot too old"] += 1

    def _worker(self, event: dict[str, Any]) -> dict[str, Any]:
        """An invocation, with upkeep before it; the worker has nothing in memory."""
        if self.random.random() < 0.4:
            self._upkeep()
        with Store(self.folder / "kept") as fresh:
            return json.loads(json.dumps(answer(event, lambda url: fresh)))  # type: ignore[no-any-return]

    # ---- upkeep

    @property
    def _floor(self) -> int:
        return self.store.catalogue.snapshot("s", 0, 0).floor or 0

    def _upkeep(self) -> None:
        steps: dict[str, Callable[[], object]] = {
            "ingest": self._ingest,
            "compact what is due": self._compact,
            "compact": lambda: self.store.compaction("s", False).everything(),
            "compaction killed": self._killed,
            "retain": self._retain,
            "sweep": self._sweep,
            "time": self._wait,
        }
        hasty = not self._patient and self.random.random() < 0.7
        name = self.random.choice(["compact", "sweep", "time"] if hasty else sorted(steps))
        steps[name]()
        self.seen[name] += 1

    def _ingest(self) -> None:
        rows = table(self.random, max(FIRST, self._floor))
        for store in (self.store, self.plain):
            store.ingest("s", rows, key="k", time="t", unit="us", progress=False, compact=False)

    def _compact(self) -> None:
        self.store.compaction("s", False).what_is_due(goes_on=lambda rows: self.random.random() < 0.8)

    def _killed(self) -> None:
        """Files are written, and the commit never comes."""

        def never(*_: object) -> None:
            raise Killed

        self.store.catalogue.replace = never  # type: ignore[method-assign, assignment]
        try:
            with suppress(Killed):
                self.store.compaction("s", False).everything()
        finally:
            del self.store.catalogue.replace

    def _retain(self) -> None:
        keep = self.random.randint(3, DAYS) * DAY
        done, _ = retain_in_steps(
            self.store.taking_back("s"), lambda: self.store.catalogue.snapshot("s"), keep, 1,
            lambda rows: self.random.random() < 0.8,
        )  # fmt: skip
        self.seen["floor raised"] += len(done)

    def _sweep(self) -> None:
        report = sweep(self.store.objects, self.store.catalogue, allow_many=True, clock=lambda: self.now)
        for file in report.removed:
            self.seen[f"swept, {file.reason}"] += 1

    def _wait(self) -> None:
        """Minutes, or days: then a query that runs may find its files gone."""
        if self._patient and self._began + STANDARD.grace > self.now + HOUR:
            self.now += self.random.randint(0, HOUR)
        elif not self._patient:
            self.now += self.random.choice([HOUR, 26 * HOUR, 9 * DAY])

    def _settle(self) -> None:
        """All upkeep once more: answers are right, and there are no files but those that are live."""
        self.store.compaction("s", False).everything()
        self.now += 9 * DAY
        self._sweep()
        live = {file.path for file in self.store.catalogue.snapshot("s").files}
        assert {info.path for info in self.store.objects.list("data/")} == live
        since = max(FIRST, self._floor) * DAY
        for metric in METRICS:
            kept, plain = (s.query(metric, since, workers=1, progress=False) for s in (self.store, self.plain))
            assert kept.proof.result == plain.proof.result, kept.to_dict()["rows"]
        assert self.store.verify().ok


# ---- broken on purpose

Broken = Callable[[pytest.MonkeyPatch], None]


def _no_grace(patch: pytest.MonkeyPatch) -> None:
    """The sweep removes replaced files at once."""
    patch.setattr("runtime.upkeep.sweep.STANDARD", replace(STANDARD, grace=-1))


def _lost_row(patch: pytest.MonkeyPatch) -> None:
    """A compaction does not write the last file."""
    from runtime.upkeep.rewrite import Rewriting

    real = Rewriting.compacted

    def fewer(self: Rewriting, *given: Any) -> Any:
        files = real(self, *given)
        return files[:-1] if len(files) > 1 else files

    patch.setattr(Rewriting, "compacted", fewer)


def _nothing_carried(patch: pytest.MonkeyPatch) -> None:
    """A retention keeps no last values."""
    from runtime.upkeep.rewrite import Rewriting

    patch.setattr(Rewriting, "carried", lambda *_: [])


def _orphans_stay(patch: pytest.MonkeyPatch) -> None:
    """The sweep forgets what killed compactions wrote."""
    patch.setattr("runtime.upkeep.sweep.STANDARD", replace(STANDARD, orphan_age=100 * DAY))


BROKEN: dict[str, Broken] = {
    "no grace": _no_grace,
    "a compaction loses a file": _lost_row,
    "a retention carries nothing": _nothing_carried,
    "orphans stay": _orphans_stay,
}
