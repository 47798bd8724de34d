"""The rows of blocks that change anything: where all columns are stored as runs, the others need not be made at all.

A row is *bridged* if every step in time since the row before it in the output, over rows that were left out, is at
most ``hold``. For intervals of states that is all there is to know of those rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from operators.kernels.jit import inline, loop
from runtime.pointfile.layout import CONST, LINEAR, PARTS
from runtime.pointfile.unpack import (
    AT,
    BAD_BLOCK,
    BAD_COLUMN,
    BASE,
    BOOL,
    COUNT,
    ENCODING,
    FIRST_KEY,
    FIRSTS,
    FRAME,
    KEYS,
    MAX_STEP,
    NULLS,
    OUT_ROWS,
    OUT_RUNS,
    ROWS,
    SLOPES,
    STEP,
    STRING,
    TICK,
    WIDTH,
    WIDTH2,
    part_at,
    run_lengths,
    take_lines,
    take_planes,
    unpack_runs,
)  # fmt: skip


@inline
def plane_sum(planes: Any, at: Any, m: Any, n: Any, width: Any) -> Any:
    """The sum of ``m`` values from number ``at`` on, of ``n`` that are ``width`` bytes wide."""
    total = np.uint64(0)
    for k in range(width):
        part = planes[k * n + at : k * n + at + m]
        sum32 = np.uint32(0)
        for i in range(m):
            sum32 += np.uint32(part[i])
        total += np.uint64(sum32) << np.uint64(8 * k)
    return total


@inline
def plane_value(planes: Any, at: Any, n: Any, width: Any) -> Any:
    """Value number ``at`` of ``n`` that are ``width`` bytes wide."""
    out = np.uint64(0)
    for k in range(width):
        out |= np.uint64(planes[np.uint64(k * n + at)]) << np.uint64(8 * k)
    return out


@inline
def distance(planes: Any, rows: Any, at: Any, bits_each: Any) -> Any:
    """The distance of row ``at`` from its line, as ``unpack.take_lines`` took it."""
    whole = bits_each >> 3
    out = plane_value(planes, at, rows, whole)
    shift = np.uint64(8 * whole)
    for part in PARTS:
        if bits_each & part:
            bit = at * part
            digits = np.uint64(planes[np.uint64(part_at(rows, part) + (bit >> 3))]) >> np.uint64(bit & 7)
            out |= (digits & np.uint64((1 << part) - 1)) << shift
            shift += np.uint64(part)
    return out


@inline
def load_runs(
    z: Any,
    st: Any,
    frames: Any,
    bases: Any,
    kinds: Any,
    chunks: Any,
    b: Any,
    rows: Any,
    tables: Any,
    table_at: Any,
    planes: Any,
    whole: Any,
    ends: Any,
    run8: Any,
    run4: Any,
    run1: Any,
    current: Any,
) -> Any:
    """Every column's runs in block ``b``, and the first of them as the current one; 0, or what is wrong."""
    for j in range(1, len(kinds)):
        c = chunks[j, b]
        current[j] = 0
        ends[j, 0] = rows
        st[AT] = c[FRAME]
        st[BAD_COLUMN] = j
        table = tables[table_at[j] : table_at[j + 1]]
        if c[NULLS] == rows:
            run8[j, 0] = 0
            run4[j, 0] = 0
            run1[j, 0] = 0
        elif c[ENCODING] == CONST:
            if kinds[j] == STRING:
                run4[j, 0] = table[c[BASE]]
            else:
                run8[j, 0] = c[BASE]
                run1[j, 0] = np.uint8(c[BASE])
        else:
            wrong = unpack_runs(
                z, frames, bases[j], st, kinds[j], c, rows, table, planes, whole, ends[j], run8[j], run4[j], run1[j]
            )
            if wrong != 0:
                return wrong
    return 0


@loop(
    "i8(i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[:,:,::1], i8[:,::1], i8, i8, i8[::1], i4[::1], "
    "i8[::1], i8, i8[::1], u1[::1], u8[::1], i8[:,::1], i8[:,::1], i4[:,::1], u1[:,::1], i8[::1], i8[::1], i8[::1], "
    "u1[::1], i8[:,::1], i4[:,::1], u1[:,::1], u1[:,::1])"
)
def changes(
    z: Any, st: Any, frames: Any, bases: Any, kinds: Any, places: Any, chunks: Any, blocks: Any, first: Any, last: Any,
    starts: Any, tables: Any, table_at: Any, hold: Any, lengths: Any, planes: Any, whole: Any, ends: Any, run8: Any,
    run4: Any, run1: Any, current: Any, key_out: Any, len_out: Any, bridged: Any, out8: Any, out4: Any, out1: Any,
    valid: Any,
) -> Any:  # fmt: skip
    """The rows that change anything of blocks ``first`` to ``last - 1``, or of as many as surely fit into the outputs,
    whose length ``st[OUT_ROWS]`` tells at first, and then how much of it is used.

    Column 0 is the event time, DELTA or LINEAR; all others are RUNS without nulls, or constant. A key's first and last
    row in a block are always written. Gives the first block that is not done, or, negative, what is wrong.
    """
    on, runs_out = 0, 0
    capacity = st[OUT_ROWS]
    for b in range(first, last):
        block = blocks[b]
        rows, keys = block[ROWS], block[KEYS]
        if on + rows > capacity or runs_out + keys > capacity:
            st[OUT_ROWS] = on
            st[OUT_RUNS] = runs_out
            return b
        run_lengths(starts, block, lengths)
        st[BAD_BLOCK] = b
        wrong = load_runs(
            z, st, frames, bases, kinds, chunks, b, rows, tables, table_at, planes, whole, ends, run8, run4, run1,
            current,
        )  # fmt: skip
        if wrong != 0:
            return -wrong
        c = chunks[0, b]
        st[AT] = c[FRAME]
        st[BAD_COLUMN] = 0
        firsts, slopes = planes[FIRSTS * rows :], planes[SLOPES * rows :]
        n, width, linear = rows - keys, c[WIDTH2], c[ENCODING] == LINEAR
        if linear:
            wrong = take_lines(z, frames, bases[0], st, c, rows, keys, planes)
        else:
            wrong = take_planes(z, frames, bases[0], st, keys, c[WIDTH], firsts)
            if wrong == 0:
                wrong = take_planes(z, frames, bases[0], st, n, width, planes)
        if wrong != 0:
            return -wrong
        gaps = block[MAX_STEP] > hold
        tick, step = np.uint64(c[TICK]), np.uint64(c[STEP])
        largest = hold // c[TICK] - c[STEP]
        begin, block_on = 0, on
        for r in range(keys):
            size = lengths[r]
            t = np.uint64(c[BASE]) + tick * plane_value(firsts, r, keys, c[WIDTH])
            # Of differences there are as many before a key's rows in this block as rows, less one for each key.
            d = begin - r
            line, slope = t, np.uint64(0)
            if linear:
                slope = tick * (step + plane_value(slopes, r, keys, c[COUNT]))
                t = line + tick * distance(planes, rows, begin, width)
            position = 0
            bridge = np.uint8(0)
            started = on
            while True:
                # Indices are unsigned: Numba then leaves out the test for negative ones.
                u = np.uint64(on)
                out8[0, u] = np.int64(t)
                bridged[u] = bridge
                for j in range(1, len(kinds)):
                    v = np.uint64(j)
                    i, place = np.uint64(current[v]), np.uint64(places[v])
                    if kinds[v] == STRING:
                        out4[place, u] = run4[v, i]
                    elif kinds[v] == BOOL:
                        out1[place, u] = run1[v, i]
                    else:
                        out8[place, u] = run8[v, i]
                on += 1
                if position == size - 1:
                    break
                following = size - 1
                for j in range(1, len(kinds)):
                    following = min(following, ends[np.uint64(j), np.uint64(current[np.uint64(j)])] - begin)
                bridge = np.uint8(1)
                if linear:
                    now = t
                    for at in range(position + 1, following + 1) if gaps else range(following, following + 1):
                        before = now
                        now = line + slope * np.uint64(at) + tick * distance(planes, rows, begin + at, width)
                        if gaps and np.int64(now - before) > hold:
                            # The row before a gap, and the one after, are rows that matter.
                            following = at
                            bridge = np.uint8(0)
                            if at - 1 > position:
                                following, now, bridge = at - 1, before, np.uint8(1)
                            break
                    t = now
                else:
                    if gaps:
                        for at in range(position + 1, following + 1):
                            if np.int64(plane_value(planes, d + at - 1, n, width)) > largest:
                                following = at
                                bridge = np.uint8(0)
                                if at - 1 > position:
                                    following, bridge = at - 1, np.uint8(1)
                                break
                    passed = following - position
                    t += tick * (step * np.uint64(passed) + plane_sum(planes, d + position, passed, n, width))
                position = following
                for j in range(1, len(kinds)):
                    v = np.uint64(j)
                    if ends[v, np.uint64(current[v])] <= begin + position:
                        current[v] += 1
            key_out[runs_out] = block[FIRST_KEY] + r
            len_out[runs_out] = on - started
            runs_out += 1
            begin += size
            for j in range(1, len(kinds)):
                if ends[j, current[j]] <= begin and begin < rows:
                    current[j] += 1
        for j in range(1, len(kinds)):
            present = np.uint8(0) if chunks[j, b, NULLS] == rows else np.uint8(1)
            valid[j, block_on:on] = present
    st[OUT_ROWS] = on
    st[OUT_RUNS] = runs_out
    return last
