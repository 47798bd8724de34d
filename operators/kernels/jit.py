"""The one way in which loops are compiled.

Nothing here imports Numba before something is to be compiled: a process that finds its kernels compiled needs none of
it, and importing it takes longer than most questions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, update_wrapper
from typing import Any, TypeAlias, TypeVar, cast

I64: TypeAlias = Any
"""An int64 scalar in a loop: what type checkers take for int or numpy.int64 is one machine word to Numba."""

F64: TypeAlias = Any
"""A float64 scalar in a loop."""

F = TypeVar("F", bound=Callable[..., Any])


class Inlined:
    """A function that compiled code calls, and is compiled into its caller; called from Python it is plain Python."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.plain = function
        update_wrapper(self, function)

    def __call__(self, *args: Any) -> Any:
        return self.plain(*args)

    @cached_property
    def dispatcher(self) -> Any:
        """What Numba makes of it."""
        import numba

        return numba.njit(error_model="numpy", nogil=True)(self.plain)

    @property
    def _numba_type_(self) -> Any:
        # Numba asks a global for its type by this name, and finds the compiled function.
        return self.dispatcher._numba_type_


def inline(function: F) -> F:
    """A scalar step that generated kernels call; compiled into its caller, never on its own."""
    return cast(F, Inlined(function))


class Loop:
    """A loop that Python calls on arrays: compiled, or loaded from Numba's cache, at its first call; holds no GIL."""

    def __init__(self, function: Callable[..., Any], signature: str) -> None:
        self.plain = function
        self.signature = signature
        update_wrapper(self, function)

    @cached_property
    def compiled(self) -> Callable[..., Any]:
        """The machine code as a function."""
        import numba

        jit = numba.njit(self.signature, nogil=True, cache=True, error_model="numpy")
        return cast(Callable[..., Any], jit(self.plain))

    def __call__(self, *args: Any) -> Any:
        return self.compiled(*args)


def loop(signature: str) -> Callable[[Callable[..., Any]], Loop]:
    """Declare a ``Loop`` of this type, in Numba's notation."""
    return lambda function: Loop(function, signature)
