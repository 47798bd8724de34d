"""A bundle for the Python that runs the tests, unzipped, and processes that can import nothing else."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dataflow.kernels.compile import stage_files
from dataflow.language.stream import Stream
from deploy.bundle import Bundle, build
from deploy.bundle.archive import NoWheels
from operators.compiler import targets
from runtime import Store
from runtime.catalogue import StreamSchema
from runtime.query.plan.make_tasks import make_tasks
from runtime.query.plan.prepare import Request, prepare
from runtime.query.task.task import Task, compiled_for

PYTHON = ".".join(map(str, sys.version_info[:2]))
FUNCTION = Path(__file__).with_name("function.py")


@dataclass(frozen=True)
class Unzipped:
    """A bundle, and the folder it is unzipped in."""

    bundle: Bundle
    folder: Path

    def environment(self, cache: Path) -> dict[str, str]:
        """The variables of a worker; of this process's it has none. Where its kernels are it finds out itself."""
        return {"ANTFOLD_CACHE_DIR": str(cache), "AWS_LAMBDA_FUNCTION_NAME": "antfold-worker"}

    def answer(self, event: bytes, cache: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
        """The process that answered a task."""
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(FUNCTION), str(self.folder)],
            input=event,
            env=self.environment(cache) | variables,
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done


@pytest.fixture(scope="session")
def unzipped(tmp_path_factory: pytest.TempPathFactory) -> Unzipped:
    """Built once for all processes of a test run."""
    if sys.platform != "linux":
        pytest.skip("a bundle runs on Linux")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "bundle"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sizes = folder / "sizes.json"
        if not sizes.exists():
            try:
                made = build(folder / "antfold.zip", targets.worker().name, PYTHON)
            except NoWheels as error:
                if os.environ.get("CI"):
                    raise
                pytest.skip(f"no package index, or this machine's clock is wrong: {error}")
            with zipfile.ZipFile(made.path) as archive:
                archive.extractall(folder / "task")
            for path in (folder / "task").rglob("*"):
                path.chmod(0o555 if path.is_dir() else 0o444)
            sizes.write_text(json.dumps([made.bytes, made.bytecode]))
        size, bytecode = json.loads(sizes.read_text())
    return Unzipped(Bundle(folder / "antfold.zip", size, (), bytecode), folder / "task")


@pytest.fixture(scope="session")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Task], Path]:
    """Makes the kernels of a task, as a worker gets them, in a cache of its own; that folder."""
    cache = tmp_path_factory.mktemp("ready")
    (cache / "kernels").mkdir(mode=0o700)

    def make(task: Task) -> Path:
        for stage in compiled_for(StreamSchema.from_dict(task.schema), task.graph, task.params).plan.stages:
            for file in stage_files(stage):
                path = file.build(targets.worker())
                shutil.copyfile(path, cache / "kernels" / path.name)
        return cache

    return make


def tasks_of(store: Store, metric: Stream, count: int = 1) -> list[Task]:
    """The tasks of a query over all there is."""
    prepared = prepare(store.catalogue, Request(metric.steps, {}, None, None))
    return list(make_tasks(prepared, store.url, count))


def reply_of(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    """The reply that a process printed."""
    reply: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return reply
