"""The order of gathered rows of several inputs: a compiled merge that moves no row."""

from __future__ import annotations

from typing import Any

import numpy as np

from operators.compiler.loops import I64, loop

MOST_RANKS = 256
"""More inputs than a metric may have."""


@loop("void(i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i4[::1])")
def find_order(starts: Any, ends: Any, edges: Any, ranks: Any, time: Any, heads: Any, out: Any) -> None:
    """The numbers of the rows in order of (slot, time, rank, place).

    ``starts`` and ``ends`` are of runs, those of one slot between two ``edges``, by rank; the runs of one rank follow
    each other in time. ``heads`` is room for three numbers of each rank: a run, its place, and the last run.
    """
    n: I64 = np.int64(0)
    for g in range(len(edges) - 1):
        size: I64 = np.int64(0)
        for run in range(edges[g], edges[g + 1]):
            if run > edges[g] and ranks[run] == ranks[run - 1]:
                heads[3 * size - 1] = run
            else:
                heads[3 * size] = run
                heads[3 * size + 1] = starts[run]
                heads[3 * size + 2] = run
                size += 1
        while size > 2:
            best: I64 = np.int64(0)
            for k in range(1, size):
                if time[heads[3 * k + 1]] < time[heads[3 * best + 1]]:
                    best = k
            at: I64 = heads[3 * best + 1]
            out[n] = at
            n += 1
            at += 1
            run = heads[3 * best]
            if at == ends[run]:
                if run < heads[3 * best + 2]:
                    heads[3 * best] = run + 1
                    heads[3 * best + 1] = starts[run + 1]
                else:
                    size -= 1
                    for k in range(3 * best, 3 * size):
                        heads[k] = heads[k + 3]
            else:
                heads[3 * best + 1] = at
        a_run: I64 = heads[0]
        a: I64 = heads[1]
        if size == 2:
            b_run: I64 = heads[3]
            b: I64 = heads[4]
            both: I64 = np.int64(1)
            while both != 0:
                a_end: I64 = ends[a_run]
                b_end: I64 = ends[b_run]
                while a < a_end and b < b_end:
                    second = time[b] < time[a]
                    out[n] = b if second else a
                    b += np.int64(second)
                    a += np.int64(not second)
                    n += 1
                if a == a_end:
                    if a_run < heads[2]:
                        a_run += 1
                        a = starts[a_run]
                    else:
                        a_run = b_run
                        a = b
                        heads[2] = heads[5]
                        both = np.int64(0)
                elif b_run < heads[5]:
                    b_run += 1
                    b = starts[b_run]
                else:
                    both = np.int64(0)
        while size > 0:
            for k in range(a, ends[a_run]):
                out[n] = k
                n += 1
            if a_run == heads[2]:
                break
            a_run += 1
            a = starts[a_run]
