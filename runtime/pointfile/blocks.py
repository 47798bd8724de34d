"""From the bytes of a block's chunks to its arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import zstandard
from numpy.typing import NDArray

from operators.types import Type
from runtime.pointfile.decode import loops
from runtime.pointfile.frames import expand, raw_sizes
from runtime.pointfile.layout import BITS, BITWISE, CONST, DELTA, FOR, POSITION_WIDTH

Array = NDArray[np.generic]
_MASK = (1 << 64) - 1
_ALL_VALID = np.ones(1, np.uint8)
_ALL_NULL = np.zeros(1, np.uint8)
_EMPTY = np.zeros(0, np.int64)
for _constant in (_ALL_VALID, _ALL_NULL, _EMPTY):
    _constant.flags.writeable = False


@dataclass(frozen=True, slots=True)
class Block:
    """A block's rows, decoded. Its arrays are valid until the next block is decoded into the same ``Buffers``.

    ``run_lengths`` (int64): how many rows each key has here; the keys are those numbered ``first_key`` and on.
    ``time``: int64 microseconds UTC, shape (rows,); empty where it was not loaded.
    ``columns``: (values, valid) by name. ``values`` has the dtype of the column's type and shape (rows,), or (1,) where
    one value stands for all rows. ``valid`` is uint8 of shape (rows,), or (1,): 1 if no row is null, 0 if all are.
    """

    row_start: int
    rows: int
    first_key: int
    run_lengths: NDArray[np.int64]
    time: NDArray[np.int64]
    columns: dict[str, tuple[Array, NDArray[np.uint8]]]


@dataclass(frozen=True, slots=True)
class ChunkInfo:
    """A chunk's fields in the directory, as Python integers, in the order of ``layout.CHUNK_FIELDS``."""

    encoding: int
    scale: int
    width: int
    width2: int
    nulls: int
    count: int
    base: int
    tick: int
    step: int
    vmin: int
    vmax: int


class Buffers:
    """What one thread decodes with: zstd's context, scratch and output arrays, all used again for every block."""

    def __init__(self) -> None:
        self.zstd = zstandard.ZstdDecompressor()
        self._arrays: dict[tuple[str, str], Array] = {}

    def array(self, name: str, dtype: str, size: int) -> Array:
        """The array of that name, ``size`` long; what it held before is lost."""
        array = self._arrays.get((name, dtype))
        if array is None or len(array) < size:
            array = self._arrays[name, dtype] = np.empty(max(size, 1024), dtype)
        return array[:size]

    def clear(self) -> None:
        """Give the memory back."""
        self._arrays.clear()


class Frames:
    """The consecutive frames of one chunk, or of a dictionary, taken one array after the other."""

    def __init__(self, data: memoryview, sizes: list[int], zstd: zstandard.ZstdDecompressor) -> None:
        self._data = data
        self._sizes = iter(sizes)
        self._zstd = zstd
        self._at = 0

    def take(self, raw: int) -> bytes:
        """The next frame's bytes."""
        end = self._at + next(self._sizes)
        frame = self._data[self._at : end]
        self._at = end
        return expand(self._zstd, frame, raw)

    def planes(self, count: int, width: int, out: NDArray[np.uint8]) -> None:
        """The next array's planes, one after the other in ``out`` (uint8, shape (count * width,))."""
        at = 0
        for raw in raw_sizes(count, width):
            out[at : at + raw] = np.frombuffer(self.take(raw), np.uint8)
            at += raw


def decode_chunk(
    kind: Type,
    name: str,
    info: ChunkInfo,
    frames: Frames,
    rows: int,
    lengths: NDArray[np.int64],
    table: NDArray[np.int32] | None,
    buffers: Buffers,
) -> tuple[Array, NDArray[np.uint8]]:
    """A chunk's (values, valid) as in ``Block.columns``; ValueError where its bytes are not what they must be.

    ``lengths``: the block's key runs (needed for DELTA only); ``table``: what each code of a string column becomes.
    """
    if info.nulls == rows:
        return np.zeros(1, kind.dtype), _ALL_NULL
    valid = _ALL_VALID
    if info.nulls:
        valid = _unpack_bits(frames, rows, "valid:" + name, buffers)
        if int(np.count_nonzero(valid)) != rows - info.nulls:
            raise ValueError("its null bitmap does not agree with its null count")
    return _values(kind, name, info, frames, rows, lengths, table, buffers), valid


def _values(
    kind: Type,
    name: str,
    info: ChunkInfo,
    frames: Frames,
    rows: int,
    lengths: NDArray[np.int64],
    table: NDArray[np.int32] | None,
    buffers: Buffers,
) -> Array:
    if info.encoding == CONST:
        if table is not None:
            return table[info.base : info.base + 1]
        if kind is Type.FLOAT:
            return np.array([info.base], np.int64).view(np.float64)
        return np.array([info.base], kind.dtype)
    if info.encoding == BITS:
        return _unpack_bits(frames, rows, name, buffers)
    out = buffers.array(name, kind.dtype, rows)
    if info.encoding == FOR:
        planes = _planes(frames, rows, info.width, "planes", buffers)
        _frame_of_reference(kind, info, planes, rows, table, out, buffers)
    elif info.encoding == DELTA:
        firsts = _planes(frames, len(lengths), info.width, "firsts", buffers)
        planes = _planes(frames, rows - len(lengths), info.width2, "planes", buffers)
        whole = out.view(np.uint64) if info.scale == BITWISE else buffers.array("whole", "u8", rows)
        base, step = info.base & _MASK, info.step & _MASK
        loops().deltas(firsts, info.width, planes, info.width2, lengths, base, info.tick, step, whole)
        if info.scale != BITWISE:
            loops().divided(whole, 10.0**info.scale, out)
    else:
        few = buffers.array("few", kind.dtype, info.count)
        counts = buffers.array("counts", "i8", info.count)
        planes = _planes(frames, info.count, info.width, "planes", buffers)
        _frame_of_reference(kind, info, planes, info.count, table, few, buffers)
        planes = _planes(frames, info.count, info.width2, "planes", buffers)
        loops().integers(planes, info.count, info.width2, 1, 1, counts.view(np.uint64))
        if kind is Type.FLOAT:
            filled = loops().repeated(few.view(np.int64), counts, out.view(np.int64))
        else:
            filled = loops().repeated(few, counts, out)
        if not filled:
            raise ValueError("its runs do not add up to its rows")
        return out
    if info.count:
        _patch(info.count, frames, rows, out.view(np.uint64), buffers)
    return out


def _patch(count: int, frames: Frames, rows: int, out: NDArray[np.uint64], buffers: Buffers) -> None:
    """Put in the values that are no decimals, bit by bit."""
    rows_and_bits = []
    for width in (POSITION_WIDTH, 8):
        numbers = buffers.array(f"patches {width}", "u8", count)
        planes = _planes(frames, count, width, "planes", buffers)
        loops().integers(planes, count, width, 0, 1, numbers)
        rows_and_bits.append(numbers)
    at, values = rows_and_bits
    if int(at.max()) >= rows:
        raise ValueError("a patch is outside its block")
    out[at.astype(np.intp)] = values


def _frame_of_reference(
    kind: Type,
    info: ChunkInfo,
    planes: NDArray[np.uint8],
    count: int,
    table: NDArray[np.int32] | None,
    out: Array,
    buffers: Buffers,
) -> None:
    """``base + tick * u`` of each value, as the column's type."""
    base, width, tick = info.base, info.width, info.tick
    if table is not None:
        if loops().codes(planes, count, width, base, table, out):
            raise ValueError("a code is outside its dictionary")
    elif kind is Type.BOOL:
        out[:] = planes[:count] if width else 0
        if count and int(out.max()) > 1:
            raise ValueError("a boolean is neither 0 nor 1")
    elif info.scale == BITWISE:
        loops().integers(planes, count, width, base & _MASK, tick, out.view(np.uint64))
    elif 1 <= width <= 2 and abs(base) < 1 << 30 and tick < 1 << 14:
        loops().decimals(planes, count, width, base, tick, 10.0**info.scale, out)
    else:
        whole = buffers.array("whole", "u8", count)
        loops().integers(planes, count, width, base & _MASK, tick, whole)
        loops().divided(whole, 10.0**info.scale, out)


def _planes(frames: Frames, count: int, width: int, name: str, buffers: Buffers) -> NDArray[np.uint8]:
    out: NDArray[np.uint8] = buffers.array(name, "u1", count * width)  # type: ignore[assignment]
    frames.planes(count, width, out)
    return out


def _unpack_bits(frames: Frames, rows: int, name: str, buffers: Buffers) -> NDArray[np.uint8]:
    packed = _planes(frames, (rows + 7) // 8, 1, "planes", buffers)
    out: NDArray[np.uint8] = buffers.array(name, "u1", rows)  # type: ignore[assignment]
    loops().bits(packed, rows, out)
    return out


def no_time() -> NDArray[np.int64]:
    """What stands for the times of a block that were not asked for."""
    return _EMPTY


Maps = Mapping[str, NDArray[np.int32]]
