"""A service that runs for hours: ten threads ask, others ingest, publish and keep the store, processes are forked and
killed, servers are killed, frozen and throttled. Every answer is worked out again by another process; memory, open
files, threads and what is kept on disk must level off.

The budget is seconds: ``python -m tests.campaigns soak --examples 7200``. The curve is printed as it grows.
"""

from __future__ import annotations

import os
import random
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from operators.compiler.cache import cache_folder
from tests.campaigns import Report
from tests.campaigns.soak_servers import Servers
from tests.campaigns.soak_service import PATIENCE, Service

ASKING, EVERY = 10, 30.0
"""Threads that ask; seconds between two samples of the curve."""

LEVEL, ROOM = 1.15, {"RSS, MB": 40.0, "files": 12.0, "threads": 8.0, "cache, MB": 16.0, "kernels, MB": 4.0}
"""What the last third of the curve may have more than the third before it: a factor, or so much."""

LONG = 900
"""Seconds from which on the curve is judged."""


@dataclass(frozen=True)
class Sample:
    """One point of the curve."""

    seconds: float
    values: dict[str, float]


@dataclass
class Curve:
    """What the process holds, over time."""

    folder: Path
    begun: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)

    def sample(self, answered: int) -> None:
        """Add a point, and print it."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        values = {
            "RSS, MB": pages * resource.getpagesize() / 1e6,
            "files": float(len(os.listdir("/proc/self/fd"))),
            "threads": float(threading.active_count()),
            "cache, MB": _bytes(self.folder / "store" / "cache") + _bytes(self.folder / "store" / "carry"),
            "kernels, MB": _bytes(cache_folder()),
        }
        self.samples.append(Sample(time.monotonic() - self.begun, values))
        shown = "  ".join(f"{name} {value:,.0f}" for name, value in values.items())
        print(f"{self.samples[-1].seconds:7,.0f} s  {shown}  answers {answered:,}", file=sys.stderr, flush=True)

    def grown(self) -> list[str]:
        """What has not levelled off."""
        third = len(self.samples) // 3
        if not third or self.samples[-1].seconds < LONG:
            return []
        found = []
        for name, room in ROOM.items():
            before, last = (
                sum(sample.values[name] for sample in some) / third
                for some in (self.samples[-2 * third : -third], self.samples[-third:])
            )
            if last > before * LEVEL and last > before + room:
                found.append(f"{name} grows: {before:,.0f}, then {last:,.0f} on average")
        return found


def _bytes(folder: Path) -> float:
    """Megabytes of the files below a folder."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # gone meanwhile
            total += path.stat().st_size
    return total / 1e6


def run(budget: int, seed: int) -> Report:
    """Serve for ``budget`` seconds."""
    report = Report()
    with tempfile.TemporaryDirectory(prefix="antfold-soak-") as name, Servers(Path(name)) as servers:
        folder = Path(name)
        service = Service(folder, seed, report)
        curve = Curve(folder)
        end = time.monotonic() + budget
        works: list[Callable[[random.Random], None]] = [service.ask] * ASKING
        works += [service.write_long, service.write_short, service.publish, service.keep, service.ask_pool]
        if servers.url is not None:
            service.far(servers.url)
            works += [service.write_far, service.ask_far, servers.disturb]
        threads = [
            threading.Thread(target=_repeated, args=(work, random.Random(f"{seed} {n}"), end, report), daemon=True)
            for n, work in enumerate(works)
        ]
        for thread in threads:
            thread.start()
        rng, due = random.Random(f"{seed} forks"), 0.0
        while time.monotonic() < end and len(report.failures) < 20:
            if time.monotonic() >= due:
                curve.sample(service.answered)
                due = time.monotonic() + EVERY
            service.fork(rng)
            time.sleep(min(2.0, max(0.0, end - time.monotonic())))
        servers.calm()
        service.ended.set()
        late = time.monotonic() + PATIENCE
        for thread in threads:
            thread.join(max(0.0, late - time.monotonic()))
        hanging = [thread.name for thread in threads if thread.is_alive()]
        curve.sample(service.answered)
        if hanging:
            report.failures.append(f"{len(hanging)} threads still work {PATIENCE:.0f} s after the end: {hanging}")
        service.close()
        report.failures += curve.grown()
    return report


def _repeated(work: Callable[[random.Random], None], rng: random.Random, end: float, report: Report) -> None:
    while time.monotonic() < end:
        try:
            work(rng)
        except Exception as error:
            report.failures.append(f"{getattr(work, '__name__', work)}: {type(error).__name__}: {error!s:.400}")
            return
