"""The one way in which loops are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def inline(function: F) -> F:
    """A scalar step that generated kernels call; compiled into its caller, never on its own."""
    return cast(F, numba.njit(error_model="numpy", nogil=True)(function))
