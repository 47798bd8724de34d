"""The benchmark of a followed answer runs, and the answer is that of a query; the figures are not judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import live


@pytest.mark.bench
@pytest.mark.parametrize("metric", live.METRICS)
def test_a_tiny_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], metric: str) -> None:
    arguments = ["--devices", "200", "--rate", "50", "--seconds", "3", "--late", "0.1", "--metric", metric]
    live.main([*arguments, "--work", str(tmp_path)])
    said = capsys.readouterr().out
    assert f"{metric}: 200 devices" in said
    assert "from commit to change: median" in said
    assert "the answer is that of a query" in said
