"""The simulated fleet: seeded, plausible, messy as promised, and its truth counted right."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.cli import main
from deploy.simulator.devices import (
    DAY,
    FIRMWARES,
    MISSING,
    NO_TEMPERATURE,
    STATUSES,
    UP,
    DeviceFleet,
    Events,
    simulate,
)
from deploy.simulator.telemetry_files import HOLD, write_fleet
from deploy.simulator.truth import Truth, TruthTally, truth_of
from operators.errors import DataflowError

SMALL = DeviceFleet(devices=25, days=2, seed=3)


def brute_force(events: Events, since: int, until: int, hold: int) -> Truth:
    """Millisecond by millisecond: what was last said, and when."""
    truth: Truth = defaultdict(TruthTally)
    seen: set[str | None] = set()
    said = list(zip(*(getattr(events, n).tolist() for n in ("time", "status", "firmware")), strict=True))
    for now in range(since, until):
        past = [e for e in said if e[0] <= now]
        reports = [e for e in past if e[1] != MISSING]
        reported = [e for e in past if e[2] != MISSING]
        firmware = FIRMWARES[reported[-1][2]].name if reported else None
        known = bool(reports) and now < reports[-1][0] + hold
        tally = truth[firmware]
        tally.known += 1000 * known
        tally.unknown += 1000 * (not known)
        tally.up += 1000 * (known and reports[-1][1] == UP)
        if past and firmware not in seen:
            seen.add(firmware)
            tally.devices += 1
    return dict(truth)


@st.composite
def histories(draw: st.DrawFn) -> Events:
    times = sorted(draw(st.sets(st.integers(-5, 45), max_size=10)))
    status = draw(st.lists(st.integers(-1, 2), min_size=len(times), max_size=len(times)))
    firmware = draw(st.lists(st.sampled_from([-1, -1, 0, 1, 2]), min_size=len(times), max_size=len(times)))
    columns = (times, status, firmware, [NO_TEMPERATURE] * len(times))
    return Events(*(np.array(c, np.int64) for c in columns))


@given(histories(), st.integers(0, 20), st.integers(1, 20), st.integers(1, 12))
def test_truth_is_the_brute_force(events: Events, since: int, length: int, hold: int) -> None:
    assert truth_of([events], since, since + length, hold) == brute_force(events, since, since + length, hold)


def test_all_time_is_accounted_for() -> None:
    events, _ = simulate(SMALL, range(SMALL.devices))
    truth = truth_of(events, SMALL.start, SMALL.end, HOLD)
    assert sum(t.known + t.unknown for t in truth.values()) == 1000 * SMALL.devices * (SMALL.end - SMALL.start)
    assert all(0 < t.up < t.known for f, t in truth.items() if f is not None)


def test_the_firmware_matters() -> None:
    fleet = DeviceFleet(devices=200, days=4, seed=1)
    events, _ = simulate(fleet, range(fleet.devices))
    truth = truth_of(events, fleet.start, fleet.end, HOLD)
    uptime = {f: t.uptime or 0.0 for f, t in truth.items()}
    assert uptime["1.0.3"] < uptime["1.1.0"] < uptime["1.2.0"] < uptime["2.0.0"]


def test_the_lines_are_as_messy_as_promised() -> None:
    events, lines = simulate(SMALL, range(SMALL.devices))
    sent = sum(len(e.time) for e in events)
    pairs = set(zip(lines.device.tolist(), lines.time.tolist(), strict=True))
    assert len(pairs) == sent
    assert 1.005 < len(lines) / sent < 1.02  # repeats and corrections
    assert np.all(np.diff(lines.arrival) >= 0)
    assert np.count_nonzero(np.diff(lines.time) < 0) > 0.1 * len(lines)  # out of order
    said = set(zip(lines.device.tolist(), lines.time.tolist(), lines.status.tolist(), strict=True))
    assert len(said) > sent + 20  # said once wrongly, then corrected
    late = (lines.arrival - lines.time) > 60_000
    assert 0.005 < late.mean() < 0.03
    assert (lines.arrival // DAY > lines.time // DAY).any()
    assert 0.01 < (lines.status == MISSING).mean() < 0.1
    assert 0.95 < (lines.firmware == MISSING).mean() < 0.99
    steps = np.concatenate([np.diff(e.time) for e in events])
    assert 55_000 < np.median(steps) < 65_000
    assert (steps > HOLD).any()  # silences


def test_files_say_what_was_simulated(tmp_path: Path) -> None:
    """Reading the files back, the later line winning column by column, gives what the devices meant to say."""
    written = write_fleet(SMALL, tmp_path)
    reported: dict[tuple[str, int], dict[str, object]] = {}
    rows = 0
    for path in written.files:
        for line in gzip.decompress(path.read_bytes()).splitlines():
            point = json.loads(line)
            reported.setdefault((point["device"], point["ts"]), {}).update(point)
            rows += 1
    assert rows == written.rows
    assert sum(p.stat().st_size for p in written.files) == written.bytes
    events, _ = simulate(SMALL, range(SMALL.devices))
    meant = {}
    for number, said in enumerate(events):
        device = SMALL.name(number)
        for time, status, firmware, tenths in zip(*(c.tolist() for c in vars(said).values()), strict=True):
            point = {"device": device, "ts": time}
            if status != MISSING:
                point["status"] = STATUSES[status]
            if firmware != MISSING:
                point["firmware"] = FIRMWARES[firmware].name
            if tenths != NO_TEMPERATURE:
                point["temp"] = tenths / 10
            meant[device, time] = point
    assert reported == meant
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert truth["until_us"] - truth["since_us"] == 2 * DAY * 1000
    assert {g["firmware"]: g["up"] for g in truth["by_firmware"]} == {f: t.up for f, t in written.truth.items()}


def test_equal_seeds_give_equal_bytes(tmp_path: Path) -> None:
    def digest(fleet: DeviceFleet, folder: str) -> str:
        files = write_fleet(fleet, tmp_path / folder).files
        return hashlib.sha256(b"".join(p.read_bytes() for p in files)).hexdigest()

    assert digest(SMALL, "a") == digest(SMALL, "b")
    assert digest(SMALL, "a2") != digest(DeviceFleet(25, 2, seed=4), "c")


def test_a_device_does_not_depend_on_the_others() -> None:
    alone, _ = simulate(SMALL, range(7, 8))
    among, _ = simulate(SMALL, range(0, 10))
    assert np.array_equal(alone[0].time, among[7].time)


def test_large_fleets_come_in_batches() -> None:
    batches = list(DeviceFleet(devices=1000, days=30).batches())
    assert batches[0] == range(0, 46)
    assert [n for b in batches for n in b] == list(range(1000))
    assert list(DeviceFleet(devices=2, days=9000).batches()) == [range(0, 1), range(1, 2)]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "fleet"
    assert main(["simulate", str(out), "--devices", "3", "--days", "1", "--seed", "5"]) == 0
    first, following = capsys.readouterr().out.splitlines()
    assert " points, " in first
    assert following.startswith("next: dataflow ingest STORE telemetry ")
    assert main(["simulate", str(out)]) == 1
    assert "is not empty (it holds 'telemetry-00001.ndjson.gz')" in capsys.readouterr().err
    for number, name in enumerate(("notes.txt", ".hidden", "truth.json", "folder")):
        other = tmp_path / f"other{number}"
        other.mkdir()
        (other / name).mkdir() if name == "folder" else (other / name).write_text("mine")
        assert main(["simulate", str(other), "--devices", "1", "--days", "1"]) == 1
        assert f"is not empty (it holds {name!r}): name a folder that is new" in capsys.readouterr().err
        assert [path.name for path in other.iterdir()] == [name]
    (tmp_path / "empty").mkdir()
    assert main(["simulate", str(tmp_path / "empty"), "--devices", "1", "--days", "1"]) == 0
    (tmp_path / "file").write_text("")
    with pytest.raises(DataflowError, match="cannot write telemetry"):
        write_fleet(SMALL, tmp_path / "file")
