"""The one way in which loops are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

import numba

I64: TypeAlias = Any
"""An int64 scalar in a loop: what type checkers take for int or numpy.int64 is one machine word to Numba."""

F64: TypeAlias = Any
"""A float64 scalar in a loop."""

F = TypeVar("F", bound=Callable[..., Any])


def inline(function: F) -> F:
    """A scalar step that generated kernels call; compiled into its caller, never on its own.

    Without Numba's runtime: loops allocate nothing, and counting the references of arrays that are only passed on was
    measured to take 60 ns a row where a step has more than one way out.
    """
    return cast(F, numba.njit(error_model="numpy", nogil=True, _nrt=False)(function))
