"""Every Arrow type, nested in any way: each value becomes what plain Python makes of it."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import IngestError
from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.tabular.arrow_columns import columns_of
from runtime.ingest.tabular.arrow_tables import table_chunks
from runtime.ingest.tabular.decoded import Chunk
from tests.runtime.ingest.tabular.arrow_cases import (
    LEAVES,
    Leaf,
    alike,
    array,
    kinds,
    plain,
    read_interval,
    values_of,
    with_values_of_twins,
)

Words = dict[str, InternedStrings]


def decoded(found: Any, rows: int | None = None) -> tuple[Chunk, Words]:
    words: Words = {}

    def words_of(name: str) -> InternedStrings:
        return words.setdefault(name, InternedStrings())

    if rows is None:
        return columns_of(["x"], [found], words_of, {}), words
    (chunk,) = table_chunks(pa.table({"x": found}), "table", rows, words_of)
    return chunk, words


@pytest.mark.parametrize("name", LEAVES)
@settings(max_examples=max(20, settings().max_examples // 4))
@given(data=st.data())
def test_flat_types(name: str, data: st.DataObject) -> None:
    leaf = LEAVES[name]
    values = data.draw(st.lists(values_of(leaf), max_size=8))
    first, last = data.draw(st.integers(0, len(values))), data.draw(st.integers(0, len(values)))
    chunk, words = decoded(array(leaf, values)[first:last])
    got = with_values_of_twins(chunk["x"], "x", words)
    if name == "interval":
        got = [None if v is None else read_interval(v) for v in got]
    expected = [None if v is None else leaf.column(v) for v in values[first:last]]
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert alike(a, b), (a, b)


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
@given(data=st.data())
def test_numbers_that_are_none_are_counted(name: str, data: st.DataObject) -> None:
    leaf = LEAVES[name]
    values = data.draw(st.lists(values_of(leaf), max_size=8))
    column = decoded(array(leaf, values))[0]["x"]
    for mask, test in ((column.nan, math.isnan), (column.infinite, math.isinf)):
        marked = [False] * len(values) if mask is None else mask.tolist()
        assert marked == [v is not None and test(float(v)) for v in values]


@given(st.data())
def test_nested_types(data: st.DataObject) -> None:
    kind = data.draw(kinds())
    values = data.draw(st.lists(values_of(kind), max_size=6))
    first, last = data.draw(st.integers(0, len(values))), data.draw(st.integers(0, len(values)))
    chunk, words = decoded(array(kind, values)[first:last])
    expected = dict(columns("x", kind, values[first:last]))
    assert list(chunk) == unique([name for name, _, _ in leaf_columns("x", kind, values[first:last])])
    for name, (inner, found) in expected.items():
        column = chunk[name]
        assert not column.left_out
        got = with_values_of_twins(column, name, words)
        for a, b in zip(got, found, strict=True):
            check(inner, a, b)


def leaf_columns(name: str, kind: Any, values: list[Any]) -> list[tuple[str, Any, list[Any]]]:
    """The columns that structs fall into."""
    if isinstance(kind, Leaf) or kind.form != "struct":
        return [(name, kind, values)]
    out = []
    for i, (part, field) in enumerate(zip(kind.parts, kind.names, strict=True)):
        out += leaf_columns(f"{name}.{field}", part, [None if v is None else v[i] for v in values])
    return out


def columns(name: str, kind: Any, values: list[Any]) -> list[tuple[str, tuple[Any, list[Any]]]]:
    found = leaf_columns(name, kind, values)
    return [(n, (k, v)) for n, (_, k, v) in zip(unique([n for n, _, _ in found]), found, strict=True)]


def unique(names: list[str]) -> list[str]:
    out: list[str] = []
    for name in names:
        n, found = 2, name
        while found in out or (found != name and found in names):
            found, n = f"{name}_{n}", n + 1
        out.append(found)
    return out


def check(kind: Any, got: Any, value: Any) -> None:
    """A column's value: of flat types as it is, of others as JSON."""
    if not isinstance(kind, Leaf) and kind.form in ("dictionary", "runs"):
        kind = kind.parts[0]
    if isinstance(kind, Leaf):
        expected = None if value is None else kind.column(value)
        if kind is LEAVES["interval"] and got is not None:
            got = read_interval(got)
        assert alike(got, expected), (got, expected)
        return
    if got is None:
        assert is_null(kind, value)
        return
    matches(kind, json.loads(got, parse_float=Number, parse_int=Number, object_pairs_hook=list), value)


def is_null(kind: Any, value: Any) -> bool:
    if value is not None and kind.form in ("sparse", "dense"):
        part = kind.parts[value[0]]
        if isinstance(part, Leaf):
            return value[1] is None or (part.type in FLOATS and not math.isfinite(float(value[1])))
        return is_null(part, value[1]) if part.form in ("sparse", "dense") else value[1] is None
    return value is None


FLOATS = (pa.float16(), pa.float32(), pa.float64())


class Number(str):
    """A number of JSON as it is written."""


def matches(kind: Any, got: Any, value: Any) -> None:
    """A value within JSON."""
    if isinstance(kind, Leaf):
        if value is None or (kind.type in FLOATS and not math.isfinite(float(value))):
            assert got is None
        elif kind.text is not None:
            assert type(got) is str
            assert (read_interval(got) if kind is LEAVES["interval"] else got) == kind.text(value)
        elif kind.type == pa.bool_():
            assert got is value
        else:
            assert isinstance(got, Number)
            assert float(got) == float(value) if kind.type in FLOATS else Decimal(got) == Decimal(value)
        return
    if kind.form in ("dictionary", "runs"):
        matches(kind.parts[0], got, value)
    elif kind.form in ("sparse", "dense"):
        matches(kind.parts[value[0]], got, value[1])
    elif value is None:
        assert got is None
    elif kind.form == "struct":
        assert [k for k, _ in got] == unique(list(kind.names))
        for (_, found), part, inner in zip(got, kind.parts, value, strict=True):
            matches(part, found, inner)
    elif kind.form == "map":
        keys = [key_text(kind.keys, k) for k, _ in value]
        if len(set(keys)) == len(keys):
            assert [k for k, _ in got] == keys
        else:
            assert [
                k if type(k) is str else key_text(kind.keys, key) for (k, _), (key, _) in zip(got, value, strict=True)
            ] == keys
        for (_, found), (_, inner) in zip(got, value, strict=True):
            matches(kind.parts[0], found, inner)
    else:
        assert len(got) == len(value)
        for found, inner in zip(got, value, strict=True):
            matches(kind.parts[0], found, inner)


def key_text(kind: Leaf, key: Any) -> str:
    return kind.text(key) if kind.text else json.dumps(key)


@given(st.lists(st.tuples(st.integers(1, 7), st.integers(0, 3)), min_size=1, max_size=6), st.data())
def test_how_a_table_is_cut_changes_nothing(cuts: list[tuple[int, int]], data: st.DataObject) -> None:
    kind = data.draw(kinds())
    parts = [data.draw(st.lists(values_of(kind), min_size=n, max_size=n)) for n, _ in cuts]
    chunked = pa.chunked_array([array(kind, part) for part in parts])
    whole, words = decoded(chunked, 10**6)
    alone, own = decoded(array(kind, [v for part in parts for v in part]))
    assert list(whole) == list(alone)
    for name in whole:
        assert with_values_of_twins(whole[name], name, words) == with_values_of_twins(alone[name], name, own)


def test_names_that_cannot_be_columns_are_left_out() -> None:
    batch = pa.record_batch([pa.array([1])] * 5, ["", "$seq", "a\nb", "x", "x"])
    words: Words = {}
    found = columns_of(batch.schema.names, batch.columns, lambda n: words.setdefault(n, InternedStrings()), {})
    assert {name: column.left_out for name, column in found.items() if column.left_out} == {
        "": "column name is empty or longer than 256 bytes",
        "$seq": "the column name $seq is reserved",
        "a\nb": "column name with control characters",
    }
    assert [name for name, column in found.items() if not column.left_out] == ["x", "x_2"]


def test_other_extensions_are_what_they_store() -> None:
    flags = pa.array([1, 0, None], pa.int8())
    chunk, words = decoded(pa.ExtensionArray.from_storage(pa.bool8(), flags))
    assert plain(chunk["x"], "x", words) == [True, False, None]
    chunk, words = decoded(pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a":1}', None])))
    assert plain(chunk["x"], "x", words) == ['{"a":1}', None]


def test_text_that_is_no_utf8() -> None:
    halves = pa.array([b"\xc3", b"\xa9", "é".encode(), b"ok"])
    strings = pa.Array.from_buffers(pa.string(), 4, halves.buffers())
    chunk, words = decoded(strings)
    assert plain(chunk["x"], "x", words) == ["\\xc3", "\\xa9", "é", "ok"]
    assert chunk["x"].note
    nested = pa.ListArray.from_arrays(pa.array([0, 4], pa.int32()), strings)
    chunk, words = decoded(nested)
    assert json.loads(plain(chunk["x"], "x", words)[0]) == ["\\xc3", "\\xa9", "é", "ok"]


def test_halves_in_dictionaries() -> None:
    halves = [np.float16(2.5), np.float16(0.5)]
    parts = [pa.DictionaryArray.from_arrays(pa.array([0]), pa.array([h], pa.float16())) for h in halves]
    chunk, words = decoded(pa.chunked_array(parts), 10)
    assert plain(chunk["x"], "x", words) == [2.5, 0.5]


@pytest.mark.parametrize("scale", [-2_000_000_000, 2_000_000_000])
def test_a_scale_that_no_decimal_has(scale: int) -> None:
    found = pa.Array.from_buffers(pa.decimal128(20, scale), 2, [None, pa.py_buffer(b"\x01" * 32)])
    for odd in (found, pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), found)):
        with pytest.raises(IngestError, match="a decimal has a scale of"):
            decoded(odd, 10)


def test_only_the_rows_of_a_slice_are_looked_at() -> None:
    nested = pa.array([[i] * 3 for i in range(100_000)])
    chunk, words = decoded(nested[99_998:])
    assert plain(chunk["x"], "x", words) == ["[99998,99998,99998]", "[99999,99999,99999]"]
    assert len(words["x"]) == 2
    assert np.array_equal(chunk["x"].values, [0, 1])
