"""Mutants of the kernels of later points, of windows ahead and of points that last: the oracle must notice each."""

from __future__ import annotations

import pytest

from tests.laws.kernel_mutants import KernelMutant, is_noticed

MUTANTS = (
    KernelMutant("later_points", "a row of another run is seen", "> 1:", "> 0:"),
    KernelMutant("later_points", "what was there before stays", "z_n1_k[place] = 0", "z_n1_k[place] = z_n1_k[place]"),
    KernelMutant("later_points", "a row too late", "np.uint64(seen - 3)", "np.uint64(seen - 2)"),
    KernelMutant("later_points", "what waits at the end is lost", "for waits in range(left)", "for waits in range(0)"),
    KernelMutant("later_points", "the first of what waits is lost", "seen - left + waits", "seen - left + waits + 1"),
    KernelMutant(
        "later_behind_a_filter", "rows after the range count", "if t >= until:", "if t >= until + 3600000000:"
    ),
    KernelMutant("leading_sums", "the end of the window is in it", "< until_now + size0", "<= until_now + size0"),
    KernelMutant("leading_sums", "rows of the same time are not in it", "< until_now:", "<= until_now:"),
    KernelMutant("leading_sums", "it is not away from the row", "until_now + away", "until_now + 0 * away"),
    KernelMutant("leading_rows", "one row too many", "< at + size0", "<= at + size0"),
    KernelMutant("trailing_before", "it is not away from the row", "until_now - away", "until_now - 0 * away"),
    KernelMutant("intervals_of_points", "they begin before the range", "lo = max(t, since)", "lo = t"),
    KernelMutant("intervals_of_points", "they end after the range", ", until) if", ", until + 1) if"),
    KernelMutant("intervals_of_points", "one without an end lasts no time", "else until\n", "else t\n"),
    KernelMutant("intervals_of_points", "one that lasts no time is there", "if lo < hi:", "if lo <= hi:"),
    KernelMutant("intervals_by_hour", "they last too long", "t + longest", "t + 2 * longest"),
)


@pytest.mark.nightly
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.graph}: {m.what}")
def test_every_mutant_is_noticed(monkeypatch: pytest.MonkeyPatch, mutant: KernelMutant) -> None:
    assert is_noticed(monkeypatch, mutant, most=9)
