"""Decoded blocks, rows that change a value, and the buffers that a thread decodes into."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.kept_memory import KEPT, KeptMemory
from runtime.pointfile.reading.skip_unchanged import changes
from runtime.pointfile.reading.unpack import unpack_blocks
from runtime.pointfile.zstd import ZstdContext

Array = NDArray[np.generic]
Maps = Mapping[str, NDArray[np.int32]]
"""For string columns: the new code for each code of the file's dictionary."""


_CONTEXT = 160 << 10
"""Bytes of a decompression context of zstd."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block's rows, decoded. Its arrays are valid until the next block is decoded into the same ``Buffers``.

    ``run_lengths`` (int64): how many rows each key has here; the keys are those numbered ``first_key`` and on.
    ``time``: int64 microseconds UTC, shape (rows,); empty where it was not loaded. ``columns``: (values, valid) by
    name. ``values`` has the dtype of the column's type and shape (rows,), or (1,) if one value serves all rows.
    ``valid`` is uint8 of shape (rows,), or (1,): 1 if no row is null, 0 if all are.
    """

    row_start: int
    rows: int
    first_key: int
    run_lengths: NDArray[np.int64]
    time: NDArray[np.int64]
    columns: dict[str, tuple[Array, NDArray[np.uint8]]]


@dataclass(frozen=True, slots=True)
class Changes:
    """Rows of several blocks without those that repeat the row before them; valid as long as a ``Block``.

    ``run_key`` and ``run_lengths`` (int64): which key each run of rows belongs to. ``bridged`` (uint8, one per row):
    whether all steps in time since the row before, including skipped rows, were at most the requested hold. The rest is
    as in ``Block``, with one entry per row.
    """

    run_key: NDArray[np.int64]
    run_lengths: NDArray[np.int64]
    time: NDArray[np.int64]
    bridged: NDArray[np.uint8]
    columns: dict[str, tuple[Array, NDArray[np.uint8]]]


class Buffers:
    """One thread's zstd context, scratch and output arrays, reused for every block."""

    def __init__(self, zstd: ZstdContext | None = None) -> None:
        self.zstd = zstd or ZstdContext()
        self.unpack_blocks = unpack_blocks.caller()
        self.changes = changes.caller()
        self._arrays: dict[tuple[str, str], Array] = {}

    def array(self, name: str, dtype: str, *shape: int) -> Array:
        """The array of that name, contiguous, with at least this shape (one or two dimensions); its previous content is
        lost."""
        array = self._arrays.get((name, dtype))
        if array is not None:
            have = array.shape
            # One or two dimensions, almost always large enough, requested hundreds of times per query.
            if have[0] >= shape[0] and have[-1] >= shape[-1]:
                return array
        array = self._arrays[name, dtype] = np.empty([max(1, n) for n in shape], dtype)
        return array

    @property
    def held(self) -> int:
        """Bytes of the arrays, and of the zstd context."""
        return _CONTEXT + sum(array.nbytes for array in self._arrays.values())

    def clear(self) -> None:
        """Release the memory."""
        self._arrays.clear()


class IdleBuffers:
    """Buffers kept for the next scan, in at most half of the memory that a process keeps (``runtime.kept_memory``)."""

    def __init__(self, kept: KeptMemory) -> None:
        self._kept = kept
        self._owner = kept.owner(self)
        self._names: list[int] = []
        self._numbers = itertools.count()

    def take(self) -> Buffers:
        """The ones used last that are still kept, or new ones."""
        while self._names:
            try:
                found: Buffers | None = self._kept.drop(self._owner, self._names.pop())
            except IndexError:
                break
            if found is not None:
                return found
        return Buffers()

    def give_back(self, buffers: Buffers) -> None:
        """Keep them, if there is room."""
        size = buffers.held
        if self._kept.held(self._owner) + size <= self._kept.most // 2:
            name = next(self._numbers)
            self._kept.put(self._owner, name, buffers, size)
            self._names.append(name)


_idle = IdleBuffers(KEPT)


@contextmanager
def borrowed() -> Iterator[Buffers]:
    """Buffers for the duration of one scan: fresh memory costs a page fault every 4 KB, more than zstd's work."""
    buffers = _idle.take()
    yield buffers
    # Not returned after an error, when arrays in them may still be in use.
    _idle.give_back(buffers)
