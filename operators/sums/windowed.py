"""Windowed superaccumulators: exact sums of many groups, as windows of digits and integers for what lies outside.

The loops are in ``operators.kernels.sums.windowed_sums``. A sum has one canonical form, however it was computed: digits
in [0, 2**32) from the lowest non-zero one, the window's last digit signed; only if that exceeds ``_LIMIT``, the rest is
a separate integer of any size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.distinct_values import distinct
from operators.kernels.sums.windowed_sums import BASE, FIRST, LOGGED, NEGATIVE, POSITIVE, SPECIAL, STEP, UNSET, refold
from operators.sums.double_word import Twofold, add
from operators.sums.rounding import ratio

MASK = 0xFFFFFFFF

LOG, LARGEST_LOG = 1024, 1 << 16
"""Initial and maximum entries of a log; a full one is emptied and enlarged."""

_LIMIT = 1 << 40
"""The limit of the last digit of a canonical window: far from overflow in any merge."""

_LINE = 8
"""Words of a cache line."""

_AT_ONCE = 4096
"""Groups that are processed together: their digits fit in a core's cache."""

Rows = NDArray[np.int64]


def empty_rows(groups: int, digits: int) -> Rows:
    """Empty sums, as digits."""
    rows = np.zeros((groups, FIRST + digits), np.int64)
    rows[:, BASE] = UNSET
    return rows


def empty_windows(groups: int, digits: int) -> Rows:
    """Empty windows for steps to fill, with accumulators that cover ``digits``."""
    width = FIRST + 2 * (digits - 4)
    room = np.zeros(groups * width + _LINE, np.int64)
    # Rows of eight words are one cache line each, if the first row is aligned.
    skip = -(room.ctypes.data // 8) % _LINE
    rows = room[skip : skip + groups * width].reshape(groups, width)
    rows[:, BASE] = UNSET
    return rows


def digits_of(windows: Rows) -> Rows:
    """The sums of windows in digits of 32 bits, the last one signed, before carries are moved."""
    parts = [_digits(windows[at : at + _AT_ONCE]) for at in range(0, len(windows), _AT_ONCE)]
    return np.concatenate(parts) if parts else _digits(windows)


def _digits(windows: Rows) -> Rows:
    count = (windows.shape[1] - FIRST) // 2
    rows = empty_rows(len(windows), count + 4)
    rows[:, SPECIAL] = windows[:, SPECIAL]
    filled = windows[:, BASE] != UNSET
    lowest = np.where(filled, windows[:, BASE] - STEP, 0)
    rows[filled, BASE] = lowest[filled] >> 5
    shift = lowest & 31
    for k in range(count):
        low, high = windows[:, FIRST + 2 * k], windows[:, FIRST + 2 * k + 1]
        # Digits are at multiples of 32 bits, windows anywhere: each part is split over two digits.
        for j, part in enumerate((low & MASK, (low >> 32) & MASK, high & MASK, high >> 32)):
            rows[:, FIRST + k + j] += (part << shift) & MASK
            rows[:, FIRST + k + j + 1] += part >> (32 - shift)
    return rows


def carry(rows: Rows) -> None:
    """Move carries, in place: every digit but the last is then in [0, 2**32), the last is signed."""
    for at in range(0, len(rows), _AT_ONCE):
        digits = rows[at : at + _AT_ONCE, FIRST:]
        for i in range(digits.shape[1] - 1):
            column = digits[:, i]
            over = column >> 32
            if over.any():
                digits[:, i + 1] += over
                column &= MASK


def normalise(rows: Rows) -> NDArray[np.intp]:
    """Bring windows into canonical form, in place; returns the rows whose last digit is too large."""
    carry(rows)
    for at in range(0, len(rows), _AT_ONCE):
        _shift(rows[at : at + _AT_ONCE])
    return np.flatnonzero(np.abs(rows[:, -1]) > _LIMIT)


def _shift(rows: Rows) -> None:
    """Start each window at its lowest non-zero digit."""
    digits = rows[:, FIRST:]
    filled = digits != 0
    some = filled.any(axis=1)
    rows[~some, BASE] = UNSET
    skip = np.where(some, filled.argmax(axis=1), 0)
    moved = np.flatnonzero(skip)
    if len(moved) == 0:
        return
    width = digits.shape[1]
    by = skip[moved]
    source = np.arange(width) + by[:, None]
    part = np.take_along_axis(digits[moved], np.minimum(source, width - 1), axis=1)
    part[source >= width] = 0
    rows[moved, FIRST:] = part
    rows[moved, BASE] += by
    # The previous last digit is signed and may be long: its sign moves to the new last one.
    again = rows[moved]
    carry(again)
    rows[moved] = again


def _windows(values: Mapping[int, int], width: int) -> tuple[NDArray[np.int64], Rows, dict[int, int]]:
    """Integers by group as canonical windows (without bits of special values), and what does not fit in them."""
    rows, rest = empty_rows(len(values), width), {}
    for i, (g, n) in enumerate(values.items()):
        if n == 0:
            continue
        base = ((n & -n).bit_length() - 1) >> 5
        n >>= 32 * base
        rows[i, BASE] = base
        for j in range(width - 1):
            rows[i, FIRST + j] = n & MASK
            n >>= 32
        if abs(n) > _LIMIT:
            rest[g], n = n, 0
        rows[i, -1] = n
    return np.fromiter(values, np.int64, len(values)), rows, rest


def _integer(row: NDArray[np.int64]) -> int:
    """The digits of one row as an integer."""
    if row[BASE] == UNSET:
        return 0
    total = sum(d << (32 * j) for j, d in enumerate(row[FIRST:].tolist()))
    moved: int = total << (32 * int(row[BASE]))
    return moved


@dataclass(frozen=True)
class WindowedTotals:
    """The exact sums of some groups: canonical ``rows`` and, for a few, the integer ``beyond`` them.

    ``lowest`` is the exponent of the unit: sums are multiples of 2**lowest.
    """

    rows: Rows
    beyond: Mapping[int, int]
    lowest: int

    def integers(self) -> list[int]:
        """The sums in units of 2**lowest, without special values."""
        out = [_integer(row) for row in self.rows]
        for g, n in self.beyond.items():
            out[g] += n << _above(self.rows[g])
        return out

    def take(self, at: NDArray[np.intp]) -> WindowedTotals:
        """The sums of the groups ``at``."""
        beyond = {i: self.beyond[g] for i, g in enumerate(at.tolist()) if g in self.beyond}
        return WindowedTotals(self.rows[at], beyond, self.lowest)

    def twofold(self) -> Twofold:
        """The sums with about 100 bits; NaN if unknown, or if there were infinities or NaN."""
        digits = self.rows[:, FIRST:]
        # The last digit may be longer than a float's significand.
        parts = [digits[:, -1] >> 32, digits[:, -1] & MASK, *digits[:, -2::-1].T]
        place = 32 * (np.maximum(self.rows[:, BASE], 0) + digits.shape[1]) + self.lowest
        zero = np.zeros(len(self.rows))
        out: Twofold = zero, zero
        with np.errstate(all="ignore"):
            for j, part in enumerate(parts):
                out = add(out, (np.ldexp(part.astype(np.float64), (place - 32 * j).astype(np.int32)), zero))
        # Unknown, too, below the smallest float.
        untold = (self.rows[:, SPECIAL] != 0) | ((out[0] == 0) & (digits != 0).any(axis=1))
        untold[list(self.beyond)] = True
        return np.where(untold, np.nan, out[0]), out[1]

    def special(self) -> NDArray[np.float64]:
        """The IEEE sum of infinities and NaN; 0 if there were none."""
        bits = self.rows[:, SPECIAL]
        both = (bits & POSITIVE != 0) & (bits & NEGATIVE != 0)
        out = np.where(bits & POSITIVE != 0, np.inf, np.where(bits & NEGATIVE != 0, -np.inf, 0.0))
        return np.where((bits & 1 != 0) | both, np.nan, out)

    def rounded(self) -> NDArray[np.float64]:
        """The float64 nearest to each sum, ties to even; infinite beyond the largest."""
        parts = [_round(self.rows[at : at + _AT_ONCE], self.lowest) for at in range(0, len(self.rows), _AT_ONCE)]
        out = np.concatenate([np.zeros(0), *parts])
        if self.beyond:
            whole = WindowedTotals(self.rows[list(self.beyond)], dict(enumerate(self.beyond.values())), self.lowest)
            for g, n in zip(self.beyond, whole.integers(), strict=True):
                out[g] = ratio(n, 1, self.lowest)
        bits = self.special()
        return np.where(bits == 0, out, bits)


def _round(rows: Rows, lowest: int) -> NDArray[np.float64]:
    groups, width = len(rows), rows.shape[1] - FIRST
    if groups == 0:
        return np.zeros(0)
    chunks = rows[:, FIRST:].copy()
    negative = chunks[:, -1] < 0
    if negative.any():
        flipped = np.zeros((int(negative.sum()), FIRST + width), np.int64)
        flipped[:, FIRST:] = -chunks[negative]
        carry(flipped)
        chunks[negative] = flipped[:, FIRST:]
    # The last digit may exceed 32 bits: split it in two.
    chunks = np.concatenate([chunks, (chunks[:, -1] >> 32)[:, None]], axis=1)
    chunks[:, -2] &= MASK
    row = np.arange(groups)
    # The leading digit, and the 64 bits from its leading one; anything below only decides a tie.
    top = width - np.argmax(chunks[:, ::-1] != 0, axis=1)
    lead = chunks[row, top].astype(np.uint64)
    second = np.where(top >= 1, chunks[row, np.maximum(top - 1, 0)], 0).astype(np.uint64)
    third = np.where(top >= 2, chunks[row, np.maximum(top - 2, 0)], 0).astype(np.uint64)
    below = np.cumsum(chunks != 0, axis=1)
    sticky = np.where(top >= 3, below[row, np.maximum(top - 3, 0)] > 0, False)
    length = np.frexp(lead.astype(np.float64))[1].astype(np.uint64)
    length = np.where(lead == 0, np.uint64(1), np.maximum(length, np.uint64(1)))
    spare = np.uint64(32) - np.minimum(length, np.uint64(32))
    high = (lead << np.uint64(32)) | second
    window = (high << spare) | np.where(spare > 0, third >> (np.uint64(32) - spare), np.uint64(0))
    lost = (third << spare) & np.uint64(MASK)
    window |= (sticky | (lost != 0)).astype(np.uint64)
    exponent = 32 * (top.astype(np.int64) - 1 + np.maximum(rows[:, BASE], 0)) - spare.astype(np.int64) + lowest
    # A multiple of 2**lowest has no bits that subnormals would round a second time.
    with np.errstate(over="ignore"):
        out: NDArray[np.float64] = np.ldexp(window.astype(np.float64), exponent.astype(np.int32))
    return np.where(negative, -out, out)


class Accumulator:
    """One exact sum per group: the windows and the log that a step fills, and what was moved out of both."""

    def __init__(self, groups: int, digits: int, lowest: int, log: int = LOG) -> None:
        self.digits, self.lowest = digits, lowest
        self.rows = empty_windows(groups, digits)
        self.log = np.zeros((log, 4), np.int64)
        self.used = np.zeros(1, np.int64)
        self._merged: Rows | None = None
        self._beyond: dict[int, int] = {}
        """By group, in units of 2**lowest."""

    def make_room(self, rows: int = 1) -> None:
        """Make room in the log for ``rows`` more rows."""
        if int(self.used[0]) + LOGGED * rows > len(self.log):
            self._drain()
            self.log = np.zeros((max(min(2 * len(self.log), LARGEST_LOG), LOGGED * rows), 4), np.int64)

    def _drain(self) -> None:
        """Empty the log into the windows; what lies outside goes into integers of any size."""
        if self.used[0]:
            refold(self.rows, self.log, self.used)
        n = int(self.used[0])
        self.used[0] = 0
        if n == 0:
            return
        order = np.lexsort([self.log[:n, 1], self.log[:n, 0]])
        g, place, word, sign = self.log[:n][order].T
        new = np.ones(n, np.bool_)
        new[1:] = (g[1:] != g[:-1]) | (place[1:] != place[:-1])
        starts = np.flatnonzero(new)
        # Far fewer than 2**31 entries with digits below 2**32: no sum overflows.
        halves = [((word & MASK) ^ sign) - sign, (((word >> 32) & MASK) ^ sign) - sign]
        low, high = (np.add.reduceat(h, starts).tolist() for h in halves)
        for group, at, a, b in zip(g[starts].tolist(), place[starts].tolist(), low, high, strict=True):
            self._beyond[group] = self._beyond.get(group, 0) + ((a + (b << 32)) << at)

    def grow(self, capacity: int) -> None:
        """Make room for ``capacity`` groups."""
        rows = empty_windows(capacity, self.digits)
        rows[: len(self.rows)] = self.rows
        self.rows = rows
        if self._merged is not None:
            merged = empty_rows(capacity, self.digits)
            merged[: len(self._merged)] = self._merged
            self._merged = merged

    def reset(self, groups: NDArray[np.intp]) -> None:
        """Clear the sums of these groups."""
        self._drain()
        self.rows[groups] = empty_windows(1, self.digits)
        if self._merged is not None:
            self._merged[groups] = empty_rows(1, self.digits)
        if self._beyond:
            for g in groups.tolist():
                self._beyond.pop(g, None)

    def settle(self) -> None:
        """Move carries in the merged sums."""
        if self._merged is not None:
            carry(self._merged)

    def relieve(self) -> None:
        """Move the sums out of the windows before one can overflow."""
        totals = self.totals(np.arange(len(self.rows)))
        self.rows = empty_windows(len(self.rows), self.digits)
        self._merged, self._beyond = None, {}
        self.merge_totals(np.arange(len(self.rows)), totals)

    def totals(self, groups: NDArray[np.intp]) -> WindowedTotals:
        """The canonical sums of these groups, in that order."""
        self._drain()
        rows = digits_of(self.rows[groups])
        place = dict(zip(groups.tolist(), range(len(groups)), strict=True)) if self._beyond else {}
        whole = {place[g]: n for g, n in self._beyond.items() if g in place}
        if self._merged is not None:
            merged = self._merged[groups]
            # Steps fill one state and merges another: both are rarely non-empty.
            both = (merged[:, BASE] != UNSET) & (rows[:, BASE] != UNSET)
            for i in np.flatnonzero(both).tolist():
                whole[i] = whole.get(i, 0) + _integer(rows[i])
            special = rows[:, SPECIAL] | merged[:, SPECIAL]
            rows = np.where((merged[:, BASE] != UNSET)[:, None], merged, rows)
            rows[:, SPECIAL] = special
        late = normalise(rows)
        for i in late.tolist():
            whole.setdefault(i, 0)
        if not whole:
            return WindowedTotals(rows, {}, self.lowest)
        for i in whole:
            whole[i] += _integer(rows[i])
        at, windows, rest = _windows(whole, self.digits)
        windows[:, SPECIAL] = rows[at, SPECIAL]
        rows[at] = windows
        return WindowedTotals(rows, rest, self.lowest)

    def export(self, name: str, groups: int) -> dict[str, Any]:
        """The sums of the first ``groups`` as arrays to be sent: ``name`` and ``name_beyond``."""
        found = self.totals(np.arange(groups))
        return {name: found.rows, f"{name}_beyond": beyond_out(found.beyond)}

    def merge(self, name: str, at: NDArray[np.intp], part: Mapping[str, Any]) -> None:
        """Add exported sums: those of their group j to group ``at[j]``; the ``at`` are distinct."""
        self.merge_totals(at, WindowedTotals(part[name], beyond_in(part[f"{name}_beyond"]), self.lowest))

    def merge_totals(self, at: NDArray[np.intp], totals: WindowedTotals) -> None:
        """Add canonical sums: number j to group ``at[j]``; the ``at`` are distinct."""
        rows = totals.rows
        if self._merged is None:
            self._merged = empty_rows(len(self.rows), self.digits)
        mine = self._merged[at]
        mine[:, SPECIAL] |= rows[:, SPECIAL]
        fresh = mine[:, BASE] == UNSET
        mine[fresh, BASE] = rows[fresh, BASE]
        step = np.where(rows[:, BASE] == UNSET, 0, rows[:, BASE] - mine[:, BASE])
        near = step == 0
        mine[near, FIRST:] += rows[near, FIRST:]
        if not near.all():
            self._merge_apart(at, mine, rows, step)
        self._merged[at] = mine
        for j, n in totals.beyond.items():
            g = int(at[j])
            self._beyond[g] = self._beyond.get(g, 0) + (n << _above(rows[j]))

    def _merge_apart(self, at: NDArray[np.intp], mine: Rows, rows: Rows, step: NDArray[np.int64]) -> None:
        """Merge rows whose windows start elsewhere than their targets."""
        for k in distinct(step[step != 0]).tolist():
            chosen = np.flatnonzero(step == k)
            low, high = mine[chosen], rows[chosen]
            if k < 0:
                carry(low)
                low, high = high.copy(), low
            raised, fits = _raised(high[:, FIRST:], min(abs(k), self.digits))
            low[:, FIRST:] += raised
            low[:, SPECIAL] = mine[chosen, SPECIAL]
            mine[chosen[fits]] = low[fits]
            for j in chosen[~fits].tolist():
                g = int(at[j])
                self._beyond[g] = self._beyond.get(g, 0) + _integer(rows[j])


def _above(row: NDArray[np.int64]) -> int:
    """The place, in bits, of the integer beyond a window: that of the window's last digit."""
    return 32 * (len(row) - FIRST - 1 + max(int(row[BASE]), 0))


def _raised(digits: Rows, by: int) -> tuple[Rows, NDArray[np.bool_]]:
    """Carried digits moved up by ``by`` places, and which rows still fit."""
    width = digits.shape[1]
    if by >= width:
        return np.zeros_like(digits), np.logical_not(digits.any(axis=1))
    last = digits[:, -1]
    fits: NDArray[np.bool_] = np.ones(len(digits), np.bool_)
    for j in range(width - 2, width - 2 - by, -1):
        np.logical_and(fits, np.abs(last) < 1 << 8, out=fits)
        last = (np.where(fits, last, 0) << 32) + digits[:, j]
    out = np.zeros_like(digits)
    out[:, by:-1] = digits[:, : width - 1 - by]
    out[:, -1] = last
    return out, fits


def beyond_out(beyond: Mapping[int, int]) -> NDArray[np.int64]:
    """Integers by group as rows of (group, number of the digit, digit), the highest digit of each signed."""
    out = []
    for g in sorted(beyond):
        n, j = beyond[g], 0
        while not -(2**31) <= n < 2**31:
            out.append((g, j, n & MASK))
            n, j = n >> 32, j + 1
        out.append((g, j, n))
    return np.array(out, np.int64).reshape(len(out), 3)


def beyond_in(entries: NDArray[np.int64]) -> dict[int, int]:
    """The inverse of ``beyond_out``."""
    out: dict[int, int] = {}
    for g, j, digit in entries.tolist():
        out[g] = out.get(g, 0) + (digit << (32 * j))
    return out
