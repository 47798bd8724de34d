"""Each key has one slot, whatever the hashes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.kernels.hash_tables import place_of
from operators.states.strings import Words
from operators.types import Type
from runtime.columns import Column, Dictionary
from runtime.pointfile import hash_keys
from runtime.query.stages.keys import Keys

TEXTS = st.lists(st.lists(st.text("abä\0", max_size=3), unique=True, max_size=12), min_size=1, max_size=5)


def text_keys(texts: list[str]) -> Column:
    return Column(Type.STRING, np.arange(len(texts), dtype=np.int32), None, Dictionary.of(texts))


SHARDS = st.sampled_from([(0, 2**64), (0, 2**63), (2**63, 2**64), (2**62, 2**62 + 2**40), (7, 8), (2**64 - 1, 2**64)])
"""Ranges of hashes; keys may lie outside, which only makes them slower to find."""


@given(TEXTS, st.sampled_from([1, 2, 2**64]), SHARDS)
def test_slots_are_those_of_a_plain_dictionary(batches: list[list[str]], hashes: int, shard: tuple[int, int]) -> None:
    words, plain = Words(), {}
    keys = Keys(Type.STRING, words, shard)
    for batch in batches:
        # With few hashes nearly all keys collide, within a batch and between batches.
        given_hashes = hash_keys(text_keys(batch)) % np.uint64(hashes) if hashes < 2**64 else None
        found = keys.slots(text_keys(batch), given_hashes)
        assert found.tolist() == [plain.setdefault(t, len(plain)) for t in batch]
        assert len(keys) == len(plain)
    assert [words.strings[c] for c in keys.values.tolist()] == list(plain)
    if hashes == 2**64:
        assert keys.hashes.view(np.uint64).tolist() == hash_keys(text_keys(list(plain))).tolist()


@given(st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, max_size=12), max_size=5), SHARDS)
def test_integer_keys(batches: list[list[int]], shard: tuple[int, int]) -> None:
    keys, plain = Keys(Type.INT, Words(), shard), {}
    for batch in batches:
        column = Column(Type.INT, np.array(batch, np.int64))
        assert keys.slots(column).tolist() == [plain.setdefault(k, len(plain)) for k in batch]
    assert keys.values.tolist() == list(plain)
    assert keys.hashes.view(np.uint64).tolist() == hash_keys(Column(Type.INT, keys.values)).tolist()


def test_many_keys_grow_the_table() -> None:
    keys, names = Keys(Type.STRING, Words()), [f"device-{i}" for i in range(5000)]
    assert keys.slots(text_keys(names[:3000])).tolist() == list(range(3000))
    assert keys.slots(text_keys(names[::-1])).tolist()[-1] == 0
    assert sorted(keys.slots(text_keys(names)).tolist()) == list(range(5000))


def test_places_follow_the_hashes_within_the_table() -> None:
    """Of the hashes of a shard in their order, whatever the shard; others are at the ends."""
    for low, high in ((0, 2**64), (2**63, 2**64), (2**61, 2**61 + 2**60), (7, 8)):
        keys = Keys(Type.STRING, Words(), (low, high))
        hashes = [0, low, *(low + (high - low) * i // 100 for i in range(1, 100)), high - 1, 2**64 - 1]
        where = (np.int64(keys._low), keys._shift, keys._factor, len(keys._slots) - 1)
        with np.errstate(over="ignore"):  # hashes before the shard wrap around, as they do in the loop
            found = [int(place_of(np.uint64(h), *where)) for h in hashes]
        assert all(0 <= place < len(keys._slots) for place in found)
        places = found[1:-1]
        assert places == sorted(places)
        if high - low > 2**40:
            assert places[-1] > 0.95 * len(keys._slots)


def test_text_is_made_only_where_it_is_asked_for() -> None:
    words = Words()
    keys = Keys(Type.STRING, words)
    keys.slots(text_keys(["a", "b"]))
    keys.slots(text_keys(["b", "c"]))
    assert len(words) == 0
    assert keys.values.tolist() == [0, 1, 2]
    assert words.strings == ["a", "b", "c"]
