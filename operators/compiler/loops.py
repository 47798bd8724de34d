"""The decorators of compiled functions, ``inline``, ``noinline`` and ``loop``: the only way to compile a loop.

Nothing here imports Numba before something has to be compiled: a process that finds its kernels compiled does not need
it, and importing it takes longer than most queries.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

from operators import forking
from operators.compiler import cache
from operators.compiler.marks import CALLED_BY_LOOPS, NOINLINE, is_raw
from operators.compiler.targets import Target

I64: TypeAlias = Any
"""An int64 scalar in a loop: int or numpy.int64 to type checkers, one machine word to Numba."""

F64: TypeAlias = Any
"""A float64 scalar in a loop."""

F = TypeVar("F", bound=Callable[..., Any])


class Inlined:
    """A function that is compiled into its caller; called from Python it is plain Python."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.plain = function
        update_wrapper(self, function)

    def __call__(self, *args: Any) -> Any:
        """The plain function's result."""
        return self.plain(*args)

    def made(self) -> Any:
        """The compiled function."""
        import numba
        from numba.core.types.misc import unliteral

        made = numba.njit(error_model="numpy", nogil=True, _nrt=False, **CALLED_BY_LOOPS)(self.plain)
        # Numba would compile it once for a constant that it is given and once more for the constant's type, which is
        # enough: constants are put in where it is compiled into its caller.
        usual = made.get_call_template
        made.get_call_template = lambda args, kws: usual(
            tuple(map(unliteral, args)), {name: unliteral(kind) for name, kind in kws.items()}
        )
        return made

    @cached_property
    def dispatcher(self) -> Any:
        """The function as compiled for this process."""
        return self.made()

    @cached_property
    def raw(self) -> Any:
        """The function as compiled into shared objects, not optimised for this machine."""
        return self.made()

    @property
    def _numba_type_(self) -> Any:
        # Numba looks up a global's type by this name, and finds the compiled function.
        return (self.raw if is_raw() else self.dispatcher)._numba_type_


def inline(function: F) -> F:
    """A scalar step that generated kernels call; compiled into its caller, never on its own.

    Without Numba's runtime: loops allocate nothing, and reference counting of arrays that are only passed on took 60 ns
    a row for a step with several exits.
    """
    return cast(F, Inlined(function))


def noinline(function: F) -> F:
    """Like ``inline``, but called: rarely needed code would take registers of the caller's loop. A function called
    from a single place is still specialised for its constant arguments."""
    NOINLINE.add(function.__name__)
    return inline(function)


LOOPS: list[Loop] = []
"""All loops declared by the modules imported so far."""


class Loop:
    """A loop that Python calls on arrays: compiled or found on disk at its first call; releases the GIL."""

    def __init__(self, function: Callable[..., Any], signature: str, slow: bool = False) -> None:
        self.plain = function
        self.signature = signature
        self.slow = slow
        self._lock = forking.lock()
        self._found: Callable[..., Any] | None = None
        update_wrapper(self, function)
        LOOPS.append(self)
        if slow:
            cache.SLOW.append(cache.SlowLoop(self.name, function, signature))

    @property
    def name(self) -> str:
        """The prefix of its file name."""
        return self.plain.__name__.strip("_")

    @cached_property
    def digest(self) -> str:
        """The digest of what it computes."""
        return cache.loop_digest(self.plain, self.signature)

    def built(self, target: Target) -> Path:
        """The shared object for another machine; see ``cache.built``."""
        return cache.built(self.name, self.digest, self.signature, lambda: self.plain, target)

    @property
    def compiled(self) -> Callable[..., Any]:
        """The machine code as a function."""
        if self._found is None:
            with self._lock:
                if self._found is None:
                    self._found = cache.compiled(
                        self.name, self.digest, self.signature, lambda: self.plain, library=True
                    )
        return self._found

    def caller(self) -> Callable[..., Any]:
        """A function for repeated calls of the loop, from one thread."""
        return cache.caller(self.compiled)

    def __call__(self, *args: Any) -> Any:
        """Call the machine code once."""
        return self.compiled(*args)


def loop(signature: str, slow: bool = False) -> Callable[[Callable[..., Any]], Loop]:
    """Declare a ``Loop`` of this type, in Numba's notation; a ``slow`` one takes more than a second to compile."""
    return lambda function: Loop(function, signature, slow)
