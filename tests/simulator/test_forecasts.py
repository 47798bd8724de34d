"""Simulated fleets: their bars, the table of deploy/INTERNALS.md, and the model's own rules."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.fleet import QueryTimeout, TaskFailed
from runtime.fleet.rules import Rules
from runtime.fleet.simulation.model import Account, Faults, Scenario, modelled_fleet, simulate
from runtime.result.cost import Worker
from runtime.result.estimate import estimate
from runtime.result.speeds import Speeds
from runtime.result.work import Load
from tests.simulator.forecasts import CASES, WORKER, table

PAGE = Path(__file__).resolve().parents[2] / "deploy" / "INTERNALS.md"
RAMP = 20.0
"""Seconds until AWS has let 3,000 workers of a function begin: 1,000 at once, 100 a second."""


LONG = {"10^11 cold, new account", "10^11 warm, faults", "10^12 cold", "10^12 warm, faults"}
"""Cases that take long to simulate."""


def test_the_table_is_what_the_command_prints() -> None:
    """All lines but those of LONG, in this order."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    places = [lines.index(line) for line in table(LONG)]
    assert places == sorted(places)
    assert places[-1] - places[0] + 1 <= len(places) + len(LONG)


@pytest.mark.nightly
def test_the_whole_table_is_what_the_command_prints() -> None:
    assert "\n" + "\n".join(table()) + "\n\n" in PAGE.read_text(encoding="utf-8")


def test_a_hundred_thousand_million_points_on_warm_workers() -> None:
    found = CASES["10^11 warm"].forecast()
    assert found.worst < 3.0
    assert found.dollars < 0.10


def test_cold_workers_take_the_ramp() -> None:
    assert CASES["10^11 cold"].forecast().worst < RAMP + 3
    warm, cold = CASES["10^12 warm"].forecast(), CASES["10^12 cold"].forecast()
    assert warm.worst < cold.worst < RAMP + warm.worst + 3


def test_three_thousand_tasks_are_simulated_in_seconds() -> None:
    """Looking at every task at each event, the coordinator took minutes."""
    scenario = CASES["10^11 cold"].scenario
    for fleet in (modelled_fleet(scenario), replace(modelled_fleet(scenario), relay=None)):
        taken = []
        for seed in range(2):
            begun = time.process_time()
            simulate(scenario, seed, fleet)
            taken.append(time.process_time() - begun)
        assert min(taken) < 10  # some 1 s on a free machine


def test_equal_seeds_equal_runs() -> None:
    scenario = CASES["10^11 warm, faults"].scenario
    assert simulate(scenario, 3) == simulate(scenario, 3)
    assert simulate(scenario, 3) != simulate(scenario, 4)


def small(**more: object) -> Scenario:
    return Scenario(Load.even(10**9, 2 * 10**9, 64, 64), warm=64, **more)  # type: ignore[arg-type]


def test_two_hundred_seeds_with_faults() -> None:
    """Every run ends, in an answer or an error that names a task."""
    faults = Faults(failed=0.2, silent=0.05, straggling=0.05, duplicated=0.01, truncated=0.01, throttled=0.5)
    scenario = small(faults=faults)
    fleet = replace(modelled_fleet(scenario), rules=Rules(attempt_seconds=70), direct=8, batch=8)
    answered = 0
    for seed in range(200):
        run = simulate(scenario, seed, fleet)
        assert run.seconds < 3_700
        if run.error is None:
            answered += 1
            assert run.cost.invocations >= 72
        else:
            assert isinstance(run.error, TaskFailed | QueryTimeout)
            assert "task" in str(run.error)
    assert answered >= 190


def test_one_process_begins_so_many_a_second() -> None:
    """By relays it takes a fraction of the time that one process takes to start them all."""
    scenario = CASES["10^11 warm"].scenario
    alone = replace(modelled_fleet(scenario), relay=None, pace=modelled_fleet(scenario).spread)
    assert simulate(scenario, 0, alone).seconds > 2_000 / scenario.speeds.rate
    assert simulate(scenario, 0, alone).seconds > simulate(scenario, 0).seconds + 1.5


def test_limits_are_felt() -> None:
    free, tight = small(), small(account=Account(concurrency=20))
    assert simulate(tight).seen["throttled"] > 0
    assert simulate(tight).seconds > simulate(free).seconds
    cold = replace(free, warm=0, account=Account(scale_burst=10, scale_rate=5))
    assert 10 <= simulate(cold).seen["new workers"] <= 10 + 5 * simulate(cold).seconds
    assert simulate(replace(free, speeds=Speeds(points=1e6))).seconds > 15
    assert simulate(replace(free, account=Account(prefix_gets=20, prefixes=1))).seen["slowed down by S3"] > 0


@pytest.mark.parametrize("name", ["10^10 warm", "10^11 warm", "10^12 warm"])
def test_the_estimate_is_near_the_model(name: str) -> None:
    """What a budget is held against: nearer than a third to what is simulated when all is well."""
    case = CASES[name]
    relays = case.fleet.batches(case.workers)
    guess, found = estimate(case.scenario.load, relays, WORKER), case.forecast()
    assert guess.seconds == pytest.approx(found.seconds, rel=0.35)
    assert guess.dollars == pytest.approx(found.dollars, rel=0.2)


def test_costs_add_up() -> None:
    """Seconds and GETs by the price list, to the cent's thousandth; throttled invocations are not billed."""
    run = simulate(CASES["10^11 cold"].scenario, 1)
    cost = run.cost
    assert cost.gb_seconds == pytest.approx(cost.seconds * 1_769 / 1_024)
    by_hand = cost.gb_seconds * 0.0000133334 + cost.invocations * 0.20e-6 + cost.gets * 0.4e-6
    assert cost.dollars == pytest.approx(by_hand)
    assert (cost.invocations, run.repeats) == (3_060, 0)
    assert run.seen["throttled"] > 0
    dear = replace(CASES["10^11 cold"].scenario, worker=Worker(1_769, "x86_64"))
    assert simulate(dear, 1).cost.dollars > 1.2 * cost.dollars
