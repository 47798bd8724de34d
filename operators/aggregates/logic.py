"""any_true and all_true."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import I64, inline
from operators.contract import Aggregate, Arrays, Field, Finished, Flags
from operators.signatures import Signature
from operators.types import Type


@inline
def _step(g: I64, seen: NDArray[np.int64], value: I64) -> None:
    # Bit 0: a false was seen, bit 1: a true was seen.
    seen[g] |= np.int64(2) if value else np.int64(1)


def _merge(into: Arrays, at: NDArray[np.intp], part: Arrays) -> None:
    into["seen"][at] |= part["seen"]


def _any(state: Arrays) -> Finished:
    seen = state["seen"]
    return (seen >> 1).astype(np.uint8), seen > 0


def _all(state: Arrays) -> Finished:
    seen = state["seen"]
    return (seen == 2).astype(np.uint8), seen > 0


_FLAGS = Flags(duplicate_safe=True, overlap_safe=True)

AGGREGATES = tuple(
    Aggregate(name, Type.BOOL, Type.BOOL, (Field("seen"),), ("value",), _step, _merge, finish, flags=_FLAGS)
    for name, finish in (("any_true", _any), ("all_true", _all))
)

SIGNATURES = {name: Signature() for name in ("any_true", "all_true")}
