"""Values of several keys at one time: in the order of the keys' hashes, as POINTFILE.md defines them."""

from __future__ import annotations

from tempfile import TemporaryDirectory

from hypothesis import example, given
from hypothesis import strategies as st

import dataflow as df
from runtime import Store
from runtime.testing.oracle.oracle_texts import key_hash

KEYS = st.lists(st.text("abcö0", min_size=1, max_size=4), min_size=2, max_size=8, unique=True)


@example([f"k{i}" for i in range(8)])
@given(KEYS)
def test_keys_of_one_time_are_in_the_order_of_their_hashes(keys: list[str]) -> None:
    points = {"k": keys, "t": [5] * len(keys), "v": keys, "n": [1] * len(keys)}
    metric = df.stream("s").agg(
        first=df.first("v"),
        last=df.last("v"),
        mode=df.mode("v"),
        greatest=df.max_by("v", "n"),
        least=df.min_by("v", "n"),
        all=df.collect("v", first=10),
    )
    with TemporaryDirectory() as folder, Store(folder, create=True) as store:
        store.ingest("s", points, key="k", time="t", unit="s", progress=False)
        (row,) = store.query(metric, progress=False).to_dict()["rows"]
    order = sorted(keys, key=key_hash)
    first, last = order[0], order[-1]
    assert row == [first, last, first, first, first, order]
