"""A fleet that goes on: each report once, as often as it is made, with the firmware that a device had."""

from __future__ import annotations

import itertools

import numpy as np

from deploy.simulator.devices import DAY, MINUTE, DeviceFleet, Lines, simulate
from deploy.simulator.ongoing_fleet import OngoingFleet, as_columns, last_revisions

FLEET = DeviceFleet(12, 2, 5)


def pieces(step: int, count: int) -> list[Lines]:
    return list(itertools.islice(OngoingFleet(FLEET).pieces(step), count))


def points_of(found: list[Lines]) -> list[tuple[int, ...]]:
    return sorted(
        (int(t), int(d), int(a), int(s))
        for lines in found
        for t, d, a, s in zip(lines.time, lines.device, lines.arrival, lines.status, strict=True)
    )


def test_pieces_are_all_that_arrives() -> None:
    by_hours, at_once = pieces(60 * MINUTE, 48), pieces(2 * DAY, 1)
    assert points_of(by_hours) == points_of(at_once)
    for number, lines in enumerate(by_hours):
        begin = FLEET.end + number * 60 * MINUTE
        assert ((lines.arrival >= begin) & (lines.arrival < begin + 60 * MINUTE)).all()
        assert (np.diff(lines.arrival) >= 0).all()
        assert (lines.time >= FLEET.end).all()


def test_some_report_late() -> None:
    (lines,) = pieces(DAY, 1)
    late = lines.arrival - lines.time > 14 * MINUTE
    assert 0.01 < late.mean() < 0.1


def test_a_device_keeps_its_firmware_overnight() -> None:
    events, _ = simulate(FLEET, range(FLEET.devices))
    ongoing = OngoingFleet(FLEET, last_revisions(range(FLEET.devices), events))
    assert ongoing.revisions
    for day in range(3):
        before = dict(ongoing.revisions)
        lines = ongoing._day(day)
        for device, revision in before.items():
            said = lines.take(np.flatnonzero((lines.device == device) & (lines.firmware >= 0)))
            first = said.firmware[np.argmin(said.time)] if len(said) else revision
            assert first >= revision  # upgrades only


def test_columns() -> None:
    (lines,) = pieces(10 * MINUTE, 1)
    columns = as_columns(lines, FLEET)
    assert {len(values) for values in columns.values()} == {len(lines)}
    assert set(columns["status"]) <= {"up", "degraded", "down", None}
    assert all(text is None or isinstance(text, float) for text in columns["temp"])
