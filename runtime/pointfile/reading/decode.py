"""The decoders' compiled loops: no allocation, no exceptions, and callers bound every index.

Unsigned integers come as byte planes: of ``n`` values ``width`` bytes wide, byte ``k`` of value ``i`` is
``planes[k * n + i]``. Arithmetic is unsigned and modulo 2**64, which makes every int64 round trip exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from operators.compiler.loops import inline


@inline
def integers(planes: Any, n: Any, width: Any, base: Any, tick: Any, out: Any) -> Any:
    """``out[i] = base + tick * u[i]``."""
    if width == 1:
        p0 = planes[0:n]
        for i in range(n):
            out[i] = base + tick * np.uint64(p0[i])
    elif width == 2:
        p0 = planes[0:n]
        p1 = planes[n : 2 * n]
        for i in range(n):
            out[i] = base + tick * np.uint64(np.uint32(p0[i]) | (np.uint32(p1[i]) << np.uint32(8)))
    else:
        for i in range(n):
            out[i] = 0
        for k in range(width):
            p = planes[k * n : k * n + n]
            shift = np.uint64(8 * k)
            for i in range(n):
                out[i] |= np.uint64(p[i]) << shift
        for i in range(n):
            out[i] = base + tick * out[i]


@inline
def deltas(
    firsts: Any,
    width: Any,
    planes: Any,
    width2: Any,
    lengths: Any,
    runs: Any,
    rows: Any,
    base: Any,
    tick: Any,
    step: Any,
    out: Any,
) -> Any:
    """Each run starts with its value in ``firsts``; then differences: ``q`` grows by ``step + u``.

    ``out = base + tick * q``; ``lengths`` are the lengths of the ``runs``, all at least 1, which sum to ``rows``.
    """
    n = rows - runs
    at = 0
    d = 0
    for r in range(runs):
        value = base
        for k in range(width):
            value += tick * (np.uint64(firsts[k * runs + r]) << np.uint64(8 * k))
        m = lengths[r] - 1
        out[at] = value
        rest = out[at + 1 : at + 1 + m]
        if width2 == 2:
            p0 = planes[d : d + m]
            p1 = planes[n + d : n + d + m]
            for j in range(m):
                value += tick * (step + np.uint64(np.uint32(p0[j]) | (np.uint32(p1[j]) << np.uint32(8))))
                rest[j] = value
        elif width2 == 1:
            p0 = planes[d : d + m]
            for j in range(m):
                value += tick * (step + np.uint64(p0[j]))
                rest[j] = value
        elif width2 == 3:
            p0 = planes[d : d + m]
            p1 = planes[n + d : n + d + m]
            p2 = planes[2 * n + d : 2 * n + d + m]
            for j in range(m):
                u = np.uint32(p0[j]) | (np.uint32(p1[j]) << np.uint32(8)) | (np.uint32(p2[j]) << np.uint32(16))
                value += tick * (step + np.uint64(u))
                rest[j] = value
        elif width2 == 4:
            p0 = planes[d : d + m]
            p1 = planes[n + d : n + d + m]
            p2 = planes[2 * n + d : 2 * n + d + m]
            p3 = planes[3 * n + d : 3 * n + d + m]
            for j in range(m):
                u = np.uint32(p0[j]) | (np.uint32(p1[j]) << np.uint32(8)) | (np.uint32(p2[j]) << np.uint32(16))
                value += tick * (step + np.uint64(u | (np.uint32(p3[j]) << np.uint32(24))))
                rest[j] = value
        else:
            for j in range(m):
                w = np.uint64(0)
                for k in range(width2):
                    w |= np.uint64(planes[k * n + d + j]) << np.uint64(8 * k)
                value += tick * (step + w)
                rest[j] = value
        at += 1 + m
        d += m


@inline
def lines(
    firsts: Any,
    width: Any,
    slopes: Any,
    width3: Any,
    planes: Any,
    width2: Any,
    lengths: Any,
    runs: Any,
    rows: Any,
    base: Any,
    tick: Any,
    step: Any,
    out: Any,
) -> Any:
    """Each run on a line: ``out = base + tick * (first + (step + slope) * i + u)`` for its row ``i``."""
    at = 0
    for r in range(runs):
        start = base
        for k in range(width):
            start += tick * (np.uint64(firsts[k * runs + r]) << np.uint64(8 * k))
        slope = step
        for k in range(width3):
            slope += np.uint64(slopes[k * runs + r]) << np.uint64(8 * k)
        slope *= tick
        m = lengths[r]
        to = out[at : at + m]
        if width2 == 2:
            p0 = planes[at : at + m]
            p1 = planes[rows + at : rows + at + m]
            for j in range(m):
                two = np.uint32(p0[j]) | (np.uint32(p1[j]) << np.uint32(8))
                to[j] = start + slope * np.uint64(j) + tick * np.uint64(two)
        else:
            for j in range(m):
                u = np.uint64(0)
                for k in range(width2):
                    u |= np.uint64(planes[k * rows + at + j]) << np.uint64(8 * k)
                to[j] = start + slope * np.uint64(j) + tick * u
        at += m


@inline
def codes(planes: Any, n: Any, width: Any, base: Any, table: Any, out: Any) -> Any:
    """``out[i] = table[base + u[i]]``; returns whether any code was outside the table (it is then read as code 0)."""
    bad = False
    size = np.uint64(len(table))
    if width == 1:
        p0 = planes[0:n]
        for i in range(n):
            c = base + np.uint64(p0[i])
            good = c < size
            bad |= not good
            out[i] = table[c if good else np.uint64(0)]
    elif width == 2:
        p0 = planes[0:n]
        p1 = planes[n : 2 * n]
        for i in range(n):
            c = base + np.uint64(np.uint32(p0[i]) | (np.uint32(p1[i]) << np.uint32(8)))
            good = c < size
            bad |= not good
            out[i] = table[c if good else np.uint64(0)]
    else:
        for i in range(n):
            c = base
            for k in range(width):
                c += np.uint64(planes[k * n + i]) << np.uint64(8 * k)
            good = c < size
            bad |= not good
            out[i] = table[c if good else np.uint64(0)]
    return bad


@inline
def decimals(planes: Any, n: Any, width: Any, base: Any, tick: Any, power: Any, out: Any) -> Any:
    """``out[i] = (base + tick * u[i]) / power``, for widths 1 and 2 and values within 32 bits."""
    base32 = np.int32(base)
    tick32 = np.int32(tick)
    if width == 1:
        p0 = planes[0:n]
        for i in range(n):
            out[i] = np.float64(np.int32(base32 + tick32 * np.int32(p0[i]))) / power
    else:
        p0 = planes[0:n]
        p1 = planes[n : 2 * n]
        for i in range(n):
            u = np.int32(p0[i]) | (np.int32(p1[i]) << np.int32(8))
            out[i] = np.float64(np.int32(base32 + tick32 * u)) / power


@inline
def divided(values: Any, n: Any, power: Any, out: Any) -> Any:
    """``out[i] = values[i] / power``."""
    for i in range(n):
        out[i] = np.float64(np.int64(values[i])) / power


@inline
def repeated(ends: Any, count: Any, rows: Any, out: Any) -> Any:
    """Spread the first ``count`` values of ``out`` in place: value r fills the rows before ``ends[r]``."""
    # From last to first, so that no value is overwritten before it is spread.
    for back in range(count):
        r = count - 1 - back
        v = out[r]
        for i in range(ends[r - 1] if r > 0 else 0, ends[r]):
            out[i] = v


@inline
def bits(packed: Any, n: Any, out: Any) -> Any:
    """``out[i]`` = bit ``i``, the lowest bit of a byte first."""
    whole = n >> 3
    for i in range(whole):
        b = packed[i]
        for k in range(8):
            out[8 * i + k] = (b >> k) & 1
    for i in range(8 * whole, n):
        out[i] = (packed[i >> 3] >> (i & 7)) & 1


@inline
def spread(part: Any, width: Any, n: Any, shift: Any, top: Any) -> Any:
    """Values of ``width`` bits (1, 2 or 4, lowest bits of a byte first) into ``top`` from bit ``shift`` on."""
    each = 8 // width
    mask = np.uint8((1 << width) - 1)
    whole = n // each
    if width == 4:
        for j in range(whole):
            b = part[j]
            top[2 * j] |= (b & mask) << shift
            top[2 * j + 1] |= (b >> np.uint8(4)) << shift
    elif width == 2:
        for j in range(whole):
            b = part[j]
            for k in range(4):
                top[4 * j + k] |= ((b >> np.uint8(2 * k)) & mask) << shift
    else:
        for j in range(whole):
            b = part[j]
            for k in range(8):
                top[8 * j + k] |= ((b >> np.uint8(k)) & mask) << shift
    for i in range(whole * each, n):
        top[i] |= ((part[i // each] >> np.uint8(width * (i % each))) & mask) << shift
