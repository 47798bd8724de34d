"""The functions' zip: its contents, equal bytes for equal input, and that it runs alone."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import dataflow as df
from deploy.bundle import BundleError, build, making, wheels
from deploy.bundle.archive import LIMIT, Part, check_size, parts_of
from deploy.cli import main
from operators.compiler import targets
from runtime import Store
from runtime.fleet.messages import request
from runtime.fleet.worker import answer
from runtime.query.task.task import Task
from tests.deploy.bundle.conftest import PYTHON, Unzipped, reply_of, tasks_of

START = 19_800 * 86_400_000_000
UPTIME = (
    df.stream("s")
    .state_duration("status", hold="5m")
    .group_by("firmware")
    .agg(up=df.share_of_time(df.col("status") == "up"), devices=df.count_distinct("device"))
)

MOST_TIMES, RUNS = 2.5, 12
"""How many times the CPU of Python with numpy a worker may take to its first answer."""

# What no worker may spend its start on.
FORBIDDEN = {
    "numba", "llvmlite", "boto3", "botocore", "rich", "pandas", "polars", "pyarrow", "matplotlib", "argparse",
    "sqlite3", "ssl", "http", "asyncio", "unittest", "email", "html", "zoneinfo", "xml", "multiprocessing",
    "subprocess",
}  # fmt: skip
FORBIDDEN_OF_OURS = (
    "deploy.cli", "deploy.commands", "runtime.ingest", "runtime.result.result", "runtime.query.execute",
    "runtime.progress",
    "runtime.catalogue.stores.sqlite", "runtime.catalogue.stores.dynamodb", "runtime.fleet.coordinator",
    "operators.laws.check",
)  # fmt: skip


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    store = Store(tmp_path_factory.mktemp("worker") / "store")
    i = np.arange(200_000)
    columns = {
        "device": i % 300,
        "ts": START + i * 1_000_000,
        "status": np.array(["up", "down"])[i // 300 % 2],
        "firmware": np.array(["1.0", "1.1", "2.0"])[i % 3],
    }
    store.ingest("s", columns, key="device", time="ts", unit="us", progress=False)
    return tasks_of(store, UPTIME)[0]


@pytest.fixture(scope="module")
def event(task: Task) -> bytes:
    return request(task, "spill/q/0", Store(task.store).objects)


def test_a_worker_of_nothing_but_the_bundle(
    unzipped: Unzipped, task: Task, event: bytes, ready: Callable[[Task], Path]
) -> None:
    """It gives the bits that this process gives, writes nothing to the bundle, and imports no more than it must."""
    before = {path: path.stat().st_mtime_ns for path in unzipped.folder.rglob("*")}
    done = unzipped.answer(event, ready(task), TELL="1")
    # What it used is another's time.
    assert {**reply_of(done), "used": None} == {**answer(json.loads(event)), "used": None}
    assert {path: path.stat().st_mtime_ns for path in unzipped.folder.rglob("*")} == before
    modules = json.loads(done.stderr)["modules"]
    assert {m.partition(".")[0] for m in modules} & FORBIDDEN == set()
    assert [m for m in modules if m.startswith(FORBIDDEN_OF_OURS)] == []


@pytest.mark.alone
def test_process_start_to_first_result(
    unzipped: Unzipped, task: Task, event: bytes, ready: Callable[[Task], Path]
) -> None:
    """CPU of a worker's first answer beside that of Python with numpy from the same bundle, in turns; the best of each,
    for other processes share this machine."""
    numpy = [sys.executable, "-I", "-S", "-c", "import sys; sys.path.insert(0, sys.argv[1]); import numpy"]
    cache, least, answered = ready(task), [], []
    for _ in range(RUNS):
        before = _children()
        subprocess.run([*numpy, str(unzipped.folder)], check=True, timeout=120, env=unzipped.environment(cache))
        between = _children()
        unzipped.answer(event, cache)
        least.append(between - before)
        answered.append(_children() - between)
    assert min(answered) <= MOST_TIMES * min(least), f"{min(answered):.3f} s, beside {min(least):.3f} s"


def _children() -> float:
    """Seconds of CPU that ended children took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_every_handler_is_there(unzipped: Unzipped) -> None:
    program = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import deploy.handlers
for module in pkgutil.iter_modules(deploy.handlers.__path__, "deploy.handlers."):
    importlib.import_module(module.name)
import runtime.ingest, runtime.query.execute, runtime.catalogue.catalogue, dataflow.times.zones
import runtime.schedules.scheduled_changes, runtime.live.deliveries, runtime.live.sinks.sns_sink
dataflow.times.zones.zone_named("Europe/London", "")
assert dataflow.times.zones.clock_of("Europe/London").offsets.max() == 7_200_000_000
assert dataflow.times.zones._PACKAGE.is_relative_to(sys.argv[1])
from runtime.pointfile import zstd
assert zstd.library().has_contexts, "loops would have to call Python for every block"
"""
    subprocess.run([sys.executable, "-I", "-S", "-c", program, str(unzipped.folder)], check=True, timeout=60, env={})


def test_what_is_in_it(unzipped: Unzipped) -> None:
    with zipfile.ZipFile(unzipped.bundle.path) as archive:
        infos = archive.infolist()
    names = [info.filename for info in infos]
    assert sum(info.file_size for info in infos) <= LIMIT
    assert names == sorted(names)
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    tops = {name.partition("/")[0] for name in names}
    assert {"dataflow", "operators", "runtime", "deploy", "kernels"} <= tops
    assert {"numpy", "orjson", "re2", "tzdata", "zstandard"} <= tops
    assert f"antfold-{version('antfold')}.dist-info/METADATA" in names  # a function knows its release
    assert not tops & {"numba", "llvmlite", "boto3", "rich", "tests"}
    assert not [
        n
        for n in names
        if "/tests/" in n or n.endswith((".pyi", ".h", "README.md")) or n.startswith("deploy/commands/")
    ]
    assert any(n.startswith("operators/__pycache__/") for n in names)


def test_the_same_bytes_again(unzipped: Unzipped, tmp_path: Path) -> None:
    again = build(tmp_path / "again.zip", targets.worker().name, PYTHON)
    assert again.path.read_bytes() == unzipped.bundle.path.read_bytes()
    assert again.bytecode


def test_too_large() -> None:
    parts = parts_of({"numpy/a": 50_000_000, "numpy/b": 1, "runtime/x": 10_000_000, "deploy/y": 5})
    assert parts[0] == Part("numpy", 2, 50_000_001)
    with pytest.raises(BundleError, match=r"60\.0 MB unzipped, more than 60: .* numpy 50\.0 MB, runtime 10\.0 MB"):
        check_size(parts)
    check_size(parts[1:])


def test_no_wheels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    assert main(["bundle", str(tmp_path / "x.zip"), "--arch", "arm64"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("dataflow: pip finds no wheels of google-re2==")
    assert "for Python 3.13 on arm64" in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_no_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wheels, "find_spec", lambda name: None)
    with pytest.raises(BundleError, match="pip, which downloads"):
        build(tmp_path / "x.zip")


@pytest.mark.parametrize("python", ["3", "latest", "3.13.1"])
def test_no_such_python(tmp_path: Path, python: str) -> None:
    with pytest.raises(BundleError, match=r"is not a Python version of Lambda.* write for example 3\.13"):
        build(tmp_path / "x.zip", python=python)


def test_no_folder_to_write_to(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="there is no folder"):
        build(tmp_path / "none" / "x.zip")


def test_a_python_that_is_only_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in on the PATH that fails, or is another version, compiles nothing."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert making._interpreter("3.99") is None
    for text in ("exit 1", f'exec {sys.executable} "$@"'):
        (tmp_path / "python3.99").write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "python3.99").chmod(0o755)
        assert making._interpreter("3.99") is None
    assert making._interpreter(PYTHON) == sys.executable
