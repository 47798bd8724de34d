"""Texts that no source holds as they are, such as resolved escapes: appended to the buffer of the cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runtime.ingest.text.tokens import Bytes


class AddedTexts:
    """Texts to be appended to a buffer of ``size`` bytes."""

    def __init__(self, size: int) -> None:
        self._at = size
        self._parts: list[bytes] = []

    def add(self, text: str) -> int:
        """The span of the text once it is appended: start << 32 | length."""
        raw = text.encode()
        self._parts.append(raw)
        self._at += len(raw)
        return (self._at - len(raw)) << 32 | len(raw)

    def spans(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """The spans of the texts; the same one for equal texts."""
        places = {text: self.add(text) for text in dict.fromkeys(texts)}
        return np.fromiter(map(places.__getitem__, texts), np.int64, len(texts))

    def after(self, data: Bytes) -> Bytes:
        """The buffer ``data`` with the texts."""
        return np.concatenate([data, np.frombuffer(b"".join(self._parts), np.uint8)]) if self._parts else data
