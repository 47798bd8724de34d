"""``dataflow serve``: it says where it listens, takes points, ends by a signal; mistakes."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import dataflow as df
from deploy.cli import main
from runtime import Store
from tests.deploy.serving.served import Caller

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy", "serve", str(tmp_path / "store"), "--port", "0"],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert said.startswith("listening at http://127.0.0.1:")
        call = Caller(int(said.rpartition(":")[2]))
        assert call("GET", "/healthz")[2] == b"ok"
        path = "/api/v1/streams/p?key=k&time=t&unit=s"
        assert call.json("POST", path, '{"k": "a", "t": 1}')[1]["rows"] == 1
        waiting = None
        if number == signal.SIGTERM:  # also while someone waits for changes
            Store(tmp_path / "store").publish(df.stream("p").agg(n=df.count()), "count")
            waiting = http.client.HTTPConnection("127.0.0.1", call.port, timeout=30)
            waiting.request("GET", "/api/v1/queries/count/changes")
            assert waiting.getresponse().readline() == b"event: early\n"
        process.send_signal(number)
        assert process.wait(8) == 0
        if waiting is not None:
            waiting.close()
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.communicate()


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("short").write_text("secret\n")
    Path("umlauts").write_text("ä" * 20, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for options, said in [
            (["--host", "0.0.0.0"], "give --token-file"),
            (["--token-file", "nothing"], "--token-file nothing cannot be read: No such file"),
            (["--token-file", "short"], "a token has at least 16 characters"),
            (["--token-file", "umlauts"], "of ASCII"),
            (["--port", port], f"127.0.0.1:{port} cannot be listened at: Address already in use"),
            (["--port", "99999"], "--port is from 0 to 65,535, got 99,999"),
            (["--read-only"], "there is no store"),
        ]:
            assert main(["serve", "store" if "--read-only" not in options else "nowhere", *options]) in (1, 2)
            error = capsys.readouterr().err
            assert said in error
            assert "Traceback" not in error
