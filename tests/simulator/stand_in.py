"""A stand-in for S3 and Lambda with set latencies: the real coordinator, the real worker, and waits that really pass.

S3 is a folder whose reads wait for their first byte and share their worker's network. Lambda is this process: each
invocation runs the worker's code on a thread, in an environment of its own that was there before (warm) or begins now
(cold). The environments share this machine's cores, which those of Lambda do not: so latencies are set high enough that
waiting, which threads do at the same time, takes most of the time. What a vCPU computes is not measured here.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from operators.types import Type
from runtime import Store
from runtime.catalogue import FileEntry, SourceEntry, StreamSchema, file_path, new_attempt
from runtime.columns import Column, Dictionary, Points
from runtime.fleet import Fleet, Reply
from runtime.fleet.worker import answer
from runtime.objects.folder_objects import FolderObjects
from runtime.objects.s3_objects import GAP
from runtime.pointfile import encode, footer_digest, sort_points
from runtime.result.cost import Cost
from runtime.result.speeds import Speeds
from runtime.storage.open_store import OpenStore

MINUTE = 60_000_000
START = 19_800 * 86_400_000_000
COLUMNS = {"temp": Type.FLOAT, "count": Type.INT, "status": Type.STRING, "up": Type.BOOL}

SET = Speeds(
    first_byte=0.3, spread=0.0, stream=40e6, network=40e6, overhead=0.1, cold=1.5, request=0.0, requests=0, page=0.0
)
"""The latencies that are set. The catalogue is a file here, and answers at once."""


class SlowFolder(FolderObjects):
    """A folder that is read as S3 is: GETs are counted, wait for their first byte, and share the network of their
    worker. ``speeds``: None for no waiting."""

    at_once = 16

    def __init__(self, root: Path, speeds: Speeds | None = None, gap: int = GAP) -> None:
        super().__init__(root)
        self.gap = gap
        self.gets = self.bytes_read = 0
        self._speeds, self._free, self._counting = speeds, 0.0, threading.Lock()

    def read_into(self, path: str, offset: int, into: memoryview) -> None:
        """See ``ObjectStore.read_into``."""
        now = time.monotonic()
        with self._counting:
            self.gets += 1
            self.bytes_read += len(into)
            if self._speeds is not None:
                arriving = max(self._free, now + self._speeds.first_byte)
                self._free = arriving + len(into) / self._speeds.stream
            there = self._free
        super().read_into(path, offset, into)
        if there > (now := time.monotonic()):
            time.sleep(there - now)


class Lambda:
    """Workers in this process; ``warm``: so many environments have begun before."""

    def __init__(self, url: str, speeds: Speeds, warm: int) -> None:
        self._url, self._speeds = url, speeds
        self._idle = [self._environment() for _ in range(warm)]
        self.begun = 0

    def _environment(self) -> OpenStore:
        held = OpenStore(self._url)
        held.__dict__["objects"] = SlowFolder(Path(self._url), self._speeds)
        return held

    def invoke(self, payload: bytes) -> Reply:
        """One invocation of a worker."""
        time.sleep(self._speeds.overhead / 2)
        try:
            held = self._idle.pop()
        except IndexError:
            self.begun += 1
            time.sleep(self._speeds.cold * 1.1)  # the mean of the model's 0.8 to 1.4 times
            held = self._environment()
        reply = json.dumps(answer(json.loads(payload), lambda _: held)).encode()
        self._idle.append(held)
        time.sleep(self._speeds.overhead / 2)
        return Reply(200, reply)

    @property
    def fleet(self) -> Fleet:
        """As an executor of queries."""
        return Fleet(self.invoke)


@dataclass(frozen=True)
class Measured:
    """What a query took."""

    seconds: float
    cost: Cost


def measured(store: Store, metric: object, workers: int | None, warm: bool, speeds: Speeds = SET) -> Measured:
    """A query on the stand-in, from the question to its result."""
    functions = Lambda(store.url, speeds, 1_000 if warm else 0)
    begun = time.monotonic()
    result = store.query(metric, executor=functions.fleet, workers=workers, progress=False)  # type: ignore[arg-type]
    taken = time.monotonic() - begun
    assert result.cost is not None
    assert result.proof.complete
    return Measured(taken, result.cost)


def of_small_files(folder: Path, files: int, rows: int = 20) -> Store:
    """A store like one that Firehose fills: an object a minute of so many rows, nothing compacted."""
    store = Store(folder, create=True)
    assert not store.catalogue.streams()  # it is there before its files
    rng = np.random.default_rng(files)
    status, names = Dictionary.of(["down", "idle", "up"]), [f"d{i:04d}" for i in range(500)]
    schema, entries, attempt = StreamSchema("device", Type.STRING, "ts", COLUMNS), [], new_attempt()
    for i in range(files):
        some = Dictionary.of([names[j] for j in rng.choice(500, rows, replace=False)])
        columns = {
            "temp": Column(Type.FLOAT, np.round(rng.normal(20, 5, rows), 1)),
            "count": Column(Type.INT, rng.integers(0, 9, rows)),
            "status": Column(Type.STRING, rng.integers(0, 3, rows).astype(np.int32), None, status),
            "up": Column(Type.BOOL, rng.integers(0, 2, rows).astype(Type.BOOL.dtype)),
        }
        times = START + i * MINUTE + rng.integers(0, MINUTE, rows)
        points = sort_points(Points(Column(Type.STRING, np.arange(rows, dtype=np.int32), None, some), times, columns))
        first, last = int(times.min()), int(times.max())
        day = first // 86_400_000_000
        data = encode(points, key="device", time="ts", day=day, origin={"stream": "s"})
        path = file_path("s", day, attempt, i)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        entries.append(
            FileEntry(
                path=path, day=day, rows=rows, bytes=len(data), t_min=first, t_max=last, sha256="0" * 64, keys=rows,
                nulls=dict.fromkeys(COLUMNS, 0), footer=footer_digest(data),
            )
        )  # fmt: skip
    size = sum(e.bytes for e in entries)
    source = SourceEntry("1" * 64, "objects", size, rows * files, rows * files)
    store.catalogue.commit("s", schema, source, entries, attempt)
    return store


def of_large_files(folder: Path, files: int, rows: int, shared_time: bool = False) -> Store:
    """A store of files that are not read whole: random numbers, some MB each; ``shared_time``: overlapping ones."""
    store = Store(folder)
    rng = np.random.default_rng(files)
    for i in range(files):
        times = START + (0 if shared_time else i * 60 * MINUTE) + np.sort(rng.integers(0, 60 * MINUTE, rows))
        columns = {
            "device": rng.integers(0, 900, rows),
            "ts": times,
            "temp": rng.normal(20, 5, rows),
            "count": rng.integers(0, 1 << 40, rows),
            "status": np.array(["down", "idle", "up"])[rng.integers(0, 3, rows)],
            "note": np.array([f"note {n}" for n in range(5_000)])[rng.integers(0, 5_000, rows)],
        }
        store.ingest("s", columns, key="device", time="ts", unit="us", progress=False, compact=False)
    return store
