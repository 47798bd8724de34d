"""Firehose at one object a minute, compaction by schedule: a bounded number of files, and the same answers.

And ingest that is stopped before or after any request leaves nothing that a sweep does not clear.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
import runtime.aws.client
from deploy.handlers import compact, sweep, turns
from deploy.handlers.ingest import handler as ingest
from runtime.catalogue.stores.sqlite import SqliteTable
from runtime.objects.folder_objects import FolderObjects
from runtime.result.cost import US_EAST_1
from runtime.storage.open_store import OpenStore
from runtime.store import Store
from tests.deploy.handlers.deployed import STORE, Context, T, batch, event, failures, land, records

DAY = 86_400_000
DEVICES = 20
SUM = df.stream("s").group_by("k").agg(n=df.count(), total=df.sum("n"), last=df.last("state"))
UP = df.stream("s").state_duration("state", hold="5m").group_by("state").agg(t=df.known_time())
EVERY = 15
"""Minutes between two runs of the schedule."""

WRITE, READ = 0.625e-6, 0.125e-6
"""Dollars of a write and a read unit of DynamoDB on demand (us-east-1, 2026); a transaction takes two units an item."""


def units(body: bytes) -> int:
    """Write units of an item: one a KB, with some bytes for its keys."""
    return -(-(len(body) + 150) // 1_024)


@dataclass
class Requests:
    """The requests of the clients made here, by what asked; ``stop``: raised at the n-th of them, before or after."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    who: str = ""
    left: int | None = None
    after: bool = False
    error: BaseException | None = None

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        make = runtime.aws.client._make

        def made(service: str, *rest: Any) -> Any:
            client = make(service, *rest)
            client.meta.events.register_first(f"before-send.{service}", self._before)
            client.meta.events.register_first(f"response-received.{service}", self._after)
            client.meta.events.register(f"provide-client-params.{service}", self._count)
            return client

        monkeypatch.setattr(runtime.aws.client, "_make", made)

    def of_a_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Count what a store in a folder does as the requests that it would be."""

        def counted(owner: Any, method: str, name: str) -> None:
            real = getattr(owner, method)

            def call(it: Any, *given: Any, **named: Any) -> Any:
                counts = self.counts.setdefault(self.who, Counter())
                counts[name] += 1
                if method == "transact":
                    counts["units written"] += sum(units(getattr(i, "body", b"")) for i in given[0].items)
                self._before()
                done = real(it, *given, **named)
                self._after()
                return done

            monkeypatch.setattr(owner, method, call)

        for method, name in (("get", "GetItem"), ("query", "Query"), ("transact", "TransactWriteItems")):
            counted(SqliteTable, method, name)
        for method, name in (("put", "PutObject"), ("list", "ListObjectsV2"), ("delete", "DeleteObject")):
            counted(FolderObjects, method, name)
        counted(FolderObjects, "read", "GetObject")
        counted(FolderObjects, "read_into", "GetObject")

    def _count(self, params: Any, model: Any, **_: object) -> None:
        counts = self.counts.setdefault(self.who, Counter())
        counts[model.name] += 1
        items = [item.get("Put", {}).get("Item", {}) for item in params.get("TransactItems", ())]
        counts["units written"] += sum(units(item.get("body", {}).get("B", b"")) for item in items)

    def _before(self, **_: object) -> None:
        if self.left is not None and not self.after:
            self._step()

    def _after(self, **_: object) -> None:
        if self.left is not None and self.after:
            self._step()

    def _step(self) -> None:
        assert self.left is not None
        self.left -= 1
        if self.left == 0 and self.error is not None:
            raise self.error

    def dollars(self, who: str) -> float:
        """What the requests cost: S3's, and DynamoDB's at two units a KB of an item, and one a read."""
        found = self.counts.get(who, Counter())
        puts = found["PutObject"] + found["ListObjectsV2"] + found["ListObjectVersions"]
        gets = found["GetObject"] + found["HeadObject"]
        reads = found["GetItem"] + found["Query"]
        return puts * US_EAST_1.put + gets * US_EAST_1.get + found["units written"] * 2 * WRITE + reads * READ


@pytest.fixture
def requests(deployed: Store, monkeypatch: pytest.MonkeyPatch) -> Requests:
    found = Requests()
    found.install(monkeypatch)
    return found


@contextmanager
def later(monkeypatch: pytest.MonkeyPatch, seconds: int) -> Iterator[None]:
    real = time.time_ns
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: real() + seconds * 1_000_000_000)
        yield


def minute(number: int) -> bytes:
    """What Firehose delivers of one minute: a report of every device."""
    state = "up" if number % 97 else "down"
    return b"".join(
        b'{"k":"d%02d","t":%d,"n":%d,"state":"%s"}\n' % (d, T + number * 60_000 + d * 997, number, state.encode())
        for d in range(DEVICES)
    )


def live(url: str = STORE) -> int:
    with Store(url) as store:
        return len(store.files("s"))


def whole(folder: Path, minutes: int) -> Store:
    """The same rows, ingested at once into a folder."""
    path = folder / "all.ndjson"
    path.write_bytes(b"".join(map(minute, range(minutes))))
    store = Store(folder / "store", create=True)
    store.ingest("s", str(path), key="k", time="t", unit="ms", progress=False)
    return store


def _day(
    minutes: int, requests: Requests, monkeypatch: pytest.MonkeyPatch, folder: Path, url: str = STORE
) -> None:  # fmt: skip
    most = 0
    for number in range(minutes):
        requests.who = "ingest"
        assert failures(ingest(batch(event(land(f"in/s/{number:05}", minute(number)))), Context())) == []
        if number % EVERY == EVERY - 1:
            requests.who = "compact"
            monkeypatch.setattr(turns, "_now", lambda number=number: number * 60.0)
            assert compact.handler({}, Context())["left"] == []
            most = max(most, live(url))
    requests.who = "query"
    with Store(url) as store, whole(folder, minutes) as right:
        files = live(url)
        for metric in (SUM, UP):
            assert store.query(metric, progress=False).proof.result == right.query(metric, progress=False).proof.result
        assert store.verify().ok
    requests.who = "sweep"
    with later(monkeypatch, 26 * 3_600):
        removed = sweep.handler({}, Context())["removed"]
    with Store(url) as store:
        left = [info.path for info in store.objects.list("data/")]
    assert len(left) == files
    print(f"{minutes} objects: {files} files at the end, {most} at most after a run, {removed} removed")
    for who in ("ingest", "compact", "sweep"):
        print(f"{who}: {dict(requests.counts[who])}, ${requests.dollars(who):.4f}")
    # Seven of each tier of FAN = 8, and those of the minutes since the last run.
    tiers = len(f"{minutes * DEVICES:o}")
    assert most <= 7 * tiers
    assert requests.counts["compact"]["PutObject"] <= minutes // 4
    assert requests.dollars("compact") < requests.dollars("ingest")


def test_half_an_hour(requests: Requests, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _day(30, requests, monkeypatch, tmp_path)


@pytest.mark.nightly
def test_a_day(deployed: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All of it, over a store in a folder: what it does is counted as requests."""
    requests = Requests()
    requests.of_a_folder(monkeypatch)
    monkeypatch.setenv("ANTFOLD_STORE", str(tmp_path / "kept"))
    with Store(tmp_path / "kept", create=True) as store:
        assert store.streams() == []  # which makes it
    _day(1_440, requests, monkeypatch, tmp_path, str(tmp_path / "kept"))


def test_ingest_itself_compacts_nothing(requests: Requests) -> None:
    """It has one object's time and memory, and twenty of it run at once: they would replace each other's files."""
    for number in range(12):
        assert failures(ingest(batch(event(land(f"in/s/{number}", minute(number)))), Context())) == []
    assert live() == 12
    assert not any(record.dels for record in Store(STORE).catalogue.records("s"))


class Stopped(BaseException):
    """Lambda stops the function: out of time, or out of memory."""


@pytest.mark.parametrize("error", [Stopped(), MemoryError("out of memory")])
def test_ingest_that_is_stopped_leaves_nothing(
    error: BaseException, deployed: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before and after each request; some have committed by then, and the others can be ingested later."""
    url = str(tmp_path / "kept")
    monkeypatch.setenv("ANTFOLD_STORE", url)
    with Store(url, create=True) as made:
        assert made.streams() == []  # which makes it
    requests = Requests(error=error)
    requests.of_a_folder(monkeypatch)
    bodies: list[str] = []
    stopped = 0
    for after in (False, True):
        for step in range(1, 80):
            OpenStore._shared.clear()
            data = records(len(bodies) * 2, len(bodies) * 2 + 1) + b'{"k": 5'
            bodies.append(event(land(f"in/s/{len(bodies)}", data)))
            requests.left, requests.after = step, after
            try:
                stopped += bool(failures(ingest(batch(bodies[-1]), Context())))
            except Stopped:
                stopped += 1
            if requests.left > 0:
                break
        else:
            pytest.fail("an ingest has more requests than were tried")
    requests.left = None
    assert stopped > 12
    with Store(url) as store:

        def unexplained() -> list[str]:
            held = {f.path for f in store.files("s")} | {s.rejects_path for s in store.catalogue.sources("s")}
            return [i.path for p in ("data/", "rejects/") for i in store.objects.list(p) if i.path not in held]

        assert unexplained()
        with later(monkeypatch, 8 * 86_400):
            assert sweep.handler({"allow_many": True}, Context())["left"] == 0
        assert unexplained() == []
        assert store.verify().ok
        for body in bodies:
            assert failures(ingest(batch(body), Context())) == []
        found = Counter(store.query(df.stream("s").select("n"), progress=False)["n"])
        assert found == Counter(range(2 * len(bodies)))
