"""Sorts points into the row order of a file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import loop
from operators.types import Type
from runtime.columns import Column, Dictionary, Points
from runtime.pointfile.hashing import hash_integers, hash_words


def sort_points(points: Points) -> Points:
    """The points by (hash of the key, key, time, input order).

    A string key's dictionary is returned without unused words and in file order, so that its codes never decrease. Keys
    with equal hashes are ordered by their bytes (strings) or their value (integers).
    """
    if points.key.type is Type.STRING:
        rank, keys = _rank_strings(points.key)
    else:
        rank, keys = _rank_integers(points.key)
    index = _order(rank, np.ascontiguousarray(points.time, np.int64), len(keys))
    if index is not None:
        points = points.take(index)
        rank = rank[index]
    if keys.type is Type.STRING:
        key = Column(Type.STRING, rank.astype(np.int32), None, keys.words)
    else:
        key = Column(Type.INT, keys.values[rank], None)
    return Points(key, points.time, points.columns)


def take_words(words: Dictionary, codes: NDArray[np.int64]) -> Dictionary:
    """A dictionary of the given codes' strings, in that order."""
    starts = words.offsets[codes]
    lengths = words.offsets[codes + 1] - starts
    offsets = np.zeros(len(codes) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    # For every byte of the new blob, its position in the old one.
    source = np.arange(offsets[-1], dtype=np.int64) + np.repeat(starts - offsets[:-1], lengths)
    return Dictionary(offsets, np.frombuffer(words.blob, np.uint8)[source].tobytes() if len(source) else b"")


def _rank_strings(key: Column) -> tuple[NDArray[np.int64], Column]:
    """Each row's key rank in file order, and the distinct keys in that order."""
    words = key.words
    if words is None:
        raise TypeError("a string key needs its dictionary")
    used = np.zeros(len(words), np.bool_)
    used[key.values] = True
    codes = np.flatnonzero(used)
    words = take_words(words, codes)
    hashes = hash_words(words)
    order = np.argsort(hashes, kind="stable")
    _break_ties(order, hashes, words)
    place = np.empty(len(used), np.int64)
    place[codes[order]] = np.arange(len(codes))
    return place[key.values], Column(Type.STRING, np.arange(len(codes), dtype=np.int32), None, take_words(words, order))


def _break_ties(order: NDArray[np.intp], hashes: NDArray[np.uint64], words: Dictionary) -> None:
    """Order keys with equal hashes by their bytes, in place."""
    ranked = hashes[order]
    for at in np.flatnonzero(ranked[1:] == ranked[:-1]).tolist():
        end = int(np.searchsorted(ranked, ranked[at], "right"))
        lo = int(np.searchsorted(ranked, ranked[at], "left"))
        order[lo:end] = sorted(order[lo:end].tolist(), key=lambda code: word_bytes(words, code))


def word_bytes(words: Dictionary, code: int) -> bytes:
    """One string's UTF-8 bytes."""
    return words.blob[int(words.offsets[code]) : int(words.offsets[code + 1])]


def _rank_integers(key: Column) -> tuple[NDArray[np.int64], Column]:
    distinct, codes = np.unique(key.values.astype(np.int64, copy=False), return_inverse=True)
    order = np.argsort(hash_integers(distinct), kind="stable")  # ties keep the order of their values
    place = np.empty(len(distinct), np.int64)
    place[order] = np.arange(len(distinct))
    return place[codes], Column(Type.INT, distinct[order], None)


@loop("void(i8[::1], i8[::1], i8[::1])")
def _deal(rank: Any, starts: Any, index: Any) -> None:
    """Write each row's number to the next free place of its rank; modifies ``starts``."""
    for i in range(len(rank)):
        r = rank[i]
        index[starts[r]] = i
        starts[r] += 1


def _by_rank_and_time(rank: NDArray[np.int64], time: NDArray[np.int64]) -> NDArray[np.intp]:
    """The stable order by (rank, time)."""
    low = int(time.min())
    bits = (int(time.max()) - low).bit_length()
    if int(rank.max()).bit_length() + bits > 63:
        return np.lexsort((time, rank))
    # One word each: rows that are nearly in order are sorted ten times as fast as by two columns.
    return np.argsort(rank << bits | (time - low), kind="stable")


def _order(rank: NDArray[np.int64], time: NDArray[np.int64], keys: int) -> NDArray[np.intp] | None:
    """The stable order by (rank, time); None if the rows are in this order already."""
    step = np.diff(rank)
    if not (step < 0).any() and not ((step == 0) & (time[1:] < time[:-1])).any():
        return None
    index = np.empty(len(rank), np.int64)
    ends = np.cumsum(np.bincount(rank, minlength=keys)).astype(np.int64)
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
    # A counting sort by key; in most inputs each key's points are then ordered by time.
    _deal(rank, starts, index)
    moved, placed = time[index], rank[index]
    falls = np.flatnonzero((moved[1:] < moved[:-1]) & (placed[1:] == placed[:-1]))
    if len(falls):
        late = np.zeros(keys, np.bool_)
        late[placed[falls]] = True
        rows = np.flatnonzero(late[placed])
        index[rows] = index[rows[_by_rank_and_time(placed[rows], moved[rows])]]
    return index
