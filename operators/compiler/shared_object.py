"""Compiled loops as shared objects: built once with Numba and a linker, loaded with ctypes, without Numba.

The loop is compiled as usual, with a signature in Numba's notation. One function, ``run``, is added to its module. It
takes all arguments in one array of 64-bit words: for each array its address and shape (all are C-contiguous), for each
scalar its value. It returns the loop's result and leaves the loop's status in word 0. The compiled function itself uses
Numba's calling convention: pointers for the result and an exception, and each array as owner, parent, number of items,
item size, address, shape and strides.
"""

from __future__ import annotations

import array
import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from operators.compiler import sealed
from operators.compiler.signature import arguments_of


class Native:
    """A loop in a shared object, called with numpy arrays and integers. It releases the GIL."""

    def __init__(self, path: Path, signature: str) -> None:
        """Load it; OSError if it is damaged or does not load."""
        sealed.read(path)  # a damaged one could do anything
        self.path = path
        self._library = ctypes.CDLL(str(path))
        try:
            self._run = self._library.run
        except AttributeError:
            raise OSError(f"{path}: this is not a kernel, since it has no function run") from None
        self._run.argtypes, self._run.restype = [ctypes.c_void_p], ctypes.c_int64
        result, self._arguments = arguments_of(signature)
        self._is_bool = result == "b1"

    def __call__(self, *args: Any) -> Any:
        """Call the loop once."""
        return self.caller()(*args)

    def caller(self) -> Callable[..., Any]:
        """A function that calls the loop, for one thread. It remembers the last call's arguments and looks up the
        addresses of changed arrays only, since these look-ups take most of a call's time."""
        run, is_bool, name = self._run, self._is_bool, self.path.stem
        places, total = [], 1
        for a in self._arguments:
            places.append(total)
            total += 1 + a.dimensions
        words = array.array("q", bytes(8 * total))
        address = words.buffer_info()[0]
        last: list[Any] = [None] * len(places)

        def call(*args: Any) -> Any:
            if len(args) != len(last):
                raise TypeError(f"{name} takes {len(last)} arguments, got {len(args)}")
            for i, a in enumerate(args):
                if a is last[i]:
                    continue
                at = places[i]
                if isinstance(a, np.ndarray):
                    words[at] = a.__array_interface__["data"][0]
                    for n in a.shape:
                        at += 1
                        words[at] = n
                else:
                    words[at] = int(a)
                last[i] = a
            out = run(address)
            if words[0]:
                raise RuntimeError(f"{name} failed with status {words[0]}")
            return bool(out) if is_bool else out

        return call
