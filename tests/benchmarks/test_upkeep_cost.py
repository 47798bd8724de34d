"""The benchmarks of upkeep run and report what they measured; the figures are not judged."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks import upkeep


@pytest.mark.bench
def test_a_tiny_run(capsys: pytest.CaptureFixture[str]) -> None:
    upkeep.main(["--files", "12", "--devices", "2", "--entries", "3000", "--runs", "1"])
    found = [line.partition(" {") for line in capsys.readouterr().out.splitlines()]
    said = [(part, json.loads("{" + rest)) for part, _, rest in found]
    assert [part for part, _ in said] == ["small-files"] * 2 + ["late-fleet"] * 11 + ["catalogue"]
    assert said[1][1]["small"]["files"] == 1
    assert said[-1][1]["files"] == upkeep.A_DAY
