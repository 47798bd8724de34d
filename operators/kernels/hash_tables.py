"""Open-addressing hash tables in arrays that the caller owns: groups, and sets of (group, value) pairs.

``slots`` is int32 with a power of two of entries: 0 if free, else 1 + the entry's number. The caller limits the load to
one half and grows the arrays between calls (``operators.states.groups``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import I64, inline, loop, noinline


@inline
def mix(h: I64, word: I64) -> I64:
    """Fold one 64-bit word into a hash; with the multiplier and shifts of splitmix64's finaliser."""
    z = np.uint64(h) ^ np.uint64(word)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64(z ^ (z >> np.uint64(31)))


@noinline
def find_group(
    words: NDArray[np.int64], width: I64, keys: NDArray[np.int64], slots: NDArray[np.int32], used: NDArray[np.int64]
) -> I64:
    """The number of the group with these key words; a new one is added at ``used[0]``.

    ``words`` has shape (width,), ``keys`` (capacity, width); the width is constant at the call, and specialised for.
    """
    h = np.int64(width)
    for j in range(width):
        h = mix(h, words[j])
    mask = np.int64(slots.shape[0] - 1)
    p = h & mask
    while True:
        e = slots[p]
        if e == 0:
            g = used[0]
            used[0] = g + 1
            for j in range(width):
                keys[g, j] = words[j]
            slots[p] = g + 1
            return g
        g = np.int64(e - 1)
        same = True
        for j in range(width):
            if keys[g, j] != words[j]:
                same = False
                break
        if same:
            return g
        p = (p + 1) & mask


@inline
def add_pair(
    g: I64,
    groups: NDArray[np.int64],
    values: NDArray[np.int64],
    slots: NDArray[np.int32],
    used: NDArray[np.int64],
    value: I64,
) -> None:
    """Add (g, value) to the set in ``groups`` and ``values``, int64 of shape (capacity,)."""
    mask = np.int64(slots.shape[0] - 1)
    p = mix(mix(np.int64(2), g), value) & mask
    while True:
        e = slots[p]
        if e == 0:
            n = used[0]
            used[0] = n + 1
            groups[n] = g
            values[n] = value
            slots[p] = n + 1
            return
        if groups[e - 1] == g and values[e - 1] == value:
            return
        p = (p + 1) & mask


@inline
def tally(
    g: I64, word: I64, n: I64,
    keys: NDArray[np.int64], counts: NDArray[np.int64], slots: NDArray[np.int32], used: NDArray[np.int64],
    words: NDArray[np.int64],
) -> None:  # fmt: skip
    """Add ``n`` to the count of (g, word); ``words`` is scratch space for one key."""
    words[0] = g
    words[1] = word
    counts[find_group(words, np.int64(2), keys, slots, used)] += n


@inline
def tally_dated(
    g: I64, word: I64, time: I64, tie: I64,
    keys: NDArray[np.int64], counts: NDArray[np.int64], slots: NDArray[np.int32], used: NDArray[np.int64],
    words: NDArray[np.int64], at: NDArray[np.int64], tied: NDArray[np.int64],
) -> None:  # fmt: skip
    """Add 1 to the count of (g, word), and keep the least (time, tie) of its rows in ``at`` and ``tied``."""
    words[0] = g
    words[1] = word
    e = find_group(words, np.int64(2), keys, slots, used)
    if counts[e] == 0 or time < at[e] or (time == at[e] and tie < tied[e]):
        at[e] = time
        tied[e] = tie
    counts[e] += 1


@inline
def tally_pair(
    g: I64, first: I64, second: I64, n: I64,
    keys: NDArray[np.int64], counts: NDArray[np.int64], slots: NDArray[np.int32], used: NDArray[np.int64],
    words: NDArray[np.int64],
) -> None:  # fmt: skip
    """Add ``n`` to the count of (g, first, second)."""
    words[0] = g
    words[1] = first
    words[2] = second
    counts[find_group(words, np.int64(3), keys, slots, used)] += n


@inline
def tally_largest(
    g: I64, word: I64, n: I64,
    keys: NDArray[np.int64], counts: NDArray[np.int64], slots: NDArray[np.int32], used: NDArray[np.int64],
    words: NDArray[np.int64],
) -> None:  # fmt: skip
    """Raise the number of (g, word) to at least ``n``; it starts at 0."""
    words[0] = g
    words[1] = word
    e = find_group(words, np.int64(2), keys, slots, used)
    if n > counts[e]:
        counts[e] = n


@loop("void(i8[:,::1], i4[::1], i8)")
def enter_groups(keys: NDArray[np.int64], slots: NDArray[np.int32], n: I64) -> None:
    """Enter groups 0 to n - 1 into the zeroed ``slots``."""
    mask = np.int64(slots.shape[0] - 1)
    for g in range(n):
        h = np.int64(keys.shape[1])
        for j in range(keys.shape[1]):
            h = mix(h, keys[g, j])
        p = h & mask
        while slots[p] != 0:
            p = (p + 1) & mask
        slots[p] = g + 1


@loop("void(i8[::1], i8[::1], i4[::1], i8)")
def enter_pairs(groups: NDArray[np.int64], values: NDArray[np.int64], slots: NDArray[np.int32], n: I64) -> None:
    """Enter pairs 0 to n - 1 into the zeroed ``slots``."""
    mask = np.int64(slots.shape[0] - 1)
    for e in range(n):
        p = mix(mix(np.int64(2), groups[e]), values[e]) & mask
        while slots[p] != 0:
            p = (p + 1) & mask
        slots[p] = e + 1


@loop("void(i8[:,::1], i8[:,::1], i4[::1], i8[::1], i8[::1])")
def find_groups(
    wanted: NDArray[np.int64],
    keys: NDArray[np.int64],
    slots: NDArray[np.int32],
    used: NDArray[np.int64],
    at: NDArray[np.int64],
) -> None:
    """``find_group`` for every row of ``wanted``; writes the groups' numbers to ``at``."""
    for i in range(wanted.shape[0]):
        at[i] = find_group(wanted[i], np.int64(wanted.shape[1]), keys, slots, used)


@inline
def place_of(h: np.uint64, low: I64, shift: I64, factor: I64, last: I64) -> I64:
    """A place in a table for a hash from ``low`` on: the greater the hash, the later. ``shift`` leaves 31 bits of what
    is beyond ``low``, of which each is ``factor`` / 2^32 places."""
    beyond = min((h - np.uint64(low)) >> np.uint64(shift), np.uint64(0x7FFFFFFF))
    return min((np.int64(beyond) * factor) >> 32, last)


@loop("void(u8[::1], i8, i8, i8, i4[::1], i8)")
def enter_by_hash(
    hashes: NDArray[np.uint64], low: I64, shift: I64, factor: I64, slots: NDArray[np.int32], n: I64
) -> None:
    """Enter the keys 0 to n - 1, which have these hashes, into the zeroed ``slots``."""
    last = np.int64(slots.shape[0] - 1)
    for g in range(n):
        p = place_of(hashes[g], low, shift, factor, last)
        while slots[p] != 0:
            p = (p + 1) & last
        slots[p] = g + 1


@loop("void(i8[::1], u8[::1], i8, i8, i8, i8[::1], i4[::1], i8[::1], i8[::1])", slow=True)
def find_by_hash(
    wanted: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    low: I64,
    shift: I64,
    factor: I64,
    keys: NDArray[np.int64],
    slots: NDArray[np.int32],
    used: NDArray[np.int64],
    at: NDArray[np.int64],
) -> None:
    """The numbers of the keys ``wanted``, which have these hashes; a new one is added at ``used[0]``.

    Keys of point files come in the order of their hashes, and so do their places: the table is read from one end to the
    other.
    """
    last = np.int64(slots.shape[0] - 1)
    for i in range(wanted.shape[0]):
        p = place_of(hashes[i], low, shift, factor, last)
        while True:
            e = slots[p]
            if e == 0:
                g = used[0]
                used[0] = g + 1
                keys[g] = wanted[i]
                slots[p] = g + 1
                break
            g = np.int64(e - 1)
            if keys[g] == wanted[i]:
                break
            p = (p + 1) & last
        at[i] = g
