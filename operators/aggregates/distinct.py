"""approx_distinct: HyperLogLog with a fixed seed and 2**12 registers; a group stores only its filled ones.

Flajolet, Fusy, Gandouet, Meunier 2007, with the estimator of Ertl, "New cardinality estimation algorithms for
HyperLogLog sketches" (2017), which needs no bias tables. Its relative standard error is 1.63 %.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import I64, inline
from operators.contract import Aggregate, Arrays, Finished, Flags, TallySpec, merge_nothing
from operators.kernels.bins import PRECISION, rank_of, register_of
from operators.kernels.hash_tables import tally_largest
from operators.signatures import Signature
from operators.types import STORED, Type

_REGISTERS = 1 << PRECISION
_RANKS = 64 - PRECISION
ERROR = 1.04 / math.sqrt(_REGISTERS)
"""The relative standard error."""


@inline
def _step(
    g: I64,
    keys: NDArray[np.int64], counts: NDArray[np.int64], slots: NDArray[np.int32], used: NDArray[np.int64],
    words: NDArray[np.int64],
    hash: I64,
) -> None:  # fmt: skip
    tally_largest(np.int64(g), register_of(hash), rank_of(hash), keys, counts, slots, used, words)


def _sigma(x: float) -> float:
    """Ertl's sigma: x + sum of x**(2**k) * 2**(k - 1)."""
    y, z = 1.0, x
    while True:
        x *= x
        before = z
        z += x * y
        y += y
        if z == before:
            return z


def _tau(x: float) -> float:
    """Ertl's tau: (1 - x - sum of (1 - x**(2**-k))**2 * 2**-k) / 3."""
    if x in (0.0, 1.0):
        return 0.0
    y, z = 1.0, 1.0 - x
    while True:
        x = math.sqrt(x)
        before = z
        y *= 0.5
        z -= (1.0 - x) ** 2 * y
        if z == before:
            return z / 3.0


def estimate(registers: list[int]) -> int:
    """The number of distinct values behind counts of registers by rank, 0 to _RANKS + 1."""
    m = float(_REGISTERS)
    if registers[0] == _REGISTERS:
        return 0
    z = m * _tau((m - registers[_RANKS + 1]) / m)
    for k in range(_RANKS, 0, -1):
        z = 0.5 * (z + registers[k])
    z += m * _sigma(registers[0] / m)
    return round(m * m / (2.0 * math.log(2.0) * z))


def _finish(state: Arrays) -> Finished:
    entries, groups = state["entries"], state["groups"]
    out = np.zeros(groups, np.int64)
    edges = np.searchsorted(entries.groups, np.arange(groups + 1)).tolist()
    for g, (lo, hi) in enumerate(pairwise(edges)):
        found = np.bincount(entries.counts[lo:hi], minlength=_RANKS + 2).tolist()
        found[0] = _REGISTERS - (hi - lo)
        out[g] = estimate(found)
    return out, None


_FLAGS = Flags(duplicate_safe=True, overlap_safe=True, error=ERROR)

AGGREGATES = tuple(
    Aggregate(
        "approx_distinct", t, Type.INT, (), ("hash",), _step, merge_nothing, _finish,
        flags=_FLAGS, tally=TallySpec(largest=True),
    )
    for t in STORED
)  # fmt: skip

SIGNATURES = {"approx_distinct": Signature()}
