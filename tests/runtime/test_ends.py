"""A process ends while its threads work: in seconds, without a word on standard error, and with nothing half done."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

import dataflow as df
from deploy import cli
from runtime import Store, helpers
from runtime.helpers import Helpers, go_on, pause

ROOT = Path(df.__file__).parents[1]
SECONDS = 15.0
"""In which a process ends, also on a busy machine; alone it takes one."""


def ended(folder: Path, how: str, kind: str) -> tuple[int, list[str], str]:
    """Exit code, output and errors of ``ends_under_load``."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.runtime.ends_under_load", str(folder), how, kind],
        cwd=ROOT, env={**os.environ, "ANTFOLD_BACKGROUND": "0"}, capture_output=True, text=True, timeout=200,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.splitlines(), done.stderr


def text_on(terminal: str) -> str:
    """What was written, but for the lines of progress."""
    words = ("Traceback", "Error", "Fatal", "terminate", "corrupted", "FATAL")
    return "".join(line for line in terminal.splitlines() if any(word in line for word in words))


@pytest.mark.parametrize("how", ["return", "exit", "interrupt"])
@pytest.mark.parametrize("kind", ["plain", "terminal"])
def test_daemon_threads_end_without_a_word(tmp_path: Path, how: str, kind: str) -> None:
    code, said, errors = ended(tmp_path, how, kind)
    after = time.time() - float(next(line for line in said if line.startswith("ends ")).split()[1])
    assert (code, text_on(errors)) == (3 if how == "exit" else 0, "")
    assert kind == "terminal" or errors == ""
    assert "done" not in said
    assert after < SECONDS
    with Store(tmp_path / "store") as store:
        assert store.verify().ok
        assert store.query(df.stream("live").agg(n=df.count()), progress=False)["n"][0] % 1_000 == 0


def test_threads_that_python_waits_for_do_their_work(tmp_path: Path) -> None:
    code, said, errors = ended(tmp_path, "return", "waited")
    assert (code, errors) == (0, "")
    assert sorted(said) == [*["done"] * 5, "started"]
    with Store(tmp_path / "store") as store:
        assert store.verify().ok
        assert store.query(df.stream("live").agg(n=df.count()), progress=False)["n"] == [11_000]


# ---- pools of threads


def test_helpers_end_when_their_block_fails() -> None:
    slept = threading.Event()

    def long() -> None:
        slept.set()
        pause(60)

    begun, futures = time.monotonic(), list[Future[None]]()

    def block() -> None:
        with Helpers(2, "test") as pool:
            futures.extend(pool.submit(long) for _ in range(4))
            slept.wait(10)
            raise KeyError

    with pytest.raises(KeyError):
        block()
    assert time.monotonic() - begun < 10
    assert [future.done() for future in futures] == [True] * 4
    assert any(isinstance(f.exception(), SystemExit) for f in futures if not f.cancelled())


def test_helpers_of_helpers_end_with_them() -> None:
    inside = threading.Event()

    def outer() -> None:
        with Helpers(1, "inner") as pool:
            pool.submit(inner).result()

    def inner() -> None:
        inside.set()
        pause(60)

    def block() -> None:
        with Helpers(1, "outer") as pool:
            pool.submit(outer)
            inside.wait(10)
            raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        block()
    assert time.monotonic() - begun < 10


@pytest.fixture
def ending() -> Iterator[None]:
    """As if the main thread had ended."""
    helpers._ending.set()
    try:
        yield
    finally:
        helpers._ending.clear()


def test_a_daemon_thread_ends_and_another_works_on(ending: None) -> None:
    ends = dict[bool, object]()

    def work() -> None:
        me = threading.current_thread().daemon
        try:
            go_on()
            with Helpers(2, "test") as pool:
                pool.shutdown()  # as Python does with all pools
                ends[me] = pool.submit(lambda a, b: a + b, 3, b=4).result()
        except SystemExit as end:  # of exactly this class, which Python does not report
            ends[me] = type(end)

    for daemon in (True, False):
        thread = threading.Thread(target=work, daemon=daemon)
        thread.start()
        thread.join(10)
    assert ends == {True: SystemExit, False: 7}


def test_a_file_whose_opener_has_ended_is_opened_by_who_waits(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    store.ingest("s", {"device": [1, 2], "ts": [1, 2], "x": [1, 2]}, key="device", time="ts", unit="s", progress=False)
    (entry,) = store.files("s")
    left: Future[object] = Future()
    store.opened._opening[entry.path] = left  # type: ignore[assignment]
    threading.Timer(
        0.2, lambda: (store.opened._opening.pop(entry.path), left.set_exception(SystemExit("left")))
    ).start()
    assert store.opened.open(entry).rows == 2


# ---- Ctrl-C


def interrupted(*arguments: str, when: Callable[[], object], **environment: str) -> tuple[int, str, float]:
    """Exit code, errors and seconds to the end of the console script, interrupted once ``when`` returns."""
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy", *arguments], cwd=ROOT, env={**os.environ, **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    when()
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors, time.monotonic() - begun


TOLD = """
import signal, sys
real = signal.signal
def told(*given):
    signal.signal = real
    real(*given)
    print("begun", flush=True)
signal.signal = told
from deploy.console import main
sys.exit(main())
"""
"""The console script, which says when it has begun to take care of Ctrl-C: before that, Python prints a traceback."""


def test_an_early_interrupt_is_quiet(tmp_path: Path) -> None:
    for n in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", TOLD, "ingest", str(tmp_path / "s"), "telemetry", "-", "--key", "k", "--time", "t"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.05 * n)  # to the midst of the command, which waits for its input
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert "Traceback" not in errors
        assert process.returncode in (130, -signal.SIGINT)


LOST = {
    "another error": """
class Field:
    def __set_name__(self, *_):
        interrupt()
class Record:
    hash = Field()
""",
    "forgotten": """
class Gone:
    def __del__(self):
        interrupt()
Gone()
""",
}
"""Imports in which Python makes something else of KeyboardInterrupt, or prints and forgets it."""


@pytest.mark.parametrize("code", LOST.values(), ids=LOST)
def test_an_interrupt_within_an_import_is_quiet(tmp_path: Path, code: str) -> None:
    interrupt = "import os, signal\ndef interrupt():\n    os.kill(os.getpid(), signal.SIGINT)\n    sum([1])\n"
    (tmp_path / "m.py").write_text(f"{interrupt}{code}\nimport time\ntime.sleep(30)\n")
    Store(tmp_path / "store", create=True).close()
    done = subprocess.run(
        [sys.executable, "-m", "deploy", "query", str(tmp_path / "store"), str(tmp_path / "m.py:m")],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.splitlines()) == (130, [done.stderr.strip()])
    assert done.stderr.startswith("dataflow: interrupted")


def test_an_interrupt_that_became_another_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in argparse, which after an interrupt puts back what it has not yet kept."""

    def fails(_: object) -> int:
        try:
            raise KeyboardInterrupt
        finally:
            raise AttributeError("save_nargs")

    monkeypatch.setattr(cli, "_run", fails)
    assert cli.main([]) == 130
    assert capsys.readouterr().err.startswith("dataflow: interrupted; ")


FORGOTTEN = """
import os, signal, sys, time
from deploy.console import WhenImported
handler = WhenImported()
sys.unraisablehook = handler.forgotten
signal.signal(signal.SIGINT, handler)
class Gone:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        sum([1])
try:
    Gone()
    time.sleep(60)
except KeyboardInterrupt:
    print("it came again")
"""


def test_an_interrupt_that_cannot_be_raised_comes_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORGOTTEN], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert (done.stdout, done.stderr) == ("it came again\n", "")


def test_an_interrupt_ends_the_wait_for_a_service_at_once(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        taken.settimeout(60)

        def asked() -> None:
            """It has asked once, got no answer, and nothing listens any more: it waits, to ask again."""
            taken.accept()[0].close()
            taken.close()
            time.sleep(0.5)

        url = f"s3://lake/a?region=us-east-1&endpoint=http://127.0.0.1:{taken.getsockname()[1]}"
        (tmp_path / "m.py").write_text("import dataflow as df\nm = df.stream('s').agg(n=df.count())\n")
        code, errors, seconds = interrupted(
            "query", url, str(tmp_path / "m.py:m"), when=asked, AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x"
        )
    assert code in (130, -signal.SIGINT)  # the latter if it is still importing, on a busy machine
    assert "Traceback" not in errors
    assert seconds < 5


def test_upkeep_that_watches_ends_at_an_interrupt(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    for i in range(12):
        rows = {"device": [1, 2], "ts": [i * 10, i * 10 + 1], "x": [1, 2]}
        store.ingest("s", rows, key="device", time="ts", unit="s", progress=False)
    store.close()
    code, errors, seconds = interrupted("optimize", store.url, "--watch", when=lambda: time.sleep(3))
    assert "Traceback" not in errors
    assert code in (0, 130)
    assert seconds < SECONDS
    assert Store(store.url).verify().ok
