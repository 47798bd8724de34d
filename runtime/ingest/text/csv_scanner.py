"""The CSV scanner: RFC 4180 rows of a text buffer to cells with their apparent kinds."""

from __future__ import annotations

from typing import Any

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


@loop("i8(u1[::1], i8, i8, i8, i8, i8[::1], i8, i8[::1], u1[:,::1], i8[:,::1], f8[:,::1], i8[:,::1], i8[:,::1])")
def scan_csv(
    data: Any,
    end: I64,
    final: I64,
    separator: I64,
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

    A final line needs no line end, so one is appended to the text (``data[end] = 10``) when ``final``. Stops at a row
    that is BROKEN (``state[FOUND]`` cells, or -1 for text behind a closing quote).
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
        stop = PARTIAL
        while i < end:
            escaped = False
            if data[i] == 34:
                i += 1
                first = i
                closed = False
                while i < end:
                    if data[i] == 34:
                        if i + 1 < end and data[i + 1] == 34:
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
                if data[i] == 13 and i + 1 < end and data[i + 1] == 10:
                    i += 1
                if data[i] != separator and data[i] != 10:
                    stop = BROKEN
                    cell = -1
                    break
            else:
                first = i
                while i < end and data[i] != separator and data[i] != 10:
                    i += 1
                if i >= end:
                    break
                n = i - first
                if n and data[i] == 10 and data[i - 1] == 13:
                    n -= 1
            last = data[i] == 10
            if last and cell == 0 and n == 0 and first == start:
                cell = -2  # an empty line
                i += 1
                stop = DONE
                break
            if cell < columns and targets[cell] >= 0:
                column = targets[cell]
                spans[column, row] = first << 32 | n
                what = STRING
                if n == 0:
                    what = NULL
                elif escaped:
                    what = ESCAPED
                    state[SPECIAL] = 1
                elif data[first] == 45 or 48 <= data[first] <= 57:
                    j, found, whole, decimal = number(data, first, first + n + 1)
                    if j == first + n:
                        if found == NUMBER_INT:
                            what = INT
                            value[column, row] = whole
                        elif found == NUMBER_FLOAT and column != time_column:
                            what = FLOAT
                            real[column, row] = decimal
                        elif found != NUMBER_BAD:
                            what = BIGINT if found == NUMBER_BIGINT else DECIMAL
                            value[column, row] = first << 32 | n
                            state[SPECIAL] = 1
                else:
                    truth = is_word(data, first, n)
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
        if stop == BROKEN or (cell != columns and cell != -2):
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
