"""What the compiler is asked to do with a function, and in what way it compiles just now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

CALLED_BY_LOOPS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "no_rewrites": True}
"""Numba's options for what Python never calls itself: no wrappers for it, and no search for expressions of whole
arrays, which loops do not have. They took a quarter of the time of a compilation."""

NOINLINE: set[str] = set()
"""Names of the functions that are not compiled into their callers."""

_raw = False


def is_raw() -> bool:
    """Whether Numba compiles for another machine, too, and not for this process. Asked under Numba's own lock."""
    return _raw


@contextmanager
def raw_code() -> Iterator[None]:
    """Within, ``is_raw``."""
    global _raw
    _raw = True
    try:
        yield
    finally:
        _raw = False
