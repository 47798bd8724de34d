"""The whole engine against the oracle, from ingest to result: the same rows, values and types."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.testing.oracle.strategies import INTEGERS, Case, cases
from tests.laws.agreement import agrees
from tests.laws.engine import Engine, schema_point
from tests.laws.graphs import GRAPHS
from tests.laws.shared_cases import shared_cases

PLAIN_INTEGERS = [n for n in INTEGERS if abs(n) < 2**53]

fewer = settings(max_examples=max(8, settings().max_examples // 5))
"""Each example asks a store; many more go through the kernels alone (test_kernels.py)."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(tmp_path_factory.mktemp("stores"))


def with_schema(case: Case, key: str | int = "schema") -> Case:
    """The case, preceded by a point with every column, which fixes the types."""
    return Case([schema_point(key), *case.points], case.since, case.until)


@pytest.mark.parametrize("name", GRAPHS)
def test_every_graph(engine: Engine, name: str) -> None:
    @shared_cases(name)
    @fewer
    @given(case=cases(), sources=st.integers(1, 3))
    def check(case: Case, sources: int) -> None:
        agrees(engine.run, name, with_schema(case), sources=sources)

    check()


@pytest.mark.parametrize(
    "name",
    [
        "first_last_by_device",
        "point_rows_sorted",
        "states_by_london_day",
        "outages",
        "session_rows",
        "distinct",
        "both",
        "concurrent_overall",
    ],
)
def test_integer_keys(engine: Engine, name: str) -> None:
    @shared_cases(name, sets=2)
    @fewer
    @given(case=cases(keys=[-3, 0, 7, 2**53 + 1]))
    def check(case: Case) -> None:
        agrees(engine.run, name, with_schema(case, 99))

    check()


@pytest.mark.parametrize("name", ["point_rows_sorted", "numbers_by_firmware", "states_by_day", "session_rows"])
@pytest.mark.parametrize(
    ("duplicates", "id"), [("exact", None), ("latest", None), ("keep", "n"), ("exact", "n"), ("latest", "n")]
)
def test_duplicates(engine: Engine, name: str, duplicates: str, id: str | None) -> None:
    @shared_cases(f"{duplicates} {id}")
    @fewer
    @given(case=cases(most=6, integers=PLAIN_INTEGERS), sources=st.integers(1, 3))
    def check(case: Case, sources: int) -> None:
        # Whether 0.0 and -0.0 make points equal is not specified: no negative zeros here.
        points = [p | {"temp": p["temp"] + 0.0} if p.get("temp") is not None else p for p in case.points]
        whole = with_schema(Case(points, case.since, case.until))
        agrees(engine.run, name, whole, duplicates=duplicates, id=id, sources=sources)

    check()
