"""The truth about the simulated fleet, counted from its events without the engine.

The meaning is that of ``state_duration("status", hold=...)`` grouped by the last reported firmware: a status holds
from its report to the next, at most ``hold``; all other time is unknown, up to the very end of the range, and time
before a device's first report is unknown and of no firmware.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from deploy.simulator.devices import FIRMWARES, UP, Events
from operators.distinct_values import distinct


@dataclass
class TruthTally:
    """Exact microseconds of one firmware, and how many devices ran it."""

    up: int = 0
    known: int = 0
    unknown: int = 0
    devices: int = 0

    @property
    def uptime(self) -> float | None:
        """The share of the known time in which the status was up; None if nothing is known."""
        return self.up / self.known if self.known else None


Truth = dict[str | None, TruthTally]
"""By firmware; None: time before a device reported its firmware."""


def add_device(truth: Truth, events: Events, since: int, until: int, hold: int) -> None:
    """Add one device over [since, until), all in ms."""
    reports = np.flatnonzero(events.status >= 0)
    at, status = events.time[reports], events.status[reports]
    expiry = np.minimum(at + hold, np.append(at[1:], np.iinfo(np.int64).max))
    tells = np.flatnonzero(events.firmware >= 0)
    reported_at, reported = events.time[tells], events.firmware[tells]
    if not len(events.time) or events.time[0] >= until:
        truth.setdefault(None, TruthTally()).unknown += 1000 * (until - since)
        return
    born = max(int(events.time[0]), since)
    if born > since:
        truth.setdefault(None, TruthTally()).unknown += 1000 * (born - since)

    # Nothing changes between neighbouring edges, so the start of each piece is enough.
    edges = distinct(np.concatenate([at, expiry, reported_at, [born, until]]))
    edges = edges[(edges >= born) & (edges <= until)]
    starts, lengths = edges[:-1], np.diff(edges)
    report = np.searchsorted(at, starts, side="right") - 1
    known = (report >= 0) & (starts < expiry[report]) if len(at) else np.zeros(len(starts), np.bool_)
    up = known & (status[report] == UP) if len(at) else known
    telling = np.searchsorted(reported_at, starts, side="right") - 1
    firmware = np.where(telling >= 0, reported[telling], -1) if len(reported) else np.full(len(starts), -1)
    for code in distinct(firmware).tolist():
        mine = firmware == code
        tally = truth.setdefault(None if code < 0 else FIRMWARES[code].name, TruthTally())
        tally.up += 1000 * int(lengths[mine & up].sum())
        tally.known += 1000 * int(lengths[mine & known].sum())
        tally.unknown += 1000 * int(lengths[mine & ~known].sum())
        tally.devices += 1


def truth_of(fleet_events: Iterable[Events], since: int, until: int, hold: int) -> Truth:
    """The truth of all devices over [since, until); times in ms, tallies in microseconds."""
    truth: Truth = {}
    for events in fleet_events:
        add_device(truth, events, since, until, hold)
    return truth
