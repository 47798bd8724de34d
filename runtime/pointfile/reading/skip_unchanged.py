"""Decodes only the rows that change a value, for blocks whose columns are all stored as runs.

A row is *bridged* if every step in time since the row before it in the output, including skipped rows, is at most
``hold``. Intervals of states need no more about the skipped rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from operators.compiler.loops import inline, loop
from runtime.pointfile.layout import CONST, LINEAR, PARTS
from runtime.pointfile.reading.unpack import (  # fmt: skip
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
)


@inline
def plane_sum(planes: Any, at: Any, m: Any, n: Any, width: Any) -> Any:
    """The sum of ``m`` values from index ``at`` on, among ``n`` of ``width`` bytes."""
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
    """The value at index ``at``, among ``n`` of ``width`` bytes."""
    out = np.uint64(0)
    for k in range(width):
        out |= np.uint64(planes[np.uint64(k * n + at)]) << np.uint64(8 * k)
    return out


@inline
def distance(planes: Any, rows: Any, at: Any, bits_each: Any) -> Any:
    """The distance of row ``at`` from its line, as read by ``unpack.take_lines``."""
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
    """Load every column's runs in block ``b``, the first being current; returns 0 or an error number."""
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


@inline
def find_rows(
    c: Any, rows: Any, lengths: Any, keys: Any, first_key: Any, planes: Any, hold: Any, gaps: Any, columns: Any,
    ends: Any, current: Any, next_at: Any, on: Any, runs_out: Any, key_out: Any, len_out: Any, bridged: Any,
    at_row: Any,
) -> Any:  # fmt: skip
    """Write the numbers of the rows that matter in a block to ``at_row``, from ``on`` on; returns their new count."""
    begin = 0
    for j in range(1, columns):
        next_at[j] = ends[j, 0]
    for r in range(keys):
        last = begin + lengths[r] - 1
        started, at = on, begin
        at_row[on] = begin
        bridged[on] = 0
        on += 1
        while at < last:
            # Indices are unsigned: Numba then omits the check for negative ones.
            u = np.uint64(on)
            following = last
            for j in range(1, columns):
                following = min(following, next_at[np.uint64(j)])
            bridge = np.uint8(1)
            if gaps:
                gap = gap_within(c, rows, keys, r, begin, at, following, planes, hold)
                if gap > 0:
                    # The rows before and after a gap matter.
                    following, bridge = (gap - 1, np.uint8(1)) if gap - 1 > at else (gap, np.uint8(0))
            at_row[u] = following
            bridged[u] = bridge
            on += 1
            at = following
            for j in range(1, columns):
                v = np.uint64(j)
                if next_at[v] <= at:
                    current[v] += 1
                    next_at[v] = ends[v, np.uint64(current[v])]
        key_out[runs_out + r] = first_key + r
        len_out[runs_out + r] = on - started
        begin = last + 1
        for j in range(1, columns):
            if next_at[j] <= begin and begin < rows:
                current[j] += 1
                next_at[j] = ends[j, current[j]]
    return on


@inline
def gap_within(
    c: Any, rows: Any, keys: Any, r: Any, begin: Any, at: Any, following: Any, planes: Any, hold: Any
) -> Any:
    """The first row after ``at``, up to ``following``, more than ``hold`` after the row before; -1 if none.

    All are rows of key ``r``, whose first is ``begin``.
    """
    width, tick, step = c[WIDTH2], np.uint64(c[TICK]), np.uint64(c[STEP])
    if c[ENCODING] == LINEAR:
        slope = tick * (step + plane_value(planes[SLOPES * rows :], r, keys, c[COUNT]))
        before = tick * distance(planes, rows, at, width)
        for i in range(at + 1, following + 1):
            now = tick * distance(planes, rows, i, width)
            if np.int64(slope + now - before) > hold:
                return i
            before = now
        return -1
    largest = hold // c[TICK] - c[STEP]
    # Before a key's rows in this block there is one difference per row, minus one per key.
    for i in range(at + 1, following + 1):
        if np.int64(plane_value(planes, i - 1 - r, rows - keys, width)) > largest:
            return i
    return -1


@inline
def find_times(c: Any, rows: Any, keys: Any, lengths: Any, planes: Any, on: Any, len_out: Any, time: Any) -> None:
    """Replace row numbers in ``time``, from ``on`` on, by their times; ``len_out`` has the number of rows per key."""
    firsts, slopes = planes[FIRSTS * rows :], planes[SLOPES * rows :]
    width, tick, step = c[WIDTH2], np.uint64(c[TICK]), np.uint64(c[STEP])
    begin = 0
    for r in range(keys):
        t = np.uint64(c[BASE]) + tick * plane_value(firsts, r, keys, c[WIDTH])
        stop = on + len_out[r]
        if c[ENCODING] == LINEAR:
            slope = tick * (step + plane_value(slopes, r, keys, c[COUNT]))
            for k in range(on, stop):
                u = np.uint64(k)
                at = time[u]
                time[u] = np.int64(t + slope * np.uint64(at - begin) + tick * distance(planes, rows, at, width))
        else:
            before = begin
            for k in range(on, stop):
                u = np.uint64(k)
                at = time[u]
                passed = at - before
                t += tick * (step * np.uint64(passed) + plane_sum(planes, before - r, passed, rows - keys, width))
                time[u] = np.int64(t)
                before = at
        on = stop
        begin += lengths[r]


@loop(
    "i8(i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[:,:,::1], i8[:,::1], i8, i8, i8[::1], i4[::1], "
    "i8[::1], i8, i8[::1], u1[::1], u8[::1], i8[:,::1], i8[:,::1], i4[:,::1], u1[:,::1], i8[::1], i8[::1], i8[::1], "
    "i8[::1], u1[::1], i8[:,::1], i4[:,::1], u1[:,::1], u1[:,::1])",
    slow=True,
)
def changes(
    z: Any, st: Any, frames: Any, bases: Any, kinds: Any, places: Any, chunks: Any, blocks: Any, first: Any, last: Any,
    starts: Any, tables: Any, table_at: Any, hold: Any, lengths: Any, planes: Any, whole: Any, ends: Any, run8: Any,
    run4: Any, run1: Any, current: Any, next_at: Any, key_out: Any, len_out: Any, bridged: Any, out8: Any, out4: Any,
    out1: Any, valid: Any,
) -> Any:  # fmt: skip
    """The rows that change a value in blocks ``first`` to ``last - 1``, or in as many as surely fit into the outputs.
    ``st[OUT_ROWS]`` is their capacity on entry and the used length on return.

    Column 0 is the event time, DELTA or LINEAR; all others are RUNS without nulls, or constant. A key's first and last
    row in a block are always written. Returns the first block that is not done, or a negative error number.
    """
    on, runs_out = 0, 0
    capacity = st[OUT_ROWS]
    columns = len(kinds)
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
        if c[ENCODING] == LINEAR:
            wrong = take_lines(z, frames, bases[0], st, c, rows, keys, planes)
        else:
            wrong = take_planes(z, frames, bases[0], st, keys, c[WIDTH], planes[FIRSTS * rows :])
            if wrong == 0:
                wrong = take_planes(z, frames, bases[0], st, rows - keys, c[WIDTH2], planes)
        if wrong != 0:
            return -wrong
        # In sequence: the rows, each column's values there, the times there.
        block_on, time = on, out8[0]
        on = find_rows(
            c, rows, lengths, keys, block[FIRST_KEY], planes, hold, block[MAX_STEP] > hold, columns, ends, current,
            next_at, on, runs_out, key_out, len_out, bridged, time,
        )  # fmt: skip
        for j in range(1, columns):
            place = places[j]
            if kinds[j] == STRING:
                at_runs(ends[j], run4[j], time, block_on, on, out4[place])
            elif kinds[j] == BOOL:
                at_runs(ends[j], run1[j], time, block_on, on, out1[place])
            else:
                at_runs(ends[j], run8[j], time, block_on, on, out8[place])
            valid[j, block_on:on] = np.uint8(0) if chunks[j, b, NULLS] == rows else np.uint8(1)
        find_times(c, rows, keys, lengths, planes, block_on, len_out[runs_out:], time)
        runs_out += keys
    st[OUT_ROWS] = on
    st[OUT_RUNS] = runs_out
    return last


@inline
def at_runs(ends: Any, values: Any, at_row: Any, on: Any, stop: Any, out: Any) -> None:
    """Write the values of runs at ascending rows to ``out``, both from ``on`` on."""
    i = np.uint64(0)
    for k in range(on, stop):
        u = np.uint64(k)
        while ends[i] <= at_row[u]:
            i += np.uint64(1)
        out[u] = values[i]
