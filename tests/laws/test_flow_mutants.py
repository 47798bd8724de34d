"""Mutants of generated kernels: comparison with the oracle must catch each.

A mutant changes the generated source. ``test_flows`` tests that unchanged kernels agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import Phase, find, settings

from dataflow.kernels import compile as compiling
from dataflow.kernels.generate import Generated, generate
from dataflow.plan.stages import Stage
from runtime.testing.oracle.strategies import Case, cases
from tests.laws.agreement import agrees
from tests.laws.memory import fresh_plans, run_in_memory


@dataclass(frozen=True)
class Mutant:
    """In the kernels of ``graph``, ``text`` becomes ``wrong`` wherever it stands."""

    graph: str
    what: str
    text: str
    wrong: str


MUTANTS = (
    Mutant("funnel_rows_strict", "the window's last instant is out of it", "<= within", "< within"),
    Mutant("funnel_rows_strict", "the earliest start wins", "top == 0 or moment > c1_1", "top == 0"),
    Mutant("funnel_rows_strict", "a chain is never replaced by a later one", "or c1_1 > c2_1", "or False"),
    Mutant("funnel_rows_strict", "a chain is replaced by an earlier one", "or c1_1 > c2_1", "or True"),
    Mutant("funnel_rows_strict", "a start before the range counts", "if t >= since:", "if True:"),
    Mutant("funnel_rows_strict", "a moment is settled with every row", "if now != moment:", "if True:"),
    Mutant("funnel_rows_strict", "the start is not taken along", "c3_1 = c2_1", "c3_1 = moment"),
    Mutant("funnel_within_the_gap_ordered", "a start of the same time wins", "moment > c1_1", "moment >= c1_1"),
    Mutant("funnel_rows_ordered", "the window is unbounded", "<= within", "<= within + within"),
    Mutant("funnel_rows_any", "a second is a minute", "1000000", "60000000"),
    Mutant("funnel_rows_any", "a second is a microsecond", "t // 1000000 * 1000000", "t"),
    Mutant("funnel_by_firmware", "held columns are those of the end", "sh2_0 = sh1_0", "sh2_0 = ch0"),
    Mutant("funnel_by_firmware", "held columns are those of the first start", "sh1_0 = ch0", "sh1_0 = sh1_0"),
    Mutant("funnel_excluded_strict", "an excluded row ends nothing", "ended1 = np.uint8(1)", "ended1 = np.uint8(0)"),
    Mutant("funnel_excluded_any", "a row of the same second is later", "c2_2 < moment", "c2_2 <= moment"),
    Mutant("funnel_windows", "a window is counted from the first step", "moment - c2_2 <=", "moment - c2_1 <="),
    Mutant("funnel_all_in_sessions", "rows belong to several attempts", "top = np.uint8(0)", "top = top"),
    Mutant("funnel_all_in_sessions", "a gap is too long", "t - before > gap", "t - before >= gap"),
    Mutant("funnel_all_any_order", "a window is unbounded", "> within", "> within + within"),
    Mutant("funnel_entries", "a bucket ends a bucket too early", "bucket_edge(low + 1", "bucket_edge(low"),
    Mutant("cohort_rows", "a key that began earlier is new", "stage = np.uint8(1)", "stage = np.uint8(0)"),
    Mutant("cohort_rows", "a period has its end", "t >= final", "t > final"),
    Mutant("cohort_rows", "who returned once returns always", "came = np.uint8(0)", "came = came"),
    Mutant("cohort_rows", "the last period is missing", "first < until", "final < until"),
    Mutant("cohorts_of_all", "held columns are those of the last row", "[on] = sh0", "[on] = ch0"),
    Mutant(
        "transition_rows", "a step of exactly the gap ends the path", "since_when + gap < t", "since_when + gap <= t"
    ),
    Mutant(
        "transition_rows",
        "a path ends too late for the range",
        "since_when + gap < until",
        "since_when + gap + 1 < until",
    ),
    Mutant("transition_rows", "ends before the range count", "if since_when + gap >= since:", "if True:"),
    Mutant("transition_rows", "steps before the range count", "if t >= since:", "if True:"),
    Mutant("transition_rows", "a path goes on for ever", "on_path = np.uint8(0)", "pass"),
    Mutant(
        "transition_rows",
        "no path is known before the range",
        "on_path = np.uint8(1)",
        "on_path = np.uint8(t >= since)",
    ),
    Mutant("sessions_split", "a session that is split off is open", " and not x", " and True or x"),
    Mutant("sessions_split", "rows that split do not", "(t - final > gap or x", "(t - final > gap and x"),
    Mutant("sessions_split_and_cut", "a split keeps the grid", "if rows == 0 or (", "if rows == 0 and ("),
    Mutant(
        "windows_sliding",
        "a window is a bucket too long",
        "while low <= bucket - lanes:",
        "while low < bucket - lanes:",
    ),
    Mutant("windows_sliding", "a lane is never reset", "lane_rows[at] = 0", "lane_rows[at] = lane_rows[at]"),
    Mutant(
        "windows_sliding",
        "rows are in the newest window only",
        "in range(low, bucket + 1):",
        "in range(bucket, bucket + 1):",
    ),
    Mutant(
        "windows_sliding_in_london",
        "held columns are those of the last row",
        "lane_sh0[at] = ch0",
        "lane_sh0[at] = lane_sh0[at]",
    ),
    Mutant(
        "windows_sliding_in_london",
        "a window ends a bucket early",
        "bucket_edge(low + lanes,",
        "bucket_edge(low + lanes - 1,",
    ),
    Mutant("windows_empty", "a silent key has no windows", "if t < since and since < until:", "if False:"),
    Mutant("windows_empty_and_sliding", "empty windows hold what full ones held", "[on] = ch0", "[on] = lane_sh0[at]"),
)


def disagree(name: str, case: Case) -> bool:
    try:
        agrees(run_in_memory, name, case)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.graph}: {m.what}")
def test_every_mutant_is_noticed(monkeypatch: pytest.MonkeyPatch, mutant: Mutant) -> None:
    changed = []

    def wrong(stage: Stage) -> Generated:
        sound = generate(stage)
        source = sound.source.replace(mutant.text, mutant.wrong)
        changed.append(source != sound.source)
        return replace(sound, source=source)

    fresh_plans(monkeypatch)
    monkeypatch.setattr(compiling, "generate", wrong)
    search = settings(max_examples=2000, phases=[Phase.generate], database=None, deadline=None)
    find(cases(most=12, dense=True), lambda case: disagree(mutant.graph, case), settings=search, random=Random(0))
    assert any(changed)
