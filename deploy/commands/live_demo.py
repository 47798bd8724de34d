"""The end of ``dataflow demo --live``: the fleet goes on reporting, and the answer is shown as it changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from deploy.commands.live_table import LiveTable
from deploy.simulator.devices import MINUTE
from deploy.simulator.ongoing_fleet import OngoingFleet, as_columns
from runtime.ingest.inputs.identity import declared_identity

if TYPE_CHECKING:
    from dataflow.language.stream import Stream
    from runtime import Store

LATENESS = "10m"
_STEP = 10 * MINUTE
_PAUSE = 1.0
"""Seconds between two commits, of the ``_STEP`` that the fleet lives meanwhile."""


def go_on(
    store: Store,
    stream: str,
    metric: Stream,
    ongoing: OngoingFleet,
    seconds: float | None,
    stop: threading.Event,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], Any] | None = None,
) -> int:
    """Let the fleet report, from where it was in this store, until ``stop`` is set or ``seconds`` have passed; returns
    how many points came."""
    since = datetime.fromtimestamp(ongoing.fleet.end / 1000, UTC)
    follower = store.follower(metric, since.isoformat(), lateness=LATENESS, mode="table")
    end = "Ctrl-C ends it" if seconds is None else f"for {seconds:g} s"
    table = LiveTable(f"{ongoing.devices:,} devices go on reporting, ten minutes a second; {end}")
    begun, points = clock(), 0
    there = {source.entry.id for source in store.sources(stream)}
    for number, lines in enumerate(ongoing.pieces(_STEP), 1):
        name = f"live {number}"
        if stop.is_set() or (seconds is not None and clock() - begun >= seconds):
            break
        if declared_identity(name) in there:  # of an earlier run
            continue
        at = clock()
        report = store.ingest(stream, as_columns(lines, ongoing.fleet), source=name, progress=False)
        points += report.committed
        if (answer := follower.step()) is not None:
            table.show(answer)
        (wait or stop.wait)(max(0.0, _PAUSE - (clock() - at)))
    return points
