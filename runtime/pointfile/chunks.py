"""Encodes one column of one block: picks the encoding and builds its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.types import Type
from runtime.pointfile import chunk_loops as loops
from runtime.pointfile.frames import Compressor, width_of
from runtime.pointfile.layout import BITS, BITWISE, CONST, DELTA, FOR, LINEAR, PARTS, POSITION_WIDTH, RUNS

_MAX_SCALE = 9
# An encoding that decodes more slowly must be smaller than the best so far by this factor.
_GAIN = 0.98
# Scaled decimals are used where at most one value in this many needs a patch.
_PATCHED = 16
_RUNS_MAY_COST = 64
_STRAIGHT = 1 << 60
"""Offsets at or above this are not encoded as lines: slope times row, plus the distance, must fit in int64."""


@dataclass
class ColumnChunk:
    """An encoded chunk: the directory's fields, and its frames."""

    encoding: int = CONST
    scale: int = BITWISE
    width: int = 0
    width2: int = 0
    nulls: int = 0
    count: int = 0
    base: int = 0
    tick: int = 1
    step: int = 0
    vmin: int = 0
    vmax: int = 0
    frames: tuple[bytes, ...] = ()

    @property
    def row(self) -> tuple[int, ...]:
        """The fields in the order of the directory."""
        front = (self.encoding, self.scale, self.width, self.width2, self.nulls, self.count)
        return (*front, self.base, self.tick, self.step, self.vmin, self.vmax)


def encode_chunk(
    kind: Type,
    values: NDArray[np.generic],
    valid: NDArray[np.bool_] | None,
    starts: NDArray[np.int64],
    zstd: Compressor,
) -> ColumnChunk:
    """Encode a block's values. ``starts`` are the rows at which the block's key runs start (the first is 0)."""
    rows = len(values)
    chunk = ColumnChunk()
    if valid is not None and valid.all():
        valid = None
    bitmap: list[bytes] = []
    if valid is not None:
        chunk.nulls = rows - int(np.count_nonzero(valid))
        if chunk.nulls == rows:
            return chunk
        bitmap = zstd.planes(np.packbits(valid, bitorder="little")[None, :])
    numbers = values.view(np.int64) if kind is Type.FLOAT else values.astype(np.int64, copy=False)
    if valid is not None:
        numbers = _filled(numbers, valid)
    lowest, highest = int(numbers.min()), int(numbers.max())
    # Filled slots repeat existing values, so the filled column has the same extremes.
    chunk.vmin, chunk.vmax = _extremes(numbers.view(np.float64)) if kind is Type.FLOAT else (lowest, highest)
    if lowest == highest:
        chunk.base = lowest
    elif kind is Type.BOOL:
        _booleans(chunk, numbers, zstd)
    else:
        patches = bits = np.zeros(0, np.int64)
        if kind is Type.FLOAT:
            scaled = _scaled(numbers)
            if scaled is not None:
                bits = numbers
                chunk.scale, numbers, exact = scaled
                lowest = int(numbers.min())
                patches = np.flatnonzero(~exact)
                chunk.count = len(patches)
        _integers(chunk, numbers, lowest, starts, zstd, is_code=kind is Type.STRING)
        if len(patches):
            positions = zstd.array(patches.astype(np.uint64), POSITION_WIDTH)
            chunk.frames = (*chunk.frames, *positions, *zstd.array(bits[patches].view(np.uint64), 8))
    chunk.frames = (*bitmap, *chunk.frames)
    return chunk


def _filled(numbers: NDArray[np.int64], valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Nulls replaced by the previous value (by the first value, if none precedes)."""
    out = np.empty(len(numbers), np.int64)
    loops.fill(numbers, valid, out)
    return out


def _extremes(values: NDArray[np.float64]) -> tuple[int, int]:
    """The bits of the minimum and the maximum (both NaN where any value is)."""
    low, high = np.array([values.min(), values.max()]).view(np.int64).tolist()
    return low, high


def _scaled(bits: NDArray[np.int64]) -> tuple[int, NDArray[np.int64], NDArray[np.bool_]] | None:
    """A power of ten, the values times it as integers, and where division restores every bit; None if in too few rows.

    Elsewhere (-0.0, NaN, 0.1 + 0.2) the integer repeats the previous one, and the value itself becomes a patch.
    """
    sample = np.ascontiguousarray(bits[:: max(1, len(bits) // 64)])
    best = None
    most = len(bits) // _PATCHED
    for scale in range(_MAX_SCALE + 1):
        if _times(sample, scale, len(sample)).misses > max(1, len(sample) // _PATCHED):
            continue
        found = _times(bits, scale, most)
        if found.misses <= most:
            best = scale, found.whole, found.exact
            most = found.misses - 1
        if found.misses == 0:
            break
    return best


class _Scaled(NamedTuple):
    misses: int
    whole: NDArray[np.int64]
    exact: NDArray[np.bool_]


def _times(bits: NDArray[np.int64], scale: int, most: int) -> _Scaled:
    """The values times 10**scale as far as there are at most ``most`` misses; see ``loops.scale``."""
    whole, exact = np.empty(len(bits), np.int64), np.empty(len(bits), np.bool_)
    misses = loops.scale(bits.view(np.float64), bits, scale, most, whole, exact)
    return _Scaled(misses, whole, exact)


def _booleans(chunk: ColumnChunk, numbers: NDArray[np.int64], zstd: Compressor) -> None:
    chunk.encoding = BITS
    chunk.frames = tuple(zstd.planes(np.packbits(numbers.astype(np.bool_), bitorder="little")[None, :]))
    edges = np.flatnonzero(numbers[1:] != numbers[:-1]) + 1
    if len(edges) < len(numbers) // 16:
        _offer_runs(chunk, numbers.view(np.uint64), edges, zstd)


def _integers(
    chunk: ColumnChunk,
    numbers: NDArray[np.int64],
    lowest: int,
    starts: NDArray[np.int64],
    zstd: Compressor,
    is_code: bool,
) -> None:
    """Frame of reference, or runs or differences if they are smaller."""
    rows = len(numbers)
    offsets = (numbers - np.int64(lowest)).view(np.uint64)  # wraps, so it is correct for any two int64
    if not is_code:
        chunk.tick = int(loops.divide_by_tick(offsets)) % (1 << 64)
    chunk.base = lowest
    chunk.width = width_of(int(offsets.max()))
    chunk.encoding, chunk.frames = FOR, tuple(zstd.array(offsets, chunk.width))
    changes = offsets[1:] != offsets[:-1]
    if not chunk.count and np.count_nonzero(changes) < rows // 4:
        _offer_runs(chunk, offsets, np.flatnonzero(changes) + 1, zstd)
    if not is_code and 2 * len(starts) <= rows:
        _offer_differences(chunk, offsets, starts, zstd)
        if chunk.scale == BITWISE:
            _offer_lines(chunk, offsets, starts, lowest, zstd)


def _offer_runs(chunk: ColumnChunk, offsets: NDArray[np.uint64], edges: NDArray[np.intp], zstd: Compressor) -> None:
    first = np.concatenate((np.zeros(1, np.intp), edges))
    lengths = (np.diff(first, append=len(offsets)) - 1).astype(np.uint64)
    width, width2 = width_of(int(offsets.max())), width_of(int(lengths.max()))
    frames = (*zstd.array(offsets[first], width), *zstd.array(lengths, width2))
    # Runs decode fastest, so they may be a little larger.
    if _size(frames) * _GAIN <= _size(chunk.frames) + _RUNS_MAY_COST:
        chunk.encoding, chunk.frames = RUNS, frames
        chunk.width, chunk.width2, chunk.count = width, width2, len(first)


def _offer_differences(
    chunk: ColumnChunk, offsets: NDArray[np.uint64], starts: NDArray[np.int64], zstd: Compressor
) -> None:
    firsts = offsets[starts]
    rest = np.empty(len(offsets) - len(starts), np.uint64)
    step = int(loops.differences(offsets.view(np.int64), starts, rest.view(np.int64)))
    width, width2 = width_of(int(firsts.max())), width_of(int(rest.max()))
    frames = (*zstd.array(firsts, width), *zstd.array(rest, width2))
    if _size(frames) <= _size(chunk.frames) * _GAIN:
        if chunk.encoding == RUNS:
            chunk.count = 0
        chunk.encoding, chunk.frames, chunk.step = DELTA, frames, step
        chunk.width, chunk.width2 = width, width2


def _offer_lines(
    chunk: ColumnChunk, offsets: NDArray[np.uint64], starts: NDArray[np.int64], lowest: int, zstd: Compressor
) -> None:
    """Each run as a straight line and the values' distances from it, for periodic reports with jitter."""
    if int(offsets.max()) >= _STRAIGHT:
        return
    slopes, firsts, rest = np.empty(len(starts), np.int64), np.empty(len(starts), np.int64), np.empty_like(offsets)
    loops.lines(offsets.view(np.int64), starts, slopes, firsts, rest.view(np.int64))
    begin, step = int(firsts.min()), int(slopes.min())
    firsts, slopes = firsts - begin, slopes - step
    width, width3 = width_of(int(firsts.max())), width_of(int(slopes.max()))
    bits = int(rest.max()).bit_length()
    frames = (*zstd.array(firsts.view(np.uint64), width), *zstd.array(slopes.view(np.uint64), width3))
    frames += tuple(_packed(rest, bits, zstd))
    # Unlike with differences, any row of a line decodes without those before it, which is worth a little.
    if _size(frames) * (_GAIN if chunk.encoding == DELTA else 1) < _size(chunk.frames):
        chunk.encoding, chunk.frames, chunk.step = LINEAR, frames, step
        chunk.width, chunk.width2, chunk.count = width, bits, width3
        chunk.base = (lowest + chunk.tick * begin + (1 << 63)) % (1 << 64) - (1 << 63)


def _packed(values: NDArray[np.uint64], bits: int, zstd: Compressor) -> list[bytes]:
    """Whole bytes as planes, and the rest in parts of four, two and one bits."""
    whole = bits >> 3
    out = zstd.array(values, whole)
    shift = 8 * whole
    for part in PARTS:
        if bits & part:
            packed = np.empty(-(-len(values) * part // 8), np.uint8)
            loops.bit_part(values, shift, part, packed)
            out += zstd.planes(packed[None, :])
            shift += part
    return out


def _size(frames: Sequence[bytes]) -> int:
    # A frame also costs a directory entry and a decoder call.
    return sum(map(len, frames)) + 16 * len(frames)
