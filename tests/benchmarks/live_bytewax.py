"""Count and mean by firmware and minute in Bytewax, as its documentation writes an event-time tumbling window.

Run by `live_peers` with a Python that has Bytewax; imports nothing of this project.
"""

import json
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bytewax.operators as op
import pyarrow.parquet as pq
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.operators import windowing as win
from bytewax.testing import TestingSink, run_main

Event = tuple[str, datetime, float]
Totals = tuple[int, float]


class _Batches(StatelessSourcePartition[Event]):
    """The batches of a recorded folder, in the order of their names."""

    def __init__(self, folder: Path) -> None:
        self.files = iter(sorted(folder.glob("*.parquet")))

    def next_batch(self) -> list[Event]:
        table = pq.read_table(next(self.files), columns=["firmware", "ts", "temp"])
        firmware, ts, temp = (column.to_pylist() for column in table.columns)
        utc = (at.replace(tzinfo=UTC) for at in ts)  # Bytewax takes this one zone only
        return list(zip(firmware, utc, temp, strict=True))


class _Recorded(DynamicSource[Event]):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Batches:
        return _Batches(self.folder)


def main(folder: Path, lateness: float) -> None:
    """Replay the folder as fast as possible; print rows and cost as JSON."""
    epoch, minute = datetime(1970, 1, 1, tzinfo=UTC), timedelta(minutes=1)
    flow = Dataflow("means")
    keyed = op.key_on("firmware", op.input("in", flow, _Recorded(folder)), lambda event: event[0])
    closed = win.fold_window(
        "minute",
        keyed,
        win.EventClock(ts_getter=lambda event: event[1], wait_for_system_duration=timedelta(seconds=lateness)),
        win.TumblingWindower(length=minute, align_to=epoch),
        builder=lambda: (0, 0.0),
        folder=lambda totals, event: (totals[0] + 1, totals[1] + event[2]),
        merger=lambda one, other: (one[0] + other[0], one[1] + other[1]),
    )
    rows: list[tuple[str, tuple[int, Totals]]] = []
    late: list[object] = []
    op.output("out", closed.down, TestingSink(rows))
    op.output("late", closed.late, TestingSink(late))
    begun, cpu = time.perf_counter(), time.process_time()
    run_main(flow)
    cost = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu, "late": len(late)}
    cost["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = [[firmware, number, n, total / n] for firmware, (number, (n, total)) in rows]
    print(json.dumps({"rows": found, **cost}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
