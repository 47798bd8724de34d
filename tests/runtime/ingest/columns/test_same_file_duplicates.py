"""Duplicates within a file, against a plain implementation of the policies."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.types import Type
from runtime.columns import Column, Dictionary, Points
from runtime.ingest.columns.same_file_duplicates import resolve
from runtime.pointfile import sort_points

Row = tuple[int, int, float | None, str | None, int | None]

rows = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 3),
        st.sampled_from([None, 0.0, -0.0, 1.5]),
        st.sampled_from([None, "a", "b"]),
        st.sampled_from([None, 1, 2, 3]),
    ),
    max_size=25,
)


def column(type_: Type, values: list[Any]) -> Column:
    valid = np.array([v is not None for v in values], np.bool_)
    if type_ is Type.STRING:
        codes = np.array([0 if v is None else "ab".index(v) for v in values], np.int32)
        return Column(type_, codes, valid, Dictionary.of(["a", "b"]))
    return Column(type_, np.array([v or 0 for v in values], type_.dtype), valid)


def points(given_: list[Row]) -> Points:
    key, time, x, s, i = (list(part) for part in zip(*given_, strict=True)) if given_ else ([], [], [], [], [])
    x_column = column(Type.FLOAT, x)
    x_column.values[:] = [v if v is not None else 0.0 for v in x]
    return sort_points(
        Points(
            Column(Type.INT, np.array(key, np.int64)),
            np.array(time, np.int64),
            {"x": x_column, "s": column(Type.STRING, s), "i": column(Type.INT, i)},
        )
    )


def back(found: Points) -> list[Any]:
    columns = [found.columns[n].to_list() for n in ("x", "s", "i")]
    return sorted(
        zip(found.key.to_list(), found.time.tolist(), *([repr(v) for v in c] for c in columns), strict=True),
        key=lambda r: (r[0], r[1]),
    )


def shown(row: Row) -> Any:
    return (*row[:2], *map(repr, row[2:]))


@given(rows)
def test_keep(given_: list[Row]) -> None:
    found, dropped = resolve(points(given_), "keep", None)
    assert dropped == 0
    assert back(found) == sorted(map(shown, given_), key=lambda r: r[:2])


@given(rows)
def test_exact(given_: list[Row]) -> None:
    found, dropped = resolve(points(given_), "exact", None)
    expected = list(dict.fromkeys(map(shown, given_)))
    assert back(found) == sorted(expected, key=lambda r: r[:2])
    assert dropped == len(given_) - len(expected)


@given(rows)
def test_latest(given_: list[Row]) -> None:
    merged: dict[tuple[int, int], list[Any]] = {}
    for key, time, *values in given_:
        old = merged.setdefault((key, time), [None] * 3)
        merged[key, time] = [o if v is None else v for o, v in zip(old, values, strict=True)]
    found, dropped = resolve(points(given_), "latest", None)
    assert back(found) == sorted([(*k, *map(repr, v)) for k, v in merged.items()], key=lambda r: r[:2])
    assert dropped == len(given_) - len(merged)


@given(rows, st.sampled_from(["keep", "exact", "latest"]))
def test_an_id_counts_once_per_key(given_: list[Row], policy: str) -> None:
    seen: set[tuple[int, int | None]] = set()
    expected = []
    for row in sorted(given_, key=lambda r: r[1]):  # stable: the first is the earliest, then the first in the input
        if row[4] is None or (row[0], row[4]) not in seen:
            seen.add((row[0], row[4]))
            expected.append(shown(row))
    if policy == "exact":
        expected = list(dict.fromkeys(expected))
    found, _ = resolve(points(given_), policy, "i")
    assert back(found) == sorted(expected, key=lambda r: r[:2])
