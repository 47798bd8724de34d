"""Mutants of generated kernels, and the search for points by which the oracle tells one from the kernel."""

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
class KernelMutant:
    """In the kernels of ``graph``, ``text`` becomes ``wrong`` wherever it stands."""

    graph: str
    what: str
    text: str
    wrong: str


def is_noticed(monkeypatch: pytest.MonkeyPatch, mutant: KernelMutant, most: int = 12) -> bool:
    """Whether its text was there to be changed; NoSuchExample if no points, at most so many, make a difference."""
    changed = []

    def wrong(stage: Stage) -> Generated:
        sound = generate(stage)
        source = sound.source.replace(mutant.text, mutant.wrong)
        changed.append(source != sound.source)
        return replace(sound, source=source)

    fresh_plans(monkeypatch)
    monkeypatch.setattr(compiling, "generate", wrong)
    search = settings(max_examples=2000, phases=[Phase.generate], database=None, deadline=None)
    find(cases(most=most, dense=True), lambda case: _disagree(mutant.graph, case), settings=search, random=Random(0))
    return any(changed)


def _disagree(name: str, case: Case) -> bool:
    try:
        agrees(run_in_memory, name, case)
    except AssertionError:
        return True
    return False
