"""``dataflow watch``: a folder and a pipe as processes; killed at any time, stopped, acknowledged; mistakes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import dataflow as df
from deploy.cli import main
from deploy.commands.long_running import connection_settings
from operators.errors import DataflowError
from runtime import Store

ROOT = Path(__file__).resolve().parents[3]
NEW = ("--key", "k", "--time", "t", "--unit", "s")


@pytest.fixture
def landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("landing").mkdir()
    return tmp_path / "landing"


def lines(*numbers: int) -> str:
    return "".join(json.dumps({"k": "a", "t": n, "n": n}) + "\n" for n in numbers)


def numbers_in(store: Store) -> list[int]:
    found = store.query(df.stream("p").select("n"), progress=False)["n"]
    return sorted(n for n in found if isinstance(n, int))


@contextmanager
def watching(*options: str) -> Iterator[subprocess.Popen[str]]:
    """The command as a process of its own, which is killed at the end if it goes on."""
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy", "watch", "store", "p", *options, "--every", "50ms", *NEW],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == f"watching {options[0]}\n"
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


def test_a_folder(landing: Path) -> None:
    (landing / "a.log").write_text(lines(1, 2))
    with watching("landing") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "a.log: 2 points\n"
        with (landing / "a.log").open("a") as log:
            log.write('{"t": 3}\n' + lines(4))
        assert process.stderr.readline().startswith("a.log: 1 points, 1 rejected: ")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "2 commits: 3 points, 1 rejected\n")
    assert numbers_in(Store("store")) == [1, 2, 4]


def test_lines_of_a_pipe_are_acknowledged(landing: Path) -> None:
    with watching("-", "--acknowledge") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(lines(1, 2))
        process.stdin.flush()
        assert process.stdout.readline() == "2\n"
        process.stdin.write(lines(3))
        process.stdin.close()
        assert process.stdout.readline() == "3\n"
        assert process.wait(60) == 0
    with watching("-", "--acknowledge", "--from", "committed") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(lines(1, 2, 3, 4))
        process.stdin.close()
        assert process.stdout.readline() == "4\n"
    assert numbers_in(Store("store")) == [1, 2, 3, 4]


def test_killed_at_any_time(landing: Path) -> None:
    dice, written = random.Random(5), 0
    for _ in range(4):
        with watching("landing", "--settled", "100ms") as process:
            until = time.monotonic() + 0.5 + dice.random()
            while time.monotonic() < until:
                name = landing / f"{dice.randrange(2)}.log"
                with name.open("a") as log:
                    log.write(lines(written, written + 1))
                written += 2
                if dice.random() < 0.1:
                    name.rename(landing / f"{written}.old")
                time.sleep(dice.random() / 20)
            process.kill()
            process.wait()
    assert (
        main(["watch", "store", "p", "landing", "--every", "20ms", "--settled", "100ms", "--until-idle", "1s", *NEW])
        == 0
    )
    with Store("store") as store:
        assert numbers_in(store) == list(range(written))
        assert store.verify().ok


def test_two_at_once(landing: Path) -> None:
    with watching("landing") as one, watching("landing") as two:
        for n in range(0, 40, 2):
            with (landing / "a.log").open("a") as log:
                log.write(lines(n, n + 1))
            time.sleep(0.03)
        for process in (one, two):
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
    assert main(["watch", "store", "p", "landing", "--every", "20ms", "--until-idle", "100ms", *NEW]) == 0
    assert numbers_in(Store("store")) == list(range(40))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["landing"], 1, "--key"),
        (["nowhere", *NEW], 1, "there is no folder"),
        (["landing", *NEW, "--every", "soon"], 1, "watch(every)"),
        (["landing", *NEW, "--from", "committed"], 1, "--from is beginning or end"),
        (["landing", *NEW, "--from", "start"], 2, "'start' is none of its values"),
        (["landing", *NEW, "--type", "n=number"], 1, "number"),
        (["kafka://b", *NEW], 1, "kafka://BROKER:9092/TOPIC names a topic, got 'kafka://b'"),
        (["landing", *NEW, "--connection", "missing"], 1, "--connection missing cannot be read: No such file"),
        (["landing", *NEW, "--idle", "soon"], 1, "watch(idle)"),
    ],
)
def test_mistakes(
    landing: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    assert main(["watch", "store", "p", "--until-idle", "1ms", *arguments]) == code
    assert message in capsys.readouterr().err


def test_settings_of_a_connection(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("# of the cluster\n\nsecurity.protocol = SASL_SSL\nsasl.password=a=b#c\n")
    assert connection_settings(str(file)) == {"security.protocol": "SASL_SSL", "sasl.password": "a=b#c"}
    file.write_text("a=b\nsecret\n")
    with pytest.raises(DataflowError, match=r"kafka\.properties:2: a line is NAME=VALUE, such as") as raised:
        connection_settings(str(file))
    assert "secret" not in str(raised.value)
