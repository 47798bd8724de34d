"""Compares an engine's result with the oracle's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from operators.errors import DataflowError
from runtime.testing.oracle import IntegerOverflowError, answer
from runtime.testing.oracle.rows import Json
from runtime.testing.oracle.strategies import KEY, TIME, TYPES, Case
from tests.laws.graphs import GRAPHS

ORACLE_OPTIONS = ("params", "duplicates", "id")


def typed(rows: list[dict[str, Any]]) -> list[dict[str, tuple[str, Any]]]:
    """Rows with the type of each value beside it, since 1 == 1.0 == True."""
    return [{name: (type(value).__name__, value) for name, value in sorted(row.items())} for row in rows]


def agrees(run: Callable[..., list[dict[str, Any]]], name: str, case: Case, **options: Any) -> None:
    """Assert that ``run`` gives the oracle's rows for a named graph, or an error where the oracle finds an overflow."""
    agrees_on(run, GRAPHS[name], case, **options)


def agrees_on(run: Callable[..., list[dict[str, Any]]], graph: Json, case: Case, **options: Any) -> None:
    """The same for any graph."""
    chosen = {option: value for option, value in options.items() if option in ORACLE_OPTIONS}
    span: dict[str, Any] = {"since": case.since, "until": case.until}
    try:
        expected = answer(graph, case.points, key=KEY, time=TIME, types=TYPES, **span, **chosen)
    except IntegerOverflowError:
        with pytest.raises(DataflowError, match=r"64[ -]bit"):
            run(graph, case.points, **span, **options)
        return
    assert typed(run(graph, case.points, **span, **options)) == typed(expected)
