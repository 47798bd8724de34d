"""Frames that zstd could not make smaller hold their bytes as they are: copied and checked in one pass.

zstd copies such a frame and then reads the copy once more for its checksum. Times of devices with a jitter are stored
so, and that took most of the time of reading them. The checksum is the low half of XXH64 with seed 0 ("xxHash fast
digest algorithm", Y. Collet, version 0.1.1).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from operators.kernels.foreign import put_word, word_at
from operators.kernels.jit import inline

SHORTEST = 32
"""Bytes that ``copied`` takes at least."""

_P1, _P2, _P3 = np.uint64(0x9E3779B185EBCA87), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)
_P4, _P5 = np.uint64(0x85EBCA77C2B2AE63), np.uint64(0x27D4EB2F165667C5)
_START = np.uint64(0x60EA27EEADC0B5D6)
"""_P1 + _P2, as uint64."""


@inline
def _turned(x: Any, by: Any) -> Any:
    return (x << np.uint64(by)) | (x >> np.uint64(64 - by))


@inline
def _round(v: Any, word: Any) -> Any:
    return _turned(v + np.uint64(word) * _P2, 31) * _P1


@inline
def _merged(h: Any, v: Any) -> Any:
    return (h ^ _round(np.uint64(0), v)) * _P1 + _P4


@inline
def copied(source: Any, to: Any, size: Any) -> Any:
    """Copy ``size`` bytes (``SHORTEST`` or more) from address to address, and give their checksum.

    Four bytes behind the source may be read.
    """
    a, b, c, d = _START, _P2, np.uint64(0), np.uint64(0) - _P1
    at = np.int64(0)
    while at + 32 <= size:
        w0, w1 = word_at(source + at), word_at(source + at + 8)
        w2, w3 = word_at(source + at + 16), word_at(source + at + 24)
        put_word(to + at, w0)
        put_word(to + at + 8, w1)
        put_word(to + at + 16, w2)
        put_word(to + at + 24, w3)
        a, b, c, d = _round(a, w0), _round(b, w1), _round(c, w2), _round(d, w3)
        at += 32
    h = _turned(a, 1) + _turned(b, 7) + _turned(c, 12) + _turned(d, 18)
    h = _merged(_merged(_merged(_merged(h, a), b), c), d) + np.uint64(size)
    while at + 8 <= size:
        word = word_at(source + at)
        put_word(to + at, word)
        h = _turned(h ^ _round(np.uint64(0), word), 27) * _P1 + _P4
        at += 8
    last = word_at(source + size - 8)
    put_word(to + size - 8, last)
    if at + 4 <= size:
        h = _turned(h ^ (np.uint64(word_at(source + at)) & np.uint64(0xFFFFFFFF)) * _P1, 23) * _P2 + _P3
        at += 4
    while at < size:
        byte = (np.uint64(last) >> np.uint64(8 * (8 - (size - at)))) & np.uint64(0xFF)
        h = _turned(h ^ byte * _P5, 11) * _P1
        at += 1
    h = (h ^ (h >> np.uint64(33))) * _P2
    h = (h ^ (h >> np.uint64(29))) * _P3
    return np.int64((h ^ (h >> np.uint64(32))) & np.uint64(0xFFFFFFFF))
