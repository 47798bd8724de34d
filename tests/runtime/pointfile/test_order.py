"""The order of rows, its hash, and slices by hash range."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.types import Type
from runtime.columns import Column, Dictionary, Points
from runtime.pointfile import encode, hash_keys, order, sort_points
from runtime.pointfile.hashing import hash_bytes
from tests.runtime.pointfile.cases import (
    DAY,
    INT64,
    KEY,
    START,
    TIME,
    any_points,
    column,
    open_bytes,
    packed,
    plain_order,
    rows_of,
    text_column,
)

GOLDEN_HASH = 0xEEBC527C929701F0


@given(st.lists(st.text(), min_size=1, max_size=30))
def test_hashes_of_strings_are_those_of_the_plain_definition(keys: list[str]) -> None:
    assert hash_keys(text_column(list(keys))).tolist() == [hash_bytes(k.encode()) for k in keys]


@given(st.lists(INT64, min_size=1, max_size=30))
def test_hashes_of_integers_are_those_of_their_eight_bytes(keys: list[int]) -> None:
    expected = [hash_bytes(k.to_bytes(8, "little", signed=True)) for k in keys]
    assert hash_keys(column(Type.INT, list(keys))).tolist() == expected


def test_hashes_never_change() -> None:
    assert hash_keys(text_column(["", "device-1", "gerät"])).tolist() == [
        hash_bytes(b""),
        hash_bytes(b"device-1"),
        hash_bytes("gerät".encode()),
    ]
    assert hash_bytes(b"device-1") == GOLDEN_HASH


def test_only_strings_and_integers_are_keys() -> None:
    with pytest.raises(TypeError, match="a key is a string or an integer"):
        hash_keys(column(Type.FLOAT, [1.0]))


@given(any_points())
def test_sorted_as_the_plain_sort_does_it(points: Points) -> None:
    ordered = sort_points(points)
    assert rows_of(ordered) == plain_order(points)
    if ordered.key.words is not None:
        distinct = list(dict.fromkeys(ordered.key.to_list()))
        assert ordered.key.words.strings == distinct
        assert not (np.diff(ordered.key.values) < 0).any()
    again = sort_points(ordered)
    assert rows_of(again) == rows_of(ordered)


def test_ties_keep_the_order_of_the_input() -> None:
    rng = np.random.default_rng(3)
    n = 50_000
    key = Column(
        Type.STRING, rng.integers(0, 100, n).astype(np.int32), None, Dictionary.of([f"d{i}" for i in range(100)])
    )
    points = Points(key, START + rng.integers(0, 50, n), {"n": Column(Type.INT, np.arange(n))})
    ordered = sort_points(points)
    rank = ordered.key.values.astype(np.int64)
    number = ordered.columns["n"].values
    assert (np.lexsort((number, ordered.time, rank)) == np.arange(n)).all()


def test_keys_of_one_hash_stand_in_the_order_of_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "hash_words", lambda words: np.zeros(len(words), np.uint64))
    points = Points(text_column(["b", "a", "c", "a"]), np.array([START] * 4), {"n": column(Type.INT, [0, 1, 2, 3])})
    assert [row[0] for row in rows_of(sort_points(points))] == ["a", "a", "b", "c"]


def test_unsorted_points_are_refused() -> None:
    points = sort_points(Points(text_column(["a", "b", "a"]), START + np.arange(3), {}))
    for index in ([1, 0, 2], [0, 2, 1], [2, 1, 0]):
        moved = points.take(np.array(index))
        if rows_of(moved) != rows_of(points):
            with pytest.raises(ValueError, match="not sorted"):
                encode(moved, key=KEY, time=TIME, day=DAY)


@given(any_points(), st.integers(1, 700), st.sampled_from([4, 1000]))
def test_shards_partition_keys_and_rows(points: Points, shards: int, block_rows: int) -> None:
    file = open_bytes(packed(points, block_rows))
    ordered = sort_points(points)
    hashes = hash_keys(ordered.key)
    edges = [2**64 * i // shards for i in range(shards)] + [2**64]
    key_at = row_at = 0
    for lo, hi in pairwise(edges):
        key_lo, key_hi, row_lo, row_hi = file.key_span(lo, hi)
        assert (key_lo, row_lo) == (key_at, row_at)
        assert all(lo <= int(h) < hi for h in hashes[row_lo:row_hi])
        keys = file.key_column(key_lo, key_hi).to_list()
        assert keys == list(dict.fromkeys(ordered.key.to_list()[row_lo:row_hi]))
        key_at, row_at = key_hi, row_hi
    assert (key_at, row_at) == (file.keys, file.rows)


@given(any_points(), st.integers(0, 2**64), st.integers(0, 2**64))
def test_any_range_of_hashes(points: Points, a: int, b: int) -> None:
    lo, hi = min(a, b), max(a, b)
    file = open_bytes(packed(points))
    hashes = hash_keys(sort_points(points).key).tolist()
    inside = [i for i, h in enumerate(hashes) if lo <= h < hi]
    _, _, row_lo, row_hi = file.key_span(lo, hi)
    assert list(range(row_lo, row_hi)) == inside


@pytest.mark.parametrize(("lo", "hi"), [(-1, 4), (5, 4), (0, 2**64 + 1)])
def test_ranges_that_are_none(lo: int, hi: int) -> None:
    file = open_bytes(packed(Points(text_column(["a"]), np.array([START]), {})))
    with pytest.raises(ValueError, match="range of hashes"):
        file.key_span(lo, hi)


@given(any_points())
def test_a_range_of_one_hash_is_one_key(points: Points) -> None:
    file = open_bytes(packed(points))
    for number, at in enumerate(hash_keys(file.key_column(0, file.keys)).tolist()):
        assert file.key_span(at, at + 1)[:2] == (number, number + 1)
        assert file.key_span(0, at)[1] == file.key_span(at, 2**64)[0] == number
