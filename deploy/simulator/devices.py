"""A seeded fleet of devices that crash, are repaired and upgraded, fall silent, and send telemetry late and twice.

The firmware decides how often a device crashes and how long its repair takes. What a device sends is sparse: its
firmware at boot and once an hour, its temperature while it is not down, and now and then no status.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
"""Milliseconds, the unit of the simulation's clock."""

UP, DEGRADED, DOWN = 0, 1, 2
STATUSES = ("up", "degraded", "down")
MISSING = -1
COLDEST, HOTTEST = -400, 900
NO_TEMPERATURE = HOTTEST + 1
"""Temperatures are tenths of a degree, in a range that a table can spell out."""
_BATCH_ROWS = 2_000_000


@dataclass(frozen=True)
class Firmware:
    """A revision: its share of the fleet, mean hours between crashes, mean minutes of a repair."""

    name: str
    share: float
    crash_hours: float
    repair_minutes: float


FIRMWARES = (
    Firmware("1.0.3", 0.15, 11.0, 55.0),
    Firmware("1.1.0", 0.25, 30.0, 40.0),
    Firmware("1.2.0", 0.30, 70.0, 35.0),
    Firmware("2.0.0-rc1", 0.10, 8.0, 12.0),
    Firmware("2.0.0", 0.20, 160.0, 10.0),
)


@dataclass(frozen=True)
class DeviceFleet:
    """``devices`` over ``days`` from ``start`` (ms since 1970 UTC); equal fleets give equal bytes."""

    devices: int = 300
    days: int = 7
    seed: int = 7
    start: int = 1_709_251_200_000  # 2024-03-01

    @property
    def end(self) -> int:
        """Exclusive end in ms."""
        return self.start + self.days * DAY

    def name(self, number: int) -> str:
        """The key of a device."""
        return f"dev-{number:05}"

    def batches(self) -> Iterator[range]:
        """Ranges of devices small enough to hold in memory."""
        step = max(1, _BATCH_ROWS // (self.days * DAY // MINUTE))
        for first in range(0, self.devices, step):
            yield range(first, min(first + step, self.devices))


@dataclass(frozen=True)
class Events:
    """The reports of one device, by strictly increasing time; the truth is counted from them.

    ``time`` int64 ms; ``status`` and ``firmware`` int64 codes, -1 if not reported; ``tenths`` int64 tenths of a
    degree, ``NO_TEMPERATURE`` if not reported.
    """

    time: NDArray[np.int64]
    status: NDArray[np.int64]
    firmware: NDArray[np.int64]
    tenths: NDArray[np.int64]


@dataclass(frozen=True)
class Lines:
    """Telemetry in order of arrival: ``Events`` with the device's number, repeats and corrections."""

    device: NDArray[np.int64]
    time: NDArray[np.int64]
    status: NDArray[np.int64]
    firmware: NDArray[np.int64]
    tenths: NDArray[np.int64]
    arrival: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time)

    def take(self, index: NDArray[np.intp] | slice) -> Lines:
        """Some of the lines."""
        return Lines(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class _Life:
    """Every change of a device's status: when (ms), to which status, its firmware then, and whether it boots."""

    time: NDArray[np.int64]
    status: NDArray[np.int64]
    firmware: NDArray[np.int64]
    boots: NDArray[np.bool_]


def _life(fleet: DeviceFleet, rng: np.random.Generator, born: int, revision: int) -> _Life:
    """Crashes, repairs and perhaps one upgrade; a repair of what was down, and an upgrade, end in a boot. It begins
    with ``revision``, or one that is drawn (-1)."""
    drawn = int(rng.choice(len(FIRMWARES), p=[f.share for f in FIRMWARES]))
    revision = drawn if revision == MISSING else revision
    upgrade = -1  # never
    if revision < len(FIRMWARES) - 1 and rng.random() < 0.4:
        upgrade = int(rng.uniform(fleet.start + 0.15 * (fleet.end - fleet.start), fleet.end))
    fresh = rng.random() < 0.8  # the others were up before, and report their firmware once an hour
    changes = [(born, UP, revision, fresh)]
    now = born
    while now < fleet.end:
        made = FIRMWARES[revision]
        crash = now + 1 + int(rng.exponential(made.crash_hours) * HOUR)
        if now < upgrade <= crash:
            changes.append((upgrade, DOWN, revision, False))
            revision = int(rng.integers(revision + 1, len(FIRMWARES)))
            now = upgrade + int(rng.integers(2 * MINUTE, 6 * MINUTE))
            upgrade = -1
            changes.append((now, UP, revision, True))
        else:
            status = DEGRADED if rng.random() < 0.3 else DOWN
            changes.append((crash, status, revision, False))
            now = crash + 1 + int(rng.exponential(made.repair_minutes) * MINUTE)
            changes.append((now, UP, revision, status == DOWN))
    time, status, firmware, boots = np.array(changes, np.int64).T
    return _Life(time, status, firmware, boots.astype(np.bool_))


def device_events(fleet: DeviceFleet, rng: np.random.Generator, revision: int = MISSING) -> Events:
    """The reports of one device, each once and correct; ``revision`` is its firmware at first, -1 if it is drawn."""
    length = fleet.end - fleet.start
    late = rng.random() < 0.06
    born = fleet.start + int(rng.integers(0, MINUTE)) + (int(rng.uniform(0, 0.5 * length)) if late else 0)
    dies = fleet.start + int(rng.uniform(0.5, 1.0) * length) if rng.random() < 0.03 else fleet.end
    life = _life(fleet, rng, born, revision)

    # One report a minute with up to two seconds of jitter, and one at every change of status.
    ticks = np.arange(born + MINUTE, fleet.end, MINUTE, dtype=np.int64)
    ticks += rng.integers(-2000, 2001, len(ticks))
    time, first = np.unique(np.concatenate([life.time, ticks]), return_index=True)
    changed = first < len(life.time)
    then = np.searchsorted(life.time, time, side="right") - 1
    status = life.status[then]
    hourly = ~changed & ((first - len(life.time)) % 60 == int(rng.integers(0, 60)))
    firmware = np.where(hourly | (changed & life.boots[then]), life.firmware[then], MISSING)
    hours = (time - fleet.start) / HOUR
    warmth = rng.normal(21.0, 4.0) + 3.0 * np.sin(hours * (np.pi / 12)) + rng.normal(0.0, 0.6, len(time))
    tenths = np.clip(np.rint(warmth * 10), COLDEST, HOTTEST).astype(np.int64)
    tenths[status == DOWN] = NO_TEMPERATURE
    said = changed | (rng.random(len(time)) >= 0.03)
    status = np.where(said, status, MISSING)

    heard = time < dies
    for _ in range(int(rng.poisson(0.25 * fleet.days))):
        silent = fleet.start + int(rng.uniform(0, length))
        heard &= (time < silent) | (time >= silent + 6 * MINUTE + int(rng.exponential(1.5 * HOUR)))
    return Events(time[heard], status[heard], firmware[heard], tenths[heard])


def device_lines(number: int, events: Events, rng: np.random.Generator) -> Lines:
    """A device's reports as they arrive: some late by minutes or hours, some twice, some wrong and corrected later.

    A corrected report arrives twice with one time: the later one is right and contains only the status.
    """
    n = len(events.time)
    delay = rng.integers(50, 3000, n)
    slow = rng.random(n)
    late, very_late = slow < 0.01, slow < 0.001
    delay[late] += rng.integers(MINUTE, 40 * MINUTE, int(late.sum()))
    delay[very_late] += rng.integers(HOUR, 12 * HOUR, int(very_late.sum()))
    arrival = events.time + delay

    luck = rng.random(n)
    wrong = np.flatnonzero((luck < 0.002) & (events.status >= 0))
    twice = np.flatnonzero(luck > 0.99)
    order = np.concatenate([np.arange(n), twice, wrong])
    status, firmware, tenths = events.status[order], events.firmware[order], events.tenths[order]
    right = slice(n + len(twice), None)
    status[wrong] = (status[wrong] + rng.integers(1, 3, len(wrong))) % 3
    firmware[right] = MISSING
    tenths[right] = NO_TEMPERATURE
    again = rng.integers(1000, 10 * MINUTE, len(twice) + len(wrong))
    arrival = np.concatenate([arrival, arrival[order[n:]] + again])
    return Lines(np.full(len(order), number, np.int64), events.time[order], status, firmware, tenths, arrival)


def simulate(
    fleet: DeviceFleet, numbers: range, revisions: Mapping[int, int] | None = None
) -> tuple[list[Events], Lines]:
    """Simulate some devices over the whole time: the reports of each, and all lines in order of arrival.
    ``revisions`` are the firmwares of devices at first, where they are known."""
    said: list[Events] = []
    sent: list[Lines] = []
    for number in numbers:
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([fleet.seed, number])))
        events = device_events(fleet, rng, (revisions or {}).get(number, MISSING))
        said.append(events)
        sent.append(device_lines(number, events, rng))
    joined = Lines(*(np.concatenate([getattr(x, name) for x in sent]) for name in Lines.__dataclass_fields__))
    return said, joined.take(np.argsort(joined.arrival, kind="stable"))
