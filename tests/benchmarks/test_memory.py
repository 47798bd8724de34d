"""The benchmark of memory runs in a short form and reports what it measured; the figures are not judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks import memory


@pytest.mark.bench
def test_a_tiny_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "memory.json"
    memory.main(["--rows", "20000", "--groups", "5000", "--report", str(report)])
    found = json.loads(report.read_text())
    assert [(f["case"], f["rows"]) for f in found] == [
        ("csv", 20_000), ("json", 20_000), ("parquet", 20_000), ("groups", 5_000), ("groups in memory", 5_000),
    ]  # fmt: skip
    assert all(f["megabytes"] > 0 for f in found)
    assert "csv" in capsys.readouterr().out
