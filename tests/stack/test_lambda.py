"""Queries on Lambda functions: ministack runs the worker in its own processes."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from deploy.metric_file import load_metric
from operators.compiler import prebuild
from operators.compiler.targets import worker as workers_target
from runtime import Store
from runtime.errors import OtherVersion, QueryError
from runtime.fleet import Fleet, Rules
from runtime.fleet.aws_lambda import invoker
from runtime.query.kernel_store import listed
from tests.runtime.test_recorded_data import EXAMPLES, SPAN, mesh_rows
from tests.stack.servers import environment

pytestmark = pytest.mark.stack

ROOT = Path(__file__).resolve().parents[2]
HANDLER = """
import sys
sys.path.insert(0, {root!r})

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("numba", "llvmlite"):
            raise ImportError(name + " is not on Lambda")

sys.meta_path.insert(0, Block())
from runtime.fleet.worker import answer

def handler(event, context):
    if "stop" in {name!r}:
        raise RuntimeError("this one always fails")
    return answer(event)
"""
OTHER = """
import sys
sys.path.insert(0, {root!r})
import runtime.fleet.message_versions as versions

versions.PROTOCOL += {worker}
versions.OLDEST += {worker}
from runtime.fleet.worker import answer

def handler(event, context):
    return answer(event)
"""
"""A worker of another version of the messages."""

RELAY = """
import sys
sys.path.insert(0, {root!r})
from runtime.fleet.aws_lambda import invoker
from runtime.fleet.relay import relay

def handler(event, context):
    return relay(event, invoker({worker!r}), context.get_remaining_time_in_millis() / 1000)
"""


@pytest.fixture
def worker(ministack: str, prefix: str, tmp_path: Path) -> Iterator[Any]:
    """Makes functions that answer tasks with the code of this repository, and compile nothing."""
    prebuild(tmp_path / "ready", workers_target())
    variables = {
        "ANTFOLD_KERNELS": "ready",
        "ANTFOLD_KERNEL_PATH": str(tmp_path / "ready"),
        "ANTFOLD_CACHE_DIR": str(tmp_path / "cache"),
    }
    client = boto3.client("lambda")
    made: list[str] = []

    def make(kind: str = "worker", source: str = HANDLER, worker: str = "") -> str:
        name = f"{kind}-{prefix.rpartition('/')[2]}"
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("worker.py", source.format(root=str(ROOT), name=name, worker=worker))
        client.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role="arn:aws:iam::000000000000:role/worker",
            Handler="worker.handler",
            Code={"ZipFile": code.getvalue()},
            Timeout=120,
            MemorySize=1024,
            Environment={"Variables": environment(ministack) | variables},
            Architectures=[workers_target().name],
        )
        made.append(name)
        return name

    yield make
    for name in made:
        client.delete_function(FunctionName=name)


@pytest.fixture
def store(ministack: str, prefix: str, shared_data: Path) -> Store:
    store = Store(f"s3://lake/{prefix}?table=antfold-lambda")
    files = sorted(map(str, shared_data.glob("mesh-heartbeats-*.ndjson.gz")))
    store.ingest("mesh", *files, key="node", time="ts", unit="iso", duplicates="exact", progress=False)
    return store


def test_recorded_data_on_lambda(store: Store, worker: Any, shared_data: Path, tmp_path: Path) -> None:
    """The known truth, and the same bits as on threads."""
    truth = json.loads((shared_data / "truth.json").read_text())["mesh_uptime_by_model"]
    metric = load_metric(str(EXAMPLES / "mesh_uptime.py"))
    result = store.query(metric, executor=f"lambda:{worker()}", workers=3, progress=False, **SPAN)
    assert mesh_rows(result) == sorted(truth, key=lambda r: str(r["model"]))
    assert result.proof.to_dict()["tasks"] >= 2
    assert result.proof.result == store.query(metric, progress=False, **SPAN).proof.result
    # What was compiled for the workers is in the store, and in their cache.
    held = list(listed(store.objects))
    assert {k.target for k in held} == {workers_target().name}
    assert {p.name.partition("-")[0] for p in (tmp_path / "cache" / "kernels").glob("*.so")} == {k.name for k in held}


def test_by_way_of_relays(store: Store, worker: Any) -> None:
    """A function that invokes another: the same bits, and every invocation in the bill."""
    name = worker()
    relay = invoker(worker("relay", RELAY, name))
    fleet = Fleet(invoker(name), target=workers_target(), relay=relay, direct=1, batch=2)
    metric = load_metric(str(EXAMPLES / "mesh_uptime.py"))
    result = store.query(metric, executor=fleet, workers=3, progress=False, **SPAN)
    tasks = result.proof.to_dict()["tasks"]
    assert isinstance(tasks, int)
    assert tasks >= 2
    assert result.proof.result == store.query(metric, progress=False, **SPAN).proof.result
    assert result.cost is not None
    assert (result.cost.invocations, result.cost.silent) == (tasks + fleet.batches(tasks), 0)
    assert result.cost.gets >= tasks
    assert result.cost.bytes > 0
    failing = Fleet(
        invoker(name), Rules(failures=1, base=0.01), relay=invoker(worker("relay2", RELAY, worker("stop"))), direct=1
    )
    with pytest.raises(QueryError, match=r"^task 0\.\d of mesh failed \(failed, 2 times\): .*this one always fails"):
        store.query(metric, executor=failing, workers=3, progress=False, **SPAN)


def test_workers_of_other_versions(store: Store, worker: Any) -> None:
    """One version away they serve; two versions away the error says which side to update."""
    metric = load_metric(str(EXAMPLES / "mesh_uptime.py"))
    expected = store.query(metric, progress=False, **SPAN).proof
    for ahead in (1, -1):
        fleet = f"lambda:{worker(f'worker{ahead + 5}', OTHER, str(ahead))}"
        result = store.query(metric, executor=fleet, workers=3, progress=False, **SPAN)
        assert result.proof.result == expected.result
        assert result.cost is not None
        tasks = result.proof.tasks
        # Older ones are asked twice.
        assert tasks <= result.cost.invocations <= (1 if ahead > 0 else 2) * tasks
    for ahead, says in ((2, "update antfold here .pip install -U"), (-2, "update the deployment .dataflow deploy")):
        fleet = f"lambda:{worker(f'worker{ahead + 5}', OTHER, str(ahead))}"
        with pytest.raises(OtherVersion, match=r"^task 0\.\d of mesh was refused: .*" + says):
            store.query(metric, executor=fleet, workers=3, progress=False, **SPAN)


def test_a_function_that_fails(store: Store, worker: Any) -> None:
    fleet = Fleet(invoker(worker("stop")), Rules(failures=1, base=0.01))
    metric = load_metric(str(EXAMPLES / "mesh_uptime.py"))
    with pytest.raises(QueryError, match=r"task 0\.\d of mesh failed \(failed, 2 times\): .*this one always fails"):
        store.query(metric, executor=fleet, workers=2, progress=False, **SPAN)
    with pytest.raises(QueryError, match="there is no function no-such-function on Lambda"):
        store.query(metric, executor="lambda:no-such-function", progress=False, **SPAN)
