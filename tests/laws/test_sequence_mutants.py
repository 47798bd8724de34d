"""Mutants of the kernels of patterns, sequences, subpaths, activity and dedupe: the oracle must notice each."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import Phase, find, settings

from dataflow.kernels import compile as compiling
from dataflow.kernels.generate import Generated, generate
from dataflow.plan.stages import Stage
from runtime.testing.oracle.strategies import cases
from tests.laws.memory import fresh_plans
from tests.laws.test_flow_mutants import Mutant, disagree

MUTANTS = (
    Mutant(
        "match_skips",
        "a match that is just as long as it may be is too long",
        "t - began > within",
        "t - began >= within",
    ),
    Mutant("match_skips", "the attempt that began last is not tried", "if chosen < 0:", "if False:"),
    Mutant("paths_from_up_to_down", "starts before an end count after it", "starts = np.int64(0)", "starts = starts"),
    Mutant("activity_by_firmware", "a bucket has its end", "if t >= away:", "if t > away:"),
    Mutant("dedupe_of_floats", "exactly so much later is kept", "or t > q0_seen", "or t >= q0_seen"),
)


@pytest.mark.nightly
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
    find(cases(most=9, dense=True), lambda case: disagree(mutant.graph, case), settings=search, random=Random(0))
    assert any(changed)
