"""What a stage's kernels remember of each key: an array per piece of state, with room for all keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.codegen.writer import Arg, Codes

_DTYPES = {"i8": np.int64, "f8": np.float64, "u1": np.uint8, "i4": np.int32}


@lru_cache(maxsize=256)
def dtype_of(kind: str) -> np.dtype[Any]:
    """The dtype of an argument's array."""
    return np.dtype(_DTYPES[kind[:2]])


class KeyState:
    """The arrays by name, zero for keys without rows. ``args`` are the kernels' arguments of role ``slot``."""

    def __init__(self, args: Iterable[Arg]) -> None:
        self._args = {str(a.subject[0]): a for a in args}
        self._capacity = 0
        self.arrays: dict[str, NDArray[Any]] = {}

    def reserve(self, keys: int) -> bool:
        """Make room for so many keys; whether arrays are others now."""
        if max(1, keys) <= self._capacity:
            return False
        self._capacity = max(1024, 2 * keys)
        for name, a in self._args.items():
            width = int(str(a.subject[1])) if len(a.subject) > 1 else 1
            shape = (self._capacity, width) if ":," in a.kind else (self._capacity * width,)
            grown = np.zeros(shape, dtype_of(a.kind))
            old = self.arrays.get(name)
            if old is not None:
                grown[: len(old)] = old
            self.arrays[name] = grown
        return True

    def take(self, slots: NDArray[np.int32], of: KeyState) -> None:
        """Take over the state of some keys from that of a run of these keys alone, in this order."""
        for name, array in self.arrays.items():
            theirs = of.arrays[name].reshape(of._capacity, -1)
            array.reshape(self._capacity, -1)[slots] = theirs[: len(slots)]

    def saved(self, keys: int) -> dict[str, NDArray[Any]]:
        """The state of so many keys."""
        return {name: array[: keys * (len(array) // self._capacity)] for name, array in self.arrays.items()}

    def restore(self, saved: Mapping[str, NDArray[Any]], keys: int, words: int, cells: int) -> None:
        """Take over the state of so many keys, after ``reserve``; ValueError or LookupError if it is malformed, or has
        codes or numbers of cells that are not below ``words`` or ``cells``: kernels check no bounds."""
        for name, array in self.arrays.items():
            part = saved[name]
            rows = keys * (len(array) // self._capacity)
            if part.dtype != array.dtype or part.shape != (rows, *array.shape[1:]):
                raise ValueError(f"the state {name} is malformed")
            limit = words if isinstance(self._args[name].kind, Codes) else cells if name in _CELLS else None
            if limit is not None and part.size and not 0 <= part.min() <= part.max() < max(1, limit):
                raise ValueError(f"the state {name} has indices out of range")
            array[: len(part)] = part


_CELLS = ("z_gid", "lane_gid")
"""The state that says in which cell of the aggregates a key is."""
