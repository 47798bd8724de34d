"""Memory and C functions by address, for loops that call into a C library; the machine's square root.

Addresses are plain integers, so a compiled loop depends on none of them and can be cached on disk.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from operators.compiler.loops import Inlined


class _Foreign(Inlined):
    """A function without a Python body; ``operators.compiler.intrinsics`` makes its code."""

    def made(self) -> Any:
        """The compiled function."""
        from operators.compiler import intrinsics

        return getattr(intrinsics, self.plain.__name__)


@_Foreign
def word_at(address: Any) -> Any:
    """The eight bytes at ``address`` as a little-endian int64, aligned or not."""
    raise TypeError("word_at works in compiled code only")


@_Foreign
def put_word(address: Any, word: Any) -> Any:
    """Write the eight bytes of ``word`` to ``address``, aligned or not; returns ``word``."""
    raise TypeError("put_word works in compiled code only")


@_Foreign
def call_2(function: Any, a: Any, b: Any) -> Any:
    """The int64 that the C function at this address returns for two words (integers or addresses)."""
    raise TypeError("call_2 works in compiled code only")


@_Foreign
def call_5(function: Any, a: Any, b: Any, c: Any, d: Any, e: Any) -> Any:
    """The int64 that the C function at this address returns for five words (integers or addresses)."""
    raise TypeError("call_5 works in compiled code only")


@_Foreign
def address_of(array: Any) -> Any:
    """The address of an array's first element, as int64."""
    raise TypeError("address_of works in compiled code only")


@_Foreign
def prefetch(address: Any) -> None:
    """Prefetch the cache line at this address, which may be invalid, for a write."""


@_Foreign
def square_root(x: Any) -> Any:
    """The square root as IEEE 754 rounds it, by the machine's instruction; NaN of a negative number. In compiled code,
    NumPy's is a call of the C library."""
    return np.sqrt(x)
