"""Larger aggregates: spread, quantiles, tallies, counters, and time-weighted values."""

from __future__ import annotations

import hashlib
import math
import struct
from collections import Counter
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from runtime.testing.oracle import oracle_decimals as decimals

MOST = 1024
SECOND = 1_000_000
MASK = 2**64 - 1


def variance(values: list[Any], ddof: int) -> Fraction | None:
    """The exact variance."""
    n = len(values)
    if n <= ddof:
        return None
    exact = [Fraction(v) for v in values]
    mean = sum(exact, Fraction()) / n
    return sum(((v - mean) ** 2 for v in exact), Fraction()) / (n - ddof)


def root(square: Fraction) -> float | None:
    """The square root, rounded once; None beyond the largest float."""
    exact = Fraction(math.isqrt(square.numerator), math.isqrt(square.denominator))
    if exact**2 != square:  # then it is in the middle of no two floats, and many digits tell on which side
        context = Context(prec=2600, Emin=-10_000, Emax=10_000)
        exact = Fraction(context.sqrt(context.divide(Decimal(square.numerator), Decimal(square.denominator))))
    try:
        return float(exact)
    except OverflowError:
        return None


def order(value: Any) -> tuple[Any, float]:
    """Numbers in order, -0.0 before 0.0."""
    return value, math.copysign(1, value)


def quantile(values: list[Any], q: float, exact: bool, kind: str, interpolation: str = "lower") -> Any:
    """The least value that at least a share q of them does not exceed; or what lies between two of them.

    Of more than MOST different ones it is the middle of its bin, one of 128 from each power of two to the next, or the
    least or greatest value where that is nearer.
    """
    digits = decimals.places(kind)
    if digits is not None:
        found = quantile([decimals.units(v) for v in values], q, exact, "int64", "lower")
        if interpolation == "lower":
            return Decimal(found).scaleb(-digits)
    ordered = sorted(values, key=order)
    last = len(ordered) - 1
    coarse = not exact and len({order(v) for v in ordered}) > MOST

    def shown(place: int) -> Any:
        value = ordered[place]
        if not coarse or place in (0, last):
            return value
        return min(max(middle(value, kind), ordered[0]), ordered[-1])

    if interpolation == "lower":
        return shown(max(1, math.ceil(Fraction(str(q)) * len(ordered))) - 1)
    position = Fraction(str(q)) * last
    low, high = shown(math.floor(position)), shown(math.ceil(position))
    between = low if low == high else Fraction(low) + position % 1 * (Fraction(high) - Fraction(low))
    return round(between) if kind == "duration" else float(between)


def middle(value: Any, kind: str) -> Any:
    """The middle of the bin of a value: of those that share its power of two and its first eight bits."""
    if math.isinf(value) or value == 0 or (kind != "float64" and value == -(2**63)):
        return value
    exact = abs(Fraction(value))
    least = Fraction(2) ** -1074 if kind == "float64" else Fraction(1)
    power = exact.numerator.bit_length() - exact.denominator.bit_length()
    power -= exact < Fraction(2) ** power
    width = Fraction(2) ** (power - 7)
    if width > least:
        exact = exact // width * width + width / 2
    return (float(exact) if kind == "float64" else int(exact)) * (1 if value > 0 else -1)


def written(number: Any) -> Fraction:
    """The number as it is written: of a float the shortest decimal that gives it."""
    return Fraction(number) if isinstance(number, Decimal) else Fraction(repr(number))


def histogram(values: list[Any], width: Any, edges: list[Any] | None, kind: str) -> list[dict[str, Any]]:
    """Counts by bin."""
    if edges is not None:
        ends = [None, *edges, None]
        if decimals.places(kind) is not None:
            edges = [written(e) for e in edges]
            ends = [None, *(_edge(e, kind) for e in edges), None]
        counts = Counter(sum(e <= v for e in edges) for v in values)
        return [{"from": ends[b], "to": ends[b + 1], "count": counts[b]} for b in range(len(edges) + 1)]
    counts = Counter(math.floor(written(v) / written(width)) for v in values)
    return [
        {"from": _edge(b * written(width), kind), "to": _edge((b + 1) * written(width), kind), "count": n}
        for b, n in sorted(counts.items())
    ]


def _edge(exact: Fraction, kind: str) -> Any:
    """An edge of a bin as JSON has it; of decimals with their places, or those that it needs."""
    digits = decimals.places(kind)
    if digits is None:
        return to_float(exact) if kind == "float64" else int(exact)
    while (exact * 10**digits).denominator != 1:
        digits += 1
    return decimals.shown(decimals.of_fraction(exact, digits))


def top_k(values: list[Any], k: int) -> list[dict[str, Any]]:
    """The most frequent values."""
    counts = Counter(0.0 if v == 0 and isinstance(v, float) else v for v in values)
    order = sorted(counts, key=lambda v: (-counts[v], v))
    return [{"value": _plain(v), "count": counts[v]} for v in order[:k]]


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return decimals.shown(value)
    big = isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53
    return str(value) if big else value


def transitions(edges: list[tuple[Any, Any]]) -> list[dict[str, Any]]:
    """Counts of pairs of different values."""
    counts = Counter(e for e in edges if e[0] != e[1])
    return [{"from": _plain(a), "to": _plain(b), "count": n} for (a, b), n in sorted(counts.items())]


def step(before: Any, now: Any) -> Any:
    """By how much a counter grew; all of it if it was reset."""
    return now - before if now >= before else now


def nearest_root(square: Fraction) -> int:
    """The whole number nearest to the square root, of two the even one."""
    whole = math.isqrt(math.floor(square))
    past = square - (whole + Fraction(1, 2)) ** 2
    return whole + 1 if past > 0 or (past == 0 and whole % 2 == 1) else whole


# --- HyperLogLog -------------------------------------------------------------------------------------------------


def _mix(h: int, word: int) -> int:
    z = (h ^ word) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def _hash(value: Any) -> int:
    if isinstance(value, str):
        word = int.from_bytes(hashlib.blake2b(value.encode(), digest_size=8).digest(), "little")
    elif isinstance(value, float):
        word = struct.unpack("<Q", struct.pack("<d", value + 0.0))[0]
    elif isinstance(value, Decimal):
        word = decimals.units(value) & MASK
    else:
        word = int(value) & MASK
    return _mix(_mix(0x5DEECE66D, word), 1)


def approx_distinct(values: list[Any]) -> int:
    """Ertl's estimator over 4096 registers."""
    registers = [0] * 4096
    for value in values:
        bits = f"{_hash(value):064b}"
        rest = bits[12:]
        rank = len(rest) - len(rest.lstrip("0")) + 1
        index = int(bits[:12], 2)
        registers[index] = max(registers[index], rank)
    counts = Counter(registers)
    if counts[0] == 4096:
        return 0
    z = 4096 * _tau(1 - counts[53] / 4096)
    for k in range(52, 0, -1):
        z = (z + counts[k]) / 2
    z += 4096 * _sigma(counts[0] / 4096)
    return round(4096 * 4096 / (2 * math.log(2) * z))


def _sigma(x: float) -> float:
    return x + sum((x ** (2.0**k) * 2.0 ** (k - 1) for k in range(1, 60)), 0.0)


def _tau(x: float) -> float:
    return 0.0 if x in (0, 1) else (1 - x - sum((1 - x ** (2.0**-k)) ** 2 * 2.0**-k for k in range(1, 60))) / 3


# --- time --------------------------------------------------------------------------------------------------------


def area(pairs: list[tuple[Any, int]]) -> Fraction:
    """Values times microseconds."""
    return sum((Fraction(v) * t for v, t in pairs), Fraction(0))


def candlestick(values: list[Any]) -> dict[str, Any]:
    """The first, greatest, least and last of values in order."""
    named = {"open": values[0], "high": max(values), "low": min(values), "close": values[-1]}
    return {name: _plain(v) for name, v in named.items()}


def to_float(exact: Fraction) -> float:
    """The nearest float, infinite beyond the largest."""
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf
