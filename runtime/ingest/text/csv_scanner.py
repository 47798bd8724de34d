"""The CSV scanner: rows of a text buffer to cells with their apparent kinds, in RFC 4180 and what people make of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from operators.compiler.loops import I64, inline, loop
from runtime.ingest.text.tokens import (
    BIGINT,
    BOOL,
    DECIMAL,
    ESCAPED,
    FLOAT,
    INT,
    NULL,
    NUMBER_BAD,
    NUMBER_BIGINT,
    NUMBER_FLOAT,
    NUMBER_INT,
    STRING,
    Bytes,
    number,
)

DONE, FULL, PARTIAL, BROKEN = range(4)
POS, ROW, AT, FOUND, SPECIAL = range(5)
STATE = 5


@inline
def is_word(data: Bytes, i: int, n: int) -> int:
    """1 for true, 0 for false (also True, TRUE, False, FALSE), -1 for anything else."""
    if n == 4 and (data[i] | 32) == 116 and (data[i + 1] | 32) == 114:
        return 1 if (data[i + 2] | 32) == 117 and (data[i + 3] | 32) == 101 and _one_case(data, i, n) else -1
    if n == 5 and (data[i] | 32) == 102 and (data[i + 1] | 32) == 97 and (data[i + 2] | 32) == 108:
        return 0 if (data[i + 3] | 32) == 115 and (data[i + 4] | 32) == 101 and _one_case(data, i, n) else -1
    return -1


@inline
def _one_case(data: Bytes, i: int, n: int) -> bool:
    rest = data[i + 1] & 32
    for k in range(i + 2, i + n):
        if data[k] & 32 != rest:
            return False
    return bool(data[i] & 32 == rest or rest == 32)


@inline
def closed_on_line(data: Bytes, i: int, end: int, separator: int, quote: int) -> bool:
    """Whether the quote at ``i`` opens a value that ends on its line, before a separator or the line's end."""
    i += 1
    while i < end and data[i] != 10 and data[i] != 13:
        if data[i] == quote:
            if i + 1 < end and data[i + 1] == quote:
                i += 1
            else:
                i = after_blanks(data, i + 1, end)
                return bool(i < end and (data[i] == separator or data[i] == 10 or data[i] == 13))
        i += 1
    return False


@inline
def after_blanks(data: Bytes, i: int, end: int) -> int:
    """The position of the first byte that is no blank."""
    while i < end and data[i] == 32:
        i += 1
    return i


@inline
def line_end(data: Bytes, i: int, end: int) -> int:
    """The line feed of the line end at ``i``, made of a carriage return that is alone; ``end`` if more must be read."""
    if i < end and data[i] == 13:
        if i + 1 >= end:
            return end
        if data[i + 1] == 10:
            return i + 1
        data[i] = 10
    return i


@inline
def begins_with(data: Bytes, i: int, end: int, mark: Bytes) -> bool:
    """Whether the bytes of ``mark`` are at ``i``."""
    if i + len(mark) > end:
        return False
    k = 0
    while k < len(mark) and data[i + k] == mark[k]:
        k += 1
    return k == len(mark)


@loop("i8(u1[::1], i8)")
def has_lone_return(data: Any, end: I64) -> I64:
    """1 if no line feed follows some carriage return before ``end``; one just there does not count."""
    found = np.uint8(0)
    for i in range(end - 1):  # without a way out, so that it is compiled into steps of many bytes
        found |= np.uint8(data[i] == 13) & np.uint8(data[i + 1] != 10)
    return np.int64(found)


@loop(
    "i8(u1[::1], i8, i8, u1[::1], i8, i8, i8, u1[::1], i8, i8[::1], i8, i8[::1], "
    "u1[:,::1], i8[:,::1], f8[:,::1], i8[:,::1], i8[:,::1])"
)
def scan_csv(
    data: Any,
    end: I64,
    final: I64,
    ends: Any,
    separator: I64,
    quote: I64,
    trim: I64,
    comment: Any,
    columns: I64,
    targets: Any,
    time_column: I64,
    state: Any,
    kind: Any,
    value: Any,
    real: Any,
    spans: Any,
    rows: Any,
) -> I64:
    """Scan rows from ``state[POS]`` on; cell k of a row goes to column ``targets[k]`` (-1: nowhere).

    ``ends`` is 1 for bytes that end a cell without quotes: the separator, a line feed and, where carriage returns alone
    end lines, these; a row's end is made a line feed then. ``quote`` -1: none. With ``trim``, blanks around cells
    without quotes are no part of them, so that runs of blanks separate where the separator is one. Lines that begin
    with ``comment`` and blank lines are no rows; empty cells beyond the last column are none. A final line needs no
    line end, so one is appended to the text (``data[end] = 10``) when ``final``. Stops at a row that is BROKEN
    (``state[FOUND]`` cells, or -1 for text behind a closing quote).
    """
    pos, row = state[POS], state[ROW]
    capacity = kind.shape[1]
    stop = DONE
    if final:
        end += 1
    while pos < end:
        if row >= capacity:
            stop = FULL
            break
        start = pos
        i = pos
        cell = 0
        beyond = False
        stop = PARTIAL
        if len(comment) > 0 and begins_with(data, i, end, comment):
            while i < end and data[i] != 10 and not (data[i] == 13 and ends[13]):
                i += 1
            i = line_end(data, i, end)
            if i >= end:
                state[AT] = i
                break
            pos = i + 1
            stop = DONE
            continue
        while i < end:
            escaped = False
            quoted = data[i] == quote
            if data[i] == 32:
                first = after_blanks(data, i, end)
                if (
                    first < end
                    and data[first] == quote
                    and (trim or closed_on_line(data, first, end, separator, quote))
                ):
                    quoted = True
                if quoted or trim:
                    i = first
            if quoted:
                i += 1
                first = i
                closed = False
                while i < end:
                    if data[i] == quote:
                        if i + 1 < end and data[i + 1] == quote:
                            escaped = True
                            i += 2
                            continue
                        closed = True
                        break
                    i += 1
                if not closed or i + 1 >= end:
                    i = end
                    break
                n = i - first
                i += 1
                if data[i] == 32 and separator != 32:
                    i = after_blanks(data, i, end)
                if i < end and data[i] == 13:
                    i = line_end(data, i, end)
                if i >= end:
                    break
                if data[i] != separator and data[i] != 10:
                    stop = BROKEN
                    cell = -1
                    break
            else:
                first = i
                while i < end and not ends[data[i]]:
                    i += 1
                n = i - first
                if i < end and data[i] == 13:
                    i = line_end(data, i, end)
                if i >= end:
                    break
                if n and data[i] == 10 and data[first + n - 1] == 13:
                    n -= 1
                if trim:
                    while n and data[first + n - 1] == 32:
                        n -= 1
            last = data[i] == 10
            if last and cell == 0 and not quoted and after_blanks(data, first, first + n) == first + n:
                cell = -2  # a blank line
                i += 1
                stop = DONE
                break
            if cell >= columns:
                beyond = beyond or after_blanks(data, first, first + n) < first + n
            elif targets[cell] >= 0:
                column = targets[cell]
                spans[column, row] = first << 32 | n
                what = STRING
                if n == 0:
                    what = NULL
                elif escaped:
                    what = ESCAPED
                    state[SPECIAL] = 1
                else:
                    # Blanks around a number are no part of it.
                    text = first if data[first] != 32 else after_blanks(data, first, first + n)
                    if data[text] == 45 or 48 <= data[text] <= 57:
                        j, found, whole, decimal = number(data, text, first + n + 1)
                        if j == first + n or after_blanks(data, j, first + n) == first + n:
                            if found == NUMBER_INT:
                                what = INT
                                value[column, row] = whole
                            elif found == NUMBER_FLOAT and column != time_column:
                                what = FLOAT
                                real[column, row] = decimal
                            elif found != NUMBER_BAD:
                                what = BIGINT if found == NUMBER_BIGINT else DECIMAL
                                value[column, row] = text << 32 | (j - text)
                                state[SPECIAL] = 1
                    else:
                        length = first + n - text
                        while length and data[text + length - 1] == 32:
                            length -= 1
                        truth = is_word(data, text, length)
                        if truth >= 0:
                            what = BOOL
                            value[column, row] = truth
                if what >= STRING and what <= ESCAPED:
                    value[column, row] = first << 32 | n
                kind[column, row] = what
            cell += 1
            i += 1
            if last:
                stop = DONE
                break
        if stop == PARTIAL:
            state[AT] = i
            break
        if stop == BROKEN or (cell < columns and cell != -2) or beyond:
            stop = BROKEN
            state[AT] = i
            state[FOUND] = cell
            break
        if cell != -2:
            rows[0, row] = start
            rows[1, row] = i
            row += 1
        pos = i
    state[POS], state[ROW] = pos, row
    return stop
