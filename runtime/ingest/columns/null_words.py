"""Words that stand for a missing value where numbers, times or booleans are expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import I64, loop
from runtime.ingest.text.tokens import Bytes, for_loops

INFINITY = "infinity"
NOT_A_NUMBER = "NaN"
MISSING_WORDS = ("", "NA", "N/A", NOT_A_NUMBER, "null", "None", "?", "-", "unavailable", "unknown")

Codes = NDArray[np.uint8]


class WordTable:
    """Words to be found among texts; ``any_case`` also finds them in other cases."""

    def __init__(self, words: Sequence[str], any_case: bool) -> None:
        self.words = tuple(words)
        raw = [(word.lower() if any_case else word).encode() for word in words]
        self._text = np.frombuffer(b"".join(raw) or b"\0", np.uint8).copy()
        self._ends = np.cumsum([len(word) for word in raw], dtype=np.int64)
        self._any_case = any_case

    def find(self, data: Bytes, spans: NDArray[np.int64]) -> Codes:
        """For each text (start << 32 | length) the number of the word that it is, from 1; 0 for any other."""
        out = np.zeros(len(spans), np.uint8)
        find_words(for_loops(data), np.ascontiguousarray(spans), self._text, self._ends, self._any_case, out)
        return out


_INFINITE = [sign + word for sign in ("", "+", "-") for word in ("inf", "infinity")]
NULL_WORDS = WordTable((*MISSING_WORDS, "+NaN", "-NaN", *_INFINITE), any_case=True)
COUNTED_AS = (*MISSING_WORDS, NOT_A_NUMBER, NOT_A_NUMBER, *[INFINITY] * len(_INFINITE))
"""Under which word each of them is counted."""


@loop("void(u1[::1], i8[::1], u1[::1], i8[::1], i8, u1[::1])")
def find_words(data: Any, spans: Any, text: Any, ends: Any, any_case: I64, out: Any) -> None:
    """``out[k]``: which of the words (their ``text`` up to ``ends``) the span k is, from 1; else 0."""
    for k in range(len(spans)):
        begin = spans[k] >> 32
        size = spans[k] & 0xFFFFFFFF
        first = 0
        for w in range(len(ends)):
            if ends[w] - first == size:
                same = True
                for i in range(size):
                    c = data[begin + i]
                    if any_case and 65 <= c <= 90:
                        c += 32
                    if c != text[first + i]:
                        same = False
                        break
                if same:
                    out[k] = w + 1
                    break
            first = ends[w]
