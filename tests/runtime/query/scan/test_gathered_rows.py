"""Gathered rows against a plain sort of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runtime.catalogue.items.entries import SEQ
from runtime.pointfile import Buffers
from runtime.query.scan.gathered_rows import Gathered
from runtime.query.stages.row_batch import RowBatch

KEYS = 4
DTYPES = {"x": np.dtype(np.float64), "code": np.dtype(np.int32), "flag": np.dtype(np.uint8), "n": np.dtype(np.int64)}


class Row(NamedTuple):
    """A row as the plain twin has it; ``added``: its number."""

    slot: int
    time: int
    seq: int
    added: int
    values: tuple[tuple[bytes, bytes], ...]


@st.composite
def runs(draw: st.DrawFn, by_seq: bool) -> list[tuple[int, list[tuple[int, int]]]]:
    """Some runs of a batch: a slot, and its times and commits in order."""
    found = []
    for _ in range(draw(st.integers(0, 5))):
        seqs = st.integers(0, 2) if by_seq else st.just(0)
        rows = draw(
            st.lists(st.tuples(st.integers(0, 12), seqs), min_size=1, max_size=draw(st.sampled_from([1, 3, 20])))
        )
        found.append((draw(st.integers(0, KEYS - 1)), sorted(rows)))
    return found


def values(draw: st.DrawFn, name: str, rows: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A column of a batch: its values, and which of them are there; each may be a single one."""
    kinds = {"x": [0.0, -0.0, 1.5], "code": [0, 7], "flag": [0, 1], "n": [0, 1 << 60]}[name]

    def column(choices: list[Any], dtype: Any) -> np.ndarray[Any, Any]:
        size = 1 if draw(st.booleans()) else rows
        return np.array([draw(st.sampled_from(choices)) for _ in range(size)], dtype)

    return column(kinds, DTYPES[name]), column([0, 1], np.uint8)


@given(st.data())
def test_rows_are_in_the_order_of_a_plain_sort(data: st.DataObject) -> None:
    by_seq = data.draw(st.booleans())
    batches = data.draw(st.lists(runs(by_seq), max_size=5))
    most = sum(len(rows) for batch in batches for _, rows in batch)
    buffers = Buffers()
    buffers.array("gathered $time", "<i8", 3)  # of an earlier use, and too small
    gathered = Gathered(DTYPES, by_seq, most + data.draw(st.integers(0, 3)), buffers)
    expected: list[Row] = []
    for batch in batches:
        rows = [(slot, time, seq) for slot, some in batch for time, seq in some]
        if not rows:
            continue
        order = data.draw(st.sampled_from([None, 1])) if by_seq else None
        columns = {name: values(data.draw, name, len(rows)) for name in DTYPES}
        marked = np.array(data.draw(st.lists(st.booleans(), min_size=KEYS, max_size=KEYS)))
        cut = data.draw(st.none() | st.tuples(st.integers(0, 6), st.integers(6, 13)))
        gathered.add(
            RowBatch(
                np.array([slot for slot, _ in batch], np.int32),
                np.array([len(some) for _, some in batch], np.int64),
                np.array([time for _, time, _ in rows], np.int64),
                columns | {SEQ: (np.array([seq for *_, seq in rows], np.int64), np.ones(1, np.uint8))},
            ),
            marked, cut, order,
        )  # fmt: skip
        for n, (slot, time, seq) in enumerate(rows):
            if marked[slot] and (cut is None or cut[0] <= time < cut[1]):
                entries = tuple((entry(v, n), entry(k, n)) for v, k in columns.values())
                expected.append(Row(slot, time, seq if order is None else order, len(expected), entries))
    expected.sort(key=lambda row: (row.slot, row.time, row.seq if by_seq else 0, row.added))
    found = gathered.merged()
    assert (found is None) == (not expected)
    if found is None:
        return
    assert np.all(np.diff(found.run_slot) > 0)
    slots = np.repeat(found.run_slot, found.run_len)
    assert found.rows == len(found.time) == len(slots) == len(expected)
    for n, row in enumerate(expected):
        entries = tuple((entry(v, n), entry(k, n)) for v, k in found.columns.values())
        assert (slots[n], found.time[n], entries) == (row.slot, row.time, row.values)


def entry(array: np.ndarray[Any, Any], n: int) -> bytes:
    """The bits of a row's entry."""
    return bytes(array[n if len(array) > 1 else 0].tobytes())
