"""Metrics inside a metric against the oracle: the same rows, values and types, from ingest to result.

The sources split the points by arrival, the ranges by time; tasks split them by key in tests/runtime/query/parts.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.testing.oracle.strategies import Case, cases
from tests.laws.agreement import agrees_on
from tests.laws.answer_graphs import ANSWER_GRAPHS
from tests.laws.engine import Engine, schema_point
from tests.laws.shared_cases import shared_cases

fewer = settings(max_examples=max(5, settings().max_examples // 12))
"""Each example runs several metrics."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(tmp_path_factory.mktemp("stores"))


@pytest.mark.parametrize("name", ANSWER_GRAPHS)
def test_every_metric_with_others_inside(engine: Engine, name: str) -> None:
    @shared_cases(name, sets=4)
    @fewer
    @given(case=cases(), sources=st.integers(1, 3))
    def check(case: Case, sources: int) -> None:
        whole = Case([schema_point("schema"), *case.points], case.since, case.until)
        agrees_on(engine.run, ANSWER_GRAPHS[name], whole, sources=sources)

    check()
