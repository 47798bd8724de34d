"""The rows of a chunk without those of some keys: in pieces or, if these are many, in one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.query.scan import scanning
from runtime.query.stages.row_batch import NOT_BRIDGED, RowBatch


def rows_of(chunks: list[RowBatch]) -> list[tuple[int, ...]]:
    """Key, time, value, validity and bridge of each row; the keys of runs are those of the chunks in order."""
    out: list[tuple[int, ...]] = []
    for chunk in chunks:
        assert chunk.rows == int(chunk.run_len.sum()) > 0
        columns = [chunk.time, *chunk.columns["v"], chunk.bridged]
        full = [a if len(a) == chunk.rows else np.full(chunk.rows, a[0]) for a in columns]
        out += zip(np.repeat(chunk.run_slot, chunk.run_len).tolist(), *(a.tolist() for a in full), strict=True)
    return out


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4)), min_size=1, max_size=40), st.sets(st.sampled_from("tvkb")))
def test_pieces_and_their_copy_are_the_same_rows(runs: list[tuple[bool, int]], constant: set[str]) -> None:
    lengths = np.array([n for _, n in runs], np.int64)
    rows = int(lengths.sum())
    time, values = np.arange(rows, dtype=np.int64), np.arange(rows) * 10.0
    chunk = RowBatch(
        np.arange(len(runs), dtype=np.int32)[::-1].copy(),
        lengths,
        time[:1] if "t" in constant else time,
        {"v": (values[:1] if "v" in constant else values, np.ones(1 if "k" in constant else rows, np.uint8))},
        rows,
        NOT_BRIDGED if "b" in constant else (time % 2).astype(np.uint8),
    )
    marked = np.array([gone for gone, _ in runs], np.bool_)[::-1]
    found = {}
    for most in (0, 1_000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scanning, "_PIECES", most)
            found[most] = rows_of(list(scanning.without_keys(chunk, marked)))
    assert found[0] == found[1_000]
    assert {row[0] for row in found[0]} == set(np.flatnonzero(~marked).tolist())
