"""Mutants of generated kernels: comparison with the oracle must catch each.

A mutant changes the generated source. ``test_flows`` tests that unchanged kernels agree.
"""

from __future__ import annotations

import pytest

from tests.laws.kernel_mutants import KernelMutant, is_noticed

MUTANTS = (
    KernelMutant("funnel_rows_strict", "the window's last instant is out of it", "<= within", "< within"),
    KernelMutant("funnel_rows_strict", "the earliest start wins", "top == 0 or moment > c1_1", "top == 0"),
    KernelMutant("funnel_rows_strict", "a chain is never replaced by a later one", "or c1_1 > c2_1", "or False"),
    KernelMutant("funnel_rows_strict", "a chain is replaced by an earlier one", "or c1_1 > c2_1", "or True"),
    KernelMutant("funnel_rows_strict", "a start before the range counts", "if t >= since:", "if True:"),
    KernelMutant("funnel_rows_strict", "a moment is settled with every row", "if now != moment:", "if True:"),
    KernelMutant("funnel_rows_strict", "the start is not taken along", "c3_1 = c2_1", "c3_1 = moment"),
    KernelMutant(
        "funnel_windows_ordered",
        "the first of one time counts",
        "later |= 1",
        "later |= np.int64(moment > c1_1 or top == 0)",
    ),
    KernelMutant("funnel_rows_ordered", "the window is unbounded", "<= within", "<= within + within"),
    KernelMutant("funnel_rows_any", "a second is a minute", "1000000", "60000000"),
    KernelMutant("funnel_rows_any", "a second is a microsecond", "t // 1000000 * 1000000", "t"),
    KernelMutant("funnel_by_firmware", "held columns are those of the end", "sh2_0 = sh1_0", "sh2_0 = ch0"),
    KernelMutant("funnel_by_firmware", "held columns are those of the first start", "sh1_0 = ch0", "sh1_0 = sh1_0"),
    KernelMutant(
        "funnel_excluded_strict", "an excluded row ends nothing", "ended1 = np.uint8(1)", "ended1 = np.uint8(0)"
    ),
    KernelMutant("funnel_excluded_any", "a row of the same second is later", "c2_2 < moment", "c2_2 <= moment"),
    KernelMutant("funnel_windows", "a window is counted from the first step", "moment - c2_2 <=", "moment - c2_1 <="),
    KernelMutant("funnel_all_in_sessions", "rows belong to several attempts", "top = np.uint8(0)", "top = top"),
    KernelMutant("funnel_all_in_sessions", "a gap is too long", "t - before > gap", "t - before >= gap"),
    KernelMutant("funnel_all_any_order", "a window is unbounded", "> within", "> within + within"),
    KernelMutant("funnel_entries", "a bucket ends a bucket too early", "bucket_edge(low + 1", "bucket_edge(low"),
    KernelMutant("cohort_rows", "a key that began earlier is new", "stage = np.uint8(1)", "stage = np.uint8(0)"),
    KernelMutant("cohort_rows", "a period has its end", "t >= final", "t > final"),
    KernelMutant("cohort_rows", "who returned once returns always", "came = np.uint8(0)", "came = came"),
    KernelMutant("cohort_rows", "the last period is missing", "first < until", "final < until"),
    KernelMutant("cohorts_of_all", "held columns are those of the last row", "[on] = sh0", "[on] = ch0"),
    KernelMutant(
        "transition_rows", "a step of exactly the gap ends the path", "since_when + gap < t", "since_when + gap <= t"
    ),
    KernelMutant(
        "transition_rows",
        "a path ends too late for the range",
        "since_when + gap < until",
        "since_when + gap + 1 < until",
    ),
    KernelMutant("transition_rows", "ends before the range count", "if since_when + gap >= since:", "if True:"),
    KernelMutant("transition_rows", "steps before the range count", "if t >= since:", "if True:"),
    KernelMutant("transition_rows", "a path goes on for ever", "on_path = np.uint8(0)", "pass"),
    KernelMutant(
        "transition_rows",
        "no path is known before the range",
        "on_path = np.uint8(1)",
        "on_path = np.uint8(t >= since)",
    ),
    KernelMutant("sessions_split", "a session that is split off is open", " and not x", " and True or x"),
    KernelMutant("sessions_split", "rows that split do not", "(t - final > gap or x", "(t - final > gap and x"),
    KernelMutant("sessions_split_and_cut", "a split keeps the grid", "if rows == 0 or (", "if rows == 0 and ("),
    KernelMutant(
        "windows_sliding",
        "a window is a bucket too long",
        "while low <= bucket - lanes:",
        "while low < bucket - lanes:",
    ),
    KernelMutant("windows_sliding", "a lane is never reset", "lane_rows[at] = 0", "lane_rows[at] = lane_rows[at]"),
    KernelMutant(
        "windows_sliding",
        "rows are in the newest window only",
        "in range(low, bucket + 1):",
        "in range(bucket, bucket + 1):",
    ),
    KernelMutant(
        "windows_sliding_in_london",
        "held columns are those of the last row",
        "lane_sh0[at] = ch0",
        "lane_sh0[at] = lane_sh0[at]",
    ),
    KernelMutant(
        "windows_sliding_in_london",
        "a window ends a bucket early",
        "bucket_edge(low + lanes,",
        "bucket_edge(low + lanes - 1,",
    ),
    KernelMutant("windows_empty", "a silent key has no windows", "if t < since and since < until:", "if False:"),
    KernelMutant(
        "windows_empty_and_sliding", "empty windows hold what full ones held", "[on] = ch0", "[on] = lane_sh0[at]"
    ),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.graph}: {m.what}")
def test_every_mutant_is_noticed(monkeypatch: pytest.MonkeyPatch, mutant: KernelMutant) -> None:
    assert is_noticed(monkeypatch, mutant)
