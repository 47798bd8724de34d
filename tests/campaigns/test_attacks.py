"""Campaigns must fail when the checks that they attack are removed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from runtime.published import state_cache
from runtime.query.task import state_bytes
from tests.campaigns import Report, payloads, states


def test_a_loop_that_writes_beyond_its_output_ends_the_process() -> None:
    program = """
from runtime.query.stages import runner
from tests.campaigns import Report, arrays
usual = runner.Runner._reserve_out
def more(self, rows):
    usual(self, rows)
    if runner._OUT_ROWS == 12:  # among guards
        self._scalars[runner.OUT_CAPACITY] = rows + 1
runner.Runner._reserve_out = more
arrays.GRAPHS = {name: graph for name, graph in arrays.GRAPHS.items() if name == "uptime_by_firmware"}
arrays.attack(Report(), 40, 1)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=300, check=False)
    assert done.returncode < 0


def test_answers_that_do_not_name_their_request(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = state_bytes._partial
    monkeypatch.setattr(
        state_bytes, "_partial", lambda head, arrays, task, asked: usual(head, arrays, task, head["request"])
    )
    monkeypatch.setattr(payloads, "KINDS", ("of another query",))
    report = Report()
    payloads.attack(report, 6, 1)
    assert report.failures


def test_kept_states_that_do_not_name_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_cache, "_head", lambda path: b"")
    monkeypatch.setattr(states, "KINDS", ("misplaced",))
    report = Report()
    states.attack(report, 40, 1)
    assert report.failures
