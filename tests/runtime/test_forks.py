"""A process that forks while its threads work: the child answers, and no lock of the parent holds it up."""

from __future__ import annotations

import ast
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Store
from runtime.aws.access import Access
from runtime.aws.client import Client
from runtime.catalogue.stores.sqlite import SqliteTable
from runtime.progress import TerminalProgress
from runtime.storage.open_store import OpenStore
from tests.runtime import forks_under_load
from tests.runtime.forks_under_load import METRIC, forked, points
from tests.waiting import until

ROOT = Path(df.__file__).parents[1]

# Python 3.12 warns whoever forks a process with threads, which is what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that hangs is found soon."""
    monkeypatch.setattr(forks_under_load, "SECONDS", 20.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", create=True)
    store.ingest("s", points(0, 1_000), key="device", time="ts", unit="us", progress=False)
    return store


def test_forks_under_load(tmp_path: Path) -> None:
    quiet = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")
    done = subprocess.run(
        [sys.executable, *quiet, "-m", "tests.runtime.forks_under_load", str(tmp_path), "25"],
        cwd=ROOT,
        env={**os.environ, "ANTFOLD_BACKGROUND": "0"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.stdout.startswith("25 forks, 0 problems\n"), done.stdout + done.stderr
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def held(lock: Any) -> Callable[[], None]:
    """Another thread takes the lock now, and keeps it until the returned function is called."""
    taken, enough = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            enough.wait(60)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert taken.wait(20)

    def release() -> None:
        enough.set()
        thread.join(20)

    return release


def locks(store: Store) -> Iterator[tuple[str, Any]]:
    """Every lock behind an open store, by name."""
    from dataflow.kernels import compile as kernels
    from operators.compiler.loops import LOOPS
    from runtime.query import kernel_store
    from runtime.query.task import task

    yield "shared stores", OpenStore._shared_lock
    yield "open files", store.opened._lock
    yield "descriptors", store.objects._cache._lock  # type: ignore[attr-defined]
    yield "catalogue", store.catalogue.table._lock  # type: ignore[attr-defined]
    yield "kernels", kernels._lock
    yield "plans", task._lock
    yield "published kernels", kernel_store._lock
    yield "loop", LOOPS[0]._lock


NAMES = ("shared stores", "open files", "descriptors", "catalogue", "kernels", "plans", "published kernels", "loop")


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_that_is_held_is_open_in_the_child(store: Store, name: str) -> None:
    right = list(store.query(METRIC, progress=False))
    found = dict(locks(store))
    assert set(found) == set(NAMES)

    def child() -> None:
        with found[name]:
            pass
        assert list(store.query(METRIC, progress=False)) == right
        assert list(OpenStore.shared(store.url).files("s"))
        store.ingest("s", points(5_000, 10), progress=False)

    release = held(found[name])
    try:
        assert forked(child) == ""
    finally:
        release()
    assert store.query(METRIC, progress=False).proof.to_dict()["rows_scanned"] == 1_010  # with the child's


def test_a_file_that_a_thread_was_opening_is_opened_in_the_child(store: Store) -> None:
    from concurrent.futures import Future

    right = list(store.query(METRIC, progress=False))
    (entry,) = store.files("s")
    store.opened.close([entry])
    store.opened._opening[entry.path] = Future()  # another thread has begun to open it

    def child() -> None:
        assert list(store.query(METRIC, progress=False)) == right

    assert forked(child) == ""


def test_a_connection_is_neither_used_nor_closed_in_the_child(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "c.db")
    before = table._connection
    assert before is not None

    def child() -> None:
        assert table._connection is None
        assert table.problems() == []
        assert table._connection is not before
        table.close()
        before.total_changes  # noqa: B018 (raises if it was closed)

    assert forked(child) == ""
    assert table.problems() == []
    assert table._connection is before
    table.close()


def test_a_child_that_ends_leaves_the_catalogue_alone(store: Store) -> None:
    """Its interpreter ends as usual, with finalizers and the closing of what is open."""

    def child() -> None:
        store.query(METRIC, progress=False)
        gc.collect()
        sys.stdout.flush()

    pid = os.fork()
    if pid == 0:
        try:
            child()
            del store
            gc.collect()
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert store.verify().ok
    store.ingest("s", points(2_000, 10), progress=False)
    assert store.verify().ok


def test_a_client_of_aws_is_made_anew() -> None:
    client = Client("s3", Access(region="us-east-1", endpoint="http://localhost:1"))
    before = client.boto

    def child() -> None:
        assert client.boto is not before

    release = held(client._lock)
    try:
        assert forked(child) == ""
    finally:
        release()
    assert client.boto is before


def test_lines_of_progress_stay_with_the_parent(capsys: pytest.CaptureFixture[str]) -> None:
    shown = TerminalProgress()
    work = shown.start("query s", 100, "bytes")
    until(lambda: shown._display)  # its line is drawn, and a thread draws it again and again

    def child() -> None:
        work.advance(1)
        work.finish()
        other = shown.start("query t", 100, "bytes")
        time.sleep(0.6)
        other.finish()
        shown.close()

    release = held(shown._lock)
    try:
        assert forked(child) == ""
    finally:
        release()
    work.finish()
    assert shown._display is None
    capsys.readouterr()


def test_every_lock_of_the_project_is_made_for_forks() -> None:
    made = []
    for package in ("operators", "dataflow", "runtime", "deploy"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                text = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                if text in {f"threading.{kind}" for kind in ("Lock", "RLock", "Condition", "Semaphore")}:
                    made.append(str(path.relative_to(ROOT)))
    assert set(made) == {"operators/forking.py"}, "use operators.forking.lock"
