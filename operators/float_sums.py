"""Exact sums of floats of many groups: two floats each, and an ``Accumulator`` for those of which two cannot tell all.

The loop is ``operators.kernels.exact.add_float``. A sum has one canonical form, whatever way it was reached: the float
nearest to it and what that lacks, if that is a float too; else zeros, and the canonical window of the accumulator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.accumulators import LOG, Accumulator, Log, Totals
from operators.kernels.exact import LARGEST

LOWEST = -1074
"""The exponent of the unit: every float is a multiple of 2**LOWEST."""

_DIGITS = 7

Floats = NDArray[np.float64]


def two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """The float nearest to a + b, and what it lacks, exactly (Knuth, TAOCP 2, 4.2.2, theorem B)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@dataclass(frozen=True)
class FloatTotals:
    """The exact sums of some groups, to be read: ``pairs``, and for the groups ``apart`` (positions) ``wide``."""

    pairs: Floats
    apart: NDArray[np.intp]
    wide: Totals

    lowest = LOWEST

    def rounded(self) -> Floats:
        """The float64 nearest to each sum, ties to even; infinite beyond the largest."""
        # The first of a pair is that already.
        out = self.pairs[:, 0].copy()
        out[self.apart] = self.wide.rounded()
        return out

    def special(self) -> Floats:
        """What infinities and NaN add up to as IEEE adds them; 0 where there were none."""
        out = np.zeros(len(self.pairs))
        out[self.apart] = self.wide.special()
        return out

    def integers(self) -> list[int]:
        """The sums in units of 2**lowest; special values count as nothing."""
        out = [_integer(a) + _integer(b) for a, b in self.pairs.tolist()]
        for g, n in zip(self.apart.tolist(), self.wide.integers(), strict=True):
            out[g] = n
        return out


def _integer(x: float) -> int:
    above, below = x.as_integer_ratio()
    return (above << -LOWEST) // below


class FloatAccumulator:
    """One exact sum of floats per group: the pairs and the log that a step fills, and what has been taken out."""

    def __init__(self, groups: int, log: int = LOG) -> None:
        self.rows = np.zeros((groups, 2))
        self.logged = Log(log)
        self._wide: Accumulator | None = None

    @property
    def log(self) -> NDArray[np.int64]:
        """The entries of the log."""
        return self.logged.entries

    @property
    def used(self) -> NDArray[np.int64]:
        """How many of them are filled."""
        return self.logged.used

    def make_room(self, rows: int = 1) -> None:
        """Have room in the log for so many more rows."""
        if self.logged.is_short_of(rows):
            self._drain()
            self.logged.enlarge(rows)

    def _drain(self) -> None:
        if self.used[0]:
            self._accumulator().take(self.logged)

    def _accumulator(self) -> Accumulator:
        if self._wide is None:
            self._wide = Accumulator(len(self.rows), _DIGITS, LOWEST)
        return self._wide

    def grow(self, capacity: int) -> None:
        """Make room for ``capacity`` groups."""
        rows = np.zeros((capacity, 2))
        rows[: len(self.rows)] = self.rows
        self.rows = rows
        if self._wide is not None:
            self._wide.grow(capacity)

    def reset(self, groups: NDArray[np.intp]) -> None:
        """Forget the sums of these groups."""
        self._drain()
        self.rows[groups] = 0.0
        if self._wide is not None:
            self._wide.reset(groups)

    def settle(self) -> None:
        """Move carries among the sums that were merged."""
        if self._wide is not None:
            self._wide.settle()

    def relieve(self) -> None:
        """Take the sums out of the windows, before one can overflow; pairs cannot."""
        if self._wide is not None:
            self._wide.relieve()

    def totals(self, groups: NDArray[np.intp]) -> FloatTotals:
        """The canonical sums of these groups, in that order."""
        self._drain()
        total, rest = two_sum(*self.rows[groups].T)
        pairs = np.stack([total, rest], axis=1)
        apart = np.flatnonzero(self._wide.is_filled(groups)) if self._wide is not None else np.zeros(0, np.intp)
        if self._wide is None or len(apart) == 0:
            return FloatTotals(pairs, apart, Totals.none(_DIGITS, LOWEST))
        every = np.arange(len(apart))
        whole = Accumulator(len(apart), _DIGITS, LOWEST, log=0)
        whole.merge_totals(every, self._wide.totals(groups[apart]))
        for j in (0, 1):
            whole.add(every, pairs[apart, j])
        wide = whole.totals(every)
        # Two floats that are left nothing of when they are taken off are the canonical form.
        left = wide
        for j in (0, 1):
            nearest = left.rounded()
            fits = np.abs(nearest) < LARGEST  # false for NaN, too
            pairs[apart, j] = np.where(fits, nearest, 0.0)
            whole.add(every, -pairs[apart, j])
            left = whole.totals(every)
        some = left.is_something()
        pairs[apart[some]] = 0.0
        return FloatTotals(pairs, apart[some], wide.of(np.flatnonzero(some)))

    def export(self, name: str, groups: int) -> dict[str, Any]:
        """The sums of the first ``groups`` as the arrays of a state that travels: ``name``, ``name_wide`` (with the
        group's number before each window) and ``name_beyond``."""
        found = self.totals(np.arange(groups))
        rows = np.concatenate([found.apart[:, None], found.wide.rows], axis=1)
        return {name: found.pairs, f"{name}_wide": rows, f"{name}_beyond": found.wide.beyond_of(found.apart)}

    def merge(self, name: str, at: NDArray[np.intp], part: dict[str, Any]) -> None:
        """Add sums that were exported: those of its group j to group ``at[j]``, each of which is another."""
        first, second = part[name].T
        total, a = two_sum(self.rows[at, 0], first)
        rest, b = two_sum(self.rows[at, 1], second)
        rest, c = two_sum(rest, a)
        small = np.abs(total) < LARGEST
        self.rows[at[small]] = np.stack([total, rest], axis=1)[small]
        for values, chosen in ((first, ~small), (second, ~small), (b, small & (b != 0)), (c, small & (c != 0))):
            if chosen.any():
                self._accumulator().add(at[chosen], values[chosen])
        wide = part[f"{name}_wide"]
        if len(wide):
            groups = wide[:, 0]
            totals = Totals.with_beyond(wide[:, 1:].copy(), part[f"{name}_beyond"], groups, LOWEST)
            self._accumulator().merge_totals(at[groups], totals)
