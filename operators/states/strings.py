"""The string dictionary of one task: an int32 code for every string that its kernels see."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from operators.errors import CardinalityExceeded

LIMIT = 1 << 28
"""The maximum number of distinct strings in one task."""


class Words:
    """Strings numbered in the order of their first appearance; equal strings have equal codes."""

    def __init__(self) -> None:
        self.strings: list[str] = []
        self._codes: dict[str, int] = {}
        self._hashes = np.zeros(64, np.int64)
        self._hashed = 0
        self._levels: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.strings)

    def code(self, text: str) -> int:
        """The code of one string."""
        return int(self.codes((text,))[0])

    def levels(self) -> NDArray[np.int32]:
        """Of every string by code, the least level with which it was added. Those before the first call have 0."""
        if self._levels is None or len(self._levels) < len(self.strings):
            grown = np.zeros(max(64, 2 * len(self.strings)), np.int32)
            if self._levels is not None:
                grown[: len(self._levels)] = self._levels
            self._levels = grown
        return self._levels[: len(self.strings)]

    def known_levels(self) -> list[int] | None:
        """The levels of all strings; None if all are 0."""
        if self._levels is None or not self.levels().any():
            return None
        found: list[int] = self.levels().tolist()
        return found

    def set_levels(self, levels: list[int]) -> None:
        """Set those of the first strings, as ``known_levels`` gave them; ValueError if they are malformed."""
        if not levels:
            return
        if len(levels) > len(self.strings) or any(not isinstance(n, int) or not 0 <= n < 2**31 for n in levels):
            raise ValueError("the levels of the strings are malformed")
        self.levels()[: len(levels)] = levels

    def codes(self, texts: Iterable[str], level: int = 0) -> NDArray[np.int32]:
        """The codes of ``texts``, adding those that are new.

        ``level`` tells texts that were computed from strings of the dictionary from those that were read (0).
        """
        known = self._codes
        # setdefault with the growing length numbers new strings in one pass in C.
        out = np.fromiter((known.setdefault(t, len(known)) for t in texts), np.int32)
        if len(known) > len(self.strings):
            if len(known) > LIMIT:
                raise CardinalityExceeded(
                    f"more than {LIMIT:,} distinct strings in one task; filter or split the query"
                )
            before = len(self.strings)
            self.strings.extend(list(known)[before:])
            if self._levels is not None:
                self.levels()
                self._levels[before : len(self.strings)] = level
        if self._levels is not None and len(out):
            self._levels[out] = np.minimum(self._levels[out], level)
        return out

    def hashes(self) -> NDArray[np.int64]:
        """A 64-bit hash of every string by code, the same in every dictionary; followed by unused entries."""
        n = len(self.strings)
        if n > self._hashed:
            if n > len(self._hashes):
                grown = np.zeros(2 * n, np.int64)
                grown[: self._hashed] = self._hashes[: self._hashed]
                self._hashes = grown
            digests = b"".join(
                hashlib.blake2b(t.encode(), digest_size=8).digest() for t in self.strings[self._hashed :]
            )
            self._hashes[self._hashed : n] = np.frombuffer(digests, "<i8")
            self._hashed = n
        return self._hashes
