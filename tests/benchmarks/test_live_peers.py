"""The comparison with a streaming peer runs; a row that is missing, twice or different is counted as wrong."""

from __future__ import annotations

import pytest

from tests.benchmarks import live_peers


@pytest.mark.bench
def test_a_tiny_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert live_peers.main(["--devices", "200", "--rate", "100", "--seconds", "3", "--late", "0.2"]) == 0
    said = capsys.readouterr().out
    assert "antfold: 0 of " in said
    assert "bytewax is skipped" in said


def test_wrong_rows_are_counted() -> None:
    exact = [("1.0", 7, 2, 20.5), ("1.1", 7, 1, 19.0)]
    assert live_peers.wrong(exact, exact) == 0
    assert live_peers.wrong(exact[:1], exact) == 1  # missing
    assert live_peers.wrong([*exact, exact[0]], exact) == 1  # emitted twice
    assert live_peers.wrong([*exact, ("1.2", 7, 1, 1.0)], exact) == 1  # too many
    assert live_peers.wrong([("1.0", 7, 3, 20.5), exact[1]], exact) == 1
    assert live_peers.wrong([("1.0", 7, 2, 20.6), exact[1]], exact) == 1
