"""Uncompressed ("raw") frames: those that zstd could not make smaller, copied and checked in one pass.

zstd copies such a frame and then reads the copy again for its checksum. Jittery times are stored like this, and that
took most of their reading time. The checksum is the low half of XXH64 with seed 0 ("xxHash fast digest algorithm", Y.
Collet, version 0.1.1).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from operators.compiler.loops import inline
from operators.kernels.foreign import put_word, word_at

SHORTEST = 32
"""Minimum bytes for ``copied``."""

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
def _stripe(source: Any, to: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Copy 32 bytes and update the four lanes of the checksum."""
    w0, w1, w2, w3 = word_at(source), word_at(source + 8), word_at(source + 16), word_at(source + 24)
    put_word(to, w0)
    put_word(to + 8, w1)
    put_word(to + 16, w2)
    put_word(to + 24, w3)
    return _round(a, w0), _round(b, w1), _round(c, w2), _round(d, w3)


@inline
def _stripes(source: Any, to: Any, size: Any, at: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Copy all whole stripes from ``at`` on; returns where they end, and the four lanes of the checksum."""
    while at + 32 <= size:
        a, b, c, d = _stripe(source + at, to + at, a, b, c, d)
        at += 32
    return at, a, b, c, d


@inline
def _ended(source: Any, to: Any, size: Any, at: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Copy the bytes after the last whole stripe, and return the checksum."""
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


@inline
def copied(source: Any, to: Any, size: Any) -> Any:
    """Copy ``size`` bytes (``SHORTEST`` or more) from address to address, and return their checksum.

    May read four bytes past the source.
    """
    at, a, b, c, d = _stripes(source, to, size, np.int64(0), _START, _P2, np.uint64(0), np.uint64(0) - _P1)
    return _ended(source, to, size, at, a, b, c, d)


@inline
def both_copied(source: Any, to: Any, size: Any, source2: Any, to2: Any, size2: Any) -> Any:
    """``copied`` twice. Each lane waits for its own products, so two checksums take hardly longer than one."""
    a, b, c, d = _START, _P2, np.uint64(0), np.uint64(0) - _P1
    e, f, g, h = a, b, c, d
    at = np.int64(0)
    while at + 32 <= min(size, size2):
        a, b, c, d = _stripe(source + at, to + at, a, b, c, d)
        e, f, g, h = _stripe(source2 + at, to2 + at, e, f, g, h)
        at += 32
    first, a, b, c, d = _stripes(source, to, size, at, a, b, c, d)
    second, e, f, g, h = _stripes(source2, to2, size2, at, e, f, g, h)
    return _ended(source, to, size, first, a, b, c, d), _ended(source2, to2, size2, second, e, f, g, h)
