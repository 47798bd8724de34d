"""Up-time of recorded radio nodes by name: the known result; one more day reads one more file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.metric_file import load_metric
from runtime import Store
from tests.runtime.published.histories import Opened
from tests.runtime.test_recorded_data import EXAMPLES, SPAN, mesh_rows

pytestmark = pytest.mark.usefixtures("plain_files")


def test_mesh(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = json.loads((shared_data / "truth.json").read_text())["mesh_uptime_by_model"]
    metric = load_metric(str(EXAMPLES / "mesh_uptime.py"))
    store = Store(tmp_path / "store", create=True)
    given = {"key": "node", "time": "ts", "unit": "iso", "duplicates": "exact", "progress": False}
    store.ingest("mesh", *sorted(map(str, shared_data.glob("mesh-heartbeats-*.ndjson.gz"))), **given)
    store.publish(metric, "mesh_uptime")
    assert mesh_rows(store.query("mesh_uptime", progress=False, **SPAN)) == sorted(truth, key=lambda r: str(r["model"]))
    whole = {"since": SPAN["since"], "progress": False}
    store.query("mesh_uptime", **whole)
    before = {f.path for f in store.files("mesh")}
    (tmp_path / "more.ndjson").write_text('{"node": "later", "ts": "2026-09-01T10:00:00Z", "hw_model": "TBEAM"}\n')
    store.ingest("mesh", str(tmp_path / "more.ndjson"), **given)
    opened = Opened(store, monkeypatch)
    found, read = opened.by(lambda: store.query("mesh_uptime", **whole))
    assert set(read) == {f.path for f in store.files("mesh")} - before
    assert len(read) == 1
    assert found.proof.files_cached == found.proof.files_planned - 1 > 50
    assert found.proof.result == store.query(metric, **whole).proof.result
