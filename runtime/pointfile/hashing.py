"""The hash that orders keys in a file and assigns them to shards."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import loop
from operators.types import Type
from runtime.columns import Column, Dictionary

_MASK = (1 << 64) - 1
_PRIME = 0x100000001B3
SEED = b"antfold1"


def _fnv(state: int, data: bytes) -> int:
    for byte in data:
        state = ((state ^ byte) * _PRIME) & _MASK
    return state


START = _fnv(0xCBF29CE484222325, SEED)
"""FNV-1a's state after the seed."""


def hash_bytes(data: bytes) -> int:
    """The hash of one key's bytes (a string's UTF-8, or an integer's eight little-endian bytes), in plain Python."""
    h = _fnv(START, data)
    h = ((h ^ (h >> 33)) * 0xFF51AFD7ED558CCD) & _MASK
    h = ((h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53) & _MASK
    return h ^ (h >> 33)


@loop("void(i8[::1], u1[::1], u8[::1])")
def _states(offsets: Any, blob: Any, out: Any) -> None:
    """FNV-1a over each of the strings ``blob[offsets[i]:offsets[i + 1]]``, ``out`` holding the start states."""
    for i in range(len(out)):
        h = out[i]
        for j in range(offsets[i], offsets[i + 1]):
            h = (h ^ np.uint64(blob[j])) * np.uint64(0x100000001B3)
        out[i] = h


def _mix(h: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """murmur3's fmix64, in place."""
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xFF51AFD7ED558CCD)
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xC4CEB9FE1A85EC53)
    h ^= h >> np.uint64(33)
    return h


def hash_words(words: Dictionary) -> NDArray[np.uint64]:
    """The hash of each string, in code order."""
    h = np.full(len(words), START, np.uint64)
    if len(words):
        # Loops require writable arrays; these are not.
        offsets, blob = np.array(words.offsets, np.int64), np.frombuffer(bytearray(words.blob), np.uint8)
        _states(offsets, blob, h)
    return _mix(h)


def hash_integers(values: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The hash of each integer."""
    h = np.full(len(values), START, np.uint64)
    rest = values.astype(np.int64).view(np.uint64)
    for shift in range(0, 64, 8):
        h ^= (rest >> np.uint64(shift)) & np.uint64(0xFF)
        h *= np.uint64(_PRIME)
    return _mix(h)


def hash_distinct(keys: Column) -> NDArray[np.uint64]:
    """The hash of each key of a column from ``PointFile.key_column``: every key once, codes ascending."""
    if keys.words is not None:
        return hash_words(keys.words)
    return hash_integers(keys.values.astype(np.int64, copy=False))


def hash_keys(key: Column) -> NDArray[np.uint64]:
    """The 64-bit hash of every row's key (STRING or INT, no nulls), uint64 of shape (rows,).

    Each string of the dictionary is hashed once. TypeError for a column of another type.
    """
    if key.type is Type.INT:
        return hash_integers(key.values.astype(np.int64, copy=False))
    if key.type is not Type.STRING or key.words is None:
        raise TypeError(f"a key is a string or an integer, not {key.type.value}")
    return hash_words(key.words)[key.values.astype(np.intp, copy=False)]
