"""Whole stores on real servers, beside a folder: console script and workers, each in its own process."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.commands.demo import METRIC_FILE
from deploy.metric_file import load_metric
from runtime import Store
from tests.runtime.test_recorded_data import EXAMPLES, SPAN, mesh_rows

pytestmark = pytest.mark.stack


@pytest.fixture(params=["ministack", "seaweed"])
def url(request: pytest.FixtureRequest, ministack: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store in ministack, or one with its objects in SeaweedFS and its catalogue in ministack."""
    if request.param == "seaweed":
        seaweed: str = request.getfixturevalue("seaweed")
        monkeypatch.setenv("AWS_ENDPOINT_URL", seaweed)
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", ministack)
    return f"s3://lake/{prefix}?table=antfold-stores"


def dataflow(*arguments: str) -> str:
    """What the console script prints, in a process of its own; it must end well."""
    command = [sys.executable, "-m", "deploy", *arguments]
    ran = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_console_script(url: str, tmp_path: Path) -> None:
    """A simulated fleet, given by two processes at once and once more; the answer is the simulator's own."""
    fleet, metrics = tmp_path / "fleet", tmp_path / "metrics.py"
    metrics.write_text(METRIC_FILE)
    dataflow("simulate", str(fleet), "--devices", "60", "--days", "3", "--seed", "5")
    truth = json.loads((fleet / "truth.json").read_text())
    files = sorted(map(str, fleet.glob("*.gz")))
    options = ["--key", "device", "--time", "ts", "--unit", "ms", "--duplicates", "latest"]
    ingest = ["ingest", url, "telemetry", *files, *options]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: dataflow(*ingest), range(2)))
    assert "already ingested" in dataflow(*ingest)
    span = ["--since", iso(truth["since_us"]), "--until", iso(truth["until_us"])]
    found = json.loads(dataflow("query", url, f"{metrics}:uptime", *span, "--format", "json"))
    rows = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    for mine, theirs in zip(rows, truth["by_firmware"], strict=True):
        assert [mine[name] for name in ("firmware", "up", "known", "unknown", "devices")] == [
            theirs[name] for name in ("firmware", "up", "known", "unknown", "devices")
        ]
    assert found["proof"]["complete"] is True
    (stream,) = json.loads(dataflow("streams", url, "--format", "json"))["streams"]
    assert stream["rows"] == found["proof"]["rows_catalogued"]
    listed = json.loads(dataflow("files", url, "telemetry", "--format", "json"))["files"]
    assert sum(f["rows"] for f in listed) == stream["rows"]
    assert json.loads(dataflow("verify", url, "--format", "json"))["ok"] is True


def iso(micros: int) -> str:
    return datetime.fromtimestamp(micros // 1_000_000, UTC).isoformat()


def test_recorded_data_on_threads_and_processes(url: str, shared_data: Path, tmp_path: Path) -> None:
    """Heartbeats of radio nodes: the known truth, and the same bits from every executor and from a folder."""
    truth: dict[str, Any] = json.loads((shared_data / "truth.json").read_text())
    expected = sorted(truth["mesh_uptime_by_model"], key=lambda r: str(r["model"]))
    files = sorted(map(str, shared_data.glob("mesh-heartbeats-*.ndjson.gz")))
    metric = load_metric(str(EXAMPLES / "mesh_uptime.py"))
    results = []
    for place in (url, str(tmp_path / "store")):
        store = Store(place)
        store.ingest("mesh", *files, key="node", time="ts", unit="iso", duplicates="exact", progress=False)
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            for executor, workers in (("threads", 1), ("threads", 4), (pool, 3)):
                result = store.query(metric, executor=executor, workers=workers, progress=False, **SPAN)
                assert mesh_rows(result) == expected
                results.append(result)
        assert store.verify().ok
        store.close()
    assert len({result.proof.result for result in results}) == 1
