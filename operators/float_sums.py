"""Exact sums of floats of many groups: pairs of floats, and digits for what no pair can tell.

The loops, and the meaning of the arrays, are in ``operators.kernels.floats``. A sum has one canonical form, whatever
way it was reached: the float nearest to it and what that lacks, if that is a float too; else digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.accumulators import LOG, Logged
from operators.kernels import floats
from operators.kernels.floats import BASE, BINS, DIGITS, FILLED, LOWEST, PAIR, SPECIAL, place_of_digit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FEW = 1 << 18
"""Words of rows that are not worth saving."""


@dataclass(frozen=True)
class FloatTotals:
    """The exact sums of some groups, to be read: ``nearest``, and what ``operators.kernels.floats.read`` tells.

    ``entries`` are the digits of the sums that no pair of floats is.
    """

    nearest: Floats
    pairs: Floats
    entries: Ints

    lowest = LOWEST

    def rounded(self) -> Floats:
        """The float64 nearest to each sum, ties to even; infinite beyond the largest."""
        return self.nearest

    def special(self) -> Floats:
        """What infinities and NaN add up to as IEEE adds them; 0 where there were none."""
        out = np.zeros(len(self.pairs))
        at = self.entries[place_of_digit(self.entries[:, 1]) == SPECIAL, 0]
        out[at] = self.nearest[at]
        return out

    def integers(self) -> list[int]:
        """The sums in units of 2**lowest; special values count as nothing."""
        out = [_integer(a) + _integer(b) for a, b in self.pairs.tolist()]
        places = place_of_digit(self.entries[:, 1])
        digits = self.entries[:, 1] - (places << 32)
        for j, k, digit in zip(self.entries[:, 0].tolist(), places.tolist(), digits.tolist(), strict=True):
            if k != SPECIAL:
                out[j] += digit << (32 * k)
        return out


def _integer(x: float) -> int:
    above, below = x.as_integer_ratio()
    return (above << -LOWEST) // below


def _bin(bits: Ints) -> Ints:
    """The bins of the floats with these bits that are not zero."""
    out: Ints = (bits[bits << 1 != 0] >> 57) & 63
    return out


def _last(bits: Ints) -> Ints:
    """The places of the last bits of the floats with these bits, that are not zero, in units of 2**LOWEST."""
    exponent = (bits >> 52) & 0x7FF
    significand = (bits & (1 << 52) - 1) | np.where(exponent > 0, 1 << 52, 0)
    lowest = np.frexp((significand & -significand).astype(np.float64))[1] - 1
    out: Ints = np.maximum(exponent, 1) - 1 + lowest
    return out


class FloatAccumulator(Logged):
    """One exact sum of floats per group: the rows and the log that a step fills, and what has been taken out."""

    def __init__(self, groups: int, log: int = LOG) -> None:
        super().__init__(log, 2, 2)
        self.rows = np.zeros((groups, PAIR))
        self._place = np.full(groups, -1, np.int32)
        self._wide = np.zeros((0, DIGITS + 1), np.int64)
        self._given = 0
        self._outside = 0
        """Entries of the log since there are these bins."""
        self._patience = 1
        """More of them are asked for every time."""

    def make_room(self, rows: int = 1) -> None:
        """Have room in the log for so many more rows, and bins for such numbers as it holds if they are many."""
        if self._is_short_of(rows):
            found = self.log[: self.used[FILLED], 1].copy()
            self._drain()
            self._outside += len(found)
            self._adapt(found)
            # Numbers for which there are no bins now are there again.
            self._drain()
            self._enlarge(rows)

    def _drain(self) -> None:
        n = int(self.used[FILLED])
        if n:
            self._give_rows(self.log, n)
            floats.enter(self.log, self.used, self._place, self._wide)

    def _give_rows(self, entries: Ints, n: int) -> None:
        self._given = floats.give_rows(entries, n, self._place, self._given)
        if self._given > len(self._wide):
            wide = np.zeros((min(2 * self._given, len(self.rows)), DIGITS + 1), np.int64)
            wide[: len(self._wide)] = self._wide
            self._wide = wide

    def _adapt(self, found: Ints) -> None:
        """Have bins for most of the numbers of which these bits were in the log, if there were so many that it pays."""
        old = self.rows
        # What a pair lost of a number are its last bits; a number has 53.
        bins = _last(found) + 1 >> 5 if self._has_pairs() else _bin(found)
        low, count = self._bins(bins)
        if not self._pays(count):
            return
        if self._has_pairs():
            low, count = self._bins(np.concatenate([bins, _bin(old[:, 0].copy().view(np.int64))]))
            if not self._pays(count):
                return
        before, self.used[BASE] = int(self.used[BASE]), low
        self.rows = np.zeros((len(old), 2 * count))
        if old.shape[1] == PAIR:
            self._add(np.arange(len(old)), old)
        else:
            at = 2 * (before - low)
            self.rows[:, at : at + old.shape[1]] = old
        self._patience, self._outside = 8 * self._patience, 0

    def _bins(self, bins: Ints) -> tuple[int, int]:
        """The lowest bin and their number, for these and for those that there are."""
        held = np.cumsum(np.bincount(bins[bins < BINS], minlength=BINS))
        # A few far away from all others are no reason to make every row longer.
        low, high = np.searchsorted(held, [held[-1] // 256 + 1, held[-1] - held[-1] // 256]).tolist()
        if not self._has_pairs():
            before = int(self.used[BASE])
            low, high = min(low, before), max(high, before + self.rows.shape[1] // 2 - 1)
        # Two at least: a single one would be as wide as what takes all numbers.
        low = min(low, BINS - 2)
        return low, max(high - low + 1, 2)

    def _pays(self, count: int) -> bool:
        width, words = 2 * count, 2 * count * len(self.rows)
        if width <= self.rows.shape[1] or words > max(_FEW, 4 * self._given * DIGITS):
            return False
        return (words <= _FEW and self._has_pairs()) or 16 * self._outside >= self._patience * words

    def _has_pairs(self) -> bool:
        return self.rows.shape[1] == PAIR

    def _add(self, groups: NDArray[np.intp], pairs: Floats) -> None:
        """Add a pair to each of these groups."""
        for j in range(PAIR):
            some = np.flatnonzero(pairs[:, j])
            if self._is_short_of(len(some)):
                self._drain()
                self._enlarge(len(some))
            floats.add_each(groups[some], pairs[some, j], self.rows, self.log, self.used)

    def grow(self, capacity: int) -> None:
        """Make room for ``capacity`` groups."""
        rows = np.zeros((capacity, self.rows.shape[1]))
        rows[: len(self.rows)] = self.rows
        place = np.full(capacity, -1, np.int32)
        place[: len(self._place)] = self._place
        self.rows, self._place = rows, place

    def reset(self, groups: NDArray[np.intp]) -> None:
        """Forget the sums of these groups."""
        self._drain()
        self.rows[groups] = 0.0
        self._wide[self._place[groups][self._place[groups] >= 0]] = 0

    def settle(self) -> None:
        """Nothing to do: what is read is canonical."""

    def relieve(self) -> None:
        """Carry before any digit can overflow; floats do not."""
        floats.carry_digits(self._wide)

    def totals(self, groups: NDArray[np.intp]) -> FloatTotals:
        """The canonical sums of these groups, in that order."""
        self._drain()
        n = len(groups)
        nearest, pairs, entries = np.zeros(n), np.zeros((n, PAIR)), np.zeros((0, 2), np.int64)
        filled, digits = np.zeros(2, np.int64), np.zeros(DIGITS, np.int64)
        given = (self.rows, self.used, groups.astype(np.int64), self._place, self._wide, nearest, pairs)
        while floats.read(*given, entries, filled, digits) < n:
            # As many for each group that is left as for those that are done.
            done, used = int(filled[0]), int(filled[1])
            more = np.empty((used + (used // max(done, 1) + 1) * (n - done) + 2 * DIGITS, 2), np.int64)
            more[:used] = entries[:used]
            entries = more
        return FloatTotals(nearest, pairs, entries[: filled[1]])

    def export(self, name: str, groups: int) -> dict[str, Any]:
        """The sums of the first ``groups`` as the arrays of a state that travels: ``name``, the pairs, and
        ``name_digits``, the digits."""
        found = self.totals(np.arange(groups))
        return {name: found.pairs, f"{name}_digits": found.entries}

    def merge(self, name: str, at: NDArray[np.intp], part: Mapping[str, Any]) -> None:
        """Add sums that were exported: those of its group j to group ``at[j]``, each of which is another.

        ValueError for what is no such state: it may come from another process, and the loops check no bounds.
        """
        pairs, entries = part[name], part[f"{name}_digits"]
        if (pairs.dtype, pairs.shape, entries.dtype, entries.shape[1:]) != (float, (len(at), PAIR), int, (2,)):
            raise ValueError(f"{name} is no state of sums of {len(at)} groups")
        numbers, places = entries[:, 0], place_of_digit(entries[:, 1])
        if ((numbers < 0) | (numbers >= len(at)) | (places < 0) | (places > SPECIAL)).any():
            raise ValueError(f"{name} has digits of groups or places that there are not")
        self._add(at, pairs)
        if len(entries):
            self._give_rows(np.ascontiguousarray(at[entries[:, :1]]), len(entries))
            floats.enter_digits(np.ascontiguousarray(entries), at.astype(np.int64), self._place, self._wide)
