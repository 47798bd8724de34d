"""The end of the demo with `--live`: what it shows, how it ends, where it goes on; the store is whole each time."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import main
from deploy.commands import demo
from deploy.commands.live_demo import go_on
from deploy.metric_file import load_metric
from deploy.simulator.devices import DeviceFleet
from deploy.simulator.ongoing_fleet import OngoingFleet
from runtime import Store
from runtime.ingest.inputs.identity import declared_identity
from tests.deploy.commands.terminal import Terminal

ROOT = Path(__file__).resolve().parents[3]
FLEET = ("--devices", "12", "--days", "1", "--seed", "11")


class Seconds:
    """A clock that goes on when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += max(seconds, 0.001)


def with_a_point(folder: Path) -> Store:
    store = Store(folder, create=True)
    point = {"device": ["d"], "ts": [1_709_251_200_000], "status": ["up"], "temp": [1.5], "firmware": ["1.0.3"]}
    store.ingest("telemetry", point, key="device", time="ts", unit="ms", duplicates="latest", progress=False)
    return store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return with_a_point(tmp_path / "store")


@pytest.fixture
def metric(tmp_path: Path) -> Any:
    (tmp_path / "metrics.py").write_text(demo.METRIC_FILE)
    return load_metric(f"{tmp_path / 'metrics.py'}:hourly")


def live(store: Store, metric: Any, seconds: float, stop: threading.Event | None = None, devices: int = 12) -> int:
    clock = Seconds()
    fleet = OngoingFleet(DeviceFleet(devices, 1, 11))
    return go_on(store, "telemetry", metric, fleet, seconds, stop or threading.Event(), clock, clock.wait)


def test_what_is_shown_is_the_answer(store: Store, metric: Any, capsys: pytest.CaptureFixture[str]) -> None:
    points = live(store, metric, 16, devices=150)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert re.search(r"^\*?late ", out, re.M)
    assert re.search(r"^\*?on_time ", out, re.M)
    assert points > 1000
    whole = store.query(metric, since="2024-03-02", progress=False)
    last = out.rstrip("\n").split("\n\n")[-1]
    assert f"commit {store.catalogue.order('telemetry').seq}, watermark" in last
    assert f"proof {str(whole.proof.to_dict()['result'])[:12]}" in last
    assert [line[10:].strip() for line in last.splitlines()[2 : 2 + len(whole)]] == [
        line.strip() for line in whole.to_text().splitlines()[2 : 2 + len(whole)]
    ]


def test_it_goes_on_where_it_was(store: Store, metric: Any, tmp_path: Path) -> None:
    first, again = live(store, metric, 3), live(store, metric, 3)
    assert again > 0
    there = {source.entry.id for source in store.sources("telemetry")}
    assert {declared_identity(f"live {n}") for n in range(1, 7)} < there
    assert len(there) == 7
    assert first + again == live(with_a_point(tmp_path / "other"), metric, 6)


def test_it_stops(store: Store, metric: Any) -> None:
    stop = threading.Event()
    stop.set()
    assert live(store, metric, 3, stop) == 0


def test_mistakes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["demo", str(tmp_path / "x"), "--for", "3s"]) == 2
    assert "--for is the time of --live: give both" in capsys.readouterr().err
    assert main(["demo", str(tmp_path / "x"), "--live", "--for", "soon"]) == 1
    assert "--for: 'soon' is not a duration" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


# ---- as a process


@contextmanager
def running(folder: Path, *options: str, **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy", "demo", str(folder / "store"), *FLEET, "--live", *options],
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}, **how,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def is_whole(folder: Path, capsys: pytest.CaptureFixture[str]) -> bool:
    capsys.readouterr()
    code = main(["verify", str(folder / "store"), "--json"])
    return code == 0 and bool(json.loads(capsys.readouterr().out))


def test_ends_of_the_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal by Ctrl-C, in a pipe by SIGTERM and by a reader that leaves, on a full disk."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with running(tmp_path, stdout=theirs) as process:
        os.close(theirs)
        shown = b""
        while shown.count(b"commit ") < 3:
            shown += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        while b"edit them and query" not in shown:
            shown += os.read(ours, 65536)
        assert process.wait(120) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
    os.close(ours)
    seen = Terminal(80, 24)
    seen.feed(shown.decode())
    assert sum(line.startswith(" commit ") for line in seen.lines) == 1
    assert is_whole(tmp_path, capsys)

    with running(tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            assert b"\x1b" not in line
            if line.startswith(b" commit "):
                break
        process.send_signal(signal.SIGTERM)
        assert b"edit them and query" in process.stdout.read()
        assert process.wait(120) == 0
    assert is_whole(tmp_path, capsys)

    with running(tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith(b" commit "):
            pass
        process.stdout.close()
        assert process.wait(120) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert is_whole(tmp_path, capsys)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Path("/dev/full").open("wb") as full, running(tmp_path, stdout=full) as process:
        assert process.wait(120) == 1
        assert process.stderr is not None
        error = process.stderr.read().decode()
    assert "No space left on device" in error
    assert "Traceback" not in error
    assert error.count("\n") == 1
