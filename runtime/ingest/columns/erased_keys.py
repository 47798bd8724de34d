"""Keys that were erased from the stream: which rows of a source are left out, since only digests of keys are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.types import Type
from runtime.catalogue import Catalogue
from runtime.catalogue.items.changes import Erasure, key_digest
from runtime.ingest.columns.interned_strings import InternedStrings

ERASED = "its key was erased"
"""The reason of such rows. Nothing else is kept of them: no text, no example."""

NEVER = -(2**63)

Times = NDArray[np.int64]


class ErasedKeys:
    """The erased keys of a stream, as of when a source is begun. ``number`` is what ``Catalogue.commit`` takes."""

    def __init__(self, erased: Mapping[str, Erasure]) -> None:
        self.number = sum(erasure.times for erasure in erased.values())
        self._until = {digest: erasure.at for digest, erasure in erased.items()}
        self._of_words: tuple[InternedStrings | None, Times] = (None, np.zeros(0, np.int64))

    @classmethod
    def of(cls, catalogue: Catalogue, stream: str) -> ErasedKeys:
        """Those of a stream, now."""
        return cls(catalogue.erased(stream))

    def __bool__(self) -> bool:
        return bool(self._until)

    def until_of(self, key: str | int) -> int:
        """The time up to which the points of a key are left out (microseconds UTC); ``NEVER`` if it was not erased."""
        return self._until.get(key_digest(key), NEVER)

    def until(self, type_: Type, values: NDArray[Any], words: InternedStrings | None) -> Times:
        """The same for each of these keys: integers, or codes of ``words``."""
        if type_ is Type.INT or words is None:
            distinct, places = np.unique(values.astype(np.int64), return_inverse=True)
            return np.array([self.until_of(key) for key in distinct.tolist()], np.int64)[places]
        of, known = self._of_words
        if of is not words:
            known = np.zeros(0, np.int64)
        if len(known) < len(words):  # words are only added
            new = [self.until_of(words.text(code)) for code in range(len(known), len(words))]
            known = np.concatenate([known, np.array(new, np.int64)])
        self._of_words = words, known
        found: Times = known[values]
        return found
