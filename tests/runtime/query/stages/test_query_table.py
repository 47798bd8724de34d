"""Order and canonical form of tables, against Python's sort."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.types import Type
from runtime.query.stages.query_table import QueryTable

more = settings(max_examples=4 * settings().max_examples)

STRINGS = ["b", "", "a", "unused", "ä", "aa"]
VALUES: dict[Type, st.SearchStrategy[Any]] = {
    Type.INT: st.one_of(
        st.integers(-1, 1), st.sampled_from([-(2**63), 2**63 - 1, 2**61, -(2**61), 2**32, 2**32 + 1, 2**33, 2**33 + 1])
    ),
    Type.FLOAT: st.one_of(
        st.sampled_from([0.0, -0.0]),
        st.sampled_from([1.5, -1.5, math.inf, -math.inf, math.nan, -math.nan, 5e-324, -5e-324, 1e308]),
    ),
    Type.BOOL: st.booleans(),
    Type.STRING: st.sampled_from([s for s in STRINGS if s != "unused"]),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[QueryTable, list[tuple[str, bool]], dict[str, list[Any]]]:
    """A table with nulls under which anything may stand, what to sort it by, and what its rows mean."""
    n = draw(st.integers(0, 12))
    columns, meant = {}, {}
    for name in draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True)):
        kind = draw(st.sampled_from(list(VALUES)))
        given_values = draw(st.lists(VALUES[kind], min_size=n, max_size=n))
        valid = draw(st.one_of(st.just([True] * n), st.lists(st.booleans(), min_size=n, max_size=n)))
        stored = [STRINGS.index(v) for v in given_values] if kind is Type.STRING else given_values
        columns[name] = (
            kind,
            np.array(stored, np.float64 if kind is Type.FLOAT else np.int64),
            np.array(valid, np.uint8),
        )
        meant[name] = [v if k else None for v, k in zip(given_values, valid, strict=True)]
    by = draw(st.lists(st.tuples(st.sampled_from(sorted(columns)), st.booleans()), min_size=1, max_size=3))
    return QueryTable(n, columns, STRINGS), by, meant


def rows(table: QueryTable) -> list[tuple[Any, ...]]:
    """The rows as they print, so that a NaN is itself."""
    shown = []
    for kind, values, valid in table.columns.values():
        cells = zip(values.tolist(), valid.tolist(), strict=True)
        shown.append([repr(table.strings[v] if kind is Type.STRING else v) if k else None for v, k in cells])
    return list(zip(*shown, strict=True))


def rank(value: Any) -> tuple[Any, ...]:
    """Nulls first, NaN last."""
    if value is None:
        return (0,)
    return (2,) if value != value else (1, value)


@more
@given(tables())
def test_rows_are_ordered_by_columns_and_are_stable(
    case: tuple[QueryTable, list[tuple[str, bool]], dict[str, list[Any]]],
) -> None:
    table, by, meant = case
    order = list(range(table.rows))
    for name, descending in reversed(by):
        order.sort(key=lambda i: rank(meant[name][i]), reverse=descending)
    expected = rows(table)
    assert rows(table.sorted_by(by)) == [expected[i] for i in order]


@more
@given(tables())
def test_the_canonical_form_has_sorted_strings_that_are_used(
    case: tuple[QueryTable, list[tuple[str, bool]], dict[str, list[Any]]],
) -> None:
    table, _, meant = case
    small = table.compact()
    used = {
        v for name, (kind, _, _) in table.columns.items() if kind is Type.STRING for v in meant[name] if v is not None
    }
    assert small.strings == sorted(used)
    assert not any(values[valid == 0].any() for _, values, valid in small.columns.values())
    assert rows(small) == rows(table)
