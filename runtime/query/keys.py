"""The keys of one task: each has a slot, and every kernel keeps its per-key state at that number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.types import Type
from operators.words import Words
from runtime.columns import Column
from runtime.pointfile import hash_keys

_REMEMBERED = 8


class Keys:
    """Keys numbered in the order of their first appearance.

    ``values`` holds each slot's key as int64 (string keys: their code in ``words``), ``hashes`` its 64-bit hash.
    """

    def __init__(self, kind: Type, words: Words) -> None:
        self.kind = kind
        self.words = words
        self.values = np.zeros(0, np.int64)
        self.hashes = np.zeros(0, np.int64)
        self._slot_of_code = np.full(0, -1, np.int32)
        self._slot_of_int: dict[int, int] = {}
        self._recent: list[tuple[object, NDArray[np.int32]]] = []

    @classmethod
    def none(cls, words: Words) -> Keys:
        """One slot, for rows that belong to no key."""
        keys = cls(Type.INT, words)
        keys.values, keys.hashes = np.zeros(1, np.int64), np.zeros(1, np.int64)
        return keys

    def __len__(self) -> int:
        return len(self.values)

    def slots(self, keys: Column) -> NDArray[np.int32]:
        """The slots (int32) of distinct ``keys``, numbering those that are new."""
        # A fleet's files tend to have the same keys day after day: compare bytes before looking up each.
        mark: object = (keys.words.blob, keys.words.offsets.tobytes()) if keys.words else keys.values.tobytes()
        for seen, slots in self._recent:
            if seen == mark:
                return slots
        slots = self._look_up(keys)
        self._recent = [(mark, slots), *self._recent[: _REMEMBERED - 1]]
        return slots

    def _look_up(self, keys: Column) -> NDArray[np.int32]:
        if self.kind is Type.STRING:
            assert keys.words is not None
            codes: NDArray[np.int32] = self.words.codes(keys.words.strings)[keys.values]
            if len(self.words) > len(self._slot_of_code):
                grown = np.full(2 * len(self.words), -1, np.int32)
                grown[: len(self._slot_of_code)] = self._slot_of_code
                self._slot_of_code = grown
            slots: NDArray[np.int32] = self._slot_of_code[codes]
            new = np.flatnonzero(slots < 0)
            slots[new] = np.arange(len(self), len(self) + len(new), dtype=np.int32)
            self._slot_of_code[codes[new]] = slots[new]
            added = codes[new].astype(np.int64)
        else:
            known = self._slot_of_int
            before = len(known)
            slots = np.fromiter((known.setdefault(k, len(known)) for k in keys.values.tolist()), np.int32)
            new = np.flatnonzero(slots >= before)
            added = keys.values[new].astype(np.int64)
        if len(new):
            self.values = np.concatenate([self.values, added])
            self.hashes = np.concatenate([self.hashes, hash_keys(keys.take(new)).view(np.int64)])
        return slots
