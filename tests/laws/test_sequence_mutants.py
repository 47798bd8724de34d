"""Mutants of the kernels of patterns, sequences, subpaths, activity and dedupe: the oracle must notice each."""

from __future__ import annotations

import pytest

from tests.laws.kernel_mutants import KernelMutant, is_noticed

MUTANTS = (
    KernelMutant(
        "match_skips",
        "a match that is just as long as it may be is too long",
        "t - began > within",
        "t - began >= within",
    ),
    KernelMutant("match_skips", "the attempt that began last is not tried", "if chosen < 0:", "if False:"),
    KernelMutant(
        "paths_from_up_to_down", "starts before an end count after it", "starts = np.int64(0)", "starts = starts"
    ),
    KernelMutant("activity_by_firmware", "a bucket has its end", "if t >= away:", "if t > away:"),
    KernelMutant("dedupe_of_floats", "exactly so much later is kept", "or t > q0_seen", "or t >= q0_seen"),
)


@pytest.mark.nightly
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.graph}: {m.what}")
def test_every_mutant_is_noticed(monkeypatch: pytest.MonkeyPatch, mutant: KernelMutant) -> None:
    assert is_noticed(monkeypatch, mutant, most=9)
