"""The JSON scanner: well-formed records of a text buffer to cells, without an object per record.

It parses objects itself. A record that needs the strict reader (an escape in a name, an array, an unknown or repeated
name, an unusual literal) is marked with the reason; ``json_reader`` reads it again with ``json_strict``. Where the text
breaks, the scanner stops and reports the position.

Names form a tree: node 0 is the record, a node's children are the names within that object. The predicted next node is
the one that followed last time, so a name costs one comparison of its bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import I64, inline, loop
from runtime.ingest.text.tokens import (
    BIGINT,
    BOOL,
    CONTROL,
    CUT,
    DECIMAL,
    ESCAPED,
    FLOAT,
    HAS_ESCAPE,
    HAS_HIGH,
    INT,
    NULL,
    NUMBER_BAD,
    NUMBER_BIGINT,
    NUMBER_CUT,
    NUMBER_FLOAT,
    NUMBER_INT,
    STRING,
    Bytes,
    digit,
    literal_end,
    number,
    skip_nested,
    skip_space,
    string_end,
)

MAX_DEPTH = 32
WHOLE = -3
"""The column of a name whose objects stay JSON text: the strict reader takes its values."""

# Why the scanner stopped.
DONE, FULL, PARTIAL, BROKEN, NO_RECORD, NEW_NAME = range(6)

# Slots of its state.
POS, ROW, IN_ARRAY, STAMP, AT, NAME_START, NAME_END, PARENT, SPECIAL, OPENED = range(10)
STATE = 10

# Where in an array of records the scanner is: in none, after its bracket, a value or a comma. After a rejected line
# that is unknown: anything valid may follow, and decides it.
NO_ARRAY, AFTER_OPEN, AFTER_VALUE, AFTER_COMMA, ANYWHERE, ANYWHERE_AFTER_VALUE = range(6)

# Why a record needs the strict reader: bits.
LOOK_NAME, LOOK_ARRAY, LOOK_REPEATED, LOOK_LITERAL, LOOK_ENCODING, LOOK_DEEP = 1, 2, 4, 8, 16, 32

Ints = NDArray[np.int64]


@loop("i8(u1[::1], i8, i8)")
def value_end(data: Any, i: I64, end: I64) -> I64:
    """The position after the value at ``i`` that is not an object; -1 or below if it has no clear end."""
    if data[i] == 91:
        return skip_nested(data, i, end)
    if data[i] == 34:
        j, met = string_end(data, i + 1, end)
        return -1 if met & (CONTROL | CUT) else j + 1
    return literal_end(data, i, end)


@inline
def name_hash(data: Bytes, start: int, end: int, parent: int) -> int:
    """A hash of a name within its parent node."""
    h = (parent + 1) * 0x9E3779B1
    for k in range(start, end):
        h = ((h ^ digit(data, k)) * 0x01000193) & 0xFFFFFFFFFFFF
    return h ^ (h >> 17)


@loop("i8(u1[::1], i8, i8, i8)")
def hash_of_name(data: Any, start: I64, end: I64, parent: I64) -> I64:
    """``name_hash``, for code that adds a name to the table."""
    return name_hash(data, start, end, parent)


@inline
def find_node(data: Bytes, start: int, end: int, parent: int, tree: Ints, names: Bytes, table: Ints) -> int:
    """The node of a name, or 0; ``tree`` rows are (parent, start, length, column, next)."""
    mask = len(table) - 1
    slot = name_hash(data, start, end, parent) & mask
    while table[slot]:
        node = table[slot]
        if tree[node, 0] == parent and tree[node, 2] == end - start:
            k = 0
            at = tree[node, 1]
            while start + k < end and data[start + k] == names[at + k]:
                k += 1
            if start + k == end:
                return int(node)
        slot = (slot + 1) & mask
    return 0


@loop(
    "i8(u1[::1], i8, i8[::1], i8[:,::1], u1[::1], i8[::1], i8[::1], i8[::1], i8, i8, i8, i8[::1], "
    "u1[:,::1], i8[:,::1], f8[:,::1], i8[:,::1], i8)"
)
def scan(
    data: Any,
    end: I64,
    state: Any,
    tree: Any,
    names: Any,
    table: Any,
    node_stamp: Any,
    column_stamp: Any,
    learn: I64,
    valid_text: I64,
    time_column: I64,
    stack: Any,
    kind: Any,
    value: Any,
    real: Any,
    rows: Any,
    most: I64,
) -> I64:
    """Scan records from ``state[POS]`` on; returns why it stopped, with the place in ``state[AT]``.

    ``kind`` and ``value`` (``real`` is its memory as float64) have the shape (columns, rows); ``rows`` (4, rows) gets
    each record's start, end, the bits for the strict reader, and where in an array it is. ``stack`` is scratch for
    ``MAX_DEPTH`` nodes; objects deeper than ``most`` are left to the strict reader. ``state[OPENED]`` is the start of
    the array of ``state[IN_ARRAY]``.
    """
    pos, row, in_array, stamp = state[POS], state[ROW], state[IN_ARRAY], state[STAMP]
    columns, capacity = kind.shape
    stop = DONE
    while True:
        while pos < end:
            c = data[pos]
            if c == 32 or c == 10 or c == 13 or c == 9:
                pos += 1
            elif c == 44 and (in_array == AFTER_VALUE or in_array >= ANYWHERE):
                in_array = AFTER_COMMA
                pos += 1
            else:
                break
        if pos >= end:
            break
        c = data[pos]
        if c == 91 and (in_array == NO_ARRAY or in_array >= ANYWHERE):
            in_array = AFTER_OPEN
            state[OPENED] = pos
            pos += 1
            continue
        if c == 93 and in_array != NO_ARRAY and in_array != AFTER_COMMA:
            in_array = NO_ARRAY
            pos += 1
            continue
        if c != 123 or in_array == AFTER_VALUE:
            stop = NO_RECORD
            state[AT] = pos
            break
        if row >= capacity:
            stop = FULL
            break
        stamp += 1
        look = 0
        depth = 0
        parent = 0
        last = 0
        i = pos + 1
        after = 0  # 0: an object was opened, 1: a value was read, 2: a comma was read
        stop = PARTIAL
        while True:
            i = skip_space(data, i, end)
            if i >= end:
                break
            c = data[i]
            if c == 125 and after != 2:
                i += 1
                if depth == 0:
                    stop = DONE
                    break
                depth -= 1
                parent = stack[depth]
                after = 1
                continue
            if after == 1:
                if c != 44:
                    stop = BROKEN
                    break
                after = 2
                i += 1
                continue
            if c != 34:
                stop = BROKEN
                break
            node = tree[last, 4]
            n = tree[node, 2]
            known = node > 0 and tree[node, 0] == parent and i + 1 + n < end and data[i + 1 + n] == 34
            if known:
                at = tree[node, 1]
                for k in range(n):
                    if data[i + 1 + k] != names[at + k]:
                        known = False
                        break
            if known:
                i += n + 2
            else:
                j, met = string_end(data, i + 1, end)
                if met & CUT:
                    break
                if met & CONTROL:
                    i = j
                    stop = BROKEN
                    break
                if met & HAS_ESCAPE or (met & HAS_HIGH and not valid_text):
                    look |= LOOK_NAME
                    node = 0
                else:
                    node = find_node(data, i + 1, j, parent, tree, names, table) if parent >= 0 else 0
                    if node:
                        tree[last, 4] = node
                    elif learn and parent >= 0:
                        state[NAME_START], state[NAME_END], state[PARENT] = i + 1, j, parent
                        stop = NEW_NAME
                        break
                    else:
                        look |= LOOK_NAME
                i = j + 1
            column = -1
            if node:
                if node_stamp[node] == stamp:
                    look |= LOOK_REPEATED
                node_stamp[node] = stamp
                column = tree[node, 3]
                last = node
            i = skip_space(data, i, end)
            if i >= end:
                break
            if data[i] != 58:
                stop = BROKEN
                break
            i = skip_space(data, i + 1, end)
            if i >= end:
                break
            c = data[i]
            after = 1
            if c == 123:
                if depth + 1 >= most or not node or column == WHOLE:
                    look |= LOOK_DEEP
                    j = skip_nested(data, i, end)
                    if j == -1:
                        break
                    if j < 0:
                        i = -2 - j
                        stop = BROKEN
                        break
                    i = j
                    continue
                stack[depth] = parent
                depth += 1
                parent = node
                after = 0
                i += 1
                continue
            what = 0
            cell = 0
            if c == 34:
                j, met = string_end(data, i + 1, end)
                if met & CUT:
                    break
                if met & CONTROL:
                    i = j
                    stop = BROKEN
                    break
                if met & HAS_HIGH and not valid_text:
                    look |= LOOK_ENCODING
                what = STRING
                if met & HAS_ESCAPE:
                    what = ESCAPED
                    state[SPECIAL] = 1
                cell = (i + 1) << 32 | (j - i - 1)
                i = j + 1
            elif c == 45 or 48 <= c <= 57:
                j, found, whole, decimal = number(data, i, end)
                if found == NUMBER_CUT:
                    break
                if found == NUMBER_INT:
                    what = INT
                    cell = whole
                elif found == NUMBER_BAD:
                    look |= LOOK_LITERAL
                    what = NULL
                    j = literal_end(data, i, end)
                elif found == NUMBER_FLOAT and column != time_column:
                    what = FLOAT
                    cell = 0
                else:
                    what = BIGINT if found == NUMBER_BIGINT else DECIMAL
                    cell = i << 32 | (j - i)
                    state[SPECIAL] = 1
                i = j
                if what == FLOAT and column >= 0:
                    if column_stamp[column] == stamp:
                        look |= LOOK_REPEATED
                    column_stamp[column] = stamp
                    kind[column, row] = FLOAT
                    real[column, row] = decimal
                    continue
            elif c == 91:
                look |= LOOK_ARRAY
                what = NULL
                j = skip_nested(data, i, end)
                if j == -1:
                    break
                if j < 0:
                    i = -2 - j
                    stop = BROKEN
                    break
                i = j
            else:
                j = literal_end(data, i, end)
                if j >= end:
                    break
                if j == i:
                    stop = BROKEN
                    break
                n = j - i
                what = NULL
                if n == 4 and c == 116 and data[i + 1] == 114 and data[i + 2] == 117 and data[i + 3] == 101:
                    what = BOOL
                    cell = 1
                elif (
                    n == 5
                    and c == 102
                    and data[i + 1] == 97
                    and data[i + 2] == 108
                    and data[i + 3] == 115
                    and data[i + 4] == 101
                ):
                    what = BOOL
                elif n != 4 or c != 110 or data[i + 1] != 117 or data[i + 2] != 108 or data[i + 3] != 108:
                    look |= LOOK_LITERAL
                i = j
            if column >= 0:
                if column_stamp[column] == stamp:
                    look |= LOOK_REPEATED
                column_stamp[column] = stamp
                kind[column, row] = what
                value[column, row] = cell
            elif column < -1:
                look |= LOOK_NAME
        if stop != DONE:
            state[AT] = i
            for k in range(columns):
                kind[k, row] = 0
            break
        rows[0, row] = pos
        rows[1, row] = i
        rows[2, row] = look
        rows[3, row] = in_array
        if in_array in (AFTER_OPEN, AFTER_COMMA):
            in_array = AFTER_VALUE
        elif in_array == ANYWHERE:
            in_array = ANYWHERE_AFTER_VALUE
        elif in_array == ANYWHERE_AFTER_VALUE:  # two records without a comma between them are not in an array
            in_array = NO_ARRAY
        row += 1
        pos = i
    state[POS], state[ROW], state[IN_ARRAY], state[STAMP] = pos, row, in_array, stamp
    return stop
