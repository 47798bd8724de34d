"""The compiled engine against the oracle: the same rows, values and types for every graph, whatever the points."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.errors import DataflowError
from tests.laws.engine import Engine, schema_point
from tests.laws.graphs import GRAPHS
from tests.reference import IntegerOverflowError, answer
from tests.reference.strategies import INTEGERS, KEY, TIME, TYPES, Case, cases

HUGE = [-(2**63), -(2**62), -1, 0, 1, 2**62, 2**63 - 1]
PLAIN_INTEGERS = [n for n in INTEGERS if abs(n) < 2**53]

fewer = settings(max_examples=max(10, settings().max_examples // 3))
"""There are many graphs, and each is asked about this many sets of points."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(tmp_path_factory.mktemp("stores"))


def typed(rows: list[dict[str, Any]]) -> list[dict[str, tuple[str, Any]]]:
    """Rows with the type of each value beside it, since 1 == 1.0 == True."""
    return [{name: (type(value).__name__, value) for name, value in sorted(row.items())} for row in rows]


def check(engine: Engine, name: str, case: Case, key: str | int = "schema", **options: Any) -> None:
    points = [schema_point(key), *case.points]
    told = {k: v for k, v in options.items() if k != "sources"}
    try:
        expected = answer(
            GRAPHS[name], points, key=KEY, time=TIME, since=case.since, until=case.until, types=TYPES, **told
        )
    except IntegerOverflowError:
        with pytest.raises(DataflowError, match="64 bits"):
            engine.run(GRAPHS[name], case.points, since=case.since, until=case.until, key=key, **options)
        return
    found = engine.run(GRAPHS[name], case.points, since=case.since, until=case.until, key=key, **options)
    assert typed(found) == typed(expected)


@pytest.mark.parametrize("name", GRAPHS)
@fewer
@given(case=cases(), sources=st.integers(1, 3))
def test_every_graph(engine: Engine, name: str, case: Case, sources: int) -> None:
    check(engine, name, case, sources=sources)


@pytest.mark.parametrize(
    "name", ["first_last_by_device", "point_rows_sorted", "states_by_london_day", "outages", "session_rows", "distinct"]
)
@fewer
@given(case=cases(keys=[-3, 0, 7, 2**53 + 1]))
def test_integer_keys(engine: Engine, name: str, case: Case) -> None:
    check(engine, name, case, key=99)


@pytest.mark.parametrize("name", ["integers_by_device", "integer_mean_overall", "arithmetic_huge", "sorted_up"])
@fewer
@given(case=cases(integers=HUGE))
def test_huge_integers(engine: Engine, name: str, case: Case) -> None:
    check(engine, name, case)


@pytest.mark.parametrize("name", ["point_rows_sorted", "numbers_by_firmware", "states_by_day", "session_rows"])
@pytest.mark.parametrize(
    ("duplicates", "id"), [("exact", None), ("latest", None), ("keep", "n"), ("exact", "n"), ("latest", "n")]
)
@fewer
@given(case=cases(most=6, integers=PLAIN_INTEGERS), sources=st.integers(1, 3))
def test_duplicates(engine: Engine, name: str, duplicates: str, id: str | None, case: Case, sources: int) -> None:
    # Whether 0.0 and -0.0 make two points alike is nobody's concern: no negative zeros here.
    points = [p | {"temp": p["temp"] + 0.0} if p.get("temp") is not None else p for p in case.points]
    case = Case(points, case.since, case.until)
    check(engine, name, case, duplicates=duplicates, id=id, sources=sources)


@fewer
@given(case=cases(), threshold=st.sampled_from([-1e300, 0.0, 21.5, 30, 1e300]))
def test_parameters(engine: Engine, case: Case, threshold: float) -> None:
    check(engine, "with_a_parameter", case, params={"threshold": threshold})
