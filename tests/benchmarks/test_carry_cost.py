"""The benchmark of the last of many days runs and reports what it measured; the figures are not judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.query.carry import carrying
from tests.benchmarks import carry_in


@pytest.mark.bench
def test_a_tiny_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(carrying, "LEAST", 0)
    report = tmp_path / "carry.json"
    carry_in.main(["--days", "12", "--rows", "200", "--keys", "5", "--runs", "1", "--report", str(report)])
    found = json.loads(report.read_text())
    assert [f["metric"] for f in found] == list(carry_in.METRICS)
    assert all(f["carried"] and f["ratio"] > 0 for f in found)
    assert "12 days of 200 points" in capsys.readouterr().out
