"""The compiled kernels against the oracle, in memory: the same rows, values and types for every graph.

Steps over a key's events have their own tests (``test_flows``, ``test_sequences``).
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.testing.oracle.strategies import TIME, Case, cases
from tests.laws.agreement import agrees
from tests.laws.flow_graphs import FLOW_GRAPHS
from tests.laws.graphs import GRAPHS
from tests.laws.memory import run_in_memory
from tests.laws.sequence_graphs import SEQUENCE_GRAPHS

ELSEWHERE = {**FLOW_GRAPHS, **SEQUENCE_GRAPHS}
"""Of steps over a key's events, which have their own tests."""

EACH = settings().max_examples if settings().max_examples > 1000 else min(12, settings().max_examples)
"""How many examples every graph has."""

HUGE = [-(2**63), -(2**62), -1, 0, 1, 2**62, 2**63 - 1]


@pytest.mark.parametrize("name", [name for name in GRAPHS if name not in ELSEWHERE])
@settings(max_examples=EACH)
@given(case=cases(), tasks=st.integers(1, 3), rows=st.integers(0, 5))
def test_every_graph(name: str, case: Case, tasks: int, rows: int) -> None:
    agrees(run_in_memory, name, case, tasks=tasks, rows=rows)


def operators_in(graph: object) -> set[str]:
    """The names of the steps in a graph's JSON, also in those within it."""
    if isinstance(graph, dict):
        inner = set().union(*(operators_in(v) for v in graph.values()))
        return inner | {graph["op"]} if isinstance(graph.get("op"), str) else inner
    return set().union(*(operators_in(v) for v in graph)) if isinstance(graph, list) else set()


BY_OPERATOR: dict[str, list[str]] = {}
for name in sorted(set(GRAPHS) - set(ELSEWHERE)):
    for operator in operators_in(GRAPHS[name]):
        BY_OPERATOR.setdefault(operator, []).append(name)


OFTEN = 1000 if settings().max_examples > 1000 else 250
"""How many examples every operator has: a thousand in the nightly profile."""

LACKING = {operator: lacking for operator, names in BY_OPERATOR.items() if (lacking := OFTEN - EACH * len(names)) > 0}
"""How many of them `test_every_graph` leaves."""


@pytest.mark.parametrize("operator", sorted(LACKING))
def test_every_operator_often(operator: str) -> None:
    @settings(max_examples=LACKING[operator])
    @given(name=st.sampled_from(BY_OPERATOR[operator]), case=cases(), tasks=st.integers(1, 3), rows=st.integers(0, 5))
    def check(name: str, case: Case, tasks: int, rows: int) -> None:
        agrees(run_in_memory, name, case, tasks=tasks, rows=rows)

    check()


@pytest.mark.parametrize("name", ["integers_by_device", "integer_mean_overall", "arithmetic_huge", "sorted_up"])
@settings(max_examples=EACH)
@given(case=cases(integers=HUGE), tasks=st.integers(1, 3))
def test_huge_integers(name: str, case: Case, tasks: int) -> None:
    # An overflow in a row outside the range is no error, which the oracle, who computes every row, does not see.
    case = Case([p for p in case.points if case.since <= p[TIME] < case.until], case.since, case.until)
    agrees(run_in_memory, name, case, tasks=tasks)


@given(case=cases(), threshold=st.sampled_from([-1e300, 0.0, 21.5, 30, 1e300]))
def test_parameters(case: Case, threshold: float) -> None:
    agrees(run_in_memory, "with_a_parameter", case, params={"threshold": threshold})
