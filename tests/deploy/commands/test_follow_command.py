"""``dataflow follow``: lines of JSON, tables, a terminal, Ctrl-C, pipes that are closed, mistakes."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.cli import main
from runtime import Store
from tests.deploy.commands.terminal import Terminal

ROOT = Path(__file__).resolve().parents[3]
METRIC = """
import dataflow as df
hourly = df.stream("p").group_by(h=df.time().truncate("1h")).agg(n=df.count())
often = df.trigger("1ms", rows=1)
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    Path("m.py").write_text(METRIC)
    store = Store("store", create=True)
    put(store, 5, 3605)
    return store


def put(store: Store, *times: int) -> None:
    store.ingest("p", {"k": ["a"] * len(times), "t": list(times)}, key="k", time="t", unit="s", progress=False)


@contextmanager
def following(*options: str, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """The command as a process of its own, which is killed at the end if it goes on."""
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy", "follow", "store", "m.py:hourly", "--every", "50ms", *options],
        stdout=stdout, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_lines_of_json(store: Store) -> None:
    with following("--lateness", "1m") as process:
        assert process.stdout is not None
        told = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [(t["pane"], t["new"]["n"], t["snapshot"], t["more"]) for t in told] == [
            ("early", 1, 1, 1), ("early", 1, 1, 0),
        ]  # fmt: skip
        put(store, 3700)
        told = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [(t["pane"], t["old"]["n"], t["new"]["n"], t["snapshot"]) for t in told] == [
            ("on_time", 1, 1, 2), ("early", 1, 2, 2),
        ]  # fmt: skip
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=60)
        assert (process.returncode, rest, errors) == (0, "", "")


def test_a_table_with_what_changed_marked(store: Store) -> None:
    with following("--format", "table") as process:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(8)]
        put(store, 3700)
        second = [process.stdout.readline() for _ in range(8)]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert [line[:1] for line in first[2:4]] == [" ", " "]
    assert second[2] == "          1970-01-01T00:00:00Z   1\n"
    assert second[3] == "*early    1970-01-01T01:00:00Z   2\n"
    assert second[6].startswith(" commit 2, watermark 1970-01-01T01:01:40Z, proof ")


def test_on_a_terminal_the_table_takes_the_place_of_the_one_before(store: Store) -> None:
    ours, theirs = pty.openpty()
    with following("--until-idle", "10ms", "--trigger", "m.py:often", stdout=theirs) as process:
        assert process.wait(60) == 0
        os.close(theirs)
        shown = os.read(ours, 65536).decode()
    os.close(ours)
    seen = Terminal(80, 24)
    seen.feed(shown)
    assert seen.screen[2:4] == [" on_time  1970-01-01T00:00:00Z   1", " early    1970-01-01T01:00:00Z   1"]
    assert "commit 1, watermark" in seen.screen[-2]


def test_a_reader_that_leaves_is_no_failure(store: Store) -> None:
    with following() as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        put(store, 3700)
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_whole_answers_as_json(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--every", "1ms", "--until-idle", "1ms"]
    assert main(["follow", "store", "m.py:hourly", "--mode", "table", "--format", "ndjson", *options]) == 0
    (answer,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert answer["rows"] == [["1970-01-01T00:00:00.000000Z", 1], ["1970-01-01T01:00:00.000000Z", 1]]
    assert main(["follow", "store", "m.py:hourly", "--mode", "final", *options]) == 0
    (change,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (change["pane"], change["new"]["h"]) == ("on_time", "1970-01-01T00:00:00.000000Z")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["store", "m.py:hourly", "--mode", "final", "--format", "table"], 2, "give --format ndjson"),
        (["store", "m.py:hourly", "--every", "often"], 1, "follow(every)"),
        (["store", "m.py:hourl"], 1, "did you mean 'hourly'"),
        (["elsewhere", "m.py:hourly"], 1, "there is no store"),
        (["store", "m.py:hourly", "--until", "today"], 2, "there is no option --until"),
    ],
)
def test_mistakes(
    store: Store, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    assert main(["follow", *arguments]) == code
    assert message in capsys.readouterr().err


# ---- deliveries


def plain(text: str) -> str:
    """Without the epochs of ids."""
    return re.sub(r"n/[0-9a-f]{8}/", "n/", text)


QUICK = ("--every", "10ms", "--until-idle", "30ms")


def test_deliveries_to_a_file(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "follow",
        "store",
        "m.py:hourly",
        "--to",
        "out",
        "--name",
        "n",
        "--every",
        "10ms",
        "--until-idle",
        "30ms",
    ]
    assert main(command) == 0
    assert plain(capsys.readouterr().err).splitlines() == ["n/1: 2 events to out", "1 deliveries"]
    put(store, 6)
    assert main(command) == 0
    assert plain(capsys.readouterr().err).splitlines() == ["n/2: 1 event to out", "1 deliveries"]
    ids = [plain(json.loads(line)["id"]) for line in Path("out").read_text().splitlines()]
    assert ids == ["n/1/1", "n/1/2", "n/2/1"]


def test_an_alert(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    Path("m.py").write_text(METRIC + "busy = hourly.with_columns(busy=df.col('n') > 1)\n")
    command = [
        "follow",
        "store",
        "m.py:busy",
        "--to",
        "-",
        "--alert",
        "busy",
        "--every",
        "10ms",
        "--until-idle",
        "30ms",
    ]
    put(store, 7)
    assert main(command) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert (json.loads(line)["edge"], json.loads(line)["row"]["n"]) == ("raised", 2)


def test_a_delivery_that_is_stopped(store: Store) -> None:
    with following("--to", "out", "--name", "n") as process:
        assert process.stderr is not None
        assert plain(process.stderr.readline()) == "n/1: 2 events to out\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr.read() == "1 deliveries\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--name", "n"], "--name needs --to"),
        (["--for", "1m"], "--for needs --to"),
        (["--to", "x", "--format", "table"], "--to takes changes as JSON"),
        (["--to", "-", "--remind", "1m"], "--for and --remind are of a condition"),
        (["--to", "x"], "it needs a name"),
    ],
)
def test_mistakes_of_deliveries(
    store: Store, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main(["follow", "store", "m.py:hourly", *options, "--until-idle", "10ms"]) in (1, 2)
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
