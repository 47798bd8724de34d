"""The distinct values of an array."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def distinct(values: NDArray[Scalar]) -> NDArray[Scalar]:
    """The distinct values of a one-dimensional array without NaN, in ascending order.

    In place of ``np.unique`` without options: from numpy 2.3 on that gives up the GIL within C++ code, where a daemon
    thread cannot be ended, so that a process which ends meanwhile aborts.
    """
    found = np.sort(values)
    return found[np.append(True, found[1:] != found[:-1])] if len(found) else found


def among(values: NDArray[Scalar], wanted: NDArray[Scalar]) -> NDArray[np.bool_]:
    """Whether each of ``values`` is one of ``wanted``, both one-dimensional; NaN is none. In place of ``np.isin``, for
    the same reason."""
    known = distinct(wanted)
    if not len(known):
        return np.zeros(len(values), np.bool_)
    found: NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, values), len(known) - 1)] == values
    return found
