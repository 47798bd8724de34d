"""A fleet that goes on reporting after its days, for ever: what arrives in each piece of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.simulator.devices import (
    DAY,
    FIRMWARES,
    MINUTE,
    NO_TEMPERATURE,
    STATUSES,
    DeviceFleet,
    Events,
    Lines,
    simulate,
)

MOST = 1_000
"""Devices that go on: more would make a piece of time slow."""

_OFFLINE = 0.8
"""The share of the devices that are offline once a day: they send what they have when they are back."""


@dataclass
class OngoingFleet:
    """The days behind those of ``fleet``, of its first ``MOST`` devices; the same whenever it is made."""

    fleet: DeviceFleet
    revisions: dict[int, int] = field(default_factory=dict)
    """The firmware of each device at the end of the last day that is simulated, where it is known."""

    @property
    def devices(self) -> int:
        """How many devices go on."""
        return min(MOST, self.fleet.devices)

    def pieces(self, step: int) -> Iterator[Lines]:
        """The lines that arrive in each further ``step`` of milliseconds, in order of arrival."""
        waiting = self._day(0)
        begin, days = self.fleet.end, 1
        while True:
            while begin + step > self.fleet.end + days * DAY:
                some = self._day(days)
                waiting = Lines(*(np.concatenate([getattr(w, n) for w in (waiting, some)]) for n in _FIELDS))
                days += 1
            here = waiting.arrival < begin + step
            piece, waiting = waiting.take(np.flatnonzero(here)), waiting.take(np.flatnonzero(~here))
            yield piece.take(np.argsort(piece.arrival, kind="stable"))
            begin += step

    def _day(self, number: int) -> Lines:
        seed = int(np.random.SeedSequence([self.fleet.seed, number]).generate_state(1)[0])
        day = replace(self.fleet, days=1, start=self.fleet.end + number * DAY, seed=seed)
        events, lines = simulate(day, range(self.devices), self.revisions)
        self.revisions |= last_revisions(range(self.devices), events)
        return replace(lines, arrival=_buffered(lines, day, self.devices, seed))


def last_revisions(numbers: range, events: Sequence[Events]) -> dict[int, int]:
    """The firmware that devices reported last, of those that go on."""
    said = {
        number: one.firmware[one.firmware >= 0] for number, one in zip(numbers, events, strict=True) if number < MOST
    }
    return {number: int(codes[-1]) for number, codes in said.items() if len(codes)}


_FIELDS = tuple(Lines.__dataclass_fields__)


def _buffered(lines: Lines, day: DeviceFleet, devices: int, seed: int) -> NDArray[np.int64]:
    """When the lines arrive if devices are offline now and then."""
    rng = np.random.Generator(np.random.PCG64(seed))
    begin = day.start + rng.integers(0, DAY, devices)
    end = begin + np.where(rng.random(devices) < _OFFLINE, rng.integers(15 * MINUTE, 90 * MINUTE, devices), 0)
    held = (lines.time >= begin[lines.device]) & (lines.time < end[lines.device])
    return np.where(held, np.maximum(lines.arrival, end[lines.device]), lines.arrival)


def as_columns(lines: Lines, fleet: DeviceFleet) -> dict[str, list[Any]]:
    """The lines as an ingest takes them from memory."""
    return {
        "device": [fleet.name(device) for device in lines.device.tolist()],
        "ts": lines.time.tolist(),
        "status": [STATUSES[code] if code >= 0 else None for code in lines.status.tolist()],
        "temp": [None if tenths == NO_TEMPERATURE else tenths / 10 for tenths in lines.tenths.tolist()],
        "firmware": [FIRMWARES[code].name if code >= 0 else None for code in lines.firmware.tolist()],
    }
