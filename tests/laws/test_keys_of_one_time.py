"""Values of several keys at one time: in the order of the keys' hashes, as POINTFILE.md defines them."""

from __future__ import annotations

from tempfile import TemporaryDirectory

from hypothesis import example, given
from hypothesis import strategies as st

import dataflow as df
from runtime import Store

MASK = (1 << 64) - 1
KEYS = st.lists(st.text("abcö0", min_size=1, max_size=4), min_size=2, max_size=8, unique=True)


def signed_hash(key: str) -> int:
    """FNV-1a over ``antfold1`` and the key's UTF-8, then fmix64; as a signed integer."""
    found = 0xCBF29CE484222325
    for byte in b"antfold1" + key.encode():
        found = (found ^ byte) * 0x100000001B3 & MASK
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        found = (found ^ found >> 33) * factor & MASK
    found ^= found >> 33
    return found - (1 << 64 if found >> 63 else 0)


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
    order = sorted(keys, key=signed_hash)
    first, last = order[0], order[-1]
    assert row == [first, last, first, first, first, order]
