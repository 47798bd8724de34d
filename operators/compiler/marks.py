"""Compiler options of functions, and the current compilation mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

CALLED_BY_LOOPS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "no_rewrites": True}
"""Numba's options for functions that Python never calls: no wrappers, and no array-expression pass, since loops have no
such expressions. These took a quarter of the compilation time."""

NOINLINE: set[str] = set()
"""Names of the functions that are not compiled into their callers."""

_raw = False


def is_raw() -> bool:
    """Whether Numba is compiling for any machine rather than this process. Called under Numba's lock."""
    return _raw


@contextmanager
def raw_code() -> Iterator[None]:
    """Inside, ``is_raw`` is true."""
    global _raw
    _raw = True
    try:
        yield
    finally:
        _raw = False
