"""The protocol of upkeep holds under adverse schedules, and the simulator catches each broken variant.

``UpkeepWorld(seed, mode=...).play()`` repeats the run that a failure names.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulator.upkeep_mutants import MUTANTS
from tests.simulator.upkeep_world import UpkeepWorld
from tests.simulator.world import Variant

RUNS = 2000
EVENTS = (
    "switch in a query",
    "query with a gap",
    "crash",
    "lost request",
    "lost reply",
    "late effect",
    "late refusal",
    "swept",
    "swept away",
    "ingested",
    "ingest planned again",
    "already ingested",
    "passed over, taken back",
    "compacted",
    "not compacted, planned again",
    "undone",
    "not undone, planned again",
    "replaced",
    "replacement planned again",
    "retained",
    "floor is higher",
    "key erased",
    "not key erased, planned again",
    "stream erased",
    "not stream erased, planned again",
    "collected",
    "query too old",
    "intent",
    "intent taken over",
    "intents left",
    "list",
    "list emptied",
    "read",
    "read while others committed",
)
"""Runs mean something only if all of this was met, and not once or twice."""


SELDOM = {"swept", "swept away", "passed over, taken back", "floor is higher"}
"""Events that need an order which uniform schedules rarely have."""


def play(seed: int, mode: str, variant: Variant | None = None) -> Counter[str]:
    """One run; its events."""
    world = UpkeepWorld(seed, variant or Variant(), mode)
    try:
        world.play()
    except AssertionError as error:
        raise AssertionError(f"seed {seed}, {mode} schedule: {error}") from error
    return world.seen


@pytest.mark.parametrize("mode", ["priority", "uniform"])
def test_the_protocol_holds(mode: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(RUNS):
        seen += play(seed, mode)
    for event in EVENTS:
        if mode == "uniform" and event in SELDOM:
            continue
        assert seen[event] >= 5, f"{event!r} was met {seen[event]} times in {RUNS} runs: {dict(seen)}"


@pytest.mark.nightly
@pytest.mark.parametrize("mode", ["priority", "uniform"])
def test_the_protocol_holds_for_long(mode: str) -> None:
    for seed in range(RUNS, RUNS + 100_000):
        play(seed, mode)


@pytest.mark.parametrize("name", MUTANTS)
def test_each_broken_rule_is_caught(name: str) -> None:
    for seed in range(RUNS):
        try:
            play(seed, "priority", MUTANTS[name])
        except AssertionError as error:
            print(f"{name}: {error}")
            return
    pytest.fail(f"{name!r} could not be distinguished from the real protocol in {RUNS} runs")


def test_a_run_is_a_function_of_its_seed() -> None:
    assert play(77, "priority") == play(77, "priority")
    assert play(77, "uniform") != play(78, "uniform")
