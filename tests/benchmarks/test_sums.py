"""The exact-sum benchmark runs and reports what it measured; the figures are not judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from operators import registry
from tests.benchmarks import sums


@pytest.mark.bench
def test_a_tiny_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(registry, "_own", {})
    report = tmp_path / "sums.json"
    sums.main(["--rows", "70000", "--runs", "1", "--report", str(report)])
    found = json.loads(report.read_text())
    assert [f["groups"] for f in found] == [1, 16, 16, 10_000, 1_000_000]
    assert all(f["ratio"] > 0 for f in found)
    assert "no groups: exact" in capsys.readouterr().out
