"""antfold, in the same frame as its peers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

import dataflow as df
from runtime import Store
from tests.benchmarks.data import Shape, Telemetry
from tests.benchmarks.peers import size_of
from tests.benchmarks.questions import THRESHOLD

if TYPE_CHECKING:
    from dataflow.language.stream import Stream


def metrics() -> dict[str, dict[str, Stream]]:
    """The questions as metrics, by question and form; their columns are those of `questions.py`."""
    points = df.stream("telemetry")
    up = df.col("status") == "up"
    mean = df.mean("temp")
    return {
        "uptime": {
            "metric": points.state_duration("status", hold="5m")
            .group_by("firmware")
            .agg(up=df.duration(up), known=df.known_time())
        },
        "sessions": {"metric": points.sessionize("90s").agg(sessions=df.count(), length=df.sum("duration"))},
        "heartbeat": {
            "metric": points.heartbeat("90s").agg(alive=df.duration(df.col("alive")), known=df.known_time()),
        },
        "filter_group": {
            "metric": points.filter(df.col("temp") > THRESHOLD)
            .group_by("firmware", "status")
            .agg(points=df.count(), mean_temp=mean)
        },
        "device_means": {
            "window": points.window("10m", mean_temp=mean).select("device", "mean_temp", bucket=df.col("start")),
            "group_by": points.group_by("device", bucket=df.time().truncate("10m")).agg(mean_temp=mean),
        },
    }


class Antfold:
    """The store in a folder, asked in this process."""

    name = "antfold"
    ticks = 1

    def __init__(self, shape: Shape, workers: int) -> None:
        self._shape = shape
        self._workers = workers
        self._metrics = metrics()

    def load(self, telemetry: Telemetry, folder: Path) -> None:
        """Ingest the Arrow table into a new store."""
        self._folder = folder
        self._store = Store(str(folder), create=True)
        self._store.ingest("telemetry", telemetry.to_arrow(), key="device", time="ts", unit="us")

    def size(self) -> int:
        """Bytes of the whole store: point files and catalogue."""
        return size_of(self._folder)

    def forms(self, question: str) -> tuple[str, ...]:
        """See `metrics`."""
        return tuple(self._metrics[question])

    def run(self, question: str, form: str) -> pa.Table:
        """Plan, read, decompress, compute and merge."""
        shape = self._shape
        result = self._store.query(
            self._metrics[question][form], since=_iso(shape.since), until=_iso(shape.until), workers=self._workers
        )
        return result.to_arrow()

    def version(self) -> str:
        """The version under test."""
        return "this tree"


def _iso(micros: int) -> str:
    return datetime.fromtimestamp(micros // 1_000_000, UTC).isoformat()
