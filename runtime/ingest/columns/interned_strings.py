"""Interns the strings of a column: text to dictionary codes without an object per value."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import I64, inline, loop
from operators.distinct_values import distinct
from runtime.columns import Dictionary
from runtime.ingest.text.tokens import Bytes, for_loops

Ints = NDArray[np.int64]


@inline
def _hash(data: Any, start: I64, n: I64, seed: I64) -> Any:
    h = np.uint64(seed)
    for k in range(start, start + n):
        h = (h ^ np.uint64(data[k])) * np.uint64(0x9FB21C651E98DF25)
        h ^= h >> np.uint64(29)
    return h ^ (h >> np.uint64(32))


@loop("b1(u1[::1], i8[::1], i4[::1], i8[::1], i8, i4[::1], u8[::1], i8[::1], u1[::1])")
def _intern(
    data: Any,
    spans: Any,
    codes: Any,
    state: Any,
    seed: I64,
    table: Any,
    hashes: Any,
    offsets: Any,
    blob: Any,
) -> bool:
    """Codes of the spans from ``state[1]`` on; returns False if the tables must grow first. ``state[0]`` counts
    strings."""
    count = state[0]
    mask = np.uint64(len(table) - 1)
    for k in range(state[1], len(spans)):
        start = spans[k] >> 32
        n = spans[k] & 0xFFFFFFFF
        h = _hash(data, start, n, seed)
        slot = h & mask
        code = -1
        while table[slot] >= 0:
            c = table[slot]
            if hashes[c] == h and offsets[c + 1] - offsets[c] == n:
                j = 0
                at = offsets[c]
                while j < n and blob[at + j] == data[start + j]:
                    j += 1
                if j == n:
                    code = c
                    break
            slot = (slot + np.uint64(1)) & mask
        if code < 0:
            if count >= len(hashes) or offsets[count] + n > len(blob):
                state[0] = count
                state[1] = k
                return False
            at = offsets[count]
            for j in range(n):
                blob[at + j] = data[start + j]
            offsets[count + 1] = at + n
            hashes[count] = h
            table[slot] = count
            code = count
            count += 1
        codes[k] = code
    state[0] = count
    state[1] = len(spans)
    return True


@loop("void(i4[::1], u8[::1], i8)")
def _rehash(table: Any, hashes: Any, count: I64) -> None:
    mask = np.uint64(len(table) - 1)
    for code in range(count):
        slot = hashes[code] & mask
        while table[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = code


@loop("void(u1[::1], i8[::1], i8[::1], i8[::1], u1[::1])")
def _gather(blob: Any, offsets: Any, codes: Any, out_offsets: Any, out: Any) -> None:
    for k in range(len(codes)):
        at = offsets[codes[k]]
        to = out_offsets[k]
        for j in range(out_offsets[k + 1] - to):
            out[to + j] = blob[at + j]


class InternedStrings:
    """A growing set of distinct byte strings; a string's code is the order of its first appearance.

    The hash has a random seed, so that collisions cannot be prepared.
    """

    def __init__(self) -> None:
        self._seed = int.from_bytes(os.urandom(8), "little", signed=True)
        self._state = np.zeros(2, np.int64)
        self._table = np.full(1024, -1, np.int32)
        self._hashes = np.zeros(512, np.uint64)
        self._offsets = np.zeros(513, np.int64)
        self._blob = np.zeros(1 << 13, np.uint8)

    def __len__(self) -> int:
        return int(self._state[0])

    @property
    def nbytes(self) -> int:
        """Bytes of the strings and their tables."""
        return int(self._offsets[len(self)]) + 24 * len(self)

    def codes(self, data: Bytes, spans: Ints) -> NDArray[np.int32]:
        """A code for each span (start << 32 | length) of ``data``."""
        data, spans = for_loops(data), np.ascontiguousarray(spans, np.int64)
        out = np.empty(len(spans), np.int32)
        self._state[1] = 0
        while not _intern(
            data, spans, out, self._state, self._seed, self._table, self._hashes, self._offsets, self._blob
        ):
            self._grow(int(spans[self._state[1]] & 0xFFFFFFFF))
        return out

    def codes_of(self, strings: Sequence[str]) -> NDArray[np.int32]:
        """A code for each string."""
        encoded = [s.encode() for s in strings]
        ends = np.cumsum([len(e) for e in encoded], dtype=np.int64)
        lengths = np.diff(ends, prepend=0)
        return self.codes(np.frombuffer(b"".join(encoded) or b"\0", np.uint8), (ends - lengths) << 32 | lengths)

    def copied(self, codes: NDArray[np.int32], to: InternedStrings) -> NDArray[np.int32]:
        """The codes of the same strings in another set, which gets those that occur."""
        distinct, places = np.unique(codes, return_inverse=True)
        starts = self._offsets[distinct]
        return to.codes(self._blob, starts << 32 | (self._offsets[distinct + 1] - starts))[places]

    def all_texts(self) -> list[str]:
        """The strings, in the order of their codes."""
        edges = self._offsets[: len(self) + 1].tolist()
        blob = self._blob.tobytes()
        return [blob[a:b].decode("utf-8", "replace") for a, b in pairwise(edges)]

    def text(self, code: int, most: int | None = None) -> str:
        """The string of a code, or its first ``most`` bytes."""
        begin, end = int(self._offsets[code]), int(self._offsets[code + 1])
        raw = self._blob[begin : end if most is None else min(end, begin + most)].tobytes()
        return raw.decode("utf-8", "replace")

    def empty(self) -> int | None:
        """The code of the empty string; None if it does not occur."""
        found = np.flatnonzero(np.diff(self._offsets[: len(self) + 1]) == 0)
        return int(found[0]) if len(found) else None

    def text_from(self, code: int) -> bytes:
        """The strings from a code on: their lengths (eight bytes each, little-endian), then their bytes."""
        edges = self._offsets[code : len(self) + 1]
        return np.diff(edges).tobytes() + self._blob[int(edges[0]) : int(edges[-1])].tobytes()

    def spans(self) -> tuple[Bytes, Ints]:
        """Every string's span (start << 32 | length), in the order of their codes, and the bytes that these are of."""
        edges = self._offsets[: len(self) + 1]
        return self._blob, edges[:-1] << 32 | np.diff(edges)

    def _grow(self, n: int) -> None:
        count = len(self)
        if count >= len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.zeros_like(self._hashes)])
            self._offsets = np.concatenate([self._offsets, np.zeros(len(self._offsets) - 1, np.int64)])
            self._table = np.full(2 * len(self._table), -1, np.int32)
            _rehash(self._table, self._hashes, count)
        used = int(self._offsets[count])
        if used + n > len(self._blob):
            blob = np.zeros(max(2 * len(self._blob), used + n), np.uint8)
            blob[:used] = self._blob[:used]
            self._blob = blob

    def compact(self, codes: NDArray[np.int32]) -> tuple[NDArray[np.int32], Dictionary]:
        """The codes renumbered over the strings that occur, and these strings."""
        if len(codes) * 8 < len(self):
            used = distinct(codes).astype(np.int64)
            renumbered = np.searchsorted(used, codes).astype(np.int32)
        else:
            seen = np.zeros(max(len(self), 1), np.bool_)
            seen[codes] = True
            used = np.flatnonzero(seen).astype(np.int64)
            places = np.zeros(len(seen), np.int32)
            places[used] = np.arange(len(used), dtype=np.int32)
            renumbered = places[codes]
        offsets = np.zeros(len(used) + 1, np.int64)
        np.cumsum(self._offsets[used + 1] - self._offsets[used], out=offsets[1:])
        blob = np.empty(int(offsets[-1]), np.uint8)
        _gather(self._blob, self._offsets, used, offsets, blob)
        return renumbered, Dictionary(offsets, blob.tobytes())
