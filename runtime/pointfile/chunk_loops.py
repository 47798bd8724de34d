"""The compiled loops of the encodings: each reads a block's values once or twice, and allocates nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from operators.compiler.loops import I64, inline, loop

_GROUP = 256
"""Values that are tried together: a loop without an exit is several times as fast."""

_EXACT = float(1 << 53)


@loop("void(i8[::1], b1[::1], i8[::1])")
def fill(values: Any, valid: Any, out: Any) -> None:
    """``values`` with each one that is not valid replaced by the previous one (by the first, if none precedes); at
    least one is valid."""
    n = len(values)
    first = 0
    while not valid[first]:
        first += 1
    last = values[first]
    for i in range(n):
        if valid[i]:
            last = values[i]
        out[i] = last


@loop("i8(f8[::1], i8[::1], i8, i8, i8[::1], b1[::1])")
def scale(values: Any, bits: Any, places: I64, most: I64, out: Any, exact: Any) -> Any:
    """The values times 10**places as integers, and whether division restores every bit; returns how many it does
    not restore, or something above ``most``.

    ``bits`` are the values' own. Where a value is not restored (-0.0, NaN, 0.1 + 0.2), the integer repeats the previous
    one.
    """
    n = len(values)
    power = 1.0
    for _ in range(places):
        power *= 10.0
    misses = 0
    last = np.int64(0)
    first = -1
    for begin in range(0, n, _GROUP):
        end = min(n, begin + _GROUP)
        for i in range(begin, end):
            v = values[i]
            whole = np.rint(v * power)
            # Of the values that are equal as numbers only the zeros differ in their bits; NaN and infinities fail.
            exact[i] = (whole / power == v) & (abs(whole) <= _EXACT) & ((v != 0.0) | (bits[i] == 0))
            if exact[i]:
                out[i] = np.int64(whole)
        for i in range(begin, end):
            if exact[i]:
                last = out[i]
                if first < 0:
                    first = i
            else:
                misses += 1
                out[i] = last
        if misses > most:
            return misses
    for i in range(max(first, 0)):
        out[i] = out[first]
    return misses


@inline
def _inverse(odd: Any) -> Any:
    """The inverse of an odd number modulo 2**64, by Newton's method: each step doubles the bits that are right."""
    x = odd
    for _ in range(5):
        x = x * (np.uint64(2) - odd * x)
    return x


@inline
def _divided(value: Any, inverse: Any, shift: Any) -> Any:
    """``value`` by ``odd << shift``, if that divides it; else a number above the largest quotient.

    Granlund and Montgomery, Division by Invariant Integers using Multiplication (1994), section 9.
    """
    q = value * inverse
    return (q >> shift) | (q << ((np.uint64(64) - shift) & np.uint64(63)))


@loop("i8(u8[::1])")
def divide_by_tick(offsets: Any) -> Any:
    """Divide the offsets by their greatest common divisor, which is returned modulo 2**64; 1 if all are 0."""
    n = len(offsets)
    i = 0
    while i < n and offsets[i] == np.uint64(0):
        i += 1
    if i == n:
        return np.int64(1)
    tick = offsets[i]
    shift, inverse = np.uint64(0), np.uint64(1)
    while i < n and tick != np.uint64(1):
        shift, odd = np.uint64(0), tick
        while odd & np.uint64(1) == np.uint64(0):
            odd >>= np.uint64(1)
            shift += np.uint64(1)
        inverse = _inverse(odd)
        most = np.uint64(0xFFFFFFFFFFFFFFFF) // tick
        while i < n:
            end = min(n, i + _GROUP)
            wrong = 0
            for k in range(i, end):
                wrong += _divided(offsets[k], inverse, shift) > most
            if wrong:
                break
            i = end
        if i < n:
            while _divided(offsets[i], inverse, shift) <= most:
                i += 1
            a, b = tick, offsets[i]
            while b != np.uint64(0):
                a, b = b, a % b
            tick = a
    if tick != np.uint64(1):
        for k in range(n):
            offsets[k] = _divided(offsets[k], inverse, shift)
    return np.int64(tick)


@loop("i8(i8[::1], i8[::1], i8[::1])")
def differences(values: Any, starts: Any, out: Any) -> Any:
    """What each value has more than the one before it in its run, less the smallest of these, which is returned."""
    n, runs = len(values), len(starts)
    at = 0
    for r in range(runs):
        end = starts[r + 1] if r + 1 < runs else n
        for i in range(starts[r] + 1, end):
            out[at] = values[i] - values[i - 1]
            at += 1
    least = out[0]
    for i in range(at):
        least = min(least, out[i])
    for i in range(at):
        out[i] -= least
    return least


@loop("void(i8[::1], i8[::1], i8[::1], i8[::1], i8[::1])")
def lines(values: Any, starts: Any, slopes: Any, firsts: Any, out: Any) -> None:
    """The slope of each run as a line, its smallest distance from a line through 0, and how much more each value's is.

    The rounded slope of the least squares line: any slope is correct, the best gives small distances.
    """
    n, runs = len(values), len(starts)
    for r in range(runs):
        begin = starts[r]
        end = starts[r + 1] if r + 1 < runs else n
        middle = (end - begin - 1) / 2
        xy = 0.0
        xx = 0.0
        for i in range(begin, end):
            x = (i - begin) - middle
            xy += x * np.float64(values[i] - values[begin])
            xx += x * x
        slope = np.int64(np.rint(xy / max(xx, 1.0)))
        least = values[begin]
        for i in range(begin, end):
            distance = values[i] - slope * (i - begin)
            least = min(least, distance)
            out[i] = distance
        for i in range(begin, end):
            out[i] -= least
        slopes[r] = slope
        firsts[r] = least


@loop("void(u8[::1], u1[:,::1])")
def planes(values: Any, out: Any) -> None:
    """Byte k of every value in row k of ``out``, for as many bytes as it has rows."""
    for k in range(out.shape[0]):
        shift = np.uint64(8 * k)
        for i in range(len(values)):
            out[k, i] = np.uint8(values[i] >> shift)


@loop("void(u8[::1], i8, i8, u1[::1])")
def bit_part(values: Any, shift: I64, part: I64, out: Any) -> None:
    """``part`` (1, 2 or 4) bits of every value from bit ``shift`` on, packed: the first value in the lowest bits."""
    n, per = len(values), 8 // part
    mask = np.uint64((1 << part) - 1)
    whole = n // per
    for j in range(whole):
        byte = np.uint64(0)
        for k in range(per):
            byte |= ((values[j * per + k] >> np.uint64(shift)) & mask) << np.uint64(k * part)
        out[j] = np.uint8(byte)
    if whole * per < n:
        byte = np.uint64(0)
        for i in range(whole * per, n):
            byte |= ((values[i] >> np.uint64(shift)) & mask) << np.uint64((i - whole * per) * part)
        out[whole] = np.uint8(byte)
