"""count and count_distinct."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import I64, inline
from operators.contract import Aggregate, Arrays, Field, Finished, Flags, SetAggregate, merge_by_adding
from operators.signatures import Signature
from operators.types import STORED, Type


@inline
def _count_rows(g: I64, n: NDArray[np.int64]) -> None:
    n[g] += 1


@inline
def _count_values(g: I64, n: NDArray[np.int64], value: Any) -> None:
    n[g] += 1


def _finish(state: Arrays) -> Finished:
    return state["n"].copy(), None


def _finish_distinct(groups: NDArray[np.int64], values: NDArray[np.int64], count: int, strings: list[str]) -> Finished:
    return np.bincount(groups, minlength=count).astype(np.int64), None


# An interval cut at the boundary of two ranges becomes two rows, so counts of rows are not additive there.
_ROWS = Flags(additive=False)

AGGREGATES: tuple[Aggregate | SetAggregate, ...] = (
    Aggregate("count", None, Type.INT, (Field("n"),), (), _count_rows, merge_by_adding, _finish, flags=_ROWS),
    *(
        Aggregate("count", t, Type.INT, (Field("n"),), ("value",), _count_values, merge_by_adding, _finish, flags=_ROWS)
        for t in STORED
    ),
    *(SetAggregate("count_distinct", t, Type.INT, _finish_distinct) for t in STORED),
)

SIGNATURES = {"count": Signature((0, 1)), "count_distinct": Signature()}
