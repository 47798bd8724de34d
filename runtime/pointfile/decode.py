"""The decoders' loops, and nothing else: no allocation, no exceptions, no index that the caller has not bounded.

Unsigned integers come as byte planes: of ``n`` values ``width`` bytes wide, byte ``k`` of value ``i`` is
``planes[k * n + i]``. Arithmetic is unsigned and modulo 2**64, which makes every int64 round trip exact.
Each function is plain Python; ``loops()`` compiles them all, ``SIGNATURES`` says for which types.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np


def integers(planes, n, width, base, tick, out):  # type: ignore[no-untyped-def]
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


def deltas(firsts, width, planes, width2, lengths, base, tick, step, out):  # type: ignore[no-untyped-def]
    """Within each run, the first value from ``firsts`` and then differences: ``q`` grows by ``step + u``.

    ``out = base + tick * q``; ``lengths`` are the runs' lengths, all at least 1, which fill ``out``.
    """
    runs = len(lengths)
    n = len(out) - runs
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


def codes(planes, n, width, base, table, out):  # type: ignore[no-untyped-def]
    """``out[i] = table[base + u[i]]``; returns whether any code was outside the table (it then counts as code 0)."""
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


def decimals(planes, n, width, base, tick, power, out):  # type: ignore[no-untyped-def]
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


def divided(values, power, out):  # type: ignore[no-untyped-def]
    """``out[i] = values[i] / power``."""
    for i in range(len(out)):
        out[i] = np.float64(np.int64(values[i])) / power


def repeated(values, lengths, out):  # type: ignore[no-untyped-def]
    """Each value as often as its length says; returns whether the lengths fill ``out`` exactly."""
    at = 0
    size = len(out)
    for r in range(len(values)):
        n = lengths[r]
        if n < 1 or n > size - at:
            return False
        v = values[r]
        for j in range(at, at + n):
            out[j] = v
        at += n
    return at == size


def bits(packed, n, out):  # type: ignore[no-untyped-def]
    """``out[i]`` = bit ``i``, the lowest bit of a byte first."""
    whole = n >> 3
    for i in range(whole):
        b = packed[i]
        for k in range(8):
            out[8 * i + k] = (b >> k) & 1
    for i in range(8 * whole, n):
        out[i] = (packed[i >> 3] >> (i & 7)) & 1


SIGNATURES = {
    "integers": ["void(u1[::1], i8, i8, u8, u8, u8[::1])"],
    "deltas": ["void(u1[::1], i8, u1[::1], i8, i8[::1], u8, u8, u8, u8[::1])"],
    "codes": ["b1(u1[::1], i8, i8, u8, i4[::1], i4[::1])"],
    "decimals": ["void(u1[::1], i8, i8, i8, i8, f8, f8[::1])"],
    "divided": ["void(u8[::1], f8, f8[::1])"],
    "repeated": [f"b1({t}[::1], i8[::1], {t}[::1])" for t in ("i8", "i4", "u1")],
    "bits": ["void(u1[::1], i8, u1[::1])"],
}


class Loops:
    """The compiled loops, by name."""

    integers: Any
    deltas: Any
    codes: Any
    decimals: Any
    divided: Any
    repeated: Any
    bits: Any


@cache
def loops() -> Loops:
    """Compile the loops (or load them from numba's cache), once per process."""
    import numba

    out = Loops()
    for name, signatures in SIGNATURES.items():
        plain = globals()[name]
        setattr(out, name, numba.njit(signatures, nogil=True, cache=True, error_model="numpy")(plain))
    return out
