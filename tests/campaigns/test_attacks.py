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


KILLS: dict[str, tuple[int, str]] = {
    "transactions in parts": (7, """
from runtime.catalogue.key_value import ConditionFailed, Put
from runtime.catalogue.stores import sqlite
def in_parts(table, request):
    with table._open() as connection:
        failed = [at for at, item in enumerate(request.items) if not sqlite._fulfilled(connection, item)]
        if failed:
            raise ConditionFailed(failed)
        puts = [(i.partition, i.sort, i.number, i.body) for i in request.items if isinstance(i, Put)]
        for put in puts:
            connection.execute("insert or replace into items values (?, ?, ?, ?)", put)
sqlite.SqliteTable.transact = in_parts
kills.KINDS = ("ingest", "undo")
kills_children.EVENTS.clear()
"""),
    "temporary files left": (8, """
from runtime.objects.folder_objects import FolderObjects
FolderObjects.discard_temporary = lambda *_: ()
kills.KINDS = ("ingest",)
"""),
    "last values that are not carried in": (3, """
from runtime.upkeep.rewrite import Rewriting
Rewriting.carried = lambda *_: []
kills.KINDS = ("ingest", "retain")
"""),
    "a key that is noted, but stays": (6, """
from runtime.upkeep.taking_back import RowRemoval, TakingBack
TakingBack.without_key = lambda back, key: RowRemoval(back.before(0).snapshot, (), (), 0)
kills.KINDS = ("ingest", "erase key")
"""),
}  # fmt: skip
"""What to break, and a seed with which it shows soon."""


@pytest.mark.parametrize("fault", KILLS)
def test_processes_that_are_killed(fault: str) -> None:
    seed, broken = KILLS[fault]
    program = f"""
from tests.campaigns import Report, kills, kills_children
{broken}
kills.FAILURES, report = 1, Report()
kills.attack(report, 200, {seed})
print(*report.lines(), sep="\\n")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
    assert "\nfailed: store " in done.stdout


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
    # Two that differ in a constant alone: only the place tells their states apart.
    monkeypatch.setattr(states, "METRICS", {k: m for k, m in states.METRICS.items() if k.startswith("groups over")})
    report = Report()
    states.attack(report, 20, 1)
    assert report.failures
