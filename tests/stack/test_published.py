"""Published queries on real servers: the console script publishes, another process reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime import Store
from runtime.schedules.scheduled_run import run_scheduled
from tests.runtime.published.histories import DAY, METRICS, START, day, ingest
from tests.stack.test_store import dataflow
from tests.stack.test_store import url as url

pytestmark = pytest.mark.stack

METRIC_FILE = """
import dataflow as df
up = df.col("status") == "up"
uptime = df.stream("s").state_duration("status", hold="5m").group_by("firmware").agg(
    up=df.share_of_time(up), unknown=df.unknown_time(), n=df.count_distinct("device")
)
hot = df.stream("s").filter(df.col("temp") > df.param("above", 20.0)).group_by("firmware").agg(n=df.count())
"""


def test_published_queries(url: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.py").write_text(METRIC_FILE)
    store = Store(url)
    ingest(store, day(0), day(1), day(2))
    for name in ("uptime", "hot"):
        assert dataflow("publish", url, f"{tmp_path}/metrics.py:{name}", "--name", name) == f"{name}@1\n"
    assert {k.name.split("_")[0] for k in store.published("uptime").kernels}
    for name in ("uptime", "hot"):
        asked = ["query", url, name, "--format", "json"]
        proofs = [json.loads(dataflow(*asked))["proof"] for _ in range(2)]
        assert [p["files_cached"] for p in proofs] == [0, 3]
        assert proofs[0]["result"] == proofs[1]["result"]
    ingest(store, day(3))
    found = json.loads(dataflow("query", url, "uptime", "--format", "json", "--save"))
    assert found["proof"]["files_cached"] == 3
    assert found["proof"]["result"] == store.query(METRICS["uptime"], progress=False).proof.result
    schedule = {"query": "hot", "until": "today", "alert": ["n > 1"]}
    run = run_scheduled(store, schedule, START + 3 * DAY)
    assert run.alert is not None
    assert run_scheduled(store, schedule, START + 3 * DAY) == run
    assert len(list(store.objects.list("results/"))) == 2
    assert store.verify().ok
