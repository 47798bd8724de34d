"""The protocol holds under adverse schedules, and the simulator catches each broken variant.

Every run is a pure function of its seed, which a failure names: ``World(seed, mode=...).play()`` repeats it.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulator.mutants import MUTANTS
from tests.simulator.world import Variant, World

RUNS = {"priority": 2000, "uniform": 500}
"""Of each kind of schedule; uniform ones hardly reach the orders in which rules matter."""

MET = {"priority": 10, "uniform": 3}
"""How often each event is met at least."""

MUTANT_RUNS = 2000


def play(seed: int, mode: str, variant: Variant | None = None) -> Counter[str]:
    world = World(seed, variant or Variant(), mode)
    try:
        world.play()
    except AssertionError as error:
        raise AssertionError(f"seed {seed}, {mode} schedule: {error}") from error
    return world.seen


@pytest.mark.parametrize("mode", ["priority", "uniform"])
def test_the_protocol_holds(mode: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(RUNS[mode]):
        seen += play(seed, mode)
    # The runs mean something only if all of this was met, and not once or twice.
    for event in (
        "switch",
        "switch in a query",
        "query with a gap",
        "crash",
        "lost request",
        "lost reply",
        "late effect",
        "late refusal",
        "unknown outcome",
        "apply cut short",
        "already ingested",
        "swept",
        "swept away",
        "compacted",
        "compacted by another",
        "read",
        "read while others committed",
        "refused: LOG",
        "refused: SRC",
        "refused: CLA",
        "refused: DEL",
        "refused: WM",
        "list",
        "list emptied",
    ):
        least = 1 if (mode, event) == ("uniform", "query with a gap") else MET[mode]  # which they seldom meet
        assert seen[event] >= least, f"{event!r} was met {seen[event]} times in {RUNS[mode]} runs: {dict(seen)}"


@pytest.mark.nightly
@pytest.mark.parametrize("mode", ["priority", "uniform"])
def test_the_protocol_holds_for_long(mode: str) -> None:
    for seed in range(RUNS[mode], RUNS[mode] + 100_000):
        play(seed, mode)


@pytest.mark.parametrize("name", MUTANTS)
def test_each_broken_rule_is_caught(name: str) -> None:
    for seed in range(MUTANT_RUNS):
        try:
            play(seed, "priority", MUTANTS[name])
        except AssertionError as error:
            print(f"{name}: {error}")
            return
    pytest.fail(f"{name!r} could not be distinguished from the real protocol in {MUTANT_RUNS} runs")


def test_a_run_is_a_function_of_its_seed() -> None:
    assert play(77, "priority") == play(77, "priority")
    assert play(77, "uniform") != play(78, "uniform")
