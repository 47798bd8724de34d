"""The keys of one task: each has a slot, the index of its state in every kernel."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.kernels.hash_tables import enter_by_hash, find_by_hash
from operators.kernels.texts import same_texts
from operators.states.strings import Words
from operators.types import Type
from runtime.columns import Column, Dictionary
from runtime.pointfile import hash_keys


class Keys:
    """Keys numbered in the order of their first appearance.

    ``values`` holds each slot's key as int64 (string keys: their code in ``words``), ``hashes`` its 64-bit hash. String
    keys are found by their hash and compared byte by byte; they are decoded only when ``values`` is used. ``shard`` is
    the range of their hashes.
    """

    def __init__(self, kind: Type, words: Words, shard: tuple[int, int] = (0, 1 << 64)) -> None:
        self.kind = kind
        self.words = words
        self.shard = shard
        low, width = shard[0], max(1, shard[1] - shard[0])
        self._low = low - (1 << 64) if low >> 63 else low  # the same bits, as a signed number
        self._shift = max(0, width.bit_length() - 32)
        self._width = max(width >> self._shift, 1 << 31)  # no product of a place overflows
        self._table = np.zeros(1024, np.int64)
        self._slots = np.zeros(2048, np.int32)
        self._used = np.zeros(1, np.int64)
        self._texts: list[Dictionary] = []
        self._offsets = np.zeros(1, np.int64)
        self._blob = bytearray()
        self._codes = np.zeros(0, np.int64)
        self._known: dict[bytes, int] | None = None

    @classmethod
    def none(cls, words: Words) -> Keys:
        """One slot, for rows that belong to no key."""
        keys = cls(Type.INT, words)
        keys.slots(Column(Type.INT, np.zeros(1, np.int64)))
        return keys

    def __len__(self) -> int:
        return int(self._used[0])

    @property
    def values(self) -> NDArray[np.int64]:
        """Each slot's key: an integer, or the code of a string."""
        n = len(self)
        if self.kind is not Type.STRING:
            return self._table[:n].copy()
        if len(self._codes) < n:
            fresh = [text for d in self._texts for text in d.strings]
            self._codes = np.concatenate([self._codes, self.words.codes(fresh).astype(np.int64)])
            self._texts.clear()
        return self._codes

    @property
    def hashes(self) -> NDArray[np.int64]:
        """Each slot's hash, by which ties in time are ordered."""
        words = self._table[: len(self)].copy()
        return words if self.kind is Type.STRING else hash_keys(Column(Type.INT, words)).view(np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of all that is held of the keys."""
        return self._table.nbytes + self._slots.nbytes + self._offsets.nbytes + self._codes.nbytes + len(self._blob)

    @property
    def share_hashes(self) -> bool:
        """Whether two of the keys may have the same hash."""
        return self._known is not None

    def only(self, slots: NDArray[np.int32]) -> Keys:
        """The keys in these slots alone, numbered in this order."""
        out = Keys(self.kind, self.words, self.shard)
        if self.kind is Type.STRING:
            texts = Dictionary.of([self._text(slot).decode() for slot in slots.tolist()])
            out.slots(Column(Type.STRING, np.arange(len(slots), dtype=np.int32), None, texts))
        else:
            out.slots(Column(Type.INT, self._table[slots]))
        return out

    def slots(self, keys: Column, hashes: NDArray[np.uint64] | None = None) -> NDArray[np.int32]:
        """The slots (int32) of distinct ``keys``, numbering new ones; ``hashes`` if already known."""
        if self.kind is not Type.STRING:
            values = keys.values.astype(np.int64)
            return self._find(values, hash_keys(keys) if hashes is None else hashes).astype(np.int32)
        assert keys.words is not None
        texts = keys.words
        if len(texts) != len(keys) or (len(keys) and (np.diff(keys.values) != 1).any()):
            strings = keys.words.strings
            texts = Dictionary.of([strings[c] for c in keys.values.tolist()])
        found = hash_keys(keys) if hashes is None else hashes
        if self._known is not None:
            return self._by_text(texts, found)
        before = len(self)
        at = self._find(found.view(np.int64), found)
        new = np.flatnonzero(at >= before)
        if len(self) - before != len(new) or not self._same(texts, at, np.flatnonzero(at < before)):
            # Two keys share a hash: from here on the texts themselves are looked up.
            self._used[0] = before
            self._known = {self._text(i): i for i in range(before)}
            return self._by_text(texts, found)
        self._add(texts, new)
        return at.astype(np.int32)

    def saved(self) -> dict[str, NDArray[Any]]:
        """The keys in the order of their slots, for ``restore``."""
        out: dict[str, NDArray[Any]] = {"words": self._table[: len(self)].copy()}
        if self.kind is Type.STRING:
            out |= {"offsets": self._offsets.copy(), "blob": np.frombuffer(bytes(self._blob), np.uint8)}
        return out

    def restore(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Restore saved keys to their slots, before any others exist.

        ValueError or LookupError if they are not distinct keys.
        """
        words = saved["words"]
        if words.dtype != np.int64 or words.ndim != 1:
            raise ValueError("the keys are not numbers")
        if self.kind is not Type.STRING:
            self.slots(Column(Type.INT, words))
        else:
            offsets, blob = saved["offsets"], saved["blob"]
            if offsets.dtype != np.int64 or offsets.shape != (len(words) + 1,) or blob.dtype != np.uint8:
                raise ValueError("the keys' texts are malformed")
            if offsets[0] != 0 or offsets[-1] != len(blob) or (np.diff(offsets) < 0).any():
                raise ValueError("the keys' texts have offsets out of range")
            column = Column(Type.STRING, np.arange(len(words)), None, Dictionary(offsets, blob.tobytes()))
            hashes = hash_keys(column)
            if not np.array_equal(hashes, words.view(np.uint64)):
                raise ValueError("the keys' hashes are wrong")
            self.slots(column, hashes)
        if len(self) != len(words):
            raise ValueError("a key occurs twice")

    def _find(self, wanted: NDArray[np.int64], hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        self._reserve(len(self) + len(wanted))
        at = np.zeros(len(wanted), np.int64)
        find_by_hash(
            np.ascontiguousarray(wanted), np.ascontiguousarray(hashes), self._low, self._shift, self._factor,
            self._table, self._slots, self._used, at,
        )  # fmt: skip
        return at

    @property
    def _factor(self) -> int:
        """See ``place_of``."""
        return max(1, (len(self._slots) << 32) // self._width)

    def _reserve(self, n: int) -> None:
        if n > len(self._table):
            capacity = 1 << (n - 1).bit_length()
            grown = np.zeros(capacity, np.int64)
            grown[: len(self)] = self._table[: len(self)]
            self._table, self._slots = grown, np.zeros(2 * capacity, np.int32)
            enter_by_hash(self.hashes.view(np.uint64), self._low, self._shift, self._factor, self._slots, len(self))

    def _add(self, texts: Dictionary, new: NDArray[np.intp]) -> None:
        if not len(new):
            return
        if len(new) < len(texts):
            at = _bytes_of(texts.offsets, new)
            ends = np.cumsum(texts.offsets[new + 1] - texts.offsets[new])
            blob = np.frombuffer(texts.blob, np.uint8)[at].tobytes()
            texts = Dictionary(np.concatenate([np.zeros(1, np.int64), ends]), blob)
        self._texts.append(texts)
        self._offsets = np.concatenate([self._offsets, texts.offsets[1:] + len(self._blob)])
        self._blob += texts.blob

    def _text(self, slot: int) -> bytes:
        return bytes(self._blob[self._offsets[slot] : self._offsets[slot + 1]])

    def _same(self, texts: Dictionary, at: NDArray[np.int64], old: NDArray[np.intp]) -> bool:
        """Whether the texts numbered ``old`` equal those of the slots found for them."""
        if not len(old):
            return True
        kept, given = np.frombuffer(self._blob, np.uint8), np.frombuffer(bytearray(texts.blob), np.uint8)
        return bool(same_texts(self._offsets, kept, at[old], np.array(texts.offsets), given, old.astype(np.int64)))

    def _by_text(self, texts: Dictionary, hashes: NDArray[np.uint64]) -> NDArray[np.int32]:
        assert self._known is not None
        known, before = self._known, len(self)
        edges = texts.offsets.tolist()
        parts = [texts.blob[a:b] for a, b in pairwise(edges)]
        slots = np.fromiter((known.setdefault(p, len(known)) for p in parts), np.int32, len(parts))
        new = np.flatnonzero(slots >= before)
        self._reserve(before + len(new))
        self._table[before : before + len(new)] = hashes[new].view(np.int64)
        self._used[0] = before + len(new)
        self._add(texts, new)
        return slots


def _bytes_of(offsets: NDArray[np.int64], which: NDArray[np.integer]) -> NDArray[np.int64]:
    """Where the bytes of some strings of a dictionary are, one string after the other."""
    lengths = offsets[which + 1] - offsets[which]
    return np.repeat(offsets[which] - (np.cumsum(lengths) - lengths), lengths) + np.arange(int(lengths.sum()))
