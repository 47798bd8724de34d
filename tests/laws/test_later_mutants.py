"""Mutants of the kernels of values of later points: the oracle must notice each."""

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
)


@pytest.mark.nightly
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.graph}: {m.what}")
def test_every_mutant_is_noticed(monkeypatch: pytest.MonkeyPatch, mutant: KernelMutant) -> None:
    assert is_noticed(monkeypatch, mutant, most=9)
