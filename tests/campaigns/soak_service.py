"""What the service of the campaign ``soak`` does: asks, ingests, takes back, publishes, keeps its store, forks."""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import threading
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import dataflow as df
from operators.errors import DataflowError
from runtime import Store
from runtime.testing.oracle.strategies import (
    BASE,
    DAY,
    FIRMWARES,
    GAP,
    HOUR,
    INTEGERS,
    KEY,
    STATUSES,
    STEPS,
    TEMPERATURES,
    TIME,
    TYPES,
    Point,
)
from tests.campaigns import Report
from tests.campaigns.soak_checker import Answer, Change, Rows, check
from tests.laws.graphs import GRAPHS

PATIENCE = 240.0
"""Seconds after which whatever has not ended hangs."""

LAG = 300
"""Answers that wait to be checked at most."""

SHORT = (
    "count_all", "numbers_by_firmware", "first_last_by_device", "distinct", "quantiles_by_status", "histograms",
    "time_parts", "by_10_minutes", "last_held", "previous", "running_sums", "uptime_by_firmware", "states_as_rows",
    "states_held_forever", "states_by_london_day", "heartbeat_by_firmware", "sessions_by_status", "session_rows",
    "windows_of_10_minutes", "windows_sliding", "funnel_by_firmware", "retention_by_day", "paths", "both",
    "concurrent_overall", "states_during_nights", "point_rows_sorted", "groups_of_groups", "top_values",
)  # fmt: skip
"""What is asked of streams whose points are all read by the oracle."""

LONG = (
    "count_all", "numbers_by_firmware", "by_10_minutes", "quantiles_by_status", "distinct", "candlesticks_by_device",
    "uptime_by_firmware", "sessions_by_status",
)  # fmt: skip
"""What is asked of the last hours of a stream that only grows."""

_MOST = 400  # points of a short stream, about: then it is erased
_PUBLISHED = ("numbers_by_firmware", "uptime_by_firmware", "quantiles_by_status")


def metric_of(name: str, stream: str) -> Any:
    """The metric of this name over a stream."""
    graph = GRAPHS[name]
    steps = [{**graph["steps"][0], "name": stream}, *graph["steps"][1:]]
    return df.from_json(json.dumps({**graph, "steps": steps}).replace('"name": "s"', f'"name": "{stream}"'))


@dataclass
class Written:
    """A stream as its only writer knows it: its sources, the end of the last one, its number of points."""

    store: Store
    name: str
    sources: list[str] = field(default_factory=list)
    at: int = BASE
    points: int = 0
    latest: int = BASE

    @property
    def commit(self) -> int:
        """The number of its last commit."""
        try:
            return self.store.catalogue.snapshot(self.name, 0, 0).seq
        except DataflowError as error:
            if "no stream" in str(error) or "no store" in str(error):
                return 0
            raise


class Service:
    """One process that serves a store in a folder, and one on servers that fail."""

    def __init__(self, folder: Path, seed: int, report: Report) -> None:
        self._folder, self._seed, self._report = folder, seed, report
        # Set at the end: then nobody rests any longer.
        self.ended = threading.Event()
        (folder / "sources").mkdir()
        context = get_context("spawn")
        self._pipe, end = context.Pipe()
        self._checker = context.Process(target=check, args=(end,), daemon=True)
        self._checker.start()
        end.close()
        self._talking = threading.Lock()
        self._sent = self._checked = 0
        self._store = Store(folder / "store", create=True)
        self._long = Written(self._store, "long")
        self._short = Written(self._store, "short")
        self._far: Written | None = None
        self._numbers = 0
        self._pool: ProcessPoolExecutor | None = None
        rng = random.Random(f"{seed} first")
        for written in (self._long, self._short):
            self._ingest(written, rng)

    @property
    def answered(self) -> int:
        """Answers so far."""
        return self._sent

    def far(self, url: str) -> None:
        """Serve a store on the servers, too."""
        self._far = Written(Store(url, create=True), "far")
        self._ingest(self._far, random.Random(f"{self._seed} far"))

    def close(self) -> None:
        """Close what is open, and report what was checked."""
        if self._pool is not None:
            self._pool.shutdown()
        with self._talking:
            self._pipe.send(None)
            checked, failures = self._pipe.recv()
        self._checker.join(PATIENCE)
        self._report.count("answers worked out again", checked)
        self._report.failures += failures
        if checked != self._sent:
            self._report.failures.append(f"{self._sent} answers, but {checked} were checked")
        self._store.close()
        if self._far is not None:
            self._far.store.close()

    # ---- writing

    def write_long(self, rng: random.Random) -> None:
        """One more source of the stream that grows; now and then one is late, repeated or taken back."""
        self._ingest(self._long, rng)
        if rng.random() < 0.05:
            self._take_back(self._long, rng)
        self.ended.wait(rng.uniform(0, 1))

    def write_short(self, rng: random.Random) -> None:
        """One more source of the stream that is erased again and again."""
        self._ingest(self._short, rng)
        if rng.random() < 0.2:
            self._take_back(self._short, rng)
        if self._short.points > _MOST:
            self._changed(self._short, lambda: self._short.store.erase("short"), ())
            self._short.points = 0
            self._report.count("erasures")
        self.ended.wait(rng.uniform(0, 2))

    def write_far(self, rng: random.Random) -> None:
        """One more source of the stream on the servers; what fails is repeated."""
        assert self._far is not None
        self._ingest(self._far, rng)
        if rng.random() < 0.2:
            self._take_back(self._far, rng)
        if self._far.points > _MOST:
            self._changed(self._far, lambda: self._far.store.erase("far"), ())  # type: ignore[union-attr]
            self._far.points = 0
        self.ended.wait(rng.uniform(0, 3))

    def _ingest(self, written: Written, rng: random.Random) -> None:
        points = _drawn(written, rng, self._numbers)
        self._numbers += 1
        path = self._folder / "sources" / f"{written.name}-{self._numbers}-{rng.getrandbits(32):x}.ndjson"
        path.write_text("".join(json.dumps(point) + "\n" for point in points))
        options: dict[str, Any] = {"key": KEY, "time": TIME, "unit": "us", "type": TYPES, "progress": False}
        self._changed(
            written, lambda: written.store.ingest(written.name, str(path), **options), (*written.sources, str(path))
        )
        written.points += len(points)
        self._report.count("ingests")

    def _take_back(self, written: Written, rng: random.Random) -> None:
        if len(written.sources) < 2:
            return
        gone = rng.choice(written.sources[-20:])
        left = tuple(path for path in written.sources if path != gone)
        self._changed(written, lambda: written.store.undo(written.name, gone), left)
        self._report.count("undos")

    def _changed(self, written: Written, do: Any, sources: Sequence[str]) -> None:
        """Do what leaves a stream with ``sources``, until it is done, and tell the checker."""
        before = self._until_done(written, lambda: written.commit)
        self._until_done(written, do)
        at = self._until_done(written, lambda: written.commit)
        written.sources = list(sources)
        with self._talking:
            self._pipe.send(Change(written.name, before, max(at, before + 1), tuple(sources)))

    def _until_done(self, written: Written, do: Any) -> Any:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return do()
            except DataflowError:
                if written is not self._far or time.monotonic() > end:
                    raise
                self._report.count("errors of disturbed servers")

    # ---- asking

    def ask(self, rng: random.Random) -> None:
        """Ask one question of the store in the folder, of a metric or a published query."""
        written, names = (self._short, SHORT) if rng.random() < 0.6 else (self._long, LONG)
        name = rng.choice(names)
        published = f"{name}_{written.name}" if name in _PUBLISHED and rng.random() < 0.5 else None
        if published is not None and published not in self._names():
            published = None
        self._asked(written, name, rng, "threads", published=published)

    def ask_far(self, rng: random.Random) -> None:
        """Ask one question of the store on the servers; an error is allowed."""
        assert self._far is not None
        begun = time.monotonic()
        try:
            self._asked(self._far, rng.choice(SHORT), rng, "servers")
        except DataflowError:
            self._report.count("errors of disturbed servers")
        if time.monotonic() - begun > PATIENCE:
            raise AssertionError(f"a query took {time.monotonic() - begun:.0f} s")

    def ask_pool(self, rng: random.Random) -> None:
        """Ask by a pool of processes, some of which are killed under way."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(2, get_context("spawn"))
            list(self._pool.map(abs, range(2)))
        kill = rng.random() < 0.2
        if kill:
            victim = rng.choice(list(self._pool._processes))
            threading.Timer(rng.uniform(0, 0.3), _killed, (victim,)).start()
        try:
            self._asked(self._short, rng.choice(SHORT), rng, "processes", executor=self._pool)
            if kill:
                self._report.count("killed workers, answered")
        except DataflowError:
            self._report.count("killed workers, an error")
        except BrokenExecutor as error:
            raise AssertionError(f"an error of the pool itself: {error}") from error
        if kill:
            time.sleep(0.4)
            self._pool.shutdown()
            self._pool = None
        self.ended.wait(rng.uniform(0, 2))

    def _asked(
        self, written: Written, name: str, rng: random.Random, by: str, published: str | None = None, **options: Any
    ) -> None:
        if written is self._long:
            until = written.latest - rng.choice([0, 0, 1, GAP, HOUR]) + 1
            since = until - rng.choice([GAP, HOUR, 3 * HOUR])
        else:
            since = BASE - HOUR + rng.choice([0, 0, HOUR, DAY, 2 * HOUR + 1])
            until = since + rng.choice([GAP, DAY, 30 * DAY])
        begun = time.monotonic()
        try:
            result = written.store.query(
                published or metric_of(name, written.name), since, until, progress=False, **options
            )
            rows = _rows(result)
        except DataflowError as error:
            if "64" not in str(error) or "bit" not in str(error):
                raise
            self._report.count("overflows")  # of which snapshot is not known
            return
        if time.monotonic() - begun > PATIENCE:
            raise AssertionError(f"a query took {time.monotonic() - begun:.0f} s")
        self._tell(Answer(written.name, result.proof.snapshot, name, since, until, rows, published or by))

    def _tell(self, one: Answer) -> None:
        with self._talking:
            self._pipe.send(one)
            self._sent += 1
            if self._sent % 50 == 0:
                self._pipe.send("checked")
                self._checked, _ = self._pipe.recv()

    def _names(self) -> list[str]:
        return [found.name for found in self._store.queries()]

    # ---- keeping

    def publish(self, rng: random.Random) -> None:
        """A next version of a published query."""
        name, stream = rng.choice(_PUBLISHED), rng.choice(["long", "short"])
        self._store.publish(metric_of(name, stream), f"{name}_{stream}", description=f"draw {rng.randrange(4)}")
        self._report.count("publications")
        self.ended.wait(rng.uniform(1, 20))

    def keep(self, rng: random.Random) -> None:
        """Upkeep, as a timer would do it; and a copy of the catalogue."""
        for done in self._store.optimize(progress=False):
            failure = getattr(done, "error", None)
            if failure is not None:
                raise AssertionError(f"upkeep failed: {failure}")
        if rng.random() < 0.2:
            self._store.backup(self._folder / "copy.sqlite", force=True)
        self._report.count("upkeep")
        self.ended.wait(rng.uniform(5, 30))

    def fork(self, rng: random.Random) -> None:
        """A child that asks, while all others work."""
        path = self._folder / "of a child"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forks beside threads
            child = os.fork()
        if not child:
            os._exit(self._in_child(rng, path))
        end = time.monotonic() + PATIENCE
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
            if time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                self._report.failures.append(f"a forked child hangs for {PATIENCE:.0f} s")
                return
            time.sleep(0.02)
        if status:
            said = path.read_text() if path.exists() else ""
            self._report.failures.append(f"a forked child ended with {status}: {said[-400:]}")
            return
        one = pickle.loads(path.read_bytes())
        if one is not None:
            self._tell(one)
        self._report.count("forks")

    def _in_child(self, rng: random.Random, path: Path) -> int:
        told: list[Answer] = []
        self._tell = told.append  # type: ignore[method-assign]
        try:
            name = rng.choice(SHORT)
            self._asked(self._short, name, rng, "a child")
            path.write_bytes(pickle.dumps(told[0] if told else None))
        except BaseException as error:
            with suppress(OSError):
                path.write_text(f"{type(error).__name__}: {error}")
            return 1
        return 0


def _killed(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def _rows(result: Any) -> Rows:
    lists = {name: column.to_list() for name, column in result.columns.items()}
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def _drawn(written: Written, rng: random.Random, number: int) -> list[Point]:
    """Points of a source; those of the stream that grows are each beside the last ones, and of smaller numbers."""
    grows = written.name == "long"
    found: list[Point] = []
    for key in rng.sample(["a", "b", "c", "ö", "e"], rng.randint(1, 4)):
        t = (written.at if grows else BASE + rng.choice([0, 1, GAP, HOUR, DAY])) + rng.randrange(1000)
        for _ in range(rng.randint(1, 60 if grows else 12)):
            t += rng.choice(STEPS[:8]) // (20 if grows else 1)
            point: Point = {KEY: key, TIME: t}
            drawn = {
                "temp": rng.choice(TEMPERATURES), "n": rng.choice(INTEGERS), "ok": rng.random() < 0.5,
                "status": rng.choice(STATUSES), "firmware": rng.choice(FIRMWARES),
            }  # fmt: skip
            found.append(point | {name: value for name, value in drawn.items() if rng.random() < 0.7})
    if rng.random() < 0.3:
        rng.shuffle(found)
    # No two sources are alike: each would count once.
    found[0]["n"] = 1_000 + number
    if grows:
        written.latest = max(written.latest, *(point[TIME] for point in found))
        written.at = written.latest - (rng.choice([0, 0, 0, HOUR]))
    return found
