"""Random rows for the laws: many small cases at once, each a group of its own, with values that favour edge cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.types import Type

MOST = 12
"""Rows of a case."""

STRINGS = ["", "a", "b", "ä", "up", "down", "degraded", "1.2.0", "x" * 40]
_WHOLE = [0, 1, -1, 2, 3, 7, 10, -40, 100, 2**31, -(2**32), 2**53 + 1, 2**62, 2**63 - 1, -(2**63)]
_FLOATS = [
    0.0, -0.0, 0.1, 0.2, 0.3, 1.0, -1.0, 21.5, 1e16, -1e16, 5e-324, -5e-324, 2.2250738585072014e-308, 1e-9,
    1e300, -1e300, 1.7976931348623157e308, 2.0**53, np.inf, -np.inf, np.nan,
]  # fmt: skip

DURATIONS = np.array([0, 1, 5, 10, 15, 60, 2**40])
"""Durations of intervals."""

Column = NDArray[Any]


@dataclass(frozen=True)
class LawRows:
    """Rows of cases 0 to ``cases - 1``; ``key`` and ``time`` group and order them.

    ``inputs`` has a column for every input that a step can have; strings are indices into ``strings``.
    """

    cases: int
    case: NDArray[np.int64]
    key: NDArray[np.int64]
    inputs: dict[str, Column]
    strings: list[str]

    def __len__(self) -> int:
        return len(self.case)

    def take(self, index: NDArray[Any]) -> LawRows:
        """The rows at ``index``, in that order."""
        inputs = {name: values[index] for name, values in self.inputs.items()}
        return LawRows(self.cases, self.case[index], self.key[index], inputs, self.strings)

    def alone(self, case: int) -> LawRows:
        """One case's rows, as case 0."""
        found = self.take(np.flatnonzero(self.case == case))
        return LawRows(1, np.zeros(len(found), np.int64), found.key, found.inputs, self.strings)

    def described(self, names: tuple[str, ...]) -> list[tuple[object, ...]]:
        """The rows as tuples of the named inputs."""
        columns = [self.inputs[n].tolist() for n in names]
        return list(zip(*columns, strict=True)) if columns else [() for _ in range(len(self))]


def _values(rng: np.random.Generator, kind: Type, case: NDArray[np.int64], cases: int) -> Column:
    n = len(case)
    if kind is Type.BOOL:
        return rng.integers(0, 2, n)
    if kind is Type.STRING:
        return rng.integers(0, len(STRINGS), n)
    # Each case has its own kind of numbers: similar ones, ones far apart, or the extremes of the type.
    mood = rng.integers(0, 4, cases)[case]
    if kind is Type.FLOAT:
        alike = np.round(rng.normal(20, 8, n), 1)
        scale = rng.integers(-300, 300, cases)[case] + rng.integers(-40, 40, n)
        apart = np.ldexp(rng.normal(size=n), scale)
        wide = np.ldexp(rng.normal(size=n), rng.integers(-1074, 1000, n))
        return np.choose(mood, [alike, apart, wide, np.array(_FLOATS)[rng.integers(0, len(_FLOATS), n)]])
    small, large = rng.integers(-3, 4, n), rng.integers(-(2**40), 2**40, n)
    edges = np.array(_WHOLE)[rng.integers(0, len(_WHOLE), n)]
    return np.choose(mood, [small, large, rng.integers(-(2**63), 2**63 - 1, n), edges])


def random_rows(rng: np.random.Generator, cases: int, kind: Type | None, other: Type | None) -> LawRows:
    """``cases`` cases of up to MOST rows each, in order of (key, time) within a case; often with ties."""
    case = np.repeat(np.arange(cases), rng.integers(0, MOST + 1, cases))
    n = len(case)
    key, time = rng.integers(0, 3, n), rng.integers(0, 6, n) * 10
    order = np.lexsort([np.arange(n), time, key, case])
    case, key, time = case[order], key[order], time[order]
    value = np.zeros(n, np.int64) if kind is None else _values(rng, kind, case, cases)
    second = np.zeros(n, np.int64) if other is None else _values(rng, other, case, cases)
    if other is Type.DURATION:
        second = np.abs(second // 2)
    return given_rows(case, key, time, value, second, rng.choice(DURATIONS, n), rng.integers(0, 3, n), cases)


def given_rows(
    case: Column, key: Column, time: Column, value: Column, other: Column, duration: Column, known: Column, cases: int
) -> LawRows:
    """Rows with these values; the other inputs are derived from them."""
    bits = (value + 0.0).view(np.int64) if value.dtype == np.float64 else value
    inputs = {
        "value": value,
        "other": other,
        "before": np.roll(value, 1),
        "cond": value != 0,
        "flag": other != 0,
        "hash": _mixed(bits),
        "time": time,
        "tie": _mixed(key),
        "duration": duration,
        "known": known,
    }
    return LawRows(cases, case, key, inputs, STRINGS)


def _mixed(words: NDArray[np.int64]) -> NDArray[np.int64]:
    """A 64-bit hash of each word (the finaliser of splitmix64)."""
    z = words.view(np.uint64) ^ np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    out: NDArray[np.int64] = (z ^ (z >> np.uint64(31))).view(np.int64)
    return out


def cut_at(rows: LawRows, seam: NDArray[np.int64], same: bool) -> tuple[LawRows, LawRows]:
    """The rows as intervals, cut at their case's ``seam`` if it lies inside: the parts before and after it.

    A second piece has the same state: nothing changed (``flag``), and the previous value is its own if ``same``, that
    is, if both have the same type.
    """
    start = rows.inputs["time"]
    end = start + rows.inputs["duration"]
    at = seam[rows.case]
    inside = (start < at) & (at < end)
    before = rows.take(np.flatnonzero(start < at))
    before.inputs["duration"] = np.minimum(before.inputs["duration"], seam[before.case] - before.inputs["time"])
    late = np.flatnonzero((start >= at) | inside)
    after = rows.take(late)
    cut = inside[late]
    moved = np.where(cut, seam[after.case] - after.inputs["time"], 0)
    after.inputs["time"] = after.inputs["time"] + moved
    after.inputs["duration"] = after.inputs["duration"] - moved
    after.inputs["flag"] = after.inputs["flag"] & ~cut
    if same:
        after.inputs["other"] = np.where(cut, after.inputs["value"], after.inputs["other"])
    return before, after
