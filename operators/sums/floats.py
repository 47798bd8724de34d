"""Exact sums of floats of many groups: double-double, and a wide fixed-point accumulator where that is not exact.

The loops and the layout of the arrays are in ``operators.kernels.sums.float_sums`` and ``float_digits``. A sum has one
canonical form, however it was computed: the nearest float and its error if that is a float, else digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.kernels.sums import float_digits as loops
from operators.kernels.sums.float_digits import ABOVE, BLOCK, DIGITS, FIRST, LOWEST, TOP
from operators.kernels.sums.float_sums import BASE, BINS, FAST, FILLED, GIVEN, LOW, PAIR, SMALL_BINS, USED, add_each
from operators.sums.double_word import Twofold
from operators.sums.windowed import LARGEST_LOG, LOG

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Words = NDArray[np.int32]
Groups = NDArray[np.intp]

_FEW = 1 << 18
"""Words of bins that fit in a core's private cache."""

_LOST, _SAMPLE = 8, 1 << 16
"""Pairs are abandoned if more than one in so many numbers is not added exactly, once there are many numbers."""

_UNIT = 1 << (-1074 - LOWEST)
"""The unit of all floats, in units of digits."""


@dataclass(frozen=True)
class _Read:
    """The output of ``operators.kernels.sums.float_digits.read`` for some groups."""

    nearest: Floats
    pairs: Floats
    spans: Words
    digits: Words


class FloatTotals:
    """The exact sums of some groups; read them before anything is added."""

    lowest = -1074

    def __init__(self, read: Callable[[Groups, bool], _Read], groups: Groups) -> None:
        """``read`` reads groups, with digits or, faster, without."""
        self._read, self._groups = read, groups
        self._found = read(groups, False)

    def take(self, at: Groups) -> FloatTotals:
        """The sums of the groups ``at``."""
        return FloatTotals(self._read, self._groups[at])

    def twofold(self) -> Twofold:
        """The sums with about 100 bits; NaN if unknown, or if there were infinities or NaN."""
        high, low = self._found.pairs.T
        untold = np.zeros(len(high), np.bool_)
        untold[self._found.spans[:, 0]] = True
        return np.where(untold, np.nan, high), low

    def rounded(self) -> Floats:
        """The float64 nearest to each sum, ties to even; infinite beyond the largest."""
        return self._found.nearest

    def special(self) -> Floats:
        """The IEEE sum of infinities and NaN; 0 if there were none."""
        out = np.zeros(len(self._found.nearest))
        spans = self._found.spans
        at = spans[spans[:, 3] != 0, 0]
        out[at] = self._found.nearest[at]
        return out

    def integers(self) -> list[int]:
        """The sums in units of 2**lowest, without special values."""
        found = self._read(self._groups, True)
        out = [_integer(a) + _integer(b) for a, b in found.pairs.tolist()]
        digits, end = found.digits.tolist(), 0
        for j, first, count, _ in found.spans.tolist():
            start, end = end, end + count
            out[j] += sum(d << (32 * k) for k, d in enumerate(digits[start:end], first)) // _UNIT
        return out


def _integer(x: float) -> int:
    above, below = x.as_integer_ratio()
    return (above << -FloatTotals.lowest) // below


def _bin(bits: Ints) -> Ints:
    """The bins of the non-zero floats with these bits."""
    out: Ints = (bits[bits << 1 != 0] >> 57) & 63
    return out


def _last(bits: Ints) -> Ints:
    """The positions of the last bits of the non-zero floats with these bits, relative to 2**-1074."""
    exponent = (bits >> 52) & 0x7FF
    significand = (bits & (1 << 52) - 1) | np.where(exponent > 0, 1 << 52, 0)
    lowest = np.frexp((significand & -significand).astype(np.float64))[1] - 1
    out: Ints = np.maximum(exponent, 1) - 1 + lowest
    return out


def _digit(bits: Ints) -> Ints:
    """The numbers of the digits with the lowest bits of these floats."""
    out: Ints = np.maximum((bits >> 52) & 0x7FF, 1) + 1 >> 5
    return out


class FloatAccumulator:
    """One exact sum of floats per group: the rows and the log that a step fills, and the digits.

    Arrays that are arguments of steps are replaced only in ``make_room``, ``grow`` and ``merge``.
    """

    def __init__(self, groups: int, log: int = LOG) -> None:
        self.used = np.zeros(USED, np.int64)
        self.log = np.empty((2, log), np.int64)
        self.rows = np.zeros((groups, PAIR))
        self._place = np.full(groups, -1, np.int32)
        self._wide = np.zeros((0, FIRST), np.int64)
        self._outside = 0
        """Log entries since the bins were last changed."""
        self._patience = 1
        """A factor of the log entries needed to change the bins again; it grows eightfold with every change."""
        self._seen = 0
        """Rows since the bins were last changed."""

    # ---- the log

    def counted(self, rows: int) -> None:
        """Record that ``rows`` rows were folded."""
        self._seen += rows

    def make_room(self, rows: int = 1) -> None:
        """Make room in the log for ``rows`` more rows, and add bins for the numbers in it if there are many."""
        if rows <= self.log.shape[1] - self.used[FILLED]:
            return
        found = self.log[1, : self.used[FILLED]].copy() if self._has_rows() else None
        self._drain()
        if found is not None:
            self._outside += len(found)
            self._adapt(found)
            # Numbers without bins have occurred again.
            self._drain()
        # The log was full too soon.
        self._reserve(max(rows, min(2 * self.log.shape[1], LARGEST_LOG)))

    def _reserve(self, entries: int) -> None:
        """Make room in the log for ``entries`` more entries."""
        if entries > self.log.shape[1] - self.used[FILLED]:
            self._drain()
        if entries > self.log.shape[1]:
            self.log = np.empty((2, entries), np.int64)

    def _drain(self) -> None:
        """Move the log into digits."""
        at, room = np.zeros(1, np.int64), np.empty(4 * BLOCK, np.int64)
        while not loops.enter(self.log, at, self.used, self._place, self._wide, room):
            rest = self.log[1, at[0] : self.used[FILLED]]
            digits = _digit(rest)
            self._have(digits[digits < TOP], len(rest))

    # ---- digits

    def _have(self, digits: Ints, rows: int) -> None:
        """Make room for numbers whose lowest digits are these, and for ``rows`` more rows if there are groups for
        them."""
        low, count = int(self.used[LOW]), self._wide.shape[1] - FIRST
        high = low + count
        if len(digits):
            first, end = int(digits.min()), min(int(digits.max()) + ABOVE + 1, DIGITS)
            low, high = (min(low, first), max(high, end)) if count else (first, end)
        given, length = int(self.used[GIVEN]), len(self._wide)
        if given + rows > length:
            # For all groups: memory that is never written to is not allocated.
            length = len(self._place)
        if (low, high, length) == (int(self.used[LOW]), int(self.used[LOW]) + count, len(self._wide)):
            return
        old, at = self._wide[:given], FIRST + int(self.used[LOW]) - low
        self._wide = np.zeros((length, FIRST + high - low), np.int64)
        self._wide[:given, :FIRST] = old[:, :FIRST]
        self._wide[:given, at : at + count] = old[:, FIRST:]
        self.used[LOW] = low

    # ---- rows

    def _has_rows(self) -> bool:
        return self.rows.shape[1] > 0

    def _has_pairs(self) -> bool:
        return self.rows.shape[1] == PAIR

    def _adapt(self, found: Ints) -> None:
        """Add bins for most of the numbers with these bits, which were in the log, if there were enough of them; use no
        bins at all if there would be too many."""
        old = self.rows
        # What a pair lost are a number's last bits; a number has 53.
        bins = _last(found) + 1 >> 5 if self._has_pairs() else _bin(found)
        low, count = self._bins(bins)
        if not self._pays(count):
            return
        if self._has_pairs():
            low, count = self._bins(np.concatenate([bins, _bin(old[:, 0].copy().view(np.int64))]))
        if 2 * count * len(old) > _FEW:
            self._give_rows_up()
            return
        before, self.used[BASE], self.used[FAST] = int(self.used[BASE]), low, min(count, max(SMALL_BINS - low, 0))
        self.rows = np.zeros((len(old), 2 * count))
        if old.shape[1] == PAIR:
            self._add(np.arange(len(old)), old)
        else:
            at = 2 * (before - low)
            self.rows[:, at : at + old.shape[1]] = old
        self._patience, self._outside, self._seen = 8 * self._patience, 0, 0

    def _bins(self, bins: Ints) -> tuple[int, int]:
        """The lowest bin and the number of bins, for these and the existing ones."""
        held = np.cumsum(np.bincount(bins[bins < BINS], minlength=BINS))
        # A few bins far from all others do not justify longer rows.
        low, high = np.searchsorted(held, [held[-1] // 256 + 1, held[-1] - held[-1] // 256]).tolist()
        if not self._has_pairs():
            before = int(self.used[BASE])
            low, high = min(low, before), max(high, before + self.rows.shape[1] // 2 - 1)
        # At least two: a single one would mean the bin for all numbers.
        low = min(low, BINS - 2)
        return low, max(high - low + 1, 2)

    def _pays(self, count: int) -> bool:
        width, words = 2 * count, 2 * count * len(self.rows)
        if width <= self.rows.shape[1]:
            return False
        if words > _FEW:
            return _LOST * self._outside > self._seen + _SAMPLE
        return self._has_pairs() or 16 * self._outside >= self._patience * words

    def _give_rows_up(self) -> None:
        """From now on, pass all numbers through the log."""
        old, self.rows, self.used[FAST] = self.rows, np.zeros((len(self.rows), 0)), 0
        self._add(np.arange(len(old)), old)

    def _add(self, groups: Groups, rows: Floats) -> None:
        """Add the floats in a row to each of these groups."""
        for j in range(rows.shape[1]):
            some = np.flatnonzero(rows[:, j])
            for at in range(0, len(some), LARGEST_LOG):
                these = some[at : at + LARGEST_LOG]
                self._reserve(len(these))
                add_each(groups[these], rows[these, j], self.rows, self.log, self.used)

    def grow(self, capacity: int) -> None:
        """Make room for ``capacity`` groups."""
        groups = len(self._place)
        place = np.full(capacity, -1, np.int32)
        place[:groups] = self._place
        self._place = place
        rows = np.zeros((capacity, self.rows.shape[1]))
        rows[:groups] = self.rows
        self.rows = rows
        if not self._has_pairs() and rows.size > _FEW:
            self._drain()
            self._give_rows_up()

    def reset(self, groups: Groups) -> None:
        """Clear the sums of these groups."""
        self._drain()
        self.rows[groups] = 0.0
        self._wide[self._place[groups][self._place[groups] >= 0]] = 0

    def settle(self) -> None:
        """Nothing to do: reading returns the canonical form."""

    def relieve(self) -> None:
        """Move carries before a digit can overflow; floats cannot."""
        loops.carry_digits(self._wide[: self.used[GIVEN]])

    # ---- results

    def totals(self, groups: Groups) -> FloatTotals:
        """The canonical sums of these groups, in that order."""
        return FloatTotals(self._totals, groups)

    def _totals(self, groups: Groups, whole: bool) -> _Read:
        self._drain()
        n = len(groups)
        nearest, pairs = np.zeros(n), np.zeros((n, PAIR))
        spans, digits = np.zeros((0, 4), np.int32), np.zeros(0, np.int32)
        filled, room = np.array([0, 0, 0, whole]), np.zeros(DIGITS, np.int64)
        given = (self.rows, self.used, groups.astype(np.int64), self._place, self._wide, nearest, pairs)
        while loops.read(*given, spans, digits, filled, room) < n:
            # Estimate: as many per remaining group as per finished group.
            done, used, written = filled[:3].tolist()
            left = n - done
            spans = _longer(spans, used, left + 1)
            if whole:
                digits = _longer(digits, written, (written // max(done, 1) + 1) * left + 2 * DIGITS)
        return _Read(nearest, pairs, spans[: filled[1]], digits[: filled[2]])

    def export(self, name: str, groups: int) -> dict[str, Any]:
        """The sums of the first ``groups`` as arrays to be sent: ``name`` for the pairs, ``name_spans`` and
        ``name_digits`` for the digits."""
        found = self._totals(np.arange(groups), True)
        return {name: found.pairs, f"{name}_spans": found.spans, f"{name}_digits": found.digits}

    def merge(self, name: str, at: NDArray[np.intp], part: Mapping[str, Any]) -> None:
        """Add exported sums: those of their group j to group ``at[j]``; the ``at`` are distinct.

        ValueError for an invalid state: it may come from another process, and the loops do not check bounds.
        """
        pairs, spans, digits = part[name], part[f"{name}_spans"], part[f"{name}_digits"]
        shapes = (pairs.shape, spans.shape[1:], digits.shape[1:])
        if (pairs.dtype, spans.dtype, digits.dtype, *shapes) != (float, "i4", "i4", (len(at), PAIR), (4,), ()):
            raise ValueError(f"{name} is not a state of sums of {len(at)} groups")
        number, first, count, bits = spans.astype(np.int64).T
        outside = (number < 0) | (number >= len(at)) | (first < 0) | (count < 0) | (first + count > DIGITS)
        if outside.any() or (bits & ~7).any() or int(count.sum()) != len(digits):
            raise ValueError(f"{name} has digits of unknown groups or places")
        self._add(at, pairs)
        if len(spans):
            self._have(np.concatenate([first, first + np.maximum(count, 1) - 1]), len(spans))
            given = (np.ascontiguousarray(spans), np.ascontiguousarray(digits), at.astype(np.int64))
            loops.enter_digits(*given, self.used, self._place, self._wide)


def _longer(words: Words, filled: int, more: int) -> Words:
    """A copy with room for ``more`` entries after the filled ones."""
    out = np.empty((filled + more, *words.shape[1:]), np.int32)
    out[:filled] = words[:filled]
    return out
